//! The service manager's descriptor store, in which the records outlive this process.
//!
//! systemd hands back what it was given (`FileDescriptorStoreMax=`), by name, among the sockets.
//! It is told of a segment and has answered before anything in that segment counts.

use crate::config::Config;
use anyhow::Context;
use nitride_ipc::listen_fds::{self, ListenFdsError};
use nitride_secmem::{
    ArenaSizes, Backing, Installed, Record, keep_dropped_records, on_new_segment,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

/// The name under which every segment is stored.
const NAME: &str = "vhsm-records";
/// The name under which connections are stored, of readers who wait.
const READER_NAME: &str = "vhsm-reader";
/// How long the service manager may take to store a descriptor, in milliseconds.
const ANSWER_MS: u16 = 5000;

/// What the service manager handed over, sorted.
pub(crate) struct Handed {
    /// Segments of an earlier process.
    pub(crate) records: Vec<OwnedFd>,
    /// Connections of readers who waited for an earlier process that did not come to its end.
    pub(crate) readers: Vec<(UnixStream, SocketAddr)>,
    /// Everything else, which has to be sockets.
    pub(crate) sockets: Vec<(String, OwnedFd)>,
}

impl Handed {
    /// Takes all of it, once.
    pub(crate) fn take() -> Result<Self, ListenFdsError> {
        let (mut records, mut readers, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for (name, descriptor) in listen_fds::take()? {
            match name.as_str() {
                NAME => records.push(descriptor),
                READER_NAME => {
                    let stream = UnixStream::from(descriptor);
                    // Asked before we are confined, as accept tells it. What has none is no reader.
                    if let Ok(address) = stream.peer_addr() {
                        readers.push((stream, address));
                    }
                }
                _ => sockets.push((name, descriptor)),
            }
        }
        Ok(Self {
            records,
            readers,
            sockets,
        })
    }
}

/// Whether the next process finds the keys of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It does.
    Kept,
    /// It does not, and why.
    Ends(&'static str),
}

/// The arenas, and what an earlier process has left in them.
#[derive(Debug)]
pub(crate) struct Arenas {
    /// What they are made of.
    pub(crate) backing: Backing,
    /// Whether the records in them outlive this process.
    pub(crate) keeping: Keeping,
    /// Those of the earlier process.
    pub(crate) recovered: Vec<Record>,
}

impl Arenas {
    /// Sets them up with the segments of an earlier process, and has them kept for a later one.
    /// From then on a record that is dropped stays, until the service runs: a start that fails
    /// loses no key.
    pub(crate) fn install(config: &Config, records: Vec<OwnedFd>) -> anyhow::Result<Self> {
        let (sizes, choice) = (config.arena_sizes, config.backing);
        let mut installed = nitride_secmem::install(sizes, choice, records)?;
        keep_dropped_records(true);
        let keeping = keep(&installed).context("have the records kept")?;
        Ok(Self {
            backing: installed.backing(),
            keeping,
            recovered: installed.take_recovered(),
        })
    }
}

#[cfg(test)]
impl From<Backing> for Arenas {
    fn from(backing: Backing) -> Self {
        Self {
            backing,
            keeping: Keeping::Ends("this is a test"),
            recovered: Vec::new(),
        }
    }
}

/// What to say where the records cannot grow as far as they are configured to: vhsmd would serve,
/// and refuse new keys long before `records-max`.
pub(crate) fn growth_warning(sizes: ArenaSizes, lock_limit: Option<u64>) -> Option<String> {
    let records = sizes.records_max_len.max(sizes.records_len) as u64;
    let heap = sizes.heap_len as u64;
    let needed = records.saturating_add(heap);
    let limit = lock_limit.filter(|limit| *limit < needed)?;
    Some(format!(
        "the records cannot grow to arena.records-max: RLIMIT_MEMLOCK is {limit} bytes, and with the \
         heap that takes {needed}; raise LimitMEMLOCK= of the unit, or lower records-max"
    ))
}

fn keep(installed: &Installed) -> anyhow::Result<Keeping> {
    let keeping = keeping(installed.persists(), |name| std::env::var_os(name));
    match keeping {
        Ok(store) => {
            on_new_segment(move |segment, index| store.keep(segment, index))?;
            Ok(Keeping::Kept)
        }
        Err(reason) => {
            // Nobody takes them: then our own descriptors are of no use either.
            on_new_segment(|_, _| Ok(()))?;
            Ok(Keeping::Ends(reason))
        }
    }
}

fn keeping(
    persists: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Store, &'static str> {
    if !persists {
        return Err("the arenas are locked memory and no memfd_secret");
    }
    let Some(socket) = variable("NOTIFY_SOCKET") else {
        return Err("no service manager is there to keep them");
    };
    // systemd 254 and later says how much it would keep.
    let capacity = variable("FDSTORE").and_then(|text| text.to_str()?.parse::<u32>().ok());
    match capacity {
        None => Err("the service manager has no descriptor store for them"),
        Some(0) => Err("FileDescriptorStoreMax= of the unit is 0"),
        Some(capacity) => Ok(Store { socket, capacity }),
    }
}

/// The service manager's store.
#[derive(Debug)]
struct Store {
    socket: OsString,
    capacity: u32,
}

impl Store {
    /// Has a segment kept, and comes back when it is.
    fn keep(&self, segment: BorrowedFd<'_>, index: u32) -> io::Result<()> {
        // What is beyond its capacity, systemd drops without a word.
        if index >= self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.put(&format!("FDSTORE=1\nFDNAME={NAME}\nFDPOLL=0\n"), segment)
    }

    fn put(&self, message: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let manager = self.connect()?;
        tell(&manager, message, descriptor)?;
        // It closes this end when it has dealt with everything before.
        let (ours, theirs) = UnixStream::pair()?;
        tell(&manager, "BARRIER=1", theirs.as_fd())?;
        drop(theirs);
        let mut watched = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::from(ANSWER_MS))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let address = match self.socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&self.socket)?,
        };
        let manager = UnixDatagram::unbound()?;
        manager.connect_addr(&address)?;
        Ok(manager)
    }
}

/// Where connections of readers are kept while they wait, so that a crash does not end them: the end
/// of the stream would be a credential, and an empty one.
#[derive(Debug)]
pub(crate) struct HeldReaders(Option<Store>);

impl HeldReaders {
    /// The service manager's store, where it has room for `most` at a time beside all the segments
    /// that records may grow to: what is beyond its capacity it drops, and that may be a segment.
    pub(crate) fn find(sizes: ArenaSizes, most: usize) -> Self {
        Self::of(sizes, most, |name| std::env::var_os(name))
    }

    fn of(sizes: ArenaSizes, most: usize, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let segments = sizes.records_max_len.div_ceil(sizes.records_len.max(1));
        // One that has ended may be there until the service manager has looked.
        let needed = segments.max(1) + 2 * most;
        let store = keeping(true, variable).ok();
        Self(store.filter(|store| store.capacity as usize >= needed))
    }

    /// Whether there is somebody who keeps them.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Has a connection kept until both of its ends are closed, and comes back when it is; `false`
    /// where there is nobody who would.
    ///
    /// # Errors
    /// Where the service manager did not take it in time.
    pub(crate) fn hold(&self, connection: BorrowedFd<'_>) -> io::Result<bool> {
        let Some(store) = &self.0 else {
            return Ok(false);
        };
        // FDPOLL=1: the service manager lets go by itself once the reader has what it came for.
        store.put(
            &format!("FDSTORE=1\nFDNAME={READER_NAME}\nFDPOLL=1\n"),
            connection,
        )?;
        Ok(true)
    }
}

fn tell(manager: &UnixDatagram, message: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [descriptor.as_raw_fd()];
    let attached = [ControlMessage::ScmRights(&descriptors)];
    let text = [IoSlice::new(message.as_bytes())];
    sendmsg::<()>(
        manager.as_raw_fd(),
        &text,
        &attached,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(persists: bool, variables: &[(&str, &str)]) -> Result<u32, &'static str> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(found.1))
        };
        keeping(persists, find).map(|store| store.capacity)
    }

    #[test]
    fn records_are_kept_only_where_somebody_keeps_them() {
        let socket = ("NOTIFY_SOCKET", "/n");
        assert_eq!(reason(true, &[socket, ("FDSTORE", "64")]), Ok(64));
        for (persists, variables, part) in [
            (false, &[socket, ("FDSTORE", "64")][..], "locked memory"),
            (true, &[("FDSTORE", "64")], "no service manager"),
            (true, &[socket], "no descriptor store"),
            (true, &[socket, ("FDSTORE", "many")], "no descriptor store"),
            (true, &[socket, ("FDSTORE", "0")], "FileDescriptorStoreMax="),
        ] {
            let told = reason(persists, variables).unwrap_err();
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn readers_take_no_segments_place() {
        let sizes = ArenaSizes {
            records_len: 1 << 20,
            records_max_len: 8 << 20,
            heap_len: 2 << 20,
        };
        let is_found = |capacity: &str| {
            let find = |name: &str| match name {
                "NOTIFY_SOCKET" => Some("/n".into()),
                "FDSTORE" => Some(capacity.into()),
                _ => None,
            };
            HeldReaders::of(sizes, 4, find).is_there()
        };
        assert!(is_found("16"));
        assert!(!is_found("15"));
        assert!(!is_found("0"));
    }

    #[test]
    fn growth_that_the_limit_of_locked_memory_forbids_is_told_at_the_start() {
        let sizes = ArenaSizes {
            records_len: 1 << 20,
            records_max_len: 8 << 20,
            heap_len: 2 << 20,
        };
        assert_eq!(growth_warning(sizes, None), None);
        assert_eq!(growth_warning(sizes, Some(10 << 20)), None);
        let told = growth_warning(sizes, Some((10 << 20) - 1)).unwrap();
        assert!(
            told.contains("10485759") && told.contains("LimitMEMLOCK="),
            "{told}"
        );
    }

    #[test]
    fn a_segment_beyond_the_capacity_is_refused_before_it_is_sent() {
        let store = Store {
            socket: "/nobody/is/there".into(),
            capacity: 2,
        };
        let (one, _other) = UnixStream::pair().unwrap();
        let refused = |index| store.keep(one.as_fd(), index).unwrap_err().kind();
        assert_eq!(refused(2), io::ErrorKind::StorageFull);
        assert_eq!(refused(1), io::ErrorKind::NotFound);
    }
}
