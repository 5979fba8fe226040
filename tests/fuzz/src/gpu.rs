//! Reports of NVIDIA's devices, raw and as additional evidence.

use nitride_verify::evidence::spdm::SpdmReport;
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, Collateral, CompositeExpected, DeviceNonce, Expected,
    GpuAllegation, SampleAllegation, Tee, UnverifiedEvidence, judge_allegation, judge_composite,
};
use std::sync::OnceLock;

/// A policy that waives what it can.
fn policy() -> &'static AttestationPolicy {
    static POLICY: OnceLock<AttestationPolicy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let text = include_str!("../seeds/policy_toml/gpu");
        AttestationPolicy::parse(text, "policy.toml").expect("the policy is good")
    })
}

/// Evidence in either form. Nobody but NVIDIA can sign for the pinned root.
pub fn gpu(data: &[u8]) {
    if let Ok(report) = SpdmReport::parse(data) {
        assert!(data.starts_with(report.signed));
        assert!(data.ends_with(report.signature));
        let read: usize = report.measurements.values().map(|value| value.len()).sum();
        assert!(read <= report.record.len());
        let _ = (report.vbios_version(), report.driver_version(), report.board());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        refuse(text);
    }
    // The first zero splits a report from its chain.
    let split = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (report, chain) = data.split_at(split);
    let device = GpuAllegation {
        report: report.to_vec(),
        chain: chain.to_vec(),
    };
    if data.len() < 16 * 1024 {
        let last = refuse(&GpuAllegation::to_kbs_form(&[("HOPPER", device.clone())]));
        assert_ne!(last, Some("sample.additional-evidence"), "our own form is read");
    }
    let expected = Expected::of(DeviceNonce::of(&[7; 48]));
    let collateral = Collateral::default();
    let mut budget = Budget::for_one_round();
    let device = Allegation::Gpu(device);
    let judged = judge_allegation(device, &expected, policy(), &collateral, 0, &mut budget);
    assert!(judged.is_err(), "it was 1970");
}

/// Judges additional evidence and says which check refused it.
fn refuse(additional: &str) -> Option<&'static str> {
    let primary = SampleAllegation {
        svn: "1".to_owned(),
        report_data: [7; 48],
    };
    let evidence = UnverifiedEvidence {
        tee: Tee::Sample,
        primary: &primary.to_kbs_form(),
        additional,
    };
    let expected = CompositeExpected {
        primary: Expected::of([7; 48]),
        device_nonce: DeviceNonce::of(&[7; 48]),
    };
    let collateral = Collateral::default();
    let mut budget = Budget::for_one_round();
    let judged = judge_composite(&evidence, &expected, policy(), &collateral, 0, &mut budget);
    let refused = judged.expect_err("a device is wanted, and it was 1970");
    refused.checks.last().map(|check| check.name.name)
}
