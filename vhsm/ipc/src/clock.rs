//! The two clocks that the vault is told about.

use nix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since boot, time asleep included (`CLOCK_BOOTTIME`).
///
/// The guest's kernel counts it; a host can stretch it by not running the guest, but cannot set it
/// back, which is why ages and leases are counted on it.
pub fn boot_ms() -> u64 {
    // Fails only for a clock that the kernel does not know, and every kernel since 2.6.39 knows
    // this one. Zero would make every approval young again: the end of time makes everything stale.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(u64::MAX, |time| {
        let secs = u64::try_from(time.tv_sec()).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec() / 1_000_000).unwrap_or(0);
        secs.saturating_mul(1000).saturating_add(millis)
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
    fn wall_clock_is_after_this_was_written() {
        assert!(wall_secs() > 1_700_000_000);
    }
}
