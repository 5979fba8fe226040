//! The heads of vaults' audits: bound, compared, written, and refused where that is wanted.

use super::audit::entries;
use super::world::{Guest, Plan, World};
use crate::audit::entry::Kind;
use crate::audit::{Audit, AuditSettings, Sync, WhenFull};
use crate::identity::IdentityClaim;
use crate::jwe::opening;
use crate::witness::{OnFork, WitnessSettings};
use base64ct::{Base64, Encoding};
use nitride_kbs::audit_head::AuditHead;
use nitride_kbs::messages::{Attestation, Request, parse_challenge};
use nitride_kbs::report_data::report_data_with_head;
use std::path::Path;

/// A service that knows machines by a claim, which all of the tests' have in common, or by none of theirs.
fn world(folder: &Path, claim: &str, on_fork: OnFork) -> World {
    let settings = AuditSettings {
        folder: folder.join("audit"),
        files: 8,
        file_len: 1 << 20,
        sync: Sync::Entry,
        full: WhenFull::Refuse,
    };
    World::of(Plan {
        audit: Audit::open(Some(&settings), 1).unwrap(),
        witness: Some(WitnessSettings {
            identity: vec![IdentityClaim::parse(claim).unwrap()],
            on_fork,
        }),
        ..Plan::default()
    })
}

fn head(sequence: u64, digest: u8) -> AuditHead {
    AuditHead {
        sequence,
        digest: [digest; 32],
    }
}

/// What a guest sends whose evidence binds `head`.
fn attestation(guest: &Guest, svn: &str, head: Option<AuditHead>) -> Attestation {
    let key = opening::public(&guest.key);
    let bound = report_data_with_head(&guest.nonce, &key, "", head.as_ref());
    let report_data = Base64::encode_string(&bound);
    let evidence = serde_json::json!({ "svn": svn, "report_data": report_data }).to_string();
    let composed = Attestation::compose(&guest.nonce, &key.to_jwk_json(), &evidence, "", None);
    composed.unwrap().with_audit_head(head)
}

fn attest(world: &World, head: Option<AuditHead>) -> super::world::Answer {
    // Later than every challenge before it, and than clocks may differ.
    world.turn_clock(10);
    let guest = Guest::challenged(world);
    guest.send(world, &attestation(&guest, "1", head))
}

/// Outcome and what of every entry of a witness.
fn witnessed(folder: &Path) -> Vec<(String, String)> {
    let (entries, _) = entries(folder);
    let of_witness = entries.into_iter().filter(|entry| entry.0 == Kind::Witness);
    of_witness.map(|entry| (entry.3, entry.2)).collect()
}

#[test]
fn a_head_is_compared_with_the_one_before_it_and_is_in_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "sample.svn", OnFork::Note);
    let said = [
        Some(head(3, 1)),
        Some(head(7, 2)),
        Some(head(7, 3)),
        Some(head(2, 4)),
        None,
    ];
    for head in said {
        assert_eq!(attest(&world, head).status, 200);
    }
    let found = witnessed(folder.path());
    let outcomes: Vec<&str> = found.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["ok", "ok", "forked", "went-back", "withheld"]);
    assert_eq!(found[0].1, format!("sample.svn=1 {}", head(3, 1)));
    assert_eq!(found[4].1, "sample.svn=1 -");
    let (_, text) = entries(folder.path());
    assert!(
        text.contains(&format!("witnessed before: {}", head(7, 2))),
        "{text}"
    );
}

#[test]
fn a_courier_can_neither_change_a_head_nor_leave_it_out_nor_put_one_in() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "sample.svn", OnFork::Note);
    for (bound, sent) in [
        (Some(head(9, 1)), Some(head(9, 2))),
        (Some(head(9, 1)), Some(head(8, 1))),
        (Some(head(9, 1)), None),
        (None, Some(head(9, 1))),
    ] {
        let guest = Guest::challenged(&world);
        let forged = attestation(&guest, "1", bound).with_audit_head(sent);
        guest
            .send(&world, &forged)
            .assert_refused(401, "AttestationError");
    }
    assert_eq!(witnessed(folder.path()), []);
}

#[test]
fn where_a_fork_is_refused_there_is_no_token_and_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "sample.svn", OnFork::Refuse);
    assert_eq!(attest(&world, Some(head(9, 1))).status, 200);
    for other in [head(9, 2), head(3, 1)] {
        attest(&world, Some(other)).assert_refused(401, "AttestationError");
    }
    assert_eq!(attest(&world, Some(head(10, 5))).status, 200);
    let outcomes: Vec<String> = witnessed(folder.path())
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(outcomes, ["ok", "forked", "went-back", "ok"]);
}

#[test]
fn of_two_rounds_at_a_time_the_one_that_comes_last_is_no_fork() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "sample.svn", OnFork::Refuse);
    let slow = Guest::challenged(&world);
    assert_eq!(attest(&world, Some(head(9, 1))).status, 200);
    let older = attestation(&slow, "1", Some(head(8, 1)));
    assert_eq!(slow.send(&world, &older).status, 200);
    assert_eq!(witnessed(folder.path())[1].0, "overtaken");
}

#[test]
fn a_machine_without_the_claim_is_in_the_audit_and_compared_with_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "snp.report_id", OnFork::Refuse);
    for (number, digest) in [(9, 1), (3, 2)] {
        assert_eq!(attest(&world, Some(head(number, digest))).status, 200);
    }
    assert_eq!(attest(&world, None).status, 200);
    let found = witnessed(folder.path());
    assert_eq!(
        found[0],
        ("unnamed".to_owned(), format!("- {}", head(9, 1)))
    );
    assert_eq!(found[1].0, "unnamed");
    assert_eq!(found.len(), 2);
}

#[test]
fn of_a_machine_that_the_policy_does_not_want_nothing_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), "sample.svn", OnFork::Refuse);
    let guest = Guest::challenged(&world);
    let unwanted = attestation(&guest, "0", Some(head(9, 1)));
    assert_eq!(guest.send(&world, &unwanted).status, 200);
    assert_eq!(witnessed(folder.path()), []);
}

#[test]
fn only_who_is_configured_to_witness_offers_it() {
    let folder = tempfile::tempdir().unwrap();
    let offers = |world: &World| {
        let request = Request::new("sample").to_json();
        let answer = world.post("/kbs/v0/auth", &[], request.as_bytes());
        parse_challenge(&answer.body)
            .unwrap()
            .witnesses_audit_head()
    };
    assert!(offers(&world(folder.path(), "sample.svn", OnFork::Note)));
    assert!(!offers(&World::start()));
}
