//! Writes every vector into a folder, one folder each, for a person to look at and for programs
//! that read files: `cargo run -p nitride-vectors -- FOLDER`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_vectors::{gpu, snp, tdx, tpm};
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("name the folder to write the vectors into")?;
    let good = [
        ("good", "", snp::Draft::good()),
        ("good-vlek", "", snp::Draft::vlek()),
    ];
    let defects = snp::DEFECTS.into_iter().flatten();
    let defects = defects.map(|defect| (defect.name, defect.check, defect.draft()));
    let mut written = 0usize;
    for (name, check, draft) in good.into_iter().chain(defects) {
        write_snp(&folder.join("snp").join(name), check, &draft.build())?;
        written = written.saturating_add(1);
    }
    let good = [
        ("good", "", tdx::Spec::good()),
        ("good-version-5", "", tdx::Spec::good_version_5(3)),
    ];
    let defects = tdx::DEFECTS.iter().map(|defect| {
        let mut spec = tdx::Spec::good();
        (defect.make)(&mut spec);
        (defect.name, defect.check, spec)
    });
    for (name, check, spec) in good.into_iter().chain(defects) {
        write_tdx(&folder.join("tdx").join(name), check, &spec.make()?)?;
        written = written.saturating_add(1);
    }
    let defects = gpu::DEFECTS.iter().map(|defect| {
        let mut draft = gpu::Draft::good();
        (defect.make)(&mut draft);
        (defect.name, defect.check, draft)
    });
    for (name, check, draft) in [("good", "", gpu::Draft::good())]
        .into_iter()
        .chain(defects)
    {
        write_gpu(&folder.join("gpu").join(name), check, &draft.build())?;
        written = written.saturating_add(1);
    }
    let good = [
        ("good", "", tpm::Draft::good()),
        ("good-certified", "", tpm::Draft::certified()),
    ];
    let defects = tpm::DEFECTS.iter();
    let defects = defects.map(|defect| (defect.name, defect.check, defect.draft()));
    for (name, check, draft) in good.into_iter().chain(defects) {
        write_tpm(&folder.join("tpm").join(name), check, &draft)?;
        written = written.saturating_add(1);
    }
    println!("{written} vectors in {}", folder.display());
    Ok(())
}

/// The evidence, the collateral, the policy, and what has to come out.
fn write_snp(folder: &Path, check: &str, vector: &snp::Vector) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let certificates = &vector.allegation.certificates;
    let crls = &vector.collateral.crls;
    let judgement = format!(
        "fails = \"{check}\"\ntime = {}\nreport-data = \"{}\"\ncrl-obtained-at = {}\n",
        vector.now_secs,
        base16ct::lower::encode_string(vector.expected.report_data.as_bytes()),
        crls.first().map_or(0, |crl| crl.obtained_at_secs),
    );
    let crl = |place: usize| crls.get(place).map(|crl| crl.der.as_slice());
    for (file, bytes) in [
        ("report.bin", Some(vector.allegation.report.as_slice())),
        ("vcek.der", certificates.vcek.as_deref()),
        ("vlek.der", certificates.vlek.as_deref()),
        ("ark.der", Some(vector.collateral.ark.as_slice())),
        ("ask.der", vector.collateral.ask.as_deref()),
        ("crl.der", crl(0)),
        ("further-crl.der", crl(1)),
        ("policy.toml", Some(vector.policy.as_bytes())),
        ("vector.toml", Some(judgement.as_bytes())),
    ] {
        let Some(bytes) = bytes else { continue };
        let path = folder.join(file);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The same for TDX: quote, event log, collateral as one bundle, the root, and the policy.
fn write_tdx(folder: &Path, check: &str, made: &tdx::Made) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let judgement = format!(
        "fails = \"{check}\"\ntime = {}\nreport-data = \"{}\"\n",
        tdx::NOW_SECS,
        base16ct::lower::encode_string(made.expected.report_data.as_bytes()),
    );
    for (file, bytes) in [
        ("quote.bin", Some(made.evidence.quote.as_slice())),
        ("event-log.bin", made.evidence.event_log.as_deref()),
        ("collateral.json", Some(made.bundle.as_bytes())),
        ("root.der", Some(made.root.as_slice())),
        ("policy.toml", Some(made.policy.as_bytes())),
        ("vector.toml", Some(judgement.as_bytes())),
    ] {
        let Some(bytes) = bytes else { continue };
        let path = folder.join(file);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The same for a device: the report, its chain, and the policy.
fn write_gpu(folder: &Path, check: &str, made: &gpu::Made) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let nonce = gpu::DEVICE_DATA.get(..32).unwrap_or_default();
    let judgement = format!(
        "fails = \"{check}\"\ntime = {}\nreport-data = \"{}\"\n",
        made.now_secs,
        base16ct::lower::encode_string(nonce),
    );
    for (file, bytes) in [
        ("report.bin", made.evidence.report.as_slice()),
        ("chain.pem", made.evidence.chain.as_slice()),
        ("policy.toml", made.policy.as_bytes()),
        ("vector.toml", judgement.as_bytes()),
    ] {
        let path = folder.join(file);
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The same for a TPM alone, in the KBS form.
fn write_tpm(folder: &Path, check: &str, draft: &tpm::Draft) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let (evidence, policy) = draft.build();
    let report_data = draft.expected.report_data.as_bytes();
    let judgement = format!(
        "fails = \"{check}\"\ntime = {}\nreport-data = \"{}\"\n",
        snp::NOW_SECS,
        base16ct::lower::encode_string(report_data),
    );
    let evidence = evidence.to_kbs_form(report_data);
    for (file, text) in [
        ("evidence.json", &evidence),
        ("policy.toml", &policy),
        ("vector.toml", &judgement),
    ] {
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
