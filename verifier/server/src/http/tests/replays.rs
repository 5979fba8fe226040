//! Challenges that are answered more than once, at one replica and at two.

use super::world::{Guest, PATH, SECRET, World, fetch};
use crate::entropy::KernelEntropy;
use crate::key_file::draw_p256;
use std::sync::Barrier;

/// Another TEE with the same challenge, and evidence of its own.
fn second(first: &Guest) -> Guest {
    Guest {
        key: draw_p256(&mut KernelEntropy).unwrap(),
        nonce: first.nonce.clone(),
        cookie: first.cookie.clone(),
    }
}

#[test]
fn a_challenge_is_answered_again_for_its_own_key_until_it_dies() {
    let world = World::start();
    world.put(PATH, SECRET);
    let guest = Guest::challenged(&world);
    for _ in 0..2 {
        let answer = fetch(&world, PATH, &guest.token(&world, "1"));
        assert_eq!(guest.open(&answer).as_deref(), Some(SECRET));
    }
    world.turn_clock(61);
    let answer = guest.attest(&world, "1");
    answer.assert_refused(401, "SessionError");
    assert!(answer.error().detail.contains("expired"));
}

#[test]
fn a_challenge_is_not_answered_for_a_second_key() {
    let world = World::start();
    let first = Guest::challenged(&world);
    let second = second(&first);
    first.token(&world, "1");
    let answer = second.attest(&world, "1");
    answer.assert_refused(401, "SessionError");
    assert!(answer.error().detail.contains("another key"));
    // The first is none the worse for it.
    first.token(&world, "1");
}

#[test]
fn evidence_that_does_not_verify_takes_no_challenge_away() {
    let world = World::start();
    let first = Guest::challenged(&world);
    let thief = second(&first);
    let mut stolen = thief.attestation("1");
    stolen.tee_evidence = first.attestation("1").tee_evidence;
    thief
        .send(&world, &stolen)
        .assert_refused(401, "AttestationError");
    first.token(&world, "1");
}

#[test]
fn of_racing_attests_with_different_keys_one_gets_a_token() {
    let world = World::start();
    let first = Guest::challenged(&world);
    let racers: Vec<Guest> = (0..6).map(|_| second(&first)).collect();
    let begin = Barrier::new(racers.len());
    let statuses = std::thread::scope(|scope| {
        let racing: Vec<_> = racers
            .iter()
            .map(|racer| {
                scope.spawn(|| {
                    begin.wait();
                    racer.attest(&world, "1").status
                })
            })
            .collect();
        let statuses = racing.into_iter().map(|racer| racer.join().unwrap());
        statuses.collect::<Vec<_>>()
    });
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(200), count(401)), (1, racers.len() - 1));
}

#[test]
fn two_replicas_that_answer_two_keys_give_each_what_is_its_own() {
    let (one, two) = (World::start(), World::start());
    let first = Guest::challenged(&one);
    let second = second(&first);
    let answers = [(&one, &first), (&two, &second)].map(|(world, guest)| {
        world.put(PATH, SECRET);
        fetch(world, PATH, &guest.token(world, "1"))
    });
    assert_eq!(first.open(&answers[0]).as_deref(), Some(SECRET));
    assert_eq!(second.open(&answers[1]).as_deref(), Some(SECRET));
    assert_eq!(first.open(&answers[1]), None);
    assert_eq!(second.open(&answers[0]), None);
}
