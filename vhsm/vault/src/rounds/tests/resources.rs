use super::service::{KID, STRANGER, fields, signed, signed_by};
use super::world::*;
use crate::keys::Noted;
use crate::policy::{PolicySet, ReleaseTo};
use crate::rounds::{ResourceFault, RoundError, RoundFailure};
use nitride_kbs::envelope::EnvelopeFields;
use nitride_protocol::{Operation, OperationSet, Status};

/// Delivers `plaintext` as the signing key; gives what the courier is told, after checking that
/// the want settles likewise and that nothing was committed on a refusal.
fn refused(world: &World, plaintext: &[u8]) -> ResourceFault {
    let before = world.held(SIGNING);
    let round = world.challenged(&key(SIGNING));
    let error = world.deliver(&round, SIGNING_PATH, plaintext).unwrap_err();
    assert_eq!(error.status(), Status::ResourceRefused);
    let settled = only(world.finish(&round.order.round));
    let failure = settled.outcome.unwrap_err();
    assert_eq!(failure.status(), Status::ResourceRefused);
    assert!(matches!(failure, RoundFailure::ResourceRefused(_)));
    assert_eq!(world.held(SIGNING), before);
    world.vault.agent_connected();
    match error {
        RoundError::Resource(fault) => fault,
        other => panic!("{other:?}"),
    }
}

fn taken(world: &World, plaintext: &[u8]) {
    let round = world.challenged(&key(SIGNING));
    world.deliver(&round, SIGNING_PATH, plaintext).unwrap();
    assert!(only(world.finish(&round.order.round)).outcome.is_ok());
}

fn changed(change: impl FnOnce(&mut EnvelopeFields<'_>)) -> Vec<u8> {
    let mut fields = fields(SIGNING_PATH, &SCALAR);
    change(&mut fields);
    signed(&fields)
}

/// Makes the signing key missing again, as the end of a lease does.
fn expiring() -> PolicySet {
    let mut policy = policy();
    policy.keys[0].lease_secs = Some(60);
    policy
}

#[test]
fn two_resources_that_were_swapped_are_both_refused() {
    let world = World::new();
    world.want(&key(SECRET)).unwrap();
    let round = world.challenged(&key(SIGNING));
    let secret = signed(&EnvelopeFields {
        key_type: "secret",
        ..fields(SECRET_PATH, b"hunter2")
    });
    for (path, plaintext) in [(SIGNING_PATH, &secret), (SECRET_PATH, &signing_envelope())] {
        assert!(matches!(
            world.deliver(&round, path, plaintext),
            Err(RoundError::Resource(ResourceFault::OtherPath))
        ));
    }
    assert_eq!((world.held(SIGNING), world.held(SECRET)), (None, None));
    let settled = world.finish(&round.order.round);
    assert!(settled.len() == 2 && settled.iter().all(|one| one.outcome.is_err()));
}

#[test]
fn an_envelope_of_a_signer_that_is_not_the_keys_is_refused() {
    let world = World::new();
    let fields = fields(SIGNING_PATH, &SCALAR);
    for kid in [b"stranger".as_slice(), b"nobody", b"owner2"] {
        let envelope = signed_by(STRANGER, kid, &fields);
        assert!(matches!(
            refused(&world, &envelope),
            ResourceFault::UnknownSigner
        ));
    }
}

#[test]
fn an_envelope_that_borrows_the_signers_kid_is_refused() {
    let world = World::new();
    let forged = signed_by(STRANGER, KID, &fields(SIGNING_PATH, &SCALAR));
    assert!(matches!(
        refused(&world, &forged),
        ResourceFault::Envelope(_)
    ));
}

#[test]
fn an_envelope_changed_after_signing_is_refused() {
    let world = World::new();
    let genuine = signing_envelope();
    let at = genuine
        .windows(SCALAR.len())
        .position(|window| window == SCALAR)
        .unwrap();
    for at in [at, genuine.len() - 1] {
        let mut tampered = genuine.clone();
        tampered[at] ^= 1;
        assert!(matches!(
            refused(&world, &tampered),
            ResourceFault::Envelope(_)
        ));
    }
}

#[test]
fn an_unsigned_resource_is_refused_unless_its_key_accepts_it() {
    let world = World::new();
    assert!(matches!(refused(&world, &SCALAR), ResourceFault::Unsigned));
    let round = world.challenged(&key(PLAIN));
    world.deliver(&round, PLAIN_PATH, b"hunter2").unwrap();
    assert!(only(world.finish(&round.order.round)).outcome.is_ok());
    assert_eq!(world.held(PLAIN), Some((1, b"hunter2".to_vec())));
}

#[test]
fn an_envelope_is_judged_as_one_even_where_unsigned_resources_are_accepted() {
    let world = World::new();
    let round = world.challenged(&key(PLAIN));
    let envelope = signed(&EnvelopeFields {
        key_type: "secret",
        ..fields(PLAIN_PATH, b"hunter2")
    });
    assert!(matches!(
        world.deliver(&round, PLAIN_PATH, &envelope),
        Err(RoundError::Resource(ResourceFault::UnknownSigner))
    ));
    assert_eq!(world.held(PLAIN), None);
}

#[test]
fn a_broken_envelope_is_told_from_a_plain_resource() {
    let world = World::new();
    let mut broken = signing_envelope();
    broken.pop();
    assert!(matches!(
        refused(&world, &broken),
        ResourceFault::Envelope(_)
    ));
}

#[test]
fn an_envelope_of_another_type_or_tenant_is_refused() {
    let world = World::new();
    assert!(matches!(
        refused(&world, &changed(|f| f.key_type = "ed25519")),
        ResourceFault::OtherKeyType { .. }
    ));
    assert!(matches!(
        refused(&world, &changed(|f| f.tenant = Some("acme"))),
        ResourceFault::OtherTenant
    ));
    let mut of_acme = policy();
    of_acme.keys[0].tenant = Some("acme".into());
    let world = World::under(of_acme);
    for tenant in [None, Some("other")] {
        assert!(matches!(
            refused(&world, &changed(|f| f.tenant = tenant)),
            ResourceFault::OtherTenant
        ));
    }
    taken(&world, &changed(|f| f.tenant = Some("acme")));
}

#[test]
fn an_envelope_that_has_ended_is_refused() {
    let world = World::new();
    let now_secs = world.now().wall_secs;
    let ending = |at| changed(|f| f.policy.not_after_secs = Some(at));
    assert!(matches!(
        refused(&world, &ending(now_secs - 1)),
        ResourceFault::Ended
    ));
    taken(&world, &ending(now_secs));
}

#[test]
fn material_that_is_no_key_of_its_type_is_refused() {
    let world = World::new();
    for material in [&[0x11; 31][..], &[0x11; 33], &[0; 32], &[0xff; 32]] {
        assert!(matches!(
            refused(&world, &changed(|f| f.material = material)),
            ResourceFault::BadMaterial
        ));
    }
}

#[test]
fn an_older_version_than_was_held_is_refused_after_the_lease_too() {
    let world = World::under(expiring());
    taken(&world, &changed(|f| f.version = 3));
    world.wait_ms(61_000);
    for version in [1, 2] {
        assert!(matches!(
            refused(&world, &changed(|f| f.version = version)),
            ResourceFault::OlderVersion { held: 3 }
        ));
    }
    taken(&world, &changed(|f| f.version = 3));
    world.wait_ms(61_000);
    let rotated = changed(|f| {
        f.version = 4;
        f.material = &[0x22; 32];
    });
    taken(&world, &rotated);
    assert_eq!(world.held(SIGNING), Some((4, vec![0x22; 32])));
}

#[test]
fn the_envelopes_policy_travels_with_the_key_and_unknown_words_narrow() {
    let world = World::new();
    let round = world.challenged(&key(SECRET));
    let mut fields = EnvelopeFields {
        key_type: "secret",
        ..fields(SECRET_PATH, b"hunter2")
    };
    fields.policy.operations = vec!["release", "derive", "no-such-operation"];
    fields.policy.release_to = vec!["uid:1000", "unit:web.service"];
    fields.policy.lease_secs = Some(60);
    world
        .deliver(&round, SECRET_PATH, &signed(&fields))
        .unwrap();
    let held = world.vault.keys.find(SECRET).unwrap().unwrap();
    let body = held.read().unwrap();
    let own = body.versions[0].own.as_ref().unwrap();
    let both = OperationSet::of(&[Operation::Release, Operation::Derive]);
    assert_eq!(own.operations, both);
    assert_eq!(
        own.release_to,
        Some(vec![
            ReleaseTo::Uid(1000),
            ReleaseTo::Unit("web.service".into())
        ])
    );
    assert_eq!(own.lease_secs, Some(60));
    assert_eq!(
        body.origin_uri.as_deref(),
        Some("kbs:///default/secret/one")
    );
}

#[test]
fn the_disks_that_an_envelope_names_travel_with_the_key() {
    const DISK: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:\
        dynamic:4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    for (named, expected) in [
        (None, None),
        (Some(vec![DISK]), Some(vec![DISK.parse().unwrap()])),
        // What is no disk, such as a UUID alone, leaves none.
        (
            Some(vec!["7dfa3aba-96d9-4de6-90e8-45d3d2d0d897"]),
            Some(vec![]),
        ),
    ] {
        let world = World::new();
        let round = world.challenged(&key(SECRET));
        let mut fields = EnvelopeFields {
            key_type: "secret",
            ..fields(SECRET_PATH, b"hunter2")
        };
        fields.policy.disk = named;
        world
            .deliver(&round, SECRET_PATH, &signed(&fields))
            .unwrap();
        let held = world.vault.keys.find(SECRET).unwrap().unwrap();
        let own = held.read().unwrap().versions[0].own.clone().unwrap();
        assert_eq!(own.disks, expected);
    }
}

#[test]
fn the_clock_of_the_owner_is_not_judged() {
    let world = World::new();
    taken(&world, &changed(|f| f.created_secs = u64::MAX));
}

#[test]
fn a_resource_outside_the_order_is_refused() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let envelope = signing_envelope();
    for path in [SECRET_PATH, "", "a/b/c", "kbs:///x/y/z", "../../etc"] {
        assert!(matches!(
            world.deliver(&round, path, &envelope),
            Err(RoundError::OutsideOrder)
        ));
    }
    world.deliver(&round, SIGNING_PATH, &envelope).unwrap();
}

#[test]
fn a_resource_is_judged_once_a_round_whatever_came_of_it() {
    let world = World::new();
    world.want(&key(SECRET)).unwrap();
    let round = world.challenged(&key(SIGNING));
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    world.deliver(&round, SECRET_PATH, b"plain").unwrap_err();
    for path in [SIGNING_PATH, SECRET_PATH] {
        assert!(matches!(
            world.deliver(&round, path, &signing_envelope()),
            Err(RoundError::DeliveredTwice)
        ));
    }
    let settled = world.finish(&round.order.round);
    for one in settled {
        assert_eq!(one.outcome.is_ok(), one.want == key(SIGNING));
    }
}

#[test]
fn a_delivery_counts_more_than_the_couriers_word() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let class = nitride_protocol::agent::FailureClass::NotFound;
    let path = Some(SIGNING_PATH);
    world
        .vault
        .record_failure(&round.order.round, path, class, 0, world.now())
        .unwrap();
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    assert!(only(world.finish(&round.order.round)).outcome.is_ok());
}

#[test]
fn a_key_whose_rule_changed_under_way_is_not_committed() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let mut narrowed = policy();
    narrowed.keys[0].tenant = Some("acme".into());
    world.vault.replace_policy(narrowed, world.now()).unwrap();
    assert!(matches!(
        world.deliver(&round, SIGNING_PATH, &signing_envelope()),
        Err(RoundError::Resource(ResourceFault::PolicyChanged))
    ));
    assert_eq!(world.held(SIGNING), None);
}

/// A courier that keeps what it has does not prolong a lease by that.
#[test]
fn a_lease_counts_from_the_moment_that_the_rounds_key_was_made() {
    let mut leased = policy();
    leased.keys[0].lease_secs = Some(30);
    let world = World::under(leased);
    let round = world.challenged(&key(SIGNING));
    world.wait_ms(20_000);
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    world.finish(&round.order.round);
    world.wait_ms(9_999);
    world.vault.end_leases(world.now()).unwrap();
    assert!(world.held(SIGNING).is_some());
    world.wait_ms(1);
    world.vault.end_leases(world.now()).unwrap();
    assert_eq!(world.held(SIGNING), None);
}

#[test]
fn a_key_that_was_made_here_is_not_replaced() {
    let mut local = policy();
    local.keys[0].source = crate::policy::Source::Generate;
    local.keys[0].signer = vec![];
    let world = World::under(local.clone());
    let rule = &local.keys[0];
    let made = &mut world.draw();
    let keys = &world.vault.keys;
    let on = (rule, &Noted::default());
    keys.generate_at_first_use(on, world.now(), made).unwrap();
    let before = world.held(SIGNING);
    world.vault.replace_policy(policy(), world.now()).unwrap();
    world.want(&key(SIGNING)).unwrap();
    // It is there, so nothing is ordered; what uses it finds the contradiction.
    assert_eq!(world.order(), None);
    assert_eq!(world.held(SIGNING), before);
}

#[test]
fn no_error_shows_what_was_delivered() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let secret = [0xd2, b'h', b'u', b'n', b't', b'e', b'r', b'2'];
    let error = world.deliver(&round, SIGNING_PATH, &secret).unwrap_err();
    let mut shown = format!("{error:?} {error}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown += &error.to_string();
        source = error.source();
    }
    assert!(
        !shown.contains("hunter") && !shown.contains("104, 117"),
        "{shown}"
    );
}
