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
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// The longest list of heads: a hundred thousand.
const MAX_HEADS_LEN: usize = 9 << 20;
/// The longest file that `attest --json` writes.
const MAX_ATTESTED_LEN: usize = 1 << 20;

/// How a head is written.
const FORM: &str = "write it as SEQUENCE:DIGEST, the digest as 64 hexadecimal digits";

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
        /// Many of them, one a line, as nitride-provisiond audit heads --machine prints what the service
        /// witnessed; those older than the files are counted
        #[arg(long, value_name = "FILE", conflicts_with = "head")]
        witnessed: Option<PathBuf>,
        /// The same, as attest --audit-head --json printed it; its report data is checked too, and
        /// the evidence is left to a verifier
        #[arg(long, value_name = "FILE", conflicts_with_all = ["head", "witnessed"])]
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
    /// The file of heads has something else in it, or nothing.
    #[error("line {line} of {} is no head: {form}", path.display())]
    NotAHead {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// How one is written.
        form: &'static str,
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
            witnessed,
            attested,
            data,
        } => match witnessed {
            Some(path) => verify(&folder, heads_of(&path)?)?,
            None => {
                let attested = attested.map(|path| attested_head(&path, data.as_deref()));
                verify(&folder, head.or(attested.transpose()?))?
            }
        },
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

/// Heads, one a line.
fn heads_of(path: &Path) -> Result<Vec<(u64, Digest)>, Failure> {
    let text = input::read("the witnessed heads", Some(path), MAX_HEADS_LEN)?;
    let no_head = |line, form| AuditFailure::NotAHead {
        path: path.to_owned(),
        line,
        form,
    };
    let text = std::str::from_utf8(&text).map_err(|_| no_head(1, FORM))?;
    let heads = text.lines().zip(1..).map(|(text, line)| {
        let read = head(text);
        read.map_err(|form| no_head(line, form))
    });
    let heads: Vec<_> = heads.collect::<Result<_, _>>()?;
    // Nothing would be compared, and it would look as if something had been.
    if heads.is_empty() {
        return Err(no_head(1, FORM).into());
    }
    Ok(heads)
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

/// Checks the files, and that the entries `heads` are among them. Of several, some may be older than
/// the files; of all it could not be told whether they were.
fn verify(
    folder: &Path,
    heads: impl IntoIterator<Item = (u64, Digest)>,
) -> Result<Answer, Failure> {
    let heads: BTreeSet<(u64, Digest)> = heads.into_iter().collect();
    let mut there: BTreeMap<u64, Option<Digest>> = heads
        .iter()
        .map(|(sequence, _)| (*sequence, None))
        .collect();
    let (found, _) = read(folder, |linked| {
        if let Some(digest) = there.get_mut(&linked.entry.sequence) {
            *digest = Some(linked.digest);
        }
    })?;
    let (last, newest) = found.head.unwrap_or((0, [0; 32]));
    let first = found.first.unwrap_or(0);
    let mut older = Vec::new();
    for (sequence, digest) in heads.iter().copied() {
        let failure = match there.get(&sequence).copied().flatten() {
            Some(found) if found == digest => continue,
            Some(_) => AuditFailure::OtherHead { sequence },
            // A chain without an entry has a head too.
            None if sequence == 0 && digest == [0; 32] => continue,
            None if sequence < first => {
                older.push(sequence);
                continue;
            }
            None => AuditFailure::CutOff { sequence, last },
        };
        return Err(failure.into());
    }
    if let Some(sequence) = older.last().copied().filter(|_| older.len() == heads.len()) {
        return Err(AuditFailure::BeforeFiles { sequence, first }.into());
    }
    let digest = hex(&newest);
    let mut text = format!(
        "verified: {} entries, {first} to {last}\nhead {last}:{digest}\n",
        found.entries
    );
    if !older.is_empty() {
        text.push_str(&format!(
            "{} of {} witnessed heads are older than the files\n",
            older.len(),
            heads.len()
        ));
    }
    Ok(Answer::Text {
        text,
        json: json!({
            "verified": true, "entries": found.entries, "first": first, "sequence": last,
            "digest": digest, "witnessed": heads.len() - older.len(), "older": older.len(),
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
    let (sequence, digits) = text.split_once(':').ok_or(FORM)?;
    let sequence = sequence.parse().map_err(|_| FORM)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FORM);
    }
    let mut digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        let two = digits.get(2 * place..2 * place + 2).ok_or(FORM)?;
        *byte = u8::from_str_radix(two, 16).map_err(|_| FORM)?;
    }
    Ok((sequence, digest))
}
