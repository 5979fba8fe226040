//! The rule against rollback, tried out: every kill, every error of a step, every older file that
//! the host may play, over several lives. What is driven is [`Ladder`] itself.

use super::super::{Generation, Ladder, LadderFault, Shelf};
use std::collections::{BTreeSet, HashSet};

/// The changes that a file has, a bit each.
pub(super) type Content = u32;

/// For which values of the counter, from and to, and what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct File {
    from: u64,
    to: u64,
    pub(super) content: Content,
}

impl File {
    fn counts(&self, counter: u64) -> bool {
        (self.from..=self.to).contains(&counter)
    }
}

/// What outlives a life: the disk, the counter, and what the host has copied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) counter: u64,
    /// `vault.sealed` and `.next`, as an honest disk has them.
    disk: [Option<File>; 2],
    /// Every file that was ever written, whole or not acknowledged.
    kept: BTreeSet<File>,
    /// Changes that somebody was told are done.
    pub(super) acknowledged: Content,
    /// The next change.
    next_change: u32,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// Killed before it.
    KilledBefore,
    /// Killed after it.
    KilledAfter,
    /// It fails and was not done.
    Undone,
    /// It fails, and yet it was done.
    Done,
}

const STRIKES: [Strike; 4] = [
    Strike::KilledBefore,
    Strike::KilledAfter,
    Strike::Undone,
    Strike::Done,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    Killed,
    Failed,
}

/// One life of the vault on the world.
pub(super) struct Life<'w> {
    world: &'w mut World,
    /// What the vault has in its memory.
    memory: Content,
    /// At which steps what happens.
    pub(super) strikes: [Option<(usize, Strike)>; 2],
    steps: usize,
}

impl Life<'_> {
    fn step<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> Result<T, Stopped> {
        let mut strikes = self.strikes.iter().flatten();
        let strike = strikes.find(|(at, _)| *at == self.steps).copied();
        self.steps += 1;
        let Some((_, strike)) = strike else {
            return Ok(act(self));
        };
        match strike {
            Strike::KilledBefore => Err(Stopped::Killed),
            Strike::Undone => Err(Stopped::Failed),
            Strike::KilledAfter => {
                act(self);
                Err(Stopped::Killed)
            }
            Strike::Done => {
                act(self);
                Err(Stopped::Failed)
            }
        }
    }
}

impl Life<'_> {
    fn write(&mut self, from: u64, to: u64) -> Result<(), Stopped> {
        let content = self.memory;
        let file = File { from, to, content };
        // The worst of disks: the old one goes first, and the host has the new one before it is
        // whole here.
        self.step(|life| {
            life.world.disk[1] = None;
            life.world.kept.insert(file);
        })?;
        self.step(|life| life.world.disk[1] = Some(file))
    }
}

impl Shelf for Life<'_> {
    type Error = Stopped;

    fn counter(&mut self) -> Result<u64, Stopped> {
        self.step(|life| life.world.counter)
    }

    fn increment(&mut self) -> Result<u64, Stopped> {
        self.step(|life| {
            life.world.counter += 1;
            life.world.counter
        })
    }

    fn next_generation(&mut self) -> Result<Option<Generation>, Stopped> {
        self.step(|life| life.world.disk[1].map(|file| Generation(file.from)))
    }

    fn write_next(&mut self, generation: Generation) -> Result<(), Stopped> {
        self.write(generation.0, generation.0)
    }

    fn rename_next(&mut self) -> Result<(), Stopped> {
        self.step(|life| {
            if let Some(file) = life.world.disk[1].take() {
                life.world.disk[0] = Some(file);
            }
        })
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            counter: 1,
            disk: [None, None],
            kept: BTreeSet::new(),
            acknowledged: 0,
            next_change: 0,
        }
    }

    /// What the host may have the next life load: what is on the disk, or any file that it kept.
    pub(super) fn loads(&self) -> Vec<File> {
        let kept = self.kept.iter().copied();
        kept.filter(|file| file.counts(self.counter)).collect()
    }

    /// Drops what can have no say any more, so that worlds that go on alike are one: files that
    /// the counter has passed, where it stands, and which changes were made together.
    fn forget(&mut self) {
        let (counter, base) = (self.counter, self.counter - 1);
        self.kept.retain(|file| file.to >= counter);
        for place in &mut self.disk {
            *place = place.filter(|file| file.to >= counter);
        }
        let on_disk = self.disk.iter().flatten().chain(&self.kept);
        let contents: Vec<Content> = on_disk.map(|file| file.content).collect();
        let mut seen = HashSet::new();
        let kept: Vec<u32> = (0..self.next_change)
            .filter(|bit| {
                let has = |content: &Content| content >> bit & 1;
                let column: Vec<_> = contents.iter().map(has).collect();
                seen.insert((column, has(&self.acknowledged)))
            })
            .collect();
        let picked = |content: Content| {
            let bits = kept.iter().enumerate();
            bits.fold(0, |all, (at, bit)| all | (content >> bit & 1) << at)
        };
        let moved = |file: File| File {
            from: file.from.max(counter) - base,
            to: file.to - base,
            content: picked(file.content),
        };
        self.kept = self.kept.iter().copied().map(moved).collect();
        self.disk = self.disk.map(|place| place.map(moved));
        self.acknowledged = picked(self.acknowledged);
        self.next_change = u32::try_from(kept.len()).unwrap();
        self.counter = 1;
    }

    /// No file that counts lacks anything that was acknowledged, and an honest disk has one.
    fn check(&self) {
        for file in self.loads() {
            assert_eq!(
                file.content & self.acknowledged,
                self.acknowledged,
                "{file:?} counts and lacks what was acknowledged: {self:?}"
            );
        }
        let on_disk = self.disk.iter().flatten();
        let counts = on_disk.filter(|file| file.counts(self.counter)).count();
        assert!(
            self.acknowledged == 0 || counts > 0,
            "nothing counts: {self:?}"
        );
    }
}

/// The rule under test, or one that was dropped.
trait Rule: Clone {
    fn begin() -> Self;
    fn commit(&mut self, life: &mut Life<'_>) -> Result<(), Stopped>;
}

#[derive(Clone)]
struct Ours(Ladder);

impl Rule for Ours {
    fn begin() -> Self {
        Self(Ladder::with_counter())
    }

    fn commit(&mut self, life: &mut Life<'_>) -> Result<(), Stopped> {
        self.0.commit(life).map_err(|fault| match fault {
            LadderFault::Shelf(stopped) => stopped,
            fault => panic!("{fault:?}"),
        })
    }
}

/// Nothing, one strike, and after one that fails another one: at each of as many steps as two
/// commits have with a second try of each.
fn all_strikes() -> Vec<[Option<(usize, Strike)>; 2]> {
    let mut all = vec![[None, None]];
    for at in 0..STEPS {
        all.extend(STRIKES.map(|strike| [Some((at, strike)), None]));
        for later in at + 1..STEPS {
            for first in [Strike::Undone, Strike::Done] {
                let second = |strike| [Some((at, first)), Some((later, strike))];
                all.extend(STRIKES.map(second));
            }
        }
    }
    all
}

const STEPS: usize = 27;

/// Tries every world that a life may leave behind which loads `memory` and makes up to two changes.
fn lives<R: Rule>(world: &World, memory: Content) -> HashSet<World> {
    let mut after = HashSet::new();
    for strikes in all_strikes() {
        let mut world = world.clone();
        let mut rule = R::begin();
        let mut life = Life {
            world: &mut world,
            memory,
            strikes,
            steps: 0,
        };
        'life: for _ in 0..2 {
            let change = 1 << life.world.next_change;
            life.world.next_change += 1;
            life.memory |= change;
            // A step that failed is tried again: what holds in memory is to be sealed.
            for _ in 0..2 {
                match rule.commit(&mut life) {
                    Ok(()) => {
                        life.world.acknowledged |= life.memory;
                        life.world.check();
                        break;
                    }
                    Err(Stopped::Killed) => break 'life,
                    Err(Stopped::Failed) => life.world.check(),
                }
            }
        }
        world.check();
        world.forget();
        after.insert(world);
    }
    after
}

/// Lives one after the other, each of which loads whatever counts.
fn explore<R: Rule>(lives_left: u32) -> usize {
    let mut worlds = HashSet::from([World::new()]);
    let mut seen = 0;
    for _ in 0..lives_left {
        let mut next = HashSet::new();
        for world in &worlds {
            let mut loads: BTreeSet<Content> =
                world.loads().iter().map(|file| file.content).collect();
            if world.acknowledged == 0 {
                // Nothing was promised: the host may hide what there is.
                loads.insert(0);
            }
            for memory in loads {
                next.extend(lives::<R>(world, memory));
            }
        }
        seen += next.len();
        worlds = next;
    }
    seen
}

#[test]
fn no_kill_and_no_older_file_loses_what_was_acknowledged() {
    let worlds = explore::<Ours>(3);
    assert!(worlds > 300, "{worlds}");
}

/// The rule that was planned first: a file for two values, and two increments, where a file of an
/// earlier life may be about.
#[derive(Clone)]
struct TwoValues {
    is_certain: bool,
}

impl Rule for TwoValues {
    fn begin() -> Self {
        Self { is_certain: false }
    }

    fn commit(&mut self, life: &mut Life<'_>) -> Result<(), Stopped> {
        let counter = life.counter()?;
        if life.world.disk[1].is_some_and(|next| next.counts(counter)) {
            life.rename_next()?;
        }
        let times = if self.is_certain { 1 } else { 2 };
        self.is_certain = false;
        life.write(counter + 1, counter + times)?;
        for _ in 0..times {
            life.increment()?;
        }
        life.rename_next()?;
        self.is_certain = true;
        Ok(())
    }
}

#[test]
#[should_panic(expected = "lacks what was acknowledged")]
fn a_file_for_two_values_of_the_counter_would_be_played_again() {
    explore::<TwoValues>(2);
}

/// One write after a load, as if no earlier life had left a file behind.
#[derive(Clone)]
struct Trusting;

impl Rule for Trusting {
    fn begin() -> Self {
        Self
    }

    fn commit(&mut self, life: &mut Life<'_>) -> Result<(), Stopped> {
        let counter = life.counter()?;
        if life.next_generation()? == Some(Generation(counter)) {
            life.rename_next()?;
        }
        life.write_next(Generation(counter + 1))?;
        life.increment()?;
        life.rename_next()
    }
}

#[test]
#[should_panic(expected = "lacks what was acknowledged")]
fn one_write_after_a_load_would_be_undone_by_an_earlier_lifes_file() {
    explore::<Trusting>(2);
}

fn file(value: u64, content: Content) -> File {
    File {
        from: value,
        to: value,
        content,
    }
}

pub(super) fn quiet(world: &mut World, memory: Content) -> Life<'_> {
    Life {
        world,
        memory,
        strikes: [None, None],
        steps: 0,
    }
}

#[test]
fn the_first_commit_of_a_life_writes_twice_and_the_others_once() {
    let (mut world, mut ladder) = (World::new(), Ladder::with_counter());
    for expected in [3, 4, 5] {
        ladder.commit(&mut quiet(&mut world, 1)).unwrap();
        assert_eq!(world.counter, expected);
        assert_eq!(world.disk, [Some(file(expected, 1)), None]);
    }
}

#[test]
fn whichever_file_the_counter_names_is_chosen() {
    let mut world = World::new();
    world.counter = 7;
    let cases = [
        ([Some(7), None], Some(0)),
        ([Some(6), Some(7)], Some(1)),
        ([Some(7), Some(8)], Some(0)),
        ([Some(6), Some(8)], None),
        ([None, Some(7)], Some(1)),
        ([None, None], None),
        ([Some(0), None], None),
    ];
    for (heads, chosen) in cases {
        let heads = heads.map(|head| head.map(Generation));
        let found = Ladder::with_counter().choose(&mut quiet(&mut world, 0), heads);
        assert_eq!(found, Ok(chosen), "{heads:?}");
    }
    // Without a counter, what a counter guards is somebody else's.
    for (head, chosen) in [(0, Some(0)), (7, None)] {
        let heads = [Some(Generation(head)), None];
        let found = Ladder::without_counter().choose(&mut quiet(&mut world, 0), heads);
        assert_eq!(found, Ok(chosen));
    }
}

#[test]
fn after_a_wipe_no_file_ever_counts_again() {
    // A wipe at each moment of a life that is struck there.
    for at in 0..STEPS {
        for strike in STRIKES {
            let (mut world, mut ladder) = (World::new(), Ladder::with_counter());
            ladder.commit(&mut quiet(&mut world, 1)).unwrap();
            let mut life = quiet(&mut world, 3);
            life.strikes[0] = Some((at, strike));
            let _ = ladder.commit(&mut life);
            let _ = ladder.commit(&mut life);
            world.disk = [None, None];
            ladder.retire(&mut quiet(&mut world, 0)).unwrap();
            assert_eq!(world.loads(), []);
            // What is sealed from then on is new.
            world.kept.clear();
            ladder.commit(&mut quiet(&mut world, 4)).unwrap();
            assert_eq!(world.loads().len(), 1);
        }
    }
}

#[test]
fn a_counter_that_goes_back_is_named_and_waited_for() {
    let (mut world, mut ladder) = (World::new(), Ladder::with_counter());
    ladder.commit(&mut quiet(&mut world, 1)).unwrap();
    let from = world.counter;
    world.counter = 1;
    let back = Err(LadderFault::WentBack { from, to: 1 });
    assert_eq!(ladder.commit(&mut quiet(&mut world, 1)), back);
    let back = ladder.commit(&mut quiet(&mut world, 1));
    assert!(matches!(back, Err(LadderFault::WentBack { .. })));
    // The right one is there again.
    world.counter = from;
    assert_eq!(ladder.commit(&mut quiet(&mut world, 1)), Ok(()));
    let mut ladder = Ladder::with_counter();
    world.counter = u64::MAX;
    assert_eq!(
        ladder.commit(&mut quiet(&mut world, 1)),
        Err(LadderFault::Over)
    );
}

#[test]
fn without_a_counter_a_file_is_replaced_and_nothing_is_counted() {
    let (mut world, mut ladder) = (World::new(), Ladder::without_counter());
    ladder.commit(&mut quiet(&mut world, 1)).unwrap();
    ladder.commit(&mut quiet(&mut world, 3)).unwrap();
    assert_eq!(world.disk, [Some(file(0, 3)), None]);
    assert_eq!(world.counter, 1);
}
