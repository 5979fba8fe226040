//! What a list that drops a key leaves of the versions that were taken before.

use super::*;
use crate::ListTaken;

/// The versions of the signing key that are here with their material.
fn held(world: &World) -> Vec<u32> {
    let key = world.vault.keys.find(SIGNING).unwrap().unwrap();
    let body = key.read().unwrap();
    let here = body.versions.iter().filter(|v| v.material().is_some());
    here.map(|version| version.number).collect()
}

/// Lets the list grow too old, so that the next round is for the key, and brings both.
fn bring_again(world: &World, list: &[u8], envelope: &[u8]) -> Told {
    world.wait_ms(MAX_AGE_MS + 1);
    let (of_list, of_key) = bring(world, Some(list), envelope);
    of_list.unwrap();
    of_key
}

fn older(told: &Told) -> Option<u32> {
    match told {
        Err(ResourceFault::OlderVersion { held }) => Some(*held),
        _ => None,
    }
}

#[test]
fn a_list_that_drops_a_key_does_not_reset_the_versions_of_the_others() {
    let world = World::under(listed());
    let both = signed(&list(1, None, &[FIRST, SECOND]));
    for (number, version) in [(SECOND, 1), (SECOND, 2), (FIRST, 9)] {
        bring_again(&world, &both, &envelope_of(number, version)).unwrap();
    }
    let second = signed(&list(2, Some(&both), &[SECOND]));
    take(&world, &second);
    let refused = bring_again(&world, &second, &envelope_of(SECOND, 1));
    assert_eq!(older(&refused), Some(2));
    bring_again(&world, &second, &envelope_of(SECOND, 2)).unwrap();
    assert_eq!(held(&world), [1, 2]);
}

/// The first key until a moment, and the second from then on.
fn one_after_the_other(moment: u64) -> Vec<u8> {
    let mut list = list(1, None, &[FIRST, SECOND]);
    list.keys[0].until_secs = Some(moment - 1);
    list.keys[1].from_secs = moment;
    signed(&list)
}

#[test]
fn a_wall_clock_that_is_put_back_brings_no_older_version_back() {
    let world = World::under(listed());
    let moment = world.now().wall_secs;
    let list = one_after_the_other(moment);
    bring_again(&world, &list, &envelope_of(SECOND, 2)).unwrap();
    world.wall_secs.set(moment - 1);
    assert!(is_missing(&world), "who vouches for it does not count yet");
    let refused = bring_again(&world, &list, &envelope_of(FIRST, 1));
    assert_eq!(older(&refused), Some(2));
    world.wall_secs.set(moment);
    assert!(!is_missing(&world));
    assert_eq!(held(&world), [2]);
}

#[test]
fn a_version_whose_signers_time_is_over_is_signed_anew() {
    let world = World::under(listed());
    let moment = world.now().wall_secs;
    let list = one_after_the_other(moment);
    world.wall_secs.set(moment - 1);
    bring_again(&world, &list, &envelope_of(FIRST, 2)).unwrap();
    world.wall_secs.set(moment);
    assert!(is_missing(&world));
    bring_again(&world, &list, &envelope_of(SECOND, 2)).unwrap();
    assert!(!is_missing(&world));
    assert_eq!(held(&world), [2]);
}

#[test]
fn a_list_that_is_held_back_until_it_is_too_old_brings_no_older_version_back() {
    let mut set = listed();
    set.keys[0].signer.push("stranger".into());
    let world = World::under(set);
    let first = signed(&list(1, None, &[FIRST]));
    bring_again(&world, &first, &envelope_of(FIRST, 2)).unwrap();
    world.wait_ms(MAX_AGE_MS + 1);
    assert!(is_missing(&world));
    let fields = service::fields(SIGNING_PATH, &SCALAR);
    let older_one = service::signed_by(STRANGER, b"stranger", &fields);
    let (_, of_key) = bring(&world, None, &older_one);
    assert_eq!(older(&of_key), Some(2));
}

/// What an audit has of it: each list once, and nothing of one that comes again.
#[test]
fn a_list_that_was_not_here_is_given_to_who_writes_the_audit() {
    let world = World::under(listed());
    let first = list(1, None, &[FIRST]);
    let (first, digest) = (
        signed(&first),
        UnverifiedSignerList::parse(&signed(&first))
            .unwrap()
            .digest(),
    );
    let taken = || {
        world.vault.agent_connected();
        let name = "owner".to_owned();
        let round = world.challenged(&Want::Signers { name });
        let jwe = service::encrypt(&round.evidence.tee_pubkey_jwk, &first);
        let (id, draw) = (&round.order.round, &mut world.draw());
        let vault = &world.vault;
        let taken = vault.accept_resource(id, LIST_PATH, &jwe, world.now(), draw);
        world.finish(id);
        taken.unwrap()
    };
    let expected = ListTaken {
        signer: "owner".into(),
        serial: 1,
        digest,
        keys: 1,
    };
    assert_eq!(taken(), Some(expected));
    assert_eq!(taken(), None);
}
