//! SEV-SNP evidence and the certificates under it.

use nitride_verify::evidence::{Certificates, SNP_REPORT_LEN, SnpReport};
use nitride_verify::x509::{Certificate, Crl, SignatureAlgorithm};
use nitride_verify::{
    Allegation, AmdCollateral, AttestationPolicy, Budget, Collateral, Expected, SnpAllegation, Tee,
    UnverifiedEvidence, judge, judge_allegation,
};
use std::sync::OnceLock;

/// A policy that waives what it can.
fn policy() -> &'static AttestationPolicy {
    static POLICY: OnceLock<AttestationPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let text = include_str!("../seeds/policy_toml/snp");
        AttestationPolicy::parse(text, "policy.toml").expect("the policy is good")
    })
}

/// Evidence in either form: JSON, or a report and the table that came with it. None of it can be
/// authentic, since no key of AMD's signed it.
pub fn snp(data: &[u8]) {
    let expected = Expected::of([7; 48]);
    let mut budget = Budget::for_one_round();
    if let Ok(primary) = std::str::from_utf8(data) {
        let evidence = UnverifiedEvidence {
            tee: Tee::Snp,
            primary,
            additional: "",
        };
        let collateral = Collateral::default();
        let judged = judge(&evidence, &expected, policy(), &collateral, 0, &mut budget);
        assert!(judged.is_err(), "nobody signed it");
    }
    let Some((report, table)) = data.split_at_checked(SNP_REPORT_LEN) else {
        let _ = Certificates::parse_table(data, &mut budget);
        return;
    };
    let Ok(certificates) = Certificates::parse_table(table, &mut budget) else {
        return;
    };
    let parsed = SnpReport::parse(report).expect("every report of this length is one");
    assert_eq!(parsed.raw(), report);
    let allegation = SnpAllegation {
        report: report.to_vec(),
        certificates,
    };
    // Where the form can say it, it says it all but what is reserved.
    if let Some(form) = allegation.to_kbs_form() {
        let evidence = UnverifiedEvidence {
            tee: Tee::Snp,
            primary: &form,
            additional: "",
        };
        let collateral = Collateral::default();
        let judged = judge(&evidence, &expected, policy(), &collateral, 0, &mut budget);
        let refused = judged.expect_err("nobody signed it");
        let form_failed = refused
            .checks
            .last()
            .is_some_and(|check| check.name.name == "snp.form");
        assert!(!form_failed, "our own form is read: {:?}", refused.cause);
    }
    let amd: &[AmdCollateral] = &[];
    let collateral = Collateral {
        amd,
        ..Collateral::default()
    };
    let allegation = Allegation::Snp(Box::new(allegation));
    let judged = judge_allegation(allegation, &expected, policy(), &collateral, 0, &mut budget);
    assert!(judged.is_err(), "nobody signed it");
}

/// Certificates and revocation lists: whatever they say can be asked for.
pub fn x509(data: &[u8]) {
    let mut budget = Budget::for_one_round();
    if let Ok(certificate) = Certificate::parse(data, &mut budget) {
        let _ = certificate.common_name();
        let _ = certificate.authority();
        let _ = certificate.may_sign_certificates();
        let _ = certificate.critical_extensions().count();
        assert!(!certificate.is_valid_at(u64::MAX));
        let algorithm = SignatureAlgorithm::RsaPssSha384;
        let _ = certificate.verify_signed_by(&certificate, algorithm, None);
    }
    if let Ok(crl) = Crl::parse(data, &mut budget) {
        assert!(!crl.is_fresh_at(u64::MAX));
    }
}
