//! Real reports, whose files are not part of this repository: the folder is named by
//! `NITRIDE_VECTORS`. Each has the outcome that its README states.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]

use nitride_kbs::token::EarStatus;
use nitride_verify::evidence::{Certificates, SNP_REPORT_LEN, SnpProduct, SnpReport};
use nitride_verify::x509::{Certificate, SignatureAlgorithm};
use nitride_verify::{
    AMD_ROOTS, Allegation, AmdCollateral, AttestationPolicy, Budget, Collateral, Expected, Refused,
    ReportData, SnpAllegation, Veks, Verdict, judge_allegation,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs;
use std::path::PathBuf;

/// 2026-11-22, when the vectors were laid.
const NOW_SECS: u64 = 1_795_305_600;
/// 2025-06-01, when the one VLEK was valid.
const IN_2025_SECS: u64 = 1_748_736_000;

/// The vectors' folder; `None`, and a word about it, where there is none.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("NITRIDE_VECTORS").map(|dir| PathBuf::from(dir).join("snp"));
    match folder {
        Some(folder) if folder.is_dir() => Some(folder),
        _ => {
            println!("skipped: NITRIDE_VECTORS names no folder with real SEV-SNP vectors");
            None
        }
    }
}

fn read(folder: &std::path::Path, file: &str) -> Vec<u8> {
    fs::read(folder.join(file)).unwrap_or_else(|error| panic!("read {file}: {error}"))
}

/// The certificates of a PEM file, in DER.
fn pem(folder: &std::path::Path, file: &str) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(&read(folder, file))
        .map(|certificate| certificate.expect("PEM").to_vec())
        .collect()
}

/// What AMD publishes about every product, but for a revocation list, of which there is none here.
fn collateral(folder: &std::path::Path) -> Vec<AmdCollateral> {
    SnpProduct::ALL
        .iter()
        .map(|product| {
            let name = product.as_str().to_lowercase();
            let vcek = pem(folder, &format!("ca/{name}_vcek_ask_ark.pem"));
            let vlek = pem(folder, &format!("ca/{name}_vlek_ask_ark.pem"));
            AmdCollateral {
                product: *product,
                ark: vcek[1].clone(),
                ask: Some(vcek[0].clone()),
                asvk: Some(vlek[0].clone()),
                veks: Veks::default(),
                crls: Vec::new(),
            }
        })
        .collect()
}

/// Everything waived that is not dangerous; one measurement is wanted.
fn policy(measurement: &[u8]) -> String {
    let loose = include_str!("loose.toml");
    format!(
        "{loose}[[snp.reference]]\nname = \"real\"\nmeasurement = \"{}\"\ncovers = [\"firmware\"]\n",
        base16ct::lower::encode_string(measurement)
    )
}

struct Case {
    report: Vec<u8>,
    certificates: Certificates,
    now_secs: u64,
}

impl Case {
    fn read(folder: &std::path::Path, name: &str) -> Self {
        let report = read(folder, &format!("{name}/report.bin"));
        let vek = match fs::read(folder.join(name).join("vek.der")) {
            Ok(der) => der,
            Err(_) => pem(folder, &format!("{name}/vek.pem")).remove(0),
        };
        let is_vlek = SnpReport::parse(&report).expect("a report").signing_key() == 1;
        let certificates = if is_vlek {
            Certificates {
                vlek: Some(vek),
                ..Certificates::default()
            }
        } else {
            Certificates {
                vcek: Some(vek),
                ..Certificates::default()
            }
        };
        Self {
            report,
            certificates,
            now_secs: NOW_SECS,
        }
    }

    fn judge(
        &self,
        folder: &std::path::Path,
        change: impl FnOnce(String) -> String,
    ) -> Result<Verdict, Refused> {
        let parsed = SnpReport::parse(&self.report).expect("a report");
        let policy = change(policy(&parsed.measurement));
        let policy = AttestationPolicy::parse(&policy, "policy.toml");
        let amd = collateral(folder);
        let expected = ReportData::new(&parsed.report_data).expect("64 bytes");
        judge_allegation(
            Allegation::Snp(Box::new(SnpAllegation {
                report: self.report.clone(),
                certificates: self.certificates.clone(),
            })),
            &Expected::of(expected),
            &policy.expect("the policy is good"),
            &Collateral {
                amd: &amd,
                ..Collateral::default()
            },
            self.now_secs,
            &mut Budget::for_one_round(),
        )
    }
}

fn refused_at(outcome: Result<Verdict, Refused>) -> &'static str {
    let refused = outcome.expect_err("it is not authentic");
    refused.checks.last().map_or("", |check| check.name.name)
}

#[test]
fn real_reports_are_genuine() {
    let Some(folder) = folder() else { return };
    for (name, product) in [
        ("genoa-v3-aci", "Genoa"),
        ("milan-v2-b", "Milan"),
        ("milan-v3-aci", "Milan"),
        ("milan-v3-oak", "Milan"),
        ("turin-v5-aci", "Turin"),
    ] {
        let verdict = Case::read(&folder, name).judge(&folder, |policy| policy);
        let verdict = verdict.unwrap_or_else(|refused| panic!("{name}: {:?}", refused.cause));
        assert_eq!(verdict.failures().collect::<Vec<_>>(), [], "{name}");
        assert!(verdict.is_genuine(), "{name}");
        assert_eq!(verdict.vector().hardware, 2, "{name}");
        assert_eq!(verdict.claims().claim("product"), Some(&product.into()));
        assert_eq!(verdict.claims().claim("test-anchor"), Some(&false.into()));
    }
}

#[test]
fn a_real_report_that_allows_debugging_is_not_wanted() {
    let Some(folder) = folder() else { return };
    let case = Case::read(&folder, "milan-v2-a");
    let verdict = case
        .judge(&folder, |policy| policy)
        .expect("it is authentic");
    let failed: Vec<_> = verdict.failures().map(|(name, _)| name).collect();
    assert_eq!(failed, ["snp.debug"]);
    assert_eq!(verdict.status(), EarStatus::Contraindicated);
    assert!(verdict.is_debug() && !verdict.is_genuine());

    let allow =
        |policy: String| policy.replace("danger-allow-debug = false", "danger-allow-debug = true");
    let verdict = case.judge(&folder, allow).expect("it is authentic");
    assert_eq!(verdict.status(), EarStatus::Warning);
    assert!(!verdict.is_genuine(), "allowed, and never genuine");
}

#[test]
fn a_real_vlek_is_valid_only_within_its_dates() {
    let Some(folder) = folder() else { return };
    let mut case = Case::read(&folder, "milan-v3-vlek");
    let outcome = case.judge(&folder, |policy| policy);
    assert_eq!(refused_at(outcome), "snp.certificate-dates");

    case.now_secs = IN_2025_SECS;
    let verdict = case
        .judge(&folder, |policy| policy)
        .expect("it is authentic");
    assert!(
        verdict.is_genuine(),
        "{:?}",
        verdict.failures().collect::<Vec<_>>()
    );
    let cloud = "CN=cc-us-east-2.amazonaws.com";
    assert_eq!(verdict.claims().claim("csp_id"), Some(&cloud.into()));
    assert_eq!(verdict.claims().claim("vmpl"), Some(&1.into()));

    // Its firmware is newer than what is committed, and the policy may say no to that.
    let firm = |policy: String| {
        policy.replace(
            "provisional-firmware = \"any\"",
            "provisional-firmware = false",
        )
    };
    let verdict = case.judge(&folder, firm).expect("it is authentic");
    let failed: Vec<_> = verdict.failures().map(|(name, _)| name).collect();
    assert_eq!(failed, ["snp.provisional-firmware"]);
}

#[test]
fn a_real_platform_bit_without_a_meaning_is_the_policys_to_take() {
    let Some(folder) = folder() else { return };
    let case = Case::read(&folder, "turin-v5-aci");
    for (bits, failures) in [("0", vec!["snp.platform-unknown-bits"]), ("0x40", vec![])] {
        let stated = format!("platform-unknown-bits = {bits}");
        let verdict = case.judge(&folder, |policy| {
            policy.replace("platform-unknown-bits = \"any\"", &stated)
        });
        let verdict = verdict.expect("it is authentic");
        let failed: Vec<_> = verdict.failures().map(|(name, _)| name).collect();
        assert_eq!(failed, failures);
    }
}

#[test]
fn another_chips_key_and_invented_keys_are_refused() {
    let Some(folder) = folder() else { return };
    let milan = Case::read(&folder, "milan-v3-oak");
    for (vek, check) in [
        ("milan-v3-aci/vek.pem", "snp.chip-id"),
        ("milan-v2-b/vek.der", "snp.chip-id"),
        ("genoa-v3-aci/vek.pem", "snp.vek-signature"),
        ("milan-v3-vlek/vek.der", "snp.vek-signature"),
        ("invalid-veks/vcek-invalid-legacy.der", "snp.vek-signature"),
        ("invalid-veks/vcek-invalid-new.der", "snp.vek-signature"),
    ] {
        let vek = if vek.ends_with(".pem") {
            pem(&folder, vek).remove(0)
        } else {
            read(&folder, vek)
        };
        let case = Case {
            report: milan.report.clone(),
            certificates: Certificates {
                vcek: Some(vek),
                ..Certificates::default()
            },
            now_secs: NOW_SECS,
        };
        let outcome = case.judge(&folder, |policy| policy);
        assert_eq!(refused_at(outcome), check);
    }
}

#[test]
fn every_byte_of_a_real_report_is_signed_or_has_to_be_zero() {
    let Some(folder) = folder() else { return };
    let good = Case::read(&folder, "milan-v3-aci");
    for at in (0..SNP_REPORT_LEN).step_by(13) {
        let mut report = good.report.clone();
        report[at] ^= 1;
        let case = Case {
            report,
            certificates: good.certificates.clone(),
            now_secs: NOW_SECS,
        };
        assert!(case.judge(&folder, |policy| policy).is_err(), "{at:#x}");
    }
}

#[test]
fn the_pinned_roots_are_those_of_the_vendor_and_sign_what_is_below() {
    let Some(folder) = folder() else { return };
    let mut budget = Budget::for_one_round();
    let mut parse = |der: &[u8]| Certificate::parse(der, &mut budget).expect("a certificate");
    for published in collateral(&folder) {
        let root = parse(&published.ark);
        assert!(AMD_ROOTS.contains(&(published.product, *root.sha256())));
        for below in [&published.ask, &published.asvk].into_iter().flatten() {
            let below = parse(below);
            let signed = below.verify_signed_by(&root, SignatureAlgorithm::RsaPssSha384, None);
            assert_eq!(signed, Ok(()));
        }
    }
    let turin = &collateral(&folder)[2];
    let ask = parse(turin.ask.as_deref().expect("an ASK"));
    let vek = parse(&read(&folder, "turin-vcek-only/vek.der"));
    let signed = vek.verify_signed_by(&ask, SignatureAlgorithm::RsaPssSha384, None);
    assert_eq!(signed, Ok(()));
}

#[test]
fn certificate_tables_are_read_or_refused() {
    let Some(folder) = folder() else { return };
    let table = |name: &str| {
        let table = read(&folder, &format!("cert-tables/{name}.bin"));
        Certificates::parse_table(&table, &mut Budget::for_one_round())
    };
    let good = table("good-vcek-ask-ark").expect("a good table");
    let vek = pem(&folder, "milan-v3-aci/vek.pem").remove(0);
    let ca = pem(&folder, "ca/milan_vcek_ask_ark.pem");
    assert_eq!(good.vcek, Some(vek));
    assert_eq!(
        (good.ask.as_ref(), good.ark.as_ref()),
        (ca.first(), ca.get(1))
    );
    assert_eq!(table("empty"), Ok(Certificates::default()));
    assert!(table("bad-offset-out-of-range").is_err());
    assert!(table("bad-length-out-of-range").is_err());

    // The table alone is enough: no collateral, and the waived list.
    let mut case = Case::read(&folder, "milan-v3-aci");
    case.certificates = good;
    assert!(
        case.judge(&folder, |policy| policy)
            .is_ok_and(|verdict| verdict.is_genuine())
    );
}

#[test]
fn reports_in_device_messages_are_read() {
    let Some(folder) = folder() else { return };
    let report = SnpReport::parse(&read(&folder, "device-messages/guest_report.bin"));
    assert_eq!(report.map(|report| report.version), Ok(2));
    let message = read(&folder, "device-messages/snp_report_msg_resp.bin");
    assert_eq!(message[..4], [0; 4]);
    let report = SnpReport::parse(&message[32..32 + SNP_REPORT_LEN]);
    assert!(report.is_ok());
}
