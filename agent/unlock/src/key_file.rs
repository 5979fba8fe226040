//! The vault's key-file sockets, asked as systemd-cryptsetup asks (crypttab(5)): connect from an
//! abstract address that names the volume, and read to the end. Unlike that, it says first which
//! disk the volume is on, by the copy of the header that was checked: the vault releases a passphrase
//! that is for certain disks to no other.

use crate::passphrase::{Passphrase, PassphraseError};
use nitride_kbs::disk::DiskExpectation;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Between two tries to connect: doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a wait is told of.
#[cfg(not(test))]
const REMINDER: Duration = Duration::from_secs(10);
#[cfg(test)]
const REMINDER: Duration = Duration::from_millis(50);

/// Why the vault gave no passphrase.
#[derive(Debug, Error)]
pub(crate) enum KeyFileError {
    #[error("{} cannot be reached", .socket.display())]
    Unreachable { socket: PathBuf, source: Errno },
    #[error("{} gave no passphrase", .socket.display())]
    NothingGiven {
        socket: PathBuf,
        source: PassphraseError,
    },
    #[error("random bytes for an address cannot be had")]
    Random(#[source] getrandom::Error),
}

impl KeyFileError {
    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "start vhsmd, and give it a [[disk-key]] and vhsm-disk@.socket for this passphrase"
            }
            Self::NothingGiven { .. } => {
                "vhsmd's log says why it refused, or what it was waiting for"
            }
            Self::Random(_) => "the kernel has no random numbers yet: try again",
        }
    }
}

/// The passphrase that the socket `folder`/`name`.key gives, within `patience`. The vault holds the
/// connection while it fetches and tries again; a vault that is not there yet is waited for.
pub(crate) fn fetch(
    folder: &Path,
    name: &str,
    disk: &DiskExpectation,
    patience: Duration,
) -> Result<Passphrase, KeyFileError> {
    let path = folder.join(format!("{name}.key"));
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        match ask(&path, name) {
            Ok(stream) => return say_and_read(&path, &stream, disk, deadline),
            Err(Asked::Random(error)) => return Err(KeyFileError::Random(error)),
            Err(Asked::Refused(source)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let comes = matches!(source, Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN);
                if !comes || left.is_zero() {
                    let socket = path;
                    return Err(KeyFileError::Unreachable { socket, source });
                }
                tracing::info!(socket = %path.display(), "waiting for the vault");
                sleep(pause.min(left));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

enum Asked {
    Random(getrandom::Error),
    Refused(Errno),
}

impl From<Errno> for Asked {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Connects from `\0HEX/cryptsetup/NAME`.
fn ask(path: &Path, name: &str) -> Result<UnixStream, Asked> {
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(Asked::Random)?;
    let salt = u64::from_ne_bytes(salt);
    let ours = UnixAddr::new_abstract(format!("{salt:016x}/cryptsetup/{name}").as_bytes())?;
    let theirs = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(socket.as_raw_fd(), &ours)?;
    connect(socket.as_raw_fd(), &theirs)?;
    Ok(UnixStream::from(socket))
}

fn say_and_read(
    path: &Path,
    stream: &UnixStream,
    disk: &DiskExpectation,
    deadline: Instant,
) -> Result<Passphrase, KeyFileError> {
    let mut writer = stream;
    // A line fits the socket's buffer: nobody has to read it for this to go on.
    let said = writer
        .write_all(disk.to_string().as_bytes())
        .and_then(|()| stream.shutdown(Shutdown::Write));
    said.map_err(|source| KeyFileError::NothingGiven {
        socket: path.to_owned(),
        source: PassphraseError::Unreadable(source),
    })?;
    let patient = Patient {
        path,
        stream,
        deadline,
    };
    Passphrase::read(patient).map_err(|source| KeyFileError::NothingGiven {
        socket: path.to_owned(),
        source,
    })
}

/// A connection that the vault holds open: it is waited on until the deadline, and whoever looks at
/// the console is told that it is.
struct Patient<'a> {
    path: &'a Path,
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            // Zero would be for ever.
            let slice = left.clamp(Duration::from_millis(1), REMINDER);
            self.stream.set_read_timeout(Some(slice))?;
            let mut stream = self.stream;
            match stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && left > slice => {
                    let (socket, left_secs) = (self.path.display(), left.as_secs());
                    tracing::info!(%socket, left_secs, "the vault has no passphrase yet");
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::luks2::tests::disk;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::thread::spawn;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a client said to its end, and where it came from.
    fn heard(listener: &UnixListener) -> (UnixStream, SocketAddr, String) {
        let (mut stream, address) = listener.accept().unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        (stream, address, said)
    }

    #[test]
    fn the_volume_is_in_the_address_its_disk_is_said_and_the_passphrase_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("root.key")).unwrap();
        let vault = spawn(move || {
            let (mut stream, address, said) = heard(&listener);
            stream.write_all(b"secret").unwrap();
            (address.as_abstract_name().unwrap().to_vec(), said)
        });
        let passphrase = fetch(folder.path(), "root", &disk(), PATIENCE).unwrap();
        assert_eq!(passphrase.expose(), b"secret");
        let (address, said) = vault.join().unwrap();
        assert_eq!(said, disk().to_string());
        let address = String::from_utf8(address).unwrap();
        let (salt, rest) = address.split_once('/').unwrap();
        assert_eq!((salt.len(), rest), (16, "cryptsetup/root"));
    }

    #[test]
    fn a_vault_that_comes_later_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let vault = spawn(move || {
            sleep(Duration::from_millis(300));
            let listener = UnixListener::bind(path).unwrap();
            heard(&listener).0.write_all(b"secret").unwrap();
        });
        assert!(fetch(folder.path(), "root", &disk(), PATIENCE).is_ok());
        vault.join().unwrap();
    }

    #[test]
    fn a_connection_that_is_held_open_is_waited_on_past_each_reminder() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("root.key")).unwrap();
        let vault = spawn(move || {
            let (mut stream, ..) = heard(&listener);
            for part in [b"sec", b"ret"] {
                sleep(REMINDER * 4);
                stream.write_all(part).unwrap();
            }
        });
        let passphrase = fetch(folder.path(), "root", &disk(), PATIENCE).unwrap();
        assert_eq!(passphrase.expose(), b"secret");
        vault.join().unwrap();
    }

    #[test]
    fn a_vault_that_refuses_holds_on_or_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = fetch(folder.path(), "root", &disk(), Duration::from_millis(50));
        assert!(matches!(nobody, Err(KeyFileError::Unreachable { .. })));
        let listener = UnixListener::bind(folder.path().join("root.key")).unwrap();
        let held = fetch(folder.path(), "root", &disk(), Duration::from_millis(50));
        assert!(matches!(
            held,
            Err(KeyFileError::NothingGiven {
                source: PassphraseError::TimedOut,
                ..
            })
        ));
        let vault = spawn(move || {
            // The one that was given up first.
            drop(heard(&listener));
            drop(heard(&listener));
        });
        let refused = fetch(folder.path(), "root", &disk(), PATIENCE);
        assert!(matches!(
            refused,
            Err(KeyFileError::NothingGiven {
                source: PassphraseError::Empty,
                ..
            })
        ));
        vault.join().unwrap();
    }
}
