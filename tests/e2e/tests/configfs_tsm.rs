//! From a confidential machine's configfs-tsm to a secret, with the real programs. FUSE plays the
//! kernel's interface, and behind it is hardware of a PKI that the test draws.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyState, KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::rules::provisioned;
use nitride_support::world::{World, outcome};
use nitride_tsm::Tsm;
use nitride_tsm::machine::Machine;
use nitride_tsm::provider::{ARK, ASK, Provider, Signer, VCEK, table};
use nitride_vectors::tdx::{Spec, pki::Pki};
use nitride_vectors::{published, snp};
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &[u8] = b"correct horse battery staple";

/// What a service of this test differs in from one that releases.
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    /// In the attestation policy, one text for another.
    policy: Option<(&'static str, &'static str)>,
    /// It releases to genuine machines alone.
    wants_genuine: bool,
    /// Nothing that the vendor publishes is at hand.
    knows_nothing: bool,
}

/// A machine, and the world that it asks for its secret in. Nothing is started.
struct Scene {
    world: World,
    machine: Machine,
    tsm: Tsm,
    policy: String,
}

impl Scene {
    /// A world for this TEE, with a folder of collateral that is still empty.
    fn new(tee: &str, provider: Provider, policy: String) -> Result<Option<Self>> {
        let Some(tsm) = Tsm::mount(provider)? else {
            return Ok(None);
        };
        let mut plan = Plan::chain(&provisioned(
            "app/secret",
            KeyType::Secret,
            "demo/secret/one",
        ));
        plan.tee = tee.to_owned();
        let quoted = format!("{tee:?}");
        plan.resource_policy = plan.resource_policy.replace("\"sample\"", &quoted);
        let world = World::prepare(plan)?;
        std::fs::create_dir(world.path("collateral"))?;
        let machine = Machine {
            reports: Some(tsm.reports().to_owned()),
            ..Machine::default()
        };
        Ok(Some(Self {
            world,
            machine,
            tsm,
            policy,
        }))
    }

    fn snp() -> Result<Option<Self>> {
        let now_secs = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let draft = snp::Draft::lasting(now_secs);
        let vector = draft.build();
        let vcek = vector.allegation.certificates.vcek.as_deref();
        let ask = vector.collateral.ask.as_deref();
        let certificates = table(&[
            (VCEK, vcek.context("a VCEK")?),
            (ASK, ask.context("an ASK")?),
            (ARK, &vector.collateral.ark),
        ])?;
        let signer = Signer::snp(move |data| {
            let mut report = draft.report.clone();
            report.report_data = *data;
            Some((report.sign(), certificates.clone()))
        });
        let scene = Self::new("snp", Provider::Signed(signer), vector.policy.clone())?;
        if let Some(scene) = &scene {
            published::write_amd(&vector, &scene.world.path("collateral"))?;
        }
        Ok(scene)
    }

    fn tdx() -> Result<Option<Self>> {
        let spec = Spec::lasting();
        let pki = Pki::make(&spec.pki)?;
        let made = spec.make_by(&pki)?;
        let quote = spec.quote.clone();
        let signer = Signer::tdx(move |data| {
            let mut quote = quote.clone();
            quote.report_data = *data;
            quote.make(&pki).ok()
        });
        let scene = Self::new("tdx", Provider::Signed(signer), made.policy.clone())?;
        let Some(mut scene) = scene else {
            return Ok(None);
        };
        published::write_intel(&made, &scene.world.path("collateral"))?;
        let folder = scene.tsm.folder();
        let mut ccel = b"CCEL".to_vec();
        ccel.resize(56, 0);
        ccel[36] = 2;
        folder.write("tables/CCEL", ccel)?;
        let log = made.evidence.event_log.as_deref().context("no log")?;
        folder.write("tables/data/CCEL", [log, &[0xff; 4096]].concat())?;
        scene.machine.acpi_tables = Some(folder.join("tables"));
        scene.world.plan.quote_tables = "[tdx]\nevent-log = \"required\"\n".to_owned();
        Ok(Some(scene))
    }

    /// Starts everything but the service, which is configured as it is to be.
    fn configure(&mut self, service: Service) -> Result<()> {
        let mut policy = self.policy.clone();
        if let Some((from, to)) = service.policy {
            ensure!(policy.contains(from), "{policy}");
            policy = policy.replacen(from, to, 1);
        }
        let folder = &self.world.folder;
        folder.write("attestation.toml", policy)?;
        let mut rules = self.world.plan.resource_policy.clone();
        if service.wants_genuine {
            rules = rules.replace("simulated = true", "simulated = false");
        }
        folder.write("resource.toml", rules)?;
        let config = self.world.path("provisiond.toml");
        let config = std::fs::read_to_string(config)?;
        let collateral = if service.knows_nothing {
            String::new()
        } else {
            format!("collateral = {:?}\n", self.world.path("collateral"))
        };
        folder.write("provisiond.toml", collateral + &config)?;
        Ok(())
    }

    fn start(&mut self, service: Service) -> Result<()> {
        self.configure(service)?;
        self.world.start_quote_by(self.machine.words()?)?;
        self.world.start_vhsmd()?;
        self.world.start_service()?;
        self.world.start_agent()?;
        let owner = self.world.owner();
        owner.deposit(&Deposit::secret("demo/secret/one", SECRET))
    }

    fn log(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.world.path(name))?)
    }
}

/// Both kinds of machine. Where one cannot be played the mount has said so.
fn scenes() -> Result<Vec<Scene>> {
    Ok([Scene::snp()?, Scene::tdx()?]
        .into_iter()
        .flatten()
        .collect())
}

/// The machine's one request is refused, its agent says `told` and the service's log `logged`.
fn expect_refusal(scene: &Scene, told: &str, logged: &str) -> Result<()> {
    let mut app = scene.world.application()?;
    let refused = outcome(app.release("app/secret", None))?;
    ensure!(refused == Status::DeniedByVerifier, "{refused:?}");
    ensure!(app.describe("app/secret")?.state == KeyState::Pending);
    for log in ["agent.log", "vhsmd.log"] {
        let log = scene.log(log)?;
        ensure!(log.contains(told), "no {told:?}: {log}");
    }
    let log = scene.log("provisiond.log")?;
    ensure!(log.contains(logged), "no {logged:?}: {log}");
    ensure!(!log.contains("released"), "{log}");
    Ok(())
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
            Scene::snp()?,
            ("measurement = \"3e", "measurement = \"3f"),
            "snp.measurement",
        ),
        (Scene::tdx()?, ("mr-td = \"77", "mr-td = \"78"), "tdx.mr-td"),
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
