//! Records segments in the test's own hands: read, and written again in the layout of an earlier
//! version. The vault writes its own layout alone, so this knows both.
//!
//! ```text
//! segment   magic, layout (u32 at 8) ... table of u32 from 256 on ... pages
//! entry     layout in the top 4 bits, 1 << 27 for a run of pages, else the size of a slab's objects
//! layout 1  commit (u64), id (16), kind (u16), 0 (u16), state, public and secret length (u32 each),
//!           public part, secret part
//! layout 2  the same, but for flags in place of the 0, and eight counters (u64) before the parts
//! ```

use anyhow::{Context, Result, ensure};
use nitride_support::descriptor_store::DescriptorStore;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;
use std::process::{Command, Stdio};

const PAGE_LEN: usize = 4096;
const LAYOUT: usize = 8;
const TABLE: usize = 256;
const LAYOUT_SHIFT: u32 = 28;
const RUN: u32 = 1 << 27;

const FLAGS: Range<usize> = 26..28;
const PUBLIC_LEN: usize = 32;
const SECRET_LEN: usize = 36;
const OLD_HEAD_LEN: usize = 40;
const HEAD_LEN: usize = OLD_HEAD_LEN + 8 * 8;

/// The bytes of one segment.
pub(crate) struct Segment(Vec<u8>);

/// What the segments say of themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many segments there are of each layout.
    pub(crate) segments: BTreeMap<u32, usize>,
    /// How many records there are of each layout.
    pub(crate) records: BTreeMap<u32, usize>,
}

/// What all of the kept segments say.
pub(crate) fn told(store: &DescriptorStore) -> Result<Told> {
    let mut told = Told::default();
    for index in 0..store.len() {
        Segment::read(store, index)?.tell(&mut told)?;
    }
    Ok(told)
}

/// Changes every segment that is kept.
pub(crate) fn rewrite(
    store: &DescriptorStore,
    change: impl Fn(&mut Segment) -> Result<()>,
) -> Result<()> {
    for index in 0..store.len() {
        let mut segment = Segment::read(store, index)?;
        change(&mut segment)?;
        segment.write(store, index)?;
    }
    Ok(())
}

fn python(way: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", include_str!("segment.py"), way]);
    command
}

impl Segment {
    fn read(store: &DescriptorStore, index: usize) -> Result<Self> {
        let (_, descriptor) = store.copy(index)?;
        let mut child = python("read")
            .stdin(descriptor)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut bytes = Vec::new();
        let output = child.stdout.as_mut().context("its output")?;
        output.read_to_end(&mut bytes)?;
        ensure!(child.wait()?.success(), "read segment {index}");
        Ok(Self(bytes))
    }

    fn write(&self, store: &DescriptorStore, index: usize) -> Result<()> {
        let (_, descriptor) = store.copy(index)?;
        let mut child = python("write")
            .stdin(Stdio::piped())
            .stdout(descriptor)
            .spawn()?;
        let mut input = child.stdin.take().context("its input")?;
        input.write_all(&self.0)?;
        drop(input);
        ensure!(child.wait()?.success(), "write segment {index}");
        Ok(())
    }

    pub(crate) fn set_layout(&mut self, layout: u32) {
        self.0[LAYOUT..LAYOUT + 4].copy_from_slice(&layout.to_le_bytes());
    }

    /// Takes out of every record what layout 1 had no place for.
    pub(crate) fn become_layout_1(&mut self) -> Result<()> {
        for (entry, page) in self.pages()? {
            ensure!(entry >> LAYOUT_SHIFT == 2, "of another layout: {entry:x}");
            for slot in objects(entry, page) {
                old_slot(&mut self.0[slot]);
            }
        }
        for entry in self.table()?.step_by(4) {
            let value = self.word(entry)?;
            if value != 0 {
                let old = 1 << LAYOUT_SHIFT | value & !(u32::MAX << LAYOUT_SHIFT);
                self.0[entry..entry + 4].copy_from_slice(&old.to_le_bytes());
            }
        }
        self.set_layout(1);
        Ok(())
    }

    fn tell(&self, told: &mut Told) -> Result<()> {
        *told.segments.entry(self.word(LAYOUT)?).or_default() += 1;
        for (entry, page) in self.pages()? {
            let is_committed = |slot: &Range<usize>| self.0[slot.start..][..8] != [0; 8];
            let count = objects(entry, page).filter(is_committed).count();
            *told.records.entry(entry >> LAYOUT_SHIFT).or_default() += count;
        }
        told.records.retain(|_, count| *count > 0);
        Ok(())
    }

    /// Every page that is used: its entry, and where it starts.
    fn pages(&self) -> Result<Vec<(u32, usize)>> {
        let (table, head_len) = (self.table()?, self.head_len());
        let mut pages = Vec::new();
        for (number, entry) in table.step_by(4).enumerate() {
            let entry = self.word(entry)?;
            if entry != 0 {
                pages.push((entry, head_len + number * PAGE_LEN));
            }
        }
        Ok(pages)
    }

    fn table(&self) -> Result<Range<usize>> {
        let pages = self.0.len().checked_sub(self.head_len());
        let pages = pages.context("a segment")? / PAGE_LEN;
        Ok(TABLE..TABLE + pages * 4)
    }

    fn head_len(&self) -> usize {
        (TABLE + self.0.len() / PAGE_LEN * 4).next_multiple_of(PAGE_LEN)
    }

    fn word(&self, at: usize) -> Result<u32> {
        let bytes = self.0.get(at..at + 4).context("within the segment")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    }
}

/// Where the objects of a page, or of a run that starts there, are.
fn objects(entry: u32, page: usize) -> impl Iterator<Item = Range<usize>> {
    let value = (entry & (RUN - 1)) as usize;
    let (len, count) = match entry & RUN {
        0 => (value, PAGE_LEN / value),
        _ => (value * PAGE_LEN, 1),
    };
    (0..count).map(move |object| page + object * len..page + (object + 1) * len)
}

fn old_slot(slot: &mut [u8]) {
    let len = |at: usize| {
        let bytes = slot[at..at + 4].try_into().unwrap_or_default();
        u32::from_le_bytes(bytes) as usize
    };
    if slot[..8] == [0; 8] {
        return slot.fill(0);
    }
    let is_secret_gone = slot[FLAGS] != [0, 0];
    let parts = len(PUBLIC_LEN) + len(SECRET_LEN);
    slot.copy_within(HEAD_LEN..HEAD_LEN + parts, OLD_HEAD_LEN);
    slot[OLD_HEAD_LEN + parts..].fill(0);
    if is_secret_gone {
        slot[FLAGS].fill(0);
        slot[SECRET_LEN..OLD_HEAD_LEN].fill(0);
    }
}
