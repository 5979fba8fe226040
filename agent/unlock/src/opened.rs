//! What `open` has opened, for `leave`: which mapping it made, by which header. It lies in memory
//! (/run), in a folder of whoever opens, where root and they alone write, and the host does not. There is
//! nothing secret in it, and `leave`, which is another user, reads it.

use nitride_kbs::disk::DiskExpectation;
use nix::fcntl::OFlag;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions, Permissions, read_dir, read_to_string, symlink_metadata};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;

/// Where it lies.
pub(crate) const FOLDER: &str = "/run/nitride-unlock";
/// Longest note in bytes: a device's number, a mapping's name and a volume's line.
const MAX_LEN: u64 = 1024;
/// Notes that are read.
const MAX_NOTES: usize = 64;

/// A device as the kernel numbers it: `major:minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceNumber {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl FromStr for DeviceNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once(':').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.major, self.minor)
    }
}

/// A mapping that was made by a checked header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) device: DeviceNumber,
    /// The device mapper's name for it, which no two mappings have.
    pub(crate) uuid: String,
    /// What the header said.
    pub(crate) volume: DiskExpectation,
}

impl Opened {
    /// The mapping `name`, which has just been made by a header that says `volume`.
    pub(crate) fn now(sys: &Path, name: &str, volume: &DiskExpectation) -> io::Result<Self> {
        let mapping = mapping(sys, name)?.ok_or(ErrorKind::NotFound)?;
        let (device, uuid) = mapping;
        Ok(Self {
            device,
            uuid,
            volume: volume.clone(),
        })
    }

    /// Leaves it in `folder`, as the note of the volume `name`.
    pub(crate) fn note(&self, folder: &Path, name: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(name))?;
        // Whatever the umask: `leave` may read nothing that is another user's alone.
        file.set_permissions(Permissions::from_mode(0o644))?;
        let Self {
            device,
            uuid,
            volume,
        } = self;
        writeln!(file, "{device} {uuid} {volume}")
    }

    /// The note at `path`, if it is root's or the opener's.
    fn read(path: &Path, opener: u32) -> Option<Self> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(flags.bits());
        let file = file.open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let is_ours = [0, opener].contains(&metadata.uid()) && metadata.mode() & 0o022 == 0;
        if !is_ours || !metadata.is_file() {
            return None;
        }
        let mut text = String::new();
        file.take(MAX_LEN).read_to_string(&mut text).ok()?;
        let mut words = text.strip_suffix('\n')?.split(' ');
        let (device, uuid, volume) = (words.next()?, words.next()?, words.next()?);
        let is_whole = words.next().is_none() && !uuid.is_empty();
        is_whole.then_some(Self {
            device: device.parse().ok()?,
            uuid: uuid.to_owned(),
            volume: volume.parse().ok()?,
        })
    }
}

/// The mapping of this name, by the kernel's word: its number, and the device mapper's name for it.
pub(crate) fn mapping(sys: &Path, name: &str) -> io::Result<Option<(DeviceNumber, String)>> {
    for entry in read_dir(sys.join("block"))? {
        let folder = entry?.path();
        let text = |file| read_to_string(folder.join(file));
        // Most have no mapper.
        if text("dm/name").unwrap_or_default().trim_end() != name {
            continue;
        }
        let number = text("dev")?.trim_end().parse();
        let number = number.map_err(|()| io::Error::from(ErrorKind::InvalidData))?;
        return Ok(Some((number, text("dm/uuid")?.trim_end().to_owned())));
    }
    Ok(None)
}

/// All notes in `folder`, whose owner is the opener: root made it, or gave it to them. What cannot be read
/// is not noted.
pub(crate) fn all(folder: &Path) -> Vec<Opened> {
    let (Ok(about), Ok(notes)) = (symlink_metadata(folder), read_dir(folder)) else {
        return Vec::new();
    };
    if !about.is_dir() || about.mode() & 0o022 != 0 {
        return Vec::new();
    }
    let notes = notes.flatten().take(MAX_NOTES);
    notes
        .filter_map(|note| Opened::read(&note.path(), about.uid()))
        .collect()
}
