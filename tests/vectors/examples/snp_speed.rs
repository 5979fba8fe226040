//! How many reports a second are judged on one core with a chain that is known, against the one
//! signature of P-384 that no judgement can do without: `cargo run --release --example snp_speed
//! -p nitride-vectors`.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    reason = "a measurement that cannot be made has to say so"
)]

use nitride_vectors::keys::EcKey;
use nitride_vectors::snp::Draft;
use nitride_verify::x509::{ChainMemo, PublicKey, SignatureAlgorithm};
use nitride_verify::{Allegation, AttestationPolicy, Budget, Collateral, judge_allegation};
use std::time::{Duration, Instant};

const EACH: Duration = Duration::from_secs(2);

fn main() {
    let vector = Draft::good().build();
    let policy = AttestationPolicy::parse(&vector.policy, "policy.toml").expect("it is good");
    let memo = ChainMemo::new();
    let allegation = Allegation::Snp(Box::new(vector.allegation.clone()));
    let judge = |memo| {
        let collateral = Collateral {
            amd: std::slice::from_ref(&vector.collateral),
            memo,
            ..Collateral::default()
        };
        let mut budget = Budget::for_one_round();
        let verdict = judge_allegation(
            allegation.clone(),
            &vector.expected,
            &policy,
            &collateral,
            vector.now_secs,
            &mut budget,
        );
        assert_eq!(verdict.expect("it is authentic").failures().count(), 0);
    };
    let (spki, message) = (EcKey::p384().spki(), &vector.allegation.report[..0x2A0]);
    let signature = EcKey::p384().sign(message);
    let raw = || {
        let key = PublicKey::of_spki(&spki);
        let verified = key.verify(SignatureAlgorithm::EcdsaP384Fixed, message, &signature);
        verified.expect("the signature is good");
    };
    // In turns, so that a machine that slows down slows all of them.
    let mut rates = [0.0; 3];
    for _ in 0..3 {
        for (rate, work) in
            rates
                .iter_mut()
                .zip([&raw as &dyn Fn(), &|| judge(Some(&memo)), &|| judge(None)])
        {
            *rate = f64::max(*rate, per_second(work));
        }
    }
    let [raw, known, anew] = rates;
    println!("P-384 verifications a second:          {raw:>8.0}");
    println!(
        "reports, the chain known:              {known:>8.0}  {:.2} of it",
        known / raw
    );
    println!(
        "reports, the chain verified each time: {anew:>8.0}  {:.2} of it",
        anew / raw
    );
}

fn per_second(work: &dyn Fn()) -> f64 {
    work();
    let (start, mut done) = (Instant::now(), 0u32);
    while start.elapsed() < EACH {
        work();
        done = done.saturating_add(1);
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}
