use crate::report::Report;
use crate::scale::Scale;
use crate::vault::{Raw, Vault};
use anyhow::Result;
use nitride_protocol::application::Mac;
use nitride_protocol::{KeyName, KeyType};
use std::time::Instant;

const REQUESTS: u32 = 8000;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("one client thread and the vault on every CPU of this process".to_owned());
    let vault = Vault::start_with("[limits]\nconnections = 4096\nconnections-per-uid = 4096\n")?;
    vault
        .client()?
        .generate("perf/tagging", KeyType::HmacSha256, None)?;
    let request = Mac {
        key: KeyName::parse("perf/tagging")?,
        data: &[1; 64],
    };
    let mut connections = Vec::new();
    for count in [1, 10, 100, 1000] {
        while connections.len() < count {
            connections.push(Raw::connect(&vault, false)?);
        }
        // One request is under way on each connection at a time.
        let rounds = (scale.count(REQUESTS) as usize / count).max(1);
        let begun = Instant::now();
        for _ in 0..rounds {
            for raw in &mut connections {
                raw.send(&request, &[])?;
            }
            for raw in &mut connections {
                raw.receive::<Mac<'_>, ()>(|_| ())?;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = (rounds * count) as f64 / begun.elapsed().as_secs_f64();
        let (resident, _) = vault.resident()?;
        report.figure(format!("{count} connections"), rate, "MACs a second");
        report.figure(
            format!("{count} connections: resident"),
            resident / 1048576.0,
            "MiB",
        );
    }
    Ok(())
}
