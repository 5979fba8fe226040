//! What a decision costs, by rules and by Rego: alone, and as a request for a resource.
//!
//! Alone, rules are decided in this process and Rego by the service's own evaluator, over its socket,
//! as the service asks it. As a request, one service has a policy in Rego of its own, a tenant with
//! rules, and tenants with Rego; what evaluates is a process beside the service, whose time of
//! processors is not among the service's.

use super::crowd::{Crowd, Errand};
use super::kind::Kind;
use super::{Bench, SECRET, UNTHROTTLED, at, figures, identities, plural};
use crate::report::Report;
use crate::scale::Scale;
use anyhow::{Context, Result, bail, ensure};
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::token::EarClaims;
use nitride_policy::{Answer, Ask, Decision, Question, RegoModule, Request, Rules};
use nitride_support::binaries::Binaries;
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SPAN: Duration = Duration::from_secs(3);
const CLIENTS: [u32; 2] = [1, 8];
const TENANTS: u32 = 8;
const DECISIONS: u32 = 5_000;
const STARTS: u32 = 50;
const MAX_ANSWER_LEN: usize = 64 * 1024;

/// The two say the same, each in its form.
const RULES: &str = "version = 1\n\n[[rule]]\nname = \"perf\"\nresources = [\"ruled/*/*\"]\n\
    status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
    danger-allow-debug = false\nclaims = { \"sample.svn\" = [\"1\", \"2\"] }\n";
const REGO: &str = "package policy\n\nimport rego.v1\n\ndefault allow := false\n\nallow if {\n\
    \tdata[\"resource-path\"][1] == \"secret\"\n\tevery submod in input.submods {\n\
    \t\tsubmod[\"ear.status\"] == \"affirming\"\n\t}\n\
    \tinput.submods.cpu0[\"ear.veraison.annotated-evidence\"].sample.svn in {\"1\", \"2\"}\n}\n";

pub(in crate::sections) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("service, evaluators and a client of one thread on every CPU".to_owned());
    alone(report, scale)?;
    requests(report, scale)
}

/// Of one decision, without the service.
fn alone(report: &mut Report, scale: Scale) -> Result<()> {
    let claims: EarClaims = serde_json::from_value(json!({
        "eat_profile": "tag:github.com,2023:veraison/ear", "iss": "perf", "iat": 1, "exp": 2,
        "nitride.simulated": true, "nitride.debug": false,
        "submods": { "cpu0": {
            "ear.status": "affirming",
            "ear.trustworthiness-vector": { "executables": 3, "hardware": 2 },
            "ear.veraison.annotated-evidence": { "sample": { "svn": "1" } },
        } },
    }))?;
    let path = ResourcePath::parse("ruled/secret/one")?;
    let question = Question {
        claims: &claims,
        path: &path,
    };
    let rules = Rules::parse(RULES, "resource.toml")?;
    let module = RegoModule::new(REGO, "policy.rego")?;
    let ask = Ask::Allow {
        input: question.input(),
        data: question.data(),
        traced: false,
    };
    let [first, request] = [true, false].map(|text| Request::of(&module, ask.clone(), text));
    let mut evaluator = Evaluator::start(&first)?;
    let (mut by_rules, mut by_rego, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.count(DECISIONS) {
        let begun = Instant::now();
        let decision = rules.decide(&question);
        by_rules.push(begun.elapsed());
        ensure!(
            matches!(decision, Decision::Allowed { .. }),
            "rules do not allow: {decision:?}"
        );
    }
    for _ in 0..scale.count(DECISIONS) {
        let begun = Instant::now();
        let answer = evaluator.ask(&request)?;
        by_rego.push(begun.elapsed());
        ensure!(
            answer == Answer::Yes(None),
            "Rego does not allow: {answer:?}"
        );
    }
    for _ in 0..scale.count(STARTS) {
        let begun = Instant::now();
        let started = Evaluator::start(&first)?;
        starts.push(begun.elapsed());
        drop(started);
    }
    for (name, took) in [
        ("rules, a decision", &mut by_rules),
        ("Rego, a decision", &mut by_rego),
        (
            "an evaluator, from start to its first decision",
            &mut starts,
        ),
    ] {
        took.sort();
        for share in [50, 99] {
            report.figure(format!("{name}, p{share}"), at(took, share) * 1e3, "us");
        }
    }
    report.figure("an evaluator, most resident", evaluator.resident()?, "MiB");
    Ok(())
}

/// Of a request for a resource, before a service.
fn requests(report: &mut Report, scale: Scale) -> Result<()> {
    let mut bench = Bench::new(Kind::sample(), Plan::without_agent(""), None)?;
    let folder = bench.world.path("tenants");
    fs::create_dir(&folder)?;
    fs::write(folder.join("ruled.toml"), RULES)?;
    let tenants: Vec<String> = (0..TENANTS)
        .map(|number| format!("tenant-{number}"))
        .collect();
    for tenant in &tenants {
        // Texts of their own, as tenants have.
        let text = format!("# {tenant}\n{REGO}");
        fs::write(folder.join(format!("{tenant}.rego")), text)?;
    }
    fs::write(bench.world.path("own.rego"), REGO)?;
    let config = fs::read_to_string(bench.world.path("provisiond.toml"))?;
    let config = config.replace("resource.toml", "own.rego")
        + UNTHROTTLED
        + &format!("[policies]\ntenants = {folder:?}\n");
    bench.world.folder.write("provisiond.toml", config)?;
    let service = bench.start()?;
    let resources: Vec<String> = ["ruled", "own"]
        .into_iter()
        .chain(tenants.iter().map(String::as_str))
        .map(|repository| format!("{repository}/secret/one"))
        .collect();
    for path in &resources {
        bench
            .world
            .owner()
            .deposit(&Deposit::secret(path, SECRET))?;
    }
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    let [ruled, own, tenants @ ..] = &resources[..] else {
        bail!("there are fewer resources than two");
    };
    let identities = identities(*CLIENTS.iter().max().context("a number of clients")?)?;
    for (name, resources) in [
        ("rules", std::slice::from_ref(ruled)),
        ("Rego of the service's own", std::slice::from_ref(own)),
        ("Rego of one tenant", tenants.get(..1).context("a tenant")?),
        ("Rego of eight tenants", tenants),
    ] {
        // One client asks for one resource.
        for count in CLIENTS
            .into_iter()
            .filter(|count| resources.len() <= *count as usize)
        {
            let crowd = Crowd {
                resources,
                ..bench.crowd(&service, &identities)?
            };
            let rate = crowd.repeat(Errand::Reads, count, scale.span(SPAN))?;
            let name = format!("{name}, {count} client{}: GET", plural(count));
            figures(report, &name, &rate);
        }
    }
    bench.resident(report, "reads")?;
    Ok(())
}

/// The service's evaluator, started as the service starts it.
struct Evaluator {
    child: Child,
    socket: UnixStream,
}

impl Evaluator {
    /// With the module of this question read, whose answer is yes.
    fn start(first: &Request) -> Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = Command::new(&Binaries::find()?.provisiond)
            .args(["policy", "evaluate", "--limit-ms", "1000"])
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        let mut evaluator = Self { child, socket };
        let answer = evaluator.ask(first)?;
        ensure!(
            answer == Answer::Yes(None),
            "Rego does not allow: {answer:?}"
        );
        Ok(evaluator)
    }

    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let body = serde_json::to_vec(request)?;
        let len = u32::try_from(body.len())?.to_be_bytes();
        self.socket.write_all(&[&len[..], &body].concat())?;
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).context("no answer")?;
        let len = usize::try_from(u32::from_be_bytes(len))?;
        ensure!(len <= MAX_ANSWER_LEN, "an answer is too long");
        let mut body = vec![0; len];
        self.socket.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body)?)
    }

    fn resident(&self) -> Result<f64> {
        super::resident(self.child.id())
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and is waited for all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
