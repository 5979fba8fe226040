use super::world::*;
use crate::rounds::{RoundError, RoundId};
use nitride_kbs::report_data::{device_report_data, report_data};
use nitride_kbs::tee_key::TeePublicKey;
use nitride_protocol::limits::MAX_NONCE_LEN;

#[test]
fn evidence_is_wanted_over_the_nonce_and_the_key_of_this_round() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let public = TeePublicKey::parse(&round.evidence.tee_pubkey_jwk).unwrap();
    for additional in ["", "{\"nvidia\":{}}"] {
        let wanted = report_data(NONCE, &public, additional);
        assert_eq!(round.evidence.report_data(additional, None), wanted);
    }
    let wanted = device_report_data(NONCE, &public);
    assert_eq!(round.evidence.device_data(), wanted);
}

#[test]
fn each_round_has_a_key_of_its_own() {
    let world = World::new();
    let first = world.challenged(&key(SIGNING));
    let second = world.challenged(&key(SECRET));
    assert_ne!(
        first.evidence.tee_pubkey_jwk,
        second.evidence.tee_pubkey_jwk
    );
    assert_ne!(
        first.evidence.report_data("", None),
        second.evidence.report_data("", None)
    );
    assert_ne!(first.evidence.device_data(), second.evidence.device_data());
}

#[test]
fn a_second_challenge_is_refused_and_the_first_one_counts() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    for nonce in [NONCE, "another"] {
        assert!(matches!(
            world
                .vault
                .challenge(&round.order.round, nonce, &[], world.now()),
            Err(RoundError::AlreadyChallenged)
        ));
    }
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
}

#[test]
fn a_nonce_of_no_or_too_many_bytes_is_refused_and_the_round_stays() {
    let world = World::new();
    world.want(&key(SIGNING)).unwrap();
    let round = world.order().unwrap().round;
    let challenge = |nonce: &str| world.vault.challenge(&round, nonce, &[], world.now());
    assert!(matches!(challenge(""), Err(RoundError::EmptyNonce)));
    let long = "n".repeat(MAX_NONCE_LEN + 1);
    assert!(matches!(
        challenge(&long),
        Err(RoundError::NonceTooLong { .. })
    ));
    assert!(challenge(NONCE).is_ok());
}

#[test]
fn nothing_is_taken_before_the_challenge() {
    let world = World::new();
    world.want(&key(SIGNING)).unwrap();
    world.want(&gate()).unwrap();
    let round = world.order().unwrap().round;
    assert!(matches!(
        world.deliver_jwe(&round, SIGNING_PATH, b"{}"),
        Err(RoundError::NotChallenged)
    ));
    assert!(matches!(
        world.vault.accept_result(&round, "a.b.c", world.now()),
        Err(RoundError::NotChallenged)
    ));
    assert!(
        world
            .vault
            .challenge(&round, NONCE, &[], world.now())
            .is_ok()
    );
}

#[test]
fn an_order_that_nobody_took_cannot_be_challenged() {
    let world = World::new();
    let round = world.want(&key(SIGNING)).unwrap();
    assert!(matches!(
        world.vault.challenge(&round, NONCE, &[], world.now()),
        Err(RoundError::UnknownRound)
    ));
}

#[test]
fn nothing_is_taken_for_an_unknown_or_ended_round() {
    let world = World::new();
    let ended = world.challenged(&key(SIGNING)).order.round;
    world.finish(&ended);
    for round in [RoundId([0xee; 16]), ended] {
        let unknown = |result| matches!(result, Err(RoundError::UnknownRound));
        let now = world.now();
        assert!(unknown(
            world.vault.challenge(&round, NONCE, &[], now).map(drop)
        ));
        assert!(unknown(world.vault.accept_result(&round, "t", now)));
        assert!(unknown(world.deliver_jwe(&round, SIGNING_PATH, b"{}")));
        let class = nitride_protocol::agent::FailureClass::Refused;
        assert!(unknown(
            world.vault.record_failure(&round, None, class, 0, now)
        ));
        assert!(world.finish(&round).is_empty());
    }
}
