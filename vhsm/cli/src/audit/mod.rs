//! The audit's files, read and verified without vhsmd.
//!
//! `files` checks them, `follow` reads on as vhsmd writes, `attested` is about heads that a TEE's
//! evidence is bound to, and `lines` shows entries.

mod attested;
mod files;
mod follow;
mod lines;
#[cfg(test)]
mod tests;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::input;
use crate::output::Target;
use attested::{AttestedFault, head_of};
use clap::Subcommand;
use files::read;
use follow::{Follower, print_for_ever};
use lines::{line, value};
use nitride_protocol::audit::{AuditFault, Digest, TrailFault};
use nitride_protocol::limits::MAX_ATTEST_DATA_LEN;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// The longest file that `attest --json` writes.
const MAX_ATTESTED_LEN: usize = 1 << 20;

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
        /// The same, as attest --audit-head --json printed it; its report data is checked too, and
        /// the evidence is left to a verifier
        #[arg(long, value_name = "FILE", conflicts_with = "head")]
        attested: Option<PathBuf>,
        /// The data that attest was given; without this, none
        #[arg(long, value_name = "FILE", requires = "attested")]
        data: Option<PathBuf>,
    },
    /// Print the newest entries, after checking all of them
    Tail {
        /// The folder of the files
        #[arg(value_name = "DIR", default_value = "/var/lib/vhsm/audit")]
        folder: PathBuf,
        /// Print no more than so many
        #[arg(long, value_name = "COUNT", default_value = "20")]
        limit: usize,
        /// Go on printing entries as they come, each checked; with --json, one object a line
        #[arg(long)]
        follow: bool,
    },
}

/// Why the audit is not genuine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditFailure {
    /// A file, or how it follows the one before it, has a fault.
    #[error("{}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        fault: TrailFault,
    },
    /// An entry that came while the files were followed has a fault.
    #[error("{}", path.display())]
    Followed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        fault: AuditFault,
    },
    /// There is no file.
    #[error("{} has no file of the audit", folder.display())]
    NoFile {
        /// The folder.
        folder: PathBuf,
    },
    /// The entry that has to be there is another one.
    #[error("entry {sequence} is another one than was witnessed")]
    OtherHead {
        /// Its number.
        sequence: u64,
    },
    /// The entry that has to be there is newer than all that are.
    #[error(
        "entry {sequence} was witnessed, and the files end with entry {last}: they were cut off"
    )]
    CutOff {
        /// Its number.
        sequence: u64,
        /// The newest there is.
        last: u64,
    },
    /// The entry that has to be there is older than all that are.
    #[error("entry {sequence} was witnessed, and the files begin with entry {first}")]
    BeforeFiles {
        /// Its number.
        sequence: u64,
        /// The oldest there is.
        first: u64,
    },
    /// What is said to be attested is not.
    #[error("the attested head")]
    Attested(#[from] AttestedFault),
}

pub(crate) fn run(verb: AuditVerb, json: bool) -> Result<(), Failure> {
    let answer = match verb {
        AuditVerb::Verify {
            folder,
            head,
            attested,
            data,
        } => {
            let attested = attested.map(|path| attested_head(&path, data.as_deref()));
            verify(&folder, head.or(attested.transpose()?))?
        }
        AuditVerb::Tail {
            folder,
            limit,
            follow: false,
        } => tail(&folder, limit)?.0,
        AuditVerb::Tail { folder, limit, .. } => {
            let (newest, follower) = tail(&folder, limit)?;
            return print_for_ever(newest, follower, json);
        }
    };
    Target::standard(json).write(&answer)
}

/// The head that evidence is bound to, together with the data in the file `data`.
fn attested_head(path: &Path, data: Option<&Path>) -> Result<(u64, Digest), Failure> {
    let said = input::read("the attested head", Some(path), MAX_ATTESTED_LEN)?;
    let data = match data {
        Some(path) => input::read("the data", Some(path), MAX_ATTEST_DATA_LEN)?,
        None => Default::default(),
    };
    Ok(head_of(&said, &data).map_err(AuditFailure::from)?)
}

fn verify(folder: &Path, head: Option<(u64, Digest)>) -> Result<Answer, Failure> {
    let mut witnessed = None;
    let (found, _) = read(folder, |linked| {
        if head.is_some_and(|(sequence, _)| sequence == linked.entry.sequence) {
            witnessed = Some(linked.digest);
        }
    })?;
    let (last, digest) = found.head.unwrap_or((0, [0; 32]));
    let first = found.first.unwrap_or(0);
    if let Some((sequence, digest)) = head {
        let failure = match witnessed {
            Some(found) if found == digest => None,
            Some(_) => Some(AuditFailure::OtherHead { sequence }),
            // A chain without an entry has a head too.
            None if sequence == 0 && digest == [0; 32] => None,
            None if sequence < first => Some(AuditFailure::BeforeFiles { sequence, first }),
            None => Some(AuditFailure::CutOff { sequence, last }),
        };
        if let Some(failure) = failure {
            return Err(failure.into());
        }
    }
    let digest = hex(&digest);
    Ok(Answer::Text {
        text: format!(
            "verified: {} entries, {first} to {last}\nhead {last}:{digest}\n",
            found.entries
        ),
        json: json!({
            "verified": true, "entries": found.entries, "first": first, "sequence": last,
            "digest": digest,
        }),
    })
}

/// The newest entries, and where to read on.
fn tail(folder: &Path, limit: usize) -> Result<(Answer, Follower), Failure> {
    let mut newest = VecDeque::new();
    let (_, follower) = read(folder, |linked| {
        newest.push_back((line(&linked.entry), value(&linked.entry)));
        if newest.len() > limit {
            newest.pop_front();
        }
    })?;
    let (lines, values): (Vec<String>, Vec<Value>) = newest.into_iter().unzip();
    let answer = Answer::Text {
        text: lines.concat(),
        json: Value::Array(values),
    };
    Ok((answer, follower))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
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
