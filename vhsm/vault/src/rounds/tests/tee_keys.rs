//! Which form the key of a round has: what the policy wants of what is offered.

use super::world::*;
use crate::policy::TeeKeyChoice;
use crate::rounds::{RoundError, RoundFailure};
use nitride_kbs::tee_key::{TeeKeyForm, TeePublicKey};

const HYBRID: &str = TeeKeyForm::X25519MlKem768.as_str();
const P256: &str = TeeKeyForm::EcP256.as_str();

fn world_of(choice: TeeKeyChoice) -> World {
    let world = World::new();
    let mut policy = policy();
    policy.services[0].tee_key = choice;
    world.vault.replace_policy(policy, world.now()).unwrap();
    world
}

fn form_of(world: &World, offered: &[&str]) -> TeeKeyForm {
    let round = world.challenged_with(&key(SIGNING), offered);
    let public = TeePublicKey::parse(&round.evidence.tee_pubkey_jwk).unwrap();
    world.finish(&round.order.round);
    world.vault.agent_connected();
    public.form()
}

#[test]
fn a_round_takes_the_hybrid_form_where_it_is_offered_and_p256_where_the_policy_lets_it() {
    let offers = [&[P256, HYBRID][..], &[HYBRID, "another"]];
    for offered in offers {
        let by_default = world_of(TeeKeyChoice::default());
        assert_eq!(form_of(&by_default, offered), TeeKeyForm::X25519MlKem768);
        let hybrid = world_of(TeeKeyChoice::Hybrid);
        assert_eq!(form_of(&hybrid, offered), TeeKeyForm::X25519MlKem768);
        let old = world_of(TeeKeyChoice::P256);
        assert_eq!(form_of(&old, offered), TeeKeyForm::EcP256);
    }
    for offered in [&[][..], &[P256], &["another"]] {
        let by_default = world_of(TeeKeyChoice::default());
        assert_eq!(form_of(&by_default, offered), TeeKeyForm::EcP256);
    }
}

#[test]
fn an_offer_that_was_kept_back_brings_no_weaker_key_where_the_policy_wants_hybrid() {
    for offered in [&[][..], &[P256], &["another", P256]] {
        let world = world_of(TeeKeyChoice::Hybrid);
        world.want(&key(SIGNING)).unwrap();
        let round = world.order().unwrap().round;
        let refused = world.vault.challenge(&round, NONCE, offered, world.now());
        assert!(matches!(refused, Err(RoundError::TeeKeyNotOffered)));
        // There is no key and no evidence: nothing can be delivered, and the round ends for this.
        assert!(matches!(
            world.deliver_jwe(&round, SIGNING_PATH, b"{}"),
            Err(RoundError::NotChallenged)
        ));
        let settled = world.finish(&round);
        assert!(matches!(
            settled[0].outcome,
            Err(RoundFailure::TeeKeyNotOffered)
        ));
    }
}

#[test]
fn what_is_encrypted_to_a_hybrid_key_is_taken() {
    let world = world_of(TeeKeyChoice::Hybrid);
    let round = world.challenged_with(&key(SIGNING), &[HYBRID]);
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    assert!(world.held(SIGNING).is_some());
}

#[test]
fn each_hybrid_round_has_both_halves_of_its_own() {
    let world = world_of(TeeKeyChoice::Hybrid);
    let public = |want| {
        let round = world.challenged_with(&key(want), &[HYBRID]);
        match TeePublicKey::parse(&round.evidence.tee_pubkey_jwk).unwrap() {
            TeePublicKey::X25519MlKem768(public) => public,
            other => panic!("{:?}", other.form()),
        }
    };
    let (first, second) = (public(SIGNING), public(SECRET));
    assert_ne!(first[..1184], second[..1184]);
    assert_ne!(first[1184..], second[1184..]);
}

#[test]
fn a_service_that_gave_less_than_hybrid_is_told_of_until_it_gives_it() {
    let world = World::new();
    let weaker = || world.vault.weaker_services();
    assert!(weaker().is_empty(), "nobody was asked");
    let hybrid = TeeKeyForm::X25519MlKem768.as_str();
    for (offered, expected) in [
        (&[][..], &["main"][..]),
        (&[hybrid], &[]),
        (&["other"], &["main"]),
    ] {
        let round = world.challenged_with(&key(SIGNING), offered);
        assert_eq!(weaker(), expected);
        world.finish(&round.order.round);
        world.vault.agent_connected();
    }
    // Whose policy wants no more is not weaker than that.
    let mut set = policy();
    set.services[0].tee_key = TeeKeyChoice::P256;
    world.vault.replace_policy(set, world.now()).unwrap();
    let round = world.challenged_with(&key(SIGNING), &[]);
    assert!(weaker().is_empty());
    world.finish(&round.order.round);
}
