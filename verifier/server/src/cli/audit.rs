//! `audit verify|heads`.

use crate::audit::entry::{Digest, Head, Kind, hex};
use crate::audit::folder;
use crate::audit::trail::Trail;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check that every entry follows from the one before it; prints what there is, and the newest.
    Verify {
        /// The folder of one service's audit, or files of it, oldest first.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// An entry that has to be among them, as GET /kbs/v0/nitride/audit-head said it: its number and its
        /// digest. Without it nothing shows that the newest entries were cut off.
        #[arg(long, value_name = "NUMBER:DIGEST", value_parser = head)]
        head: Option<Head>,
    },
    /// Print the heads of vaults' audits that were witnessed, from files that are checked: machine,
    /// NUMBER:DIGEST, seconds since 1970, and what was found.
    Heads {
        /// The folder of one service's audit, or files of it, oldest first.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Of this machine alone, TEE.CLAIM=VALUE: each head in a line of its own and nothing else, as `vhsm
        /// audit verify --witnessed` takes them.
        #[arg(long, value_name = "MACHINE")]
        machine: Option<String>,
    },
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        let text = match self {
            Self::Verify { paths, head } => verify(&paths, head)?,
            Self::Heads { paths, machine } => heads(&paths, machine.as_deref())?,
        };
        print!("{text}");
        Ok(())
    }
}

fn verify(paths: &[PathBuf], witnessed: Option<Head>) -> Result<String> {
    let mut trail = Trail::default();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut lost = 0_u64;
    let mut found = None;
    for path in files(paths)? {
        let read = trail.read(&folder::read(&path)?, |entry, head| {
            *counts.entry(entry.kind.as_str()).or_default() += entry.count;
            if entry.kind == Kind::Loss {
                lost = lost.saturating_add(entry.count);
            }
            if witnessed.is_some_and(|witnessed| witnessed.sequence == head.sequence) {
                found = Some(*head);
            }
        });
        read.with_context(|| path.display().to_string())?;
    }
    trail.finish().context("the newest file")?;
    let (first, newest) = (trail.first.unwrap_or(0), trail.head.unwrap_or_default());
    if let Some(Head { sequence, .. }) = witnessed.filter(|_| found != witnessed) {
        match found {
            Some(_) => bail!("entry {sequence} is another one than was witnessed"),
            None if sequence < first => {
                bail!("entry {sequence} was witnessed, and the files begin with entry {first}")
            }
            None => bail!(
                "entry {sequence} was witnessed, and the files end with entry {}: they were cut off",
                newest.sequence
            ),
        }
    }
    let mut text = format!(
        "verified: {} entries, {first} to {}\nhead {}:{}\n",
        trail.entries,
        newest.sequence,
        newest.sequence,
        hex(&newest.digest)
    );
    for (kind, count) in counts {
        text.push_str(&format!("{kind} {count}\n"));
    }
    if lost > 0 {
        text.push_str(&format!("{lost} entries are missing, and said to be\n"));
    }
    Ok(text)
}

/// What entries of a witness say of one machine, or of all.
fn heads(paths: &[PathBuf], wanted: Option<&str>) -> Result<String> {
    let mut trail = Trail::default();
    let mut text = String::new();
    for path in files(paths)? {
        let read = trail.read(&folder::read(&path)?, |entry, _| {
            let said = match entry.what.split_once(' ') {
                Some((machine, head)) if entry.kind == Kind::Witness && head != "-" => {
                    (machine, head)
                }
                _ => return,
            };
            match (wanted, said) {
                (None, (machine, head)) => {
                    let (at, found) = (entry.wall_secs, &entry.outcome);
                    text.push_str(&format!("{machine} {head} {at} {found}\n"));
                }
                (Some(wanted), (machine, head)) if wanted == machine => {
                    text.push_str(&format!("{head}\n"));
                }
                _ => {}
            }
        });
        read.with_context(|| path.display().to_string())?;
    }
    trail.finish().context("the newest file")?;
    Ok(text)
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    match paths {
        [folder] if folder.is_dir() => Ok(folder::files(Path::new(folder))?),
        files => Ok(files.to_vec()),
    }
}

fn head(text: &str) -> Result<Head, &'static str> {
    let form = "write it as NUMBER:DIGEST, the digest as 64 hexadecimal digits";
    let (sequence, digits) = text.split_once(':').ok_or(form)?;
    let sequence = sequence.parse().map_err(|_| form)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(form);
    }
    let mut digest: Digest = [0; 32];
    for (place, byte) in digest.iter_mut().enumerate() {
        let pair = digits.get(2 * place..2 * place + 2).ok_or(form)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| form)?;
    }
    Ok(Head { sequence, digest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::entry::Event;

    /// A folder with one file of three entries, and the head.
    fn folder() -> (tempfile::TempDir, Head) {
        let folder = tempfile::tempdir().unwrap();
        let mut chain = Head::default();
        let mut file = Vec::new();
        for reason in ["a", "b", "c"] {
            let (line, next) = chain.write(&Event::own(Kind::Release, reason), 1).unwrap();
            file.extend(line);
            chain = next;
        }
        std::fs::write(folder.path().join("0000000001.audit"), file).unwrap();
        (folder, chain)
    }

    #[test]
    fn a_witnessed_entry_has_to_be_there() {
        let (folder, newest) = folder();
        let paths = [folder.path().to_owned()];
        let printed = verify(&paths, Some(newest)).unwrap();
        assert!(
            printed.starts_with("verified: 3 entries, 1 to 3\nhead 3:"),
            "{printed}"
        );
        let text = format!("{}:{}", newest.sequence, hex(&newest.digest));
        assert_eq!(head(&text), Ok(newest));
        let said = |sequence| {
            let head = Head { sequence, ..newest };
            verify(&paths, Some(head)).unwrap_err().to_string()
        };
        assert!(said(2).contains("another one"));
        assert!(said(4).contains("cut off"));
        assert!(said(0).contains("begin with entry 1"));
        for bad in ["3", "3:", "x:00", "3:00"] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_changed_file_is_named() {
        let (folder, _) = folder();
        let path = folder.path().join("0000000001.audit");
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = verify(std::slice::from_ref(&path), None).unwrap_err();
        assert!(error.to_string().ends_with("0000000001.audit"), "{error}");
    }
}
