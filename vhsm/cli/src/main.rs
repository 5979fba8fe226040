//! `vhsm`: the command line of vhsmd.
//!
//! ```text
//! arguments ──> input (file or stdin, erasable) ──> nitride-client ──> answer ──> output
//! ```
//!
//! Subcommands are the protocol's verbs, and a few things made of them: `policy`, `csr`. A secret never stands in an argument, where every process
//! of the machine can read it, and never reaches a terminal unless that is asked for. Material is
//! read and written without the standard library's buffers, in memory that is erased.
#![forbid(unsafe_code)]

mod admin;
mod answer;
mod arguments;
mod audit;
mod bulk;
mod caller;
mod csr;
mod exit;
mod failure;
mod input;
mod keys;
mod metrics;
mod output;
#[cfg(test)]
mod papers;
mod present;
mod progress;
mod public_form;
mod run;
mod segments;

use arguments::Arguments;
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.connection.json;
    match run::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, json),
    }
}

fn report(failure: &Failure, json: bool) -> ExitCode {
    let code = exit::code_of(failure);
    if json {
        eprintln!("{}", failure.to_json(code));
    } else {
        eprintln!("vhsm: {}", failure.explained());
        eprintln!("remedy: {}", failure.remedy());
    }
    ExitCode::from(code)
}
