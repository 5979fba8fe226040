//! What an administrator is told of the policy: checked, explained, and why.

use crate::kernel::{STRANGER, as_user};
use crate::vault::world;
use anyhow::{Context, Result};
use nitride_protocol::Operation;
use nitride_protocol::admin::PeerClaim;
use nitride_support::unit::is_root_or_says_so;

/// The number after `name=` in the last line of the log that has both words.
fn last_number(log: &str, word: &str, name: &str) -> Option<u64> {
    let line = log.lines().rev().find(|line| line.contains(word))?;
    let value = line.split(&format!("{name}=")).nth(1)?;
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[test]
fn a_denial_is_explained_by_its_connection_and_request() -> Result<()> {
    if !is_root_or_says_so("a_denial_is_explained_by_its_connection_and_request") {
        return Ok(());
    }
    let world = world("unit = \"nitride-e2e-why.service\"")?;
    let output = world.vhsm(&as_user(STRANGER), &["sign", "app/k"], b"m")?;
    assert_eq!(output.status.code(), Some(1));
    let log = world.logs();
    let refused = "request refused";
    let connection = last_number(&log, refused, "connection").context("a connection")?;
    let request = last_number(&log, refused, "request").context("a request")?;
    let mut admin = world.admin()?;
    let because = admin.why(connection, u32::try_from(request)?)?;
    let tells = |text: &str| because.iter().any(|line| line.contains(text));
    assert!(tells("sign on app/k was refused: denied"), "{because:#?}");
    assert!(tells("no rule grants the peer sign there"), "{because:#?}");
    assert!(tells("asked by uid 4321"), "{because:#?}");
    assert!(
        tells("rule tested grants sign, but not to the peer"),
        "{because:#?}"
    );
    // What was not refused, or is forgotten, has no reason.
    assert!(admin.why(connection, 999_999)?.is_empty());
    assert!(admin.why(u64::MAX, 0)?.is_empty());
    // Nobody else may ask.
    assert!(world.application()?.why(connection, 1).is_err());
    Ok(())
}

#[test]
fn a_peer_that_is_not_there_is_explained_and_a_file_is_checked() -> Result<()> {
    if !is_root_or_says_so("a_peer_that_is_not_there_is_explained_and_a_file_is_checked") {
        return Ok(());
    }
    let world = world("unit = \"nitride-e2e-why.service\"")?;
    let mut admin = world.admin()?;
    let of_unit = PeerClaim {
        uid: Some(STRANGER),
        unit: Some("nitride-e2e-why.service"),
        ..PeerClaim::default()
    };
    let told = admin.explain("app/k", Operation::Sign, of_unit)?;
    assert!(told.allowed, "{:#?}", told.because);
    let told = admin.explain("app/k", Operation::Sign, PeerClaim::default())?;
    assert!(!told.allowed, "{:#?}", told.because);

    let good = "[[rule]]\nname = \"more\"\nkeys = [\"more/*\"]\npeers = [{ uid = 1 }]\n\
         operations = [\"sign\"]\n";
    assert!(admin.check_policy("more.toml", good)?.is_empty());
    let bad = good.replace("uid", "gate");
    let faults = admin.check_policy("more.toml", &bad)?;
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("more.toml:4: unknown field"),
        "{faults:?}"
    );
    // Nothing of it is in force.
    let told = admin.explain(
        "more/k",
        Operation::Sign,
        PeerClaim {
            uid: Some(1),
            ..PeerClaim::default()
        },
    )?;
    assert!(!told.allowed);
    Ok(())
}
