//! Setting the arenas up, once a process.

use crate::arena::{Heap, Traffic};
use crate::arenas::{self, Arenas};
use crate::mapping::{self, Mapping, PAGE_LEN, Refusal};
use crate::records::{
    AdoptError, GrowthTerms, MIN_RECORDS_LEN, NotKept, Record, SegmentFault, Store, StoreId, adopt,
};
use crate::stacks::Stacks;
use crate::{door, redirect};
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// How large the two arenas are, in bytes; both are multiples of the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaSizes {
    /// Bytes of each segment for [`crate::Record`]s, at least [`crate::MIN_RECORDS_LEN`].
    pub records_len: usize,
    /// Bytes that all of those segments together may have. The first is there from the start, and
    /// others come as they are needed; less than one segment means one.
    pub records_max_len: usize,
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
    /// A descriptor of the earlier process is no segment of its records.
    #[error("cannot adopt descriptor {position} of the earlier records")]
    Segment {
        /// Which of the descriptors, counted from 0.
        position: usize,
        /// Why.
        #[source]
        fault: SegmentFault,
    },
    /// A segment of the earlier process is not among the descriptors.
    #[error("cannot adopt the earlier records: segment {index} of {count} is missing")]
    SegmentMissing {
        /// The number of the first one that is missing, counted from 0.
        index: u32,
        /// How many there must be.
        count: u32,
    },
    /// There are more descriptors than there can be segments.
    #[error("cannot adopt the earlier records: {count} descriptors are too many")]
    TooManySegments {
        /// How many there are.
        count: usize,
    },
    /// Records of an older layout find no room for their copies.
    #[error(
        "cannot bring the earlier records to the current layout: they would not fit {max_len} \
         bytes; configure larger arenas"
    )]
    NoRoomToUpgrade {
        /// Bytes that all segments together may have.
        max_len: usize,
    },
    /// Locked memory was chosen, which has no descriptors.
    #[error("cannot adopt earlier records into locked memory; they are kept until they are wiped")]
    NotAdoptable,
    /// The kernel draws no number for new records.
    #[error("cannot draw an identity for new records")]
    NoStoreId(#[source] io::Error),
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

/// Proof that the arenas stand, and what an earlier process has left in them.
#[derive(Debug)]
pub struct Installed {
    backing: Backing,
    persists: bool,
    recovered: Vec<Record>,
}

impl Installed {
    /// What the arenas are made of; the weaker of both, if they differ.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// Whether a later process can have the records, if somebody keeps the descriptors: whether
    /// they lie in `memfd_secret`.
    #[must_use]
    pub fn persists(&self) -> bool {
        self.persists
    }

    /// The records of the earlier process, in the order of their commits. Those that are not taken
    /// stay where they are.
    #[must_use = "a record that is dropped is erased"]
    pub fn take_recovered(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.recovered)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        // Dropped one by one, they would be erased.
        self.take_recovered().into_iter().for_each(std::mem::forget);
    }
}

/// Creates both arenas, redirects AWS-LC's allocator into the heap arena, and seeds its generator
/// there. `adopted` are the descriptors that an earlier process had kept, in any order; without
/// any, there are no records yet.
///
/// This is the first statement of `main`: what AWS-LC allocates before would be freed into an
/// arena that does not know it, which ends the process.
///
/// # Errors
/// When called a second time, with a bad size, with descriptors that are not exactly the segments
/// of one store, or when neither backing can be had; nothing is installed then.
pub fn install(
    sizes: ArenaSizes,
    choice: BackingChoice,
    adopted: Vec<OwnedFd>,
) -> Result<Installed, InstallError> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if arenas::arenas().is_some() {
        return Err(InstallError::AlreadyInstalled);
    }
    let page_len = mapping::kernel_page_len();
    if page_len != PAGE_LEN {
        return Err(InstallError::PageSize { page_len });
    }
    check_size("records", sizes.records_len, MIN_RECORDS_LEN)?;
    check_size("heap", sizes.heap_len, MIN_HEAP_LEN)?;
    let (heap, heap_backing) = map("heap", sizes.heap_len, sizes, choice)?;
    let (records, records_backing, recovered) = if adopted.is_empty() {
        let (store, backing) = fresh_records(sizes, choice)?;
        (store, backing, Vec::new())
    } else {
        let (store, recovered) = adopted_records(sizes, choice, &adopted)?;
        (store, Backing::MemfdSecret, recovered)
    };
    let installed = Installed {
        backing: match (records_backing, heap_backing) {
            (Backing::MemfdSecret, Backing::MemfdSecret) => Backing::MemfdSecret,
            _ => Backing::Locked,
        },
        persists: records_backing == Backing::MemfdSecret,
        recovered,
    };
    let heap = Heap::new(heap, Traffic::Busy, RESERVE_PAGES);
    let stacks = Stacks::in_heap(&heap).map_err(InstallError::NotGuarded)?;
    if !redirect::redirect() {
        return Err(InstallError::NotRedirected);
    }
    arenas::set(Arenas {
        records,
        heap,
        stacks,
    })
    .map_err(|_| InstallError::AlreadyInstalled)?;
    // The first seeding takes by far the most memory and time: now, while there is plenty.
    let _ = door::seed_process();
    Ok(installed)
}

/// Has `keep` keep every segment of the records that nobody keeps yet, by descriptor and number,
/// and from now on each new one before anything in it is used. Where it fails for a new one, the
/// arena is full.
///
/// Whoever keeps them hands all of them to the next process's [`install`]. Nothing else may be
/// done with recovered records before this.
///
/// # Errors
/// When `keep` fails for a segment that is in use.
pub fn on_new_segment(
    keep: impl Fn(BorrowedFd<'_>, u32) -> io::Result<()> + Send + Sync + 'static,
) -> Result<(), NotKept> {
    match arenas::arenas() {
        Some(arenas) => arenas.records.keep_segments(Box::new(keep)),
        None => Ok(()),
    }
}

fn check_size(arena: &'static str, len: usize, min_len: usize) -> Result<(), InstallError> {
    if len < min_len || !len.is_multiple_of(PAGE_LEN) {
        return Err(InstallError::BadSize {
            arena,
            len,
            min_len,
        });
    }
    Ok(())
}

fn fresh_records(
    sizes: ArenaSizes,
    choice: BackingChoice,
) -> Result<(Store, Backing), InstallError> {
    let id = StoreId::draw().map_err(InstallError::NoStoreId)?;
    let best = mapping::best_with_descriptor(sizes.records_len, choice == BackingChoice::Best);
    let (mapping, backing, descriptor) =
        best.map_err(|refusal| not_lockable("records", sizes.records_len, sizes, refusal))?;
    let terms = growth_terms(sizes, backing);
    Ok((Store::fresh(mapping, descriptor, terms, id), backing))
}

fn adopted_records(
    sizes: ArenaSizes,
    choice: BackingChoice,
    adopted: &[OwnedFd],
) -> Result<(Store, Vec<Record>), InstallError> {
    if choice == BackingChoice::LockedOnly {
        return Err(InstallError::NotAdoptable);
    }
    let terms = growth_terms(sizes, Backing::MemfdSecret);
    adopt(adopted, terms).map_err(|error| match error {
        AdoptError::Segment { position, fault } => InstallError::Segment { position, fault },
        AdoptError::Missing { index, count } => InstallError::SegmentMissing { index, count },
        AdoptError::TooMany { count } => InstallError::TooManySegments { count },
        AdoptError::NoRoom => InstallError::NoRoomToUpgrade {
            max_len: sizes.records_max_len,
        },
    })
}

fn growth_terms(sizes: ArenaSizes, backing: Backing) -> GrowthTerms {
    GrowthTerms {
        segment_len: sizes.records_len,
        max_len: sizes.records_max_len,
        is_secret: backing == Backing::MemfdSecret,
    }
}

fn map(
    arena: &'static str,
    len: usize,
    sizes: ArenaSizes,
    choice: BackingChoice,
) -> Result<(Mapping, Backing), InstallError> {
    mapping::best(len, choice == BackingChoice::Best)
        .map_err(|refusal| not_lockable(arena, len, sizes, refusal))
}

fn not_lockable(
    arena: &'static str,
    len: usize,
    sizes: ArenaSizes,
    Refusal { secret, locked }: Refusal,
) -> InstallError {
    InstallError::NotLockable {
        arena,
        len,
        secret: SecretRefusal(secret),
        locked,
        limit: LockLimit(mapping::lock_limit()),
        needed: sizes.records_len.saturating_add(sizes.heap_len),
    }
}

/// How full the arenas are; all figures in bytes. All zero before [`install`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes handed out from the records arena, rounded up to size classes.
    pub records_used: usize,
    /// Bytes that the records arena has or may grow to.
    pub records_size: usize,
    /// Bytes of the records segments that there are.
    pub records_mapped: usize,
    /// Bytes handed out from the heap arena, rounded up to size classes, its stacks included.
    pub heap_used: usize,
    /// Size of the heap arena.
    pub heap_size: usize,
}

/// How full the arenas are now.
#[must_use]
pub fn usage() -> Usage {
    arenas::arenas().map_or_else(Usage::default, |arenas| Usage {
        records_used: arenas.records.heap().used_len(),
        records_size: arenas.records.max_len(),
        records_mapped: arenas.records.heap().size(),
        heap_used: arenas.heap.used_len(),
        heap_size: arenas.heap.size(),
    })
}

/// Start address and length of each segment of the records arena and, last, of the heap arena, for
/// the leak scan; nothing before [`install`]. The guard pages on either side are not counted; those
/// below the stacks, within the heap arena, are, and cannot be read.
#[must_use]
pub fn arena_ranges() -> Vec<(usize, usize)> {
    arenas::arenas().map_or_else(Vec::new, |arenas| {
        let records = arenas.records.heap().ranges();
        records.chain(arenas.heap.ranges()).collect()
    })
}
