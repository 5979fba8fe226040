//! Medians of turns, ratios within a turn, and how they are printed.

use anyhow::Result;
use std::time::Instant;

/// Microseconds an operation, for each kind, in one turn.
pub(crate) struct Turn {
    pub(crate) bare_sign: f64,
    pub(crate) sign_round_trip: f64,
    pub(crate) vault_sign: f64,
    pub(crate) bare_seal: f64,
    pub(crate) seal_round_trip: f64,
    pub(crate) vault_encrypt: f64,
}

/// All turns of a run.
pub(crate) struct Series(Vec<Turn>);

impl Series {
    pub(crate) fn new(turns: Vec<Turn>) -> Self {
        Self(turns)
    }

    fn median(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn sign_ratio(&self) -> f64 {
        self.median(|turn| turn.vault_sign / (turn.bare_sign + turn.sign_round_trip))
    }

    pub(crate) fn encrypt_ratio(&self) -> f64 {
        self.median(|turn| turn.vault_encrypt / (turn.bare_seal + turn.seal_round_trip))
    }
}

/// A figure that has a budget.
pub(crate) struct Ratio {
    pub(crate) name: &'static str,
    pub(crate) budget: f64,
    pub(crate) value: f64,
}

/// Microseconds an operation of `count` operations in a row.
pub(crate) fn per_operation(count: u32, mut operation: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..count {
        operation()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

/// Prints the run for people, or as one JSON object.
pub(crate) fn print(series: &Series, ratios: &[Ratio], cpu: usize, json: bool) -> Result<()> {
    let figures = [
        ("bare AWS-LC P-256 sign", series.median(|t| t.bare_sign)),
        (
            "SEQPACKET round trip, sign",
            series.median(|t| t.sign_round_trip),
        ),
        (
            "their sum",
            series.median(|t| t.bare_sign + t.sign_round_trip),
        ),
        (
            "P-256 sign over the socket",
            series.median(|t| t.vault_sign),
        ),
        ("bare AWS-LC seal, 1 KiB", series.median(|t| t.bare_seal)),
        (
            "SEQPACKET round trip, 1 KiB",
            series.median(|t| t.seal_round_trip),
        ),
        (
            "their sum",
            series.median(|t| t.bare_seal + t.seal_round_trip),
        ),
        (
            "1 KiB AES-256-GCM over the socket",
            series.median(|t| t.vault_encrypt),
        ),
    ];
    if json {
        let object = serde_json::json!({
            "cpu": cpu,
            "placement": "client, vault and echo process on one CPU",
            "turns": series.0.len(),
            "microseconds": figures.iter().map(|(name, value)| serde_json::json!([name, value])).collect::<Vec<_>>(),
            "ratios": ratios.iter().map(|ratio| serde_json::json!({
                "name": ratio.name, "value": ratio.value, "budget": ratio.budget,
            })).collect::<Vec<_>>(),
        });
        println!("{object}");
        return Ok(());
    }
    println!(
        "placement: client, vault and echo process on CPU {cpu}; medians of {} turns",
        series.0.len()
    );
    for (name, value) in figures {
        println!("  {name:<36} {value:8.2} µs");
    }
    for ratio in ratios {
        let verdict = if ratio.value <= ratio.budget {
            "within"
        } else {
            "OVER"
        };
        println!(
            "{:<62} {:.3}   {verdict} {:.2}",
            ratio.name, ratio.value, ratio.budget
        );
    }
    Ok(())
}
