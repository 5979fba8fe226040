use nitride_protocol::audit::{ENTRY_HEAD_LEN, MAX_ENTRY_LEN};
use thiserror::Error;

/// What the longest entry takes in a file, in bytes; room is counted in these.
pub const UNIT_LEN: usize = ENTRY_HEAD_LEN + MAX_ENTRY_LEN;

/// Units for what is added up in one second, and for what vhsmd itself has to say at any time.
const ADDED_UP: usize = 32;

/// There is no room that is not set aside already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("there is no room for an entry in the audit")]
pub struct NoRoom;

/// How much may be written without asking the file system: what is left of the current file, and
/// the spare that is ready to follow it. An entry stands in one file.
///
/// That room for so many units is there holds whatever the lengths of the entries: one that fits
/// what is left takes at most a unit of it, and where less than a unit is left none was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes left in the current file.
    left_len: usize,
    /// Bytes of the spare; 0 is none.
    spare_len: usize,
    /// Units set aside.
    taken: usize,
}

impl Room {
    /// What files can hold.
    pub fn set_files(&mut self, left_len: usize, spare_len: usize) {
        self.left_len = left_len;
        self.spare_len = spare_len;
    }

    /// Notes that `len` bytes were written to the current file.
    pub fn write(&mut self, len: usize) {
        self.left_len = self.left_len.saturating_sub(len);
    }

    /// Bytes left in the current file.
    pub fn left_len(&self) -> usize {
        self.left_len
    }

    /// Bytes that can be written.
    pub fn len(&self) -> usize {
        self.left_len + self.spare_len
    }

    /// Whether nothing can be written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn units(&self) -> usize {
        self.left_len / UNIT_LEN + self.spare_len / UNIT_LEN
    }

    fn free(&self) -> usize {
        self.units().saturating_sub(self.taken)
    }

    /// Sets `units` aside for acts, beyond what is kept for the rest.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn take(&mut self, units: usize) -> Result<(), NoRoom> {
        if self.free() < units.saturating_add(ADDED_UP) {
            return Err(NoRoom);
        }
        self.taken += units;
        Ok(())
    }

    /// Gives back what was set aside: used, or not needed.
    pub fn give_back(&mut self, units: usize) {
        self.taken = self.taken.saturating_sub(units);
    }

    /// Whether uses may be added up: what is added up in this second and in the next has room.
    pub fn has_for_uses(&self) -> bool {
        self.free() >= 2 * ADDED_UP
    }

    /// Whether one more entry that nothing was set aside for can be written, without taking from
    /// what was.
    pub fn has_for_another(&self) -> bool {
        self.free() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn acts_leave_room_for_what_is_added_up() {
        let mut room = Room::default();
        assert_eq!(room.take(1), Err(NoRoom));
        room.set_files((ADDED_UP + 1) * UNIT_LEN, 0);
        assert_eq!(room.take(1), Ok(()));
        assert_eq!(room.take(1), Err(NoRoom));
        assert!(room.has_for_another() && !room.has_for_uses());
        room.give_back(1);
        assert_eq!(room.take(1), Ok(()));
    }

    proptest! {
        #[test]
        fn what_was_set_aside_can_be_written_whatever_its_length(
            left in 0_usize..100 * UNIT_LEN,
            spare in 0_usize..100 * UNIT_LEN,
            lens in proptest::collection::vec(1_usize..=UNIT_LEN, 0..300),
        ) {
            let mut room = Room::default();
            room.set_files(left, spare);
            let mut taken = 0;
            while room.take(1).is_ok() {
                taken += 1;
            }
            for len in lens.into_iter().take(taken) {
                if room.left_len() < len {
                    prop_assert!(room.spare_len >= len);
                    room.set_files(room.spare_len, 0);
                }
                room.write(len);
                room.give_back(1);
            }
        }
    }
}
