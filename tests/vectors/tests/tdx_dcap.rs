//! Where the verifier and `dcap-qvl` by itself differ, and that this is on purpose.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use dcap_qvl::config::{Config, CryptoProvider};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use nitride_dcap::SIGNATURES_OF_THE_LIBRARY;
use nitride_dcap::crypto::AwsLc;
use nitride_vectors::differences::held;
use nitride_vectors::tdx::{DEFECTS, Made, NOW_SECS, Spec};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use std::cell::Cell;

/// What the library refuses by its strictest policy, and in which words.
fn library(made: &Made) -> Result<(), String> {
    library_by::<AwsLc>(made)
}

fn library_by<C: Config>(made: &Made) -> Result<(), String> {
    let collateral: QuoteCollateralV3 = serde_json::from_str(&made.bundle).unwrap();
    QuoteVerifier::<C>::new_with_config(made.root.clone())
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

/// The verifier's cryptography, counted.
struct Counting;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

#[derive(Debug)]
struct CountingP256;

impl Config for Counting {
    type X509 = <AwsLc as Config>::X509;
    type SigEncoder = <AwsLc as Config>::SigEncoder;
    type Crypto = Self;
}

impl CryptoProvider for Counting {
    fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
        &CountingP256
    }

    fn sha256(data: &[u8]) -> [u8; 32] {
        AwsLc::sha256(data)
    }

    fn sha384(data: &[u8]) -> [u8; 48] {
        AwsLc::sha384(data)
    }
}

impl SignatureVerificationAlgorithm for CountingP256 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        COUNT.set(COUNT.get() + 1);
        AwsLc::sig_algo().verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        AwsLc::sig_algo().public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        AwsLc::sig_algo().signature_alg_id()
    }
}

/// What the benchmark holds a judgement against, and the budget of a judgement rests on.
#[test]
fn the_library_verifies_as_many_signatures_as_are_paid_for() {
    for spec in [Spec::good(), Spec::good_version_5(4)] {
        COUNT.set(0);
        assert_eq!(library_by::<Counting>(&spec.make().unwrap()), Ok(()));
        assert_eq!(COUNT.get(), SIGNATURES_OF_THE_LIBRARY);
    }
}
