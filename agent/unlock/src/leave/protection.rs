//! What protects a block device from whoever holds the disk.

use crate::opened::{DeviceNumber, Opened};
use nitride_client::Protection as Told;
use std::fs::{read_dir, read_to_string};
use std::path::Path;

/// Devices that lie on top of each other.
const MAX_DEPTH: usize = 8;
/// Devices that one is made of.
const MAX_SLAVES: usize = 64;

/// In the order of what they are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protection {
    /// It is somebody else's: nothing of it was checked.
    Foreign,
    /// It is a volume that `open` opened, and the host can change what is read.
    Opened,
    /// Each sector is authentic under the volume's key.
    Integrity,
    /// Every block is what a root hash says: of `root-hash`, of the command line or of the initrd, all of
    /// which are measured.
    Verity,
}

impl Protection {
    /// As vhsmd is told.
    pub(super) fn told(self) -> Told {
        match self {
            Self::Foreign | Self::Opened => Told::None,
            Self::Integrity => Told::Integrity,
            Self::Verity => Told::Verity,
        }
    }
}

/// By what a device is judged.
pub(super) struct Grounds<'a> {
    /// The kernel's devices.
    pub(super) sys: &'a Path,
    /// What was opened here.
    pub(super) opened: &'a [Opened],
    /// What the table of this mapping does.
    pub(super) table: &'a dyn Fn(DeviceNumber) -> Table,
}

/// What a mapping makes of the devices below it, by the kernel's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// Every block is what a root hash says that is wanted.
    Verity,
    /// Each block is the one of the same number below.
    Same,
    /// Anything else, and what is not known.
    Other,
}

/// What protects the weakest of the devices.
pub(super) fn weakest(grounds: &Grounds<'_>, devices: &[DeviceNumber]) -> Protection {
    let each = devices.iter().map(|device| of(grounds, *device, 0));
    each.min().unwrap_or(Protection::Foreign)
}

/// A mapping protects by itself, or is worth what the weakest of its parts is.
fn of(grounds: &Grounds<'_>, device: DeviceNumber, depth: usize) -> Protection {
    let folder = grounds.sys.join(format!("dev/block/{device}"));
    // Its name says nothing: `dm-mod.create=` on a command line gives any.
    let is_mapping = folder.join("dm").exists();
    let table = match is_mapping {
        true => (grounds.table)(device),
        false => Table::Same,
    };
    if table == Table::Verity {
        return Protection::Verity;
    }
    let uuid = read_to_string(folder.join("dm/uuid")).unwrap_or_default();
    let uuid = uuid.trim_end();
    // The name of a mapping says nothing of its key: the host's own header makes one of that name.
    // It is ours where `open` made it, by the header that it had checked.
    let is_it = |one: &&Opened| one.device == device && one.uuid == uuid;
    if let Some(ours) = grounds.opened.iter().find(is_it) {
        return match ours.volume.integrity {
            Some(_) => Protection::Integrity,
            None => Protection::Opened,
        };
    }
    let Ok(slaves) = read_dir(folder.join("slaves")) else {
        return Protection::Foreign;
    };
    let slaves: Vec<_> = slaves.take(MAX_SLAVES + 1).collect();
    if depth == MAX_DEPTH || slaves.len() > MAX_SLAVES {
        return Protection::Foreign;
    }
    let of_slave = |slave: std::io::Result<std::fs::DirEntry>| {
        let number = read_to_string(slave.ok()?.path().join("dev")).ok()?;
        let device = number.trim_end().parse().ok()?;
        Some(of(grounds, device, depth + 1))
    };
    let each = slaves
        .into_iter()
        .map(|slave| of_slave(slave).unwrap_or(Protection::Foreign));
    let weakest = each.min().unwrap_or(Protection::Foreign);
    match table {
        Table::Verity | Table::Same => weakest,
        // Blocks that are authentic, put in another order, are another file system.
        Table::Other => weakest.min(Protection::Opened),
    }
}
