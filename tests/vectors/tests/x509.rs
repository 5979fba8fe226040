//! Certificates and lists that are wrong in their form, and the budget that their parsing has.
#![forbid(unsafe_code)]

use nitride_vectors::asn1::{CertificateDraft, CrlDraft, bit_string, oid, rsa_pss, sequence, tlv};
use nitride_vectors::keys::{EcKey, RsaKey};
use nitride_vectors::snp::Draft;
use nitride_verify::x509::{
    Certificate, CertificateFault, Crl, CrlFault, SignatureAlgorithm, SignatureFault,
};
use nitride_verify::{
    Allegation, Allowance, AttestationPolicy, Budget, CheckOutcome, Collateral, Refusal,
    judge_allegation,
};

fn parse(der: &[u8]) -> Result<Certificate, CertificateFault> {
    Certificate::parse(der, &mut Budget::for_one_round())
}

fn parse_crl(der: &[u8]) -> Result<Crl, CrlFault> {
    Crl::parse(der, &mut Budget::for_one_round())
}

fn root() -> CertificateDraft {
    Draft::good().chain.root
}

#[test]
fn an_extension_that_stands_twice_is_refused() {
    let mut draft = root();
    let again = draft.extensions.first().cloned();
    draft.extensions.extend(again);
    let fault = parse(&draft.sign(RsaKey::root())).expect_err("it is there twice");
    assert!(
        matches!(fault, CertificateFault::ExtensionTwice(_)),
        "{fault}"
    );
}

#[test]
fn anything_around_a_certificate_is_refused() {
    let good = root().sign(RsaKey::root());
    assert!(parse(&good).is_ok());
    assert!(parse(&[good.as_slice(), &[0]].concat()).is_err());
    assert!(parse(&good[..good.len() - 1]).is_err());
    assert!(parse(&[]).is_err());
    let long = tlv(0x30, &vec![0; 20_000]);
    assert!(matches!(
        parse(&long),
        Err(CertificateFault::TooLong { .. })
    ));
}

#[test]
fn the_algorithm_outside_has_to_be_the_one_that_is_signed() {
    let good = root().sign(RsaKey::root());
    let parsed = parse(&good).expect("it is good");
    let algorithm = SignatureAlgorithm::RsaPssSha384;
    assert_eq!(parsed.verify_signed_by(&parsed, algorithm, None), Ok(()));
    let other = SignatureAlgorithm::EcdsaP384;
    assert_eq!(
        parsed.verify_signed_by(&parsed, other, None),
        Err(SignatureFault::OtherAlgorithm(other))
    );

    // The same body and signature, under another algorithm outside.
    let at = good.len() - 4 - 513 - rsa_pss(48).len();
    let (head, _) = good.split_at(at);
    let body = &head[4..];
    let outside = sequence(&[&oid("1.2.840.10045.4.3.3")]);
    let forged = sequence(&[body, &outside, &bit_string(&[0; 512])]);
    let forged = parse(&forged).expect("the form is good");
    assert_eq!(
        forged.verify_signed_by(&parsed, algorithm, None),
        Err(SignatureFault::AlgorithmsDiffer)
    );
}

#[test]
fn a_key_that_is_no_point_verifies_nothing() {
    let mut draft = Draft::good();
    let mut spki = EcKey::p384().spki();
    // Another x: with overwhelming probability, none of a point on the curve, or another key.
    spki[30] ^= 0xFF;
    draft.chain.vek.spki = spki;
    let refused = draft.build().judge().expect_err("the key is another");
    let last = refused.checks.last().map(|check| check.name.name);
    assert_eq!(last, Some("snp.signature"));
}

#[test]
fn a_list_that_says_what_is_not_understood_is_refused() {
    let draft = CrlDraft {
        issuer: "ARK-Milan".to_owned(),
        this_update: "261101000000Z",
        next_update: "271101000000Z",
        revoked: vec![1],
        spoil_signature: false,
    };
    let good = draft.sign(RsaKey::root());
    assert!(parse_crl(&good).is_ok_and(|crl| crl.is_fresh_at(nitride_vectors::snp::NOW_SECS)));
    assert!(parse_crl(&[good.as_slice(), &[0]].concat()).is_err());
    assert!(matches!(
        parse_crl(&vec![0x30; 600_000]),
        Err(CrlFault::TooLong { .. })
    ));
    // An issuing distribution point makes it a list for some certificates only.
    let extension = sequence(&[
        &oid("2.5.29.28"),
        &tlv(0x01, &[0xFF]),
        &tlv(0x04, &sequence(&[])),
    ]);
    let partial = CrlDraft { ..draft }.sign_with_extensions(&[extension], RsaKey::root());
    assert!(matches!(
        parse_crl(&partial),
        Err(CrlFault::CriticalExtension)
    ));
}

#[test]
fn whatever_is_missing_or_too_much_fails_a_check_by_name() {
    let vector = Draft::good().build();
    let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("it is good");
    let judge = |allowance: Allowance, collateral: Collateral<'_>| {
        let allegation = Allegation::Snp(Box::new(vector.allegation.clone()));
        judge_allegation(
            allegation,
            &vector.expected,
            &policy,
            &collateral,
            vector.now_secs,
            &mut Budget::new(allowance),
        )
    };
    let whole = Collateral {
        amd: std::slice::from_ref(&vector.collateral),
        ..Collateral::default()
    };
    let limits = (0..4)
        .map(|certificates| Allowance {
            certificates,
            ..Allowance::FOR_ONE_ROUND
        })
        .chain((0..5).map(|signatures| Allowance {
            signatures,
            ..Allowance::FOR_ONE_ROUND
        }));
    for allowance in limits {
        let refused = judge(allowance, whole).expect_err("it costs more");
        let last = refused.checks.last().map(|check| &check.outcome);
        assert!(matches!(last, Some(CheckOutcome::Failed(_))), "{refused:?}");
        assert!(refused.checks.len() > 2, "the cheap checks come first");
    }
    let enough = Allowance {
        certificates: 4,
        signatures: 5,
        ..Allowance::FOR_ONE_ROUND
    };
    assert!(judge(enough, whole).is_ok());

    let refused = judge(enough, Collateral::default()).expect_err("there is no root");
    assert!(matches!(refused.cause, Refusal::Snp(_)));
    let last = refused.checks.last().map(|check| check.name.name);
    assert_eq!(last, Some("snp.root-pinned"));
}
