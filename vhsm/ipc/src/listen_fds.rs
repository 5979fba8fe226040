//! Sockets that systemd opened before it started us (sd_listen_fds(3)).

use crate::sys;
use std::os::fd::OwnedFd;

/// More than any unit of ours hands over: two dozen volumes, six sockets, and all that the descriptor
/// store takes (`FileDescriptorStoreMax=64`).
const MAX_DESCRIPTORS: u32 = 128;

/// Why the descriptors could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ListenFdsError {
    /// `LISTEN_PID`, `LISTEN_FDS` or `LISTEN_FDNAMES` does not say what it should.
    #[error("{variable} is malformed")]
    Malformed {
        /// The variable.
        variable: &'static str,
    },
    /// More descriptors than a unit of ours hands over.
    #[error("{count} descriptors were handed over, more than {MAX_DESCRIPTORS}")]
    TooMany {
        /// How many.
        count: u32,
    },
    /// A number in the range is not an open descriptor.
    #[error("descriptor {number} was announced and is not open")]
    NotOpen {
        /// The descriptor's number.
        number: i32,
    },
    /// They were taken before in this process.
    #[error("the descriptors handed over were taken before")]
    TakenBefore,
}

/// The descriptors with their names (`FileDescriptorName=`), in order; none when systemd handed
/// over none, or handed them to another process.
///
/// # Errors
/// [`ListenFdsError`]; a second call that would find descriptors again is one.
pub fn take() -> Result<Vec<(String, OwnedFd)>, ListenFdsError> {
    let announced = Announced::read(|variable| std::env::var(variable).ok())?;
    if announced.names.is_empty() {
        return Ok(Vec::new());
    }
    let descriptors = sys::take_listen_descriptors(announced.names.len())?;
    Ok(announced.names.into_iter().zip(descriptors).collect())
}

/// What the environment announces.
#[derive(Debug)]
struct Announced {
    names: Vec<String>,
}

impl Announced {
    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, ListenFdsError> {
        let none = Self { names: Vec::new() };
        let Some(pid) = variable("LISTEN_PID") else {
            return Ok(none);
        };
        let pid: u32 = pid.parse().map_err(|_| ListenFdsError::Malformed {
            variable: "LISTEN_PID",
        })?;
        if pid != std::process::id() {
            return Ok(none);
        }
        let count: u32 = variable("LISTEN_FDS")
            .and_then(|count| count.parse().ok())
            .ok_or(ListenFdsError::Malformed {
                variable: "LISTEN_FDS",
            })?;
        if count > MAX_DESCRIPTORS {
            return Err(ListenFdsError::TooMany { count });
        }
        let count = count as usize;
        let names: Vec<String> = match variable("LISTEN_FDNAMES") {
            // As sd_listen_fds_with_names(3) calls those that nobody named.
            None => vec!["unknown".to_owned(); count],
            Some(_) if count == 0 => Vec::new(),
            Some(names) => names.split(':').map(str::to_owned).collect(),
        };
        if names.len() != count {
            return Err(ListenFdsError::Malformed {
                variable: "LISTEN_FDNAMES",
            });
        }
        Ok(Self { names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pid: u32, fds: &str, names: Option<&str>) -> Result<Vec<String>, ListenFdsError> {
        Announced::read(|variable| match variable {
            "LISTEN_PID" => Some(pid.to_string()),
            "LISTEN_FDS" => Some(fds.to_owned()),
            _ => names.map(str::to_owned),
        })
        .map(|announced| announced.names)
    }

    #[test]
    fn names_are_read_in_order() {
        let names = read(std::process::id(), "2", Some("application:disk-root")).unwrap();
        assert_eq!(names, ["application", "disk-root"]);
    }

    #[test]
    fn descriptors_of_another_process_are_not_ours() {
        assert!(read(1, "2", Some("a:b")).unwrap().is_empty());
    }

    #[test]
    fn malformed_announcements_are_named() {
        let own = std::process::id();
        assert!(read(own, "two", None).is_err());
        assert!(read(own, "2", Some("only-one")).is_err());
        assert!(matches!(
            read(own, "4000", None),
            Err(ListenFdsError::TooMany { count: 4000 })
        ));
        assert_eq!(read(own, "0", Some("")).unwrap().len(), 0);
    }
}
