//! Real evidence from Azure, whose files are not part of this repository: the folder is named by
//! `NITRIDE_VECTORS`. Each has the outcome that its README states.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests say what is wrong by panicking"
)]

use aws_lc_rs::digest::{SHA256, digest};
use nitride_verify::checks::azure::TDX_CHECKS;
use nitride_verify::checks::tdx::BY_COLLATERAL;
use nitride_verify::evidence::hcl::{HclKind, HclReport};
use nitride_verify::evidence::tdx_quote::TdxQuote;
use nitride_verify::evidence::tpms_attest::QuoteStatement;
use nitride_verify::evidence::{HclRuntime, SnpProduct, SnpReport};
use nitride_verify::x509::{PublicKey, SignatureAlgorithm, rsa_spki};
use nitride_verify::{
    AmdCollateral, Anchor, AttestationPolicy, Budget, Check, CheckName, CheckOutcome, Collateral,
    Expected, Ledger, Refusal, Refused, ReportData, TcbFacts, TcbStatus, TdxCollateral,
    TdxEvidence, TdxTrust, Tee, UnverifiedEvidence, Veks, Verdict, judge,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// 2026-11-22, when the vectors were laid.
const NOW_SECS: u64 = 1_795_305_600;
/// 2025-06-01.
const IN_2025_SECS: u64 = 1_748_736_000;

/// The vectors' folder; `None`, and a word about it, where there is none.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("NITRIDE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: NITRIDE_VECTORS names no folder with real Azure vectors");
    }
    folder
}

fn read(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("read {file}: {error}"))
}

fn evidence(folder: &Path, name: &str) -> Value {
    let file = format!("azure/{name}/evidence.json");
    serde_json::from_slice(&read(folder, &file)).unwrap()
}

fn base64url(text: &Value) -> Vec<u8> {
    use base64ct::{Base64Url, Encoding};
    Base64Url::decode_vec(text.as_str().unwrap()).unwrap()
}

fn nonce(evidence: &Value) -> Vec<u8> {
    let message = evidence["tpm_quote"]["message"].as_str().unwrap();
    let message = base16ct::mixed::decode_vec(message).unwrap();
    QuoteStatement::parse(&message).unwrap().extra_data.to_vec()
}

/// Wants this very boot.
fn policy(evidence: &Value, measurement: &[u8]) -> String {
    let loose = include_str!("loose.toml");
    let (head, snp) = loose.split_once("[snp]").unwrap();
    let snp = snp.replace("[snp.", "[azure.snp.");
    let snp = snp.replace("vmpl = \"any\"", "vmpl = [0]");
    let pcr = |index: usize| &evidence["tpm_quote"]["pcrs"][index];
    let pcrs = [2, 4, 8, 9, 12].map(|index| format!("{index} = {}", pcr(index)));
    format!(
        "{head}[azure]\nuser-data = \"any\"\ninit-data = \"any\"\nsecure-boot = true\n\
         console = true\nvm-ids = \"any\"\nrequires-coverage = [\"kernel\", \"command-line\"]\n\
         [[azure.reference]]\nname = \"captured\"\npcrs = {{ {} }}\n\
         covers = [\"kernel\", \"initrd\", \"command-line\"]\n\
         [azure.snp]{snp}[[azure.snp.reference]]\nname = \"paravisor\"\nmeasurement = \"{}\"\n\
         covers = [\"firmware\"]\n",
        pcrs.join(", "),
        base16ct::lower::encode_string(measurement)
    )
}

fn judged(
    folder: &Path,
    tee: Tee,
    evidence: &Value,
    policy: &str,
    nonce: &[u8],
    now_secs: u64,
    intel: Option<&dyn TdxCollateral>,
) -> Result<Verdict, Refused> {
    let ca = read(folder, "snp/ca/milan_vcek_ask_ark.pem");
    let ca: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&ca)
        .map(|certificate| certificate.unwrap().to_vec())
        .collect();
    let amd = AmdCollateral {
        product: SnpProduct::Milan,
        ark: ca[1].clone(),
        ask: Some(ca[0].clone()),
        asvk: None,
        veks: Veks::default(),
        crls: Vec::new(),
    };
    judge(
        &UnverifiedEvidence {
            tee,
            primary: &evidence.to_string(),
            additional: "",
        },
        &Expected::of(ReportData::new(nonce).unwrap()),
        &AttestationPolicy::parse(policy, "policy.toml").unwrap(),
        &Collateral {
            amd: &[amd],
            intel,
            ..Collateral::default()
        },
        now_secs,
        &mut Budget::for_one_round(),
    )
}

fn last(checks: &[Check]) -> &'static str {
    checks.last().unwrap().name.name
}

fn passed(checks: &[Check], name: &str) -> bool {
    let mut found = checks.iter().filter(|check| check.name.name == name);
    found.any(|check| check.outcome == CheckOutcome::Passed)
}

#[test]
fn real_snp_machines_are_genuine_over_their_own_challenge_alone() {
    let Some(folder) = folder() else { return };
    for (name, version) in [("snp-milan-v1", 1), ("snp-milan-v2-userdata", 2)] {
        let evidence = evidence(&folder, name);
        assert_eq!(evidence["version"], version);
        let hcl = base64url(&evidence["hcl_report"]);
        let report = SnpReport::parse(HclReport::parse(&hcl).unwrap().report).unwrap();
        let policy = policy(&evidence, &report.measurement);
        let judged = |evidence: &Value, policy: &str, nonce: &[u8]| {
            judged(
                &folder,
                Tee::AzSnpVtpm,
                evidence,
                policy,
                nonce,
                NOW_SECS,
                None,
            )
        };
        let own = nonce(&evidence);
        let verdict = judged(&evidence, &policy, &own).unwrap();
        assert_eq!(verdict.failures().collect::<Vec<_>>(), [], "{name}");
        assert!(verdict.is_genuine(), "{name}");
        assert!(passed(verdict.checks(), "snp.signature"));
        let promised = if version == 2 { "\"bound\"" } else { "\"any\"" };
        let strict = policy.replace("user-data = \"any\"", "user-data = \"bound\"");
        let verdict = judged(&evidence, &strict, &own).unwrap();
        assert_eq!(verdict.is_genuine(), promised == "\"bound\"");

        let other = judged(&evidence, &policy, &[7; 48]).unwrap_err();
        assert_eq!(last(&other.checks), "az-snp.quote-nonce");
        let mut changed = evidence.clone();
        changed["tpm_quote"]["pcrs"][4] = Value::from("00".repeat(32));
        let other = judged(&changed, &policy, &own).unwrap_err();
        assert_eq!(last(&other.checks), "az-snp.pcr-digest");
    }
}

#[test]
fn a_key_of_one_machine_does_not_vouch_for_another() {
    let Some(folder) = folder() else { return };
    let (mut one, other) = (
        evidence(&folder, "snp-milan-v1"),
        evidence(&folder, "snp-milan-v2-userdata"),
    );
    let hcl = base64url(&one["hcl_report"]);
    let report = SnpReport::parse(HclReport::parse(&hcl).unwrap().report).unwrap();
    let policy = policy(&one, &report.measurement);
    let mut judged = |member: &str| {
        let own = std::mem::replace(&mut one[member], other[member].clone());
        let nonce = nonce(&one);
        let refused = judged(
            &folder,
            Tee::AzSnpVtpm,
            &one,
            &policy,
            &nonce,
            NOW_SECS,
            None,
        );
        one[member] = own;
        last(&refused.unwrap_err().checks)
    };
    assert_eq!(judged("tpm_quote"), "az-snp.quote-signature");
    assert_eq!(judged("hcl_report"), "az-snp.quote-signature");
    let chip = judged("vcek");
    assert!(chip.starts_with("snp."), "{chip}");
}

/// What the coverage of PCRs in a policy rests on, in every capture that there is: no driver from
/// elsewhere; 8 and 12 as the platform has them, so that alone neither says anything of a boot; 9 told.
#[test]
fn real_machines_differ_in_the_pcrs_of_what_they_booted_and_in_no_other() {
    let Some(folder) = folder() else { return };
    let captures = ["snp-milan-v1", "snp-milan-v2-userdata", "tdx-v1"];
    let captures = captures.map(|name| evidence(&folder, name));
    let differ = |index: usize| {
        let [one, two, three] = captures
            .each_ref()
            .map(|capture| &capture["tpm_quote"]["pcrs"][index]);
        one != two && two != three && one != three
    };
    let pcr = |index: usize| captures[0]["tpm_quote"]["pcrs"][index].clone();
    for index in [2, 8, 11, 12, 13] {
        assert!(!differ(index), "PCR {index}");
    }
    for index in [0, 4, 9] {
        assert!(differ(index), "PCR {index}");
    }
    // A separator alone.
    let separator = digest(
        &SHA256,
        &[[0; 32].as_slice(), digest(&SHA256, &[0; 4]).as_ref()].concat(),
    );
    let separator = base16ct::lower::encode_string(separator.as_ref());
    assert_eq!(pcr(2), Value::from(separator));
    assert_eq!(pcr(8), Value::from("00".repeat(32)));
    assert_ne!(pcr(12), Value::from("00".repeat(32)));
}

/// Says that all is well with the platform, so that what is left is the trust domain.
#[derive(Debug)]
struct AllIsWell;

impl TdxCollateral for AllIsWell {
    fn judge(
        &self,
        _: &TdxEvidence<'_>,
        _: &TdxTrust<'_>,
        _: u64,
        _: &mut Budget,
        ledger: &mut Ledger,
    ) -> Result<TcbFacts, Refusal> {
        for name in BY_COLLATERAL {
            ledger.pass(*name);
        }
        Ok(TcbFacts {
            anchor: Anchor::Vendor,
            status: TcbStatus::UpToDate,
            advisories: Vec::new(),
            current_status: None,
            current_advisories: Vec::new(),
            evaluation_number: 15,
            level_date: "2023-02-15T00:00:00Z".to_owned(),
            fmspc: [0; 6],
            platform_instance: None,
            smt: None,
            dynamic_platform: None,
            cached_keys: None,
        })
    }
}

/// The quote holds as far as it goes by itself; Intel's collateral of its time is not there.
#[test]
fn a_real_tdx_machine_holds_up_to_intels_collateral() {
    let Some(folder) = folder() else { return };
    let evidence = evidence(&folder, "tdx-v1");
    let td_quote = base64url(&evidence["td_quote"]);
    let report = TdxQuote::parse(&td_quote).unwrap().report;
    let snp = policy(&evidence, &[0; 48]);
    let (head, _) = snp.split_once("[azure.snp]").unwrap();
    let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
    let policy = format!(
        "{head}[azure.tdx]\ntcb-status = [\"up-to-date\"]\nadvisories = \"any\"\n\
         minimum-tcb-evaluation = \"any\"\nmr-seam = \"any\"\nmr-signer-seam = \"any\"\n\
         seam-attributes = \"any\"\ndanger-allow-debug = false\ndanger-allow-profiling = false\n\
         danger-allow-migration = false\ntd-attributes-allowed = \"any\"\n\
         sept-ve-disable = \"any\"\nxfam-required = \"any\"\n\
         xfam-allowed = \"any\"\nevent-log = \"any\"\nrequires-coverage = [\"firmware\"]\n\
         mr-config-id = \"any\"\nmr-owner = \"any\"\nmr-owner-config = \"any\"\n\
         mr-service-td = \"any\"\nplatform-instances = \"any\"\nsmt = \"any\"\n\
         dynamic-platform = \"any\"\ncached-keys = \"any\"\n[[azure.tdx.reference]]\n\
         name = \"captured\"\nmr-td = \"{}\"\nrtmr0 = \"any\"\nrtmr1 = \"any\"\nrtmr2 = \"any\"\n\
         rtmr3 = \"any\"\ncovers = [\"firmware\"]\n",
        hex(&report.mr_td)
    );
    let nonce = nonce(&evidence);
    let tee = Tee::AzTdxVtpm;
    let judge_by = |evidence: &Value, intel: Option<&dyn TdxCollateral>| {
        judged(&folder, tee, evidence, &policy, &nonce, IN_2025_SECS, intel)
    };
    let verdict = judge_by(&evidence, Some(&AllIsWell)).unwrap();
    let made: Vec<CheckName> = verdict.checks().iter().map(|check| check.name).collect();
    assert_eq!(made, TDX_CHECKS);
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    let judged = |evidence: &Value| judge_by(evidence, None).unwrap_err();
    let refused = judged(&evidence);
    assert_eq!(last(&refused.checks), "tdx.collateral");
    for name in [
        "az-tdx.runtime-data",
        "az-tdx.quote-signature",
        "az-tdx.quote-nonce",
        "az-tdx.pcr-digest",
        "tdx.quote-signature",
        "tdx.report-data",
    ] {
        assert!(passed(&refused.checks, name), "{name}");
    }
    // A quote of another trust domain, which is as authentic, and binds other data.
    use base64ct::{Base64Url, Encoding};
    let mut other = evidence.clone();
    let quote = read(&folder, "tdx/v4-uptodate-with-collateral/quote.bin");
    other["td_quote"] = Value::from(Base64Url::encode_string(&quote));
    assert_eq!(last(&judged(&other).checks), "tdx.report-data");
}

#[test]
fn real_paravisors_reports_bind_their_runtime_data() {
    let Some(folder) = folder() else { return };
    for (file, kind) in [
        ("hcl-report-snp.bin", HclKind::Snp),
        ("hcl-report-tdx.bin", HclKind::Tdx),
    ] {
        let bytes = read(&folder, &format!("azure/kinvolk/{file}"));
        let report = HclReport::parse(&bytes).unwrap();
        assert_eq!(report.kind, kind);
        let bound = ReportData::new(digest(&SHA256, report.runtime).as_ref()).unwrap();
        assert!(bound.fills(report.report_data()), "{file}");
        assert!(HclRuntime::parse(report.runtime, &mut Budget::for_one_round()).is_ok());
    }
    let json = read(&folder, "azure/kinvolk/var-data.json");
    let runtime = HclRuntime::parse(&json, &mut Budget::for_one_round()).unwrap();
    assert!(!rsa_spki(&runtime.attestation_key.0, &runtime.attestation_key.1).is_empty());
}

#[test]
fn a_real_quote_of_a_virtual_tpm_is_valid_under_its_key() {
    let Some(folder) = folder() else { return };
    let bytes = read(&folder, "azure/kinvolk/quote.bincode");
    let take = |bytes: &[u8]| {
        let (len, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (part, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*len)).unwrap());
        (part.to_vec(), rest.to_vec())
    };
    let (signature, rest) = take(&bytes);
    let (message, _) = take(&rest);
    let quote = QuoteStatement::parse(&message).unwrap();
    assert_eq!(quote.extra_data, b"challenge");
    assert_eq!(quote.selections.len(), 1);
    assert_eq!(
        (quote.selections[0].hash, quote.selections[0].pcrs),
        (11, 0xff_ffff)
    );
    let pem = read(&folder, "azure/kinvolk/akpub.pem");
    let key = rustls_pki_types::SubjectPublicKeyInfoDer::from_pem_slice(&pem).unwrap();
    let key = PublicKey::of_spki(&key);
    let algorithm = SignatureAlgorithm::RsaPkcs1Sha256;
    assert_eq!(key.verify(algorithm, &message, &signature), Ok(()));
    let mut changed = message;
    changed[20] ^= 1;
    assert!(key.verify(algorithm, &changed, &signature).is_err());
}
