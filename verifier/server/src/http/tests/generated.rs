//! What is made for each machine, over the protocol. Sample evidence stands in for a machine's own: its svn is
//! the identity, since a rule says so.

use super::world::{ADMIN, Guest, Plan, World, fetch};
use crate::revocation::Kind;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use nitride_kbs::envelope::UnverifiedEnvelope;
use std::sync::Arc;

const MADE: &str = "demo/secret/root";
const GENERATE: &str = "version = 1\nsigning-key = \"k\"\n[[secret]]\nname = \"demo\"\n\
    resources = [\"demo/secret/root\", \"other/secret/root\"]\nidentity = { sample = [\"svn\"] }\n\
    danger-allow-simulated = true\ntype = \"secret\"\nform = \"bytes\"\nbytes = 32\n\
    operations = [\"release\"]\nrelease-to = []\nwrappable-by = []\nlease-secs = 60\nmax-machines = 9\n";

fn world(store: Arc<dyn Store>, generate: &str) -> World {
    World::of(Plan {
        store,
        generate: Some(generate.to_owned()),
        ..Plan::default()
    })
}

/// What a machine of this svn has as its secret now.
fn secret_of(world: &World, svn: &str) -> Vec<u8> {
    let guest = Guest::challenged(world);
    let answer = fetch(world, MADE, &guest.token(world, svn));
    let envelope = guest.open(&answer).unwrap();
    let envelope = UnverifiedEnvelope::parse(&envelope).unwrap();
    let envelope = envelope.verified_by(|_, _| true).unwrap();
    assert_eq!(envelope.fields().path, MADE);
    envelope.fields().material.to_vec()
}

#[test]
fn a_machine_gets_its_own_secret_from_every_replica_and_every_time() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let replicas = [world(store.clone(), GENERATE), world(store, GENERATE)];
    let first = secret_of(&replicas[0], "1");
    assert_eq!(secret_of(&replicas[0], "1"), first);
    assert_eq!(secret_of(&replicas[1], "1"), first);
    let other = secret_of(&replicas[1], "2");
    assert_ne!(other, first);
    assert_eq!(secret_of(&replicas[0], "2"), other);
}

#[test]
fn who_proves_no_machine_gets_nothing_and_learns_why() {
    let refused = GENERATE.replace("{ sample = [\"svn\"] }", "{ tpm = [\"ak_sha256\"] }");
    let only_real = refused.replace("simulated = true", "simulated = false");
    for (generate, told) in [(refused, "sample"), (only_real, "simulated")] {
        let world = world(Arc::new(MemoryStore::default()), &generate);
        let guest = Guest::challenged(&world);
        let answer = fetch(&world, MADE, &guest.token(&world, "1"));
        answer.assert_refused(401, "PolicyDeny");
        assert!(answer.error().detail.contains(told));
    }
}

#[test]
fn the_resource_policy_decides_before_anything_is_made() {
    let store = Arc::new(MemoryStore::default());
    let world = world(store.clone(), GENERATE);
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    fetch(&world, "other/secret/root", &token).assert_refused(401, "PolicyDeny");
    let made = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(crate::generated::list(store.as_ref(), None));
    assert!(made.unwrap().is_empty());
}

#[test]
fn a_machine_that_is_revoked_gets_its_secret_no_more_and_the_others_theirs() {
    let world = world(Arc::new(MemoryStore::default()), GENERATE);
    let before = secret_of(&world, "1");
    secret_of(&world, "2");
    let guest = Guest::challenged(&world);
    let token = guest.token(&world, "1");
    world.revoke(Kind::Vm, "sample.svn=1");
    world.turn_clock(5);
    // A token from before is no better than a new one.
    fetch(&world, MADE, &token).assert_refused(401, "PolicyDeny");
    let again = Guest::challenged(&world);
    again.attest(&world, "1").assert_refused(401, "PolicyDeny");
    assert_ne!(secret_of(&world, "2"), before);
}

#[test]
fn nobody_stores_anything_in_the_place_of_what_is_made() {
    let world = world(Arc::new(MemoryStore::default()), GENERATE);
    let bearer = format!("Bearer {ADMIN}");
    let path = format!("/kbs/v0/resource/{MADE}");
    let stored = world.post(&path, &[("Authorization", &bearer)], b"x");
    stored.assert_refused(400, "InvalidRequestPath");
    // And what lay there before is not served.
    world.put(MADE, b"x");
    assert_eq!(secret_of(&world, "1").len(), 32);
}
