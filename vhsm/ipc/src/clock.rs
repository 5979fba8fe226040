//! The two clocks that the vault is told about.

use nix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since boot, time asleep included (`CLOCK_BOOTTIME`).
///
/// The guest's kernel counts it; a host can stretch it by not running the guest, but cannot set it
/// back, which is why ages and leases are counted on it.
pub fn boot_ms() -> u64 {
    ms_of(boot_ns())
}

/// The milliseconds of a reading of [`boot_ns`]; the end of time stays that.
pub fn ms_of(boot_ns: u64) -> u64 {
    match boot_ns {
        u64::MAX => u64::MAX,
        nanos => nanos / 1_000_000,
    }
}

/// The same clock in nanoseconds, which last for 584 years.
pub fn boot_ns() -> u64 {
    // Fails only for a clock that the kernel does not know, and every kernel since 2.6.39 knows
    // this one. Zero would make every approval young again: the end of time makes everything stale.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(u64::MAX, |time| {
        let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        secs.saturating_mul(1_000_000_000).saturating_add(nanos)
    })
}

/// Seconds since 1970 by the wall clock, which the host owns: a hint, never an anchor.
pub fn wall_secs() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |secs| -secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_clock_advances() {
        let before = boot_ms();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(boot_ms() >= before + 4);
    }

    #[test]
    fn end_of_time_is_that_in_milliseconds_too() {
        assert_eq!(ms_of(u64::MAX), u64::MAX);
        assert_eq!(ms_of(u64::MAX - 1), u64::MAX / 1_000_000);
        assert_eq!((ms_of(999_999), ms_of(1_000_000)), (0, 1));
    }

    #[test]
    fn wall_clock_is_after_this_was_written() {
        assert!(wall_secs() > 1_700_000_000);
    }
}
