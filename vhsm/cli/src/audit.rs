//! The audit's files, read and verified without vhsmd.

use crate::answer::Answer;
use crate::failure::Failure;
use crate::output::Target;
use clap::Subcommand;
use nitride_protocol::audit::{AuditEntry, Digest, Linked, Trail, TrailFault, Verified};
use nitride_protocol::{KeyName, Operation};
use nitride_secmem::crypto::sha256;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a file of the audit is called.
const EXTENSION: &str = "audit";
/// How often files are read again that vhsmd was writing to meanwhile.
const TRIES: u8 = 3;

/// What to do with the audit's files.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Check that no entry was changed, taken out or put in
    Verify {
        /// The folder of the files
        #[arg(value_name = "DIR", default_value = "/var/lib/vhsm/audit")]
        folder: PathBuf,
        /// An entry that has to be among them, as audit-head printed it: its number and its digest
        #[arg(long, value_name = "SEQUENCE:DIGEST", value_parser = head)]
        head: Option<(u64, Digest)>,
    },
    /// Print the newest entries, after checking all of them
    Tail {
        /// The folder of the files
        #[arg(value_name = "DIR", default_value = "/var/lib/vhsm/audit")]
        folder: PathBuf,
        /// Print no more than so many
        #[arg(long, value_name = "COUNT", default_value = "20")]
        limit: usize,
    },
}

/// Why the audit is not genuine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditFailure {
    /// A file, or how they follow each other, has a fault.
    #[error("{}", files.join(" "))]
    Fault {
        /// The files, oldest first.
        files: Vec<String>,
        /// What is wrong.
        #[source]
        fault: TrailFault,
    },
    /// There is no file.
    #[error("{} has no file of the audit", folder.display())]
    NoFile {
        /// The folder.
        folder: PathBuf,
    },
    /// The entry that has to be there is not, or is another one.
    #[error("entry {sequence} is not there, or is another one than was witnessed")]
    OtherHead {
        /// Its number.
        sequence: u64,
    },
}

pub(crate) fn run(verb: AuditVerb, json: bool) -> Result<(), Failure> {
    let answer = match verb {
        AuditVerb::Verify { folder, head } => verify(&folder, head)?,
        AuditVerb::Tail { folder, limit } => tail(&folder, limit)?,
    };
    Target::standard(json).write(&answer)
}

fn verify(folder: &Path, head: Option<(u64, Digest)>) -> Result<Answer, Failure> {
    let mut is_there = false;
    let found = read(folder, |linked| {
        is_there |= head == Some((linked.entry.sequence, linked.digest));
    })?;
    if let Some((sequence, _)) = head
        && !is_there
    {
        return Err(AuditFailure::OtherHead { sequence }.into());
    }
    let (sequence, digest) = found.head.unwrap_or((0, [0; 32]));
    let (first, digest) = (found.first.unwrap_or(0), hex(&digest));
    Ok(Answer::Text {
        text: format!(
            "verified: {} entries, {first} to {sequence}\nhead {sequence}:{digest}\n",
            found.entries
        ),
        json: json!({
            "verified": true, "entries": found.entries, "first": first, "sequence": sequence,
            "digest": digest,
        }),
    })
}

fn tail(folder: &Path, limit: usize) -> Result<Answer, Failure> {
    let mut newest = VecDeque::new();
    read(folder, |linked| {
        newest.push_back((line(&linked.entry), value(&linked.entry)));
        if newest.len() > limit {
            newest.pop_front();
        }
    })?;
    let (lines, values): (Vec<String>, Vec<Value>) = newest.into_iter().unzip();
    Ok(Answer::Text {
        text: lines.concat(),
        json: Value::Array(values),
    })
}

/// Checks all files, oldest first. What vhsmd is writing may be read half written or half removed:
/// a fault is one that stays.
fn read(folder: &Path, mut seen: impl FnMut(&Linked<'_>)) -> Result<Verified, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match check(folder, |_| ()) {
            Ok(_) => break,
            Err(Failure::Audit(AuditFailure::Fault { .. })) | Err(Failure::Read { .. })
                if tries < TRIES =>
            {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(failure) => return Err(failure),
        }
    }
    check(folder, &mut seen)
}

fn check(folder: &Path, mut seen: impl FnMut(&Linked<'_>)) -> Result<Verified, Failure> {
    let unreadable = |path: &Path, source| Failure::Read {
        what: "the audit",
        path: Some(path.to_owned()),
        source,
    };
    let files = files(folder).map_err(|error| unreadable(folder, error))?;
    if files.is_empty() {
        let folder = folder.to_owned();
        return Err(AuditFailure::NoFile { folder }.into());
    }
    let fault = |fault| AuditFailure::Fault {
        files: files
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        fault,
    };
    let mut trail = Trail::new(sha256);
    for path in &files {
        let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
        trail.add(&bytes, &mut seen).map_err(fault)?;
    }
    Ok(trail.finish().map_err(fault)?)
}

/// Their names are numbers of one length: in the order of the names.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
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

fn line(entry: &AuditEntry<'_>) -> String {
    let mut line = format!(
        "{} {} {}",
        entry.sequence,
        entry.wall_secs,
        entry.kind.as_str()
    );
    let mut add = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            line.push_str(&format!(" {name}={text}"));
        }
    };
    add("uid", entry.peer.map(|peer| peer.uid.to_string()));
    add("pid", entry.peer.map(|peer| peer.pid.to_string()));
    let unit = entry.peer.and_then(|peer| peer.unit);
    add("unit", unit.map(|unit| format!("{unit:?}")));
    add("operation", entry.operation.map(|verb| verb.to_string()));
    add("key", entry.key.map(|key| key.as_str().to_owned()));
    add("version", entry.version.map(|version| version.to_string()));
    add("status", Some(entry.status.to_string()));
    let request = entry
        .request
        .map(|it| format!("{}/{}", it.connection, it.request));
    add("request", request);
    add("count", (entry.count != 1).then(|| entry.count.to_string()));
    let reason = (!entry.reason.is_empty()).then(|| format!("{:?}", entry.reason));
    add("reason", reason);
    line.push('\n');
    line
}

fn value(entry: &AuditEntry<'_>) -> Value {
    json!({
        "sequence": entry.sequence,
        "boot_ms": entry.boot_ms,
        "wall_secs": entry.wall_secs,
        "kind": entry.kind.as_str(),
        "uid": entry.peer.map(|peer| peer.uid),
        "pid": entry.peer.map(|peer| peer.pid),
        "unit": entry.peer.and_then(|peer| peer.unit),
        "operation": entry.operation.map(Operation::as_str),
        "key": entry.key.map(KeyName::as_str),
        "version": entry.version,
        "status": entry.status.as_str(),
        "connection": entry.request.map(|request| request.connection),
        "request": entry.request.map(|request| request.request),
        "count": entry.count,
        "reason": entry.reason,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn head(text: &str) -> Result<(u64, Digest), &'static str> {
    let form = "write it as SEQUENCE:DIGEST, the digest as 64 hexadecimal digits";
    let (sequence, digits) = text.split_once(':').ok_or(form)?;
    let sequence = sequence.parse().map_err(|_| form)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(form);
    }
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        let two = digits.get(2 * place..2 * place + 2).ok_or(form)?;
        *byte = u8::from_str_radix(two, 16).map_err(|_| form)?;
    }
    Ok((sequence, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::Status;
    use nitride_protocol::audit::{AuditKind, ENTRY_HEAD_LEN, MAGIC, MAX_ENTRY_LEN, chain};

    fn write(folder: &Path) -> (u64, Digest) {
        let mut bytes = MAGIC.to_vec();
        let mut previous = [0; 32];
        for sequence in 1..=3 {
            let entry = AuditEntry {
                sequence,
                boot_ms: 1,
                wall_secs: 2,
                kind: AuditKind::Lifecycle,
                peer: None,
                key: Some(KeyName::parse("a/b").unwrap()),
                version: Some(1),
                operation: Some(Operation::Generate),
                status: Status::Ok,
                request: None,
                count: 1,
                reason: "of the test",
                previous: &previous,
            };
            let mut buffer = [0; ENTRY_HEAD_LEN + MAX_ENTRY_LEN];
            let len = entry.write(&mut buffer).unwrap();
            previous = chain(&previous, &buffer[ENTRY_HEAD_LEN..len], sha256);
            bytes.extend_from_slice(&buffer[..len]);
        }
        fs::write(folder.join("0000000001.audit"), bytes).unwrap();
        (3, previous)
    }

    #[test]
    fn a_witnessed_head_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let (sequence, digest) = write(folder.path());
        let text = format!("{sequence}:{}", hex(&digest));
        assert_eq!(head(&text), Ok((sequence, digest)));
        assert!(verify(folder.path(), Some((sequence, digest))).is_ok());
        let other = verify(folder.path(), Some((sequence + 1, digest)));
        assert!(matches!(
            other,
            Err(Failure::Audit(AuditFailure::OtherHead { sequence: 4 }))
        ));
        for text in ["3", "3:", "x:00", &text[..60], &format!("{text}00")] {
            assert!(head(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_changed_file_is_refused_and_an_empty_folder_is_no_audit() {
        let folder = tempfile::tempdir().unwrap();
        let none = verify(folder.path(), None);
        assert!(matches!(
            none,
            Err(Failure::Audit(AuditFailure::NoFile { .. }))
        ));
        write(folder.path());
        let path = folder.path().join("0000000001.audit");
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
        let changed = verify(folder.path(), None);
        assert!(matches!(
            changed,
            Err(Failure::Audit(AuditFailure::Fault { .. }))
        ));
    }

    #[test]
    fn the_newest_entries_are_printed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let Answer::Text { text, json } = tail(folder.path(), 2).unwrap() else {
            panic!("bytes");
        };
        assert_eq!(
            text.lines().next().unwrap(),
            "2 2 lifecycle operation=generate key=a/b version=1 status=ok reason=\"of the test\""
        );
        assert_eq!(json[1]["sequence"], 3);
    }
}
