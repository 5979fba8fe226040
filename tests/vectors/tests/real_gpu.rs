//! Real reports of NVIDIA's devices, whose files are not part of this repository: the folder is named
//! by `NITRIDE_VECTORS`. Each has the outcome that its README states.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what is wrong by panicking"
)]

use base64ct::{Base64, Encoding};
use nitride_kbs::token::EarStatus;
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, Collateral, Expected, GpuAllegation, Refused,
    ReportData, Verdict, judge_allegation,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// 2026-11-22, when the vectors were laid.
const NOW_SECS: u64 = 1_795_305_600;
const POLICY: &str = "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[gpu]\n\
    min-devices = 1\nmodels = [\"GH100\", \"LS_10\"]\ndevice-ids = \"any\"\n\
    vbios-versions = \"any\"\ndriver-versions = \"any\"\nfirmware-ids = \"any\"\nmeasurements = \"any\"\n\
    rim-signature = \"any\"\nrevocation = \"any\"\n";

/// The vectors' folder; `None`, and a word about it, where there is none.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("NITRIDE_VECTORS").map(|dir| PathBuf::from(dir).join("gpu"));
    match folder {
        Some(folder) if folder.is_dir() => Some(folder),
        _ => {
            println!("skipped: NITRIDE_VECTORS names no folder with real vectors of GPUs");
            None
        }
    }
}

fn read(folder: &Path, name: &str) -> GpuAllegation {
    let file = |file: &str| {
        let path = folder.join(name).join(file);
        fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    };
    let report = String::from_utf8(file("report.hex")).expect("text");
    GpuAllegation {
        report: base16ct::mixed::decode_vec(report.trim()).expect("hexadecimal"),
        chain: file("chain.pem"),
    }
}

fn judge(device: GpuAllegation, nonce: &str, policy: &str) -> Result<Verdict, Refused> {
    let nonce = base16ct::lower::decode_vec(nonce).expect("hexadecimal");
    let policy = AttestationPolicy::parse(policy, "policy.toml");
    judge_allegation(
        Allegation::Gpu(device),
        &Expected::of(ReportData::new(&nonce).expect("32 bytes")),
        &policy.expect("the policy is good"),
        &Collateral::default(),
        NOW_SECS,
        &mut Budget::for_one_round(),
    )
}

fn refused_at(judged: Result<Verdict, Refused>) -> &'static str {
    let refused = judged.expect_err("it is not authentic");
    refused.checks.last().expect("a check was made").name.name
}

const NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";

#[test]
fn reports_of_nvidias_devices_are_authentic() {
    let Some(folder) = folder() else { return };
    let sdk_nonce = "27a328247bf7935c993341cf587be6f05986ccce4fe7ba2c54100bd616a58f66";
    for (name, nonce, model, vbios, driver, id) in [
        (
            "hopper-nvtrust",
            NONCE,
            "GH100",
            "96.00.9F.00.01",
            Some("550.90.07"),
            "41431d480fe5e87274",
        ),
        (
            "hopper-sdk",
            sdk_nonce,
            "GH100",
            "96.00.5E.00.01",
            Some("535.86.09"),
            "416a5fafcbd9fa5ca3",
        ),
        (
            "switch-ls10",
            NONCE,
            "LS_10",
            "96.10.55.00.01",
            None,
            "50203eb31ad9ed0008",
        ),
    ] {
        let verdict = judge(read(&folder, name), nonce, POLICY)
            .unwrap_or_else(|refused| panic!("{name}: {}", refused.cause.told()));
        assert_eq!(verdict.failures().collect::<Vec<_>>(), [], "{name}");
        // Whether it is in confidential mode, nobody asked.
        assert_eq!(verdict.vector().hardware, 2, "{name}");
        assert_eq!(verdict.vector().runtime_opaque, 32, "{name}");
        assert_eq!(verdict.status(), EarStatus::Warning, "{name}");
        assert!(!verdict.is_genuine(), "{name}");
        let claim = |claim: &str| verdict.claims().claim(claim).and_then(Value::as_str);
        assert_eq!(claim("model"), Some(model));
        assert_eq!(claim("vbios_version"), Some(vbios));
        assert_eq!(claim("driver_version"), driver);
        assert_eq!(claim("device_id"), Some(id));
    }
}

#[test]
fn the_example_of_a_policy_takes_the_device_that_it_is_about_and_no_other() {
    let Some(folder) = folder() else { return };
    let example = include_str!("../../../examples/config/service/attestation-gpu.toml");
    let verdict = judge(read(&folder, "hopper-nvtrust"), NONCE, example).expect("authentic");
    assert_eq!(verdict.failures().collect::<Vec<_>>(), []);
    assert_eq!(verdict.vector().executables, 3);
    assert_eq!(verdict.status(), EarStatus::Affirming);
    assert!(verdict.is_genuine());
    let verdict = judge(read(&folder, "switch-ls10"), NONCE, example).expect("authentic");
    let failed: Vec<&str> = verdict.failures().map(|(name, _)| name).collect();
    assert_eq!(
        failed,
        ["gpu.model", "gpu.vbios", "gpu.driver", "gpu.measurements"]
    );
    assert_eq!(verdict.status(), EarStatus::Contraindicated);
}

/// Which of them states its firmware, its maker's driver decides, and the policy what that is worth.
#[test]
fn the_firmware_that_signs_is_pinned_where_it_is_stated() {
    let Some(folder) = folder() else { return };
    let nowhere = format!("firmware-ids = [\"{}\"]", "00".repeat(48));
    let wants = |ids: &str| POLICY.replace("firmware-ids = \"any\"", ids);
    let told = |name: &str, ids: &str| {
        let device = read(&folder, name);
        let nonce = base16ct::lower::encode_string(&device.report[4..36]);
        let verdict = judge(device, &nonce, &wants(ids)).expect("authentic");
        let failures = verdict.failures();
        failures
            .map(|(check, why)| format!("{check}: {why}"))
            .collect::<Vec<_>>()
    };
    let unstated = told("hopper-sdk", &nowhere);
    assert_eq!(
        unstated,
        ["gpu.firmware-wanted: the device does not state it (policy line 10)"]
    );
    let [other] = &told("hopper-nvtrust", &nowhere)[..] else {
        panic!("one check fails")
    };
    let found = other.split('"').nth(1).expect("it is told");
    let own = format!("firmware-ids = [\"{found}\"]");
    assert_eq!(told("hopper-nvtrust", &own), [""; 0]);
}

#[test]
fn a_report_with_a_wrong_signature_is_refused_and_its_chain_is_good() {
    let Some(folder) = folder() else { return };
    let device = read(&folder, "hopper-invalid-signature");
    assert_eq!(refused_at(judge(device, NONCE, POLICY)), "gpu.signature");
}

#[test]
fn a_report_over_another_nonce_or_under_another_chain_is_refused() {
    let Some(folder) = folder() else { return };
    let device = read(&folder, "hopper-nvtrust");
    let other = NONCE.replace('9', "8");
    assert_eq!(
        refused_at(judge(device.clone(), &other, POLICY)),
        "gpu.nonce"
    );
    // The device's own nonce is not the verifier's, and more than 32 bytes are no nonce.
    let long = format!("{NONCE}00");
    assert_eq!(
        refused_at(judge(device.clone(), &long, POLICY)),
        "gpu.nonce"
    );
    let chain = read(&folder, "hopper-sdk").chain;
    let swapped = GpuAllegation { chain, ..device };
    assert_eq!(refused_at(judge(swapped, NONCE, POLICY)), "gpu.signature");
}

#[test]
fn no_bit_of_a_report_may_be_changed() {
    let Some(folder) = folder() else { return };
    let good = read(&folder, "hopper-nvtrust");
    for at in (0..good.report.len()).step_by(97) {
        let mut device = good.clone();
        device.report[at] ^= 0x10;
        assert!(judge(device, NONCE, POLICY).is_err(), "{at}");
    }
}

#[test]
fn four_devices_are_four_and_all_answer_one_nonce() {
    let Some(folder) = folder() else { return };
    let text = fs::read_to_string(folder.join("hopper-multi/evidence.json")).expect("evidence");
    let list: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let nonce = "e97b23a1718095a0e9e35edca810768c70a6a5a389b705e753b197912bc11576";
    let mut ids = Vec::new();
    for device in &list {
        let part = |name: &str| {
            let text = device[name].as_str().expect("text");
            Base64::decode_vec(text).expect("base64")
        };
        let device = GpuAllegation {
            report: part("evidence"),
            chain: part("certificate"),
        };
        let verdict = judge(device, nonce, POLICY)
            .unwrap_or_else(|refused| panic!("{}", refused.cause.told()));
        assert_eq!(verdict.status(), EarStatus::Warning);
        ids.push(verdict.claims().claim("device_id").cloned());
    }
    assert_eq!(ids.len(), 4);
    ids.sort_by_key(|id| id.as_ref().map(Value::to_string));
    ids.dedup();
    assert_eq!(ids.len(), 4);
}
