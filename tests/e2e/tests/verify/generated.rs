//! Evidence under a test PKI: what is good is accepted, each defect is refused by its check's name.

use crate::scene::Scene;
use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use nitride_support::folder::Folder;
use nitride_vectors::{gpu, snp, tdx};
use nitride_verify::evidence::SnpProduct;
use nitride_verify::{GpuAllegation, ReportData, SampleAllegation, Tee, checks};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Accepted, with every check of its TEE once, and never taken for genuine.
fn is_accepted(scene: &Scene, tee: Tee) -> Result<()> {
    let said = scene.json()?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let json = said.json()?;
    assert_eq!(json["outcome"], "accepted");
    assert_eq!(json["genuine"], false, "{json}");
    assert_eq!(json["simulated"], true, "{json}");
    let made = json["checks"].as_array().context("checks")?;
    let made: Vec<&str> = made.iter().filter_map(|c| c["name"].as_str()).collect();
    let all: BTreeSet<&str> = checks::all(tee).iter().map(|name| name.name).collect();
    assert_eq!(made.len(), all.len(), "{made:?}");
    assert_eq!(made.into_iter().collect::<BTreeSet<_>>(), all);

    let said = scene.run(&[])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("WARNING: "), "{said:?}");
    let last = said.out.lines().last().unwrap_or("");
    assert_eq!(last, format!("{tee} evidence accepted, NOT genuine"));
    for name in checks::all(tee) {
        let row = said
            .out
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(name.name));
        let row = row.with_context(|| format!("no row of {}", name.name))?;
        let number = row.split_whitespace().next().unwrap_or("");
        assert!(number == "-" || number == name.number.to_string(), "{row}");
    }
    Ok(())
}

#[test]
fn good_reports_and_quotes_are_accepted_and_never_genuine() -> Result<()> {
    for product in SnpProduct::ALL {
        let vector = snp::Draft::of(*product).build();
        is_accepted(&Scene::snp(&vector)?, Tee::Snp)?;
    }
    is_accepted(&Scene::snp(&snp::Draft::vlek().build())?, Tee::Snp)?;
    let mut bound = snp::Draft::good();
    bound.bind_init_data();
    is_accepted(&Scene::snp(&bound.build())?, Tee::Snp)?;
    is_accepted(&Scene::tdx(&tdx::Spec::good())?, Tee::Tdx)?;
    is_accepted(&Scene::tdx(&tdx::Spec::good_version_5(3))?, Tee::Tdx)
}

/// Certificates are looked for by what they are called, so that a wrong one in a place is a missing
/// one; and a list that is not there is asked for. Neither is judged, and neither is accepted.
const NOT_JUDGED: &[&str] = &[
    "vlek-below-the-vceks-ask",
    "intermediate-of-genoa",
    "vcek-called-vlek",
    "no-revocation-list",
];

#[test]
fn every_defect_of_a_report_is_refused_by_the_name_of_its_check() -> Result<()> {
    let mut refused = 0;
    let mut not_judged = Vec::new();
    for defect in snp::DEFECTS.into_iter().flatten() {
        let scene = Scene::snp(&defect.draft().build())?;
        let said = scene.json()?;
        if said.code == Some(2) {
            not_judged.push(defect.name);
            continue;
        }
        assert_eq!(said.code, Some(1), "{}: {said:?}", defect.name);
        assert_eq!(said.failed()?, [defect.check], "{}", defect.name);
        assert_eq!(said.json()?["genuine"], false);
        refused += 1;
    }
    assert_eq!(not_judged, NOT_JUDGED);
    assert!(refused > 32, "{refused}");
    Ok(())
}

#[test]
fn every_defect_of_a_quote_is_refused_by_the_name_of_its_check() -> Result<()> {
    let mut refused = 0;
    for defect in tdx::DEFECTS {
        let mut spec = tdx::Spec::good();
        (defect.make)(&mut spec);
        let said = Scene::tdx(&spec)?.json()?;
        let wanted = if defect.check == "tdx.collateral" {
            2
        } else {
            1
        };
        assert_eq!(said.code, Some(wanted), "{}: {said:?}", defect.name);
        assert_eq!(said.failed()?, [defect.check], "{}", defect.name);
        refused += 1;
    }
    assert!(refused > 22, "{refused}");
    Ok(())
}

#[test]
fn a_refusal_says_which_check_why_and_what_was_not_reached() -> Result<()> {
    let mut draft = snp::Draft::good();
    draft.expected = nitride_verify::Expected::of([8; 48]);
    let said = Scene::snp(&draft.build())?.run(&[])?;
    assert_eq!(said.code, Some(1));
    let row = said
        .out
        .lines()
        .find(|line| line.contains("snp.report-data"));
    let row = row.context("a row of the check")?;
    assert!(
        row.contains("FAILED") && row.contains("does not bind this challenge"),
        "{row}"
    );
    assert!(said.out.contains("not-reached"), "{said:?}");
    let last = said.out.lines().last().unwrap_or("");
    assert_eq!(
        last,
        "snp evidence refused: it is not authentic: snp.report-data"
    );
    assert!(said.err.is_empty(), "{said:?}");
    Ok(())
}

#[test]
fn a_waived_check_names_the_policys_line() -> Result<()> {
    let mut draft = snp::Draft::good();
    draft.policy.waive("policy-smt");
    let vector = draft.build();
    let line = vector
        .policy
        .lines()
        .position(|line| line.starts_with("policy-smt"));
    let line = line.context("the line")? + 1;
    let json = Scene::snp(&vector)?.json()?.json()?;
    let checks = json["checks"].as_array().context("checks")?;
    let row = checks
        .iter()
        .find(|check| check["name"] == "snp.policy-smt");
    assert_eq!(
        row,
        Some(
            &json!({ "number": 19, "name": "snp.policy-smt", "outcome": "waived", "policy-line": line })
        )
    );
    Ok(())
}

/// As [`Scene::snp`] and [`Scene::tdx`], with the JSON of the protocol in place of the raw file.
fn kbs(raw: Scene, tee: Tee, primary: &str, whole: bool) -> Result<Scene> {
    let text = if whole {
        let primary: Value = serde_json::from_str(primary)?;
        json!({ "primary_evidence": primary, "additional_evidence": "" }).to_string()
    } else {
        primary.to_owned()
    };
    let mut scene = Scene::new("kbs")?;
    scene.file("", "evidence.json", text.as_bytes())?;
    scene.option("--tee", tee);
    scene.take_common(raw);
    Ok(scene)
}

#[test]
fn the_forms_of_the_protocol_are_judged_as_the_raw_files_are() -> Result<()> {
    let vector = snp::Draft::good().build();
    let primary = vector.allegation.to_kbs_form().context("a form")?;
    for whole in [false, true] {
        is_accepted(
            &kbs(Scene::snp(&vector)?, Tee::Snp, &primary, whole)?,
            Tee::Snp,
        )?;
    }
    let spec = tdx::Spec::good();
    // Keys are drawn anew each time that it is made, so that evidence and collateral are one's own.
    let made = spec.make()?;
    let scene = Scene::tdx_made(&spec, &made)?;
    is_accepted(
        &kbs(scene, Tee::Tdx, &made.evidence.to_kbs_form(), true)?,
        Tee::Tdx,
    )?;

    let cut = &primary[..primary.len() - 1];
    let said = kbs(Scene::snp(&vector)?, Tee::Snp, cut, false)?.json()?;
    assert_eq!(
        (said.code, said.failed()?),
        (Some(1), vec!["snp.form".to_owned()])
    );
    Ok(())
}

#[test]
fn sample_evidence_takes_a_policy_that_says_so() -> Result<()> {
    let data = Base64::encode_string(&[7; 48]);
    let primary = json!({ "svn": "1", "report_data": data }).to_string();
    let policy = "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\nsvn = [\"1\"]\n";
    for (policy, code) in [(policy.to_owned(), 0), (policy.replace("true", "false"), 1)] {
        let mut scene = Scene::new("kbs")?;
        scene.file("", "evidence.json", primary.as_bytes())?;
        scene.option("--tee", "sample");
        scene.file("--policy", "policy.toml", policy.as_bytes())?;
        // The bytes in a file.
        let path = Folder::new()?;
        let file = path.write("report-data", [7; 48])?;
        scene.option("--report-data", format!("@{}", file.display()));
        let said = scene.json()?;
        assert_eq!(said.code, Some(code), "{said:?}");
        if code == 0 {
            is_accepted(&scene, Tee::Sample)?;
        } else {
            assert_eq!(said.failed()?, ["sample.accepted"]);
        }
    }
    Ok(())
}

#[test]
fn a_machine_and_its_devices_are_judged_together() -> Result<()> {
    let made = gpu::Draft::good().build();
    let primary = SampleAllegation {
        svn: "1".to_owned(),
        report_data: gpu::REPORT_DATA,
    };
    let primary: Value = serde_json::from_str(&primary.to_kbs_form())?;
    let devices = GpuAllegation::to_kbs_form(&[("HOPPER", made.evidence.clone())]);
    let evidence = json!({ "primary_evidence": primary, "additional_evidence": devices });
    let scene = || -> Result<Scene> {
        let mut scene = Scene::new("kbs")?;
        scene.file("", "evidence.json", evidence.to_string().as_bytes())?;
        scene.option("--tee", "sample");
        scene.file("--policy", "policy.toml", made.policy.as_bytes())?;
        let report_data = ReportData::new(&gpu::REPORT_DATA)?;
        scene.report_data(&report_data);
        scene.option("--time", gpu::NOW_SECS);
        Ok(scene)
    };
    let refused = scene()?.json()?;
    let wanted = vec!["sample.additional-evidence".to_owned()];
    assert_eq!((refused.code, refused.failed()?), (Some(1), wanted));

    let mut good = scene()?;
    let device_data = base16ct::lower::encode_string(&gpu::DEVICE_DATA);
    good.option("--device-report-data", &device_data);
    let said = good.json()?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let json = said.json()?;
    assert_eq!(json["genuine"], false);
    assert_eq!(json["devices"][0]["name"], "gpu0");
    assert_eq!(json["devices"][0]["claims"]["device_id"], "11");
    let made = json["devices"][0]["checks"].as_array().context("checks")?;
    assert_eq!(made.len(), checks::all(Tee::Nvidia).len());
    let said = good.run(&[])?;
    assert!(said.out.contains("\ngpu0\n"), "{said:?}");
    assert!(said.out.contains("WARNING: gpu0: "), "{said:?}");

    let mut other = scene()?;
    other.option("--device-report-data", device_data.replacen("06", "07", 1));
    let refused = other.json()?;
    let wanted = vec!["gpu.nonce".to_owned()];
    assert_eq!((refused.code, refused.failed()?), (Some(1), wanted));
    Ok(())
}
