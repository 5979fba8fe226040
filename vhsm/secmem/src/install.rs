//! Setting the arenas up, once a process.

use crate::arena::{Heap, Traffic};
use crate::arenas::{self, Arenas};
use crate::mapping::{self, Mapping, PAGE_LEN, Refusal};
use crate::stacks::Stacks;
use crate::{door, redirect};
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

/// How large the two arenas are, in bytes; both are multiples of the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaSizes {
    /// Bytes for [`crate::Record`]s.
    pub records_len: usize,
    /// Bytes for [`crate::SecretBuf`]s and AWS-LC's objects; at least [`MIN_HEAP_LEN`].
    pub heap_len: usize,
}

/// The smallest heap arena, in bytes: what AWS-LC's generator takes for itself, twice, and the
/// stacks that calls run on.
pub const MIN_HEAP_LEN: usize = 512 * 1024;

/// Pages that ordinary allocations leave free, so that what AWS-LC cannot bear to be refused
/// (the seeding of a thread's generator, the check of a peer's point) is never refused.
const RESERVE_PAGES: usize = 8;

/// What the arenas are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// `memfd_secret(2)`: pages that even the kernel does not map.
    MemfdSecret,
    /// A private anonymous mapping, locked, kept out of core dumps and of forked children.
    Locked,
}

impl Backing {
    /// The word for status output: `memfd-secret` or `locked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemfdSecret => "memfd-secret",
            Self::Locked => "locked",
        }
    }
}

/// Which backing [`install`] may take. Unlocked memory is no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackingChoice {
    /// `memfd_secret`, and where the kernel has none, locked memory.
    Best,
    /// Locked memory at once, for kernels and tests that must.
    LockedOnly,
}

/// Why the arenas could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// [`install`] was called before in this process.
    #[error("cannot install the arenas twice in one process")]
    AlreadyInstalled,
    /// A size is too small or no multiple of the page size.
    #[error(
        "{arena} arena of {len} bytes is smaller than {min_len} or no multiple of {PAGE_LEN} bytes"
    )]
    BadSize {
        /// Which arena: `records` or `heap`.
        arena: &'static str,
        /// The size asked for, in bytes.
        len: usize,
        /// The smallest size, in bytes.
        min_len: usize,
    },
    /// The kernel's pages are not of the size that the arenas are built for.
    #[error("kernel has pages of {page_len} bytes where the arenas need {PAGE_LEN}")]
    PageSize {
        /// The kernel's page size, in bytes.
        page_len: usize,
    },
    /// The kernel gives neither `memfd_secret` nor locked memory.
    #[error(
        "cannot lock {len} bytes for the {arena} arena ({secret}mlock: {locked}); RLIMIT_MEMLOCK is \
         {limit}: raise it to at least {needed} bytes (LimitMEMLOCK= of the unit, `ulimit -l`), \
         grant CAP_IPC_LOCK, or configure smaller arenas"
    )]
    NotLockable {
        /// Which arena: `records` or `heap`.
        arena: &'static str,
        /// Its size, in bytes.
        len: usize,
        /// What `memfd_secret` said, if it was tried.
        secret: SecretRefusal,
        /// What the locked mapping said.
        locked: io::Error,
        /// The limit at that moment.
        limit: LockLimit,
        /// Bytes of both arenas together.
        needed: usize,
    },
    /// The kernel refuses to make a page inaccessible below each of the arena's stacks.
    #[error("cannot guard the stacks in the heap arena")]
    NotGuarded(#[source] io::Error),
    /// Something redirected AWS-LC's allocator before.
    #[error("AWS-LC refuses to allocate from the arena: its allocator was replaced already")]
    NotRedirected,
}

/// What `memfd_secret` said when it was tried.
#[derive(Debug)]
pub struct SecretRefusal(Option<io::Error>);

impl fmt::Display for SecretRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(error) => write!(f, "memfd_secret: {error}; "),
            None => Ok(()),
        }
    }
}

/// The soft RLIMIT_MEMLOCK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockLimit(Option<u64>);

impl fmt::Display for LockLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes} bytes"),
            None => f.write_str("unlimited"),
        }
    }
}

/// Proof that the arenas stand.
#[derive(Clone, Copy, Debug)]
pub struct Installed {
    backing: Backing,
}

impl Installed {
    /// What the arenas are made of; the weaker of both, if they differ.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }
}

/// Creates both arenas, redirects AWS-LC's allocator into the heap arena, and seeds its generator
/// there.
///
/// This is the first statement of `main`: what AWS-LC allocates before would be freed into an
/// arena that does not know it, which ends the process.
///
/// # Errors
/// When called a second time, with a bad size, or when neither backing can be had; nothing is
/// installed then.
pub fn install(sizes: ArenaSizes, choice: BackingChoice) -> Result<Installed, InstallError> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if arenas::arenas().is_some() {
        return Err(InstallError::AlreadyInstalled);
    }
    let page_len = mapping::kernel_page_len();
    if page_len != PAGE_LEN {
        return Err(InstallError::PageSize { page_len });
    }
    let (records, records_backing) = map("records", sizes.records_len, PAGE_LEN, sizes, choice)?;
    let (heap, heap_backing) = map("heap", sizes.heap_len, MIN_HEAP_LEN, sizes, choice)?;
    let backing = match (records_backing, heap_backing) {
        (Backing::MemfdSecret, Backing::MemfdSecret) => Backing::MemfdSecret,
        _ => Backing::Locked,
    };
    let heap = Heap::new(heap, Traffic::Busy, RESERVE_PAGES);
    let stacks = Stacks::in_heap(&heap).map_err(InstallError::NotGuarded)?;
    if !redirect::redirect() {
        return Err(InstallError::NotRedirected);
    }
    arenas::set(Arenas {
        records: Heap::new(records, Traffic::Calm, 0),
        heap,
        stacks,
    })
    .map_err(|_| InstallError::AlreadyInstalled)?;
    // The first seeding takes by far the most memory and time: now, while there is plenty.
    let _ = door::seed_process();
    Ok(Installed { backing })
}

fn map(
    arena: &'static str,
    len: usize,
    min_len: usize,
    sizes: ArenaSizes,
    choice: BackingChoice,
) -> Result<(Mapping, Backing), InstallError> {
    if len < min_len || !len.is_multiple_of(PAGE_LEN) {
        return Err(InstallError::BadSize {
            arena,
            len,
            min_len,
        });
    }
    mapping::best(len, choice == BackingChoice::Best).map_err(|Refusal { secret, locked }| {
        InstallError::NotLockable {
            arena,
            len,
            secret: SecretRefusal(secret),
            locked,
            limit: LockLimit(mapping::lock_limit()),
            needed: sizes.records_len.saturating_add(sizes.heap_len),
        }
    })
}

/// How full the arenas are; all figures in bytes. All zero before [`install`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes handed out from the records arena, rounded up to size classes.
    pub records_used: usize,
    /// Size of the records arena.
    pub records_size: usize,
    /// Bytes handed out from the heap arena, rounded up to size classes, its stacks included.
    pub heap_used: usize,
    /// Size of the heap arena.
    pub heap_size: usize,
    /// Where the arenas are, as [`arena_ranges`] says.
    pub ranges: [(usize, usize); 2],
}

/// How full the arenas are now.
#[must_use]
pub fn usage() -> Usage {
    arenas::arenas().map_or_else(Usage::default, |arenas| Usage {
        records_used: arenas.records.used_len(),
        records_size: arenas.records.size(),
        heap_used: arenas.heap.used_len(),
        heap_size: arenas.heap.size(),
        ranges: arena_ranges(),
    })
}

/// Start address and length of the records and the heap arena, for the leak scan; zeroes before
/// [`install`]. The guard pages on either side are not counted; those below the stacks, within the
/// heap arena, are, and cannot be read.
#[must_use]
pub fn arena_ranges() -> [(usize, usize); 2] {
    arenas::arenas().map_or([(0, 0); 2], |arenas| {
        [&arenas.records, &arenas.heap].map(|arena| arena.ranges().next().unwrap_or((0, 0)))
    })
}
