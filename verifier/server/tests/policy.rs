//! `policy` as an operator types it. Rego is evaluated by a second process of the program, as the
//! service has it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nitride-provisiond");
const RULES: &str = "version = 1\n[[rule]]\nname = \"web\"\nresources = [\"web/**\"]\n\
    status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
    danger-allow-debug = false\nclaims = { \"sample.svn\" = [\"1\"] }\n";

/// A folder with policies and claims.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(folder.0.path().join(name), text).unwrap();
        }
        folder
    }

    fn run(&self, line: &str) -> Output {
        Command::new(PROGRAM)
            .args(line.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// The exit status, and everything that was printed.
    fn told(&self, line: &str) -> (i32, String) {
        let output = self.run(line);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        (output.status.code().unwrap(), text)
    }

    /// What the policy says of the claims in `claims.json`.
    fn tested(&self, policy: &str) -> (i32, String) {
        self.told(&format!(
            "policy test claims.json web/key/one --policy {policy}"
        ))
    }
}

#[test]
fn a_trial_says_which_rule_allows_and_which_condition_fails() {
    let folder = Folder::with(&[
        ("rules.toml", RULES),
        ("claims.json", "{\"sample\":{\"svn\":\"1\"}}"),
        ("old.json", "{\"sample\":{\"svn\":\"0\"}}"),
    ]);
    let (status, text) = folder.tested("rules.toml");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("allowed: web/key/one by \"web\""), "{text}");
    let (status, text) = folder.told("policy test old.json web/key/one --policy rules.toml");
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("FAILS  sample.svn: wanted 1; seen 0"),
        "{text}"
    );
    let (status, text) = folder.told("policy test claims.json other/key/one --policy rules.toml");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("no rule names other/key/one"), "{text}");
}

#[test]
fn what_cannot_be_read_is_no_decision() {
    let folder = Folder::with(&[
        ("rules.toml", RULES),
        ("bad.toml", "version = 2\n"),
        ("bad.rego", "package policy\nallow {\n"),
        ("claims.json", "{\"sample\":{\"svn\":\"1\"}}"),
        ("bad.json", "[]"),
    ]);
    for line in [
        "policy test bad.json web/key/one --policy rules.toml",
        "policy test none.json web/key/one --policy rules.toml",
        "policy test claims.json web/key --policy rules.toml",
        "policy test claims.json web/key/one --policy bad.toml",
        "policy test claims.json web/key/one --policy bad.rego",
        "policy test claims.json web/key/one --config none.toml",
        "policy test claims.json web/key/one",
    ] {
        let (status, text) = folder.told(line);
        assert_eq!(status, 2, "{line}: {text}");
        assert!(!text.is_empty());
    }
}

#[test]
fn rego_is_tried_with_the_lines_that_decide() {
    let module = "package policy\nimport rego.v1\ndefault allow := false\nallow if {\n\
        \tdata[\"resource-path\"][0] == \"web\"\n\
        \tinput.submods.cpu0[\"ear.veraison.annotated-evidence\"].sample.svn == \"1\"\n\
        \tinput.submods.cpu0[\"ear.status\"] == \"affirming\"\n}\n";
    let folder = Folder::with(&[
        ("web.rego", module),
        ("claims.json", "{\"sample\":{\"svn\":\"1\"}}"),
        ("old.json", "{\"sample\":{\"svn\":\"0\"}}"),
    ]);
    let (status, text) = folder.tested("web.rego");
    assert_eq!(status, 0, "{text}");
    let (status, text) = folder.told("policy test old.json web/key/one --policy web.rego");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("     6  evaluated"), "{text}");
    assert!(text.contains("     7  not reached"), "{text}");
    assert!(text.contains("allow is false"), "{text}");
    let (status, text) = folder.told("policy check --resource web.rego");
    assert_eq!(status, 0, "{text}");
}

#[test]
fn rules_are_rendered_as_rego_that_decides_alike() {
    let folder = Folder::with(&[
        ("rules.toml", RULES),
        ("claims.json", "{\"sample\":{\"svn\":\"1\"}}"),
        ("old.json", "{\"sample\":{\"svn\":\"0\"}}"),
    ]);
    let (status, module) = folder.told("policy render rules.toml");
    assert_eq!(status, 0, "{module}");
    fs::write(folder.0.path().join("rules.rego"), module).unwrap();
    assert_eq!(folder.tested("rules.rego").0, 0);
    let denied = folder.told("policy test old.json web/key/one --policy rules.rego");
    assert_eq!(denied.0, 1, "{}", denied.1);
}

/// Each takes down the process that it is evaluated in, or would go on for ever.
#[test]
fn a_policy_that_takes_all_memory_or_depth_or_time_denies() {
    let deep: String = (0..8_000)
        .map(|n| format!("r{n} if r{}\n", n + 1))
        .collect();
    let deep =
        format!("package policy\nallow if {{\n\tinput.submods\n\tr0\n}}\n{deep}r8000 if true\n");
    let wide = "package policy\nallow if {\n\tinput.submods\n\
        \tcount(numbers.range(1, 100000000)) > 0\n}\n";
    let endless = "package policy\nallow if {\n\tinput.submods\n\
        \tsome i in numbers.range(1, 30000)\n\tsome j in numbers.range(1, 30000)\n\ti * j == -1\n}\n";
    let config = |policy: &str, millis: u32| {
        format!(
            "listen = \"127.0.0.1:0\"\ndanger-plain-http = true\nstore = \"s\"\n\
             store-key = \"k\"\nchallenge-key = \"c\"\ntoken-key = \"t\"\nissuer = \"i\"\n\
             audience = \"a\"\npolicy-id = \"p\"\nattestation-policy = \"a.toml\"\n\
             resource-policy = \"{policy}\"\n[policies]\nevaluation-ms = {millis}\n"
        )
    };
    let folder = Folder::with(&[
        ("deep.rego", &deep),
        ("wide.rego", wide),
        ("endless.rego", endless),
        ("claims.json", "{\"sample\":{\"svn\":\"1\"}}"),
        (
            "a.toml",
            "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n",
        ),
    ]);
    // The depth is reached before its time is over.
    for (policy, millis, word) in [
        ("deep.rego", 10_000, "too much memory, or calls too deep"),
        ("wide.rego", 10_000, "too much memory, or calls too deep"),
        ("endless.rego", 100, "its time is over"),
    ] {
        fs::write(folder.0.path().join("config.toml"), config(policy, millis)).unwrap();
        let begun = Instant::now();
        let (status, text) =
            folder.told("policy test claims.json web/key/one --config config.toml");
        assert_eq!(status, 1, "{policy}: {}", last(&text));
        assert!(text.contains(word), "{policy}: {}", last(&text));
        assert!(begun.elapsed() < Duration::from_secs(60), "{policy}");
    }
}

/// The lines before are a policy's, of which there may be thousands.
fn last(text: &str) -> &str {
    text.trim_end().rsplit('\n').next().unwrap_or_default()
}

/// The blocks of docs/policy.md are files by their names, and what a person types with its answer.
#[test]
fn the_documentation_says_what_the_program_says() {
    let page = include_str!("../../../docs/policy.md");
    let folder = Folder::with(&[]);
    let mut typed = 0;
    for (number, block) in page.split("```").enumerate() {
        let Some((kind, text)) = block.split_once('\n').filter(|_| number % 2 == 1) else {
            continue;
        };
        match kind.split(' ').collect::<Vec<_>>().as_slice() {
            ["console"] => {
                let (line, expected) = text.split_once('\n').unwrap();
                let line = line.strip_prefix("$ nitride-provisiond ").unwrap();
                let (_, told) = folder.told(line);
                if !expected.is_empty() {
                    assert_eq!(told, expected, "{line}");
                }
                typed += 1;
            }
            [_, name] => fs::write(folder.0.path().join(name), text).unwrap(),
            [_, _, "part"] => {}
            other => panic!("a block of kind {other:?}"),
        }
    }
    assert!(typed >= 3);
}

#[test]
fn who_starts_the_evaluator_by_hand_is_told() {
    let folder = Folder::with(&[]);
    let (status, text) = folder.told("policy evaluate --limit-ms 100");
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("the service starts this for itself"),
        "{text}"
    );
}

/// As the service starts it: its process, and its answer to a first question.
fn evaluator() -> (Child, UnixStream, String) {
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(PROGRAM)
        .args(["policy", "evaluate", "--limit-ms", "1000"])
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let module = "package policy\nallow := true\n";
    let request = serde_json::json!({
        "module": "m", "file": "m.rego", "text": module, "ask": "Check",
    });
    let request = request.to_string();
    let len = u32::try_from(request.len()).unwrap();
    let request = [&len.to_be_bytes()[..], request.as_bytes()].concat();
    socket.write_all(&request).unwrap();
    let mut len = [0; 4];
    socket.read_exact(&mut len).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
    socket.read_exact(&mut answer).unwrap();
    (child, socket, String::from_utf8(answer).unwrap())
}

#[test]
fn the_evaluator_that_answers_is_confined() {
    let (mut child, socket, answer) = evaluator();
    assert_eq!(answer, "{\"Yes\":null}");
    let of = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
    let status = of("status");
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(
            status.lines().any(|other| other == line),
            "{line}: {status}"
        );
    }
    let limits = of("limits");
    for name in [
        "Max open files",
        "Max processes",
        "Max core file size",
        "Max file size",
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let bounds: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(bounds, ["0", "0"], "{line}");
    }
    drop(socket);
    assert!(child.wait().unwrap().success());
}

/// As under a unit whose own filter has no seccomp in it.
#[test]
fn an_evaluator_that_cannot_be_confined_evaluates_nothing_and_says_so() {
    let refused = thread::spawn(|| {
        let filter = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_seccomp, Vec::new())]),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM.unsigned_abs()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        let (mut child, _socket, answer) = evaluator();
        (child.wait().unwrap().success(), answer)
    });
    let (success, answer) = refused.join().unwrap();
    assert!(!success);
    for part in ["NotEvaluated", "not confined", "seccomp"] {
        assert!(answer.contains(part), "{answer}");
    }
    let unit = include_str!("../../../systemd/system/nitride-provisiond.service");
    let lets = |line: &str| line.starts_with("SystemCallFilter=@") && line.contains(" seccomp");
    assert!(unit.lines().any(lets), "the unit's filter has no seccomp");
}
