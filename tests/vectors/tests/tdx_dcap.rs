//! Where the verifier and `dcap-qvl` by itself differ, and that this is on purpose.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use nitride_dcap::crypto::AwsLc;
use nitride_vectors::differences::held;
use nitride_vectors::tdx::{DEFECTS, Made, NOW_SECS, Spec};

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

/// By its strictest policy; the table says what it takes and why that is refused here.
#[test]
fn the_library_takes_what_the_table_of_differences_says_and_refuses_the_rest() {
    let taken = DEFECTS.iter().filter(|defect| {
        let mut spec = Spec::good();
        (defect.make)(&mut spec);
        library(&spec.make().unwrap()).is_ok()
    });
    let taken: Vec<_> = taken.map(|defect| (defect.check, defect.name)).collect();
    held(&taken, "TDX: `dcap-qvl` alone");
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
