//! Real captures, which are no part of this repository: `NITRIDE_VECTORS` names their folder.

use crate::scene::Scene;
use anyhow::{Context, Result};
use nitride_verify::evidence::SnpReport;
use nitride_verify::evidence::tdx_quote::TdxQuote;
use nitride_verify::{ReportData, Tee};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// 2026-11-22, when the captures were laid.
const NOW: &str = "2026-11-22T00:00:00Z";

/// The folder of one TEE, or a word that there is none.
fn folder(tee: Tee) -> Option<PathBuf> {
    let folder = std::env::var_os("NITRIDE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: NITRIDE_VECTORS names no folder of real captures");
    }
    folder.map(|folder| folder.join(tee.as_str()))
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>> {
    std::fs::read(folder.join(name)).with_context(|| name.to_owned())
}

/// A report with the certificate of its key, AMD's published chains, and a policy that wants its
/// measurement and waives what is not dangerous.
fn report(folder: &Path, name: &str, bytes: &[u8], time: &str) -> Result<Scene> {
    let captured = read(folder, &format!("{name}/report.bin"))?;
    let parsed = SnpReport::parse(&captured)?;
    let mut scene = Scene::new("snp")?;
    scene.file("", "report.bin", bytes)?;
    let collateral = scene.collateral()?;
    for product in ["milan", "genoa", "turin"] {
        let to = collateral.join("amd").join(product);
        std::fs::create_dir_all(&to)?;
        for key in ["vcek", "vlek"] {
            let chain = read(folder, &format!("ca/{product}_{key}_ask_ark.pem"))?;
            std::fs::write(to.join(format!("{key}.pem")), chain)?;
        }
    }
    let policy = format!(
        "{}[[snp.reference]]\nname = \"captured\"\nmeasurement = \"{}\"\ncovers = [\"firmware\"]\n",
        include_str!("../../../vectors/tests/loose.toml"),
        base16ct::lower::encode_string(&parsed.measurement)
    );
    scene.file("--policy", "policy.toml", policy.as_bytes())?;
    scene.report_data(&ReportData::from(parsed.report_data));
    scene.option("--time", time);
    Ok(scene)
}

fn with_key(folder: &Path, name: &str, time: &str) -> Result<Scene> {
    let bytes = read(folder, &format!("{name}/report.bin"))?;
    let mut scene = report(folder, name, &bytes, time)?;
    add_key(&mut scene, folder, name)?;
    Ok(scene)
}

fn add_key(scene: &mut Scene, folder: &Path, name: &str) -> Result<()> {
    let key = read(folder, &format!("{name}/vek.der"))
        .or_else(|_| read(folder, &format!("{name}/vek.pem")))?;
    scene.file("--certificate", "vek", &key)
}

fn is_genuine(scene: &Scene) -> Result<()> {
    let said = scene.json()?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let json = said.json()?;
    assert_eq!(
        (&json["genuine"], &json["anchor"]),
        (&true.into(), &"vendor".into())
    );
    let said = scene.run(&[])?;
    assert!(said.out.ends_with("accepted, genuine\n"), "{said:?}");
    assert!(!said.out.contains("WARNING"), "{said:?}");
    Ok(())
}

#[test]
fn real_reports_are_accepted_as_genuine() -> Result<()> {
    let Some(folder) = folder(Tee::Snp) else {
        return Ok(());
    };
    for name in [
        "genoa-v3-aci",
        "milan-v2-b",
        "milan-v3-aci",
        "milan-v3-oak",
        "turin-v5-aci",
    ] {
        is_genuine(&with_key(&folder, name, NOW)?)?;
    }
    is_genuine(&with_key(&folder, "milan-v3-vlek", "2025-06-01T00:00:00Z")?)?;
    let late = with_key(&folder, "milan-v3-vlek", NOW)?.json()?;
    assert_eq!(
        (late.code, late.failed()?),
        (Some(1), vec!["snp.certificate-dates".to_owned()])
    );
    Ok(())
}

#[test]
fn a_real_report_that_allows_debugging_is_refused_unless_the_policy_takes_it() -> Result<()> {
    let Some(folder) = folder(Tee::Snp) else {
        return Ok(());
    };
    let scene = with_key(&folder, "milan-v2-a", NOW)?;
    let said = scene.json()?;
    assert_eq!(
        (said.code, said.failed()?),
        (Some(1), vec!["snp.debug".to_owned()])
    );
    assert!(
        scene
            .run(&[])?
            .out
            .ends_with("authentic and not wanted: snp.debug\n")
    );

    let path = scene.folder.join("policy.toml");
    let policy = std::fs::read_to_string(&path)?;
    std::fs::write(
        &path,
        policy.replace("danger-allow-debug = false", "danger-allow-debug = true"),
    )?;
    let said = scene.run(&[])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains("WARNING: its host may look into it"),
        "{said:?}"
    );
    assert!(said.out.ends_with("accepted, NOT genuine\n"), "{said:?}");
    Ok(())
}

#[test]
fn a_real_report_that_is_cut_short_or_changed_is_refused() -> Result<()> {
    let Some(folder) = folder(Tee::Snp) else {
        return Ok(());
    };
    let name = "milan-v3-aci";
    let whole = read(&folder, &format!("{name}/report.bin"))?;
    let mut changed = whole.clone();
    changed[0x90] ^= 1;
    for (bytes, check) in [
        (&whole[..1000], "snp.report-length"),
        (&changed[..], "snp.signature"),
    ] {
        let mut scene = report(&folder, name, bytes, NOW)?;
        add_key(&mut scene, &folder, name)?;
        let said = scene.json()?;
        assert_eq!(
            (said.code, said.failed()?),
            (Some(1), vec![check.to_owned()])
        );
    }
    // Without its key nobody can say.
    let said = report(&folder, name, &whole, NOW)?.run(&[])?;
    assert_eq!(said.code, Some(2));
    assert!(
        said.out.contains("no VCEK certificate is at hand"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn a_real_certificate_table_stands_in_for_certificates() -> Result<()> {
    let Some(folder) = folder(Tee::Snp) else {
        return Ok(());
    };
    let name = "milan-v3-aci";
    let whole = read(&folder, &format!("{name}/report.bin"))?;
    for (table, code) in [
        ("good-vcek-ask-ark", 0),
        ("bad-offset-out-of-range", 2),
        ("bad-length-out-of-range", 2),
        // It is a table, and has nothing.
        ("empty", 2),
    ] {
        let mut scene = report(&folder, name, &whole, NOW)?;
        let bytes = read(&folder, &format!("cert-tables/{table}.bin"))?;
        scene.file("--certificate-table", "table.bin", &bytes)?;
        let said = scene.run(&[])?;
        assert_eq!(said.code, Some(code), "{table}: {said:?}");
    }
    Ok(())
}

/// A policy that wants this very trust domain, and says "any" where a capture shows nothing.
fn tdx_policy(quote: &[u8]) -> Result<String> {
    let report = TdxQuote::parse(quote)?.report;
    let hex = |bytes: &[u8]| format!("\"{}\"", base16ct::lower::encode_string(bytes));
    let mut policy = String::from(
        "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tdx]\n\
         tcb-status = [\"up-to-date\"]\nadvisories = \"any\"\nminimum-tcb-evaluation = 15\n\
         mr-seam = \"any\"\nmr-signer-seam = \"any\"\nseam-attributes = \"any\"\n\
         danger-allow-debug = false\ndanger-allow-profiling = false\n\
         danger-allow-migration = false\ntd-attributes-allowed = \"any\"\n\
         sept-ve-disable = \"any\"\nxfam-required = \"any\"\n\
         xfam-allowed = \"any\"\nevent-log = \"any\"\nrequires-coverage = [\"firmware\"]\n\
         mr-config-id = \"any\"\nmr-owner = \"any\"\nmr-owner-config = \"any\"\n\
         mr-service-td = \"none\"\nplatform-instances = \"any\"\nsmt = \"any\"\n\
         dynamic-platform = \"any\"\ncached-keys = \"any\"\n\
         [[tdx.reference]]\nname = \"captured\"\ncovers = [\"firmware\"]\n",
    );
    policy.push_str(&format!("mr-td = {}\n", hex(&report.mr_td)));
    for (index, register) in report.rtmr.iter().enumerate() {
        policy.push_str(&format!("rtmr{index} = {}\n", hex(register)));
    }
    Ok(policy)
}

fn quote(quote: &[u8], captured: &[u8], time: &str) -> Result<Scene> {
    let mut scene = Scene::new("tdx")?;
    scene.file("", "quote.bin", quote)?;
    scene.file("--policy", "policy.toml", tdx_policy(captured)?.as_bytes())?;
    scene.report_data(&ReportData::from(
        TdxQuote::parse(captured)?.report.report_data,
    ));
    scene.option("--time", time);
    Ok(scene)
}

#[test]
fn a_real_quote_is_genuine_while_its_collateral_is_fresh() -> Result<()> {
    let Some(folder) = folder(Tee::Tdx) else {
        return Ok(());
    };
    let folder = folder.join("v4-uptodate-with-collateral");
    let whole = read(&folder, "quote.bin")?;
    let bundle = read(&folder, "collateral.json")?;
    let at = |bytes: &[u8], time| -> Result<Scene> {
        let mut scene = quote(bytes, &whole, time)?;
        let to = scene.collateral()?.join("intel");
        std::fs::create_dir_all(&to)?;
        std::fs::write(to.join("b0c06f000000.json"), &bundle)?;
        Ok(scene)
    };
    is_genuine(&at(&whole, "1750809600")?)?;
    for (bytes, time, check) in [
        (&whole[..], NOW, "tdx.root-crl"),
        (&whole[..1000], "1750809600", "tdx.layout"),
    ] {
        let said = at(bytes, time)?.json()?;
        assert_eq!(
            (said.code, said.failed()?),
            (Some(1), vec![check.to_owned()]),
            "{said:?}"
        );
    }
    Ok(())
}

/// What Intel's service answered in 2023 is there without the chains of its headers; with those of a
/// later year it is refused, and without any of it nobody can say. In debug mode or not, nothing is
/// accepted.
#[test]
fn real_quotes_without_collateral_of_their_time_are_not_accepted() -> Result<()> {
    let Some(folder) = folder(Tee::Tdx) else {
        return Ok(());
    };
    let bundle = read(&folder, "v4-uptodate-with-collateral/collateral.json")?;
    let bundle: Value = serde_json::from_slice(&bundle)?;
    for name in ["v4-spr-gce", "v4-trustee"] {
        let whole = read(&folder, &format!("{name}/quote.bin"))?;
        let mut scene = quote(&whole, &whole, "2023-06-25T00:00:00Z")?;
        let said = scene.run(&[])?;
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(
            said.out.contains("Intel's collateral is not at hand"),
            "{said:?}"
        );

        let to = scene.collateral()?.join("intel").join("50806f000000");
        std::fs::create_dir_all(&to)?;
        for (from, name) in [
            ("tcbinfo.json", "tcb.json"),
            ("qeidentity.json", "qe-identity.json"),
            ("pckcrl.der", "pck-crl.der"),
            ("rootcrl.der", "root-ca-crl.der"),
        ] {
            std::fs::write(to.join(name), read(&folder.join("v4-spr-gce"), from)?)?;
        }
        for (member, name) in [
            ("tcb_info_issuer_chain", "tcb-issuer-chain.pem"),
            ("qe_identity_issuer_chain", "qe-identity-issuer-chain.pem"),
            ("pck_crl_issuer_chain", "pck-crl-issuer-chain.pem"),
        ] {
            std::fs::write(to.join(name), bundle[member].as_str().context("a chain")?)?;
        }
        let said = scene.json()?;
        let wanted = vec!["tdx.tcb-info-signature".to_owned()];
        assert_eq!((said.code, said.failed()?), (Some(1), wanted), "{said:?}");
        std::fs::remove_file(to.join("tcb-issuer-chain.pem"))?;
        let said = scene.run(&[])?;
        assert_eq!(said.code, Some(2));
        assert!(
            said.err.contains("tcb-issuer-chain.pem: cannot be read"),
            "{said:?}"
        );
    }
    Ok(())
}

#[test]
fn a_real_report_of_a_gpu_is_genuine_and_one_with_a_wrong_signature_is_refused() -> Result<()> {
    let Some(folder) = std::env::var_os("NITRIDE_VECTORS") else {
        eprintln!("skipped: NITRIDE_VECTORS names no folder of real captures");
        return Ok(());
    };
    let folder = Path::new(&folder).join("gpu");
    let policy = include_str!("../../../../examples/config/service/attestation-gpu.toml");
    let scene = |name: &str| -> Result<Scene> {
        let mut scene = Scene::new("gpu")?;
        let report = read(&folder, &format!("{name}/report.hex"))?;
        scene.file("", "report.hex", &report)?;
        let chain = read(&folder, &format!("{name}/chain.pem"))?;
        scene.file("--chain", "chain.pem", &chain)?;
        scene.file("--policy", "policy.toml", policy.as_bytes())?;
        let nonce = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
        scene.option("--report-data", nonce);
        scene.option("--time", NOW);
        Ok(scene)
    };
    is_genuine(&scene("hopper-nvtrust")?)?;
    let said = scene("hopper-invalid-signature")?.json()?;
    let wanted = vec!["gpu.signature".to_owned()];
    assert_eq!((said.code, said.failed()?), (Some(1), wanted), "{said:?}");
    Ok(())
}
