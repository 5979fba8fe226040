//! What a list that drops a key leaves of the versions that were taken before.

use super::*;

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
