//! `cargo perf`: what the vault costs over its socket, and the verifier beyond its signatures, as
//! ratios measured in one run.
//!
//! The floor is what no vault behind a socket can go below: the bare AWS-LC operation plus one
//! blocking SOCK_SEQPACKET round trip between two processes, with packets of the same sizes. Both
//! sides of a ratio are measured in turns, so that a change of the machine's speed meets both; a
//! ratio is the median of the ratios of the turns.
//!
//! ```text
//! turn: | bare sign | round trip | vault sign | bare seal | round trip | vault encrypt | ...
//! ```
//!
//! `cargo perf` runs every section; `cargo perf floor batch` runs these two. `--json FILE` writes
//! all figures. `--quick` measures next to nothing, to see that every section runs to its end. What
//! a section needs and does not find is said at the end. `--drive sign` (`encrypt`, `mac`) measures
//! nothing and keeps one operation going, for a profiler.
#![forbid(unsafe_code)]

mod drive;
mod elsewhere;
mod floor;
mod measure;
mod openbao;
mod placement;
mod report;
mod scale;
mod sections;
mod softhsm;
mod vault;

use anyhow::{Context, Result, bail};
use report::Report;
use scale::Scale;
use sections::SECTIONS;
use std::ffi::OsString;
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut json: Option<PathBuf> = None;
    let mut scale = Scale::FULL;
    let mut wanted = Vec::new();
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| -> Result<OsString> {
            arguments
                .next()
                .with_context(|| format!("{name} needs a value"))
        };
        match argument.to_str() {
            Some("--json") => json = Some(value("--json")?.into()),
            Some("--quick") => scale = Scale::QUICK,
            Some(drive::ARGUMENT) => {
                let operation = value(drive::ARGUMENT)?;
                vault::build()?;
                return drive::drive(&operation.to_string_lossy());
            }
            Some(floor::ECHO_ARGUMENT) => {
                return floor::serve_echo(value(floor::ECHO_ARGUMENT)?.as_ref());
            }
            Some(softhsm::CHILD_ARGUMENT) => {
                return softhsm::measure(value(softhsm::CHILD_ARGUMENT)?.as_ref());
            }
            Some(name) => match SECTIONS.iter().find(|section| section.name == name) {
                Some(section) => wanted.push(section),
                None => bail!("unknown section {name}: there are {}", names()),
            },
            None => bail!(
                "unknown argument: there are --json FILE, --quick and {}",
                names()
            ),
        }
    }
    if wanted.is_empty() {
        wanted = SECTIONS.iter().collect();
    }
    // Building wants every CPU, so it comes before anything is bound to one.
    if wanted.iter().any(|section| section.starts_programs) {
        vault::build()?;
    }
    let mut report = Report::default();
    for section in wanted {
        eprintln!("{}: {}", section.name, section.about);
        report.begin(section.name);
        (section.run)(&mut report, scale).with_context(|| format!("section {}", section.name))?;
    }
    report.print();
    json.map_or(Ok(()), |path| report.write_json(&path))
}

fn names() -> String {
    let names: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    names.join(", ")
}
