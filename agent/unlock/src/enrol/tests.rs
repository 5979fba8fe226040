use super::*;
use crate::cryptsetup::tests::{passphrase, real, volume};
use crate::luks2::tests::any_volume;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A disk that is killed after so many writes. A slot without bytes has been wiped and is still
/// listed, as between the two writes of a removal.
#[derive(Debug, Clone)]
struct Fake {
    slots: BTreeMap<u8, Vec<u8>>,
    writes_left: usize,
    removed: Vec<u8>,
}

#[derive(Debug, Error)]
#[error("killed")]
struct Killed;

impl Fake {
    fn of(keys: &[&[u8]]) -> Self {
        let slots = (0..).zip(keys.iter().map(|key| key.to_vec())).collect();
        Self {
            slots,
            writes_left: usize::MAX,
            removed: Vec::new(),
        }
    }

    fn write(&mut self) -> Result<(), Killed> {
        self.writes_left = self.writes_left.checked_sub(1).ok_or(Killed)?;
        Ok(())
    }

    fn unlocks(&self, key: &[u8]) -> bool {
        self.slots.values().any(|slot| slot == key)
    }
}

impl Slots for Fake {
    type Error = Killed;

    fn numbers(&mut self) -> Result<Vec<u8>, Killed> {
        Ok(self.slots.keys().copied().collect())
    }

    fn tried_at_boot(&mut self) -> Result<Vec<u8>, Killed> {
        self.numbers()
    }

    fn opens(&mut self, slot: u8, passphrase: &Passphrase) -> Result<bool, Killed> {
        let held = self.slots.get(&slot).map(Vec::as_slice);
        Ok(held == Some(passphrase.expose()))
    }

    fn add(&mut self, existing: &Passphrase, new: &Passphrase) -> Result<(), Killed> {
        assert!(self.unlocks(existing.expose()));
        let free = (0..32).find(|slot| !self.slots.contains_key(slot)).unwrap();
        // The material, which nothing lists yet.
        self.write()?;
        self.write()?;
        self.slots.insert(free, new.expose().to_vec());
        Ok(())
    }

    fn remove(&mut self, slot: u8, remaining: &Passphrase) -> Result<(), Killed> {
        let others = self.slots.iter().filter(|(other, _)| **other != slot);
        let is_safe = others
            .into_iter()
            .any(|(_, held)| held == remaining.expose());
        assert!(is_safe, "slot {slot} was the last way in");
        self.write()?;
        self.slots.insert(slot, Vec::new());
        self.write()?;
        self.slots.remove(&slot);
        self.removed.push(slot);
        Ok(())
    }
}

fn task<'a>(new: &'a Passphrase, old: &'a [Passphrase]) -> Task<'a> {
    Task {
        new,
        old,
        keep_old: false,
        remove: &[],
    }
}

#[test]
fn a_passphrase_is_added_proved_and_the_old_one_removed() {
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    let mut disk = Fake::of(&[b"old", b"recovery"]);
    let finished = run(&mut disk, &task(&new, &old)).unwrap();
    let expected = Finished {
        slot: 2,
        removed: vec![0],
        left: vec![1],
    };
    assert_eq!(finished, expected);
    assert!(disk.unlocks(b"new") && disk.unlocks(b"recovery") && !disk.unlocks(b"old"));
    // Again, with nothing to do.
    let again = run(&mut disk, &task(&new, &old)).unwrap();
    assert_eq!((again.slot, again.removed.len()), (2, 0));
}

#[test]
fn a_kill_at_any_write_leaves_a_disk_that_unlocks_and_goes_on_from_there() {
    let (new, old) = (
        passphrase(b"new"),
        [passphrase(b"old"), passphrase(b"older")],
    );
    let mut kills = 0;
    for writes in 0.. {
        let mut disk = Fake::of(&[b"old", b"older", b"old"]);
        disk.writes_left = writes;
        let killed = run(&mut disk, &task(&new, &old)).is_err();
        assert!(
            disk.unlocks(b"new") || disk.unlocks(b"old"),
            "{writes}: {disk:?}"
        );
        disk.writes_left = usize::MAX;
        let finished = run(&mut disk, &task(&new, &old)).unwrap();
        assert!(disk.unlocks(b"new"));
        assert!(!disk.unlocks(b"old") && !disk.unlocks(b"older"));
        // What was wiped and stayed listed is told of, and nothing else is left.
        assert!(finished.left.iter().all(|slot| disk.slots[slot].is_empty()));
        if !killed {
            assert!(finished.left.is_empty());
            break;
        }
        kills += 1;
    }
    assert_eq!(kills, 2 + 3 * 2);
}

#[test]
fn what_a_cut_off_removal_left_is_removed_when_it_is_named() {
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    let mut disk = Fake::of(&[b"", b"new"]);
    let finished = run(&mut disk, &task(&new, &old)).unwrap();
    assert_eq!(finished.left, [0]);
    let named = Task {
        remove: &[0],
        ..task(&new, &[])
    };
    assert_eq!(run(&mut disk, &named).unwrap().removed, [0]);
}

#[test]
fn the_old_one_is_kept_where_that_is_asked() {
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    let mut disk = Fake::of(&[b"old"]);
    let keep = Task {
        keep_old: true,
        ..task(&new, &old)
    };
    assert_eq!(run(&mut disk, &keep).unwrap().left, [0]);
    assert!(disk.unlocks(b"old"));
}

#[test]
fn nothing_is_removed_without_proof() {
    /// Says that it added a slot, and did not.
    struct Liar(Fake);
    impl Slots for Liar {
        type Error = Killed;
        fn numbers(&mut self) -> Result<Vec<u8>, Killed> {
            self.0.numbers()
        }
        fn tried_at_boot(&mut self) -> Result<Vec<u8>, Killed> {
            self.0.numbers()
        }
        fn opens(&mut self, slot: u8, passphrase: &Passphrase) -> Result<bool, Killed> {
            self.0.opens(slot, passphrase)
        }
        fn add(&mut self, _: &Passphrase, _: &Passphrase) -> Result<(), Killed> {
            Ok(())
        }
        fn remove(&mut self, _: u8, _: &Passphrase) -> Result<(), Killed> {
            Ok(())
        }
    }
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    let mut liar = Liar(Fake::of(&[b"old"]));
    let refused = run(&mut liar, &task(&new, &old));
    assert!(matches!(refused, Err(EnrolError::NotProved)));
    liar.0 = Fake::of(&[b"old", b"new"]);
    let refused = run(&mut liar, &task(&new, &old));
    assert!(matches!(refused, Err(EnrolError::StillThere { slot: 0 })));
}

#[test]
fn a_proof_that_no_longer_holds_removes_nothing() {
    /// Somebody puts an older header back once the new passphrase was seen to unlock.
    struct RolledBack(Fake, usize);
    impl Slots for RolledBack {
        type Error = Killed;
        fn numbers(&mut self) -> Result<Vec<u8>, Killed> {
            self.0.numbers()
        }
        fn tried_at_boot(&mut self) -> Result<Vec<u8>, Killed> {
            self.0.numbers()
        }
        fn opens(&mut self, slot: u8, passphrase: &Passphrase) -> Result<bool, Killed> {
            let opens = self.0.opens(slot, passphrase)?;
            if opens && passphrase.expose() == b"new" {
                self.1 += 1;
            }
            Ok(opens && (passphrase.expose() != b"new" || self.1 == 1))
        }
        fn add(&mut self, existing: &Passphrase, new: &Passphrase) -> Result<(), Killed> {
            self.0.add(existing, new)
        }
        fn remove(&mut self, _: u8, _: &Passphrase) -> Result<(), Killed> {
            panic!("a slot was removed");
        }
    }
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    let mut disk = RolledBack(Fake::of(&[b"old", b"new"]), 0);
    let refused = run(&mut disk, &task(&new, &old));
    assert!(matches!(refused, Err(EnrolError::NotProved)));
}

#[test]
fn a_task_that_cannot_be_is_named() {
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    let same = run(&mut Fake::of(&[b"new"]), &task(&new, &[passphrase(b"new")]));
    assert!(matches!(same, Err(EnrolError::Same)));
    let no_way = run(&mut Fake::of(&[b"other"]), &task(&new, &old));
    assert!(matches!(no_way, Err(EnrolError::NoWayIn)));
    let own = Task {
        remove: &[1],
        ..task(&new, &old)
    };
    let refused = run(&mut Fake::of(&[b"old", b"new"]), &own);
    assert!(matches!(refused, Err(EnrolError::OwnSlot { slot: 1 })));
}

proptest! {
    #[test]
    fn any_number_of_kills_leaves_a_disk_that_unlocks(
        kills in proptest::collection::vec(0..6_usize, 0..8), others in 0..3_usize,
    ) {
        let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
        let keys: Vec<&[u8]> = std::iter::once(&b"old"[..])
            .chain(std::iter::repeat_n(&b"recovery"[..], others))
            .collect();
        let mut disk = Fake::of(&keys);
        for writes in kills {
            disk.writes_left = writes;
            let _ = run(&mut disk, &task(&new, &old));
            prop_assert!(disk.unlocks(b"new") || disk.unlocks(b"old"));
        }
        disk.writes_left = usize::MAX;
        prop_assert!(run(&mut disk, &task(&new, &old)).is_ok());
        prop_assert!(disk.unlocks(b"new") && !disk.unlocks(b"old"));
        let kept = disk.slots.values().filter(|held| held.as_slice() == b"recovery");
        prop_assert_eq!(kept.count(), others);
    }
}

#[test]
fn a_real_volume_is_enrolled_and_rotated() {
    let (_folder, device) = volume(b"installer", &[]);
    let wanted = any_volume();
    let mut disk = Disk {
        cryptsetup: real(),
        device: &device,
        wanted: &wanted,
    };
    let (first, second) = (passphrase(&[b'1'; 32]), passphrase(&[b'2'; 32]));
    let installer = [passphrase(b"installer")];
    let finished = run(&mut disk, &task(&first, &installer)).unwrap();
    assert_eq!((finished.slot, finished.removed), (1, vec![0]));
    let first = [first];
    let finished = run(&mut disk, &task(&second, &first)).unwrap();
    assert_eq!((finished.slot, finished.removed), (0, vec![1]));
    assert_eq!(disk.numbers().unwrap(), [0]);
    assert!(disk.opens(0, &second).unwrap());
}

#[test]
fn a_slot_that_a_boot_ignores_is_no_proof() {
    /// Whose slot 1 has the priority "ignore": from the start, or from the first proof on.
    struct Ignored {
        fake: Fake,
        proofs_before: usize,
    }
    impl Slots for Ignored {
        type Error = Killed;
        fn numbers(&mut self) -> Result<Vec<u8>, Killed> {
            self.fake.numbers()
        }
        fn tried_at_boot(&mut self) -> Result<Vec<u8>, Killed> {
            let mut tried = self.fake.numbers()?;
            match self.proofs_before.checked_sub(1) {
                Some(left) => self.proofs_before = left,
                None => tried.retain(|slot| *slot != 1),
            }
            Ok(tried)
        }
        fn opens(&mut self, slot: u8, passphrase: &Passphrase) -> Result<bool, Killed> {
            self.fake.opens(slot, passphrase)
        }
        fn add(&mut self, existing: &Passphrase, new: &Passphrase) -> Result<(), Killed> {
            self.fake.add(existing, new)
        }
        fn remove(&mut self, slot: u8, remaining: &Passphrase) -> Result<(), Killed> {
            self.fake.remove(slot, remaining)
        }
    }
    let (new, old) = (passphrase(b"new"), [passphrase(b"old")]);
    // It gets a slot that counts.
    let mut disk = Ignored {
        fake: Fake::of(&[b"old", b"new"]),
        proofs_before: 0,
    };
    assert_eq!(run(&mut disk, &task(&new, &old)).unwrap().slot, 2);
    // What was proved no longer counts, and nothing is removed.
    let mut disk = Ignored {
        fake: Fake::of(&[b"old", b"new"]),
        proofs_before: 1,
    };
    let refused = run(&mut disk, &task(&new, &old));
    assert!(matches!(refused, Err(EnrolError::NotProved)));
    assert!(disk.fake.removed.is_empty());
}
