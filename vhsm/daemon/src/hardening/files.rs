//! Which files vhsmd still reaches, by Landlock: what it is configured with, who its peers are, and
//! what it writes.

use super::Confined;
use crate::config::{Config, SignerFile};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The newest set of rights that is spoken of here; an older kernel takes what it knows of it. Of
/// the ones after it, V7 is about the kernel's log, V8 about threads that are there already, and
/// the right to find sockets (V9) is for a kernel that this could not be tried on.
const NEWEST: ABI = ABI::V6;

/// Where systemd says how it is told things; a name that begins so is no file's.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const ABSTRACT: &[u8] = b"@";

/// The folders that stay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// Read with all that is below: configuration, policy, public keys.
    pub(crate) read: Vec<PathBuf>,
    /// Files below may be made, written, renamed and deleted: audit, sockets that are not
    /// systemd's.
    pub(crate) written: Vec<PathBuf>,
    /// Whether sockets without a file stay too: a service manager in another namespace listens on
    /// one.
    pub(crate) abstract_sockets: bool,
}

impl Places {
    /// What `config`, which was read from `config_path`, speaks of. Files that a later policy names
    /// are reached below /etc and below the folders of today's.
    pub(crate) fn of(config: &Config, config_path: &Path) -> Self {
        let folder = |path: &Path| path.parent().map(Path::to_owned);
        let signers = config.signers.iter().map(SignerFile::key_file);
        let disk_keys = config.disk_keys.iter();
        let sockets = [
            &config.sockets.application,
            &config.sockets.admin,
            &config.sockets.agent,
        ];
        let sockets = sockets.into_iter().flatten().map(|socket| &*socket.path);
        let sockets = sockets.chain(disk_keys.filter_map(|disk_key| disk_key.socket.as_deref()));
        let notified = std::env::var_os(NOTIFY_SOCKET);
        let is_abstract = |name: std::ffi::OsString| name.as_bytes().starts_with(ABSTRACT);
        Self {
            abstract_sockets: notified.is_some_and(is_abstract),
            read: signers
                .chain([config_path])
                .filter_map(folder)
                .chain([config.policy_dir.clone()])
                .collect(),
            written: sockets.filter_map(folder).collect(),
        }
    }

    /// With a folder that is written.
    pub(crate) fn with_written(mut self, folder: &Path) -> Self {
        self.written.push(folder.to_owned());
        self
    }
}

/// Who the peers are, and the C library's look at users and groups.
const ALWAYS_READ: &[&str] = &[
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/etc",
    "/usr/lib",
    "/lib",
    "/lib64",
];

/// Why files could not be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LandlockError {
    /// The kernel has Landlock, and not for us.
    #[error("confine the files that can be reached")]
    Refused(#[from] RulesetError),
}

/// Confines this thread, and every thread that it starts from now on: no file but those of
/// `places`, no device's own requests, no TCP, no signal to another process, no abstract socket of
/// another process. Cannot be undone. What a kernel does not know of this it leaves to the unit's
/// own settings, and that is told.
///
/// # Errors
/// Where the kernel has Landlock and refuses.
pub(super) fn confine_files(places: &Places) -> Result<Confined, LandlockError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let written = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(match places.abstract_sockets {
            true => Scope::Signal.into(),
            false => Scope::Signal | Scope::AbstractUnixSocket,
        })?
        .create()?;
    for place in ALWAYS_READ.iter().map(Path::new) {
        rules = allow(rules, place, read)?;
    }
    for place in &places.read {
        rules = allow(rules, place, read)?;
    }
    for place in &places.written {
        rules = allow(rules, place, written)?;
    }
    let status = rules.restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => Confined::NotInFiles,
        RulesetStatus::PartiallyEnforced => Confined::AsFarAsKnown,
        RulesetStatus::FullyEnforced => Confined::Wholly,
    })
}

/// A place that is not there needs no right: what comes to be in its stead later is out of reach.
fn allow(
    rules: landlock::RulesetCreated,
    place: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    match PathFd::new(place) {
        Ok(place) => rules.add_rule(PathBeneath::new(place, access)),
        Err(_) => Ok(rules),
    }
}
