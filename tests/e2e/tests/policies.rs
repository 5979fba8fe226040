//! Tenants' policies before a real service: each decides for its own repository, whatever another's
//! does to the process that evaluates it.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::KeyType;
use nitride_support::courier::KbsSession;
use nitride_support::guest::{attested, tee_key};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::world::World;
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};

const AFFIRMING: &str = "package policy\nimport rego.v1\ndefault allow := false\nallow if {\n\
    \tcount(input.submods) > 0\n\
    \tevery submod in input.submods { submod[\"ear.status\"] == \"affirming\" }\n}\n";
const ENDLESS: &str = "package policy\nallow if {\n\tinput.submods\n\
    \tsome i in numbers.range(1, 30000)\n\tsome j in numbers.range(1, 30000)\n\ti * j == -1\n}\n";
const GREEDY: &str = "package policy\nallow if {\n\tinput.submods\n\
    \tcount(numbers.range(1, 100000000)) > 0\n}\n";
const NEVER: &str = "version = 1\n";

/// The evidence helper and the service, whose tenants have these policies.
fn world(tenants: &[(&str, &str)]) -> Result<World> {
    let mut plan = Plan::chain("");
    plan.service_tables
        .push_str("[policies]\ntenants = \"@DIR@/tenants\"\n");
    let mut world = World::prepare(plan)?;
    let folder = world.path("tenants");
    fs::create_dir(&folder)?;
    for (file, text) in tenants {
        fs::write(folder.join(file), text)?;
    }
    world.start_quote()?;
    world.start_service()?;
    for tenant in ["demo", "alpha", "endless", "greedy", "never"] {
        let path = format!("{tenant}/key/one");
        world
            .owner()
            .deposit(&Deposit::key(&path, KeyType::HmacSha256, &[1; 32]))?;
    }
    Ok(world)
}

/// A session that has attested.
fn session(world: &World) -> Result<KbsSession> {
    Ok(attested(world, &world.service_upstream()?, &tee_key()?)?.0)
}

fn is_denied(session: &mut KbsSession, path: &str) -> Result<()> {
    let refused = session.fetch(path)?;
    ensure!(refused.status() == 401, "{path}: {}", refused.status());
    let refusal: Value = serde_json::from_slice(&refused.body)?;
    let kind = refusal["type"].as_str().context("a type")?;
    ensure!(kind.ends_with("/PolicyDeny"), "{path}: {refusal}");
    Ok(())
}

#[test]
fn each_tenant_is_decided_by_its_own_policy_whatever_the_others_do() -> Result<()> {
    let world = world(&[
        ("alpha.rego", AFFIRMING),
        ("endless.rego", ENDLESS),
        ("greedy.rego", GREEDY),
        ("never.toml", NEVER),
    ])?;
    let mut session = session(&world)?;
    // The service's own rules allow everything, and are not asked where a tenant has its own.
    session.resource("demo/key/one")?;
    session.resource("alpha/key/one")?;
    for path in ["never/key/one", "endless/key/one", "greedy/key/one"] {
        is_denied(&mut session, path)?;
    }
    let log = world.logs();
    for word in ["its time is over", "too much memory", "no rule names never"] {
        ensure!(log.contains(word), "{word} is not in\n{log}");
    }
    // And again: whatever died with them was replaced.
    session.resource("alpha/key/one")?;
    session.resource("demo/key/one")?;
    Ok(())
}

/// Of Trustee's form: what no reference value knows is a warning.
const APPRAISAL: &str = "package policy\nimport rego.v1\ndefault executables := 33\n\
    trust_claims := {\"executables\": executables}\n\
    executables := 3 if input.sample.svn in query_reference_value(\"svn\")\n";

#[test]
fn an_attestation_policy_in_rego_finds_worse_and_nothing_better() -> Result<()> {
    for (svn, values, served) in [
        ("1", r#"["1"]"#, true),
        ("1", r#"["2"]"#, false),
        // Ours does not want it, whatever the other says.
        ("0", r#"["0"]"#, false),
    ] {
        let mut plan = Plan::chain("");
        plan.svn = svn.to_owned();
        plan.service_tables.push_str(concat!(
            "[policies]\nappraisal = \"@DIR@/appraisal.rego\"\n",
            "reference-values = \"@DIR@/values.json\"\n"
        ));
        let mut world = World::prepare(plan)?;
        fs::write(world.path("appraisal.rego"), APPRAISAL)?;
        let values = format!(
            r#"[{{"version":"0.1.0","name":"svn","expiration":"2999-01-01T00:00:00Z","value":{values}}}]"#
        );
        fs::write(world.path("values.json"), values)?;
        world.start_quote()?;
        world.start_service()?;
        let deposit = Deposit::key("demo/key/one", KeyType::HmacSha256, &[1; 32]);
        world.owner().deposit(&deposit)?;
        let mut session = session(&world)?;
        if served {
            session.resource("demo/key/one")?;
        } else {
            is_denied(&mut session, "demo/key/one")?;
        }
    }
    Ok(())
}

#[test]
fn an_endless_policy_takes_nobody_elses_turn() -> Result<()> {
    let world = world(&[("alpha.rego", AFFIRMING), ("endless.rego", ENDLESS)])?;
    let mut sessions = Vec::new();
    for _ in 0..16 {
        sessions.push(session(&world)?);
    }
    let mut calm = session(&world)?;
    calm.resource("alpha/key/one")?;
    std::thread::scope(|scope| -> Result<()> {
        let storming: Vec<_> = sessions
            .iter_mut()
            .map(|session| scope.spawn(move || is_denied(session, "endless/key/one")))
            .collect();
        // Sixteen endless evaluations, two at a time, are two seconds; ours do not queue with them.
        std::thread::sleep(Duration::from_millis(200));
        for _ in 0..10 {
            let begun = Instant::now();
            calm.resource("alpha/key/one")?;
            ensure!(begun.elapsed() < Duration::from_secs(1), "it waited");
        }
        for storm in storming {
            storm
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}

#[test]
fn a_tenants_policy_that_is_broken_stops_the_start() -> Result<()> {
    for (file, text, word) in [
        ("alpha.rego", "package policy\nallow {\n", "alpha.rego"),
        (
            "alpha.rego",
            "package policy\nother := 1\n",
            "no rule allow",
        ),
        ("alpha.toml", "version = 2\n", "version 2"),
        ("al pha.toml", "version = 1\n", "no tenant's policy"),
    ] {
        let refused = world(&[(file, text)]).err().context("it started")?;
        let told = format!("{refused:?}");
        ensure!(told.contains(word), "{word} is not in {told}");
    }
    Ok(())
}
