//! Calls of cryptsetup: the one program that is started. Passphrases go to it by pipes, never by
//! arguments, environment or files.

use crate::copy::{CheckedCopy, KeptCopy};
use crate::passphrase::Passphrase;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::ffi::OsString;
use std::io::{PipeReader, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use thiserror::Error;

/// cryptsetup's exit code for a passphrase that unlocks nothing (cryptsetup(8), "RETURN CODES").
const NO_SUCH_KEY: i32 = 2;
/// Characters of what it says that are passed on.
const MAX_SAID_LEN: usize = 400;
/// How every call goes: as LUKS2 whatever the device has by now, by no token's program, and with the
/// passphrase on standard input.
const HOW: [&str; 6] = [
    "--batch-mode",
    "--type",
    "luks2",
    "--disable-external-tokens",
    "--key-file",
    "-",
];
/// How a slot's material is encrypted. cryptsetup would take the cipher of the segment, and whoever
/// holds the disk can change that between our check and its reading.
const SLOT_CIPHER: [&str; 4] = [
    "--keyslot-cipher",
    "aes-xts-plain64",
    "--keyslot-key-size",
    "512",
];
/// How a slot is made for a passphrase that was drawn at random: argon2id would take memory that
/// an initrd does not have, and protect nothing more.
const UNSTRETCHED: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/// Why a call did not do what it was for.
#[derive(Debug, Error)]
pub(crate) enum CryptsetupError {
    #[error("{} cannot be started", .program.display())]
    NotStarted {
        program: PathBuf,
        source: std::io::Error,
    },
    #[error("a passphrase cannot be handed to cryptsetup")]
    Pipe(#[source] std::io::Error),
    #[error("cryptsetup {action} failed: {said}")]
    Failed { action: &'static str, said: String },
    #[error("cryptsetup {action}: no slot has this passphrase")]
    NoSuchKey { action: &'static str },
}

impl CryptsetupError {
    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => {
                "install cryptsetup-bin, in the initrd too, or set `cryptsetup` in the configuration"
            }
            Self::Pipe(_) => "close descriptors, or raise LimitNOFILE=",
            Self::Failed { .. } => {
                "see what it says; to open a volume the kernel needs dm_mod and dm_crypt"
            }
            Self::NoSuchKey { .. } => "give a passphrase that unlocks the volume",
        }
    }
}

/// The program.
#[derive(Debug, Clone)]
pub(crate) struct Cryptsetup {
    program: PathBuf,
}

/// What a call came to.
enum Ended {
    Done,
    NoSuchKey,
}

impl Cryptsetup {
    pub(crate) fn at(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
        }
    }

    /// Whether the passphrase unlocks the slot, or any of them. The kernel is not asked.
    pub(crate) fn opens(
        &self,
        copy: &CheckedCopy,
        slot: Option<u8>,
        passphrase: &Passphrase,
    ) -> Result<bool, CryptsetupError> {
        let mut arguments = open_arguments(copy);
        arguments.push("--test-passphrase".into());
        if let Some(slot) = slot {
            arguments.push("--key-slot".into());
            arguments.push(slot.to_string().into());
        }
        arguments.push(copy.device().into());
        let ended = self.call("open", &arguments, passphrase, &[copy.memory()])?;
        Ok(matches!(ended, Ended::Done))
    }

    /// Opens the volume under `name`, by the copy of its header; `false` if the passphrase unlocks no
    /// slot.
    pub(crate) fn open(
        &self,
        kept: &KeptCopy<'_>,
        name: &str,
        passphrase: &Passphrase,
    ) -> Result<bool, CryptsetupError> {
        let copy = kept.copy();
        let mut arguments = open_arguments(copy);
        arguments.push(copy.device().into());
        arguments.push(name.into());
        let ended = self.call("open", &arguments, passphrase, &[copy.memory()])?;
        Ok(matches!(ended, Ended::Done))
    }

    /// Gives the volume on `device` a slot for `new`, by a passphrase that it has.
    pub(crate) fn add_slot(
        &self,
        device: &Path,
        existing: &Passphrase,
        new: &Passphrase,
    ) -> Result<(), CryptsetupError> {
        let action = "luksAddKey";
        let new_key = filled_pipe(new)?;
        let mut arguments = words(&HOW);
        arguments.extend(words(&SLOT_CIPHER));
        if new.is_strong() {
            arguments.extend(words(&UNSTRETCHED));
        }
        arguments.push(device.into());
        arguments.push(path_of(new_key.as_fd()).into());
        match self.call(action, &arguments, existing, &[new_key.as_fd()])? {
            Ended::Done => Ok(()),
            Ended::NoSuchKey => Err(CryptsetupError::NoSuchKey { action }),
        }
    }

    /// Removes a slot. cryptsetup itself wants `remaining` to unlock another one.
    pub(crate) fn remove_slot(
        &self,
        device: &Path,
        slot: u8,
        remaining: &Passphrase,
    ) -> Result<(), CryptsetupError> {
        let action = "luksKillSlot";
        let mut arguments = words(&HOW);
        arguments.push(device.into());
        arguments.push(slot.to_string().into());
        match self.call(action, &arguments, remaining, &[])? {
            Ended::Done => Ok(()),
            Ended::NoSuchKey => Err(CryptsetupError::NoSuchKey { action }),
        }
    }

    /// One call, with a passphrase on standard input and descriptors that it inherits.
    fn call(
        &self,
        action: &'static str,
        arguments: &[OsString],
        passphrase: &Passphrase,
        inherited: &[BorrowedFd<'_>],
    ) -> Result<Ended, CryptsetupError> {
        let mut command = Command::new(&self.program);
        command
            .arg(action)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::from(filled_pipe(passphrase)?));
        let outcome = {
            let _passed = Inherited::of(inherited)?;
            command.output()
        };
        let output = outcome.map_err(|source| CryptsetupError::NotStarted {
            program: self.program.clone(),
            source,
        })?;
        match output.status.code() {
            Some(0) => Ok(Ended::Done),
            Some(NO_SUCH_KEY) => Ok(Ended::NoSuchKey),
            _ => Err(CryptsetupError::Failed {
                action,
                said: said(&output),
            }),
        }
    }
}

/// How every volume is opened: by the copy.
fn open_arguments(copy: &CheckedCopy) -> Vec<OsString> {
    let mut arguments = words(&HOW);
    arguments.push("--header".into());
    arguments.push(path_of(copy.memory()).into());
    arguments
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// By which name a child opens what it inherits.
fn path_of(descriptor: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// The reading end of a pipe that has the passphrase in it and no writer any more. A pipe's buffer
/// is the kernel's and is never swapped out; it takes the longest passphrase at once.
fn filled_pipe(passphrase: &Passphrase) -> Result<PipeReader, CryptsetupError> {
    let (reader, mut writer) = pipe().map_err(CryptsetupError::Pipe)?;
    writer
        .write_all(passphrase.expose())
        .map_err(CryptsetupError::Pipe)?;
    Ok(reader)
}

/// Descriptors that children get, for as long as this lives.
struct Inherited<'a>(&'a [BorrowedFd<'a>]);

impl<'a> Inherited<'a> {
    fn of(descriptors: &'a [BorrowedFd<'a>]) -> Result<Self, CryptsetupError> {
        for descriptor in descriptors {
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))
                .map_err(|errno| CryptsetupError::Pipe(errno.into()))?;
        }
        Ok(Self(descriptors))
    }
}

impl Drop for Inherited<'_> {
    fn drop(&mut self) {
        for descriptor in self.0 {
            // It cannot fail for a descriptor that is open.
            let _ = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }
}

/// What cryptsetup wrote of its failure, on one line.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SAID_LEN)
        .collect();
    match line.is_empty() {
        false => line,
        true => output.status.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
