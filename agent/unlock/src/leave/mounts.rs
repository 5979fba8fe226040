//! /proc/self/mountinfo (proc_pid_mountinfo(5)).

use crate::opened::DeviceNumber;
use std::path::Path;
use thiserror::Error;

/// File systems that are in memory or the kernel's own: no disk can change what is in them.
const OF_THE_KERNEL: [&str; 18] = [
    "autofs",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "proc",
    "pstore",
    "ramfs",
    "securityfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Why the mounts say nothing of the root.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum MountsError {
    #[error("line {line} of the mounts is not of the kernel's form")]
    Form { line: usize },
    #[error("nothing is mounted at {root}")]
    NotMounted { root: String },
}

/// One line.
struct Mount<'a> {
    device: DeviceNumber,
    at: &'a str,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let device = fields.nth(2)?.parse().ok()?;
        let at = fields.nth(1)?;
        // Optional fields, up to a hyphen.
        let kind = fields.skip_while(|field| *field != "-").nth(1)?;
        Some(Self { device, at, kind })
    }
}

fn all(text: &str) -> impl Iterator<Item = Result<Mount<'_>, MountsError>> {
    text.lines().enumerate().map(|(at, line)| {
        let line_number = at + 1;
        Mount::parse(line).ok_or(MountsError::Form { line: line_number })
    })
}

/// Whether `/` is what the kernel unpacked the initrd into.
pub(super) fn is_root_of_initrd(text: &str) -> bool {
    all(text).any(|mount| mount.is_ok_and(|mount| mount.at == "/" && mount.kind == "rootfs"))
}

/// The devices of what is mounted at `root` and below it. What is mounted at `root` counts
/// whatever it is; below it, what is in memory does not.
pub(super) fn below(text: &str, root: &Path) -> Result<Vec<DeviceNumber>, MountsError> {
    let root = root.to_string_lossy();
    let root = root.trim_end_matches('/');
    let (mut devices, mut is_there) = (Vec::new(), false);
    for mount in all(text) {
        let mount = mount?;
        match mount.at.strip_prefix(root) {
            // Each of several on top of each other.
            Some("") => is_there = true,
            Some(rest) if rest.starts_with('/') && !OF_THE_KERNEL.contains(&mount.kind) => {}
            _ => continue,
        }
        devices.push(mount.device);
    }
    match is_there {
        true => Ok(devices),
        false => Err(MountsError::NotMounted {
            root: root.to_owned(),
        }),
    }
}
