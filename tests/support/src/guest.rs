//! A guest without a vault: the test has its TEE key, and the evidence helper takes the test for
//! the vault.

use anyhow::Result;
use nitride_kbs::report_data::report_data;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use serde_json::json;

use crate::asker::Asker;
use crate::courier::{BoundEvidence, KbsSession};
use crate::forge::Signatory;
use crate::tls::Upstream;
use crate::world::World;

/// The key of such a guest, where it does not matter which.
///
/// # Errors
/// When the library refuses.
pub fn tee_key() -> Result<TeePublicKey> {
    let mut jwk = Signatory::numbered(5)?.jwk();
    jwk["alg"] = json!("ECDH-ES+A256KW");
    Ok(TeePublicKey::parse(&jwk.to_string())?)
}

/// What a vault would do with a nonce: sample evidence that binds it and this key.
///
/// # Errors
/// When the evidence helper does not run or refuses.
pub fn evidence(world: &World, nonce: &str, key: &TeePublicKey) -> Result<BoundEvidence> {
    let mut quote = Asker::connect_silently(&world.path("quote.sock"))?;
    let answer = quote.ask(&EvidenceRequest {
        tee: "sample",
        report_data: &report_data(nonce, key, ""),
        yields: false,
    })?;
    let reply: EvidenceReply<'_> = answer.result()?;
    Ok(BoundEvidence {
        tee_pubkey: key.to_jwk_json(),
        primary_evidence: reply.primary_evidence.to_owned(),
        additional_evidence: reply.additional_evidence.to_owned(),
    })
}

/// A session that has attested with this key, and its token.
///
/// # Errors
/// When the service refuses.
pub fn attested(
    world: &World,
    service: &Upstream,
    key: &TeePublicKey,
) -> Result<(KbsSession, String)> {
    let mut session = KbsSession::open(service)?;
    let nonce = session.auth("sample")?;
    let token = session.attest(&nonce, &evidence(world, &nonce, key)?)?;
    Ok((session, token))
}
