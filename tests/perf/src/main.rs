//! `cargo perf`: what the vault costs over its socket, as ratios measured in one run.
//!
//! The floor is what no vault behind a socket can go below: the bare AWS-LC operation plus one
//! blocking SOCK_SEQPACKET round trip between two processes, with packets of the same sizes. Floor
//! and vault are measured in turns, a batch each, so that a change of the machine's speed meets
//! both; a ratio is the median of the ratios of the turns.
//!
//! ```text
//! turn: | bare sign | round trip | vault sign | bare seal | round trip | vault encrypt |   x 40
//! ```
#![forbid(unsafe_code)]

mod floor;
mod placement;
mod report;
mod vault;

use anyhow::{Result, bail};
use report::{Ratio, Series, Turn};

/// Turns; a ratio is a median over them.
const TURNS: usize = 40;
/// Operations of one kind in a turn.
const BATCH: u32 = 400;
/// Bytes that are sealed and encrypted.
const PLAINTEXT_LEN: usize = 1024;
/// Bytes that are signed.
const MESSAGE_LEN: usize = 32;

fn main() -> Result<()> {
    let mut json = false;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--json") => json = true,
            Some(floor::ECHO_ARGUMENT) => {
                let Some(path) = arguments.next() else {
                    bail!("{} needs the path of a socket", floor::ECHO_ARGUMENT);
                };
                return floor::serve_echo(path.as_ref());
            }
            _ => bail!(
                "unknown argument {}: only --json is known",
                argument.display()
            ),
        }
    }

    vault::build()?;
    // Everything on one CPU: a round trip is then two context switches, without the cost of waking
    // another CPU, and that is how a client and its thread in the vault end up when both are busy.
    let cpu = placement::pin_to_one_cpu()?;
    let folder = tempfile::tempdir()?;
    let echo = floor::Echo::start(folder.path())?;
    let bare = floor::Bare::new(MESSAGE_LEN, PLAINTEXT_LEN)?;
    let mut vault = vault::Vault::start(MESSAGE_LEN, PLAINTEXT_LEN)?;

    let mut turns = Vec::with_capacity(TURNS);
    for turn in 0..=TURNS {
        let measured = Turn {
            bare_sign: report::per_operation(BATCH, || bare.sign())?,
            sign_round_trip: report::per_operation(BATCH, || {
                echo.round_trip(vault::SIGN_REQUEST_LEN, vault::SIGN_REPLY_LEN)
            })?,
            vault_sign: report::per_operation(BATCH, || vault.sign())?,
            bare_seal: report::per_operation(BATCH, || bare.seal())?,
            seal_round_trip: report::per_operation(BATCH, || {
                echo.round_trip(vault::ENCRYPT_REQUEST_LEN, vault::ENCRYPT_REPLY_LEN)
            })?,
            vault_encrypt: report::per_operation(BATCH, || vault.encrypt())?,
        };
        // The first turn warms caches, the branch predictor and the vault's decision cache.
        if turn > 0 {
            turns.push(measured);
        }
    }

    let series = Series::new(turns);
    let ratios = [
        Ratio {
            name: "P-256 sign over the socket / (bare sign + round trip)",
            budget: 1.25,
            value: series.sign_ratio(),
        },
        Ratio {
            name: "1 KiB AES-256-GCM over the socket / (bare seal + round trip)",
            budget: 1.20,
            value: series.encrypt_ratio(),
        },
    ];
    report::print(&series, &ratios, cpu, json)
}
