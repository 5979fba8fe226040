use super::*;

#[test]
fn the_first_file_is_there_before_anything_is_let_in_and_counts_at_once() {
    let machine = Machine::new();
    let seal = machine.seal();
    seal.begin(&machine.daemon, false);
    assert_eq!(seal.state_name(), "open");
    let (made, value, asked) = {
        let state = machine.platform.state();
        (state.made, state.value, state.asked)
    };
    // A kill before a step would leave a file for a value that never came.
    assert_eq!((made, asked), (1, 0));
    assert_eq!(machine.generation(), Generation(value));
    drop(seal);
    assert!(machine.begun(false).is_open());
    // What cannot be written leaves it closed, with the part that there is.
    let machine = Machine::new();
    machine.platform.set(|state| state.has_no_counter = true);
    let seal = machine.begun(false);
    assert_eq!(seal.state_name(), "closed");
    assert!(!seal.is_open());
    machine.platform.set(|state| state.has_no_counter = false);
    seal.work().next_try_ms = 0;
    seal.tick(&machine.daemon);
    assert_eq!(seal.state_name(), "open");
    assert_eq!(machine.platform.state().made, 1);
}

#[test]
fn no_counter_is_made_before_everything_else_is_there() {
    let mut machine = Machine::new();
    machine.settings.provisioned = Some(KeyName::parse("not-here").unwrap().to_owned());
    let seal = machine.begun(false);
    assert!(!seal.is_open());
    assert_eq!(machine.platform.state().made, 0, "the provisioned part");
    drop(seal);
    machine.settings.provisioned = None;
    machine.obstruct();
    let seal = machine.begun(false);
    assert!(!seal.is_open());
    assert_eq!(machine.platform.state().made, 0, "the disk");
    machine.clear();
    seal.work().next_try_ms = 0;
    seal.tick(&machine.daemon);
    assert!(seal.is_open());
}

#[test]
fn where_a_file_must_exist_nothing_begins_anew() {
    let mut machine = Machine::new();
    machine.settings.must_exist = true;
    let seal = machine.begun(false);
    let because = seal.how().because.unwrap();
    assert!(because.contains("must-exist"), "{because}");
    assert_eq!(
        (seal.state_name(), machine.platform.state().made),
        ("closed", 0)
    );
    drop(seal);
    machine.settings.must_exist = false;
    drop(machine.begun(false));
    machine.settings.must_exist = true;
    assert!(machine.begun(false).is_open());
}

/// What the two do at once, somebody else may see in between.
#[test]
fn whoever_is_let_in_waits_for_the_file_already() {
    let machine = Machine::new();
    let seal = machine.seal();
    let mut was_open = None;
    seal.let_in(|| was_open = Some(seal.is_open()));
    assert_eq!(was_open, Some(true));
}

#[test]
fn ages_are_written_now_and_then_and_at_the_end() {
    let machine = Machine::new();
    let seal = machine.begun_certain();
    // Of what does not age nothing is written again.
    seal.refresh_at_ms.store(0, Ordering::Release);
    seal.end(&machine.daemon);
    assert_eq!(machine.generation(), Generation(102));
    machine.make_key();
    seal.tick(&machine.daemon);
    let Generation(begun) = machine.generation();
    seal.tick(&machine.daemon);
    assert_eq!(machine.generation(), Generation(begun), "nothing is due");
    let period = seal.refresh_at_ms.load(Ordering::Acquire) - Daemon::now().boot_ms;
    assert!(period > 3_600_000 && period <= 24 * 3_600_000, "{period}");
    seal.refresh_at_ms.store(0, Ordering::Release);
    seal.tick(&machine.daemon);
    assert_eq!(machine.generation(), Generation(begun + 1));
    seal.tick(&machine.daemon);
    assert_eq!(machine.generation(), Generation(begun + 1), "not due again");
    seal.end(&machine.daemon);
    assert_eq!(machine.generation(), Generation(begun + 2));
    // And from a start on, without a write.
    drop(seal);
    let seal = machine.begun(false);
    assert_ne!(seal.refresh_at_ms.load(Ordering::Acquire), u64::MAX);
}

#[test]
fn what_the_platform_was_before_its_update_opens_no_file_that_is_written_after() {
    let machine = Machine::new();
    drop(machine.begun(false));
    assert_eq!(machine.head().params, [1]);
    machine.platform.set(|state| state.is_updated = true);
    let seal = machine.begun(false);
    assert!(seal.is_open());
    assert_eq!(machine.head().params, [2]);
    assert_eq!(machine.platform.state().made, 2);
    drop(seal);
    assert!(machine.begun(false).is_open());
    assert_eq!(machine.platform.state().made, 2, "once");
}
