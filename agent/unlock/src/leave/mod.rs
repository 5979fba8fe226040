//! Leaving the initrd: what protects the root file system is looked at, and vhsmd ends the phase.
//!
//! ```text
//! /proc/self/mountinfo ──devices──> protection ──the weakest──> vhsmd: end-phase
//! /sys/dev/block, what `open` left ──┘  │
//!                     device_mapper ──> verity
//! ```
//!
//! vhsmd keeps keys for the system only where that was told to it, so nothing is told that was not
//! found. A step that fails is a failure, and whoever started this ends the machine.

mod mounts;
mod protection;
#[cfg(test)]
mod tests;
mod verity;

use crate::config::Config;
use crate::device_mapper::{self, Target};
use crate::failure::Failure;
use crate::opened::{self, DeviceNumber};
use mounts::{MountsError, below, is_root_of_initrd};
use nitride_client::{Client, ClientError, Options};
use protection::{Grounds, Protection, Table};
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use verity::VerityFault;

/// What a systemd initrd has and a system has not.
const INITRD_RELEASE: &str = "/etc/initrd-release";
const MOUNTS: &str = "/proc/self/mountinfo";
/// For how long vhsmd may measure the phase's end and destroy what is destroyed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the initrd cannot be left.
#[derive(Debug, Error)]
pub(crate) enum LeaveError {
    #[error("this is no initrd: there is no {INITRD_RELEASE}, and / is not the kernel's rootfs")]
    NotAnInitrd,
    #[error("the mounted file systems cannot be read from {MOUNTS}")]
    Unreadable(#[source] std::io::Error),
    #[error("the root file system cannot be looked at")]
    Mounts(#[from] MountsError),
    #[error(
        "something is mounted at {} that is neither on a volume which was opened here nor on dm-verity",
        .root.display()
    )]
    ForeignRoot { root: PathBuf },
    #[error("vhsmd did not end the phase at {}", .socket.display())]
    NotEnded {
        socket: PathBuf,
        source: ClientError,
    },
}

impl LeaveError {
    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NotAnInitrd => "run it in the initrd alone, once the root file system is mounted",
            Self::Unreadable(_) => "mount /proc",
            Self::Mounts(_) => "name where the root file system is mounted: --root",
            Self::ForeignRoot { .. } => {
                "name the root file system by its mapping (root=/dev/mapper/NAME), or say \
                 `danger-any-root = true` in the initrd's unlock.toml; the log says what is wrong with \
                 a mapping of dm-verity"
            }
            Self::NotEnded { .. } => {
                "vhsmd's log says why; a machine that cannot end the phase must not go on"
            }
        }
    }
}

/// Tells vhsmd what protects the file systems that are mounted at and below `root`.
pub(crate) fn run(config: &Config, root: &Path) -> Result<(), Failure> {
    let mounts = read_to_string(MOUNTS).map_err(LeaveError::Unreadable)?;
    if !Path::new(INITRD_RELEASE).exists() && !is_root_of_initrd(&mounts) {
        return Err(LeaveError::NotAnInitrd.into());
    }
    let volumes = below(&mounts, root).map_err(LeaveError::from)?;
    let opened = opened::all(Path::new(opened::FOLDER));
    let grounds = Grounds {
        sys: Path::new("/sys"),
        opened: &opened,
        table: &|device| table_of(device, &config.root_hashes),
    };
    let found = protection::weakest(&grounds, &volumes);
    check_root(config, root, found)?;
    let told = found.told();
    tracing::info!(root = %root.display(), protection = told.as_str(), "leaving the initrd");
    let mut options = Options::new("nitride-unlock");
    options.grace = PATIENCE;
    let kept = Client::connect_with(&config.admin, options)
        .and_then(|mut client| client.end_phase(told))
        .map_err(|source| LeaveError::NotEnded {
            socket: config.admin.clone(),
            source,
        })?;
    match kept {
        true => tracing::info!("the phase has ended, and vhsmd keeps its keys"),
        false => tracing::info!("the phase has ended, and vhsmd has destroyed its keys"),
    }
    Ok(())
}

/// What the kernel says that the mapping does; dm-verity is by one of these root hashes if there are any.
fn table_of(device: DeviceNumber, root_hashes: &[String]) -> Table {
    let fault = match device_mapper::table(device) {
        Ok(table) => match verity::check(&table, root_hashes) {
            Ok(()) => return Table::Verity,
            // A volume that was opened is one.
            Err(VerityFault::Other) if is_same(&table) => return Table::Same,
            Err(VerityFault::Other) => return Table::Other,
            Err(fault) => fault.to_string(),
        },
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    tracing::warn!(%device, fault, "this mapping is not taken for dm-verity");
    Table::Other
}

/// One device from its beginning (Linux Documentation/admin-guide/device-mapper/linear.rst).
fn is_same(table: &[Target]) -> bool {
    let [target] = table else {
        return false;
    };
    let from = target.parameters.split_once(' ').map(|(_, from)| from);
    target.kind == "linear" && target.start == 0 && from == Some("0")
}

/// A host that names another root, or has a disk with the label of ours, would have its own code go on
/// with what was unlocked.
fn check_root(config: &Config, root: &Path, found: Protection) -> Result<(), LeaveError> {
    let is_taken = config.volumes.is_empty() || config.danger_any_root;
    match found == Protection::Foreign && !is_taken {
        false => Ok(()),
        true => Err(LeaveError::ForeignRoot {
            root: root.to_owned(),
        }),
    }
}
