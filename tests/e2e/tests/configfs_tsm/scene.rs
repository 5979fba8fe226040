//! A machine behind a configfs-tsm that FUSE plays, and the world that it asks for its secret in.

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
use nitride_verify::InitDataDigest;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const SECRET: &[u8] = b"correct horse battery staple";

/// What a service of this test differs in from one that releases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Service {
    /// In the attestation policy, one text for another.
    pub(crate) policy: Option<(&'static str, &'static str)>,
    /// It releases to genuine machines alone.
    pub(crate) wants_genuine: bool,
    /// Nothing that the vendor publishes is at hand.
    pub(crate) knows_nothing: bool,
}

/// A machine, and the world that it asks for its secret in. Nothing is started.
pub(crate) struct Scene {
    pub(crate) world: World,
    machine: Machine,
    pub(crate) tsm: Tsm,
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

    /// A guest of SEV-SNP. With init-data, HOST_DATA has their digest, or as much of it as it has room
    /// for, and the policy wants that they came.
    pub(crate) fn snp(init_data: Option<&str>) -> Result<Option<Self>> {
        let now_secs = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut draft = snp::Draft::lasting(now_secs);
        if let Some(body) = init_data {
            fill(&mut draft.report.host_data, body)?;
            draft.policy.set("host-data", "\"init-data\"");
        }
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

    /// A trust domain; the same of MRCONFIGID.
    pub(crate) fn tdx(init_data: Option<&str>) -> Result<Option<Self>> {
        let mut spec = Spec::lasting();
        if let Some(body) = init_data {
            let field = format!("mr-config-id = [\"{}\"]", "00".repeat(48));
            ensure!(spec.policy.contains(&field), "{}", spec.policy);
            let wanted = "mr-config-id = \"init-data\"";
            spec.policy = spec.policy.replace(&field, wanted);
            fill(&mut spec.quote.mr_config_id, body)?;
        }
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
    pub(crate) fn configure(&mut self, service: Service) -> Result<()> {
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

    pub(crate) fn start(&mut self, service: Service) -> Result<()> {
        self.configure(service)?;
        self.world.start_quote_by(self.machine.words()?)?;
        self.world.start_vhsmd()?;
        self.world.start_service()?;
        self.world.start_agent()?;
        let owner = self.world.owner();
        owner.deposit(&Deposit::secret("demo/secret/one", SECRET))
    }

    pub(crate) fn log(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.world.path(name))?)
    }
}

/// As much of the digest of init-data as a field of the hardware has room for.
fn fill(field: &mut [u8], init_data: &str) -> Result<()> {
    let digest = InitDataDigest::of("toml", init_data)?;
    for (to, from) in field.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    Ok(())
}

/// The machine's one request is refused, its agent says `told` and the service's log `logged`.
pub(crate) fn expect_refusal(scene: &Scene, told: &str, logged: &str) -> Result<()> {
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
