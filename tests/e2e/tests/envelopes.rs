//! Envelopes: what a delivered resource must say about itself, and what it may.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_e2e::three;
use nitride_protocol::{KeyState, KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::world::{World, outcome};
use std::time::Duration;

fn rounds(world: &World) -> Result<usize> {
    Ok(world.relay()?.count("POST", "/kbs/v0/auth"))
}

#[test]
fn an_unsigned_resource_is_refused_unless_the_policy_says_that_it_may_be() -> Result<()> {
    let world = World::start(Plan::chain(&format!(
        "{}{}",
        three::keys(),
        r#"
[[key]]
name = "app/plain"
type = "secret"
source = "kbs:///demo/plain/one"
service = "main"
unsigned = "accept"
operations = ["release"]
release-to = [{ uid = @UID@ }]
"#
    )))?;
    let owner = world.owner();
    owner.deposit_raw("demo/plain/one", b"plain bytes")?;
    owner.deposit_raw("demo/secret/one", b"plain bytes")?;
    let mut app = world.application()?;
    assert_eq!(&**app.release("app/plain", None)?.secret, b"plain bytes");
    assert_eq!(
        outcome(app.release("app/secret", None))?,
        Status::ResourceRefused
    );
    let warned = app
        .status()?
        .warnings
        .iter()
        .any(|text| text.contains("without its owner's signature"));
    assert!(
        warned,
        "status does not say that an unsigned resource is accepted"
    );
    Ok(())
}

#[test]
fn an_envelope_that_differs_in_any_field_from_what_was_asked_is_refused() -> Result<()> {
    let world = World::start(Plan::chain(&three::keys()))?;
    let owner = world.owner();
    let signer = owner.signing_key()?;
    let good = Deposit::secret("demo/secret/one", b"correct horse battery staple");
    for (what, deposit) in [
        (
            "type",
            Deposit {
                key_type: KeyType::HmacSha256,
                ..good.clone()
            },
        ),
        (
            "tenant",
            Deposit {
                tenant: Some("another"),
                ..good.clone()
            },
        ),
        (
            "path",
            Deposit {
                signed_path: Some("demo/secret/two"),
                ..good.clone()
            },
        ),
        (
            "end",
            Deposit {
                not_after_secs: Some(1_000_000_000),
                ..good.clone()
            },
        ),
    ] {
        owner.deposit_forged(&deposit, &signer, &signer.kid()?)?;
        let refused = refused_release(&world)?;
        assert_eq!(refused, Status::ResourceRefused, "{what}");
    }
    let stranger = nitride_support::forge::Signatory::numbered(9)?;
    owner.deposit_forged(&good, &stranger, &signer.kid()?)?;
    assert_eq!(
        refused_release(&world)?,
        Status::ResourceRefused,
        "another key"
    );
    owner.deposit_forged(&good, &signer, &stranger.kid()?)?;
    assert_eq!(
        refused_release(&world)?,
        Status::ResourceRefused,
        "another kid"
    );
    owner.deposit(&good)?;
    let mut app = world.application()?;
    wait_until("the good one is taken", Duration::from_secs(40), || {
        Ok(outcome(app.release("app/secret", None))? == Status::Ok)
    })
}

/// The status of a release that waits out the back-off of what was tried before: each try is a
/// round of its own.
fn refused_release(world: &World) -> Result<Status> {
    let before = rounds(world)?;
    let mut app = world.application()?;
    let mut status = Status::Ok;
    wait_until("a round of its own", Duration::from_secs(40), || {
        status = outcome(app.release("app/secret", None))?;
        Ok(status == Status::Ok || rounds(world)? > before)
    })?;
    Ok(status)
}

#[test]
fn what_the_envelope_does_not_allow_the_policy_cannot_give() -> Result<()> {
    let world = World::start(Plan::chain(&three::keys()))?;
    let owner = world.owner();
    let mut narrow = Deposit::key("demo/key/signing", KeyType::EcP256, &[5; 32]);
    narrow.operations = &["public-key"];
    owner.deposit(&narrow)?;
    let mut secret = Deposit::secret("demo/secret/one", b"a passphrase");
    secret.release_to = vec!["uid:4242".to_owned()];
    owner.deposit(&secret)?;
    let mut app = world.application()?;
    app.public_key("app/signing", None)?;
    assert_eq!(
        outcome(app.sign("app/signing", None, b"m"))?,
        Status::Denied
    );
    assert_eq!(outcome(app.release("app/secret", None))?, Status::Denied);
    Ok(())
}

#[test]
fn a_lease_ends_and_the_key_is_fetched_anew() -> Result<()> {
    let leased = three::keys().replace(
        "operations = [\"mac\"",
        "lease = \"1s\"\noperations = [\"mac\"",
    );
    let mut world = World::start(Plan::chain(&leased))?;
    three::deposit(&world)?;
    let mut app = world.application()?;
    app.mac("app/mac", b"d")?;
    assert_eq!(rounds(&world)?, 1);
    let left = app.describe("app/mac")?.lease_secs_left;
    assert!(left.is_some_and(|secs| secs <= 1), "{left:?}");
    wait_until("the lease ends", Duration::from_secs(10), || {
        Ok(app.describe("app/mac")?.state == KeyState::Pending)
    })?;
    app.mac("app/mac", b"d")?;
    // And one more where the lease was renewed, since the key had been used; so short a one may end before.
    let rounds = rounds(&world)?;
    assert!((2..=3).contains(&rounds), "{rounds}");
    // Revoked meanwhile: what the service no longer gives leaves the vault.
    world.service.take().context("the service runs")?.stop()?;
    wait_until("the lease ends again", Duration::from_secs(10), || {
        Ok(app.describe("app/mac")?.state == KeyState::Pending)
    })?;
    let mut hasty = world.application_waiting(Duration::from_secs(1))?;
    assert_ne!(outcome(hasty.mac("app/mac", b"d"))?, Status::Ok);
    Ok(())
}

#[test]
fn a_version_older_than_one_that_was_held_is_refused_as_a_replay() -> Result<()> {
    let leased = three::keys().replace(
        "operations = [\"mac\"",
        "lease = \"1s\"\noperations = [\"mac\"",
    );
    let world = World::start(Plan::chain(&leased))?;
    let owner = world.owner();
    let mut second = Deposit::key("demo/key/mac", KeyType::HmacSha256, &[2; 32]);
    second.version = 2;
    owner.deposit(&second)?;
    let mut app = world.application()?;
    assert_eq!(app.mac("app/mac", b"d")?.version, 2);
    owner.deposit(&Deposit::key("demo/key/mac", KeyType::HmacSha256, &[1; 32]))?;
    wait_until("the lease ends", Duration::from_secs(10), || {
        Ok(app.describe("app/mac")?.state == KeyState::Pending)
    })?;
    assert_eq!(outcome(app.mac("app/mac", b"d"))?, Status::ResourceRefused);
    Ok(())
}
