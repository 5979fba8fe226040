use super::service::{self, STRANGER, claims, ml_dsa_token, point, token_by, with_header};
use super::world::*;
use crate::gate::GateFault;
use crate::policy::IssuerKey;
use crate::rounds::RoundError;
use nitride_kbs::token::EarClaims;
use nitride_secmem::crypto::MlDsa65;

/// The issuer's next key.
const NEXT: u8 = 11;

/// What comes of a token by `sign` at a gate that pins `issuer_keys`.
fn accept(
    issuer_keys: &[IssuerKey],
    sign: impl FnOnce(&EarClaims) -> String,
) -> Result<(), RoundError> {
    let mut policy = policy();
    policy.gates[0].issuer_keys = issuer_keys.to_vec();
    let world = World::under(policy.clone());
    let round = world.challenged(&gate());
    let token = sign(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let round = &round.order.round;
    let accepted = world.vault.accept_result(round, &token, world.now());
    let is_approved = world.vault.gates.approved(&policy.gates[0], world.now());
    assert_eq!(accepted.is_ok(), is_approved);
    accepted
}

#[test]
fn while_keys_rotate_a_token_of_any_pinned_key_opens_the_gate_and_of_no_other() {
    install();
    let ml_dsa = MlDsa65::from_seed(&[5; 32]).unwrap();
    let pinned = [
        IssuerKey::P256(point(service::ISSUER)),
        IssuerKey::P256(point(NEXT)),
        IssuerKey::MlDsa65(ml_dsa.public().into()),
    ];
    assert!(accept(&pinned, |claims| token_by(service::ISSUER, claims)).is_ok());
    assert!(accept(&pinned, |claims| token_by(NEXT, claims)).is_ok());
    assert!(accept(&pinned, |claims| ml_dsa_token(&ml_dsa, claims)).is_ok());
    assert!(accept(&pinned[..2], |claims| ml_dsa_token(&ml_dsa, claims)).is_err());
    assert!(accept(&pinned[1..], |claims| token_by(service::ISSUER, claims)).is_err());
    assert!(accept(&pinned, |claims| token_by(STRANGER, claims)).is_err());
    let other = MlDsa65::from_seed(&[6; 32]).unwrap();
    assert!(accept(&pinned, |claims| ml_dsa_token(&other, claims)).is_err());
}

#[test]
fn a_token_says_no_other_algorithm_than_its_key_has() {
    install();
    let ml_dsa = MlDsa65::from_seed(&[5; 32]).unwrap();
    let pinned = [
        IssuerKey::P256(point(service::ISSUER)),
        IssuerKey::MlDsa65(ml_dsa.public().into()),
    ];
    // Signed by a pinned key, over a header that names the other's algorithm.
    let renamed = |claims: &EarClaims| {
        let header = r#"{"alg":"ML-DSA-65","typ":"JWT"}"#;
        let token = token_by(service::ISSUER, claims);
        with_header(&token, header, service::ISSUER)
    };
    assert!(accept(&pinned, renamed).is_err());
    // A signature as long as ML-DSA's are, of zeros.
    let padded = |claims: &EarClaims| {
        let token = ml_dsa_token(&ml_dsa, claims);
        let (signed, _) = token.rsplit_once('.').unwrap();
        nitride_kbs::token::assemble(signed, &[0; 3309])
    };
    assert!(accept(&pinned, padded).is_err());
}

#[test]
fn a_gate_without_an_issuer_key_opens_for_nobody() {
    let refused = accept(&[], |claims| token_by(service::ISSUER, claims));
    assert!(
        matches!(refused, Err(RoundError::Gate(GateFault::Token(_)))),
        "{refused:?}"
    );
}
