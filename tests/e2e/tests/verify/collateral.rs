//! `collateral bundle` and `collateral fetch`, by the program.

use crate::scene::{Scene, run};
use anyhow::{Context, Result};
use nitride_vectors::{snp, tdx};
use std::net::TcpListener;

#[test]
fn a_bundle_judges_as_its_folder_does() -> Result<()> {
    for scene in [
        Scene::snp(&snp::Draft::good().build())?,
        Scene::tdx(&tdx::Spec::good())?,
    ] {
        let by_folder = scene.run(&[])?;
        let folder = scene.folder.join("collateral");
        let bundle = scene.folder.join("bundle.json");
        let (from, into) = (folder.display().to_string(), bundle.display().to_string());
        let said = run(&["collateral", "bundle", "--from", &from, "--into", &into])?;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains("bundle.json"), "{said:?}");
        std::fs::remove_dir_all(&folder)?;
        std::fs::rename(&bundle, &folder)?;
        let by_bundle = scene.run(&[])?;
        assert_eq!((by_bundle.code, &by_bundle.out), (Some(0), &by_folder.out));
    }
    Ok(())
}

#[test]
fn a_fetch_of_nothing_or_from_nobody_is_told_and_keeps_nothing() -> Result<()> {
    let scene = Scene::new("snp")?;
    let into = scene.folder.join("fetched");
    let text = into.to_str().context("a path in UTF-8")?;
    let said = run(&["collateral", "fetch", "--into", text])?;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("nothing is asked for"), "{said:?}");

    let ca = rcgen::generate_simple_self_signed(vec!["ca".to_owned()])?;
    let ca = scene.folder.write("ca.pem", ca.cert.pem().as_bytes())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let nobody = format!("http://{}", listener.local_addr()?);
    drop(listener);
    for (service, word) in [
        (nobody.as_str(), "cannot be asked"),
        ("http://192.0.2.1", "neither https nor at a loopback"),
    ] {
        let ca = ca.display().to_string();
        let said = run(&[
            "collateral",
            "fetch",
            "--into",
            text,
            "--amd",
            "milan",
            "--kds",
            service,
            "--max-wait-secs",
            "0",
            "--tls-ca",
            &ca,
        ])?;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains(word), "{said:?}");
        assert_eq!(std::fs::read_dir(into.join("amd/milan"))?.count(), 0);
    }
    Ok(())
}
