//! The system calls that nix and std leave to their callers. The only unsafe code of this crate.
#![expect(
    unsafe_code,
    reason = "system calls whose wrappers hand out raw descriptors, or that have no wrapper"
)]

use crate::listen_fds::ListenFdsError;
use crate::message::{MAX_DESCRIPTORS, Sender};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockFlag, accept4, getsockopt, sockopt};
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that systemd hands over (sd_listen_fds(3), `SD_LISTEN_FDS_START`).
const LISTEN_FDS_START: RawFd = 3;

/// The kernel's number of an error of std; EIO for one that has none.
pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Accepts one connection, not inherited by children.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let accepted = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: accept4 has just returned this number, so it is open, and nothing else in the
    // process knows it: the value made here is its only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// A pidfd of the process that connected (Linux 6.5), not inherited by children.
pub(crate) fn peer_pidfd(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    getsockopt(&socket, sockopt::PeerPidfd)
}

/// The supplementary groups of the process that connected, as they were then.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    // Nearly every process has fewer; otherwise the kernel says how many, at most 65,536.
    let mut groups = vec![0_u32; 64];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut len = libc::socklen_t::try_from(room).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the pointer is to the vector's own initialised memory and `len` is its length in
        // bytes, so the kernel writes inside it; any bytes are a valid `u32`; `len` is a live local
        // that the kernel writes one socklen_t to; neither is aliased during the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        let count = len as usize / size_of::<u32>();
        match Errno::result(result) {
            Ok(_) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // Grows every time, or the loop ends.
            Err(Errno::ERANGE) if count > groups.len() && count <= 65_536 => {
                groups.resize(count, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether packets to `socket` may carry descriptors, which they may unless this says otherwise:
/// `SO_PASSRIGHTS` (Linux 6.16; before it, nothing keeps them away). Whoever attaches one to a
/// packet that may not is told EPERM.
pub(crate) fn pass_rights(socket: BorrowedFd<'_>, passes: bool) -> Result<(), Errno> {
    /// asm-generic/socket.h; libc does not name it yet.
    const SO_PASSRIGHTS: libc::c_int = 83;
    let value = libc::c_int::from(passes);
    let value_len = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the pointer is to a live local integer and the length is its own; the kernel reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const value).cast(),
            value_len,
        )
    };
    match Errno::result(result) {
        Ok(_) | Err(Errno::ENOPROTOOPT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What `PIDFD_GET_INFO` says of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PidfdInfo {
    /// The process's number in our own namespace.
    pub(crate) pid: u32,
    /// The inode number of its cgroup's folder; absent for a process that has ended.
    pub(crate) cgroup_id: Option<u64>,
}

/// `struct pidfd_info` of linux/pidfd.h as of Linux 6.13 (`PIDFD_INFO_SIZE_VER0`); later kernels
/// take the shorter form, since the length is part of the request's number.
#[repr(C)]
#[derive(Default)]
struct RawPidfdInfo {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    /// tgid, ppid, and the eight credentials, which SO_PEERCRED has said as of the connect.
    unused: [u32; 10],
    exit_code: i32,
}

const _: () = assert!(size_of::<RawPidfdInfo>() == 64);

const PIDFD_INFO_PID: u64 = 1;
const PIDFD_INFO_CGROUPID: u64 = 1 << 2;

/// The one request that this crate makes by ioctl (pidfd_getinfo of linux/pidfd.h).
pub const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<RawPidfdInfo>(0xFF, 11);

/// Number and cgroup of the process behind `pidfd`; `None` where the kernel has no such request
/// (before Linux 6.13).
pub(crate) fn pidfd_info(pidfd: BorrowedFd<'_>) -> Result<Option<PidfdInfo>, Errno> {
    let mut info = RawPidfdInfo {
        mask: PIDFD_INFO_PID | PIDFD_INFO_CGROUPID,
        ..RawPidfdInfo::default()
    };
    // SAFETY: the request's number carries the structure's length, of which the kernel reads and
    // writes no more; the structure is a live local of plain integers without padding (checked
    // above), so any bytes written are valid, and it is not aliased during the call.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    match Errno::result(result) {
        Ok(_) => Ok(Some(PidfdInfo {
            pid: info.pid,
            cgroup_id: (info.mask & PIDFD_INFO_CGROUPID != 0).then_some(info.cgroup_id),
        })),
        // Before 6.13 a pidfd answers ENOTTY (6.9 and later) or EINVAL to it.
        Err(Errno::ENOTTY | Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A packet as the kernel gave it.
#[derive(Debug)]
pub(crate) struct Received {
    /// Length of the packet, which may be more than the buffer took.
    pub(crate) len: usize,
    pub(crate) sender: Option<Sender>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether there was more than the room for descriptors and sender took.
    pub(crate) cut_control: bool,
}

/// Room for a sender and [`MAX_DESCRIPTORS`], in words, so that it is aligned as a `cmsghdr` is.
const CONTROL_WORDS: usize = 8 + MAX_DESCRIPTORS;

/// Receives one packet with its sender, if the kernel notes one, and its descriptors.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    max_descriptors: usize,
) -> Result<Received, Errno> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut parts = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    let for_descriptors = u32::try_from(max_descriptors * size_of::<RawFd>()).unwrap_or(0);
    let for_sender = u32::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: both only compute with the numbers that they are given.
    let mut control_len = unsafe { libc::CMSG_SPACE(for_sender) } as usize;
    if max_descriptors > 0 {
        // SAFETY: as above.
        control_len += unsafe { libc::CMSG_SPACE(for_descriptors) } as usize;
    }
    // SAFETY: a msghdr is integers and pointers, for which all zeros are valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut parts;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control_len.min(size_of_val(&control));
    let flags = libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to one iovec over `buf` and to `control`, each with its own length
    // in bytes, all live and not otherwise used during the call; any bytes are valid in both.
    let result = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let len = Errno::result(result)?;
    let mut received = Received {
        len: usize::try_from(len).map_err(|_| Errno::EIO)?,
        sender: None,
        descriptors: Vec::new(),
        cut_control: header.msg_flags & libc::MSG_CTRUNC != 0,
    };
    // SAFETY: the kernel filled `control` and set its length in the header; the macros stay within
    // that, and `control`, which is aligned for a cmsghdr, is alive to the end of the function.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: not null is a whole cmsghdr inside `control`, by the macros' contract.
    while let Some(part) = unsafe { next.as_ref() } {
        // SAFETY: `next` is such a header, so its data begins inside `control` too.
        let (data, head_len) = unsafe { (libc::CMSG_DATA(next), libc::CMSG_LEN(0) as usize) };
        let data_len = part.cmsg_len.saturating_sub(head_len);
        match (part.cmsg_level, part.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..data_len / size_of::<RawFd>() {
                    // SAFETY: the kernel wrote `data_len` bytes of descriptors here, all inside
                    // `control`; they need not be aligned.
                    let number = unsafe { data.cast::<RawFd>().add(index).read_unaligned() };
                    // SAFETY: the kernel has just opened it for this call, so nobody else knows
                    // the number: the value made here is its only owner.
                    received
                        .descriptors
                        .push(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if data_len >= size_of::<libc::ucred>() => {
                // SAFETY: the kernel wrote a whole ucred here; it need not be aligned, and any
                // bytes are valid in it.
                let ucred = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                received.sender =
                    u32::try_from(ucred.pid)
                        .ok()
                        .filter(|pid| *pid != 0)
                        .map(|pid| Sender {
                            pid,
                            uid: ucred.uid,
                            gid: ucred.gid,
                        });
            }
            _ => {}
        }
        // SAFETY: as for the first one.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(received)
}

/// Whether [`take_listen_descriptors`] has given the descriptors away. A static, since what it
/// guards is one a process too: the numbers 3 and up.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Owns the `count` descriptors from 3 up, once in the life of the process.
pub(crate) fn take_listen_descriptors(count: usize) -> Result<Vec<OwnedFd>, ListenFdsError> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(ListenFdsError::TakenBefore);
    }
    let mut taken = Vec::with_capacity(count);
    for number in (LISTEN_FDS_START..).take(count) {
        // SAFETY: borrowed for the one call that asks whether the number is open; fcntl of a
        // number that is not open is an error and touches nothing.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .map_err(|_| ListenFdsError::NotOpen { number })?;
        // SAFETY: systemd put an open descriptor there before this process started (checked: it is
        // open), its environment says that it is meant for us, and the swap above lets this line
        // be reached once per number, so no second owner is made here. That nothing else in the
        // process has adopted numbers out of that range is the meaning of LISTEN_PID.
        taken.push(unsafe { OwnedFd::from_raw_fd(number) });
    }
    Ok(taken)
}

/// Memory that is mapped from a memfd, shared with whoever else has that.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and to no thread; see `Sync` for its content.
unsafe impl Send for Mapping {}
// SAFETY: the content is only ever copied, through raw pointers and never as a reference. Another
// process may write at the same moment, and so may another thread: what is copied then is any
// mixture of old and new bytes, which callers take it for.
unsafe impl Sync for Mapping {}

/// Maps the first `len` bytes of `memfd`, which cannot shrink, for reading and writing.
pub(crate) fn map_shared(memfd: BorrowedFd<'_>, len: usize) -> Result<Mapping, Errno> {
    // SAFETY: the kernel chooses a place where nothing is, so no memory of this process changes
    // its meaning. All pages are fetched at once, which is cheaper than one fault each.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            memfd.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    let start = NonNull::new(start.cast()).ok_or(Errno::ENOMEM)?;
    Ok(Mapping { start, len })
}

impl Mapping {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies out what stands at `offset`; `None` where that is not inside.
    pub(crate) fn copy_to(&self, offset: usize, out: &mut [u8]) -> Option<()> {
        self.check(offset, out.len())?;
        // SAFETY: `offset` and the length were checked to be inside the mapping, which lives as
        // long as `self` and whose file cannot shrink; `out` is memory of this process that does
        // not overlap a mapping that nothing else was made in.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.start.as_ptr().add(offset),
                out.as_mut_ptr(),
                out.len(),
            );
        }
        Some(())
    }

    /// Copies `bytes` to `offset`; `None` where that is not inside.
    pub(crate) fn copy_from(&self, offset: usize, bytes: &[u8]) -> Option<()> {
        self.check(offset, bytes.len())?;
        // SAFETY: as in `copy_to`; no reference to the mapping's content exists.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.start.as_ptr().add(offset),
                bytes.len(),
            );
        }
        Some(())
    }

    fn check(&self, offset: usize, len: usize) -> Option<()> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then_some(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped, once, and nothing points into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
