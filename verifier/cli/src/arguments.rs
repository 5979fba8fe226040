//! The command line.

use crate::exit;
use crate::expected::ReportDataArgument;
use crate::moment::Moment;
use clap::{Args, Parser, Subcommand};
use nitride_verify::Tee;
use std::path::PathBuf;

/// Judge attestation evidence from files, check by check. Nothing is fetched: what vendors publish
/// is read from a folder.
#[derive(Debug, Parser)]
#[command(name = "nitride-verify", version, after_help = exit::TABLE)]
pub(crate) struct Arguments {
    /// Print JSON, also for errors
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(flatten)]
    Judge(Evidence),
    /// Check policy files
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// List the checks that a verdict has, with their numbers in docs/verification.md
    Checks {
        /// The TEE by its KBS name; every one that is judged if none is named
        #[arg(value_parser = tee)]
        tee: Option<Tee>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Read policy files as a judgement would; a mistake is told with file and line
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// One subcommand a kind of evidence.
#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// Judge a SEV-SNP report
    Snp(SnpArguments),
    /// Judge a TDX quote
    Tdx(TdxArguments),
    /// Judge evidence in the JSON forms of the KBS protocol
    Kbs(KbsArguments),
}

impl Evidence {
    pub(crate) fn common(&self) -> &JudgementArguments {
        match self {
            Self::Snp(snp) => &snp.common,
            Self::Tdx(tdx) => &tdx.common,
            Self::Kbs(kbs) => &kbs.common,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SnpArguments {
    /// The report as the firmware made it, 1184 bytes
    #[arg(value_name = "REPORT")]
    pub(crate) report: PathBuf,
    /// Certificates that came with it, in DER or PEM: VCEK or VLEK, ASK or ASVK, ARK
    #[arg(long = "certificate", value_name = "FILE")]
    pub(crate) certificates: Vec<PathBuf>,
    /// The certificate table of an extended report, as the host gave it
    #[arg(long, value_name = "FILE", conflicts_with = "certificates")]
    pub(crate) certificate_table: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: JudgementArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TdxArguments {
    /// The quote, version 4 or 5
    #[arg(value_name = "QUOTE")]
    pub(crate) quote: PathBuf,
    /// The firmware's event log (CCEL), which the run-time registers are replayed from
    #[arg(long, value_name = "FILE")]
    pub(crate) event_log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: JudgementArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KbsArguments {
    /// The JSON: the primary evidence, or the whole tee-evidence object
    #[arg(value_name = "EVIDENCE")]
    pub(crate) evidence: PathBuf,
    /// The TEE by its KBS name, as the challenge was made for: the JSON does not say
    #[arg(long, value_name = "NAME", value_parser = tee)]
    pub(crate) tee: Tee,
    #[command(flatten)]
    pub(crate) common: JudgementArguments,
}

/// What every judgement takes.
#[derive(Debug, Args)]
pub(crate) struct JudgementArguments {
    /// The attestation policy
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// What the evidence has to bind, at most 64 bytes: hexadecimal, or a file that holds the
    /// bytes. What its field has beyond them must be zero
    #[arg(long, value_name = "HEX|@FILE")]
    pub(crate) report_data: ReportDataArgument,
    /// The init-data that the guest was started with, TOML, where the evidence has to bind it
    #[arg(long, value_name = "FILE")]
    pub(crate) init_data: Option<PathBuf>,
    /// The time to judge at, such as 2026-11-22T12:00:00Z, or in seconds since 1970; the clock's if
    /// none is given
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<Moment>,
    /// A folder of what vendors publish; nitride-verify(1) says how it is laid out
    #[arg(long, value_name = "DIR")]
    pub(crate) collateral: Option<PathBuf>,
}

/// Those whose evidence is judged at all.
fn tee(name: &str) -> Result<Tee, String> {
    let judged = |tee: &Tee| !nitride_verify::checks::all(*tee).is_empty();
    Tee::parse(name).filter(judged).ok_or_else(|| {
        let known: Vec<&str> = Tee::ALL
            .iter()
            .filter(|t| judged(t))
            .map(|t| t.as_str())
            .collect();
        format!("known are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::try_parse_from(line.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn policy_and_report_data_are_never_left_out() {
        for verb in ["snp r", "tdx q", "kbs e --tee tdx"] {
            let good = format!("nitride-verify {verb} --policy p --report-data 00");
            assert!(parse(&good).is_ok(), "{good}");
            let bad = format!("nitride-verify {verb} --policy p");
            assert!(parse(&bad).unwrap_err().contains("--report-data"));
            let bad = format!("nitride-verify {verb} --report-data 00");
            assert!(parse(&bad).unwrap_err().contains("--policy"));
        }
    }

    #[test]
    fn a_tee_that_nobody_judges_is_named_with_those_that_are() {
        let error = parse("nitride-verify checks sgx").unwrap_err();
        assert!(
            error.contains("sgx") && error.contains("snp, tdx"),
            "{error}"
        );
    }
}
