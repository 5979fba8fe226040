use super::service::{self, STRANGER, claims, point, submod, token, token_by};
use super::world::*;
use crate::gate::GateFault;
use crate::policy::{GateRule, IssuerKey};
use crate::rounds::{RoundError, RoundFailure};
use nitride_kbs::token::{EarClaims, EarStatus, PRIMARY_SUBMOD};
use nitride_protocol::Status;

/// Delivers a token made of changed claims; gives the named fault and what those who wait learn.
fn fault(change: impl FnOnce(&mut EarClaims)) -> (GateFault, Status) {
    fault_under(&World::new(), change)
}

fn fault_under(world: &World, change: impl FnOnce(&mut EarClaims)) -> (GateFault, Status) {
    let round = world.challenged(&gate());
    let mut claims = claims(&round.evidence.tee_pubkey_jwk, NONCE);
    change(&mut claims);
    refused(world, &round, &token(&claims))
}

fn refused(world: &World, round: &Challenged, token: &str) -> (GateFault, Status) {
    let round = &round.order.round;
    let error = world.vault.accept_result(round, token, world.now());
    let Err(RoundError::Gate(fault)) = error else {
        panic!("{error:?}");
    };
    let settled = only(world.finish(round));
    let failure = settled.outcome.unwrap_err();
    assert!(matches!(failure, RoundFailure::GateRefused(_)));
    assert!(!world.is_approved());
    (fault, failure.status())
}

/// Simulated evidence, as the verifier writes of it.
fn simulate(claims: &mut EarClaims) {
    claims.simulated = Some(true);
    let cpu = claims.submods.get_mut(PRIMARY_SUBMOD).unwrap();
    let evidence = cpu.annotated_evidence.as_mut().unwrap();
    let claims = "{}".parse().unwrap();
    evidence.tee_claims.clear();
    evidence.tee_claims.insert("sample".into(), claims);
}

fn approve(world: &World) {
    let round = world.challenged(&gate());
    let token = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let round = &round.order.round;
    world
        .vault
        .accept_result(round, &token, world.now())
        .unwrap();
    assert!(only(world.finish(round)).outcome.is_ok());
}

#[test]
fn a_genuine_token_of_this_round_opens_the_gate() {
    let world = World::new();
    assert!(!world.is_approved());
    let round = world.challenged(&gate());
    assert!(round.order.resources.is_empty() && round.order.result_wanted);
    let token = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let now = world.now();
    let round = &round.order.round;
    world.vault.accept_result(round, &token, now).unwrap();
    assert!(world.is_approved());
    let settled = only(world.finish(round));
    assert_eq!(settled.want, gate());
    assert!(settled.outcome.is_ok());
}

#[test]
fn an_approval_ages_from_the_moment_the_rounds_key_was_made() {
    let world = World::new();
    let round = world.challenged(&gate());
    let token = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    world.wait_ms(20_000);
    let round = &round.order.round;
    world
        .vault
        .accept_result(round, &token, world.now())
        .unwrap();
    assert!(world.is_approved());
    world.wait_ms(580_000);
    assert!(world.is_approved());
    world.wait_ms(1);
    assert!(!world.is_approved());
}

#[test]
fn a_late_token_of_an_older_round_does_not_age_a_younger_approval() {
    let world = World::new();
    let old = world.challenged(&gate());
    let late = token(&claims(&old.evidence.tee_pubkey_jwk, NONCE));
    world.wait_ms(10_000);
    let rule = &policy().gates[0];
    world.vault.gates.approve_unjudged(rule, world.now.get());
    let round = &old.order.round;
    world
        .vault
        .accept_result(round, &late, world.now())
        .unwrap();
    assert_eq!(world.vault.gates.age_ms(rule, world.now()), Some(0));
}

#[test]
fn a_clock_that_runs_backwards_closes_the_gate() {
    let world = World::new();
    approve(&world);
    world.now.set(world.now.get() - 1);
    assert!(!world.is_approved());
}

#[test]
fn an_approval_under_another_rule_does_not_count() {
    let world = World::new();
    approve(&world);
    let rule = policy().gates[0].clone();
    let others = [
        GateRule {
            policy_id: "stricter".into(),
            ..rule.clone()
        },
        GateRule {
            issuer_keys: vec![IssuerKey::P256(point(STRANGER))],
            ..rule.clone()
        },
        GateRule {
            tees: vec!["snp".into()],
            ..rule.clone()
        },
        GateRule {
            max_age_ms: 1,
            ..rule.clone()
        },
        GateRule {
            name: "other".into(),
            ..rule
        },
    ];
    for other in others {
        assert!(!world.vault.gates.approved(&other, world.now()));
    }
}

#[test]
fn a_token_signed_by_another_key_is_refused_whatever_its_header_brings() {
    let world = World::new();
    let round = world.challenged(&gate());
    let claims = claims(&round.evidence.tee_pubkey_jwk, NONCE);
    let forged = token_by(STRANGER, &claims);
    // The header that makes a lenient reader take the forger's own key.
    let jwk = nitride_kbs::tee_key::TeePublicKey::from_point(&point(STRANGER)).unwrap();
    let jwk = jwk.to_jwk_json().replace("ECDH-ES+A256KW", "ES256");
    let forged = service::with_header(
        &forged,
        &format!(r#"{{"alg":"ES256","typ":"JWT","jwk":{jwk},"x5c":["MA=="],"jku":"https://x"}}"#),
        STRANGER,
    );
    let (fault, status) = refused(&world, &round, &forged);
    assert!(matches!(fault, GateFault::Token(_)), "{fault:?}");
    assert_eq!(status, Status::ResourceRefused);
}

#[test]
fn a_key_in_the_header_of_a_genuine_token_changes_nothing() {
    let world = World::new();
    let round = world.challenged(&gate());
    let genuine = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let header = r#"{"alg":"ES256","jwk":{"kty":"EC"}}"#;
    let genuine = service::with_header(&genuine, header, service::ISSUER);
    let round = &round.order.round;
    world
        .vault
        .accept_result(round, &genuine, world.now())
        .unwrap();
    assert!(world.is_approved());
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let world = World::new();
    for token in ["", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        let round = world.challenged(&gate());
        let (fault, _) = refused(&world, &round, token);
        assert!(matches!(fault, GateFault::Token(_)));
        world.vault.agent_connected();
    }
}

#[test]
fn a_token_of_another_profile_is_refused() {
    let (fault, status) =
        fault(|claims| claims.eat_profile = "tag:example.org,2024:session".into());
    assert!(matches!(fault, GateFault::OtherProfile));
    assert_eq!(status, Status::ResourceRefused);
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let (fault, _) = fault(|claims| claims.iss = "https://other.example".into());
    assert!(matches!(fault, GateFault::OtherIssuer));
}

#[test]
fn a_token_for_another_or_no_audience_is_refused() {
    let (other, _) = fault(|claims| claims.aud = Some("backup".into()));
    assert!(matches!(other, GateFault::OtherAudience));
    let (none, _) = fault(|claims| claims.aud = None);
    assert!(matches!(none, GateFault::NoAudience));
}

#[test]
fn a_token_that_ends_before_it_begins_is_refused() {
    let (fault, _) = fault(|claims| claims.exp = claims.iat);
    assert!(matches!(fault, GateFault::EndsBeforeIssued));
}

#[test]
fn a_verdict_that_is_not_affirming_is_refused_as_a_denial() {
    for verdict in [
        EarStatus::None,
        EarStatus::Warning,
        EarStatus::Contraindicated,
    ] {
        let (fault, status) = fault(|claims| {
            claims.submods.get_mut(PRIMARY_SUBMOD).unwrap().status = verdict;
        });
        assert!(matches!(fault, GateFault::NotAffirming { status, .. } if status == verdict));
        assert_eq!(status, Status::DeniedByVerifier);
    }
}

#[test]
fn a_device_that_is_not_affirmed_keeps_the_gate_closed() {
    let (fault, status) = fault(|claims| {
        let mut gpu = submod(None);
        gpu.status = EarStatus::Contraindicated;
        claims.submods.insert("gpu0".into(), gpu);
    });
    assert!(matches!(fault, GateFault::NotAffirming { submod, .. } if submod == "gpu0"));
    assert_eq!(status, Status::DeniedByVerifier);
}

#[test]
fn a_token_without_the_tee_itself_is_refused() {
    let (fault, _) = fault(|claims| {
        claims.submods.clear();
    });
    assert!(matches!(fault, GateFault::NoPrimarySubmod));
}

#[test]
fn a_verdict_by_another_or_no_policy_is_refused() {
    for policy_id in [None, Some("lenient".to_owned())] {
        for name in [PRIMARY_SUBMOD, "gpu0"] {
            let (fault, _) = fault(|claims| {
                let submods = &mut claims.submods;
                let submod = submods.entry(name.into()).or_insert_with(|| submod(None));
                submod.appraisal_policy_id = policy_id.clone();
            });
            assert!(matches!(fault, GateFault::OtherPolicy { submod } if submod == name));
        }
    }
}

#[test]
fn simulated_evidence_is_refused_unless_the_gate_says_otherwise() {
    let (fault, status) = fault(simulate);
    assert!(matches!(fault, GateFault::Simulated));
    assert_eq!(status, Status::DeniedByVerifier);
    let mut lenient = policy();
    lenient.gates[0].danger_accept_simulated = true;
    lenient.gates[0].tees = vec!["sample".into()];
    let world = World::under(lenient.clone());
    let round = world.challenged(&gate());
    let mut claims = claims(&round.evidence.tee_pubkey_jwk, NONCE);
    simulate(&mut claims);
    let round = &round.order.round;
    let now = world.now();
    world
        .vault
        .accept_result(round, &token(&claims), now)
        .unwrap();
    assert!(world.vault.gates.approved(&lenient.gates[0], now));
}

#[test]
fn sample_claims_are_simulated_whatever_the_token_says_of_them() {
    let (fault, _) = fault(|claims| {
        simulate(claims);
        claims.simulated = Some(false);
    });
    assert!(matches!(fault, GateFault::Simulated));
}

/// Of what is judged as these TEEs.
fn of_tees(claims: &mut EarClaims, tees: &[&str]) {
    let cpu = claims.submods.get_mut(PRIMARY_SUBMOD).unwrap();
    let evidence = cpu.annotated_evidence.as_mut().unwrap();
    let nothing = "{}".parse().unwrap();
    evidence.tee_claims = tees
        .iter()
        .map(|tee| ((*tee).into(), Clone::clone(&nothing)))
        .collect();
}

#[test]
fn evidence_of_a_tee_that_the_gate_does_not_name_opens_nothing() {
    for tees in [&["tpm"][..], &["snp", "tpm"], &["az-snp-vtpm"]] {
        let (fault, status) = fault(|claims| of_tees(claims, tees));
        assert!(matches!(fault, GateFault::OtherTee { .. }), "{fault:?}");
        assert_eq!(status, Status::DeniedByVerifier);
    }
    // Nor does a token that does not say of which it is, or says it of a device alone.
    for tees in [&[][..], &["init_data"], &["SNP"]] {
        let (fault, _) = fault(|claims| {
            of_tees(claims, tees);
            claims.submods.insert("gpu0".into(), submod(None));
        });
        assert!(matches!(fault, GateFault::NoTee), "{fault:?}");
    }
    let world = World::new();
    let round = world.challenged(&gate());
    let mut claims = claims(&round.evidence.tee_pubkey_jwk, NONCE);
    of_tees(&mut claims, &["tdx"]);
    let round = &round.order.round;
    world
        .vault
        .accept_result(round, &token(&claims), world.now())
        .unwrap();
    assert!(world.is_approved());
}

#[test]
fn a_debuggable_tee_is_refused_even_where_simulated_ones_are_accepted() {
    let mut lenient = policy();
    lenient.gates[0].danger_accept_simulated = true;
    for policy in [policy(), lenient] {
        let world = World::under(policy);
        let (fault, status) = fault_under(&world, |claims| claims.debug = Some(true));
        assert!(matches!(fault, GateFault::Debug));
        assert_eq!(status, Status::DeniedByVerifier);
    }
}

#[test]
fn what_is_not_stated_is_not_taken_for_good() {
    let (fault_of_debug, _) = fault(|claims| claims.debug = None);
    assert!(matches!(
        fault_of_debug,
        GateFault::Unstated {
            claim: "nitride.debug"
        }
    ));
    let (fault_of_simulated, _) = fault(|claims| claims.simulated = None);
    assert!(matches!(
        fault_of_simulated,
        GateFault::Unstated {
            claim: "nitride.simulated"
        }
    ));
}

#[test]
fn evidence_over_another_key_is_refused() {
    let other = nitride_kbs::tee_key::TeePublicKey::from_point(&point(8)).unwrap();
    for tee_pubkey in [None, Some(other)] {
        let (fault, _) = fault(|claims| {
            let cpu = claims.submods.get_mut(PRIMARY_SUBMOD).unwrap();
            let evidence = cpu.annotated_evidence.as_mut().unwrap();
            evidence.runtime_data_claims.as_mut().unwrap().tee_pubkey = tee_pubkey;
        });
        assert!(matches!(fault, GateFault::OtherKey));
    }
    let (fault, _) = fault(|claims| {
        let cpu = claims.submods.get_mut(PRIMARY_SUBMOD).unwrap();
        cpu.annotated_evidence = None;
    });
    assert!(matches!(fault, GateFault::OtherKey));
}

#[test]
fn evidence_over_another_nonce_is_refused() {
    for nonce in [None, Some("an older nonce".to_owned())] {
        let (fault, _) = fault(|claims| {
            let cpu = claims.submods.get_mut(PRIMARY_SUBMOD).unwrap();
            let evidence = cpu.annotated_evidence.as_mut().unwrap();
            evidence.runtime_data_claims.as_mut().unwrap().nonce = nonce;
        });
        assert!(matches!(fault, GateFault::OtherNonce));
    }
}

#[test]
fn a_token_of_an_earlier_round_is_refused_though_its_nonce_is_the_same() {
    let world = World::new();
    let old = world.challenged(&gate());
    let stale = token(&claims(&old.evidence.tee_pubkey_jwk, NONCE));
    world.finish(&old.order.round);
    world.vault.agent_connected();
    let round = world.challenged(&gate());
    let (fault, _) = refused(&world, &round, &stale);
    assert!(matches!(fault, GateFault::OtherKey));
}

#[test]
fn a_result_is_judged_once_a_round() {
    let world = World::new();
    let round = world.challenged(&gate());
    let genuine = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let round = &round.order.round;
    world
        .vault
        .accept_result(round, "a.b.c", world.now())
        .unwrap_err();
    assert!(matches!(
        world.vault.accept_result(round, &genuine, world.now()),
        Err(RoundError::DeliveredTwice)
    ));
    assert!(!world.is_approved());
}

#[test]
fn a_result_that_nobody_wants_approves_nothing() {
    let world = World::new();
    let round = world.challenged(&key(SIGNING));
    let genuine = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    assert!(matches!(
        world
            .vault
            .accept_result(&round.order.round, &genuine, world.now()),
        Err(RoundError::ResultNotWanted)
    ));
    assert!(!world.is_approved());
}

#[test]
fn a_gate_whose_rule_changed_under_way_is_not_approved() {
    let world = World::new();
    let round = world.challenged(&gate());
    let genuine = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let mut narrowed = policy();
    narrowed.gates[0].max_age_ms = 1000;
    world
        .vault
        .replace_policy(narrowed.clone(), world.now())
        .unwrap();
    let (fault, _) = refused(&world, &round, &genuine);
    assert!(matches!(fault, GateFault::PolicyChanged));
    assert!(!world.vault.gates.approved(&narrowed.gates[0], world.now()));
}

#[test]
fn a_key_and_a_gate_come_in_one_round() {
    let world = World::new();
    world.want(&gate()).unwrap();
    let round = world.challenged(&key(SIGNING));
    assert!(round.order.result_wanted);
    let genuine = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let id = &round.order.round;
    world
        .vault
        .accept_result(id, &genuine, world.now())
        .unwrap();
    world
        .deliver(&round, SIGNING_PATH, &signing_envelope())
        .unwrap();
    let settled = world.finish(id);
    assert!(settled.len() == 2 && settled.iter().all(|one| one.outcome.is_ok()));
}

#[test]
fn two_gates_are_judged_each_by_its_own_rule() {
    let mut two = policy();
    two.gates.push(GateRule {
        name: "strict".into(),
        policy_id: "strict".into(),
        ..two.gates[0].clone()
    });
    let world = World::under(two);
    let strict = crate::Want::Gate {
        name: "strict".into(),
    };
    world.want(&strict).unwrap();
    let round = world.challenged(&gate());
    let token = token(&claims(&round.evidence.tee_pubkey_jwk, NONCE));
    let id = &round.order.round;
    assert!(matches!(
        world.vault.accept_result(id, &token, world.now()),
        Err(RoundError::Gate(GateFault::OtherPolicy { .. }))
    ));
    assert!(world.is_approved());
    for one in world.finish(id) {
        assert_eq!(one.outcome.is_ok(), one.want == gate());
    }
}
