//! The command line.

use crate::exit;
use crate::expected::ReportDataArgument;
use crate::measure::MeasureVerb;
use crate::moment::Moment;
use clap::{Args, Parser, Subcommand};
use nitride_collateral::PckCa;
use nitride_verify::Tee;
use nitride_verify::evidence::SnpProduct;
use std::path::PathBuf;

/// Judge attestation evidence from files, check by check. A judgement fetches nothing: what vendors
/// publish is read from a folder, which `collateral fetch` fills.
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
    /// Fetch what vendors publish, or make one file of it
    #[command(subcommand)]
    Collateral(CollateralVerb),
    /// Check policy files
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Enrol the attestation key of a TPM, so that a policy can pin its name
    #[command(subcommand)]
    Tpm(TpmVerb),
    /// Compute reference values from an image, as a policy has them
    #[command(subcommand)]
    Measure(MeasureVerb),
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

#[derive(Debug, Subcommand)]
pub(crate) enum CollateralVerb {
    /// Ask AMD and Intel, and keep what they answer in a folder. What is there and young enough is
    /// not asked for
    Fetch(Box<FetchArguments>),
    /// Make one file of a folder, which --collateral takes in its place
    Bundle(BundleArguments),
}

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// The folder; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    /// A product of AMD's: its certificates and its revocation list
    #[arg(long = "amd", value_name = "milan|genoa|turin", value_parser = product)]
    pub(crate) products: Vec<SnpProduct>,
    /// The intermediate of clouds' keys (ASVK) and its revocation list as well
    #[arg(long)]
    pub(crate) vlek: bool,
    /// A SEV-SNP report: what its product needs, and the key of its chip at its TCB
    #[arg(long = "report", value_name = "FILE")]
    pub(crate) reports: Vec<PathBuf>,
    /// A kind of Intel's platforms, 12 hexadecimal digits: what TDX quotes of it need
    #[arg(long = "fmspc", value_name = "HEX", value_parser = bytes::<6>)]
    pub(crate) fmspcs: Vec<[u8; 6]>,
    /// Who issues the platform's PCK certificates
    #[arg(long, value_name = "platform|processor", value_parser = pck_ca, default_value = "platform")]
    pub(crate) pck_ca: PckCa,
    /// What was fetched longer ago is fetched again
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    pub(crate) max_age_secs: u64,
    /// What one request may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout_secs: u64,
    /// How long a busy service may make this wait, for each file
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) max_wait_secs: u64,
    /// AMD's service, or what answers in its place
    #[arg(long, value_name = "URL")]
    pub(crate) kds: Option<String>,
    /// Intel's service, or a PCCS
    #[arg(long, value_name = "URL")]
    pub(crate) pcs: Option<String>,
    /// The revocation list of Intel's root
    #[arg(long, value_name = "URL")]
    pub(crate) root_crl: Option<String>,
    /// The CAs that the services' TLS certificates are of, in PEM; the machine's own if none is
    /// given
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// For tests: a root that is no vendor's, by the SHA-256 of its DER
    #[arg(long = "danger-test-anchor", value_name = "HEX", value_parser = bytes::<32>)]
    pub(crate) danger_test_anchors: Vec<[u8; 32]>,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArguments {
    /// The folder
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// The file
    #[arg(long, value_name = "FILE")]
    pub(crate) into: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TpmVerb {
    /// Write a challenge that only one TPM can answer
    Challenge {
        /// What `nitride-quote --tpm-enrol` printed on that machine
        #[arg(value_name = "REQUEST")]
        request: PathBuf,
        /// The SHA-256 of its endorsement key (SubjectPublicKeyInfo), as the machine's maker or the
        /// cloud tells it, 64 digits. Whoever takes it from the request itself enrols any TPM
        #[arg(long, value_name = "HEX")]
        endorsement_key: String,
        /// Where the challenge is written, for `nitride-quote --activate-credential`
        #[arg(long, value_name = "FILE")]
        challenge: PathBuf,
        /// Where that is written which knows the answer, and which stays here
        #[arg(long, value_name = "FILE")]
        keep: PathBuf,
    },
    /// Print the line of a policy, if the TPM has answered
    Pin {
        /// What was kept
        #[arg(value_name = "KEPT")]
        kept: PathBuf,
        /// What `nitride-quote --activate-credential` printed
        #[arg(long, value_name = "FILE")]
        answer: PathBuf,
    },
}

/// One subcommand a kind of evidence.
#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// Judge a SEV-SNP report
    Snp(SnpArguments),
    /// Judge a TDX quote
    Tdx(TdxArguments),
    /// Judge the report of an NVIDIA device (SPDM)
    Gpu(GpuArguments),
    /// Judge evidence in the JSON forms of the KBS protocol
    Kbs(KbsArguments),
}

impl Evidence {
    /// What devices beside the machine have to bind, if they are to be judged.
    pub(crate) fn device_report_data(&self) -> Option<DeviceReportData> {
        match self {
            Self::Kbs(kbs) => kbs.device_report_data,
            Self::Snp(_) | Self::Tdx(_) | Self::Gpu(_) => None,
        }
    }

    pub(crate) fn common(&self) -> &JudgementArguments {
        match self {
            Self::Snp(snp) => &snp.common,
            Self::Tdx(tdx) => &tdx.common,
            Self::Gpu(gpu) => &gpu.common,
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
pub(crate) struct GpuArguments {
    /// The SPDM request and its answer, one behind the other: as they are, or in hexadecimal.
    /// --report-data is the request's nonce, 32 bytes
    #[arg(value_name = "REPORT")]
    pub(crate) report: PathBuf,
    /// The chain of the key that signs, in PEM, the device's own certificate first
    #[arg(long, value_name = "FILE")]
    pub(crate) chain: PathBuf,
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
    /// What devices beside the machine have to bind, 48 bytes in hexadecimal, of which their nonce is
    /// the first 32. Without it evidence of devices is refused
    #[arg(long, value_name = "HEX", value_parser = device_report_data)]
    pub(crate) device_report_data: Option<DeviceReportData>,
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
    /// A folder of what vendors publish, or a bundle of one; nitride-verify(1) says how it is laid out
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) collateral: Option<PathBuf>,
}

fn product(name: &str) -> Result<SnpProduct, String> {
    let mut products = SnpProduct::ALL.iter().copied();
    let found = products.find(|product| name == product.as_str().to_lowercase());
    found.ok_or_else(|| "known are milan, genoa, turin".to_owned())
}

fn pck_ca(name: &str) -> Result<PckCa, String> {
    let mut known = [PckCa::Platform, PckCa::Processor].into_iter();
    let found = known.find(|ca| name == ca.as_str());
    found.ok_or_else(|| "known are platform, processor".to_owned())
}

fn bytes<const N: usize>(hex: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    match base16ct::mixed::decode(hex, &mut bytes) {
        Ok(read) if read.len() == N => Ok(bytes),
        _ => Err(format!("not {} hexadecimal digits", 2 * N)),
    }
}

/// `--device-report-data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeviceReportData(pub(crate) [u8; 48]);

fn device_report_data(text: &str) -> Result<DeviceReportData, String> {
    bytes::<48>(text).map(DeviceReportData)
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
        for verb in ["snp r", "tdx q", "gpu r --chain c", "kbs e --tee tdx"] {
            let good = format!("nitride-verify {verb} --policy p --report-data 00");
            assert!(parse(&good).is_ok(), "{good}");
            let bad = format!("nitride-verify {verb} --policy p");
            assert!(parse(&bad).unwrap_err().contains("--report-data"));
            let bad = format!("nitride-verify {verb} --report-data 00");
            assert!(parse(&bad).unwrap_err().contains("--policy"));
        }
    }

    #[test]
    fn what_is_fetched_is_named() {
        let line = "nitride-verify collateral fetch --into d --amd milan --fmspc 00906ed50000";
        assert!(parse(line).is_ok());
        for (bad, word) in [
            ("--amd naples", "known are milan"),
            ("--fmspc 00", "12 hexadecimal digits"),
            ("--fmspc 00906ed5000z", "12 hexadecimal digits"),
            ("--pck-ca root", "known are platform"),
            ("--danger-test-anchor 00", "64 hexadecimal digits"),
        ] {
            let line = format!("nitride-verify collateral fetch --into d {bad}");
            assert!(parse(&line).unwrap_err().contains(word), "{bad}");
        }
    }

    #[test]
    fn what_devices_bind_has_48_bytes() {
        let line = |hex: &str| {
            let common = "--tee snp --policy p --report-data 00";
            format!("nitride-verify kbs e {common} --device-report-data {hex}")
        };
        assert!(parse(&line(&"0a".repeat(48))).is_ok());
        for bad in ["0a", &"0a".repeat(49), &"0g".repeat(48)] {
            assert!(
                parse(&line(bad))
                    .unwrap_err()
                    .contains("96 hexadecimal digits"),
                "{bad}"
            );
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
