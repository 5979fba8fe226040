//! Further replicas of the service, and guests whose TEE key the test has.

use anyhow::{Context, Result};
use nitride_kbs::report_data::report_data;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_support::asker::Asker;
use nitride_support::binaries::Binaries;
use nitride_support::courier::{BoundEvidence, KbsSession};
use nitride_support::folder::Folder;
use nitride_support::forge::Signatory;
use nitride_support::openbao::Cluster;
use nitride_support::program::{Launch, Program, RunAs};
use nitride_support::tls::Upstream;
use nitride_support::world::World;
use serde_json::json;

/// Has the service of a world that is prepared keep its resources in OpenBao.
pub(crate) fn configure(folder: &Folder, bao: &Cluster) -> Result<()> {
    let toml = std::fs::read_to_string(folder.join("provisiond.toml"))?;
    let kept = toml.lines().filter(|line| !line.starts_with("store = "));
    let kept: Vec<&str> = kept.collect();
    let table = bao.configure(folder)?;
    folder
        .write("provisiond.toml", format!("{}\n\n{table}", kept.join("\n")))
        .map(drop)
}

/// One more process of the service, with the same keys and store.
pub(crate) struct Replica {
    program: Program,
    upstream: Upstream,
}

impl Replica {
    pub(crate) fn start(world: &World, name: &str, toml: &str) -> Result<Self> {
        let port_file = format!("{name}.port");
        let toml = toml.replace("service.port", &port_file);
        let config = world.folder.write(&format!("{name}.toml"), toml)?;
        let launch = Launch {
            name: name.to_owned(),
            path: Binaries::find()?.provisiond.clone(),
            arguments: vec!["serve".into(), "--config".into(), config.into()],
            environment: Vec::new(),
            run_as: RunAs::default(),
        };
        let mut program = Program::launch(&world.folder, &launch)?;
        program.wait_ready()?;
        let address = std::fs::read_to_string(world.folder.join(&port_file))?;
        Ok(Self {
            program,
            upstream: Upstream {
                address: address.trim().parse().context("parse the address")?,
                ca_pem: Some(world.pki.ca_pem().to_owned()),
            },
        })
    }

    pub(crate) fn log(&self) -> String {
        self.program.log()
    }

    /// What it says about requests that it did not serve.
    pub(crate) fn refusals(&self) -> String {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("fault="));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

/// A guest that has attested to one replica.
pub(crate) struct Guest(KbsSession);

impl Guest {
    pub(crate) fn attested(world: &World, replica: &Replica) -> Result<Self> {
        let mut session = KbsSession::open(&replica.upstream)?;
        let nonce = session.auth("sample")?;
        let mut jwk = Signatory::numbered(5)?.jwk();
        jwk["alg"] = json!("ECDH-ES+A256KW");
        let key = TeePublicKey::parse(&jwk.to_string())?;
        let mut quote = Asker::connect_silently(&world.path("quote.sock"))?;
        let answer = quote.ask(&EvidenceRequest {
            tee: "sample",
            report_data: &report_data(&nonce, &key, ""),
            yields: false,
        })?;
        let reply: EvidenceReply<'_> = answer.result()?;
        let evidence = BoundEvidence {
            tee_pubkey: key.to_jwk_json(),
            primary_evidence: reply.primary_evidence.to_owned(),
            additional_evidence: reply.additional_evidence.to_owned(),
        };
        session.attest(&nonce, &evidence)?;
        Ok(Self(session))
    }

    /// A resource's status, and what is said with it.
    pub(crate) fn fetch(&mut self, path: &str) -> Result<(u16, String)> {
        let response = self.0.fetch(path)?;
        let body = String::from_utf8_lossy(&response.body).into_owned();
        Ok((response.status(), body))
    }
}
