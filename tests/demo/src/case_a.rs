//! Case A: the key is there and the policy allows it. No agent and no service run yet.

use crate::story::Story;
use anyhow::{Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::world::{World, outcome};

pub(crate) fn keys_that_are_there(story: &mut Story, world: &World) -> Result<()> {
    story.part("Case A: the key is there. Application, vault, result; no attestation.");
    let mut app = world.application()?;
    let status = app.status()?;
    story.remark(&format!(
        "arenas: {}, {} KiB of records and {} KiB of heap",
        status.arena_kind,
        status.records_size >> 10,
        status.heap_size >> 10
    ));

    story.step("generate a P-256 key in the vault", || {
        let version = app.generate("app/signing", KeyType::EcP256, None)?;
        Ok(format!("version {version}"))
    })?;
    let mut signature = Vec::new();
    story.step("sign with it", || {
        signature = app.sign("app/signing", None, b"a message")?.signature;
        Ok(format!("{} bytes", signature.len()))
    })?;
    story.step("verify; and verify another message", || {
        app.verify("app/signing", None, None, b"a message", &signature)?;
        let other = app.verify("app/signing", None, None, b"b message", &signature);
        ensure!(outcome(other)? == Status::VerificationFailed);
        Ok("genuine; refused")
    })?;
    story.step("encrypt and decrypt with AES-256-GCM", || {
        app.generate("app/sealing", KeyType::Aes256Gcm, None)?;
        let ciphertext = app.encrypt("app/sealing", b"for your eyes", b"context")?;
        let plaintext = app.decrypt("app/sealing", &ciphertext, b"context")?;
        ensure!(**plaintext == *b"for your eyes");
        let elsewhere = app.decrypt("app/sealing", &ciphertext, b"elsewhere");
        ensure!(outcome(elsewhere)? == Status::VerificationFailed);
        Ok("the same; refused in another context")
    })
}
