//! The real nitride-quote before a played `/dev/sev-guest`.
#![forbid(unsafe_code)]

use anyhow::Result;
use nitride_protocol::Status;
use nitride_tsm::guest_device::{Asked, Firmware, GuestDevice};
use nitride_tsm::machine::{Helper, Machine};
use nitride_tsm::provider::{ASK, VCEK, table};
use nix::unistd::getuid;
use serde_json::{Value, json};

/// `None`, and says so, without the rights of root: who is not dumpable is not held by others.
fn start(lines: &str, firmware: Firmware) -> Result<Option<(Helper, GuestDevice)>> {
    if !getuid().is_root() {
        eprintln!("skipped: a played guest device takes root");
        return Ok(None);
    }
    let machine = Machine {
        has_guest_device: true,
        ..Machine::default()
    };
    let helper = Helper::start(&machine, &format!("tee = \"snp\"\n{lines}"))?;
    let device = GuestDevice::play(helper.pid(), firmware)?;
    Ok(Some((helper, device)))
}

fn with_certificates() -> Result<Firmware> {
    Ok(Firmware {
        table: table(&[(VCEK, b"a vcek"), (ASK, b"an ask")])?,
        ..Firmware::default()
    })
}

/// A request over `[7; 48]`, as the kernel reads it.
fn request(vmpl: u8) -> Vec<u8> {
    let mut request = [&[7; 48][..], &[0; 16], &[vmpl]].concat();
    request.resize(96, 0);
    request
}

#[test]
fn the_device_is_asked_for_report_and_certificates_where_there_is_no_configfs_tsm() -> Result<()> {
    let Some((helper, device)) = start("", with_certificates()?)? else {
        return Ok(());
    };
    let evidence = helper.evidence("snp", &[7; 48])?.unwrap();
    assert_eq!(
        device.take_asked(),
        [Asked::ExtendedReport(request(0), 0x4000)]
    );
    let covered = [&[7; 48][..], &[0; 16]].concat();
    assert_eq!(
        evidence["attestation_report"]["report_data"],
        json!(covered)
    );
    assert_eq!(
        evidence["cert_chain"],
        json!([
            {"cert_type": "VCEK", "data": b"a vcek"},
            {"cert_type": "ASK", "data": b"an ask"},
        ])
    );
    let log = helper.log()?;
    assert!(log.contains("/dev/sev-guest, since"), "{log}");
    Ok(())
}

#[test]
fn a_host_without_certificates_is_no_fault() -> Result<()> {
    let lines = "[snp]\ninterface = \"sev-guest\"\nvmpl = 2";
    let Some((helper, device)) = start(lines, Firmware::default())? else {
        return Ok(());
    };
    let evidence = helper.evidence("snp", &[7; 48])?.unwrap();
    let asked = device.take_asked();
    assert_eq!(asked, [Asked::ExtendedReport(request(2), 0x4000)]);
    assert_eq!(evidence["cert_chain"], Value::Null);
    assert_eq!(evidence["attestation_report"]["vmpl"], 2);
    assert!(!helper.log()?.contains("WARN"), "{}", helper.log()?);
    Ok(())
}

#[test]
fn more_certificates_than_the_kernel_passes_on_are_left_with_the_host() -> Result<()> {
    let mut firmware = with_certificates()?;
    firmware.table.resize(0x4001, 0);
    let Some((helper, device)) = start("", firmware)? else {
        return Ok(());
    };
    let evidence = helper.evidence("snp", &[7; 48])?.unwrap();
    assert_eq!(
        device.take_asked(),
        [
            Asked::ExtendedReport(request(0), 0x4000),
            Asked::Report(request(0)),
        ]
    );
    assert_eq!(evidence["cert_chain"], Value::Null);
    let log = helper.log()?;
    assert!(log.contains("longer than the kernel passes on"), "{log}");
    Ok(())
}

#[test]
fn a_table_that_leads_outside_itself_is_left_out_with_a_warning() -> Result<()> {
    let mut firmware = with_certificates()?;
    firmware.table[16..20].copy_from_slice(&0xffff_f000_u32.to_le_bytes());
    let Some((helper, _device)) = start("", firmware)? else {
        return Ok(());
    };
    let evidence = helper.evidence("snp", &[7; 48])?.unwrap();
    assert_eq!(evidence["cert_chain"], Value::Null);
    let log = helper.log()?;
    assert!(log.contains("entry 0 lies outside the table"), "{log}");
    Ok(())
}

#[test]
fn what_the_firmware_refuses_is_a_refusal_with_its_reason() -> Result<()> {
    let lines = "[snp]\nvmpl = 1";
    let Some((helper, device)) = start(lines, with_certificates()?)? else {
        return Ok(());
    };
    let refused = |change: fn(&mut Firmware), named: &str| -> Result<()> {
        device.change(change);
        let answer = helper.evidence("snp", &[7; 48])?;
        assert_eq!(answer, Err(Status::EvidenceUnavailable), "{named}");
        assert!(helper.log()?.contains(named), "{named}: {}", helper.log()?);
        Ok(())
    };
    refused(|firmware| firmware.vmpl = Some(3), "of VMPL 3, not 1")?;
    refused(|firmware| firmware.status = 0x16, "firmware status 0x16")?;
    refused(|firmware| firmware.is_wiped = true, "Inappropriate ioctl")
}
