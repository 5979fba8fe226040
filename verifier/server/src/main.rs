//! nitride-provisiond: the reference provisioning service.
//!
//! ```text
//!  guest ──auth──▶ challenge     a nonce that authenticates itself; no state, so any replica does
//!        ──attest▶ verify, token nitride-verify judges; the verdict becomes an EAR token
//!        ──get───▶ token, policy, store, jwe    encrypted to the key inside the token
//!  owner ──seal/put──▶ store     envelopes, signed offline; served as they were stored
//!        ──generate.toml──▶ generated   what is made for each machine that first asks for it
//! ```
//!
//! Principles:
//! - **Pure inside, shell outside.** `challenge`, `attest`, `token`, nitride-policy, `jwe` and
//!   `store::sealed_file` take time and randomness as arguments; `http`, `listen` and `serve` are
//!   the shell.
//! - **A passed check is a value.** A resource is released for an `Allowed`, which only the policy
//!   makes, from an `AcceptedToken`, which only our own key makes.
//! - **What is not named is denied**, and what is refused says why: shortly to the client, in full
//!   to the log, both under one request id.
#![forbid(unsafe_code)]

mod acts;
mod admin;
mod answered;
mod appraisal;
mod atomic_file;
mod attest;
mod audit;
mod backup;
mod challenge;
mod cli;
mod clock;
mod config;
mod documents;
mod entropy;
mod envelope;
mod error_chain;
mod evaluators;
mod generated;
mod health;
mod http;
mod identity;
mod judgement;
mod judging;
mod jwe;
mod key_file;
mod key_ring;
mod listen;
mod local_socket;
mod metrics;
mod monitor;
mod policies;
mod policy_set;
mod policy_watch;
mod reload_socket;
mod renewal;
mod revocation;
mod serve;
mod service;
mod signer;
mod slots;
mod source;
mod store;
mod tee_keys;
mod throttle;
mod tls;
mod token;
mod token_key;
mod watch;
mod webhook;
mod witness;

use clap::Parser;
use cli::Cli;
use std::io::stderr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_max_level(cli.log_level)
        .with_writer(stderr)
        .init();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        // Why not has been said in full.
        Err(error) if error.is::<cli::policy::DeniedHere>() => ExitCode::FAILURE,
        Err(error) => {
            // The whole chain, once, at the edge.
            eprintln!("nitride-provisiond: {error:#}");
            match error.downcast_ref::<cli::admin::NotDone>() {
                Some(not_done) => ExitCode::from(not_done.exit_status()),
                None if error.is::<cli::policy::Undecided>() => ExitCode::from(2),
                None => ExitCode::FAILURE,
            }
        }
    }
}
