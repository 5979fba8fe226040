//! The devices behind a queue: one call at a time, and nobody waits for ever.

use std::sync::mpsc::{RecvTimeoutError, SendError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Requests that may wait for the device. One caller has one or two under way.
const MAX_QUEUE_LEN: usize = 8;

/// Why a device gave no answer.
#[derive(Debug, Error)]
pub(crate) enum DeviceError {
    #[error("too many requests wait for the device")]
    Busy,
    #[error("the device did not answer in time")]
    TimedOut,
    #[error("the device's thread has ended")]
    Stopped,
}

/// Asks the devices `D` from a thread of its own: a call into firmware cannot be interrupted, and
/// the interfaces (configfs-tsm, /dev/sev-guest, a TPM) do not bear two at once.
#[derive(Debug)]
pub(crate) struct Device<D> {
    timeout: Duration,
    queue: SyncSender<Job<D>>,
    thread: JoinHandle<()>,
}

struct Job<D> {
    deadline: Instant,
    call: Box<dyn FnOnce(&mut D) + Send>,
}

impl<D: Send + 'static> Device<D> {
    /// Calls are made on the device's thread. A request, its wait in the queue included, may take
    /// `timeout`.
    pub(crate) fn start(timeout: Duration, mut devices: D) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job<D>>(MAX_QUEUE_LEN);
        let thread = std::thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || {
                for job in jobs {
                    // Whoever asked has given up: the device is for those who still wait.
                    if Instant::now() < job.deadline {
                        (job.call)(&mut devices);
                    }
                }
            })?;
        Ok(Self {
            timeout,
            queue,
            thread,
        })
    }

    /// Whether the thread has ended, which it does by a fault alone: nothing will be answered any
    /// more.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What `call` answers. An answer that comes too late is dropped, and erases what it holds.
    pub(crate) fn ask<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut D) -> R + Send + 'static,
    ) -> Result<R, DeviceError> {
        self.ask_or_take_back(call, |_, late| drop(late))
    }

    /// As [`Self::ask`]; an answer that comes too late goes to `take_back`, before any other call.
    pub(crate) fn ask_or_take_back<R: Send + 'static>(
        &self,
        call: impl FnOnce(&mut D) -> R + Send + 'static,
        take_back: impl FnOnce(&mut D, R) + Send + 'static,
    ) -> Result<R, DeviceError> {
        // It has no room: what was sent was received, and what was not comes back.
        let (answer, answered) = sync_channel(0);
        let job = Job {
            deadline: Instant::now() + self.timeout,
            call: Box::new(move |devices| {
                if let Err(SendError(late)) = answer.send(call(devices)) {
                    take_back(devices, late);
                }
            }),
        };
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => DeviceError::Busy,
            TrySendError::Disconnected(_) => DeviceError::Stopped,
        })?;
        match answered.recv_timeout(self.timeout) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => Err(DeviceError::TimedOut),
            // The thread skips a job at its deadline, and drops every job when it ends.
            Err(RecvTimeoutError::Disconnected) => Err(DeviceError::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
