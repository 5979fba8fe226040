//! TDX evidence: quotes, event logs, and the JSON form of both.

use nitride_verify::evidence::ccel::EventLog;
use nitride_verify::evidence::tdx_quote::TdxQuote;
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, Collateral, Expected, Tee, TdxAllegation,
    UnverifiedEvidence, judge, judge_allegation,
};
use std::sync::OnceLock;

/// A policy that waives what it can.
fn policy() -> &'static AttestationPolicy {
    static POLICY: OnceLock<AttestationPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let text = include_str!("../seeds/policy_toml/tdx");
        AttestationPolicy::parse(text, "policy.toml").expect("the policy is good")
    })
}

/// Evidence in either form. Without Intel's collateral none of it can be authentic.
pub fn tdx(data: &[u8]) {
    let expected = Expected::of([7; 48]);
    let collateral = Collateral::default();
    let mut budget = Budget::for_one_round();
    let mut judge_json = |primary: &str| {
        let evidence = UnverifiedEvidence {
            tee: Tee::Tdx,
            primary,
            additional: "",
        };
        let judged = judge(&evidence, &expected, policy(), &collateral, 0, &mut budget);
        judged.expect_err("there is no collateral")
    };
    if let Ok(primary) = std::str::from_utf8(data) {
        judge_json(primary);
    }
    if let Ok(quote) = TdxQuote::parse(data) {
        assert!(data.starts_with(quote.signed));
        assert!(quote.signed.len() + quote.trailing_len < data.len());
    }
    let allegation = TdxAllegation {
        quote: data.to_vec(),
        event_log: None,
    };
    if data.len() < 32 * 1024 {
        let refused = judge_json(&allegation.to_kbs_form());
        let last = refused.checks.last().map(|check| check.name.name);
        assert_ne!(last, Some("tdx.form"), "our own form is read");
    }
    let allegation = Allegation::Tdx(allegation);
    let mut budget = Budget::for_one_round();
    let judged = judge_allegation(allegation, &expected, policy(), &collateral, 0, &mut budget);
    assert!(judged.is_err(), "there is no collateral");
}

/// Event logs: each event lies within the log and says what it says.
pub fn event_log(data: &[u8]) {
    let Ok(log) = EventLog::parse(data) else {
        return;
    };
    let read: usize = log.events().iter().map(|event| event.data.len()).sum();
    assert!(read <= data.len());
    for event in log.events() {
        assert!(event.digest(0x000c).is_none_or(|digest| digest.len() == 48));
    }
}
