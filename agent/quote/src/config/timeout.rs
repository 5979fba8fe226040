//! `device-timeout-ms`.

use super::source::Source;
use super::{Fault, within};
use nitride_evidence::Settings;
use std::time::Duration;
use toml::Spanned;

const DEFAULT_MS: u64 = 10_000;
/// Where Azure's paravisor takes seconds for one report, or GPUs answer one after the other.
const SLOW_DEFAULT_MS: u64 = 30_000;
const LEAST_MS: u64 = 100;
/// Eight seconds for the paravisor's report to say the challenge, and five for the metadata service.
const LEAST_OF_AZURE_MS: u64 = 13_000;
const MOST_MS: u64 = 120_000;

/// How long a request may take, its wait for the device included.
pub(super) fn device_timeout(
    stated: Option<Spanned<u64>>,
    source: &Source,
    has_gpus: bool,
) -> Result<Duration, Fault> {
    let is_azure = matches!(source, Source::Tee(Settings::Azure(_)));
    let default = match is_azure || has_gpus {
        true => SLOW_DEFAULT_MS,
        false => DEFAULT_MS,
    };
    let least = match is_azure {
        true => LEAST_OF_AZURE_MS,
        false => LEAST_MS,
    };
    within(stated, default, least..=MOST_MS).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(tee: &str, line: &str, tables: &str) -> Result<Duration, String> {
        let text = format!("tee = \"{tee}\"\n{line}\n[caller]\nuid = 1\n{tables}");
        let config = Config::parse(&text).map_err(|fault| fault.fault);
        Ok(config?.device_timeout)
    }

    #[test]
    fn who_is_slow_has_longer() {
        let secs = |tee, tables| read(tee, "", tables).map(|time| time.as_secs());
        assert_eq!(secs("snp", ""), Ok(10));
        assert_eq!(secs("tdx", "[gpu]\ndevices = 1\n"), Ok(30));
        for tee in ["az-snp-vtpm", "az-tdx-vtpm"] {
            assert_eq!(secs(tee, ""), Ok(30));
            let least = read(tee, "device-timeout-ms = 13000", "");
            assert_eq!(least, Ok(Duration::from_secs(13)));
            let refused = read(tee, "device-timeout-ms = 12999", "").unwrap_err();
            assert!(refused.contains("give 13000 to 120000"), "{refused}");
        }
    }
}
