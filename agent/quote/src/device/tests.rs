use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Devices that are nothing but their number of calls.
fn device(timeout_ms: u64) -> Device<u8> {
    Device::start(Duration::from_millis(timeout_ms), 0).unwrap()
}

#[test]
fn a_call_reaches_the_devices_and_its_answer_comes_back() {
    let device = device(5000);
    for number in 1..3 {
        let answer = device.ask(|calls| {
            *calls += 1;
            *calls
        });
        assert_eq!(answer.unwrap(), number);
    }
}

#[test]
fn a_device_that_faults_is_seen_to_have_ended() {
    let device = device(5000);
    assert!(!device.has_ended());
    assert!(device.ask(|_| panic!("of the test")).is_err());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !device.has_ended() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_device_that_hangs_times_out_its_caller() {
    let device = device(50);
    for _ in 0..2 {
        let answer = device.ask(|_| thread::sleep(Duration::from_secs(3600)));
        assert!(matches!(answer, Err(DeviceError::TimedOut)));
    }
}

#[test]
fn an_answer_that_nobody_waits_for_is_taken_back_before_the_next_call() {
    let device = device(300);
    let (release, held) = sync_channel::<()>(0);
    let late = device.ask_or_take_back(
        move |calls| {
            let _ = held.recv();
            *calls += 1;
        },
        |calls, ()| *calls -= 1,
    );
    assert!(matches!(late, Err(DeviceError::TimedOut)));
    drop(release);
    assert_eq!(device.ask(|calls| *calls).unwrap(), 0);
    let in_time = device.ask_or_take_back(|calls| *calls += 1, |calls, ()| *calls -= 1);
    assert!(in_time.is_ok());
    assert_eq!(device.ask(|calls| *calls).unwrap(), 1);
}

#[test]
fn a_request_that_was_given_up_in_the_queue_does_not_reach_the_device() {
    let (release, held) = sync_channel::<()>(0);
    let held = Arc::new(Mutex::new(held));
    let seen = Arc::new(AtomicUsize::new(0));
    let device = device(300);
    thread::scope(|scope| {
        for _ in 0..3 {
            let (device, seen, held) = (&device, Arc::clone(&seen), Arc::clone(&held));
            scope.spawn(move || {
                let answer = device.ask(move |_| {
                    seen.fetch_add(1, Ordering::SeqCst);
                    let _ = held.lock().unwrap().recv();
                });
                assert!(answer.is_err());
            });
        }
    });
    drop(release);
    while device.ask(|_| ()).is_err() {}
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn the_queue_is_bounded() {
    let (release, held) = sync_channel::<()>(0);
    let held = Arc::new(Mutex::new(held));
    let device = device(60_000);
    let busy = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..MAX_QUEUE_LEN + 4 {
            let held = Arc::clone(&held);
            let (device, busy) = (&device, &busy);
            scope.spawn(move || {
                let answer = device.ask(move |_| {
                    let _ = held.lock().unwrap().recv();
                });
                if let Err(DeviceError::Busy) = answer {
                    busy.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        // One is with the device and as many as the queue takes wait for it.
        while busy.load(Ordering::SeqCst) < 3 {
            thread::sleep(Duration::from_millis(5));
        }
        drop(release);
    });
}

#[test]
fn calls_do_not_overlap() {
    let inside = Arc::new(AtomicUsize::new(0));
    let device = device(5000);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (device, inside) = (&device, Arc::clone(&inside));
            scope.spawn(move || {
                let answer = device.ask(move |_| {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::sleep(Duration::from_millis(10));
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
                assert!(answer.is_ok());
            });
        }
    });
}

#[test]
fn what_yields_is_asked_when_nothing_else_waits() {
    let (release, held) = sync_channel::<()>(0);
    let order = Arc::new(Mutex::new(Vec::new()));
    let device = device(60_000);
    let waiting = || {
        let jobs = device.line.jobs();
        jobs.in_order.len() + jobs.yielding.len()
    };
    thread::scope(|scope| {
        scope.spawn(|| device.ask(move |_| held.recv().is_err()));
        while device.line.jobs().began.is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        for (count, name) in ["attest", "attest again", "round", "seal"]
            .into_iter()
            .enumerate()
        {
            let (device, order) = (&device, Arc::clone(&order));
            let turn = match name.starts_with("attest") {
                true => Turn::Yields,
                false => Turn::InOrder,
            };
            scope.spawn(move || {
                let said = device.ask_by(turn, move |_, _| order.lock().unwrap().push(name));
                assert!(said.is_ok());
            });
            while waiting() <= count {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop(release);
    });
    let order = order.lock().unwrap().clone();
    assert_eq!(order, ["round", "seal", "attest", "attest again"]);
}

#[test]
fn a_call_is_told_until_when_it_is_waited_for() {
    let device = device(5000);
    let began = Instant::now();
    let by = device.ask_by(Turn::InOrder, |_, by| by).unwrap();
    assert!(by > began && by <= began + Duration::from_secs(10));
}

#[test]
fn a_call_that_hangs_is_told_from_one_that_is_slow() {
    let device = device(50);
    let (release, held) = sync_channel::<()>(0);
    assert!(device.ask(move |_| held.recv().is_err()).is_err());
    // It has taken longer than anybody waited, and may come back.
    let slow = device.line.jobs().began.unwrap();
    if slow.elapsed() < Duration::from_millis(150) {
        assert_eq!(device.hangs_for(), None);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while device.hangs_for().is_none() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
    assert!(device.hangs_for() > Some(Duration::from_millis(200)));
    drop(release);
    while device.hangs_for().is_some() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
}
