//! Two copies of one memory on one counter: a host that resumes a machine twice, or an old picture
//! of it once.

use super::super::{Ladder, LadderFault};
use super::ladder::{Content, Stopped, Strike, World, quiet};

/// A change more, of one of two copies of a life.
fn change(world: &mut World, ladder: &mut Ladder, memory: &mut Content, bit: u32) -> bool {
    *memory |= 1 << bit;
    let mut life = quiet(world, *memory);
    match ladder.commit(&mut life) {
        Ok(()) => {
            world.acknowledged |= *memory;
            true
        }
        Err(LadderFault::Moved { .. }) => false,
        Err(fault) => panic!("{fault:?}"),
    }
}

#[test]
fn of_two_copies_of_one_memory_the_older_one_never_writes_over_the_newer_ones_file() {
    // In every order of up to seven changes, with the copy made before any of them.
    for order in 0..1_u32 << 7 {
        let mut world = World::new();
        let mut first = (Ladder::with_counter(), 0);
        assert!(change(&mut world, &mut first.0, &mut first.1, 0));
        let mut second = first.clone();
        for at in 0..7 {
            let copy = match order >> at & 1 {
                0 => &mut first,
                _ => &mut second,
            };
            let _ = change(&mut world, &mut copy.0, &mut copy.1, at + 1);
            // Nothing that counts lacks what anybody was told is done.
            for file in world.loads() {
                let lacks = world.acknowledged & !file.content;
                assert_eq!(lacks, 0, "{order:b} at {at}: {world:?}");
            }
            // And something does count, whoever has just found that it is not alone.
            assert_ne!(world.loads(), [], "{order:b} at {at}: {world:?}");
        }
    }
}

#[test]
fn a_life_that_was_outrun_writes_no_more() {
    let (mut world, mut ladder) = (World::new(), Ladder::with_counter());
    let heads = [None, None];
    // Also one that has written nothing yet, but has chosen.
    ladder.choose(&mut quiet(&mut world, 0), heads).unwrap();
    let mut idle = ladder.clone();
    ladder.commit(&mut quiet(&mut world, 1)).unwrap();
    let (expected, found) = (1, 3);
    let moved = Err(LadderFault::Moved { expected, found });
    assert_eq!(idle.commit(&mut quiet(&mut world, 2)), moved);
    world.counter = 9;
    let moved = Err(LadderFault::Moved {
        expected: 3,
        found: 9,
    });
    for _ in 0..3 {
        assert_eq!(ladder.commit(&mut quiet(&mut world, 1)), moved);
        // It ends nobody's file.
        assert_eq!(world.counter, 9);
    }
    // What it leaves behind is wiped all the same.
    world.counter = 20;
    ladder.retire(&mut quiet(&mut world, 0)).unwrap();
    assert_eq!(world.loads(), []);
}

#[test]
fn a_step_that_failed_may_be_this_lifes_and_another_one_is_not() {
    for (strike, others, is_moved) in [
        (Strike::Undone, 0, false),
        (Strike::Done, 0, false),
        (Strike::Undone, 2, true),
        (Strike::Done, 1, true),
    ] {
        let (mut world, mut ladder) = (World::new(), Ladder::with_counter());
        ladder.commit(&mut quiet(&mut world, 1)).unwrap();
        let mut life = quiet(&mut world, 3);
        // After a look at the counter and the two steps of the file.
        life.strikes[0] = Some((3, strike));
        let failed = ladder.commit(&mut life);
        assert_eq!(failed, Err(LadderFault::Shelf(Stopped::Failed)));
        world.counter += others;
        let again = ladder.commit(&mut quiet(&mut world, 3));
        assert_eq!(again.is_err(), is_moved, "{strike:?} {others}");
        if is_moved {
            continue;
        }
        // And from then on nothing is uncertain, though no step was made.
        let mut life = quiet(&mut world, 3);
        life.strikes[0] = Some((1, Strike::Undone));
        assert!(ladder.commit(&mut life).is_err());
        world.counter += 1;
        let again = ladder.commit(&mut quiet(&mut world, 3));
        assert!(matches!(again, Err(LadderFault::Moved { .. })));
    }
}
