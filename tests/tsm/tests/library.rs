//! The collectors, over a configfs-tsm with every fault that it is known for.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use nitride_evidence::{
    Collector, EventLog, Evidence, KernelPaths, Settings, SnpInterface, SnpSettings, TdxSettings,
    Tee, detect,
};
use nitride_tsm::provider::{ASK, Provider, VCEK, table, tdx_quote};
use nitride_tsm::{Fault, Tsm};
use nix::libc;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

const DATA: [u8; 48] = [0xda; 48];

/// More than the number of tries that a collector makes.
const ALWAYS: usize = 20;

fn snp(floor: u32) -> Result<Provider> {
    let table = table(&[(VCEK, b"a vcek"), (ASK, b"an ask")])?;
    Ok(Provider::Snp { floor, table })
}

fn paths(tsm: &Tsm) -> KernelPaths {
    KernelPaths {
        tsm_reports: tsm.reports().to_owned(),
        sev_guest: tsm.folder().join("sev-guest"),
        sev_vmpl: tsm.folder().join("vmpl"),
        tdx_measurements: tsm.folder().join("measurements"),
        acpi_tables: tsm.folder().join("tables"),
        bios_measurements: tsm.folder().join("bios-measurements"),
        tpm: format!("device:{}", tsm.folder().join("tpm").display()),
    }
}

fn snp_settings(vmpl: Option<u32>) -> Settings {
    let interface = SnpInterface::FirstFound;
    Settings::Snp(SnpSettings { interface, vmpl })
}

fn tdx_settings(event_log: EventLog) -> Settings {
    Settings::Tdx(TdxSettings { event_log })
}

fn open(tsm: &Tsm, settings: Settings) -> Result<Collector> {
    let collector = Collector::open(settings, &paths(tsm))?;
    let _ = tsm.take_steps();
    Ok(collector)
}

fn form(evidence: &Evidence) -> Result<Value> {
    Ok(serde_json::from_str(&evidence.primary_evidence)?)
}

/// What a collector of SEV-SNP says of a fault in each of its tries.
fn refusal(fault: Fault) -> Result<Option<(String, Vec<String>)>> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(None);
    };
    let mut collector = open(&tsm, snp_settings(None))?;
    (0..ALWAYS).for_each(|_| tsm.inject(fault));
    let refused = collector.collect(&DATA).err().context("evidence")?;
    assert_eq!(tsm.left()?, Vec::<String>::new(), "a folder is left");
    Ok(Some((refused.to_string(), tsm.take_steps())))
}

fn tries(steps: &[String]) -> usize {
    steps.iter().filter(|step| *step == "make").count()
}

#[test]
fn a_report_of_sev_snp_is_collected_step_by_step_and_its_folder_goes() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(());
    };
    let mut collector = open(&tsm, snp_settings(None))?;
    assert_eq!(
        collector.found(),
        "configfs-tsm, served by sev_guest, privlevel_floor 0"
    );
    let evidence = collector.collect(&DATA)?;
    assert_eq!(
        tsm.take_steps(),
        [
            "make",
            "read generation",
            "write inblob",
            "read generation",
            "write privlevel",
            "read generation",
            "read outblob",
            "read auxblob",
            "read generation",
            "remove",
        ]
    );
    assert_eq!(tsm.left()?, Vec::<String>::new());
    assert_eq!(evidence.tee, Tee::Snp);
    assert_eq!(evidence.warnings, Vec::<String>::new());
    let form = form(&evidence)?;
    let covered = [&DATA[..], &[0; 16]].concat();
    assert_eq!(form["attestation_report"]["report_data"], json!(covered));
    assert_eq!(
        form["cert_chain"],
        json!([
            {"cert_type": "VCEK", "data": b"a vcek"},
            {"cert_type": "ASK", "data": b"an ask"},
        ])
    );
    Ok(())
}

#[test]
fn a_quote_of_tdx_is_collected_with_its_event_log() -> Result<()> {
    for version in [4, 5] {
        let Some(tsm) = Tsm::mount(Provider::Tdx { version })? else {
            return Ok(());
        };
        let mut collector = open(&tsm, tdx_settings(EventLog::IfThere))?;
        let bare = collector.collect(&DATA)?;
        assert!(!tsm.take_steps().contains(&"write privlevel".to_owned()));
        assert_eq!(form(&bare)?["cc_eventlog"], Value::Null);
        assert!(bare.warnings[0].contains("CCEL"), "{:?}", bare.warnings);

        let mut ccel = b"CCEL".to_vec();
        ccel.resize(56, 0);
        ccel[36] = 2;
        tsm.folder().write("tables/CCEL", ccel)?;
        let log = event_log();
        let area = [&log[..], &[0xff; 1000]].concat();
        tsm.folder().write("tables/data/CCEL", area)?;
        let mut required = open(&tsm, tdx_settings(EventLog::Required))?;
        let evidence = required.collect(&DATA)?;
        assert_eq!(evidence.warnings, Vec::<String>::new());
        let form = form(&evidence)?;
        let bytes = |name: &str| {
            let text = form[name].as_str().unwrap_or_default();
            Base64::decode_vec(text).map_err(|error| anyhow::anyhow!("{name}: {error}"))
        };
        assert_eq!(bytes("cc_eventlog")?, log);
        let covered = [&DATA[..], &[0; 16]].concat();
        assert_eq!(
            bytes("quote")?,
            tdx_quote(&covered.try_into().unwrap(), version)
        );
    }
    Ok(())
}

/// One event of register 1 after the first.
fn event_log() -> Vec<u8> {
    let mut log = vec![0; 28];
    log.extend([33, 0, 0, 0]);
    log.extend(b"Spec ID Event03\0");
    log.extend([0; 8]);
    log.extend([1, 0, 0, 0, 0x0c, 0, 48, 0, 0]);
    log.extend([1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0]);
    log.extend([7; 48]);
    log.extend([0; 4]);
    log
}

#[test]
fn a_required_event_log_that_is_missing_is_no_evidence() -> Result<()> {
    let Some(tsm) = Tsm::mount(Provider::Tdx { version: 4 })? else {
        return Ok(());
    };
    let mut collector = open(&tsm, tdx_settings(EventLog::Required))?;
    let refused = collector.collect(&DATA).unwrap_err().to_string();
    assert!(refused.contains("wants the event log"), "{refused}");
    let mut omitted = open(&tsm, tdx_settings(EventLog::Omitted))?;
    assert_eq!(omitted.collect(&DATA)?.warnings, Vec::<String>::new());
    Ok(())
}

#[test]
fn data_that_was_not_stored_is_written_again_and_never_taken_for_stored() -> Result<()> {
    let Some((said, steps)) = refusal(Fault::NotStored)? else {
        return Ok(());
    };
    assert!(said.contains("did not store inblob"), "{said}");
    assert_eq!(tries(&steps), 5);
    assert!(!steps.contains(&"read outblob".to_owned()));
    Ok(())
}

#[test]
fn a_request_that_somebody_else_writes_to_gives_nothing() -> Result<()> {
    for fault in [Fault::WrittenBefore, Fault::WrittenAfter] {
        let Some((said, steps)) = refusal(fault)? else {
            return Ok(());
        };
        assert!(
            said.contains("another process changed the request"),
            "{said}"
        );
        assert_eq!(tries(&steps), 5, "{fault:?}");
    }
    Ok(())
}

#[test]
fn what_passes_is_tried_again_in_a_request_of_its_own() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(());
    };
    let mut collector = open(&tsm, snp_settings(None))?;
    for fault in [
        Fault::NotStored,
        Fault::WrittenBefore,
        Fault::WrittenAfter,
        Fault::Refused(libc::EBUSY),
        Fault::Refused(libc::EINTR),
    ] {
        tsm.inject(fault);
        collector.collect(&DATA)?;
        assert_eq!(tries(&tsm.take_steps()), 2, "{fault:?}");
        assert_eq!(tsm.left()?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn what_does_not_pass_is_asked_once_and_named() -> Result<()> {
    for (fault, named) in [
        (Fault::EmptyOutblob, "an empty report"),
        (Fault::StaleOutblob, "covers other data than it was asked"),
        (Fault::LongOutblob, "longer than 65536 bytes"),
        (
            Fault::Refused(libc::EFBIG),
            "longer than the kernel passes on",
        ),
        (
            Fault::Refused(libc::ETIMEDOUT),
            "quoting service does not answer",
        ),
        (Fault::Refused(libc::ENOTTY), "wiped until the next boot"),
        (Fault::Refused(libc::EINVAL), "does not take what was asked"),
        (
            Fault::Refused(libc::EIO),
            "cannot read outblob: Input/output",
        ),
    ] {
        let Some((said, steps)) = refusal(fault)? else {
            return Ok(());
        };
        assert!(said.contains(named), "{fault:?}: {said}");
        assert_eq!(tries(&steps), 1, "{fault:?}");
    }
    Ok(())
}

#[test]
fn a_quote_over_other_data_is_refused() -> Result<()> {
    let Some(tsm) = Tsm::mount(Provider::Tdx { version: 5 })? else {
        return Ok(());
    };
    let mut collector = open(&tsm, tdx_settings(EventLog::Omitted))?;
    tsm.inject(Fault::StaleOutblob);
    let said = collector.collect(&DATA).unwrap_err().to_string();
    assert!(said.contains("covers other data"), "{said}");
    Ok(())
}

#[test]
fn a_host_that_stays_busy_is_named_after_the_last_try() -> Result<()> {
    let Some((said, steps)) = refusal(Fault::Refused(libc::EBUSY))? else {
        return Ok(());
    };
    assert!(
        said.contains("an earlier request is still with the host"),
        "{said}"
    );
    assert_eq!(tries(&steps), 5);
    Ok(())
}

#[test]
fn a_table_of_certificates_that_is_cut_is_left_out_with_a_warning() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(());
    };
    let mut collector = open(&tsm, snp_settings(None))?;
    tsm.inject(Fault::TruncatedAuxblob);
    let evidence = collector.collect(&DATA)?;
    assert_eq!(form(&evidence)?["cert_chain"], Value::Null);
    let [warning] = &evidence.warnings[..] else {
        panic!("{:?}", evidence.warnings);
    };
    assert!(warning.contains("entry 1 lies outside"), "{warning}");
    Ok(())
}

#[test]
fn the_vmpl_is_what_is_configured_or_the_least_that_is_taken() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(2)?)? else {
        return Ok(());
    };
    for (vmpl, given) in [(None, 2), (Some(2), 2), (Some(3), 3)] {
        let evidence = open(&tsm, snp_settings(vmpl))?.collect(&DATA)?;
        assert_eq!(form(&evidence)?["attestation_report"]["vmpl"], given);
    }
    let refused = open(&tsm, snp_settings(Some(1)))?.collect(&DATA);
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("below privlevel_floor"), "{said}");
    Ok(())
}

#[test]
fn another_provider_than_the_configured_is_an_error() -> Result<()> {
    let Some(tsm) = Tsm::mount(Provider::Tdx { version: 4 })? else {
        return Ok(());
    };
    let refused = Collector::open(snp_settings(None), &paths(&tsm));
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains("served by \"tdx_guest\", not by \"sev_guest\""),
        "{said}"
    );
    assert!(said.contains("sev-guest: No such file"), "{said}");
    let Some(tsm) = Tsm::mount(Provider::Absent)? else {
        return Ok(());
    };
    let refused = Collector::open(tdx_settings(EventLog::IfThere), &paths(&tsm));
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("no provider"), "{said}");
    Ok(())
}

#[test]
fn folders_of_helpers_that_are_no_more_go_and_others_stay() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(());
    };
    let namespace = std::fs::metadata("/proc/self/ns/pid")?.ino();
    let folder = |pid| format!("nitride-{pid}-{namespace}-00000000000000aa");
    let (alive, ended) = (folder(std::process::id()), folder(u32::MAX));
    for name in [ended.as_str(), "others", &alive] {
        std::fs::create_dir(tsm.reports().join(name))?;
    }
    open(&tsm, snp_settings(None))?;
    assert_eq!(tsm.left()?, ["others", &alive]);
    Ok(())
}

#[test]
fn more_reports_than_the_firmware_likes_wait_for_their_turn() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(());
    };
    let mut collector = open(&tsm, snp_settings(None))?;
    let began = Instant::now();
    for _ in 0..6 {
        collector.collect(&DATA)?;
    }
    assert!(began.elapsed() >= Duration::from_millis(450));
    Ok(())
}

#[test]
fn each_further_try_counts_as_a_request_to_the_firmware() -> Result<()> {
    let Some(tsm) = Tsm::mount(snp(0)?)? else {
        return Ok(());
    };
    let mut collector = open(&tsm, snp_settings(None))?;
    for _ in 0..3 {
        tsm.inject(Fault::Refused(libc::EINTR));
        collector.collect(&DATA)?;
    }
    // Six requests, of which four go at once; three pauses before a further try are 5 ms each.
    let began = Instant::now();
    collector.collect(&DATA)?;
    assert!(began.elapsed() >= Duration::from_millis(150));
    Ok(())
}

#[test]
fn detection_says_which_tee_and_by_which_provider() -> Result<()> {
    for (provider, tee) in [
        (snp(0)?, Some(Tee::Snp)),
        (Provider::Tdx { version: 4 }, Some(Tee::Tdx)),
        (Provider::Absent, None),
    ] {
        let name = format!("{provider:?}");
        let Some(tsm) = Tsm::mount(provider)? else {
            return Ok(());
        };
        let findings = detect(&paths(&tsm));
        assert_eq!(findings[0].tee, tee, "{name}");
        assert!(findings[1..].iter().all(|finding| finding.tee.is_none()));
        assert_eq!(tsm.left()?, Vec::<String>::new());
    }
    Ok(())
}
