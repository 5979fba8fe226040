use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::needles::{Hit, Needles};

/// Bytes that are read at once; a piece that cannot be read is left out alone.
const PIECE_LEN: usize = 1 << 16;

/// A run of memory that could be read.
#[derive(Clone, Debug)]
pub struct Region {
    /// Address of the first byte.
    pub start: u64,
    /// What the kernel says the mapping is.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The memory of a process at one moment, without what it maps from files and never writes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Arenas of locked memory.
    pub arenas: Vec<Region>,
    /// Everything else.
    pub rest: Vec<Region>,
    /// Bytes of mappings that the kernel refused to read, such as memfd_secret's.
    pub refused_len: u64,
    /// Where each thread's stack pointer stood, and the thread's name.
    stacks: Vec<(u64, String)>,
}

struct Mapping {
    start: u64,
    end: u64,
    name: String,
    readable: bool,
    writable: bool,
    resident: bool,
    is_arena: bool,
}

impl Snapshot {
    /// Stops the process for as long as it takes to copy its memory, so that all threads are
    /// caught at one moment in whatever they are doing.
    ///
    /// # Errors
    /// When the process is gone or may not be read (another user's, or one that is not dumpable
    /// without `CAP_SYS_PTRACE`).
    pub fn take(pid: u32) -> Result<Self> {
        let process = Pid::from_raw(i32::try_from(pid).context("process id")?);
        // Opened first, so that a refusal leaves the process alone.
        let memory = File::open(format!("/proc/{pid}/mem"))
            .with_context(|| format!("open the memory of process {pid}"))?;
        kill(process, Signal::SIGSTOP).context("stop the process")?;
        let taken = wait_stopped(pid).and_then(|()| {
            let mut snapshot = copy(pid, &memory)?;
            snapshot.stacks = stack_pointers(pid);
            Ok(snapshot)
        });
        kill(process, Signal::SIGCONT).context("let the process go on")?;
        taken
    }

    /// The memory of the calling process, which is not stopped.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn of_self() -> Result<Self> {
        let memory = File::open("/proc/self/mem").context("open this process's memory")?;
        copy(std::process::id(), &memory)
    }

    /// What of the needles is outside the arenas.
    #[must_use]
    pub fn leaks(&self, needles: &Needles) -> Vec<Hit> {
        self.find(&self.rest, needles)
    }

    /// What of the needles is inside the arenas.
    #[must_use]
    pub fn kept(&self, needles: &Needles) -> Vec<Hit> {
        self.find(&self.arenas, needles)
    }

    fn find(&self, regions: &[Region], needles: &Needles) -> Vec<Hit> {
        let mut hits = Vec::new();
        for region in regions {
            for (offset, label) in needles.find(&region.bytes) {
                let address = region.start + offset as u64;
                hits.push(Hit {
                    label,
                    address,
                    mapping: self.describe(region, address),
                });
            }
        }
        hits
    }

    /// What kind of memory it is; of a stack, whether a call that still runs has the bytes, or
    /// one that has returned left them behind.
    fn describe(&self, region: &Region, address: u64) -> String {
        let end = region.start + region.bytes.len() as u64;
        let stack = self
            .stacks
            .iter()
            .find(|(pointer, _)| (region.start..end).contains(pointer));
        match stack {
            Some((pointer, thread)) if address >= *pointer => {
                format!("the stack of {thread}, in a call under way")
            }
            Some((_, thread)) => format!("the stack of {thread}, left behind"),
            None if region.name.is_empty() => "an anonymous mapping".to_owned(),
            None => region.name.clone(),
        }
    }

    /// Bytes that were read outside the arenas.
    #[must_use]
    pub fn rest_len(&self) -> usize {
        self.rest.iter().map(|region| region.bytes.len()).sum()
    }
}

/// SIGSTOP reaches every thread in its own time.
fn wait_stopped(pid: u32) -> Result<()> {
    crate::program::wait_until("the process stops", crate::program::PATIENCE, || {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("list its threads")? {
            let stat = task.context("list its threads")?.path().join("stat");
            let Ok(stat) = std::fs::read_to_string(stat) else {
                continue;
            };
            let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            if !state.starts_with(['T', 't', 'Z', 'X']) {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Of every thread of a stopped process; empty where the kernel does not tell.
fn stack_pointers(pid: u32) -> Vec<(u64, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| {
            // "number arguments sp pc" within a system call, else "-1 sp pc".
            let words = std::fs::read_to_string(task.path().join("syscall")).ok()?;
            let pointer = words.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            Some((
                u64::from_str_radix(pointer, 16).ok()?,
                name.trim().to_owned(),
            ))
        })
        .collect()
}

fn copy(pid: u32, memory: &File) -> Result<Snapshot> {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps"))
        .with_context(|| format!("read the mappings of process {pid}"))?;
    let mut snapshot = Snapshot::default();
    for mapping in parse_smaps(&smaps) {
        let from_file = mapping.name.starts_with('/');
        let skipped = mapping.name == "[vvar]" || mapping.name == "[vsyscall]";
        if !mapping.readable || skipped || (from_file && !mapping.writable) {
            continue;
        }
        // What is not resident was never touched (nothing swaps here) and reads as zeros.
        if !mapping.resident && !mapping.name.contains("secretmem") {
            continue;
        }
        let (bytes, refused_len) = read_mapping(memory, &mapping);
        snapshot.refused_len += refused_len;
        if bytes.is_empty() {
            continue;
        }
        let region = Region {
            start: mapping.start,
            name: mapping.name,
            bytes,
        };
        if mapping.is_arena {
            snapshot.arenas.push(region);
        } else {
            snapshot.rest.push(region);
        }
    }
    Ok(snapshot)
}

/// Pieces that cannot be read are zeros in the copy, and counted.
fn read_mapping(memory: &File, mapping: &Mapping) -> (Vec<u8>, u64) {
    let len = usize::try_from(mapping.end - mapping.start).unwrap_or(0);
    let mut bytes = vec![0; len];
    let (mut refused_len, mut read_any) = (0, false);
    for (index, piece) in bytes.chunks_mut(PIECE_LEN).enumerate() {
        let at = mapping.start + (index * PIECE_LEN) as u64;
        match memory.read_exact_at(piece, at) {
            Ok(()) => read_any = true,
            Err(_) => refused_len += piece.len() as u64,
        }
    }
    if read_any {
        (bytes, refused_len)
    } else {
        (Vec::new(), refused_len)
    }
}

/// The vault's arenas are the only memory that is locked (`lo`), kept out of dumps (`dd`) and of
/// children (`dc`) at once.
fn parse_smaps(smaps: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        if let Some(mapping) = parse_header(line) {
            mappings.push(mapping);
            continue;
        }
        let Some(mapping) = mappings.last_mut() else {
            continue;
        };
        if let Some(rss) = line.strip_prefix("Rss:") {
            mapping.resident = rss.trim() != "0 kB";
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let has = |flag: &str| flags.split_whitespace().any(|known| known == flag);
            mapping.is_arena = has("lo") && has("dd") && has("dc");
        }
    }
    mappings
}

fn parse_header(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    if permissions.len() != 4 {
        return None;
    }
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        // After offset, device and inode.
        name: words.skip(3).collect::<Vec<_>>().join(" "),
        readable: permissions.starts_with('r'),
        writable: permissions.as_bytes()[1] == b'w',
        resident: false,
        is_arena: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_in_this_process_is_found_and_its_absence_is_too() -> Result<()> {
        // Put together at run time, so that only the two copies made here exist.
        let planted: Vec<u8> = (0..32_u8)
            .map(|byte| byte.wrapping_mul(73) ^ 0x5a)
            .collect();
        let mut needles = Needles::default();
        needles.add("planted", &planted);
        let hits = Snapshot::of_self()?.leaks(&needles);
        assert!(!hits.is_empty());
        let mut absent = Needles::default();
        let other: Vec<u8> = planted.iter().map(|byte| byte ^ 0x80).collect();
        absent.add("absent", &other);
        drop(other);
        let snapshot = Snapshot::of_self()?;
        assert!(snapshot.rest_len() > 100_000);
        assert_eq!(planted.len(), 32);
        Ok(())
    }

    #[test]
    fn an_arena_is_told_by_its_flags() {
        let smaps = "7f0000000000-7f0000003000 rw-p 00000000 00:00 0 \nRss:      12 kB\nVmFlags: rd wr mr mw me lo dc ac dd sd\n7f0000004000-7f0000005000 rw-p 00000000 00:00 0    [heap]\nRss:   4 kB\nVmFlags: rd wr mr mw me ac\n";
        let mappings = parse_smaps(smaps);
        assert_eq!(mappings.len(), 2);
        assert!(mappings[0].is_arena && mappings[0].resident);
        assert!(!mappings[1].is_arena);
        assert_eq!(mappings[1].name, "[heap]");
    }
}
