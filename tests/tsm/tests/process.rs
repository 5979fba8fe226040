//! The real nitride-quote, over a configfs-tsm where the kernel's would be.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use base64ct::{Base64, Encoding};
use nitride_protocol::Status;
use nitride_tsm::machine::{Helper, Machine};
use nitride_tsm::provider::{Provider, VCEK, table};
use nitride_tsm::{Fault, Tsm};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn mounted() -> Result<Option<(Tsm, Machine)>> {
    let table = table(&[(VCEK, b"a vcek")])?;
    let tsm = Tsm::mount(Provider::Snp { floor: 0, table })?;
    Ok(tsm.map(|tsm| {
        let reports = Some(tsm.reports().to_owned());
        let machine = Machine {
            reports,
            ..Machine::default()
        };
        (tsm, machine)
    }))
}

/// What a report of the answer covers.
fn covered(answer: Result<Value, Status>) -> Result<Value> {
    let evidence = answer.map_err(|status| anyhow::anyhow!("{status:?}"))?;
    Ok(evidence["attestation_report"]["report_data"].clone())
}

fn padded(byte: u8) -> Value {
    json!([[byte; 48].as_slice(), &[0; 16]].concat())
}

#[test]
fn vhsmd_gets_a_report_over_its_data_and_the_hosts_certificates() -> Result<()> {
    let Some((tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let helper = Helper::start(&machine, "tee = \"snp\"")?;
    let evidence = helper.evidence("snp", &[7; 48])?.unwrap();
    assert_eq!(evidence["attestation_report"]["report_data"], padded(7));
    assert_eq!(evidence["cert_chain"][0]["cert_type"], "VCEK");
    assert_eq!(tsm.left()?, Vec::<String>::new());
    let log = helper.log()?;
    assert!(log.contains("configfs-tsm, served by sev_guest"), "{log}");
    assert!(!log.contains("SIMULAT"), "{log}");
    Ok(())
}

#[test]
fn callers_at_once_each_get_a_report_over_their_own_data() -> Result<()> {
    let Some((_tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let helper = Helper::start(&machine, "tee = \"snp\"")?;
    std::thread::scope(|scope| {
        let askers: Vec<_> = (1..=6_u8)
            .map(|byte| {
                let helper = &helper;
                scope.spawn(move || covered(helper.evidence("snp", &[byte; 48])?))
            })
            .collect();
        for (byte, asker) in (1..).zip(askers) {
            assert_eq!(asker.join().unwrap()?, padded(byte));
        }
        Ok(())
    })
}

#[test]
fn a_provider_that_stalls_holds_up_nobody_for_longer_than_is_configured() -> Result<()> {
    let Some((tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let lines = "tee = \"snp\"\ndevice-timeout-ms = 300";
    let helper = Helper::start(&machine, lines)?;
    tsm.inject(Fault::Stall(Duration::from_secs(30)));
    let began = Instant::now();
    for _ in 0..3 {
        let answer = helper.evidence("snp", &[7; 48])?;
        assert_eq!(answer, Err(Status::TimedOut));
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(
        tsm.stalled(),
        1,
        "the provider was asked for those who gave up"
    );
    tsm.resume();
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        match helper.evidence("snp", &[8; 48])? {
            Err(Status::TimedOut) if Instant::now() < deadline => {}
            answer => break answer,
        }
    };
    assert_eq!(covered(answer)?, padded(8));
    assert_eq!(tsm.left()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_fault_is_a_refusal_and_stands_in_the_log() -> Result<()> {
    let Some((tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let helper = Helper::start(&machine, "tee = \"snp\"")?;
    for (fault, named) in [
        (Fault::EmptyOutblob, "an empty report"),
        (Fault::StaleOutblob, "covers other data"),
        (Fault::Refused(nix::libc::EFBIG), "longer than the kernel"),
    ] {
        tsm.inject(fault);
        let answer = helper.evidence("snp", &[7; 48])?;
        assert_eq!(answer, Err(Status::EvidenceUnavailable), "{fault:?}");
        assert!(
            helper.log()?.contains(named),
            "{fault:?}: {}",
            helper.log()?
        );
    }
    for fault in [Fault::NotStored, Fault::WrittenAfter] {
        tsm.inject(fault);
        assert_eq!(covered(helper.evidence("snp", &[9; 48])?)?, padded(9));
    }
    tsm.inject(Fault::TruncatedAuxblob);
    let evidence = helper.evidence("snp", &[7; 48])?.unwrap();
    assert_eq!(evidence["cert_chain"], Value::Null);
    let log = helper.log()?;
    assert!(log.contains("left out of the evidence"), "{log}");
    Ok(())
}

#[test]
fn what_a_killed_helper_left_behind_goes_when_the_next_one_starts() -> Result<()> {
    let Some((tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let mut helper = Helper::start(&machine, "tee = \"snp\"")?;
    tsm.inject(Fault::Stall(Duration::from_millis(800)));
    let pid = helper.pid();
    std::thread::scope(|scope| -> Result<()> {
        let asking = scope.spawn(|| -> Result<()> {
            while tsm.stalled() == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let mut kill = std::process::Command::new("kill");
            kill.args(["-KILL", &pid.to_string()]).status()?;
            Ok(())
        });
        assert!(helper.evidence("snp", &[7; 48]).is_err());
        asking.join().unwrap()
    })?;
    helper.kill()?;
    tsm.resume();
    let [left] = &tsm.left()?[..] else {
        panic!("{:?}", tsm.left()?);
    };
    assert!(left.starts_with(&format!("nitride-{pid}-")), "{left}");
    let helper = Helper::start(&machine, "tee = \"snp\"")?;
    assert_eq!(tsm.left()?, Vec::<String>::new());
    assert_eq!(covered(helper.evidence("snp", &[7; 48])?)?, padded(7));
    Ok(())
}

#[test]
fn a_tee_that_is_not_there_is_no_start_whatever_else_is_there() -> Result<()> {
    let Some((_tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let said = machine.refusal("tee = \"tdx\"")?;
    assert!(said.contains("cannot open the tdx collector"), "{said}");
    assert!(
        said.contains("served by \"sev_guest\", not by \"tdx_guest\""),
        "{said}"
    );
    let lines = "tee = \"snp\"\n[snp]\ninterface = \"sev-guest\"";
    let said = machine.refusal(lines)?;
    assert!(said.contains("cannot open /dev/sev-guest"), "{said}");
    let said = Machine::default().refusal("tee = \"snp\"")?;
    assert!(
        said.contains("Linux 6.7") && said.contains("/dev/sev-guest"),
        "{said}"
    );
    Ok(())
}

#[test]
fn detection_finds_what_the_kernel_has_where_it_has_it() -> Result<()> {
    let Some((_tsm, machine)) = mounted()? else {
        return Ok(());
    };
    let said = machine.detected()?;
    let line = said.lines().next().context("nothing")?;
    assert_eq!(
        line,
        "/sys/kernel/config/tsm/report: snp: its provider is \"sev_guest\""
    );
    assert!(
        said.contains("/dev/sev-guest: nothing: cannot open"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_quote_of_tdx_comes_with_the_log_of_the_machines_tables() -> Result<()> {
    let Some(tsm) = Tsm::mount(Provider::Tdx { version: 5 })? else {
        return Ok(());
    };
    let machine = Machine {
        reports: Some(tsm.reports().to_owned()),
        acpi_tables: Some(tsm.folder().join("tables")),
        ..Machine::default()
    };
    let mut ccel = b"CCEL".to_vec();
    ccel.resize(56, 0);
    ccel[36] = 2;
    tsm.folder().write("tables/CCEL", ccel)?;
    let mut log = vec![0; 28];
    log.extend([33, 0, 0, 0]);
    log.extend(b"Spec ID Event03\0");
    log.extend([0; 8]);
    log.extend([1, 0, 0, 0, 0x0c, 0, 48, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    tsm.folder().write("tables/data/CCEL", &log)?;
    let lines = "tee = \"tdx\"\n[tdx]\nevent-log = \"required\"";
    let helper = Helper::start(&machine, lines)?;
    let evidence = helper.evidence("tdx", &[7; 48])?.unwrap();
    assert!(
        evidence["quote"]
            .as_str()
            .is_some_and(|quote| quote.starts_with("BQAC"))
    );
    let text = evidence["cc_eventlog"].as_str().context("no log")?;
    let sent = Base64::decode_vec(text).map_err(|error| anyhow::anyhow!("{error}"))?;
    assert_eq!(sent, log[..log.len() - 4]);
    Ok(())
}
