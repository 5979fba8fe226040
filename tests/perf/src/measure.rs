//! Measuring in turns.

use anyhow::Result;
use std::time::Instant;

/// Something that is measured, by name.
pub(crate) type Step<'s> = &'s mut dyn FnMut() -> Result<()>;

/// Microseconds an operation, for each step, in each turn.
pub(crate) struct Turns(Vec<Vec<f64>>);

/// Measures `steps` in turns, `batch` operations of each in a turn. A first turn is thrown away: it
/// warms caches, the branch predictor and the vault's memory of decisions.
pub(crate) fn in_turns(turns: u32, batch: u32, steps: &mut [Step<'_>]) -> Result<Turns> {
    let mut measured = Vec::new();
    for turn in 0..=turns {
        let mut row = Vec::with_capacity(steps.len());
        for step in &mut *steps {
            row.push(per_operation(batch, step)?);
        }
        if turn > 0 {
            measured.push(row);
        }
    }
    Ok(Turns(measured))
}

impl Turns {
    /// So many turns, of what `turn` measures in each: as many figures every time.
    pub(crate) fn of(turns: u32, mut turn: impl FnMut() -> Result<Vec<f64>>) -> Result<Self> {
        let measured = (0..turns).map(|_| turn());
        Ok(Self(measured.collect::<Result<_>>()?))
    }

    /// The median over all turns of what `of` makes of one.
    pub(crate) fn median(&self, of: impl Fn(&[f64]) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(|turn| of(turn)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The median of step `index`.
    pub(crate) fn step(&self, index: usize) -> f64 {
        self.median(|turn| turn[index])
    }
}

/// Microseconds an operation of `count` operations in a row.
pub(crate) fn per_operation(count: u32, operation: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..count {
        operation()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}
