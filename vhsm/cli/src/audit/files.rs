use super::AuditFailure;
use super::follow::Follower;
use crate::failure::Failure;
use nitride_protocol::audit::{Linked, Trail, Verified};
use nitride_secmem::crypto::sha256;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a file of the audit is called.
const EXTENSION: &str = "audit";
/// How often files are read again that vhsmd was writing to meanwhile.
pub(super) const TRIES: u8 = 3;
/// Between two tries.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Checks all files, oldest first, and says where to read on. What vhsmd is writing may be read
/// half written or half removed: a fault is one that stays.
pub(super) fn read(
    folder: &Path,
    mut seen: impl FnMut(&Linked<'_>),
) -> Result<(Verified, Follower), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match check(folder, |_| ()) {
            Ok(_) => break,
            Err(Failure::Audit(AuditFailure::Fault { .. })) | Err(Failure::Read { .. })
                if tries < TRIES =>
            {
                std::thread::sleep(PAUSE);
            }
            Err(failure) => return Err(failure),
        }
    }
    check(folder, &mut seen)
}

fn check(
    folder: &Path,
    mut seen: impl FnMut(&Linked<'_>),
) -> Result<(Verified, Follower), Failure> {
    let files = files(folder).map_err(|error| unreadable(folder, error))?;
    let mut newest = Vec::new();
    let mut trail = Trail::new(sha256);
    for path in &files {
        newest = fs::read(path).map_err(|error| unreadable(path, error))?;
        trail
            .add(&newest, &mut seen)
            .map_err(|fault| at_fault(&files, fault))?;
    }
    let Some(path) = files.last() else {
        let folder = folder.to_owned();
        return Err(AuditFailure::NoFile { folder }.into());
    };
    let verified = trail.finish().map_err(|fault| at_fault(&files, fault))?;
    let follower = Follower::new(path.clone(), &newest, verified.head);
    Ok((verified, follower))
}

fn at_fault(files: &[PathBuf], fault: nitride_protocol::audit::TrailFault) -> AuditFailure {
    let path = files.get(fault.file()).cloned().unwrap_or_default();
    AuditFailure::Fault { path, fault }
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> Failure {
    Failure::Read {
        what: "the audit",
        path: Some(path.to_owned()),
        source,
    }
}

/// Their names are numbers of one length: in the order of the names.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
