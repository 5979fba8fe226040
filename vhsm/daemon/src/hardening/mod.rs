//! What vhsmd takes from itself before it serves anybody, so that whoever takes it over finds
//! nothing to work with: no program to start, no process to read, no network, no file but its own.
//!
//! systemd's unit says most of this too. Here it holds wherever vhsmd is started, an initramfs
//! without systemd included, and it is narrower: the vault knows better than a unit what it needs.

mod files;
mod system_calls;

pub(crate) use files::Places;

use nix::unistd::User;

/// Why vhsmd could not be confined; it does not serve then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// The files.
    #[error(transparent)]
    Files(#[from] files::LandlockError),
    /// The system calls.
    #[error(transparent)]
    SystemCalls(#[from] system_calls::SeccompError),
}

/// How far vhsmd is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confined {
    /// In files and in system calls.
    Wholly,
    /// The same, as far as the kernel's Landlock goes: it is older than Linux 6.12.
    AsFarAsKnown,
    /// In system calls alone: the kernel has no Landlock.
    NotInFiles,
}

impl Confined {
    /// What is missing, for people.
    pub(crate) fn warning(self) -> Option<&'static str> {
        match self {
            Self::Wholly => None,
            Self::AsFarAsKnown => Some(
                "the kernel's Landlock is older than Linux 6.12: abstract sockets of other \
                 processes and requests to devices are for the unit of vhsmd to forbid",
            ),
            Self::NotInFiles => {
                Some("the kernel has no Landlock: which files vhsmd reaches is for its unit to say")
            }
        }
    }
}

/// Confines this thread and every thread that it starts from now on, for good. To be called once
/// all that lies outside `places` is open.
///
/// # Errors
/// Where the kernel has the means and refuses them, or has no filters of system calls.
pub(crate) fn confine(places: &Places) -> Result<Confined, ConfineError> {
    // The C library loads what looks users up when it first does, as code; a reload that names a
    // user could not any more. Whether there is such a user does not matter.
    let _ = User::from_name("root");
    let confined = files::confine_files(places)?;
    system_calls::confine_system_calls()?;
    Ok(confined)
}

/// Confines this thread in its system calls and not in its files: for the one thread that looks at
/// peers' programs, which a Landlock domain forbids.
///
/// # Errors
/// As [`confine`].
pub(crate) fn confine_system_calls_alone() -> Result<(), ConfineError> {
    Ok(system_calls::confine_system_calls()?)
}

#[cfg(test)]
mod tests;
