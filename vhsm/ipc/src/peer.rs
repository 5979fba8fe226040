//! Who is at the other end of a local socket, in the kernel's words.

use crate::cgroup::{path_by_proc, system_unit};
use crate::message::Sender;
use crate::sys;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

pub use crate::cgroup::{CgroupError, CgroupRoot};

/// Why a peer could not be identified. Neither answer leaves anything to decide on.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The process that connected has ended.
    #[error("the process that connected has ended")]
    PeerGone,
    /// The kernel lacks a socket option that identity rests on.
    #[error("the kernel lacks {option}, which came with Linux {since}")]
    KernelTooOld {
        /// The option.
        option: &'static str,
        /// The first version that has it.
        since: &'static str,
    },
    /// The process lives in a process-number namespace that we cannot see into.
    #[error("the process that connected is in a foreign process namespace")]
    ForeignNamespace,
    /// The kernel refused.
    #[error("ask the kernel for {what} of the peer")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
}

/// A peer, pinned: while [`PeerIdentity::still_alive`] holds, every field is of that one process.
///
/// uid, gid and groups are as they were when it connected; a descriptor that it passes on keeps
/// them.
#[derive(Debug)]
pub struct PeerIdentity {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Process number in our own namespace.
    pub pid: u32,
    /// The systemd system unit, by its full cgroup path: "nginx.service".
    pub unit: Option<String>,
    /// The path of its cgroup in the cgroup2 hierarchy: "/system.slice/nginx.service".
    pub cgroup: Option<String>,
    pidfd: OwnedFd,
}

impl PeerIdentity {
    /// Whether the process that connected still runs.
    pub fn still_alive(&self) -> bool {
        let mut watched = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut watched, PollTimeout::ZERO) {
                // A pidfd is readable once the process has ended.
                Ok(ready) => return ready == 0,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether this very process, as the user and group that it was, sent what `sender` says who
    /// sent. Not a child that inherited the connection, nor anybody to whom it was handed.
    pub fn has_sent(&self, sender: Option<&Sender>) -> bool {
        let is_named = sender.is_some_and(|sender| {
            sender.pid == self.pid && sender.uid == self.uid && sender.gid == self.gid
        });
        // Last: alive now means that the number was not another process's when it was sent.
        is_named && self.still_alive()
    }

    /// The program file that the process runs now, by `open`, which is [`open_program_of`] on
    /// whichever thread may; `None` where it gives none.
    ///
    /// # Errors
    /// [`IdentityError::PeerGone`] for a peer that has ended.
    pub fn open_executable(
        &self,
        open: impl FnOnce(u32) -> Option<File>,
    ) -> Result<Option<File>, IdentityError> {
        let opened = open(self.pid);
        // Read by number: alive now means that the number was the peer's then.
        if !self.still_alive() {
            return Err(IdentityError::PeerGone);
        }
        Ok(opened)
    }
}

/// Opens the program file of the process with this number, which may be another's by now; `None`
/// where the kernel does not let us: that takes the same user or CAP_SYS_PTRACE, and a thread that
/// is in no Landlock domain.
///
/// The file may lie in a file system that somebody's program serves: opening and reading it take as
/// long as that likes.
pub fn open_program_of(pid: u32) -> Option<File> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/{pid}/exe"));
    let is_file = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
    opened.ok().filter(is_file)
}

/// Identifies the peer of the connected local socket `socket`.
///
/// The cgroup comes from the pidfd where the kernel can (Linux 6.13), and else from
/// `/proc/PID/cgroup`, read while the pidfd shows that the number still belongs to the peer. Where
/// `cgroups` is `None`, or the cgroup lies outside our view, there is no unit: a rule that names
/// one does not match.
///
/// # Errors
/// [`IdentityError::PeerGone`] for a peer that has ended, [`IdentityError::KernelTooOld`] before
/// Linux 6.5, and see there.
pub fn resolve(
    socket: &impl AsFd,
    cgroups: Option<&CgroupRoot>,
) -> Result<PeerIdentity, IdentityError> {
    let socket = socket.as_fd();
    let credentials =
        getsockopt(&socket, sockopt::PeerCredentials).map_err(|errno| IdentityError::System {
            what: "the credentials",
            errno,
        })?;
    let pidfd = sys::peer_pidfd(socket).map_err(|errno| match errno {
        Errno::ENOPROTOOPT => IdentityError::KernelTooOld {
            option: "SO_PEERPIDFD",
            since: "6.5",
        },
        // ESRCH once reaped; EINVAL from the first kernels that had the option; ENODATA for a
        // socket that no process connected.
        Errno::ESRCH | Errno::EINVAL | Errno::ENODATA => IdentityError::PeerGone,
        errno => IdentityError::System {
            what: "the pidfd",
            errno,
        },
    })?;
    let groups = sys::peer_groups(socket).map_err(|errno| match errno {
        Errno::ENOPROTOOPT => IdentityError::KernelTooOld {
            option: "SO_PEERGROUPS",
            since: "4.13",
        },
        errno => IdentityError::System {
            what: "the groups",
            errno,
        },
    })?;
    let pid = u32::try_from(credentials.pid())
        .ok()
        .filter(|pid| *pid != 0)
        .ok_or(IdentityError::ForeignNamespace)?;
    let cgroup = match cgroups {
        Some(root) => cgroup_of(&pidfd, pid, root)?,
        None => None,
    };
    let identity = PeerIdentity {
        uid: credentials.uid(),
        gid: credentials.gid(),
        groups,
        pid,
        unit: cgroup.as_deref().and_then(system_unit),
        cgroup,
        pidfd,
    };
    // Last, since /proc was read by number: alive now means that the number was the peer's then.
    if identity.still_alive() {
        Ok(identity)
    } else {
        Err(IdentityError::PeerGone)
    }
}

fn cgroup_of(
    pidfd: &OwnedFd,
    pid: u32,
    root: &CgroupRoot,
) -> Result<Option<String>, IdentityError> {
    if root.reads_proc_alone() {
        return Ok(path_by_proc(pid));
    }
    let told = sys::pidfd_info(pidfd.as_fd()).map_err(|errno| match errno {
        Errno::ESRCH | Errno::EREMOTE => IdentityError::PeerGone,
        errno => IdentityError::System {
            what: "the cgroup",
            errno,
        },
    })?;
    let hint = path_by_proc(pid);
    match told {
        None => Ok(hint),
        Some(info) if info.pid != pid => Err(IdentityError::PeerGone),
        Some(info) => {
            let id = info.cgroup_id.ok_or(IdentityError::PeerGone)?;
            Ok(root.path_of(id, hint.as_deref()))
        }
    }
}
