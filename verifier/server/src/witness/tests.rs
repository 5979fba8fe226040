use super::*;
use crate::store::memory::MemoryStore;
use proptest::prelude::*;

const LATE: Times = Times {
    challenged_secs: 2_000,
    now_secs: 2_001,
};

fn head(sequence: u64, digest: u8) -> AuditHead {
    AuditHead {
        sequence,
        digest: [digest; 32],
    }
}

struct World {
    store: MemoryStore,
    runtime: tokio::runtime::Runtime,
    on_fork: OnFork,
}

impl World {
    fn new(on_fork: OnFork) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        Self {
            store: MemoryStore::default(),
            runtime: runtime.unwrap(),
            on_fork,
        }
    }

    fn say(&self, machine: &str, head: Option<AuditHead>, times: Times) -> Finding {
        let machine = Identity::of_text(machine);
        let asking = witness(&self.store, self.on_fork, &machine, head, times);
        self.runtime.block_on(asking).unwrap()
    }

    fn known(&self) -> Vec<Witnessed> {
        self.runtime.block_on(list(&self.store)).unwrap()
    }
}

fn at(secs: u64) -> Times {
    Times {
        challenged_secs: secs,
        now_secs: secs,
    }
}

#[test]
fn heads_that_go_on_are_good_and_the_newest_is_remembered() {
    let world = World::new(OnFork::Refuse);
    assert_eq!(world.say("a", None, at(1)), Finding::Nothing);
    for (number, secs) in [(3, 10), (3, 11), (9, 12)] {
        assert_eq!(
            world.say("a", Some(head(number, 1)), at(secs)),
            Finding::Good
        );
    }
    let known = world.known();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].head, known[0].at_secs), (head(9, 1), 12));
}

#[test]
fn another_entry_of_the_same_number_is_a_fork_at_once() {
    let world = World::new(OnFork::Refuse);
    world.say("a", Some(head(3, 1)), at(10));
    let seen = head(3, 1);
    assert_eq!(
        world.say("a", Some(head(3, 2)), at(10)),
        Finding::Forked { seen }
    );
    assert_eq!(
        world.known()[0].head,
        seen,
        "what is refused is not remembered"
    );
}

#[test]
fn a_head_that_went_back_is_told_from_a_round_that_was_overtaken() {
    let world = World::new(OnFork::Refuse);
    world.say("a", Some(head(9, 1)), at(100));
    let seen = head(9, 1);
    for (challenged_secs, expected) in [
        (90, Finding::Overtaken { seen }),
        (105, Finding::Overtaken { seen }),
        (106, Finding::WentBack { seen }),
    ] {
        let times = Times {
            challenged_secs,
            now_secs: 110,
        };
        assert_eq!(world.say("a", Some(head(4, 1)), times), expected);
    }
    assert_eq!(world.known()[0].head, seen);
}

#[test]
fn where_a_fork_is_noted_the_new_chain_is_witnessed_from_then_on() {
    let world = World::new(OnFork::Note);
    world.say("a", Some(head(9, 1)), at(100));
    let seen = head(9, 1);
    assert_eq!(
        world.say("a", Some(head(2, 2)), LATE),
        Finding::WentBack { seen }
    );
    assert_eq!(world.say("a", Some(head(3, 2)), LATE), Finding::Good);
}

#[test]
fn a_machine_that_withholds_its_head_is_known_by_what_it_said_before() {
    let world = World::new(OnFork::Note);
    world.say("a", Some(head(9, 1)), at(100));
    let seen = head(9, 1);
    assert_eq!(world.say("a", None, LATE), Finding::Withheld { seen });
    assert_eq!(world.say("b", None, LATE), Finding::Nothing);
    assert_eq!(world.known()[0].head, seen);
}

#[test]
fn what_is_forgotten_begins_anew() {
    let world = World::new(OnFork::Refuse);
    world.say("a", Some(head(9, 1)), at(100));
    let forgotten = |machine| {
        world
            .runtime
            .block_on(forget(&world.store, machine))
            .unwrap()
    };
    assert!(!forgotten("b"));
    assert!(forgotten("a"));
    assert!(!forgotten("a"));
    assert_eq!(world.say("a", Some(head(1, 2)), LATE), Finding::Good);
}

#[test]
fn so_many_machines_of_a_record_are_remembered_and_the_oldest_goes() {
    let world = World::new(OnFork::Note);
    // All of one record, whatever their names hash to.
    let place = place_of_name("a").unwrap();
    let machine = |number: usize| Witnessed {
        machine: format!("machine {number}"),
        head: head(1, 1),
        at_secs: 1,
    };
    let machines = (0..MAX_MACHINES).map(machine).collect();
    let writing = write(&world.store, &place, machines, Expected::Absent);
    world.runtime.block_on(writing).unwrap();
    assert_eq!(world.say("a", Some(head(1, 1)), LATE), Finding::Good);
    let known = world.known();
    assert_eq!(known.len(), MAX_MACHINES);
    assert!(!known.iter().any(|known| known.machine == "machine 0"));
    assert!(known.iter().any(|known| known.machine == "a"));
}

#[test]
fn a_record_that_is_no_list_is_not_taken_for_an_empty_one() {
    let world = World::new(OnFork::Note);
    let place = place_of_name("a").unwrap();
    for bytes in ["", "{}", "{\"version\":2,\"machines\":[]}", "[]"] {
        let bytes = Zeroizing::new(bytes.as_bytes().to_vec());
        let writing = world.store.write(&place, bytes, Expected::Any);
        world.runtime.block_on(writing).unwrap();
        let machine = Identity::of_text("a");
        let asking = witness(&world.store, OnFork::Note, &machine, Some(head(1, 1)), LATE);
        let error = world.runtime.block_on(asking).unwrap_err();
        assert!(matches!(error, WitnessError::Malformed { .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn only_a_head_that_goes_on_is_good(
        before in 1_u64..5, digest in 0_u8..2, sequence in 1_u64..5, other in 0_u8..2,
    ) {
        let world = World::new(OnFork::Refuse);
        world.say("a", Some(head(before, digest)), at(100));
        let finding = world.say("a", Some(head(sequence, other)), LATE);
        let goes_on = sequence > before || sequence == before && digest == other;
        prop_assert_eq!(finding == Finding::Good, goes_on);
        prop_assert_eq!(finding.is_fork(), !goes_on);
    }
}
