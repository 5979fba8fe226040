use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::Vault;
use anyhow::Result;
use nitride_protocol::KeyType;
use std::time::Instant;

const MIB: f64 = 1048576.0;
const COUNTS: [u32; 4] = [100, 1000, 10_000, 100_000];

/// Room for 100,000 keys.
const LARGE: &str = "[limits]\nkeys = 200000\nkeys-per-uid = 200000\n";

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    report.placement("client and vault on every CPU of this process".to_owned());
    let empty = Vault::start()?;
    let (resident, _) = empty.resident()?;
    drop(empty);
    let name = "resident memory of an empty vault with 3+3 MiB of arenas, MiB";
    report.budget(name, resident / MIB, Bound::AtMost(16.0));

    let vault = Vault::start_large(LARGE)?;
    let mut client = vault.client()?;
    let (before, _) = vault.resident()?;
    let mut made = 0;
    for count in COUNTS.into_iter().filter(|count| scale.reaches(*count)) {
        let begun = Instant::now();
        let first = made;
        while made < count {
            if let Err(error) = client.generate(&format!("perf/k{made}"), KeyType::EcP256, None) {
                report.absent(format!(
                    "{count} keys: after {made} the vault says: {error}"
                ));
                return Ok(());
            }
            made += 1;
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / f64::from(made - first);
        let (resident, _) = vault.resident()?;
        let each = (resident - before) / f64::from(made);
        report.figure(format!("{count} keys: generate"), micros, "us each");
        report.figure(format!("{count} keys: resident memory"), each, "bytes each");
        let begun = Instant::now();
        for turn in 0..2000 {
            let key = format!("perf/k{}", (turn * 7919) % made);
            client.sign(&key, None, &[1; 32])?;
        }
        let micros = begun.elapsed().as_secs_f64() * 1e6 / 2000.0;
        report.figure(
            format!("{count} keys: sign under any of them"),
            micros,
            "us",
        );
        if count == 100_000 {
            let name = "memory a key at 100,000 P-256 keys, bytes";
            report.budget(name, each, Bound::AtMost(1024.0));
        }
    }
    Ok(())
}
