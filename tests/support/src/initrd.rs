//! The example configuration of an initrd, as a world has it: its paths and users, and the stand-in in the
//! place of a TPM. What is measured (`[boot]`, `[phases]`) is left out with it.

use std::path::Path;

use anyhow::{Context, Result};
use nix::unistd::getuid;

use crate::world::World;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/config/initrd");

/// Writes `vhsmd.toml`, its policy and `quote.toml`. The key-file socket of the volume `root` is
/// `root.key`.
///
/// # Errors
/// When an example cannot be read, or a file not be written.
pub fn configure(world: &World) -> Result<()> {
    let vault = simulated(&example(world, "vhsmd.toml")?);
    let reader = format!("key = \"disk/root\"\nallowed-uids = [{}]", getuid());
    let vault = vault.replace("key = \"disk/root\"", &reader);
    world.folder.write("vhsmd.toml", vault)?;
    let policy = example(world, "policy.d/disk.toml")?;
    world.folder.write("policy.d/disk.toml", policy)?;
    let quote = simulated(&example(world, "quote.toml")?);
    let quote = format!("{quote}[sample]\nsvn = \"1\"\ndanger-simulated = true\n");
    world.folder.write("quote.toml", quote)?;
    Ok(())
}

/// Writes `agent.toml`, pointed at the relay.
///
/// # Errors
/// The same; and when there is no relay.
pub fn configure_agent(world: &World) -> Result<()> {
    let agent = example(world, "agent.toml")?;
    let url = format!("https://{}", world.relay()?.address());
    let agent = agent.replace("https://provision.example:8443", &url);
    world.folder.write("agent.toml", agent)?;
    Ok(())
}

/// An example, with the paths and users of an installation replaced by the world's.
fn example(world: &World, name: &str) -> Result<String> {
    let path = Path::new(EXAMPLES).join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let folder = world.folder.path().display().to_string();
    let caller = format!("uid = {}", getuid());
    Ok([
        ("/run/cryptsetup-keys.d", &*folder),
        ("/etc/vhsm", &folder),
        ("/etc/nitride", &folder),
        ("/run/nitride", &folder),
        ("/run/vhsm", &folder),
        ("user = \"nitride\"", &caller),
        ("user = \"vhsm\"", &caller),
        ("unit = \"nitride-agent.service\"\n", ""),
        ("unit = \"vhsmd.service\"\n", ""),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to)))
}

/// What the examples say of a TPM, with the stand-in for one.
fn simulated(text: &str) -> String {
    let kept = |section: &str| !section.starts_with("phases]") && !section.starts_with("tpm]");
    let sections: Vec<&str> = text.split("\n[").filter(|section| kept(section)).collect();
    sections
        .join("\n[")
        .replace("\n[boot]\nphase = \"initrd\"\n", "\n")
        .replace(
            "tee = \"tpm\"\nquote",
            "tee = \"sample\"\ndanger-simulated = true\nquote",
        )
        .replace("tee = \"tpm\"", "tee = \"sample\"")
}
