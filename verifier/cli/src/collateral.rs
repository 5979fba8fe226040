//! `collateral`: fetch what vendors publish into a folder, and make one file of it. The only verbs
//! that speak to anybody.

use crate::arguments::{BundleArguments, CollateralVerb, FetchArguments};
use crate::exit::Exit;
use crate::moment::Moment;
use nitride_collateral::{
    AmdWanted, Done, Fetch, Files, IntelWanted, Limits, Obstacle, Services, Shelf, Trust, told,
};
use nitride_verify::VekId;
use nitride_verify::evidence::{SnpProduct, SnpReport};
use nitride_verify::policy::SigningKey;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::runtime;

/// Longer than any report, so that the parser names the length of what is none.
const MAX_REPORT_LEN: u64 = 64 << 10;

/// Does it, and says what was done.
pub(crate) fn run(verb: &CollateralVerb, json: bool) -> Result<(String, Exit), Obstacle> {
    let shown = match verb {
        CollateralVerb::Fetch(arguments) => shown(&fetch(arguments)?, json),
        CollateralVerb::Bundle(arguments) => {
            bundle(arguments)?;
            shown(&[Done::Fetched(arguments.into.clone())], json)
        }
    };
    Ok((shown, Exit::Accepted))
}

fn fetch(arguments: &FetchArguments) -> Result<Vec<Done>, Obstacle> {
    let amd = amd_wanted(arguments)?;
    if amd.is_empty() && arguments.fmspcs.is_empty() {
        let remedy = "say what: --amd PRODUCT, --report FILE, --fmspc HEX";
        return Err(Obstacle::of("collateral", "nothing is asked for", remedy));
    }
    let defaults = Services::default();
    let or = |given: &Option<String>, default| given.clone().unwrap_or(default);
    let services = Services {
        kds: or(&arguments.kds, defaults.kds),
        pcs: or(&arguments.pcs, defaults.pcs),
        root_crl: or(&arguments.root_crl, defaults.root_crl),
    };
    let trust = arguments.tls_ca.clone();
    let limits = Limits {
        request_timeout: Duration::from_secs(arguments.timeout_secs),
        max_wait: Duration::from_secs(arguments.max_wait_secs),
        ..Limits::default()
    };
    let mut fetch = Fetch::into_folder(
        &arguments.into,
        services,
        &trust.map_or(Trust::System, Trust::Pinned),
        limits,
        arguments.max_age_secs,
        Moment::now().0,
    )?
    .danger_with_test_anchors(arguments.danger_test_anchors.clone());
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Obstacle::of("network", told(&error), "allow this program sockets"))?;
    runtime.block_on(async {
        for wanted in &amd {
            fetch.amd(wanted).await?;
        }
        for fmspc in &arguments.fmspcs {
            let ca = arguments.pck_ca;
            let fmspc = *fmspc;
            fetch.intel(&IntelWanted { fmspc, ca }).await?;
        }
        Ok::<_, Obstacle>(())
    })?;
    // What was fetched has to be what judgements read.
    Shelf::read(&arguments.into, &mut Files::new())?;
    Ok(fetch.done().to_vec())
}

/// One entry a product: those that are named, and those of reports.
fn amd_wanted(arguments: &FetchArguments) -> Result<Vec<AmdWanted>, Obstacle> {
    let mut wanted: Vec<AmdWanted> = Vec::new();
    for product in &arguments.products {
        of_product(&mut wanted, *product, arguments.vlek);
    }
    let mut files = Files::new();
    for path in &arguments.reports {
        let id = chip_of(path, &mut files)?;
        let of_product = of_product(&mut wanted, id.product, arguments.vlek);
        if !of_product.vceks.contains(&id) {
            of_product.vceks.push(id);
        }
    }
    Ok(wanted)
}

fn of_product(wanted: &mut Vec<AmdWanted>, product: SnpProduct, vlek: bool) -> &mut AmdWanted {
    let at = wanted.iter().position(|entry| entry.product == product);
    let at = at.unwrap_or(wanted.len());
    if at == wanted.len() {
        wanted.push(AmdWanted {
            product,
            vlek,
            vceks: Vec::new(),
        });
    }
    &mut wanted[at]
}

/// Which chip's key a report was signed with, at which TCB.
fn chip_of(path: &Path, files: &mut Files) -> Result<VekId, Obstacle> {
    let bytes = files.read(path, MAX_REPORT_LEN)?;
    let report = SnpReport::parse(&bytes)
        .map_err(|fault| Obstacle::at(path, told(&fault), "give a SEV-SNP report"))?;
    let [family, model, _] = report.cpuid;
    let product = SnpProduct::of_cpuid(family, model).ok_or_else(|| {
        let remedy = "fetch its product by --amd; a report of version 2 does not say it";
        Obstacle::at(path, "does not say which product it is of", remedy)
    })?;
    let id = VekId::of_report(&report, product, SigningKey::Vcek);
    id.filter(|id| id.chip_id.iter().any(|byte| *byte != 0))
        .ok_or_else(|| {
            let remedy = "let the host send the key with the evidence";
            Obstacle::at(path, "does not say which chip it is of", remedy)
        })
}

fn bundle(arguments: &BundleArguments) -> Result<(), Obstacle> {
    let shelf = Shelf::read(&arguments.from, &mut Files::new())?;
    shelf.write_bundle(&arguments.into)
}

fn shown(done: &[Done], json: bool) -> String {
    let word = |done: &Done| match done {
        Done::Kept(_) => "kept",
        Done::Fetched(_) => "new",
    };
    if json {
        let files: Vec<Value> = done
            .iter()
            .map(|done| json!({ "file": done.path().display().to_string(), "is": word(done) }))
            .collect();
        return format!("{}\n", json!({ "files": files }));
    }
    done.iter()
        .map(|done| format!("{:<5} {}\n", word(done), done.path().display()))
        .collect()
}
