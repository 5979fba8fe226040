//! From a process to the path of its cgroup, and from there to a systemd system unit.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Folders that a search by inode looks at before it gives up.
const MAX_FOLDERS: usize = 16_384;
/// Longest `/proc/PID/cgroup` or cgroup path that is read, in bytes.
const MAX_CGROUP_LEN: u64 = 16_384;
/// `/proc/self/mountinfo` of a host with very many mounts.
const MAX_MOUNTINFO_LEN: u64 = 4 << 20;

/// Why the cgroup2 mount was not found.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The mount table could not be read.
    #[error("read /proc/self/mountinfo")]
    Mountinfo(#[source] std::io::Error),
    /// No cgroup2 hierarchy is mounted whole.
    #[error("no cgroup2 file system is mounted")]
    NotMounted,
}

/// Where the cgroup2 hierarchy is mounted.
#[derive(Debug, Clone)]
pub struct CgroupRoot {
    mount: PathBuf,
    proc_alone: bool,
}

impl CgroupRoot {
    /// Finds the cgroup2 mount in `/proc/self/mountinfo`; it is `/sys/fs/cgroup` on most machines
    /// and `/sys/fs/cgroup/unified` on hybrid ones.
    ///
    /// # Errors
    /// [`CgroupError`].
    pub fn find() -> Result<Self, CgroupError> {
        let mut table = Vec::new();
        fs::File::open("/proc/self/mountinfo")
            .and_then(|file| file.take(MAX_MOUNTINFO_LEN).read_to_end(&mut table))
            .map_err(CgroupError::Mountinfo)?;
        cgroup2_mount(&String::from_utf8_lossy(&table))
            .map(|mount| Self {
                mount,
                proc_alone: false,
            })
            .ok_or(CgroupError::NotMounted)
    }

    /// The same, for finding cgroups by `/proc/PID/cgroup` alone, as before Linux 6.13; so that
    /// the tests try that way on any kernel.
    #[must_use]
    pub fn by_proc_alone(self) -> Self {
        Self {
            proc_alone: true,
            ..self
        }
    }

    pub(crate) fn reads_proc_alone(&self) -> bool {
        self.proc_alone
    }

    /// The mount point.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The path of the cgroup whose folder has the inode `id`, looked for at `hint` first.
    ///
    /// `hint` comes from `/proc/PID/cgroup`, which may be hidden, or be of another process by now;
    /// the inode, which comes from the pidfd, decides.
    pub fn path_of(&self, id: u64, hint: Option<&str>) -> Option<String> {
        if let Some(hint) = hint {
            let folder = self.mount.join(hint.trim_start_matches('/'));
            if fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.ino() == id) {
                return Some(hint.to_owned());
            }
        }
        self.search(id)
    }

    /// Breadth first, since units live near the root; bounded, since others make folders.
    fn search(&self, id: u64) -> Option<String> {
        if fs::metadata(&self.mount).ok()?.ino() == id {
            return Some("/".to_owned());
        }
        let mut waiting = VecDeque::from([self.mount.clone()]);
        let mut looked_at = 0;
        while let Some(folder) = waiting.pop_front() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                if entry.ino() == id {
                    let path = entry.path();
                    let below = path.strip_prefix(&self.mount).ok()?;
                    return below.to_str().map(|below| format!("/{below}"));
                }
                looked_at += 1;
                if looked_at > MAX_FOLDERS {
                    return None;
                }
                waiting.push_back(entry.path());
            }
        }
        None
    }
}

/// The cgroup2 path that `/proc/PID/cgroup` gives for `pid`; `None` when it is hidden or gone, or
/// lies outside our own cgroup namespace.
pub(crate) fn path_by_proc(pid: u32) -> Option<String> {
    let mut text = String::new();
    fs::File::open(format!("/proc/{pid}/cgroup"))
        .and_then(|file| file.take(MAX_CGROUP_LEN).read_to_string(&mut text))
        .ok()?;
    path_in_table(&text).map(str::to_owned)
}

/// The path of the `0::` line, the one of cgroup2.
fn path_in_table(table: &str) -> Option<&str> {
    let path = table.lines().find_map(|line| line.strip_prefix("0::"))?;
    let plain = path.starts_with('/')
        // The kernel's note on a folder that was removed under a process that is about to end.
        && !path.ends_with(" (deleted)")
        // How a path outside our cgroup namespace looks.
        && !path.split('/').any(|part| part == ".." || part == ".");
    plain.then_some(path)
}

/// The systemd *system* unit that the cgroup at `path` belongs to.
///
/// ```text
/// /system.slice/nginx.service                       nginx.service
/// /system.slice/system-getty.slice/getty@tty1.service   getty@tty1.service
/// /system.slice/x.service/worker                    x.service: a sub-group that x made for itself
/// /system.slice/x.service/app.slice/y.service       none: another manager runs inside x
/// /user.slice/user-1000.slice/user@1000.service/…   none: units of users are not system units
/// ```
///
/// Only PID 1 makes folders in `system.slice` and the slices nested in it, so the first service or
/// scope there is a unit of PID 1. Below a unit with `Delegate=` the unit makes what it likes: that
/// is the unit's own process tree and counts to it, until a name there claims to be a unit itself,
/// which is how a container's or a user's manager looks. Nothing counts to that name.
pub(crate) fn system_unit(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("/system.slice/")?.split('/');
    let unit = parts.find(|part| !part.ends_with(".slice"))?;
    let is_unit = |name: &str| {
        name.strip_suffix(".service")
            .or_else(|| name.strip_suffix(".scope"))
            .is_some_and(|stem| !stem.is_empty())
    };
    if !is_unit(unit) || parts.any(|part| is_unit(part) || part.ends_with(".slice")) {
        return None;
    }
    // systemd writes one underscore before a name that would clash with a file of the kernel's
    // ("cpu.service", "_x.service"), and takes one away when it reads.
    Some(unit.strip_prefix('_').unwrap_or(unit).to_owned())
}

/// Finds the mount in the text of mountinfo (proc(5)): `id parent dev root point options… - type …`.
/// A hierarchy that is mounted in part (`root` is not `/`) would give paths another meaning.
fn cgroup2_mount(table: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let found = file_system.split(' ').next() == Some("cgroup2") && root == "/";
        // Spaces and the like stand as \040 there; cgroup mounts have none, so such a line is skipped.
        (found && !point.contains('\\')).then(|| PathBuf::from(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_is_found_in_both_layouts() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      38 31 0:35 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mount(unified).unwrap(), Path::new("/sys/fs/cgroup"));
        assert_eq!(
            cgroup2_mount(hybrid).unwrap(),
            Path::new("/sys/fs/cgroup/unified")
        );
    }

    #[test]
    fn hierarchy_mounted_in_part_is_not_used() {
        let part = "30 23 0:26 /machine.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_mount(part), None);
        assert_eq!(cgroup2_mount("garbage\n\n - \n"), None);
    }

    #[test]
    fn path_of_the_unified_hierarchy_is_read() {
        assert_eq!(
            path_in_table("1:cpu:/x\n0::/system.slice/a.service\n"),
            Some("/system.slice/a.service")
        );
        for refused in [
            "",
            "1:cpu:/x\n",
            "0::/../..\n",
            "0::/system.slice/a.service (deleted)\n",
            "0::relative\n",
        ] {
            assert_eq!(path_in_table(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn system_units_are_named() {
        for (path, unit) in [
            ("/system.slice/nginx.service", "nginx.service"),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
            ),
            ("/system.slice/docker-1.scope", "docker-1.scope"),
            ("/system.slice/x.service/worker/two", "x.service"),
            ("/system.slice/_cpu.service", "cpu.service"),
        ] {
            assert_eq!(system_unit(path).as_deref(), Some(unit), "{path}");
        }
    }

    #[test]
    fn delegated_and_user_cgroups_are_not_units() {
        for path in [
            "/",
            "/init.scope",
            "/nginx.service",
            "/system.slice",
            "/system.slice/",
            "/system.slice/.service",
            "/system.slice/nginx",
            "/system.slice/folder/nginx.service",
            "/user.slice/user-0.slice/user@0.service/app.slice/nginx.service",
            "/user.slice/user-0.slice/session-1.scope",
            "/user.slice/system.slice/nginx.service",
            "/system.slice/x.service/nginx.service",
            "/system.slice/x.service/system.slice/nginx.service",
            "/system.slice/x.service/app.slice",
            "/system.slice/x.service/sub/y.scope",
            "/machine.slice/machine-a.scope/system.slice/nginx.service",
            "/system.slicer/nginx.service",
        ] {
            assert_eq!(system_unit(path), None, "{path}");
        }
    }
}
