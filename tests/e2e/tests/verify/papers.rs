//! The examples and the manual are those of the program.

use crate::scene::run;
use anyhow::{Context, Result};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_example_policies_are_good() -> Result<()> {
    for (file, accepts) in [
        ("examples/verify/policy.toml", "snp, tdx"),
        ("examples/verify/sample.toml", "sample"),
    ] {
        let path = root().join(file).display().to_string();
        let said = run(&["policy", "check", &path])?;
        assert_eq!(
            said.out,
            format!("{path}: good, accepts {accepts}\n"),
            "{said:?}"
        );
    }
    Ok(())
}

/// Each example of the manual, with an absent policy in place of its own: the command line is
/// understood, and the first file that is looked for is named.
#[test]
fn the_manuals_examples_are_understood() -> Result<()> {
    let page = std::fs::read_to_string(root().join("packaging/man/nitride-verify.1"))?;
    let (_, examples) = page.split_once(".SH EXAMPLES\n").context("examples")?;
    let examples = examples.split("\n.SH ").next().unwrap_or("");
    let examples = examples.replace("\\e\n", " ").replace("\\-", "-");
    let mut tried = Vec::new();
    for line in examples.lines() {
        let Some(words) = line.strip_prefix("nitride-verify ") else {
            continue;
        };
        let words = words_of(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = run(&words)?;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("cannot be read"), "{line}: {said:?}");
        tried.push(words[0].to_owned());
    }
    tried.dedup();
    assert_eq!(tried, ["snp", "tdx", "gpu", "kbs", "policy", "measure"]);
    Ok(())
}

/// As a shell takes them: a word in double quotes is one.
fn words_of(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
