//! Case A: the key is there and the policy allows it. No agent and no service run here.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_protocol::application::VaultStatus;
use nitride_protocol::{KeyState, KeyType, Operation, OperationSet, Origin, SignScheme, Status};
use nitride_support::asker::Asker;
use nitride_support::plan::Plan;
use nitride_support::world::{World, outcome};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use std::time::Duration;

fn world() -> Result<World> {
    World::start(Plan::vault(""))
}

#[test]
fn a_p256_signature_verifies_outside_the_vault() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    assert_eq!(app.generate("app/signing", KeyType::EcP256, None)?, 1);
    let public = app.public_key("app/signing", None)?;
    let key = VerifyingKey::from_public_key_der(&public.spki).context("read the public key")?;
    let fixed = app.sign("app/signing", None, b"message")?.signature;
    key.verify(b"message", &Signature::from_slice(&fixed)?)?;
    let der = app.sign("app/signing", Some(SignScheme::EcdsaSha256Der), b"message")?;
    key.verify(b"message", &Signature::from_der(&der.signature)?)?;
    app.verify("app/signing", None, None, b"message", &fixed)?;
    let verdict = app.verify("app/signing", None, None, b"another", &fixed);
    assert_eq!(outcome(verdict)?, Status::VerificationFailed);
    Ok(())
}

#[test]
fn an_ed25519_key_signs_and_verifies() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    app.generate("app/ed", KeyType::Ed25519, None)?;
    let signature = app.sign("app/ed", None, b"message")?.signature;
    assert_eq!(signature.len(), 64);
    app.verify("app/ed", None, None, b"message", &signature)?;
    let mut changed = signature;
    changed[10] ^= 1;
    let verdict = app.verify("app/ed", None, None, b"message", &changed);
    assert_eq!(outcome(verdict)?, Status::VerificationFailed);
    let scheme = Some(SignScheme::EcdsaSha256Fixed);
    assert_eq!(
        outcome(app.sign("app/ed", scheme, b"m"))?,
        Status::WrongParameters
    );
    Ok(())
}

#[test]
fn what_was_encrypted_comes_back_with_its_additional_data_alone() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    for (name, key_type) in [
        ("app/gcm", KeyType::Aes256Gcm),
        ("app/siv", KeyType::Aes256GcmSiv),
    ] {
        app.generate(name, key_type, None)?;
        let plaintext = vec![7; 65_536];
        let ciphertext = app.encrypt(name, &plaintext, b"context")?;
        assert_eq!(&*app.decrypt(name, &ciphertext, b"context")?, &plaintext);
        let other = app.decrypt(name, &ciphertext, b"another");
        assert_eq!(outcome(other)?, Status::VerificationFailed);
        let mut changed = ciphertext.clone();
        *changed.last_mut().context("not empty")? ^= 1;
        let tampered = app.decrypt(name, &changed, b"context");
        assert_eq!(outcome(tampered)?, Status::VerificationFailed);
        assert_ne!(app.encrypt(name, &plaintext, b"context")?, ciphertext);
        let cut = app.decrypt(name, &ciphertext[..20], b"context");
        assert_eq!(outcome(cut)?, Status::Malformed);
    }
    let of_siv = app.encrypt("app/siv", b"plain", b"")?;
    let crossed = app.decrypt("app/gcm", &of_siv, b"");
    assert_eq!(outcome(crossed)?, Status::VerificationFailed);
    Ok(())
}

#[test]
fn a_tag_is_checked_and_a_wrong_one_fails() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    app.generate("app/mac", KeyType::HmacSha256, None)?;
    let tag = app.mac("app/mac", b"data")?.tag;
    assert_eq!(tag.len(), 32);
    app.verify_mac("app/mac", None, b"data", &tag)?;
    let wrong = app.verify_mac("app/mac", None, b"date", &tag);
    assert_eq!(outcome(wrong)?, Status::VerificationFailed);
    let short = app.verify_mac("app/mac", None, b"data", &tag[..16]);
    assert_eq!(outcome(short)?, Status::VerificationFailed);
    Ok(())
}

#[test]
fn random_bytes_differ_and_have_the_length_asked_for() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    let one = app.random(65_536)?;
    assert_eq!(one.len(), 65_536);
    assert_ne!(*one, *app.random(65_536)?);
    assert_eq!(app.random(0)?.len(), 0);
    assert_eq!(outcome(app.random(65_537))?, Status::TooLarge);
    Ok(())
}

#[test]
fn a_name_that_is_taken_is_not_given_to_another_key() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    app.generate("app/k", KeyType::EcP256, None)?;
    let before = app.public_key("app/k", None)?;
    for key_type in [KeyType::EcP256, KeyType::Ed25519] {
        let again = app.generate("app/k", key_type, None);
        assert_eq!(outcome(again)?, Status::KeyExists);
    }
    let mut admin = world.admin()?;
    let import = admin.import("app/k", KeyType::EcP256, None, &[1; 32]);
    assert_eq!(outcome(import)?, Status::KeyExists);
    assert_eq!(app.public_key("app/k", None)?, before);
    Ok(())
}

#[test]
fn a_disabled_key_rests_and_a_destroyed_one_is_gone() -> Result<()> {
    let world = world()?;
    let (mut app, mut admin) = (world.application()?, world.admin()?);
    app.generate("app/k", KeyType::EcP256, None)?;
    app.disable("app/k", None)?;
    assert_eq!(outcome(app.sign("app/k", None, b"m"))?, Status::KeyDisabled);
    app.enable("app/k", None)?;
    app.sign("app/k", None, b"m")?;
    admin.destroy("app/k", None)?;
    assert_eq!(
        outcome(app.sign("app/k", None, b"m"))?,
        Status::KeyDestroyed
    );
    assert_eq!(outcome(app.enable("app/k", None))?, Status::KeyDestroyed);
    let again = outcome(app.generate("app/k", KeyType::EcP256, None))?;
    assert_ne!(again, Status::Ok, "the name came to mean another key");
    Ok(())
}

#[test]
fn a_version_can_rest_by_itself_and_one_that_never_was_is_named() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    app.generate("app/k", KeyType::HmacSha256, None)?;
    let tag = app.mac("app/k", b"d")?.tag;
    app.disable("app/k", Some(1))?;
    let resting = app.verify_mac("app/k", Some(1), b"d", &tag);
    assert_eq!(outcome(resting)?, Status::KeyDisabled);
    app.enable("app/k", Some(1))?;
    app.verify_mac("app/k", Some(1), b"d", &tag)?;
    let absent = app.verify_mac("app/k", Some(2), b"d", &tag);
    assert_eq!(outcome(absent)?, Status::VersionNotFound);
    assert_eq!(
        outcome(app.disable("app/k", Some(2)))?,
        Status::VersionNotFound
    );
    Ok(())
}

#[test]
fn destroy_and_import_are_for_the_admin_socket_alone() -> Result<()> {
    let world = world()?;
    let (mut app, mut admin) = (world.application()?, world.admin()?);
    let import = app.import("app/i", KeyType::HmacSha256, None, &[7; 32]);
    assert_ne!(outcome(import)?, Status::Ok);
    admin.import("app/i", KeyType::HmacSha256, None, &[7; 32])?;
    app.mac("app/i", b"d")?;
    assert_ne!(outcome(app.destroy("app/i", None))?, Status::Ok);
    assert_ne!(outcome(app.reload())?, Status::Ok);
    app.mac("app/i", b"d")?;
    assert_ne!(outcome(admin.sign("app/i", None, b"m"))?, Status::Ok);
    Ok(())
}

#[test]
fn an_imported_key_computes_what_its_bytes_say() -> Result<()> {
    let world = world()?;
    let (mut app, mut admin) = (world.application()?, world.admin()?);
    // RFC 4231, test case 1.
    admin
        .import("app/rfc", KeyType::HmacSha256, None, &[0x0b; 20])
        .ok();
    admin.import("app/mac", KeyType::HmacSha256, None, &[0xaa; 32])?;
    assert_eq!(app.mac("app/mac", b"x")?.tag.len(), 32);
    admin.import("app/ec", KeyType::EcP256, None, &[1; 32])?;
    let expected = p256::SecretKey::from_slice(&[1; 32])?.public_key();
    let spki = app.public_key("app/ec", None)?.spki;
    assert_eq!(p256::PublicKey::from_public_key_der(&spki)?, expected);
    assert_eq!(app.describe("app/ec")?.origin, Origin::Imported);
    Ok(())
}

#[test]
fn bad_material_is_refused_and_leaves_no_key() -> Result<()> {
    let world = world()?;
    let mut admin = world.admin()?;
    for (key_type, material) in [
        (KeyType::Aes256Gcm, &[1; 31][..]),
        (KeyType::EcP256, &[0; 32]),
        (KeyType::EcP256, &[0xff; 32]),
        (KeyType::Ed25519, &[1; 33]),
        (KeyType::Secret, &[]),
    ] {
        let refused = admin.import("app/bad", key_type, None, material);
        assert_eq!(outcome(refused)?, Status::Malformed, "{key_type}");
        assert_eq!(outcome(admin.describe("app/bad"))?, Status::KeyNotFound);
    }
    Ok(())
}

/// Another machine may hold the key and count the same nonces: each message has a key of its own
/// (XAES-256-GCM, algorithm 3 of the header), and a type that is too short for that is refused.
#[test]
fn an_imported_key_never_encrypts_under_a_counter() -> Result<()> {
    let world = world()?;
    let (mut app, mut admin) = (world.application()?, world.admin()?);
    admin.import("app/shared", KeyType::Aes256Gcm, None, &[9; 32])?;
    let ciphertext = app.encrypt("app/shared", b"plain", b"")?;
    assert_eq!(ciphertext[..4], [b'N', b'V', 1, 3]);
    admin.import("app/short", KeyType::Aes128Gcm, None, &[9; 16])?;
    let refused = app.encrypt("app/short", b"plain", b"");
    assert_eq!(outcome(refused)?, Status::WrongKeyType);
    Ok(())
}

#[test]
fn a_key_does_only_what_it_was_made_for() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    let only_sign = OperationSet::of(&[Operation::Sign, Operation::PublicKey]);
    app.generate("app/narrow", KeyType::EcP256, Some(only_sign))?;
    let signature = app.sign("app/narrow", None, b"m")?.signature;
    let verify = app.verify("app/narrow", None, None, b"m", &signature);
    assert_eq!(outcome(verify)?, Status::Denied);
    app.generate("app/mac", KeyType::HmacSha256, None)?;
    assert_eq!(
        outcome(app.sign("app/mac", None, b"m"))?,
        Status::WrongKeyType
    );
    assert_eq!(
        outcome(app.encrypt("app/mac", b"m", b""))?,
        Status::WrongKeyType
    );
    assert_eq!(outcome(app.release("app/mac", None))?, Status::WrongKeyType);
    Ok(())
}

#[test]
fn a_secret_leaves_only_where_its_policy_names_the_recipient() -> Result<()> {
    let world = World::start(Plan::vault(
        r#"
[[key]]
name = "app/named"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = @UID@ }]

[[key]]
name = "app/for-another"
type = "secret"
source = "local"
operations = ["release"]
release-to = [{ uid = 4242 }]

[[key]]
name = "app/for-nobody"
type = "secret"
source = "local"
operations = ["release"]
"#,
    ))?;
    let (mut app, mut admin) = (world.application()?, world.admin()?);
    for name in ["app/named", "app/for-another", "app/for-nobody", "app/free"] {
        admin.import(name, KeyType::Secret, None, b"a passphrase")?;
    }
    assert_eq!(&**app.release("app/named", None)?.secret, b"a passphrase");
    for name in ["app/for-another", "app/for-nobody", "app/free"] {
        assert_eq!(outcome(app.release(name, None))?, Status::Denied, "{name}");
    }
    Ok(())
}

#[test]
fn a_key_of_source_generate_is_made_on_first_use() -> Result<()> {
    let world = World::start(Plan::vault(
        r#"
[[key]]
name = "app/at-first-use"
type = "ec-p256"
source = "generate"
operations = ["sign", "verify", "public-key"]
"#,
    ))?;
    let mut app = world.application()?;
    let signature = app.sign("app/at-first-use", None, b"m")?.signature;
    app.verify("app/at-first-use", None, None, b"m", &signature)?;
    assert_eq!(app.describe("app/at-first-use")?.origin, Origin::Generated);
    Ok(())
}

#[test]
fn a_key_is_described_and_listed_as_it_is() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    for name in ["app/b", "app/a", "other/c"] {
        app.generate(name, KeyType::Ed25519, None)?;
    }
    app.sign("app/a", None, b"m")?;
    let description = app.describe("app/a")?;
    assert_eq!(description.key_type, KeyType::Ed25519);
    assert_eq!(description.state, KeyState::Enabled);
    assert_eq!(description.origin, Origin::Generated);
    assert_eq!(description.versions.len(), 1);
    assert_eq!(description.versions[0].uses, 1);
    let listing = app.list("app/", None, 256)?;
    let names: Vec<&str> = listing
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(names, ["app/a", "app/b"]);
    assert!(!listing.more);
    let first = app.list("", None, 1)?;
    assert_eq!(first.entries.len(), 1);
    assert!(first.more);
    Ok(())
}

#[test]
fn a_missing_key_is_said_to_be_missing_at_once() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    assert_eq!(
        outcome(app.sign("app/none", None, b"m"))?,
        Status::KeyNotFound
    );
    Ok(())
}

#[test]
fn status_says_what_the_vault_is_and_that_its_evidence_is_simulated() -> Result<()> {
    let world = world()?;
    let mut app = world.application()?;
    app.generate("app/k", KeyType::EcP256, None)?;
    let status = app.status()?;
    assert_eq!(status.keys, 1);
    assert_eq!(status.tee, "sample");
    assert!(!status.agent_connected);
    assert_eq!(status.records_size, 3 << 20);
    assert!(
        status
            .warnings
            .iter()
            .any(|warning| warning.contains("sample") || warning.contains("simulat")),
        "nothing warns of sample evidence: {:?}",
        status.warnings
    );
    Ok(())
}

#[test]
fn requests_may_be_pipelined_on_one_connection() -> Result<()> {
    let world = world()?;
    world
        .application()?
        .generate("app/k", KeyType::HmacSha256, None)?;
    let mut asker = Asker::connect(&world.path("vhsm.sock"), Duration::ZERO)?;
    let call = nitride_protocol::application::Mac {
        key: nitride_protocol::KeyName::parse("app/k")?,
        data: b"data",
    };
    let ids = (0..50)
        .map(|_| asker.send(&call))
        .collect::<Result<Vec<u32>>>()?;
    for id in ids {
        assert_eq!(asker.answer_to(id)?.status, Status::Ok);
    }
    let status = asker.ask(&nitride_protocol::application::StatusRequest::default())?;
    assert_eq!(status.result::<VaultStatus<'_>>()?.keys, 1);
    Ok(())
}

#[test]
fn a_restart_asked_for_is_answered_by_a_clean_end() -> Result<()> {
    let mut world = world()?;
    let mut app = world.application()?;
    app.generate("app/k", KeyType::EcP256, None)?;
    let vhsmd = world.vhsmd.take().context("vhsmd runs")?;
    let status = vhsmd.stop()?;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(app.sign("app/k", None, b"m").is_err());
    Ok(())
}
