//! `cargo demo`: the whole chain on one machine, with the real programs, in about ten seconds.
//!
//! It builds the programs, starts them in a temporary folder as the calling user, and walks through
//! what they are for and what they refuse. A step that does not end as it says ends the demo with
//! an error. The only thing that is not real is the attestation evidence: `sample`, which proves
//! nothing.
#![forbid(unsafe_code)]

mod case_a;
mod case_b;
mod hostile;
mod policy;
mod search;
mod story;
mod volume;

use anyhow::Result;
use nitride_support::binaries::Binaries;
use nitride_support::world::World;
use std::process::ExitCode;
use story::Story;

fn main() -> ExitCode {
    match tell() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tell() -> Result<()> {
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
    story.end();
    Ok(())
}
