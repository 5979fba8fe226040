use super::folder::{Folder, FolderError, Spare};
use crate::config::AuditSettings;
use nitride_protocol::audit::{AuditFile, CUT_OFF, MAGIC};
use nitride_secmem::crypto::sha256;
use nitride_vault::Now;
use nitride_vault::audit::{AuditKind, Chain, Event, NoRoom, Room, UNIT_LEN};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where entries go: the current file, and the spare that follows it.
#[derive(Debug)]
pub(super) struct Sink {
    folder: Folder,
    chain: Chain,
    current: Option<Arc<File>>,
    number: u64,
    /// Where the next entry begins in the current file.
    at: u64,
    spare: Option<Spare>,
    room: Room,
    /// What is to be said first in the next file, since the end of the current one is torn.
    cut_off: Option<String>,
    /// Entries that could not be written and of which none says so yet.
    lost: u64,
}

/// Why an entry could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    /// There is no room that is not set aside.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The file system refuses what it had promised.
    #[error("write an entry of the audit")]
    Io(#[from] io::Error),
    /// An entry is longer than any may be.
    #[error("encode an entry of the audit")]
    Encode(#[from] nitride_protocol::EncodeError),
}

impl Sink {
    /// Takes the folder and finds where its chain ends. Room is made, but it is no error if there
    /// is none.
    pub(super) fn open(settings: &AuditSettings) -> Result<Self, FolderError> {
        let folder = Folder::open(settings)?;
        let numbers = folder.numbers()?;
        let mut sink = Self {
            folder,
            chain: Chain::default(),
            current: None,
            number: numbers.last().copied().unwrap_or(0),
            at: 0,
            spare: None,
            room: Room::default(),
            cut_off: None,
            lost: 0,
        };
        // The newest file that has an entry says where the chain is; the newest of all goes on,
        // unless its end is torn.
        for (place, number) in numbers.iter().rev().enumerate() {
            let (bytes, file) = sink.folder.read(*number)?;
            let found = sink.look_through(&bytes, *number);
            if place == 0 && sink.cut_off.is_none() {
                sink.at = found.end as u64;
                sink.room
                    .set_files(bytes.len().saturating_sub(found.end), 0);
                sink.current = Some(Arc::new(file));
            }
            if found.has_entries {
                break;
            }
        }
        Ok(sink)
    }

    fn look_through(&mut self, bytes: &[u8], number: u64) -> Found {
        let mut found = Found {
            end: 0,
            has_entries: false,
        };
        let fault = match AuditFile::new(bytes, sha256) {
            Ok(mut file) => {
                let fault = file.by_ref().find_map(|linked| match linked {
                    Ok(linked) => {
                        found.has_entries = true;
                        self.chain = Chain::at(linked.entry.sequence, linked.digest);
                        None
                    }
                    Err(fault) => Some(fault),
                });
                found.end = file.position();
                fault
            }
            Err(fault) => Some(fault),
        };
        if let Some(fault) = fault {
            self.cut_off = Some(format!("{CUT_OFF}: file {number}: {fault}"));
        }
        found
    }

    /// The chain's end.
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The file that is written to.
    pub(super) fn current(&self) -> Option<Arc<File>> {
        self.current.clone()
    }

    /// What can still be written.
    pub(super) fn room(&mut self) -> &mut Room {
        &mut self.room
    }

    /// Notes an entry that has no room.
    pub(super) fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    /// Makes what is missing: a current file, a spare, and the entry about lost ones.
    pub(super) fn make_room(&mut self, now: Now) -> Result<(), NotWritten> {
        if self.spare.is_none() {
            self.spare = Some(self.folder.make_spare()?);
            self.count_spare();
        }
        if self.current.is_none() {
            self.rotate()?;
            self.spare = Some(self.folder.make_spare()?);
            self.count_spare();
        }
        if self.lost > 0 && self.room.has_for_another() {
            let count = std::mem::take(&mut self.lost);
            let reason = "there was no room for so many entries";
            let event = Event {
                count,
                ..Event::own(AuditKind::Loss, reason)
            };
            if let Err(error) = self.write(&event, now) {
                self.lost = count;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes `event` as the next entry; its room was set aside, or is free. Gives the file, for
    /// whoever wants it on the disk.
    pub(super) fn write(&mut self, event: &Event<'_>, now: Now) -> Result<Arc<File>, NotWritten> {
        let reason = self
            .cut_off
            .as_ref()
            .map(|cut| format!("{cut}; {}", event.reason));
        let event = &Event {
            reason: reason.as_deref().unwrap_or(event.reason),
            ..*event
        };
        let mut buffer = [0; UNIT_LEN];
        let (len, chain) = self.chain.write(event, now, &mut buffer)?;
        if self.current.is_none() || self.room.left_len() < len {
            self.rotate()?;
            // Without another spare the room that is left is used up; `make_room` tries again.
            self.spare = self.folder.make_spare().ok();
            self.count_spare();
        }
        let file = self.current.as_ref().map(Arc::clone).ok_or(NoRoom)?;
        if let Err(error) = file.write_all_at(&buffer[..len], self.at) {
            // Whether anything of it is there is not known: what follows is in another file.
            self.current = None;
            self.cut_off = Some(format!("{CUT_OFF}: file {}: {error}", self.number));
            self.count_spare();
            return Err(error.into());
        }
        self.cut_off = None;
        self.at += len as u64;
        self.room.write(len);
        self.chain = chain;
        Ok(file)
    }

    /// Begins the next file.
    fn rotate(&mut self) -> Result<(), NotWritten> {
        let spare = self.spare.take().ok_or(NoRoom)?;
        let number = self.number.saturating_add(1);
        if let Err(error) = self.folder.adopt_spare(number) {
            self.count_spare();
            return Err(error.into());
        }
        self.number = number;
        self.at = MAGIC.len() as u64;
        self.room
            .set_files(spare.len.saturating_sub(MAGIC.len()), 0);
        self.current = Some(Arc::new(spare.file));
        Ok(())
    }

    /// Where the next entry begins.
    #[cfg(test)]
    pub(super) fn end(&self) -> u64 {
        self.at
    }

    /// Gives the spare up, as if its disk had failed.
    #[cfg(test)]
    pub(super) fn forget_spare(&mut self) {
        self.spare = None;
        self.count_spare();
    }

    fn count_spare(&mut self) {
        let left = self.current.as_ref().map_or(0, |_| self.room.left_len());
        let spare = self.spare.as_ref().map_or(0, |spare| spare.len);
        self.room.set_files(left, spare.saturating_sub(MAGIC.len()));
    }
}

struct Found {
    /// Where the next entry would begin.
    end: usize,
    has_entries: bool,
}
