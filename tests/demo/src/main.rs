//! `cargo demo`: the whole chain on one machine, with the real programs, in about ten seconds.
//!
//! It builds the programs, starts them in a temporary folder as the calling user, and walks through
//! what they are for and what they refuse. A step that does not end as it says ends the demo with
//! an error. The only thing that is not real is the attestation evidence: `sample`, which proves
//! nothing.
//!
//! `cargo demo --openbao` goes on with a real OpenBao as the store of two replicas of the service.
#![forbid(unsafe_code)]

mod case_a;
mod case_b;
mod hostile;
mod openbao;
mod policy;
mod search;
mod story;
mod volume;

use anyhow::{Result, bail};
use nitride_support::bao;
use nitride_support::binaries::Binaries;
use nitride_support::world::World;
use std::ffi::OsString;
use std::process::ExitCode;
use story::Story;

const USAGE: &str = "usage: cargo demo [--openbao]\n\n  --openbao  go on with OpenBao as the store of two replicas, of which one is killed; takes\n             its server from NITRIDE_BAO or the path";

fn main() -> ExitCode {
    let wanted = with_openbao(std::env::args_os().skip(1));
    match wanted.and_then(tell) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether OpenBao is part of it.
fn with_openbao(arguments: impl Iterator<Item = OsString>) -> Result<bool> {
    let arguments: Vec<OsString> = arguments.collect();
    match arguments.as_slice() {
        [] => Ok(false),
        [one] if one == "--openbao" => Ok(true),
        _ => bail!("{USAGE}"),
    }
}

fn tell(with_openbao: bool) -> Result<()> {
    if with_openbao {
        // Told at once, not after the rest.
        bao::program()?;
    }
    // The building is not part of the story, and may take minutes the first time.
    Binaries::find()?;
    let mut story = Story::begin();

    let mut world = World::prepare(policy::trusted_machine())?;
    world.start_quote()?;
    world.start_vhsmd()?;
    case_a::keys_that_are_there(&mut story, &world)?;

    world.start_service()?;
    case_b::owner_deposits(&mut story, &world)?;
    world.start_agent()?;
    case_b::prefetched_in_one_round(&mut story, &world)?;
    case_b::fetched_on_first_use(&mut story, &world)?;
    case_b::gated(&mut story, &mut world)?;
    volume::passphrase(&mut story, &world)?;
    case_b::denied_peer(&mut story, &world)?;
    search::courier_is_blind(&mut story, &world)?;

    hostile::courier(&mut story, &mut world)?;
    world.talkative = false;
    drop(world);

    hostile::machine_that_is_not_wanted(&mut story)?;
    if with_openbao {
        openbao::two_replicas(&mut story)?;
    }
    story.end();
    Ok(())
}
