//! Locked memory from the kernel, with a guard page on either side.

use crate::install::Backing;
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

/// Bytes of one page. Arenas are cut by this size; a kernel with larger pages is refused.
pub(crate) const PAGE_LEN: usize = 4096;

/// Zero bytes that are never swapped, dumped or handed to a forked child, between two pages that
/// nobody may touch. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// First usable byte; the guard page lies right below.
    base: NonNull<u8>,
    /// Usable bytes, a multiple of the page size.
    len: usize,
    /// Bytes before `base` and after the end that belong to the reservation.
    guard_len: usize,
}

// SAFETY: a Mapping is an address range that only its owner unmaps; it has no thread affinity, and
// its methods give addresses without reading or writing through them.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is mutated through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `len` bytes of `memfd_secret(2)`: taken out of the kernel's direct map, and locked. With
    /// the descriptor by which another process can have the same pages.
    pub(crate) fn secret_with_descriptor(len: usize) -> io::Result<(Self, OwnedFd)> {
        // SAFETY: memfd_secret takes one integer and gives a new descriptor or -1.
        let raw = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
        let raw = i32::try_from(raw).map_err(|_| io::ErrorKind::InvalidData)?;
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let size = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a plain call on a descriptor that we own.
        check(unsafe { libc::ftruncate(descriptor.as_raw_fd(), size) })?;
        let mapping = Self::of_descriptor(&descriptor, len)?;
        Ok((mapping, descriptor))
    }

    /// The pages of a `memfd_secret` descriptor that is exactly `len` bytes long. Once sized, it
    /// stays so for good: no page of it can be taken away later.
    pub(crate) fn of_descriptor(descriptor: &OwnedFd, len: usize) -> io::Result<Self> {
        let mapping = Self::reserve(len)?;
        // SAFETY: the range is the inside of our own fresh reservation, so MAP_FIXED replaces
        // nothing but its PROT_NONE pages.
        let placed = unsafe {
            libc::mmap(
                mapping.base.as_ptr().cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_FIXED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if placed == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // memfd_secret is never dumped; the child of a fork would share it.
        mapping.advise(libc::MADV_DONTFORK)?;
        mapping.populate();
        Ok(mapping)
    }

    /// `len` bytes of private memory, locked, kept out of dumps and children.
    pub(crate) fn locked(len: usize) -> io::Result<Self> {
        let mapping = Self::reserve(len)?;
        // SAFETY: the range is the inside of our own reservation, which nothing else uses.
        check(unsafe {
            libc::mprotect(
                mapping.base.as_ptr().cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        })?;
        mapping.advise(libc::MADV_DONTDUMP)?;
        mapping.advise(libc::MADV_DONTFORK)?;
        // The kernel would copy small pages into a huge one, and merge those that are equal, and
        // leave what it copied from as it is. A kernel that can do neither refuses the advice.
        let _ = mapping.advise(libc::MADV_NOHUGEPAGE);
        let _ = mapping.advise(libc::MADV_UNMERGEABLE);
        // SAFETY: the range is mapped and ours; mlock changes no contents.
        if !unsafe { memsec::mlock(mapping.base.as_ptr(), len) } {
            return Err(io::Error::last_os_error());
        }
        mapping.populate();
        Ok(mapping)
    }

    /// Address space for `len` bytes and both guards, all of it inaccessible.
    fn reserve(len: usize) -> io::Result<Self> {
        let guard_len = PAGE_LEN;
        let whole = len
            .checked_add(2 * guard_len)
            .filter(|_| len > 0 && len.is_multiple_of(PAGE_LEN))
            .ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                whole,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `guard_len` is below the length of the mapping that starts here.
        let base = unsafe { start.cast::<u8>().add(guard_len) };
        let base = NonNull::new(base).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            base,
            len,
            guard_len,
        })
    }

    fn advise(&self, advice: libc::c_int) -> io::Result<()> {
        // SAFETY: the range is ours; DONTDUMP and DONTFORK change no contents.
        check(unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, advice) })
    }

    /// Touches every page, so that a machine without memory fails now and not within a call.
    fn populate(&self) {
        for offset in (0..self.len).step_by(PAGE_LEN) {
            // SAFETY: `offset` is below `len`, and the mapping is readable, writable and known to
            // nobody but us yet. Volatile, so that each access happens; the byte stays what it is,
            // since the pages may be those of an earlier process.
            unsafe {
                let byte = self.base.as_ptr().add(offset);
                byte.write_volatile(byte.read_volatile());
            }
        }
    }

    /// First usable byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Usable bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the reservation; its owner goes away, and the
        // arenas that hand out pointers into it keep it for the life of the process.
        unsafe {
            libc::munmap(
                self.base.as_ptr().sub(self.guard_len).cast::<c_void>(),
                self.len + 2 * self.guard_len,
            );
        }
    }
}

/// A mapping of the backing that `secret_first` allows, and which one it became. Without its
/// descriptor, the pages cannot be reached by way of /proc/PID/fd.
pub(crate) fn best(len: usize, secret_first: bool) -> Result<(Mapping, Backing), Refusal> {
    best_with_descriptor(len, secret_first).map(|(mapping, backing, _)| (mapping, backing))
}

/// The same, with the descriptor if it has one.
pub(crate) fn best_with_descriptor(
    len: usize,
    secret_first: bool,
) -> Result<(Mapping, Backing, Option<OwnedFd>), Refusal> {
    let mut secret_error = None;
    if secret_first {
        match Mapping::secret_with_descriptor(len) {
            Ok((mapping, descriptor)) => {
                return Ok((mapping, Backing::MemfdSecret, Some(descriptor)));
            }
            Err(error) => secret_error = Some(error),
        }
    }
    match Mapping::locked(len) {
        Ok(mapping) => Ok((mapping, Backing::Locked, None)),
        Err(locked) => Err(Refusal {
            secret: secret_error,
            locked,
        }),
    }
}

/// Why neither backing could be had.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) secret: Option<io::Error>,
    pub(crate) locked: io::Error,
}

/// The soft RLIMIT_MEMLOCK in bytes; `None` if there is no limit.
pub(crate) fn lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes the struct that we own and pass by pointer, and nothing else.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    (told && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Makes `len` bytes of a mapping inaccessible for good, to guard what lies beside them. Both
/// backings take it, and stay what they are.
///
/// # Safety
/// The bytes are whole pages of a [`Mapping`], which nobody uses from now on.
pub(crate) unsafe fn close(start: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: by the caller's promise, no reference reaches there.
    check(unsafe { libc::mprotect(start.as_ptr().cast(), len, libc::PROT_NONE) })
}

/// Whether a descriptor is of `memfd_secret(2)`, and of nothing else.
pub(crate) fn is_secret_memory(descriptor: &OwnedFd) -> io::Result<bool> {
    /// What linux/magic.h calls SECRETMEM_MAGIC.
    const SECRETMEM_MAGIC: i64 = 0x5345_434d;
    let mut about = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: fstatfs writes the struct that we own, and nothing else.
    check(unsafe { libc::fstatfs(descriptor.as_raw_fd(), about.as_mut_ptr()) })?;
    // SAFETY: zeroed and then written; integers all.
    Ok(unsafe { about.assume_init() }.f_type == SECRETMEM_MAGIC)
}

/// The length of what a descriptor is of, in bytes.
pub(crate) fn descriptor_len(descriptor: &OwnedFd) -> io::Result<u64> {
    let mut about = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: fstat writes the struct that we own, and nothing else.
    check(unsafe { libc::fstat(descriptor.as_raw_fd(), about.as_mut_ptr()) })?;
    // SAFETY: zeroed and then written; integers all.
    u64::try_from(unsafe { about.assume_init() }.st_size)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Which file of its kind a descriptor is of.
#[cfg(test)]
pub(crate) fn inode(descriptor: &OwnedFd) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::File::from(descriptor.try_clone()?)
        .metadata()?
        .ino())
}

/// The page size of this kernel, in bytes.
pub(crate) fn kernel_page_len() -> usize {
    // SAFETY: sysconf reads a constant.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0)
}

/// Zeroes `len` bytes in a way that the compiler may not leave out.
///
/// # Safety
/// `start` must be valid for writes of `len` bytes, which nobody else reads or writes meanwhile.
#[inline]
pub(crate) unsafe fn wipe(start: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { start.write_bytes(0, len) };
    // SAFETY: no instruction at all. The compiler must take it to read the memory behind `start`,
    // which makes the write above one that is seen. (memsec::memzero writes byte by byte where it
    // is compiled without optimisation, which this one does not.)
    unsafe { std::arch::asm!("/* {0} */", in(reg) start, options(nostack, preserves_flags)) };
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{case, in_child};
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;

    type Make = fn(usize) -> io::Result<Mapping>;

    fn secret(len: usize) -> io::Result<Mapping> {
        Mapping::secret_with_descriptor(len).map(|(mapping, _)| mapping)
    }

    /// Both backings; a kernel without memfd_secret has but one.
    fn backings() -> Vec<(&'static str, Make)> {
        let mut backings: Vec<(&'static str, Make)> = vec![("locked", Mapping::locked)];
        if secret(PAGE_LEN).is_ok() {
            backings.push(("secret", secret));
        }
        backings
    }

    /// The `VmFlags` of the mapping that starts at `start`.
    fn flags_at(start: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let head = format!("{start:x}-");
        maps.lines()
            .skip_while(|line| !line.starts_with(&head))
            .find_map(|line| line.strip_prefix("VmFlags: "))
            .unwrap()
            .to_owned()
    }

    #[test]
    fn pages_are_locked_and_kept_from_dumps_and_children() {
        for (name, make) in backings() {
            let mapping = make(3 * PAGE_LEN).unwrap();
            let flags = flags_at(mapping.base().as_ptr().addr());
            for flag in ["lo", "dd", "dc", "rd", "wr"] {
                let has = flags.split(' ').any(|each| each == flag);
                // memfd_secret is never dumped, flag or not.
                assert!(has || (flag == "dd" && name == "secret"), "{name}: {flags}");
            }
            // No copies by khugepaged; memfd_secret has no huge pages.
            let has_huge_pages = Path::new("/sys/kernel/mm/transparent_hugepage").exists();
            let is_kept_small = flags.split(' ').any(|each| each == "nh");
            assert!(
                is_kept_small || name == "secret" || !has_huge_pages,
                "{flags}"
            );
        }
    }

    #[test]
    fn both_sides_are_guarded() {
        let Some(case) = case() else {
            for (name, _) in backings() {
                for (side, signal) in [
                    ("below", Some(libc::SIGSEGV)),
                    ("first", None),
                    ("last", None),
                    ("above", Some(libc::SIGSEGV)),
                ] {
                    let case = format!("{name} {side}");
                    let status = in_child("mapping::tests::both_sides_are_guarded", &case);
                    assert_eq!(status.signal(), signal, "{case}");
                }
            }
            return;
        };
        let (name, side) = case.split_once(' ').unwrap();
        let (_, make) = backings()
            .into_iter()
            .find(|(each, _)| *each == name)
            .unwrap();
        let mapping = make(2 * PAGE_LEN).unwrap();
        let base = mapping.base().as_ptr();
        let target = match side {
            "below" => base.wrapping_sub(1),
            "first" => base,
            "last" => base.wrapping_add(2 * PAGE_LEN - 1),
            _ => base.wrapping_add(2 * PAGE_LEN),
        };
        // SAFETY: two of the four addresses are guarded, and the fault is what the test is about.
        unsafe { target.write_volatile(1) };
    }

    #[test]
    fn a_forked_child_does_not_have_the_pages() {
        for (name, make) in backings() {
            let mapping = make(PAGE_LEN).unwrap();
            let base = mapping.base().as_ptr();
            // SAFETY: the child calls nothing but _exit, and reads one byte, which faults there.
            let status = unsafe {
                let child = libc::fork();
                assert!(child >= 0);
                if child == 0 {
                    base.read_volatile();
                    libc::_exit(0);
                }
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                status
            };
            let status = std::process::ExitStatus::from_raw(status);
            assert_eq!(status.signal(), Some(libc::SIGSEGV), "{name}");
        }
    }

    #[test]
    fn lengths_that_are_no_pages_are_refused() {
        for len in [0, 1, PAGE_LEN + 1, usize::MAX, usize::MAX - PAGE_LEN + 1] {
            assert!(Mapping::locked(len).is_err(), "{len}");
            assert!(secret(len).is_err(), "{len}");
        }
    }
}
