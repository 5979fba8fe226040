use super::*;
use std::thread;
use std::time::Instant;

#[test]
fn what_outlived_the_process_is_in_no_file_until_this_one_has_written() {
    let machine = Machine::new();
    drop(machine.begun(false));
    // An earlier process may have had a disk that was full, as this one has.
    machine.obstruct();
    let seal = machine.begun(true);
    assert!(seal.is_open());
    assert!(!seal.lets_out(&machine.daemon, Stake::Rests));
    assert!(seal.lets_out(&machine.daemon, Stake::Shows));
    machine.clear();
    assert!(seal.lets_out(&machine.daemon, Stake::Rests));
    // Without records there is nothing that could be in no file.
    drop(seal);
    machine.obstruct();
    let seal = machine.begun(false);
    assert!(seal.lets_out(&machine.daemon, Stake::Rests));
}

#[test]
fn what_changed_before_it_opened_is_in_no_file_because_of_that() {
    let machine = Machine::new();
    drop(machine.begun(false));
    machine.change();
    machine.obstruct();
    let seal = machine.begun(false);
    assert!(seal.is_open());
    assert!(!seal.lets_out(&machine.daemon, Stake::Rests));
    machine.clear();
    assert!(seal.lets_out(&machine.daemon, Stake::Rests));
}

#[test]
fn while_it_is_closed_nothing_rests_on_what_outlived_the_process() {
    let mut machine = Machine::new();
    machine.settings.must_exist = true;
    let seal = machine.begun(true);
    assert!(!seal.is_open());
    assert!(!seal.lets_out(&machine.daemon, Stake::Rests));
    assert!(seal.lets_out(&machine.daemon, Stake::Shows));
    assert!(seal.lets_out(&machine.daemon, Stake::Nothing));
}

#[test]
fn nobody_waits_for_the_counter_who_needs_no_file() {
    let machine = Machine::new();
    let seal = machine.begun_certain();
    let steps = machine.platform.state().asked;
    machine.platform.set(|state| state.is_held = true);
    let before = machine.daemon.vault.seal_changes();
    machine.change();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| seal.settle(&machine.daemon, before, |_| Stake::Rests));
        machine.platform.wait_for_steps(steps + 1);
        // Somebody else has changed something, and it is not written yet.
        assert!(
            seal.settle(&machine.daemon, before, |_| Stake::Nothing)
                .is_ok()
        );
        assert!(!waiting.is_finished());
        machine.platform.set(|state| state.is_held = false);
        assert!(waiting.join().unwrap().is_ok());
    });
}

#[test]
fn a_change_that_somebody_writes_is_not_written_again_by_the_tick() {
    let machine = Machine::new();
    let seal = machine.begun_certain();
    let steps = machine.platform.state().asked;
    machine.platform.set(|state| state.is_held = true);
    let before = machine.daemon.vault.seal_changes();
    machine.change();
    thread::scope(|scope| {
        let settling = scope.spawn(|| seal.settle(&machine.daemon, before, |_| Stake::Rests));
        machine.platform.wait_for_steps(steps + 1);
        let ticking = scope.spawn(|| seal.tick(&machine.daemon));
        // It has seen what is not in the file, and waits.
        thread::sleep(Duration::from_millis(200));
        assert!(!ticking.is_finished());
        machine.platform.set(|state| state.is_held = false);
        assert!(settling.join().unwrap().is_ok());
        ticking.join().unwrap();
    });
    assert_eq!(machine.platform.state().asked, steps + 1);
}

#[test]
fn that_a_write_failed_is_said_before_the_next_one_begins() {
    let machine = Machine::new();
    let seal = machine.begun_certain();
    machine.obstruct();
    let before = machine.daemon.vault.seal_changes();
    machine.change();
    let shown = seal.shown();
    thread::scope(|scope| {
        let settling = scope.spawn(|| seal.settle(&machine.daemon, before, |_| Stake::Rests));
        let patience = Instant::now() + Duration::from_secs(60);
        while !seal.is_behind.load(Ordering::Acquire) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
        // It cannot say so yet, and nobody writes and says that all is well before it has.
        thread::sleep(Duration::from_millis(50));
        assert!(!settling.is_finished());
        let is_held = seal.work.try_lock().is_err();
        drop(shown);
        assert!(settling.join().unwrap().is_err());
        assert!(is_held);
    });
    machine.clear();
    seal.tick(&machine.daemon);
    assert_eq!(seal.how().because, None);
}
