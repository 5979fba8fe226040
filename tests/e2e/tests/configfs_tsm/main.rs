//! From a confidential machine's configfs-tsm to a secret, with the real programs. FUSE plays the
//! kernel's interface, and behind it is hardware of a PKI that the test draws.
#![forbid(unsafe_code)]

mod init_data;
mod scene;

use anyhow::{Context, Result, ensure};
use scene::{SECRET, Scene, Service, expect_refusal};

/// Both kinds of machine. Where one cannot be played the mount has said so.
fn scenes() -> Result<Vec<Scene>> {
    Ok([Scene::snp(None)?, Scene::tdx(None)?]
        .into_iter()
        .flatten()
        .collect())
}

#[test]
fn a_machine_gets_its_secret_on_the_request_that_asks_for_it() -> Result<()> {
    for mut scene in scenes()? {
        scene.start(Service::default())?;
        let mut app = scene.world.application()?;
        ensure!(&**app.release("app/secret", None)?.secret == SECRET);
        let log = scene.log("provisiond.log")?;
        ensure!(log.contains("affirming"), "{log}");
        // Whoever has the test's keys has this: it is not genuine, whatever else is right.
        ensure!(log.contains("simulated=true"), "{log}");
        ensure!(scene.tsm.left()?.is_empty());
    }
    Ok(())
}

#[test]
fn what_was_booted_has_to_be_what_the_policy_names() -> Result<()> {
    for (scene, (from, to), check) in [
        (
            Scene::snp(None)?,
            ("measurement = \"3e", "measurement = \"3f"),
            "snp.measurement",
        ),
        (
            Scene::tdx(None)?,
            ("mr-td = \"77", "mr-td = \"78"),
            "tdx.mr-td",
        ),
    ] {
        let Some(mut scene) = scene else {
            return Ok(());
        };
        scene.start(Service {
            policy: Some((from, to)),
            ..Service::default()
        })?;
        expect_refusal(&scene, "does not satisfy the resource policy", check)?;
    }
    Ok(())
}

#[test]
fn a_machine_of_a_test_anchor_is_not_taken_for_a_genuine_one() -> Result<()> {
    for mut scene in scenes()? {
        scene.start(Service {
            wants_genuine: true,
            ..Service::default()
        })?;
        let told = "does not satisfy the resource policy";
        expect_refusal(&scene, told, "evidence is simulated")?;
    }
    Ok(())
}

#[test]
fn a_root_that_no_policy_names_vouches_for_nothing_and_the_machine_is_told() -> Result<()> {
    for mut scene in scenes()? {
        let told = match scene.world.plan.tee.as_str() {
            "snp" => "is not the one pinned for Milan",
            _ => "the root of the PCK certificate chain is not pinned",
        };
        scene.start(Service {
            policy: Some((
                "danger-test-anchors = [\"",
                "danger-test-anchors = [] # [\"",
            )),
            ..Service::default()
        })?;
        expect_refusal(&scene, told, told)?;
    }
    Ok(())
}

#[test]
fn a_service_without_what_its_policy_needs_does_not_start_and_says_what_that_is() -> Result<()> {
    for mut scene in scenes()? {
        scene.configure(Service {
            knows_nothing: true,
            ..Service::default()
        })?;
        let refused = scene.world.start_service();
        let told = format!("{:#}", refused.err().context("it starts")?);
        ensure!(told.contains("collateral fetch"), "{told}");
    }
    Ok(())
}
