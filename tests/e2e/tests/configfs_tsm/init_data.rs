//! Init-data of a launch: from the file that `[boot]` of vhsmd.toml names, beside evidence that has
//! their digest from the hardware, to a secret that is for machines with these alone.

use crate::scene::{SECRET, Scene, Service, expect_refusal};
use anyhow::{Context, Result, ensure};
use nitride_kbs::messages::InitData;
use nitride_protocol::Status;
use nitride_support::plan::Plan;
use nitride_support::world::{World, outcome};
use nitride_verify::InitDataDigest;

const FILE: &str = "init-data.toml";
const BOOT: &str = "\n[boot]\ninit-data = \"@DIR@/init-data.toml\"\n";
/// What goes out beside evidence, as JSON.
const LONGEST: usize = 32 << 10;

/// A kind of machine whose launch measures init-data.
struct Kind {
    tee: &'static str,
    /// The claim that is the field of the hardware.
    claim: &'static str,
    /// Of the digest that fills it.
    algorithm: &'static str,
    /// Of one that does not.
    other_algorithm: &'static str,
    scene: fn(Option<&str>) -> Result<Option<Scene>>,
}

const KINDS: [Kind; 2] = [
    Kind {
        tee: "snp",
        claim: "init_data",
        algorithm: "sha256",
        other_algorithm: "sha384",
        scene: Scene::snp,
    },
    Kind {
        tee: "tdx",
        claim: "mr_config_id",
        algorithm: "sha384",
        other_algorithm: "sha256",
        scene: Scene::tdx,
    },
];

impl Kind {
    /// A machine that was launched with one text, whose vault sends it, and a service that has a secret
    /// for machines that were launched with another.
    fn scene(&self, launched_with: &str, wanted: &str) -> Result<Option<Scene>> {
        let Some(mut scene) = (self.scene)(Some(launched_with))? else {
            return Ok(None);
        };
        let digest = InitDataDigest::of("toml", wanted)?;
        let claims = format!(
            "claims = {{ \"{}.{}\" = [\"{}\"] }}",
            self.tee,
            self.claim,
            base16ct::lower::encode_string(digest.as_bytes())
        );
        let rules = &mut scene.world.plan.resource_policy;
        *rules = rules.replace("claims = {}", &claims);
        let world = &scene.world;
        let config = std::fs::read_to_string(world.path("vhsmd.toml"))?;
        let config = config + &world.expand(BOOT);
        world.folder.write("vhsmd.toml", config)?;
        world.folder.write(FILE, launched_with)?;
        Ok(Some(scene))
    }

    fn body(&self, role: &str) -> String {
        body(self.algorithm, role)
    }
}

fn body(algorithm: &str, role: &str) -> String {
    format!("version = \"0.1.0\"\nalgorithm = \"{algorithm}\"\n[data]\nrole = \"{role}\"\n")
}

/// As long as init-data may be, and as many bytes longer.
fn longest(algorithm: &str, more: usize) -> Result<String> {
    let empty = InitData {
        format: "toml".to_owned(),
        body: body(algorithm, ""),
    };
    let room = LONGEST.checked_sub(empty.to_json().len()).context("room")?;
    Ok(body(algorithm, &"x".repeat(room + more)))
}

/// vhsmd again, which reads another text.
fn restart_with(scene: &mut Scene, text: &str) -> Result<()> {
    scene.world.folder.write(FILE, text)?;
    drop(scene.world.vhsmd.take());
    scene.world.start_vhsmd()
}

/// Nothing is released, and for this reason: `told` in the agent's log, `logged` in the service's.
fn refused(
    scene: &Scene,
    told: &str,
    logged: &str,
    act: impl FnOnce() -> Result<Status>,
) -> Result<()> {
    let before = (
        scene.log("agent.log")?.len(),
        scene.log("provisiond.log")?.len(),
    );
    let status = act()?;
    ensure!(status == Status::DeniedByVerifier, "{status:?}");
    for (log, before, expected) in [
        ("agent.log", before.0, told),
        ("provisiond.log", before.1, logged),
    ] {
        let log = scene.log(log)?;
        let since = log.get(before..).context("what was logged since")?;
        ensure!(since.contains(expected), "no {expected:?}: {since}");
    }
    Ok(())
}

#[test]
fn a_machine_gets_what_is_for_the_init_data_of_its_launch() -> Result<()> {
    for kind in KINDS {
        for body in [kind.body("web"), longest(kind.algorithm, 0)?] {
            let Some(mut scene) = kind.scene(&body, &body)? else {
                return Ok(());
            };
            scene.start(Service::default())?;
            let released = scene.world.application()?.release("app/secret", None)?;
            ensure!(&**released.secret == SECRET);
        }
    }
    Ok(())
}

#[test]
fn init_data_that_are_not_those_of_the_launch_reach_no_secret() -> Result<()> {
    for kind in KINDS {
        let launched_with = kind.body("web");
        let Some(mut scene) = kind.scene(&launched_with, &launched_with)? else {
            return Ok(());
        };
        scene.world.folder.write(FILE, kind.body("database"))?;
        scene.start(Service::default())?;
        let unbound = format!(
            "init-data was sent, which this {} evidence does not bind",
            kind.tee
        );
        expect_refusal(&scene, &unbound, &unbound)?;
        for other in [
            // One byte more, which changes nothing of what it says.
            launched_with.replace("[data]", "[data] "),
            body(kind.other_algorithm, "web"),
            body("sha512", "web"),
        ] {
            restart_with(&mut scene, &other)?;
            refused(&scene, &unbound, &unbound, || {
                outcome(scene.world.application()?.release("app/secret", None))
            })?;
        }
        // None are no better: the service wants that some came.
        let config = std::fs::read_to_string(scene.world.path("vhsmd.toml"))?;
        let without = config.replace("init-data =", "# init-data =");
        scene.world.folder.write("vhsmd.toml", without)?;
        restart_with(&mut scene, &launched_with)?;
        let (told, logged) = (
            "does not satisfy the resource policy",
            "no init-data came with the evidence",
        );
        refused(&scene, told, logged, || {
            outcome(scene.world.application()?.release("app/secret", None))
        })?;
        // It was the file and nothing else.
        scene.world.folder.write("vhsmd.toml", config)?;
        restart_with(&mut scene, &launched_with)?;
        let released = scene.world.application()?.release("app/secret", None)?;
        ensure!(&**released.secret == SECRET);
    }
    Ok(())
}

/// The host launches with what it likes: that they are bound is not that anybody wants them.
#[test]
fn a_machine_that_was_launched_with_others_is_not_the_one_that_a_rule_names() -> Result<()> {
    for kind in KINDS {
        let Some(mut scene) = kind.scene(&kind.body("database"), &kind.body("web"))? else {
            return Ok(());
        };
        scene.start(Service::default())?;
        let told = "does not satisfy the resource policy";
        expect_refusal(&scene, told, kind.claim)?;
    }
    Ok(())
}

/// A digest that is cut to the field's length is none.
#[test]
fn a_launch_with_a_part_of_a_digest_binds_nothing() -> Result<()> {
    for kind in KINDS {
        let longer = body("sha512", "web");
        let Some(mut scene) = kind.scene(&longer, &longer)? else {
            return Ok(());
        };
        scene.start(Service::default())?;
        let told = format!("this {} evidence does not bind", kind.tee);
        expect_refusal(&scene, &told, &told)?;
    }
    Ok(())
}

#[test]
fn init_data_that_no_service_could_take_start_no_vault() -> Result<()> {
    let mut plan = Plan::vault("");
    plan.vhsmd_tables = BOOT.to_owned();
    let mut world = World::prepare(plan)?;
    world.start_quote()?;
    let good = body("sha256", "web");
    for (text, reason) in [
        (longest("sha256", 1)?, "longer than the 32768 bytes"),
        (body("md5", "web"), "no such hash"),
        (good.replace("0.1.0", "0.2.0"), "of another version"),
        (good.replace("[data]", "[date]"), "`date`"),
        ("\0".to_owned(), "init-data.toml"),
    ] {
        world.folder.write(FILE, &text)?;
        let refused = world.start_vhsmd().err().context("it starts")?;
        let told = format!("{refused:#}");
        ensure!(told.contains(reason), "no {reason:?}: {told}");
    }
    std::fs::remove_file(world.path(FILE))?;
    ensure!(world.start_vhsmd().is_err());
    world.folder.write(FILE, &good)?;
    world.start_vhsmd()
}
