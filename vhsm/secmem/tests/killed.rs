//! A process that is killed at a random moment leaves whole records to the next one, and every one
//! that it said was there.
//!
//! This process keeps the segment and hands it to one child after the other. Each tells what it
//! finds, then changes records on two threads, with a line before and a line after each change,
//! until it is killed. `NITRIDE_KILLS` says how often, 100 times if it does not.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "a descriptor is handed to a child by libc; a test fails by panicking"
)]

use nitride_secmem::{
    ArenaSizes, BackingChoice, Draft, Record, RecordId, RecordKind, install, on_new_segment,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CHILD: &str = "NITRIDE_SECMEM_KILLED_CHILD";
const TEST: &str = "a_killed_process_leaves_whole_records_and_every_acknowledged_one";
const HANDED: i32 = 3;
const KIND: RecordKind = RecordKind(1);
const IDS_PER_THREAD: u8 = 24;

const SIZES: ArenaSizes = ArenaSizes {
    records_len: 1 << 20,
    records_max_len: 1 << 20,
    heap_len: 1 << 20,
};

/// What can be told of a record from outside: the generation of its public part, the length of its
/// secret part, state and counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    generation: u32,
    secret_len: usize,
    state: u32,
    counter: u64,
}

/// Draws numbers that repeat for a seed.
struct Draw(u64);

impl Draw {
    /// Small seeds have to reach all bits: what is drawn are the highest.
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 40).unwrap() % bound
    }
}

/// The public part of a generation: of a length and with bytes that follow from it.
fn public(id: u8, generation: u32) -> Vec<u8> {
    let len = 8 + (generation as usize * 37 + usize::from(id)) % 900;
    let mut bytes = vec![generation.to_le_bytes()[0] ^ id; len];
    bytes[..4].copy_from_slice(&generation.to_le_bytes());
    bytes
}

fn secret(id: u8) -> Vec<u8> {
    vec![id ^ 0x5a; 32 + usize::from(id) * 8]
}

/// Reads a recovered record, every byte of it.
fn look(record: &Record) -> (u8, Seen) {
    let id = record.id().0[0];
    assert_eq!((record.kind(), record.id()), (KIND, RecordId([id; 16])));
    let generation = u32::from_le_bytes(record.public()[..4].try_into().unwrap());
    assert_eq!(record.public(), public(id, generation), "{id}");
    assert!(record.is_empty() || record.ct_eq(&secret(id)), "{id}");
    let seen = Seen {
        generation,
        secret_len: record.len(),
        state: record.state(),
        counter: record.counter(0).load(Ordering::SeqCst),
    };
    (id, seen)
}

fn say(line: &str) {
    // One write: a line is told as a whole or not at all.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn told(mark: char, id: u8, seen: Option<Seen>) -> String {
    match seen {
        Some(seen) => format!(
            "@{mark} {id} {} {} {} {}\n",
            seen.generation, seen.secret_len, seen.state, seen.counter
        ),
        None => format!("@{mark} {id}\n"),
    }
}

fn child(seed: u64) {
    // SAFETY: the parent has put the segment there, for us alone.
    let segment = unsafe { OwnedFd::from_raw_fd(HANDED) };
    let mut installed = install(SIZES, BackingChoice::Best, vec![segment]).unwrap();
    let mut halves: [BTreeMap<u8, Record>; 2] = Default::default();
    for record in installed.take_recovered() {
        let (id, seen) = look(&record);
        say(&told('f', id, Some(seen)));
        let known = halves[usize::from(id / IDS_PER_THREAD)].insert(id, record);
        assert!(known.is_none());
    }
    say("@r\n");
    std::thread::scope(|scope| {
        for (number, records) in (0_u8..).zip(halves) {
            let draw = Draw::seeded(seed.wrapping_mul(2) + u64::from(number) + 0x9e37_79b9);
            scope.spawn(move || change(records, number * IDS_PER_THREAD, draw));
        }
    });
}

/// Changes records for ever.
fn change(mut records: BTreeMap<u8, Record>, first: u8, mut draw: Draw) {
    loop {
        let id = first + u8::try_from(draw.below(u32::from(IDS_PER_THREAD))).unwrap();
        let now = records.get(&id).map(|record| look(record).1);
        let kind = draw.below(6);
        let next = match (now, kind) {
            (None, _) => Some(Seen {
                generation: draw.below(1000),
                secret_len: secret(id).len(),
                state: 1,
                counter: 7,
            }),
            (Some(_), 0) => None,
            (Some(now), 1 | 2) => Some(Seen {
                generation: now.generation + 1,
                ..now
            }),
            (Some(now), 3) => Some(Seen {
                counter: now.counter + 1,
                ..now
            }),
            (Some(now), 4) => Some(Seen {
                state: now.state + 1,
                ..now
            }),
            (Some(now), _) => Some(Seen {
                secret_len: 0,
                ..now
            }),
        };
        say(&told('b', id, next));
        match (records.get_mut(&id), next) {
            (None, next) => {
                let generation = next.unwrap().generation;
                let public = public(id, generation);
                let (public_len, secret_len) = (public.len(), secret(id).len());
                let mut draft =
                    Draft::new(KIND, RecordId([id; 16]), public_len, secret_len).unwrap();
                draft.public_mut().copy_from_slice(&public);
                draft.secret_mut().copy_from_slice(&secret(id));
                draft.set_counter(0, 7);
                draft.set_state(1);
                records.insert(id, draft.commit());
            }
            (Some(_), None) => drop(records.remove(&id)),
            (Some(record), Some(next)) => match kind {
                1 | 2 => record.replace_public(&public(id, next.generation)).unwrap(),
                3 => {
                    record.counter(0).fetch_add(1, Ordering::SeqCst);
                }
                4 => record.set_state(next.state),
                _ => record.erase_secret(),
            },
        }
        say(&told('d', id, next));
    }
}

/// What the parent knows: what is there, and what may be there instead.
#[derive(Default)]
struct Known {
    sure: BTreeMap<u8, Seen>,
    begun: BTreeMap<u8, Option<Seen>>,
}

impl Known {
    fn take(&mut self, line: &str) -> Option<(u8, Option<Seen>)> {
        let mut fields = line[2..].split_ascii_whitespace();
        let id = fields.next()?.parse().unwrap();
        let seen = fields.next().map(|generation| Seen {
            generation: generation.parse().unwrap(),
            secret_len: fields.next().unwrap().parse().unwrap(),
            state: fields.next().unwrap().parse().unwrap(),
            counter: fields.next().unwrap().parse().unwrap(),
        });
        match &line[..2] {
            "@b" => drop(self.begun.insert(id, seen)),
            "@d" => {
                self.begun.remove(&id);
                self.set(id, seen);
            }
            _ => return Some((id, seen)),
        }
        None
    }

    fn set(&mut self, id: u8, seen: Option<Seen>) {
        match seen {
            Some(seen) => self.sure.insert(id, seen),
            None => self.sure.remove(&id),
        };
    }

    /// What was found is what was there, or what was about to be.
    fn check(&mut self, found: &BTreeMap<u8, Seen>) {
        for (id, next) in std::mem::take(&mut self.begun) {
            if found.get(&id).copied() == next {
                self.set(id, next);
            }
        }
        assert_eq!(found, &self.sure);
    }
}

fn run_and_kill(segment: &OwnedFd, seed: u64, known: &mut Known) -> usize {
    let raw = segment.as_raw_fd();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env(CHILD, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: dup2 alone, which is safe between fork and exec; the descriptor lives until then.
    let mut child = unsafe {
        command.pre_exec(move || match libc::dup2(raw, HANDED) {
            HANDED => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        })
    }
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut found = BTreeMap::new();
    loop {
        let mut line = String::new();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "the child has ended"
        );
        if line == "@r\n" {
            break;
        }
        if line.starts_with("@f") {
            let (id, seen) = known.take(&line).unwrap();
            found.insert(id, seen.unwrap());
        } else {
            assert!(!line.contains("panicked"), "{line}");
        }
    }
    known.check(&found);
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        lines.read_to_end(&mut rest).unwrap();
        String::from_utf8(rest).unwrap()
    });
    let patience = Duration::from_micros(u64::from(Draw::seeded(seed).below(8000)));
    let until = Instant::now() + patience;
    while Instant::now() < until {}
    child.kill().unwrap();
    child.wait().unwrap();
    let rest = reader.join().unwrap();
    let mut count = 0;
    for line in rest
        .split_inclusive('\n')
        .filter(|line| line.starts_with('@'))
    {
        assert_eq!(known.take(line), None);
        count += usize::from(line.starts_with("@d"));
    }
    assert!(!rest.contains("panicked"), "{rest}");
    count
}

#[test]
fn a_killed_process_leaves_whole_records_and_every_acknowledged_one() {
    if let Ok(seed) = std::env::var(CHILD) {
        return child(seed.parse().unwrap());
    }
    let kept = Arc::new(Mutex::new(None));
    let installed = install(SIZES, BackingChoice::Best, Vec::new()).unwrap();
    if !installed.persists() {
        println!("skipped: this kernel has no memfd_secret");
        return;
    }
    let keeper = Arc::clone(&kept);
    on_new_segment(move |descriptor, _| {
        *keeper.lock().unwrap() = Some(descriptor.try_clone_to_owned()?);
        Ok(())
    })
    .unwrap();
    let segment = kept.lock().unwrap().take().unwrap();
    let kills = std::env::var("NITRIDE_KILLS").map_or(100, |text| text.parse().unwrap());
    let mut known = Known::default();
    let mut changes = 0;
    for seed in 1..=kills {
        changes += run_and_kill(&segment, seed, &mut known);
    }
    println!("{kills} kills, {changes} changes acknowledged");
    assert!(changes > usize::try_from(kills).unwrap());
}
