//! The courier is blind: nothing that it carried can be found in it or in its traffic.

use crate::policy;
use crate::story::Story;
use anyhow::{Result, ensure};
use nitride_support::scan::{Needles, Snapshot};
use nitride_support::world::World;
use nix::unistd::getuid;

pub(crate) fn courier_is_blind(story: &mut Story, world: &World) -> Result<()> {
    story.part("The courier is blind.");
    let mut secrets = Needles::default();
    secrets.add("API key", policy::API_KEY);
    secrets.add("database password", policy::DATABASE_PASSWORD);
    secrets.add("passphrase", policy::PASSPHRASE);
    secrets.add("scalar", &policy::SCALAR);
    secrets.add("prefetched scalar", &policy::PREFETCHED_SCALAR);
    // What the agent is known to hold shows that the search finds.
    let mut control = Needles::default();
    control.add("path of a request", b"/kbs/v0/resource/");

    story.step("search its HTTP traffic, in the clear of TLS", || {
        let traffic = world.relay()?.traffic();
        ensure!(!control.find(&traffic).is_empty(), "the search is broken");
        let found = secrets.find(&traffic);
        ensure!(found.is_empty(), "found: {found:?}");
        Ok(format!("{} KiB, nothing found", traffic.len() >> 10))
    })?;
    if !getuid().is_root() {
        story.remark(
            "its memory cannot be read by its own user, as it should be: run as root to search",
        );
        return Ok(());
    }
    story.step("search its memory", || {
        let memory = Snapshot::take(world.agent()?.pid())?;
        let known = memory.leaks(&control);
        ensure!(!known.is_empty(), "the search is broken");
        let found = memory.leaks(&secrets);
        ensure!(found.is_empty(), "found: {found:?}");
        Ok(format!("{} KiB, nothing found", memory.rest_len() >> 10))
    })
}
