//! Admins of a fleet: what each may do, and policies that one replica takes and every one obeys.
#![forbid(unsafe_code)]

mod governed;

use anyhow::{Context, Result, anyhow, ensure};
use governed::{AFFIRMING, ATTESTATION, Governed, NOTHING, ROOT, SECRET, TEAM, Way, prepare};
use nitride_support::openbao::Cluster;
use nitride_support::program::wait_until;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

/// Within which a change is in force on every replica.
const WITHIN: Duration = Duration::from_secs(5);

#[test]
fn an_admin_of_one_namespace_changes_no_other() -> Result<()> {
    let governed = Governed::start()?;
    let raw = governed.world.folder.write("raw", b"bytes of the team")?;
    let rego = governed.world.folder.write("team.rego", AFFIRMING)?;
    let (raw, rego) = (raw.display().to_string(), rego.display().to_string());
    let put = [
        "resource",
        "put",
        "web/raw/one",
        "--raw",
        &raw,
        "--if-absent",
    ];
    let stored = governed.admin(0, TEAM, &put)?;
    ensure!(stored.out.starts_with("version "), "{stored:?}");
    assert_eq!(governed.admin(1, TEAM, &put)?.status, 5);
    let list = ["resource", "list", "--namespace", "web"];
    assert_eq!(governed.admin(1, TEAM, &list)?.out, "web/raw/one\n");
    let own = ["policy", "put", "tenant/web", &rego];
    assert_eq!(governed.admin(0, TEAM, &own)?.status, 0);
    for words in [
        &["resource", "put", SECRET, "--raw", &raw][..],
        &["resource", "delete", SECRET],
        &["resource", "list"],
        &["policy", "put", "tenant/demo", &rego],
        &["policy", "get", "tenant/demo"],
        &["policy", "put", "resource", &rego],
        &["policy", "delete", "appraisal"],
        &["policy", "list"],
        &["reference-values", "list"],
        &["revoke", "add", "tenant", "web"],
        &["status"],
        &["audit-head"],
    ] {
        let done = governed.admin(0, TEAM, words)?;
        ensure!(done.status == 3, "{words:?}: {done:?}");
        ensure!(done.told.contains("AdminForbidden"), "{words:?}: {done:?}");
    }
    // Another role, a token that has ended, and one that others could read.
    for way in [Way::Jwt("mail", 10), Way::Jwt("web", 400)] {
        let done = governed.admin(0, way, &list)?;
        ensure!(
            done.status == 3 && done.told.contains("AdminAuthError"),
            "{done:?}"
        );
    }
    fs::set_permissions(
        governed.world.path("values.token"),
        Permissions::from_mode(0o644),
    )?;
    let done = governed.admin(0, Way::Token, &["reference-values", "list"])?;
    ensure!(
        done.status == 1 && done.told.contains("values.token"),
        "{done:?}"
    );
    Ok(())
}

#[test]
fn the_certificate_that_is_meant_administers_and_no_other_of_its_authority() -> Result<()> {
    let governed = Governed::start()?;
    let listed = governed.admin(0, ROOT, &["policy", "list"])?;
    let names: Vec<&str> = listed
        .out
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["attestation", "resource"], "{listed:?}");
    let other = governed.admin(0, Way::Certificate("other"), &["policy", "list"])?;
    ensure!(other.status == 3, "{other:?}");
    // A certificate of nobody ends the handshake.
    let identity = nitride_support::pki::Pki::new("another CA")?.client("root")?;
    governed
        .world
        .folder
        .write("other.pem", &identity.certificate_pem)?;
    governed
        .world
        .folder
        .write_secret("other-key.pem", &identity.key_pem)?;
    let stranger = governed.admin(0, Way::Certificate("other"), &["policy", "list"])?;
    ensure!(stranger.status == 7, "{stranger:?}");
    // And a service under another CA is not asked.
    governed
        .world
        .folder
        .write("ca.pem", nitride_support::pki::Pki::new("third")?.ca_pem())?;
    let elsewhere = governed.admin(0, ROOT, &["policy", "list"])?;
    ensure!(elsewhere.status == 7, "{elsewhere:?}");
    Ok(())
}

#[test]
fn what_one_replica_took_the_other_obeys() -> Result<()> {
    let governed = Governed::start()?;
    for replica in [0, 1] {
        assert_eq!(
            (governed.fetched(replica)?, governed.readiness(replica)?),
            (200, 200)
        );
    }
    governed.put("resource", "resource.toml", NOTHING)?;
    // Where it was put it is in force when the answer comes.
    assert_eq!(governed.fetched(0)?, 401);
    wait_until(
        "the other obeys",
        WITHIN,
        || Ok(governed.fetched(1)? == 401),
    )?;
    // Values come from somebody else than the policy, and at another replica.
    governed.put("resource", "resource.rego", AFFIRMING)?;
    governed.put(
        "attestation",
        "attestation.toml",
        &ATTESTATION.replace("\"1\"", ""),
    )?;
    assert_eq!(governed.fetched(0)?, 401);
    let values = "[[sample.reference]]\nname = \"image 1\"\nsvn = \"1\"\n";
    let file = governed
        .world
        .folder
        .write("values.toml", values)?
        .display()
        .to_string();
    let done = governed.admin(
        1,
        Way::Token,
        &["reference-values", "put", "attestation", &file],
    )?;
    ensure!(done.status == 0, "{done:?}");
    assert_eq!(governed.fetched(1)?, 200);
    wait_until("the other trusts the image", WITHIN, || {
        Ok(governed.fetched(0)? == 200)
    })?;
    let got = governed.admin(0, Way::Token, &["reference-values", "get", "attestation"])?;
    assert_eq!(
        (got.out.as_str(), got.told.as_str()),
        (values, "version 6\n")
    );
    // What is revoked at one is revoked at both, and lifted.
    for (verb, served) in [("add", 401), ("lift", 200)] {
        let done = governed.admin(1, ROOT, &["revoke", verb, "tenant", "demo"])?;
        let told = ["revoked tenant demo\n", ""][usize::from(verb == "lift")];
        ensure!(done.status == 0 && done.out == told, "{done:?}");
        for replica in [0, 1] {
            wait_until("the switch", WITHIN, || {
                Ok(governed.fetched(replica)? == served)
            })?;
        }
    }
    let lifted = governed.admin(0, ROOT, &["revoke", "lift", "tenant", "demo"])?;
    ensure!(lifted.status == 4, "{lifted:?}");
    // Each act is asked for and ends, and each replica tells what it saw, whoever did it.
    let (add, lift) = ("write revocations add", "write revocations lift");
    let all = governed.audited()?;
    let acts = [(add, "asked"), (add, "ok"), (lift, "asked"), (lift, "ok")];
    let acts = acts.map(|(what, outcome)| count(&all, "admin", outcome, what));
    assert_eq!(acts, [1, 1, 2, 1]);
    wait_until("each tells what it saw", WITHIN, || {
        let all = governed.audited()?;
        let seen = ["revoked", "lifted"];
        let seen = seen.map(|outcome| count(&all, "revocation", outcome, "tenant demo"));
        Ok(seen == [2, 2])
    })
}

fn count(entries: &[Value], kind: &str, outcome: &str, what: &str) -> usize {
    let is_it = |entry: &&Value| {
        entry["kind"] == kind && entry["outcome"] == outcome && entry["what"] == what
    };
    entries.iter().filter(is_it).count()
}

#[test]
fn a_policy_that_is_none_is_refused_and_the_old_one_stays() -> Result<()> {
    let governed = Governed::start()?;
    let nested = format!(
        "package policy\nallow if {{ {}1{} }}\n",
        "[".repeat(40),
        "]".repeat(40)
    );
    for (subject, name, file, text, word) in [
        (
            "policy",
            "resource",
            "bad.rego",
            "package policy\nallow {\n",
            "policies/resource",
        ),
        (
            "policy",
            "resource",
            "bad.rego",
            "package other\nallow := true\n",
            "its package is",
        ),
        (
            "policy",
            "resource",
            "bad.rego",
            "package policy\nother := 1\n",
            "no rule allow",
        ),
        (
            "policy",
            "resource",
            "bad.rego",
            &nested,
            "policies/resource",
        ),
        (
            "policy",
            "resource",
            "bad.toml",
            "version = 9\n",
            "policies/resource:1:",
        ),
        (
            "policy",
            "tenant/web",
            "bad.toml",
            &rules_of("demo"),
            "is not of web",
        ),
        (
            "policy",
            "attestation",
            "bad.toml",
            "version = 1\n",
            "policies/attestation",
        ),
        (
            "policy",
            "appraisal",
            "bad.rego",
            AFFIRMING,
            "policies/appraisal",
        ),
        (
            "reference-values",
            "attestation",
            "bad.toml",
            "version = 1\n",
            "reference-values/attestation",
        ),
        (
            "reference-values",
            "named",
            "bad.json",
            "{}",
            "reference-values/named",
        ),
    ] {
        let path = governed
            .world
            .folder
            .write(file, text)?
            .display()
            .to_string();
        let done = governed.admin(0, ROOT, &[subject, "put", name, &path])?;
        ensure!(
            done.status == 6 && done.told.contains(word),
            "{name} {text}: {done:?}"
        );
        ensure!(done.told.contains("PolicyRefused"), "{done:?}");
    }
    let status = governed.admin(0, ROOT, &["status"])?;
    let status: Value = serde_json::from_str(&status.out)?;
    assert_eq!(status["policy_set"], 2);
    for replica in [0, 1] {
        assert_eq!(
            (governed.fetched(replica)?, governed.readiness(replica)?),
            (200, 200)
        );
    }
    // What every replica would start with is what it has.
    let config = governed.world.path("one.toml").display().to_string();
    let words = ["policy", "check", "--config", &config];
    let checked = governed.world.owner().provisiond(&words, b"")?;
    ensure!(checked.contains("policies/attestation: good"), "{checked}");
    Ok(())
}

fn rules_of(repository: &str) -> String {
    format!(
        "version = 1\n[[rule]]\nname = \"one\"\nresources = [\"{repository}/**\"]\n\
         status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
         danger-allow-debug = false\nclaims = {{}}\n"
    )
}

#[test]
fn of_many_admins_who_saw_one_version_one_wins_and_the_audit_has_each() -> Result<()> {
    let governed = Governed::start()?;
    let seen = governed.admin(0, ROOT, &["policy", "get", "resource"])?;
    let version = seen
        .told
        .trim()
        .strip_prefix("version ")
        .context("a version")?
        .to_owned();
    let statuses = thread::scope(|scope| -> Result<Vec<i32>> {
        let racing: Vec<_> = (0..6)
            .map(|number: usize| {
                let (governed, version) = (&governed, &version);
                scope.spawn(move || -> Result<i32> {
                    let text = format!("{AFFIRMING}# {number}\n");
                    let file = format!("race-{number}.rego");
                    let file = governed
                        .world
                        .folder
                        .write(&file, text)?
                        .display()
                        .to_string();
                    let words = ["policy", "put", "resource", &file, "--if-version", version];
                    Ok(governed.admin(number % 2, ROOT, &words)?.status)
                })
            })
            .collect();
        let joined = racing
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow!("panicked"))?);
        joined.collect()
    })?;
    assert_eq!(
        statuses.iter().filter(|status| **status == 0).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 5).count(),
        5,
        "{statuses:?}"
    );
    governed.agree()?;
    assert_eq!((governed.fetched(0)?, governed.fetched(1)?), (200, 200));
    let done = governed.admin(0, TEAM, &["policy", "delete", "tenant/demo"])?;
    ensure!(done.status == 3, "{done:?}");
    // Who asked for what, and what became of it, on the replica that was asked.
    let all = governed.audited()?;
    let put = "write policies resource";
    // The first one, and the race: each was asked for, one of these was done.
    assert_eq!(count(&all, "admin", "asked", put), 7);
    assert_eq!(count(&all, "admin", "ok", put), 2);
    assert_eq!(count(&all, "admin", "ok", "write policies attestation"), 1);
    let by_root = all.iter().filter(|entry| entry["what"] == put);
    assert!(
        by_root
            .into_iter()
            .all(|entry| entry["who"] == "admin:root")
    );
    let refused: Vec<&Value> = all
        .iter()
        .filter(|entry| entry["kind"] == "refusal")
        .collect();
    for fault in ["Conflict", "AdminForbidden"] {
        ensure!(
            refused.iter().any(|entry| entry["outcome"] == fault),
            "{fault}: {refused:?}"
        );
    }
    // Each replica says when it took a set up.
    let taken = all.iter().filter(|entry| {
        let reason = entry["reason"].as_str().unwrap_or_default();
        entry["kind"] == "reload" && reason == "set 3 of the store"
    });
    assert_eq!(taken.count(), 2);
    Ok(())
}

#[test]
fn a_replica_takes_no_set_that_was_put_back_and_asks_for_no_requests() -> Result<()> {
    let governed = Governed::start()?;
    let set = governed.world.path("store/.records/policy/set.sealed");
    let open = fs::read(&set)?;
    governed.put("resource", "resource.toml", NOTHING)?;
    governed.agree()?;
    fs::write(&set, open)?;
    for replica in [0, 1] {
        wait_until("it notices", WITHIN, || {
            Ok(governed.readiness(replica)? == 503)
        })?;
        assert_eq!(governed.fetched(replica)?, 401);
        let log = governed.replicas[replica].log();
        ensure!(log.contains("it was put back"), "{log}");
    }
    let path = governed.world.path("resource.rego").display().to_string();
    let done = governed.admin(0, ROOT, &["policy", "put", "resource", &path])?;
    ensure!(done.status == 7, "{done:?}");
    Ok(())
}

#[test]
fn replicas_over_openbao_obey_what_one_was_told() -> Result<()> {
    let world = prepare()?;
    let bao = Cluster::start(&world.pki, 1)?;
    bao.keep_resources_of(&world.folder)?;
    let governed = Governed::of(world)?;
    assert_eq!((governed.readiness(0)?, governed.readiness(1)?), (503, 503));
    governed
        .world
        .owner()
        .deposit_raw(SECRET, b"what guests want")?;
    governed.put("attestation", "attestation.toml", ATTESTATION)?;
    governed.put("resource", "resource.rego", AFFIRMING)?;
    governed.agree()?;
    for replica in [0, 1] {
        assert_eq!(governed.fetched(replica)?, 200);
        wait_until("it is ready", WITHIN, || {
            Ok(governed.readiness(replica)? == 200)
        })?;
    }
    governed.put("resource", "resource.toml", NOTHING)?;
    wait_until(
        "the other obeys",
        WITHIN,
        || Ok(governed.fetched(1)? == 401),
    )?;
    Ok(())
}
