//! Each claim that a verdict states can be named in advance, and each that can be named is stated.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

use nitride_vectors::{azure, gpu, snp, tdx, tpm};
use nitride_verify::evidence::SnpProduct;
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, ClaimForm, Collateral, Tee, Verdict, judge_allegation,
};
use serde_json::Value;

/// A verdict on all that each kind of evidence may say.
fn verdicts() -> Vec<Verdict> {
    let mut all = vec![
        snp::Draft::of(SnpProduct::Turin).build().judge().unwrap(),
        snp::Draft::vlek().build().judge().unwrap(),
        azure::Draft::good().judge().unwrap(),
        tpm::Draft::good().judge().unwrap(),
        tpm::Draft::certified().judge().unwrap(),
    ];
    let (cpu, devices) = gpu::Draft::good().judge().unwrap().into_parts();
    all.push(cpu);
    all.extend(devices);
    for spec in [tdx::Spec::good(), tdx::Spec::good_version_5(4)] {
        let made = spec.make().unwrap();
        let collateral = Collateral {
            intel: Some(&made.collateral),
            ..Collateral::default()
        };
        let verdict = judge_allegation(
            Allegation::Tdx(made.evidence.clone()),
            &made.expected,
            &AttestationPolicy::parse(&made.policy, "policy.toml").unwrap(),
            &collateral,
            tdx::NOW_SECS,
            &mut Budget::for_one_round(),
        );
        all.push(verdict.unwrap());
    }
    all
}

/// The claims that have a text, those in objects as `OBJECT.MEMBER`.
fn texts(verdict: &Verdict) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let mut note = |name: String, value: &Value| match value {
        Value::String(text) => texts.push((name, text.clone())),
        Value::Bool(_) | Value::Number(_) => texts.push((name, value.to_string())),
        _ => {}
    };
    for (name, value) in verdict.claims().iter() {
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    note(format!("{name}.{member}"), value);
                }
            }
            value => note(name.to_owned(), value),
        }
    }
    texts
}

#[test]
fn every_claim_that_is_stated_has_a_form_that_takes_its_value() {
    let mut wrong = Vec::new();
    for verdict in verdicts() {
        let tee = verdict.tee();
        for (name, text) in texts(&verdict) {
            match ClaimForm::of(tee, &name) {
                Some(ClaimForm::Passing) => {}
                Some(form) if form.takes(&text) => {}
                form => wrong.push(format!("{tee}.{name}={text} is of {form:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A claim that is renamed is one that nobody is told of who names it by its old name.
#[test]
fn what_names_a_machine_or_an_image_is_stated_by_that_name() {
    let stated: Vec<(Tee, String)> = verdicts()
        .iter()
        .flat_map(|verdict| {
            let tee = verdict.tee();
            texts(verdict).into_iter().map(move |(name, _)| (tee, name))
        })
        .collect();
    for (tee, names) in [
        (
            Tee::Snp,
            &["measurement", "chip_id", "id_key_digest", "launch_tcb.fmc"][..],
        ),
        (
            Tee::Tdx,
            &["mr_td", "rtmr_1", "rtmr_2", "td_id", "platform_instance"],
        ),
        (
            Tee::Tpm,
            &["ak_sha256", "ak_name", "ak_root", "pcrs.pcr04", "pcr08"],
        ),
        (
            Tee::AzSnpVtpm,
            &[
                "vm_unique_id",
                "hardware.chip_id",
                "hardware.measurement",
                "pcrs.pcr04",
            ],
        ),
        (
            Tee::Nvidia,
            &["device_id", "driver_version", "measurements_sha384"],
        ),
    ] {
        for name in names {
            let form = ClaimForm::of(tee, name);
            assert!(
                form.is_some_and(|form| form != ClaimForm::Passing),
                "{tee}.{name}"
            );
            assert!(stated.contains(&(tee, (*name).to_owned())), "{tee}.{name}");
        }
    }
}

#[test]
fn what_no_verdict_states_has_no_form() {
    for (tee, name) in [
        (Tee::Snp, "measurment"),
        (Tee::Snp, "report-id"),
        (Tee::Snp, ""),
        (Tee::Snp, "covers"),
        (Tee::Snp, "launch_tcb"),
        (Tee::Snp, "hardware.chip_id"),
        (Tee::Snp, "mr_td"),
        (Tee::Tdx, "advisory_ids"),
        (Tee::AzSnpVtpm, "hardware"),
        (Tee::AzSnpVtpm, "measurement"),
        (Tee::AzSnpVtpm, "hardware.mr_td"),
        (Tee::AzSnpVtpm, "hardware.launch_tcb.fmc"),
        (Tee::AzSnpVtpm, "hardware.test-anchor"),
        (Tee::AzTdxVtpm, "hardware.chip_id"),
        (Tee::AzSnpVtpm, "pcrs.pcr4"),
        (Tee::AzSnpVtpm, "pcrs.pcr24"),
        (Tee::Sample, "test-anchor"),
    ] {
        assert_eq!(ClaimForm::of(tee, name), None, "{tee}.{name}");
    }
}

#[test]
fn a_form_takes_one_spelling() {
    for (form, good, wrong) in [
        (
            ClaimForm::Hex(2),
            "09af",
            &["09aF", "9af", "09af0", "", "09ag", "0x09", "09:af"][..],
        ),
        (
            ClaimForm::Number,
            "10",
            &["010", "+10", "0x0a", "10.0", "", " 10", "-1"],
        ),
        (ClaimForm::Flag, "true", &["True", "1", "yes", ""]),
        (ClaimForm::Text, "a b", &["", "a\n"]),
    ] {
        assert!(form.takes(good));
        for text in wrong {
            assert!(!form.takes(text), "{form}: {text:?}");
        }
    }
}
