//! The digest of the program that a peer runs. A hint, asked for where a rule states one: whoever
//! may run the program may make it load other code.
//!
//! A thread in a Landlock domain may not look at other processes' programs. So where the policy at
//! the start states a digest, one thread is started before the domain is entered, that opens
//! programs for the others and does nothing else; its system calls are confined as theirs are. A
//! policy that states none has no such thread.

use crate::hardening::confine_system_calls_alone;
use nitride_ipc::peer::{PeerIdentity, open_program_of};
use nitride_secmem::crypto::Sha256;
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest program that is read, in bytes.
const MAX_LEN: u64 = 512 << 20;
/// Longest that reading may take, between two reads.
const MAX_TIME: Duration = Duration::from_secs(2);
/// Read at a time, in bytes.
const PART_LEN: usize = 128 << 10;

/// Why a peer's program has no digest; no rule that states one is about that peer then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDigest {
    /// The policy at the start stated no digest.
    #[error("no rule asked for a program when vhsmd started: restart it")]
    NoReader,
    /// It takes the same user or CAP_SYS_PTRACE.
    #[error("the kernel does not let vhsmd read the peer's program (CAP_SYS_PTRACE)")]
    NotAllowed,
    /// The peer has ended.
    #[error("the peer has ended")]
    PeerGone,
    /// The program is longer than what is read.
    #[error("the peer's program is longer than {MAX_LEN} bytes")]
    TooLong,
    /// Reading took longer than it may.
    #[error("reading the peer's program took longer than {} s", MAX_TIME.as_secs())]
    TooSlow,
    /// The program cannot be read.
    #[error("read the peer's program")]
    Unreadable(#[source] io::Error),
}

/// The thread that opens programs.
#[derive(Debug)]
pub(crate) struct ProgramReader {
    asked: Mutex<Sender<Asked>>,
}

/// Whose, and where to.
struct Asked {
    pid: u32,
    answer: SyncSender<Option<File>>,
}

impl ProgramReader {
    /// Starts it. To be called before the process is confined.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, receiver) = channel();
        thread::Builder::new()
            .name("programs".to_owned())
            .spawn(move || open_all(&receiver))?;
        let asked = Mutex::new(sender);
        Ok(Self { asked })
    }

    /// SHA-256 of the program file that `peer` runs now.
    pub(crate) fn digest_of(&self, peer: &PeerIdentity) -> Result<[u8; 32], NoDigest> {
        let open = || peer.open_executable(|pid| self.open(pid));
        let file = open()
            .map_err(|_| NoDigest::PeerGone)?
            .ok_or(NoDigest::NotAllowed)?;
        let digest = digest_file(file, MAX_LEN, MAX_TIME)?;
        match peer.still_alive() {
            true => Ok(digest),
            false => Err(NoDigest::PeerGone),
        }
    }

    fn open(&self, pid: u32) -> Option<File> {
        let (answer, answered) = sync_channel(1);
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.send(Asked { pid, answer }).ok()?;
        drop(asked);
        // A file system that does not answer holds up the thread, not this one for ever.
        answered.recv_timeout(MAX_TIME).ok().flatten()
    }
}

fn open_all(asked: &Receiver<Asked>) {
    nitride_secmem::block_signals_on_this_thread();
    // Without the filter it does nothing, and no rule that states a digest is about anybody.
    if confine_system_calls_alone().is_err() {
        return;
    }
    while let Ok(Asked { pid, answer }) = asked.recv() {
        // Who asked may have given up.
        let _ = answer.send(open_program_of(pid));
    }
}

fn digest_file(mut file: File, max_len: u64, max_time: Duration) -> Result<[u8; 32], NoDigest> {
    let begun = Instant::now();
    let mut part = vec![0; PART_LEN];
    let mut left = max_len;
    let mut digest = Sha256::new();
    loop {
        let read = file.read(&mut part).map_err(NoDigest::Unreadable)?;
        if read == 0 {
            return Ok(digest.finish());
        }
        left = left.checked_sub(read as u64).ok_or(NoDigest::TooLong)?;
        if begun.elapsed() > max_time {
            return Err(NoDigest::TooSlow);
        }
        digest.update(part.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_secmem::crypto::sha256;
    use std::io::Write;

    #[test]
    fn a_program_is_digested_whole_or_not_at_all() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * PART_LEN + 17).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let open = || File::open(file.path()).unwrap();
        let len = content.len() as u64;
        let digest = digest_file(open(), len, MAX_TIME).unwrap();
        assert_eq!(digest, sha256(&[&content]));
        let too_long = digest_file(open(), len - 1, MAX_TIME);
        assert!(matches!(too_long, Err(NoDigest::TooLong)));
        let too_slow = digest_file(open(), len, Duration::ZERO);
        assert!(matches!(too_slow, Err(NoDigest::TooSlow)));
        let endless = digest_file(File::open("/dev/zero").unwrap(), 1 << 20, MAX_TIME);
        assert!(matches!(endless, Err(NoDigest::TooLong)));
    }

    #[test]
    fn our_own_program_has_the_digest_of_its_file() {
        let (ours, _theirs) = nitride_ipc::Connection::pair().unwrap();
        let peer = nitride_ipc::peer::resolve(&ours, None).unwrap();
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let opened = peer.open_executable(open_program_of).unwrap().unwrap();
        let digest = digest_file(opened, MAX_LEN, MAX_TIME).unwrap();
        assert_eq!(digest, sha256(&[&file]));
    }
}
