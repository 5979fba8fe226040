//! Where the verifier and `dcap-qvl` by itself differ, and that this is on purpose.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use nitride_dcap::crypto::AwsLc;
use nitride_vectors::tdx::{DEFECTS, Made, NOW_SECS, Spec};
use nitride_verify::checks::tdx::{BY_COLLATERAL, CHECKS};

/// What the library refuses by its strictest policy, and in which words.
fn library(made: &Made) -> Result<(), String> {
    let collateral: QuoteCollateralV3 = serde_json::from_str(&made.bundle).unwrap();
    QuoteVerifier::<AwsLc>::new_with_config(made.root.clone())
        .verify_with_policy(
            &made.evidence.quote,
            collateral,
            NOW_SECS,
            &QuotePolicy::strict(NOW_SECS)
                .min_tcb_eval_data_number(17)
                .allow_cached_keys(true)
                .allow_smt(true),
        )
        .map(|_| ())
        .map_err(|error| format!("{error:#}"))
}

/// Defects of authenticity that the library lets through, and why they are refused here.
const ONLY_HERE: &[(&str, &str)] = &[
    (
        "more-trailing-bytes-than-a-buffer",
        "unsigned bytes are bounded",
    ),
    (
        "root-not-pinned",
        "its root is whichever the caller hands over",
    ),
    (
        "qe-binds-more-than-the-key",
        "it compares 32 of the 64 bytes",
    ),
    ("tcb-info-of-another-pceid", "it compares the FMSPC alone"),
    ("root-crl-of-the-future", "it looks at a list's end alone"),
    ("pck-crl-of-the-future", "it looks at a list's end alone"),
    (
        "pck-of-no-known-sgx-type",
        "its strictest policy asks nothing of it",
    ),
    ("report-data-of-another-challenge", "it has no expectation"),
    ("report-data-with-more-behind", "it has no expectation"),
    ("init-data-not-bound", "it has no expectation"),
];

#[test]
fn what_is_good_is_good_to_both() {
    for spec in [
        Spec::good(),
        Spec::good_version_5(3),
        Spec::good_version_5(4),
    ] {
        assert_eq!(library(&spec.make().unwrap()), Ok(()));
    }
}

#[test]
fn defects_of_authenticity_are_refused_by_both_but_for_a_list() {
    let appraisal = CHECKS
        .iter()
        .position(|check| check.name == "tdx.tcb-status");
    let authenticity = &CHECKS[..appraisal.unwrap()];
    for defect in DEFECTS {
        if !authenticity.iter().any(|check| check.name == defect.check) {
            continue;
        }
        let mut spec = Spec::good();
        (defect.make)(&mut spec);
        let library = library(&spec.make().unwrap());
        let only_here = ONLY_HERE.iter().any(|(name, _)| *name == defect.name);
        assert_eq!(library.is_ok(), only_here, "{}: {library:?}", defect.name);
    }
}

#[test]
fn each_difference_is_still_a_vector() {
    for (name, _) in ONLY_HERE {
        assert!(DEFECTS.iter().any(|defect| defect.name == *name), "{name}");
    }
    assert!(BY_COLLATERAL.len() < CHECKS.len());
}

/// What the library refuses whatever the policy says, and the verifier leaves to its policy.
#[test]
fn attributes_are_the_librarys_opinion_and_the_policys_decision() {
    for (attributes, words) in [
        (0, "SEPT_VE_DISABLE is not enabled"),
        (1 << 28 | 1 << 17, "SERVTD_EXT is enabled"),
        (1 << 28 | 1 << 29, "TD migration is enabled"),
        (1 << 28 | 1 << 40, "Reserved bits in TD attributes are set"),
    ] {
        let mut spec = Spec::good();
        spec.quote.td_attributes = attributes;
        assert_eq!(library(&spec.make().unwrap()), Err(words.to_owned()));
    }
}
