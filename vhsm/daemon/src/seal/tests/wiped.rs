use super::*;

/// Neither files nor a counter that any copy of one could count by.
#[test]
fn a_wipe_removes_the_files_and_passes_and_removes_their_counter() {
    let machine = Machine::new();
    let seal = machine.begun(false);
    let Generation(last) = machine.generation();
    seal.wipe().unwrap();
    assert!(!machine.path("vault.sealed").exists());
    assert!(!machine.path("vault.sealed.next").exists());
    let state = machine.platform.state();
    // There may be a file for the next value.
    assert!(state.value >= last + 2, "{} after {last}", state.value);
    assert_eq!(state.forgotten, [vec![1]]);
}

#[test]
fn a_counter_that_stays_is_past_every_file() {
    let machine = Machine::new();
    let seal = machine.begun(false);
    machine.platform.set(|state| state.keeps_its_counter = true);
    seal.wipe().unwrap();
    // Neither passed nor removed: copies may count.
    let machine = Machine::new();
    let seal = machine.begun(false);
    machine.platform.set(|state| {
        state.keeps_its_counter = true;
        state.has_no_counter = true;
    });
    seal.wipe().unwrap_err();
}

#[test]
fn a_folder_that_others_may_write_keeps_no_counter_alive() {
    let machine = Machine::new();
    drop(machine.begun(false));
    machine.set_mode(0o777);
    let seal = machine.begun(false);
    assert!(!seal.is_open());
    seal.wipe().unwrap_err();
    assert_eq!(machine.platform.state().forgotten, [vec![1]]);
}

#[test]
fn a_counter_that_is_not_counted_by_is_forgotten_as_well() {
    let mut machine = Machine::new();
    machine.settings.counter = false;
    let seal = machine.begun(false);
    assert!(seal.is_open());
    seal.wipe().unwrap();
    assert_eq!(machine.platform.state().forgotten, [vec![1]]);
    drop(seal);
    // And where there never was a file.
    let seal = machine.begun_closed();
    seal.wipe().unwrap();
    assert_eq!(machine.platform.state().forgotten.last(), Some(&Vec::new()));
}

#[test]
fn after_a_wipe_no_change_is_said_to_be_sealed() {
    let machine = Machine::new();
    let seal = machine.begun(false);
    let before = machine.daemon.vault.seal_changes();
    machine.change();
    seal.wipe().unwrap();
    assert!(
        seal.settle(&machine.daemon, before, |_| Stake::Rests)
            .is_err()
    );
    assert!(!machine.path("vault.sealed").exists());
}

impl Machine {
    fn begun_closed(&mut self) -> Seal {
        self.settings.must_exist = true;
        self.begun(false)
    }
}
