//! The device behind a queue: one call at a time, and nobody waits for ever.

use nitride_evidence::{CollectError, Evidence, REPORT_DATA_LEN, Tee};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Requests that may wait for the device. One caller has one or two under way.
const MAX_QUEUE_LEN: usize = 8;

/// Why the device gave no evidence.
#[derive(Debug, Error)]
pub(crate) enum DeviceError {
    #[error("too many requests wait for the device")]
    Busy,
    #[error("the device did not answer in time")]
    TimedOut,
    #[error("the device's thread has ended")]
    Stopped,
    #[error("the collector gave no evidence")]
    Collect(#[source] CollectError),
}

/// Asks the device from a thread of its own: a call into firmware cannot be interrupted, and the
/// interfaces (configfs-tsm, /dev/sev-guest) do not bear two at once.
#[derive(Debug)]
pub(crate) struct Device {
    tee: Tee,
    timeout: Duration,
    queue: SyncSender<Job>,
    thread: JoinHandle<()>,
}

struct Job {
    report_data: [u8; REPORT_DATA_LEN],
    deadline: Instant,
    answer: SyncSender<Result<Evidence, CollectError>>,
}

impl Device {
    /// `collect` is called on the device's thread. A request, its wait in the queue included, may
    /// take `timeout`.
    pub(crate) fn start(
        tee: Tee,
        timeout: Duration,
        mut collect: impl FnMut(&[u8; REPORT_DATA_LEN]) -> Result<Evidence, CollectError>
        + Send
        + 'static,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job>(MAX_QUEUE_LEN);
        let thread = std::thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || {
                for job in jobs {
                    // Whoever asked has given up: the device is for those who still wait.
                    if Instant::now() < job.deadline {
                        // Nobody takes the answer when they gave up during the call.
                        let _ = job.answer.send(collect(&job.report_data));
                    }
                }
            })?;
        Ok(Self {
            tee,
            timeout,
            queue,
            thread,
        })
    }

    /// Whether the thread has ended, which it does by a fault alone: nothing will be collected any
    /// more.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn tee(&self) -> Tee {
        self.tee
    }

    pub(crate) fn collect(
        &self,
        report_data: &[u8; REPORT_DATA_LEN],
    ) -> Result<Evidence, DeviceError> {
        let (answer, answered) = sync_channel(1);
        let job = Job {
            report_data: *report_data,
            deadline: Instant::now() + self.timeout,
            answer,
        };
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => DeviceError::Busy,
            TrySendError::Disconnected(_) => DeviceError::Stopped,
        })?;
        match answered.recv_timeout(self.timeout) {
            Ok(result) => result.map_err(DeviceError::Collect),
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

    fn evidence() -> Evidence {
        Evidence {
            tee: Tee::Sample,
            primary_evidence: "{}".to_owned(),
            additional_evidence: String::new(),
        }
    }

    fn device(
        timeout_ms: u64,
        mut collect: impl FnMut(&[u8; REPORT_DATA_LEN]) + Send + 'static,
    ) -> Device {
        Device::start(
            Tee::Sample,
            Duration::from_millis(timeout_ms),
            move |data| {
                collect(data);
                Ok(evidence())
            },
        )
        .unwrap()
    }

    #[test]
    fn report_data_reaches_the_device() {
        let device = device(5000, |data| assert_eq!(data, &[7; REPORT_DATA_LEN]));
        assert_eq!(device.collect(&[7; REPORT_DATA_LEN]).unwrap(), evidence());
    }

    #[test]
    fn a_collector_that_faults_is_seen_to_have_ended() {
        let device = device(5000, |_| panic!("of the test"));
        assert!(!device.has_ended());
        assert!(device.collect(&[0; REPORT_DATA_LEN]).is_err());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !device.has_ended() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_device_that_hangs_times_out_its_caller() {
        let device = device(50, |_| thread::sleep(Duration::from_secs(3600)));
        for _ in 0..2 {
            assert!(matches!(
                device.collect(&[0; REPORT_DATA_LEN]),
                Err(DeviceError::TimedOut)
            ));
        }
    }

    #[test]
    fn a_request_that_was_given_up_in_the_queue_does_not_reach_the_device() {
        let (release, held) = sync_channel::<()>(0);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let device = device(300, move |data| {
            noted.lock().unwrap().push(data[0]);
            let _ = held.recv();
        });
        thread::scope(|scope| {
            for number in 0..3 {
                let device = &device;
                scope.spawn(move || assert!(device.collect(&[number; REPORT_DATA_LEN]).is_err()));
            }
        });
        drop(release);
        while device.collect(&[9; REPORT_DATA_LEN]).is_err() {}
        let seen = seen.lock().unwrap();
        assert_eq!(seen.iter().filter(|number| **number < 3).count(), 1);
    }

    #[test]
    fn the_queue_is_bounded() {
        let (release, held) = sync_channel::<()>(0);
        let device = device(60_000, move |_| {
            let _ = held.recv();
        });
        let busy = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..MAX_QUEUE_LEN + 4 {
                scope.spawn(|| {
                    if let Err(DeviceError::Busy) = device.collect(&[0; REPORT_DATA_LEN]) {
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
        let seen = Arc::clone(&inside);
        let device = device(5000, move |_| {
            assert_eq!(seen.fetch_add(1, Ordering::SeqCst), 0);
            thread::sleep(Duration::from_millis(10));
            seen.fetch_sub(1, Ordering::SeqCst);
        });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(device.collect(&[0; REPORT_DATA_LEN]).is_ok()));
            }
        });
    }
}
