//! The counter.

use crate::process::Helper;
use crate::swtpm::Swtpm;
use nitride_protocol::Status;

#[test]
fn the_counter_goes_up_by_one_each_and_survives_a_boot() {
    let Some(mut tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    let first = helper.counter(&made.params, false).unwrap();
    assert!(first > 0);
    for step in 1..4 {
        assert_eq!(helper.counter(&made.params, true), Ok(first + step));
        assert_eq!(helper.counter(&made.params, false), Ok(first + step));
    }
    drop(helper);
    tpm.restart();
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    assert_eq!(helper.counter(&made.params, false), Ok(first + 3));
    assert_eq!(helper.counter(&made.params, true), Ok(first + 4));
}

#[test]
fn a_counter_that_is_gone_is_lost_and_the_secret_is_not() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    tpm.undefine();
    for increment in [false, true] {
        let lost = helper.counter(&made.params, increment);
        assert_eq!(lost, Err(Status::CounterLost));
    }
    assert_eq!(helper.again(&made.params), Ok(made));
    assert!(helper.log().contains("there is none at index 0x1800123"));
}

#[test]
fn a_counter_that_somebody_made_anew_is_lost_though_it_looks_the_same() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    tpm.redefine();
    for increment in [false, true] {
        let lost = helper.counter(&made.params, increment);
        assert_eq!(lost, Err(Status::CounterLost));
    }
    assert!(helper.log().contains("made anew by somebody else"));
}

#[test]
fn an_index_of_somebody_else_is_neither_used_nor_removed() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    tpm.occupy();
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    assert_eq!(helper.make(), Err(Status::CounterLost));
    assert_eq!(helper.forget(), Err(Status::CounterLost));
    assert!(helper.log().contains("holds something that is not ours"));
}

/// Else whoever deletes the file has the vault begin anew, with its uses counted from nothing.
#[test]
fn no_second_secret_is_made_where_a_counter_says_that_there_was_one() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    assert_eq!(helper.make(), Err(Status::CounterLost));
    assert_eq!(helper.again(&made.params), Ok(made));
}

#[test]
fn forgetting_kills_what_was_counted_and_lets_begin_anew_above_it() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    // Nothing to forget is no fault.
    assert_eq!(helper.forget(), Ok(()));
    let made = helper.make().unwrap();
    for _ in 0..3 {
        helper.counter(&made.params, true).unwrap();
    }
    let last = helper.counter(&made.params, false).unwrap();
    assert_eq!(helper.forget(), Ok(()));
    let lost = helper.counter(&made.params, false);
    assert_eq!(lost, Err(Status::CounterLost));
    let anew = helper.make().unwrap();
    let dead = helper.counter(&made.params, false);
    assert_eq!(dead, Err(Status::CounterLost));
    assert!(helper.counter(&anew.params, false).unwrap() > last);
}

#[test]
fn a_secret_without_a_counter_has_none() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let made = helper.make().unwrap();
    let none = helper.counter(&made.params, false);
    assert_eq!(none, Err(Status::CounterLost));
}

#[test]
fn the_counter_is_as_closed_as_the_secret_once_something_else_was_measured() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    tpm.extend();
    let refused = helper.counter(&made.params, true);
    assert_eq!(refused, Err(Status::PlatformChanged));
}

#[test]
fn what_counts_at_another_index_than_the_configured_one_is_a_change() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let made = Helper::start("tpm", &tpm.lines_with_counter());
    let made = made.make().unwrap();
    for lines in [tpm.lines(), tpm.lines_with_other_counter()] {
        let helper = Helper::start("tpm", &lines);
        let changed = Err(Status::PlatformChanged);
        assert_eq!(helper.again(&made.params), changed);
        for increment in [false, true] {
            let counted = helper.counter(&made.params, increment);
            assert_eq!(counted, Err(Status::PlatformChanged));
        }
        let log = helper.log();
        assert!(log.contains("it counts at index 0x1800123"), "{log}");
    }
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    assert!(helper.counter(&made.params, false).is_ok());
}

#[test]
fn what_a_file_counts_by_is_forgotten_though_another_index_is_configured_by_now() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    for lines in [tpm.lines(), tpm.lines_with_other_counter()] {
        let first = Helper::start("tpm", &tpm.lines_with_counter());
        let made = first.make().unwrap();
        let later = Helper::start("tpm", &lines);
        assert_eq!(later.forget(), Ok(()));
        assert!(first.counter(&made.params, false).is_ok());
        assert_eq!(later.forget_also(&made.params), Ok(()));
        let lost = first.counter(&made.params, false);
        assert_eq!(lost, Err(Status::CounterLost));
        assert_eq!(later.forget_also(&made.params), Ok(()));
    }
}

#[test]
fn params_of_nobody_do_not_keep_the_configured_counter() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    let foreign = helper.forget_also(b"damaged");
    assert_eq!(foreign, Err(Status::PlatformForeign));
    let lost = helper.counter(&made.params, false);
    assert_eq!(lost, Err(Status::CounterLost));
}
