//! `nitride-verify`: judge attestation evidence from files.
//!
//! ```text
//!  arguments ─▶ evidence/   raw files or KBS JSON ─▶ allegation ─┐
//!               a folder of what vendors publish ────────────────┼─▶ nitride-verify ─▶ judgement
//!               policy, report data, time ───────────────────────┘   (pure)           │
//!                                                    exit 0, 1, 2 ◀── table or JSON ◀─┘
//!  image ─▶ measure/ ─▶ nitride-measure (pure) ─▶ a reference value
//! ```
//!
//! Principles:
//!
//! - **This program decides nothing.** It reads bounded files and shows what `nitride-verify` says;
//!   each kind of evidence is one file of `evidence/`; what vendors publish is the business of
//!   `nitride-collateral`.
//! - **A judgement asks nobody.** What is not among the files is missing, and is named. Fetching is
//!   a verb of its own.
//! - **Refused is not the same as not judged.** Evidence that is wrong is refused with its check's
//!   name; a file of the operator's that is wrong or missing ends with another exit status.
#![forbid(unsafe_code)]

mod arguments;
mod collateral;
mod evidence;
mod exit;
mod expected;
mod judgement;
mod list;
mod measure;
mod moment;
mod policy;
mod present;
mod tpm;

use anyhow::Result;
use arguments::{Arguments, PolicyVerb, Verb};
use clap::Parser;
use exit::Exit;
use nitride_collateral::Obstacle;
use std::io::{Write, stdout};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    let exit = match run(arguments) {
        Ok(exit) => exit,
        Err(error) => {
            report(&error, json);
            Exit::NotJudged
        }
    };
    ExitCode::from(exit.code())
}

fn run(arguments: Arguments) -> Result<Exit> {
    let (shown, exit) = match arguments.verb {
        Verb::Judge(evidence) => judgement::run(&evidence, arguments.json)?,
        Verb::Collateral(verb) => collateral::run(&verb, arguments.json)?,
        Verb::Policy(PolicyVerb::Check { files }) => policy::check(&files, arguments.json)?,
        Verb::Tpm(verb) => tpm::run(&verb)?,
        Verb::Measure(verb) => measure::run(&verb, arguments.json)?,
        Verb::Checks { tee } => (list::checks(tee, arguments.json), Exit::Accepted),
    };
    // An answer that did not arrive is none, whatever it was.
    let mut out = stdout().lock();
    out.write_all(shown.as_bytes())?;
    out.flush()?;
    Ok(exit)
}

/// The thing, the reason, the remedy; the whole chain, once, at the edge.
fn report(error: &anyhow::Error, json: bool) {
    let told = format!("{error:#}");
    match error.downcast_ref::<Obstacle>() {
        _ if !json => eprintln!("nitride-verify: {}", present::printable(&told)),
        Some(obstacle) => eprintln!("{}", obstacle.to_json()),
        None => eprintln!("{}", serde_json::json!({ "error": { "reason": told } })),
    }
}
