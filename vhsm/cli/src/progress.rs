use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: u64 = 30;
const EVERY: Duration = Duration::from_millis(100);

/// A bar on standard error, where that is a terminal.
pub(crate) struct Progress {
    doing: &'static str,
    /// Bytes of the whole, where that is known.
    len: Option<u64>,
    began: Instant,
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(doing: &'static str, len: Option<u64>) -> Self {
        Self {
            doing,
            len,
            began: Instant::now(),
            shown: None,
        }
    }

    /// Shows that so many bytes are done, ten times a second at most.
    pub(crate) fn show(&mut self, done: u64) {
        let now = Instant::now();
        let fresh = self.shown.is_some_and(|shown| now - shown < EVERY);
        let mut terminal = io::stderr();
        if fresh || !terminal.is_terminal() {
            return;
        }
        self.shown = Some(now);
        let line = line(self.doing, done, self.len, now - self.began);
        // Nobody is to lose a file because a bar could not be drawn.
        let _ = write!(terminal, "\r{line}\x1b[K").and_then(|()| terminal.flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}

fn line(doing: &str, done: u64, len: Option<u64>, spent: Duration) -> String {
    let mib = |bytes: u64| bytes >> 20;
    let rate = u64::try_from(u128::from(done) * 1000 / spent.as_millis().max(1));
    let rate = mib(rate.unwrap_or(u64::MAX));
    match len {
        Some(len) if len > 0 => {
            let done = done.min(len);
            let filled = usize::try_from(done.saturating_mul(WIDTH) / len).unwrap_or(0);
            let bar = "#".repeat(filled);
            let percent = u128::from(done) * 100 / u128::from(len);
            format!(
                "{doing} [{bar:<width$}] {percent:>3} % {rate} MiB/s",
                width = usize::try_from(WIDTH).unwrap_or(0)
            )
        }
        _ => format!("{doing} {} MiB {rate} MiB/s", mib(done)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_tells_part_and_speed() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line("encrypting", 50 << 20, Some(100 << 20), second),
            "encrypting [###############               ]  50 % 50 MiB/s"
        );
        assert_eq!(
            line("encrypting", 3 << 20, None, second),
            "encrypting 3 MiB 3 MiB/s"
        );
        // More than was announced, and no time at all.
        assert!(line("decrypting", 9, Some(3), Duration::ZERO).contains("100 %"));
    }
}
