//! What this process does to itself before it holds a passphrase.

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use std::fs;
use thiserror::Error;

/// Why the process could not be closed.
#[derive(Debug, Error)]
pub(crate) enum HardeningError {
    #[error("this process cannot be closed: {what}")]
    Refused { what: &'static str, source: Errno },
    #[error("the copy of a header could be swapped out to a disk that the host can change")]
    Swap,
}

impl HardeningError {
    /// What to do about it, as a sentence without its stop.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Refused { .. } => {
                "give it LimitMEMLOCK=infinity, as its unit does, or run it as root"
            }
            Self::Swap => "turn swap on after the volume is open, or give the unit MemorySwapMax=0",
        }
    }
}

/// No debugger, no core, no new privileges, no page of ours in swap.
pub(crate) fn close() -> Result<(), HardeningError> {
    let refused = |what| move |source| HardeningError::Refused { what, source };
    prctl::set_dumpable(false).map_err(refused("make it not dumpable"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused("forbid core dumps"))?;
    prctl::set_no_new_privs().map_err(refused("forbid new privileges"))?;
    let all = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    mlockall(all).map_err(refused("lock its memory"))
}

/// That sealed memory, which cannot be locked, is not swapped out either.
pub(crate) fn check_swap() -> Result<(), HardeningError> {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = cgroup(&own)
        .and_then(|path| fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.swap.max")).ok());
    let behind = |device: &str| {
        let file = format!("/sys/block/{device}/backing_dev");
        fs::read_to_string(file).ok()
    };
    match is_kept_in_memory(&swaps, limit.as_deref(), behind) {
        true => Ok(()),
        false => Err(HardeningError::Swap),
    }
}

/// The process's folder below the cgroup2 mount.
fn cgroup(own: &str) -> Option<&str> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    (path.starts_with('/') && !path.contains("..")).then_some(path)
}

/// Whether nothing swaps, or nothing of this unit may be swapped, or what swaps is memory: a zram
/// device that has no disk `behind` it (its backing_dev; `None` where the kernel has no such thing).
fn is_kept_in_memory(
    swaps: &str,
    limit: Option<&str>,
    behind: impl Fn(&str) -> Option<String>,
) -> bool {
    let is_memory = |path: &str| {
        let Some(name) = path.strip_prefix("/dev/") else {
            return false;
        };
        let number = name.strip_prefix("zram").unwrap_or_default();
        let is_zram = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_zram && behind(name).is_none_or(|disk| disk.trim() == "none")
    };
    let mut devices = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    limit.is_some_and(|limit| limit.trim() == "0") || devices.all(is_memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn swap_counts_where_it_may_take_our_pages() {
        let disk = format!("{NONE}/dev/vda3 partition 1048572 0 -2\n");
        let memory = format!("{NONE}/dev/zram0 partition 1048572 0 100\n");
        let kept = |swaps: &str, limit| is_kept_in_memory(swaps, limit, |_| None);
        assert!(kept("", None));
        assert!(kept(NONE, Some("max\n")));
        assert!(kept(&memory, None));
        assert!(kept(&disk, Some("0\n")));
        assert!(!kept(&disk, Some("max\n")));
        assert!(!kept(&disk, None));
        assert!(!kept(&memory.replace("zram0", "zram0x"), None));
    }

    #[test]
    fn compressed_memory_with_a_disk_behind_it_is_a_disk() {
        let memory = format!("{NONE}/dev/zram0 partition 1048572 0 100\n");
        let behind =
            |disk: &'static str| move |device: &str| (device == "zram0").then(|| disk.to_owned());
        assert!(is_kept_in_memory(&memory, None, behind("none\n")));
        assert!(!is_kept_in_memory(&memory, None, behind("/dev/vdb\n")));
        assert!(is_kept_in_memory(&memory, Some("0"), behind("/dev/vdb\n")));
    }

    #[test]
    fn the_cgroup_of_version_2_is_found() {
        assert_eq!(
            cgroup("1:cpu:/a\n0::/system.slice/x.service\n"),
            Some("/system.slice/x.service")
        );
        assert_eq!(cgroup("0::/../..\n"), None);
        assert_eq!(cgroup("1:cpu:/a\n"), None);
    }
}
