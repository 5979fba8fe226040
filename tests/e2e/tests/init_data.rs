//! Init-data through `attest`, of machines under a PKI that the test draws: believed where the machine
//! was launched with their digest, and refused by name everywhere else.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_kbs::messages::{Attestation, InitData, parse_attestation_response};
use nitride_kbs::report_data::report_data;
use nitride_protocol::KeyType;
use nitride_support::courier::KbsSession;
use nitride_support::forge::OpenToken;
use nitride_support::guest::tee_key;
use nitride_support::http::HttpMessage;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use nitride_support::tls::ServiceConnection;
use nitride_support::world::World;
use nitride_vectors::tdx::{Spec, pki::Pki};
use nitride_vectors::{published, snp};
use nitride_verify::{InitDataDigest, SnpAllegation, TdxAllegation};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const RESOURCE: &str = "demo/key/one";

/// Makes evidence that binds report data, of a machine that was launched with a digest.
type Quoting = Box<dyn Fn(&[u8; 48], &[u8]) -> Result<String>>;

/// A kind of machine.
struct Kind {
    tee: &'static str,
    /// Of the digest that fills the hardware's field.
    algorithm: &'static str,
    /// The claim that is this field.
    claim: &'static str,
    policy: String,
    quote: Quoting,
}

impl Kind {
    fn init_data(&self) -> InitData {
        let algorithm = self.algorithm;
        InitData {
            format: "toml".to_owned(),
            body: format!(
                "version = \"0.1.0\"\nalgorithm = \"{algorithm}\"\n[data]\nrole = \"web\"\n"
            ),
        }
    }

    /// HOST_DATA has what the machine was launched with.
    fn snp(collateral: &Path) -> Result<Self> {
        let now_secs = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut draft = snp::Draft::lasting(now_secs);
        draft.policy.set("host-data", "\"init-data\"");
        let vector = draft.build();
        published::write_amd(&vector, collateral)?;
        let certificates = vector.allegation.certificates;
        Ok(Self {
            tee: "snp",
            algorithm: "sha256",
            claim: "init_data",
            policy: vector.policy,
            quote: Box::new(move |data, launched_with| {
                let mut report = draft.report.clone();
                report.report_data[..48].copy_from_slice(data);
                report.host_data = field(launched_with);
                let evidence = SnpAllegation {
                    report: report.sign(),
                    certificates: certificates.clone(),
                };
                evidence.to_kbs_form().context("a report has a KBS form")
            }),
        })
    }

    /// MRCONFIGID has it.
    fn tdx(collateral: &Path) -> Result<Self> {
        let spec = Spec::lasting();
        let pki = Pki::make(&spec.pki)?;
        let made = spec.make_by(&pki)?;
        published::write_intel(&made, collateral)?;
        let stated = "mr-config-id = [\"";
        let (before, after) = made.policy.split_once(stated).context("a field")?;
        let (_, after) = after.split_once("\"]").context("its end")?;
        let event_log = made.evidence.event_log;
        Ok(Self {
            tee: "tdx",
            algorithm: "sha384",
            claim: "mr_config_id",
            policy: format!("{before}mr-config-id = \"any\"{after}"),
            quote: Box::new(move |data, launched_with| {
                let mut quote = spec.quote.clone();
                quote.report_data[..48].copy_from_slice(data);
                quote.mr_config_id = field(launched_with);
                let evidence = TdxAllegation {
                    quote: quote.make(&pki)?,
                    event_log: event_log.clone(),
                };
                Ok(evidence.to_kbs_form())
            }),
        })
    }
}

/// As much of a digest as a field of the hardware has room for, and zeros behind it.
fn field<const LEN: usize>(digest: &[u8]) -> [u8; LEN] {
    let mut field = [0; LEN];
    for (to, from) in field.iter_mut().zip(digest) {
        *to = *from;
    }
    field
}

fn digest(init_data: &InitData) -> Result<Vec<u8>> {
    let digest = InitDataDigest::of(&init_data.format, &init_data.body)?;
    Ok(digest.as_bytes().to_vec())
}

/// A service that judges one kind, and releases to machines with its init-data alone.
struct Scene {
    world: World,
    kind: Kind,
}

impl Scene {
    fn new(kind: impl FnOnce(&Path) -> Result<Kind>) -> Result<Self> {
        let mut world = World::prepare(Plan::without_agent(""))?;
        let collateral = world.path("collateral");
        std::fs::create_dir(&collateral)?;
        let kind = kind(&collateral)?;
        let wanted = base16ct::lower::encode_string(&digest(&kind.init_data())?);
        let claims = format!(
            "claims = {{ \"{}.{}\" = [\"{wanted}\"] }}",
            kind.tee, kind.claim
        );
        let rules = world.plan.resource_policy.replace("claims = {}", &claims);
        let rules = rules.replace("\"sample\"", &format!("{:?}", kind.tee));
        let config = std::fs::read_to_string(world.path("provisiond.toml"))?;
        let config = format!("collateral = {collateral:?}\n{config}");
        for (name, text) in [
            ("attestation.toml", &kind.policy),
            ("resource.toml", &rules),
            ("provisiond.toml", &config),
        ] {
            world.folder.write(name, text)?;
        }
        world.start_service()?;
        let key = Deposit::key(RESOURCE, KeyType::HmacSha256, &[1; 32]);
        world.owner().deposit(&key)?;
        Ok(Self { world, kind })
    }

    /// A machine that was launched with a digest attests and sends init-data, or none.
    fn attest(&self, launched_with: &[u8], init_data: Option<InitData>) -> Result<HttpMessage> {
        let mut session = KbsSession::open(&self.world.service_upstream()?)?;
        let nonce = session.auth(self.kind.tee)?;
        let key = tee_key()?;
        let evidence = (self.kind.quote)(&report_data(&nonce, &key, ""), launched_with)?;
        let attestation =
            Attestation::compose(&nonce, &key.to_jwk_json(), &evidence, "", init_data)?;
        session.post_attestation(attestation.to_json().as_bytes())
    }

    /// How the resource is answered to the token of an answer.
    fn fetched(&self, answer: &HttpMessage) -> Result<u16> {
        let token = parse_attestation_response(&answer.body)?.token;
        let request = HttpMessage::request("GET", &format!("/kbs/v0/resource/{RESOURCE}"), b"");
        // As Bearer, since no cookie has room for all that hardware says.
        let request = request.with_header("authorization", &format!("Bearer {token}"));
        let mut connection = ServiceConnection::open(&self.world.service_upstream()?)?;
        Ok(connection.call(&request)?.status())
    }
}

fn scenes() -> Result<[Scene; 2]> {
    Ok([Scene::new(Kind::snp)?, Scene::new(Kind::tdx)?])
}

/// What the token says of the machine.
fn claims(answer: &HttpMessage, tee: &str) -> Result<Value> {
    let said = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status() == 200, "{said}");
    let token = OpenToken::open(&parse_attestation_response(&answer.body)?.token)?;
    let machine = &token.claims["submods"]["cpu0"]["ear.veraison.annotated-evidence"];
    Ok(machine[tee].clone())
}

#[test]
fn init_data_that_the_machine_was_launched_with_pass_and_are_claims_that_a_policy_may_want()
-> Result<()> {
    for scene in scenes()? {
        let (tee, sent) = (scene.kind.tee, scene.kind.init_data());
        let launched_with = digest(&sent)?;
        let answer = scene.attest(&launched_with, Some(sent))?;
        let claims = claims(&answer, tee)?;
        assert_eq!(claims["init_data_bound"], json!(true), "{claims}");
        let digest = base16ct::lower::encode_string(&launched_with);
        assert_eq!(claims[scene.kind.claim], json!(digest), "{claims}");
        assert_eq!(scene.fetched(&answer)?, 200, "{tee}");
    }
    Ok(())
}

#[test]
fn init_data_that_the_machine_was_not_launched_with_are_refused_by_name() -> Result<()> {
    for scene in scenes()? {
        let tee = scene.kind.tee;
        let launched_with = digest(&scene.kind.init_data())?;
        let unbound = format!("init-data was sent, which this {tee} evidence does not bind");
        let altered = |from: &str, to: &str| {
            let mut altered = scene.kind.init_data();
            altered.body = altered.body.replace(from, to);
            altered
        };
        let own = format!("\"{}\"", scene.kind.algorithm);
        let wider = altered(&own, "\"sha512\"");
        let half_a_digest = digest(&wider)?;
        let mut of_another_format = scene.kind.init_data();
        of_another_format.format = "json".to_owned();
        for (launched_with, sent, reason) in [
            (&launched_with, altered("web", "database"), unbound.as_str()),
            // One byte more, which changes nothing of what it says.
            (&launched_with, altered("[data]", "[data] "), &unbound),
            (&Vec::new(), scene.kind.init_data(), &unbound),
            // The field has no room for all of it.
            (&half_a_digest, wider, &unbound),
            (
                &launched_with,
                of_another_format,
                "init-data of format \"json\"",
            ),
            (
                &launched_with,
                altered("0.1.0", "0.2.0"),
                "init-data of version",
            ),
            (
                &launched_with,
                altered(&own, "\"md5\""),
                "the algorithm \"md5\"",
            ),
            (
                &launched_with,
                altered("version", "colour"),
                "not of its form",
            ),
        ] {
            let answer = scene.attest(launched_with, Some(sent))?;
            assert_eq!(answer.status(), 401, "{tee}: {reason}");
            let refusal: Value = serde_json::from_slice(&answer.body)?;
            let text = |member: &str| refusal[member].as_str().unwrap_or_default();
            assert!(text("type").ends_with("/AttestationError"), "{refusal}");
            assert!(text("detail").contains(reason), "{reason}: {refusal}");
        }
    }
    Ok(())
}

#[test]
fn init_data_that_were_not_sent_are_not_believed_for_what_the_hardware_says() -> Result<()> {
    for scene in scenes()? {
        let launched_with = digest(&scene.kind.init_data())?;
        let answer = scene.attest(&launched_with, None)?;
        let claims = claims(&answer, scene.kind.tee)?;
        assert_eq!(claims["init_data_bound"], json!(false), "{claims}");
        // HOST_DATA is wanted as init-data; of MRCONFIGID the policy here wants the digest alone.
        let released = if scene.kind.tee == "snp" { 401 } else { 200 };
        assert_eq!(scene.fetched(&answer)?, released);
    }
    Ok(())
}
