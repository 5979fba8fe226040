//! What stands in the way of a judgement: exit status 2, and the thing, the reason, the remedy.

use crate::scene::{Said, Scene, run};
use anyhow::Result;
use nitride_vectors::{snp, tdx};

fn is_not_judged(said: &Said, words: &[&str]) {
    assert_eq!(said.code, Some(2), "{said:?}");
    let told = format!("{}{}", said.out, said.err);
    for word in words {
        assert!(told.contains(word), "{word}: {said:?}");
    }
}

#[test]
fn files_that_are_missing_or_wrong_are_named_with_reason_and_remedy() -> Result<()> {
    let vector = snp::Draft::good().build();
    let scene = Scene::snp(&vector)?;
    let policy = scene.folder.join("policy.toml");
    let vcek = scene.folder.join("vcek.der");
    let list = scene.folder.join("collateral/amd/milan/list.crl");

    std::fs::write(
        &policy,
        vector.policy.replace("policy-smt = ", "policy-smtt = "),
    )?;
    is_not_judged(
        &scene.run(&[])?,
        &["policy.toml:", "policy-smtt", "state every field"],
    );
    std::fs::write(&policy, vec![b' '; (1 << 20) + 1])?;
    is_not_judged(&scene.run(&[])?, &["policy.toml: is longer than"]);
    std::fs::remove_file(&policy)?;
    is_not_judged(
        &scene.run(&[])?,
        &["policy.toml: cannot be read", "name a file"],
    );
    is_not_judged(
        &scene.json()?,
        &["\"thing\":", "\"reason\":", "\"remedy\":"],
    );
    std::fs::write(&policy, &vector.policy)?;

    let good = std::fs::read(&vcek)?;
    std::fs::write(&vcek, &good[..good.len() - 1])?;
    is_not_judged(
        &scene.run(&[])?,
        &["vcek.der: is neither a certificate", "DER or PEM"],
    );
    std::fs::write(&vcek, good)?;

    std::fs::write(&list, "not a list")?;
    is_not_judged(&scene.run(&[])?, &["list.crl: is neither a certificate"]);
    is_not_judged(&scene.run(&["--time", "yesterday"])?, &["--time"]);
    Ok(())
}

#[test]
fn evidence_that_is_cut_short_is_refused_by_a_check() -> Result<()> {
    let scene = Scene::snp(&snp::Draft::good().build())?;
    for len in [0, 1, 1183] {
        let path = scene.folder.join("report.bin");
        let mut report = std::fs::read(&path)?;
        let whole = report.clone();
        report.truncate(len);
        std::fs::write(&path, &report)?;
        let said = scene.json()?;
        assert_eq!(
            (said.code, said.failed()?),
            (Some(1), vec!["snp.report-length".to_owned()])
        );
        std::fs::write(&path, whole)?;
    }
    let scene = Scene::tdx(&tdx::Spec::good())?;
    let path = scene.folder.join("quote.bin");
    let whole = std::fs::read(&path)?;
    for len in [0, 1, 47, 48, 632, 1000, whole.len() / 2] {
        std::fs::write(&path, &whole[..len])?;
        let said = scene.json()?;
        assert_eq!(
            (said.code, said.failed()?.len()),
            (Some(1), 1),
            "{len}: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn collateral_that_is_missing_is_asked_for_and_nothing_is_accepted() -> Result<()> {
    let scene = Scene::tdx(&tdx::Spec::good())?;
    std::fs::remove_file(scene.folder.join("collateral/intel/bundle.json"))?;
    is_not_judged(
        &scene.run(&[])?,
        &["tdx evidence not judged", "DIR/intel of --collateral"],
    );
    std::fs::remove_dir(scene.folder.join("collateral/intel"))?;
    let said = scene.json()?;
    is_not_judged(&said, &["DIR/intel of --collateral"]);
    let json = said.json()?;
    assert_eq!(
        (&json["outcome"], &json["genuine"]),
        (&"not-judged".into(), &false.into())
    );
    assert_eq!(said.failed()?, ["tdx.collateral"]);

    let scene = Scene::snp(&snp::Draft::good().build())?;
    let list = scene.folder.join("collateral/amd/milan/list.crl");
    std::fs::remove_file(list.with_extension("crl.obtained"))?;
    is_not_judged(
        &scene.run(&[])?,
        &["list.crl: has no", "when it was fetched"],
    );
    std::fs::remove_file(list)?;
    is_not_judged(
        &scene.run(&[])?,
        &["no revocation list is at hand", "DIR/amd/PRODUCT"],
    );
    std::fs::remove_file(scene.folder.join("collateral/amd/milan/ark.der"))?;
    is_not_judged(&scene.run(&[])?, &["no root certificate of Milan"]);
    let mut keyless = snp::Draft::good().build();
    keyless.allegation.certificates.vcek = None;
    is_not_judged(
        &Scene::snp(&keyless)?.run(&[])?,
        &["no VCEK certificate is at hand", "--certificate"],
    );
    Ok(())
}

#[test]
fn a_bundle_that_is_cut_short_is_named() -> Result<()> {
    let scene = Scene::tdx(&tdx::Spec::good())?;
    let path = scene.folder.join("collateral/intel/bundle.json");
    let whole = std::fs::read(&path)?;
    std::fs::write(&path, &whole[..whole.len() / 2])?;
    is_not_judged(
        &scene.run(&[])?,
        &["bundle.json: the bundle of Intel's collateral"],
    );
    std::fs::write(&path, &whole)?;
    std::fs::write(path.with_file_name("again.json"), &whole)?;
    is_not_judged(&scene.run(&[])?, &["two sets of Intel's collateral"]);
    Ok(())
}

#[test]
fn an_answer_that_nobody_gets_is_no_answer() -> Result<()> {
    use std::process::{Command, Stdio};
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let verify = &nitride_support::binaries::Binaries::find()?.verify;
    let ended = Command::new(verify)
        .args(["checks", "snp"])
        .stdout(Stdio::from(full))
        .output()?;
    assert_eq!(ended.status.code(), Some(2));
    Ok(())
}

#[test]
fn policies_are_checked_by_themselves() -> Result<()> {
    let vector = snp::Draft::good().build();
    let scene = Scene::snp(&vector)?;
    let good = scene.folder.join("policy.toml").display().to_string();
    let said = run(&["policy", "check", &good])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out, format!("{good}: good, accepts snp\n"));
    let bad = scene.folder.write("bad.toml", "version = 2\n")?;
    let bad = bad.display().to_string();
    is_not_judged(&run(&["policy", "check", &good, &bad])?, &["bad.toml:"]);
    Ok(())
}
