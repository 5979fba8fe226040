//! Gates: a key that is there and may be used only while this machine is approved.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_protocol::{KeyType, Status};
use nitride_support::forge::{OpenToken, Signatory};
use nitride_support::http::HttpMessage;
use nitride_support::plan::Plan;
use nitride_support::program::wait_until;
use nitride_support::relay::{Honest, OnResponse};
use nitride_support::rules::GATED;
use nitride_support::world::{World, outcome};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The policy for evidence that is not simulated.
fn for_real_ones(policy: &str) -> String {
    policy
        .replace("danger-accept-simulated = true", "")
        .replace("\"sample\"", "\"snp\"")
}

fn gated(policy: &str) -> Result<World> {
    let world = World::start(Plan::chain(policy))?;
    world
        .application()?
        .generate("app/gated", KeyType::HmacSha256, None)?;
    Ok(world)
}

/// One use of the gated key, waiting for whatever round it takes.
fn used(world: &World) -> Result<Status> {
    outcome(world.application()?.mac("app/gated", b"d"))
}

fn age_ms(world: &World) -> Result<Option<u64>> {
    let status = world.application_waiting(Duration::ZERO)?.status()?;
    let gate = status.gates.first().context("status names the gate")?;
    Ok(gate.age_ms)
}

#[test]
fn a_gated_key_is_refused_then_used_after_its_round_and_refused_when_the_approval_has_aged()
-> Result<()> {
    let mut world = gated(&GATED.replace("10m", "2s"))?;
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    assert_ne!(outcome(hasty.mac("app/gated", b"d"))?, Status::Ok);
    assert_eq!(used(&world)?, Status::Ok);
    assert_eq!(outcome(hasty.mac("app/gated", b"d"))?, Status::Ok);
    // Nobody can renew the approval any more.
    world.agent.take().context("the agent runs")?.stop()?;
    wait_until("the approval ages", Duration::from_secs(10), || {
        Ok(outcome(hasty.mac("app/gated", b"d"))? != Status::Ok)
    })?;
    let mut patient = world.application_waiting(Duration::from_secs(1))?;
    assert_eq!(
        outcome(patient.mac("app/gated", b"d"))?,
        Status::AgentAbsent
    );
    world.start_agent()?;
    assert_eq!(used(&world)?, Status::Ok);
    Ok(())
}

#[test]
fn one_round_opens_the_gate_for_every_key_that_names_it() -> Result<()> {
    let world = gated(&format!(
        "{GATED}{}",
        GATED
            .split("[[gate]]")
            .next()
            .unwrap_or_default()
            .replace("app/gated", "app/second")
    ))?;
    world
        .application()?
        .generate("app/second", KeyType::HmacSha256, None)?;
    assert_eq!(age_ms(&world)?, None);
    assert_eq!(used(&world)?, Status::Ok);
    assert!(age_ms(&world)?.is_some());
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    assert_eq!(outcome(hasty.mac("app/second", b"d"))?, Status::Ok);
    assert_eq!(world.relay()?.count("POST", "/kbs/v0/attest"), 1);
    Ok(())
}

#[test]
fn simulated_evidence_opens_no_gate_that_does_not_say_so() -> Result<()> {
    let world = gated(&for_real_ones(GATED))?;
    assert_eq!(used(&world)?, Status::DeniedByVerifier);
    assert_eq!(age_ms(&world)?, None);
    Ok(())
}

#[test]
fn evidence_of_a_tee_that_the_gate_does_not_name_opens_none() -> Result<()> {
    let world = gated(&GATED.replace("[\"sample\"]", "[\"snp\", \"tdx\"]"))?;
    assert_eq!(used(&world)?, Status::DeniedByVerifier);
    assert_eq!(age_ms(&world)?, None);
    // Nor does a gate that names none, which is a fault of the policy.
    let mut world = world;
    let none = GATED.replace("tees = [\"sample\"]\n", "");
    assert!(world.set_policy(&none).is_err());
    Ok(())
}

#[test]
fn a_contraindicated_machine_opens_no_gate() -> Result<()> {
    let mut plan = Plan::chain(GATED);
    plan.svn = "0".to_owned();
    let world = World::start(plan)?;
    world
        .application()?
        .generate("app/gated", KeyType::HmacSha256, None)?;
    assert_eq!(used(&world)?, Status::DeniedByVerifier);
    Ok(())
}

#[test]
fn a_token_for_another_audience_issuer_or_policy_opens_no_gate() -> Result<()> {
    for (ours, other) in [
        ("audience = \"vhsmd\"", "audience = \"somebody\""),
        ("issuer = \"tests\"", "issuer = \"somebody\""),
        ("policy-id = \"default\"", "policy-id = \"stricter\""),
        ("@DIR@/token.pub", "@DIR@/owner.pub"),
    ] {
        let world = gated(&GATED.replace(ours, other))?;
        assert_eq!(used(&world)?, Status::ResourceRefused, "{other}");
        assert_eq!(age_ms(&world)?, None, "{other}");
    }
    Ok(())
}

/// What a hostile courier or service makes of the token on its way, and by which key.
type Forgery = Box<dyn Fn(&mut OpenToken) + Send>;

/// Puts a forged token into every answer to `attest`.
fn forge(world: &World, signatory: Signatory, forgery: Forgery) -> Result<()> {
    world.relay()?.meddle(OnResponse(
        move |request: &HttpMessage, response: &mut HttpMessage| {
            if request.target().1 != "/kbs/v0/attest" || response.status() != 200 {
                return;
            }
            let token = serde_json::from_slice::<Value>(&response.body)
                .ok()
                .and_then(|answer| OpenToken::open(answer["token"].as_str()?).ok());
            if let Some(mut token) = token {
                forgery(&mut token);
                response.body = json!({ "token": token.sign(&signatory) })
                    .to_string()
                    .into_bytes();
            }
        },
    ));
    Ok(())
}

#[test]
fn a_token_that_was_only_signed_again_by_the_issuers_key_still_opens_the_gate() -> Result<()> {
    // The control of the forgeries below: what they change is what is refused.
    let world = gated(GATED)?;
    forge(&world, world.owner().token_key()?, Box::new(|_| {}))?;
    assert_eq!(used(&world)?, Status::Ok);
    Ok(())
}

#[test]
fn a_forged_token_that_brings_its_own_key_along_opens_no_gate() -> Result<()> {
    let world = gated(GATED)?;
    let forger = Signatory::numbered(7)?;
    let jwk = forger.jwk();
    let forgery: Forgery = Box::new(move |token| token.header["jwk"] = jwk.clone());
    forge(&world, forger, forgery)?;
    assert_eq!(used(&world)?, Status::ResourceRefused);
    Ok(())
}

#[test]
fn a_token_whose_claims_miss_one_condition_opens_no_gate_even_from_the_issuers_key() -> Result<()> {
    let forgeries: Vec<(&str, Forgery)> = vec![
        (
            "status",
            Box::new(|t| each_submod(t, |s| s["ear.status"] = json!("warning"))),
        ),
        (
            "no status",
            Box::new(|t| each_submod(t, |s| drop(remove(s, "ear.status")))),
        ),
        (
            "simulated unstated",
            Box::new(|t| drop(remove(&mut t.claims, "nitride.simulated"))),
        ),
        (
            "debug",
            Box::new(|t| t.claims["nitride.debug"] = json!(true)),
        ),
        (
            "audience",
            Box::new(|t| t.claims["aud"] = json!("somebody")),
        ),
        (
            "no audience",
            Box::new(|t| drop(remove(&mut t.claims, "aud"))),
        ),
        ("issuer", Box::new(|t| t.claims["iss"] = json!("somebody"))),
        (
            "no submodule",
            Box::new(|t| t.claims["submods"] = json!({})),
        ),
        (
            "a device that failed",
            Box::new(|t| {
                let mut device = t.claims["submods"]["cpu0"].clone();
                device["ear.status"] = json!("contraindicated");
                t.claims["submods"]["gpu0"] = device;
            }),
        ),
        (
            "another key",
            Box::new(|t| {
                each_submod(t, |s| {
                    let claims = &mut s["ear.veraison.annotated-evidence"]["runtime_data_claims"];
                    let x = claims["tee-pubkey"]["y"].clone();
                    claims["tee-pubkey"]["x"] = x;
                });
            }),
        ),
        (
            "no key",
            Box::new(|t| {
                each_submod(t, |s| {
                    drop(remove(
                        &mut s["ear.veraison.annotated-evidence"]["runtime_data_claims"],
                        "tee-pubkey",
                    ));
                });
            }),
        ),
        ("algorithm", Box::new(|t| t.header["alg"] = json!("none"))),
    ];
    for (what, forgery) in forgeries {
        let world = gated(GATED)?;
        forge(&world, world.owner().token_key()?, forgery)?;
        assert_ne!(used(&world)?, Status::Ok, "{what}");
        assert_eq!(age_ms(&world)?, None, "{what}");
    }
    Ok(())
}

fn each_submod(token: &mut OpenToken, change: impl Fn(&mut Value)) {
    for submod in token.claims["submods"]
        .as_object_mut()
        .into_iter()
        .flat_map(|all| all.values_mut())
    {
        change(submod);
    }
}

fn remove(object: &mut Value, member: &str) -> Option<Value> {
    object.as_object_mut()?.remove(member)
}

#[test]
fn a_token_of_an_earlier_round_opens_no_gate() -> Result<()> {
    let world = gated(&GATED.replace("10m", "1s"))?;
    let hoarded: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let hoard = Arc::clone(&hoarded);
    world.relay()?.meddle(OnResponse(
        move |request: &HttpMessage, response: &mut HttpMessage| {
            if let (Ok(mut hoard), "/kbs/v0/attest") = (hoard.lock(), request.target().1) {
                *hoard = Some(response.body.clone());
            }
        },
    ));
    assert_eq!(used(&world)?, Status::Ok);
    let old = hoarded
        .lock()
        .ok()
        .and_then(|old| old.clone())
        .context("a token was seen")?;
    world.relay()?.meddle(OnResponse(
        move |request: &HttpMessage, response: &mut HttpMessage| {
            if request.target().1 == "/kbs/v0/attest" {
                response.body.clone_from(&old);
            }
        },
    ));
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    wait_until("the approval ages", Duration::from_secs(10), || {
        Ok(outcome(hasty.mac("app/gated", b"d"))? != Status::Ok)
    })?;
    assert_eq!(used(&world)?, Status::ResourceRefused);
    world.relay()?.meddle(Honest);
    wait_until("an honest round", Duration::from_secs(40), || {
        Ok(used(&world)? == Status::Ok)
    })
}

#[test]
fn an_approval_does_not_outlive_the_rule_that_it_was_given_under() -> Result<()> {
    let mut world = gated(GATED)?;
    assert_eq!(used(&world)?, Status::Ok);
    let stricter = for_real_ones(&world.plan.policy);
    world.set_policy(&stricter)?;
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    assert_ne!(outcome(hasty.mac("app/gated", b"d"))?, Status::Ok);
    Ok(())
}

#[test]
fn a_gated_key_that_is_also_missing_needs_both() -> Result<()> {
    let policy = GATED.replace(
        "source = \"local\"",
        "source = \"kbs:///demo/key/mac\"\nservice = \"main\"\nsigner = \"owner\"",
    );
    let world = World::start(Plan::chain(&policy))?;
    let deposit =
        nitride_support::owner::Deposit::key("demo/key/mac", KeyType::HmacSha256, &[3; 32]);
    world.owner().deposit(&deposit)?;
    assert_eq!(used(&world)?, Status::Ok);
    let locked = for_real_ones(GATED).replace(
        "source = \"local\"",
        "source = \"kbs:///demo/key/mac\"\nservice = \"main\"\nsigner = \"owner\"",
    );
    let world = World::start(Plan::chain(&locked))?;
    world.owner().deposit(&deposit)?;
    assert_eq!(used(&world)?, Status::DeniedByVerifier);
    let fetched = world.relay()?.count("GET", "/kbs/v0/resource");
    assert_eq!(
        fetched, 0,
        "a key was fetched that its gate would not let anybody use"
    );
    Ok(())
}
