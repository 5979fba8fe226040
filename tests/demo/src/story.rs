//! What the demo prints.

use anyhow::{Context, Result};
use nix::unistd::getuid;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// The running text, and when it began.
pub(crate) struct Story {
    began: Instant,
    steps: usize,
}

impl Story {
    pub(crate) fn begin() -> Self {
        println!(
            "Nitride: a key vault and its blind courier, as uid {}.",
            getuid()
        );
        println!("The evidence here is SIMULATED: it proves nothing. Everything else is real.");
        Self {
            began: Instant::now(),
            steps: 0,
        }
    }

    /// A new part.
    pub(crate) fn part(&self, title: &str) {
        println!("\n{title}");
    }

    /// Runs a step and prints what came of it and how long it took.
    pub(crate) fn step<T: Display>(
        &mut self,
        what: &str,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<()> {
        let began = Instant::now();
        let outcome = run().with_context(|| format!("the demo failed at: {what}"))?;
        let took = in_words(began.elapsed());
        println!("  {what:<52} {outcome}  [{took}]");
        self.steps += 1;
        Ok(())
    }

    /// A remark that is not a step.
    pub(crate) fn remark(&self, text: &str) {
        println!("  ({text})");
    }

    pub(crate) fn end(&self) {
        println!(
            "\n{} steps, each as it should be, in {}.",
            self.steps,
            in_words(self.began.elapsed())
        );
    }
}

fn in_words(time: Duration) -> String {
    match time.as_micros() {
        0..1_000 => format!("{} µs", time.as_micros()),
        1_000..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{} ms", time.as_millis()),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
