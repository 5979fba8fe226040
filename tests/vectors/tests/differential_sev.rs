//! The `sev` crate on the same evidence: where it takes what is refused here, this list says so,
//! and it takes everything that is taken here.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "tests say what is wrong by panicking")]

use nitride_vectors::differences::held;
use nitride_vectors::snp::{DEFECTS, Draft, Vector};
use nitride_verify::evidence::{SnpProduct, SnpReport};
use nitride_verify::{AttestationPolicy, Budget, Collateral, Tee, UnverifiedEvidence, judge};
use serde_json::{Value, json};
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `sev` says: `None` where it panics.
fn sev_takes(vector: &Vector) -> Option<bool> {
    let certificates = &vector.allegation.certificates;
    let vek = certificates.vcek.as_ref().or(certificates.vlek.as_ref())?;
    let intermediate = vector.collateral.ask.as_ref()?;
    let judge = || -> std::io::Result<()> {
        let report = AttestationReport::from_bytes(&vector.allegation.report)?;
        let chain = Chain::from_der(&vector.collateral.ark, intermediate, vek)?;
        (&chain, &report).verify()
    };
    catch_unwind(AssertUnwindSafe(judge)).map_or(None, |taken| Some(taken.is_ok()))
}

#[test]
fn what_is_taken_here_sev_takes() {
    for draft in [
        Draft::good(),
        Draft::of(SnpProduct::Genoa),
        Draft::of(SnpProduct::Turin),
        Draft::vlek(),
    ] {
        assert_eq!(
            sev_takes(&draft.build()),
            Some(true),
            "{:?}",
            draft.report.product
        );
    }
}

/// A form that it does not read and signatures are all that `sev` 8 refuses; the table says what it
/// takes and why that is refused here.
#[test]
fn sev_takes_what_the_table_of_differences_says_and_refuses_the_rest() {
    let defects = DEFECTS.into_iter().flatten();
    let taken = defects.filter(|defect| sev_takes(&defect.draft().build()) == Some(true));
    let taken: Vec<_> = taken.map(|defect| (defect.check, defect.name)).collect();
    held(&taken, "SEV-SNP: the `sev` crate");
}

#[test]
fn both_read_the_same_fields() {
    for draft in [
        Draft::good(),
        Draft::of(SnpProduct::Genoa),
        Draft::of(SnpProduct::Turin),
    ] {
        let raw = draft.build().allegation.report;
        same_fields(&raw);
    }
}

#[test]
fn the_kbs_form_is_what_sev_writes_and_reads() {
    for draft in [
        Draft::good(),
        Draft::of(SnpProduct::Genoa),
        Draft::of(SnpProduct::Turin),
    ] {
        let vector = draft.build();
        let theirs = AttestationReport::from_bytes(&vector.allegation.report).expect("a report");
        let vcek = &vector.allegation.certificates.vcek;
        let chain = json!([{ "cert_type": "VCEK", "data": vcek }]);
        let primary = json!({ "attestation_report": theirs, "cert_chain": chain }).to_string();
        let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("good");
        let collateral = Collateral {
            amd: std::slice::from_ref(&vector.collateral),
            ..Collateral::default()
        };
        let evidence = UnverifiedEvidence {
            tee: Tee::Snp,
            primary: &primary,
            additional: "",
        };
        let mut budget = Budget::for_one_round();
        let (expected, now_secs) = (&vector.expected, vector.now_secs);
        let verdict = judge(
            &evidence,
            expected,
            &policy,
            &collateral,
            now_secs,
            &mut budget,
        );
        let verdict = verdict.expect("what sev writes is read, and its signature holds");
        assert_eq!(verdict.failures().count(), 0);

        let ours = vector.allegation.to_kbs_form().expect("a form");
        let ours: Value = serde_json::from_str(&ours).expect("JSON");
        let read: AttestationReport =
            serde_json::from_value(ours["attestation_report"].clone()).expect("sev reads it");
        assert_eq!(read, theirs);
    }
}

fn same_fields(raw: &[u8]) {
    let ours = SnpReport::parse(raw).expect("a report");
    let theirs = AttestationReport::from_bytes(raw).expect("a report");
    assert_eq!(ours.version, theirs.version);
    assert_eq!(ours.guest_svn, theirs.guest_svn);
    assert_eq!(ours.vmpl, theirs.vmpl);
    assert_eq!(ours.policy.0, theirs.policy.0);
    assert_eq!(ours.platform_info, theirs.plat_info.0);
    assert_eq!(ours.key_info, theirs.key_info.0);
    assert_eq!(ours.report_data[..], theirs.report_data[..]);
    assert_eq!(ours.measurement[..], theirs.measurement[..]);
    assert_eq!(ours.host_data[..], theirs.host_data[..]);
    assert_eq!(ours.id_key_digest[..], theirs.id_key_digest[..]);
    assert_eq!(ours.author_key_digest[..], theirs.author_key_digest[..]);
    assert_eq!(ours.report_id[..], theirs.report_id[..]);
    assert_eq!(ours.report_id_ma[..], theirs.report_id_ma[..]);
    assert_eq!(ours.chip_id[..], theirs.chip_id[..]);
    assert_eq!(ours.current_firmware.major, theirs.current.major);
    assert_eq!(ours.current_firmware.minor, theirs.current.minor);
    assert_eq!(ours.current_firmware.build, theirs.current.build);
    assert_eq!(ours.committed_firmware.build, theirs.committed.build);
    if ours.version >= 5 {
        assert_eq!(Some(ours.launch_mitigations), theirs.launch_mit_vector);
        assert_eq!(Some(ours.current_mitigations), theirs.current_mit_vector);
    }
}
