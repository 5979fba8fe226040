//! The digest of the program that a peer runs. A hint, asked for where a rule states one: whoever
//! may run the program may make it load other code.

use nitride_ipc::peer::PeerIdentity;
use nitride_secmem::crypto::Sha256;
use std::fs::File;
use std::io::{self, Read};
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
    /// It takes the same user or CAP_SYS_PTRACE, and no Landlock domain.
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

/// SHA-256 of the program file that `peer` runs now.
pub(crate) fn digest_of(peer: &PeerIdentity) -> Result<[u8; 32], NoDigest> {
    let file = peer
        .open_executable()
        .map_err(|_| NoDigest::PeerGone)?
        .ok_or(NoDigest::NotAllowed)?;
    let digest = digest_file(file, MAX_LEN, MAX_TIME)?;
    // A process that is being replaced by another is neither of the two.
    match peer.open_executable() {
        Ok(Some(_)) => Ok(digest),
        Ok(None) => Err(NoDigest::NotAllowed),
        Err(_) => Err(NoDigest::PeerGone),
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
        assert_eq!(digest_of(&peer).unwrap(), sha256(&[&file]));
    }
}
