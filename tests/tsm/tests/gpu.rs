//! NVIDIA's devices: what the real nitride-quote makes of a library that plays NVML is judged by every
//! check, and what a library may do wrong gives no evidence.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use anyhow::Result;
use nitride_evidence::gpu::GpuSettings;
use nitride_evidence::{CollectError, Collector, KernelPaths, OpenError, Settings};
use nitride_protocol::Status;
use nitride_tsm::machine::{Helper, Machine};
use nitride_tsm::nvml::{Asked, Nvml, table};
use nitride_vectors::gpu::{DEVICE_DATA, Draft};
use serde_json::Value;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SAMPLE: &str = "tee = \"sample\"\n[sample]\nsvn = \"1\"\ndanger-simulated = true\n";

/// A GPU as the test PKI has one, under a chain that is made once.
fn good(chain: Vec<u8>) -> impl FnMut(Asked) -> Vec<u8> + Send + 'static {
    let draft = Draft::good();
    move |asked| match asked {
        Asked::Chain { .. } => chain.clone(),
        Asked::Report { nonce, .. } => Draft {
            nonce,
            ..draft.clone()
        }
        .report(),
    }
}

fn open(nvml: &Nvml, devices: u32) -> Result<Collector, OpenError> {
    let settings = GpuSettings::new(devices, Some(nvml.path())).unwrap();
    Collector::open(Settings::Gpu(settings), &KernelPaths::of_this_machine())
}

fn collected(nvml: &Nvml, devices: u32) -> Result<Value, CollectError> {
    let mut collector = open(nvml, devices).unwrap_or_else(|error| panic!("{error}"));
    let evidence = collector.collect(&DEVICE_DATA)?;
    assert_eq!(evidence.primary_evidence, "");
    Ok(serde_json::from_str(&evidence.additional_evidence).unwrap())
}

#[test]
fn a_report_passes_every_check_as_it_was_collected() -> Result<()> {
    let made = Draft::good().build();
    let nvml = Nvml::start(&[], good(made.evidence.chain.clone()))?;
    let lines = format!("{SAMPLE}{}", nvml.lines(1));
    let helper = Helper::start(&Machine::default(), &lines)?;
    let devices = helper.evidence("nvidia", &DEVICE_DATA)?.unwrap();
    assert_eq!(
        devices["nvidia"]["device_evidence_list"][0]["arch"],
        "HOPPER"
    );
    let composite = made.judge(&devices.to_string()).unwrap();
    let device = &composite.devices()[0];
    assert_eq!(device.failures().collect::<Vec<_>>(), []);
    // The machine's own evidence is asked for beside it, and of nothing else there is any.
    assert_eq!(helper.evidence("sample", &[5; 48])?.unwrap()["svn"], "1");
    let refused = helper.evidence("snp", &[5; 48])?.unwrap_err();
    assert_eq!(refused, Status::EvidenceUnavailable);
    let log = helper.log()?;
    assert!(log.contains("driver 550.90.07, GPU-0"), "{log}");
    Ok(())
}

#[test]
fn each_gpu_gives_one_report_over_the_first_32_bytes() -> Result<()> {
    let chain = Draft::good().build().evidence.chain;
    let (said, heard) = std::sync::mpsc::channel();
    let mut answer = good(chain);
    let nvml = Nvml::start(&["COUNT=3", "ARCHITECTURE=10"], move |asked| {
        if let Asked::Report { index, nonce } = asked {
            said.send((index, nonce)).unwrap();
        }
        answer(asked)
    })?;
    let mut data = [1; 48];
    data[32..].fill(2);
    let mut collector = open(&nvml, 3)?;
    let evidence = collector.collect(&data)?;
    let form: Value = serde_json::from_str(&evidence.additional_evidence)?;
    let list = form["nvidia"]["device_evidence_list"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[2]["arch"], "BLACKWELL");
    let asked: Vec<_> = heard.try_iter().collect();
    assert_eq!(asked, [(0, [1; 32]), (1, [1; 32]), (2, [1; 32])]);
    Ok(())
}

#[test]
fn gpus_that_are_configured_and_missing_are_an_error() -> Result<()> {
    for (definition, devices, says) in [
        ("COUNT=0", 1, "0 GPUs are there, and 1 are configured"),
        ("COUNT=1", 2, "1 GPUs are there, and 2 are configured"),
        ("COUNT=2", 1, "2 GPUs are there, and 1 are configured"),
        (
            "INIT=9",
            1,
            "nvmlInit_v2 answers 9: the driver is not loaded",
        ),
    ] {
        let nvml = Nvml::start(&[definition], |_| Vec::new())?;
        let error = open(&nvml, devices).unwrap_err().to_string();
        assert!(error.starts_with("cannot open the nvidia collector: "));
        assert!(error.contains(says), "{definition}: {error}");
    }
    let lines = format!("{SAMPLE}{}", table("/nonexistent/nvml.so".as_ref(), 1));
    let said = Machine::default().refusal(&lines)?;
    assert!(said.contains("/nonexistent/nvml.so"), "{said}");
    Ok(())
}

#[test]
fn a_library_that_others_may_write_is_not_loaded() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let nvml = Nvml::start(&[], |_| Vec::new())?;
    let writable = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(nvml.path(), writable)?;
    let lines = format!("{SAMPLE}{}", nvml.lines(1));
    let said = Machine::default().refusal(&lines)?;
    assert!(said.contains("cannot be trusted"), "{said}");
    Ok(())
}

#[test]
fn the_file_that_was_looked_at_is_what_is_loaded() -> Result<()> {
    let nvml = Nvml::start(&["COUNT=1"], |_| Vec::new())?;
    let other = Nvml::start(&["COUNT=2"], |_| Vec::new())?;
    let file = File::open(nvml.path())?;
    std::fs::rename(other.path(), nvml.path())?;
    let settings = GpuSettings::new(1, Some(nvml.path()))?.loaded_from(file.as_fd());
    let opened = Collector::open(Settings::Gpu(settings), &KernelPaths::of_this_machine())?;
    // People are told of the path.
    let path = nvml.path().display().to_string();
    assert!(opened.found().starts_with(&path), "{}", opened.found());
    assert!(open(&nvml, 1).is_err());
    Ok(())
}

#[test]
fn no_further_gpu_is_asked_once_nobody_waits() -> Result<()> {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut answer = good(Draft::good().build().evidence.chain);
    let nvml = Nvml::start(&["COUNT=3"], move |asked| {
        if let Asked::Report { .. } = asked {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(500));
        }
        answer(asked)
    })?;
    let by = Instant::now() + Duration::from_millis(250);
    let refused = open(&nvml, 3)?.collect_by(&DEVICE_DATA, by).unwrap_err();
    let says = "before GPU 1 of 3 was asked";
    assert!(refused.to_string().contains(says), "{refused}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    Ok(())
}

#[test]
fn a_helper_whose_gpu_hangs_ends_for_another_to_be_started() -> Result<()> {
    let nvml = Nvml::start(&[], |_| {
        std::thread::sleep(Duration::from_secs(3600));
        Vec::new()
    })?;
    let lines = format!("device-timeout-ms = 100\n{SAMPLE}{}", nvml.lines(1));
    let mut helper = Helper::start(&Machine::default(), &lines)?;
    let refused = helper.evidence("nvidia", &DEVICE_DATA)?.unwrap_err();
    assert_eq!(refused, Status::TimedOut);
    std::thread::sleep(Duration::from_millis(500));
    // Whoever comes next, or the watchdog's next turn, finds it.
    let _ = helper.evidence("sample", &[5; 48]);
    let status = helper.wait_within(Duration::from_secs(20))?;
    assert_eq!(status.code(), Some(1));
    let log = helper.log()?;
    assert!(log.contains("it hangs"), "{log}");
    Ok(())
}

#[test]
fn what_a_library_does_wrong_gives_no_evidence() -> Result<()> {
    for (definition, says) in [
        (
            "WITHOUT_REPORT",
            "it has no nvmlDeviceGetConfComputeGpuAttestationReport",
        ),
        ("REPORT=3", "answers 3: not supported"),
        ("REPORT=15", "answers 15: the GPU has fallen off the bus"),
        ("REPORT=12345", "answers 12345"),
        (
            "REPORT_SIZE=0x2001",
            "wrote 8193 bytes where there is room for 8192",
        ),
        ("REPORT_SIZE=0xffffffff", "wrote 4294967295 bytes"),
        ("REPORT_SIZE=3", "the report ends early"),
        ("REPORT_SIZE=35", "covers other data"),
        (
            "CHAIN_SIZE=0x1401",
            "wrote 5121 bytes where there is room for 5120",
        ),
        ("CHAIN_SIZE=0", "no certificates in PEM"),
        ("ARCHITECTURE=8", "no attestation that is known here"),
    ] {
        let chain = Draft::good().build().evidence.chain;
        let nvml = Nvml::start(&[definition], good(chain))?;
        let error = collected(&nvml, 1).unwrap_err().to_string();
        assert!(error.contains(says), "{definition}: {error}");
    }
    Ok(())
}

#[test]
fn a_report_over_another_nonce_or_of_another_form_is_not_passed_on() -> Result<()> {
    let chain = Draft::good().build().evidence.chain;
    for (at, is_other_data) in [(0, false), (3, false), (4, true), (35, true)] {
        let mut answer = good(chain.clone());
        let nvml = Nvml::start(&[], move |asked| {
            let mut said = answer(asked);
            if let Asked::Report { .. } = asked {
                said[at] ^= 1;
            }
            said
        })?;
        let error = collected(&nvml, 1).unwrap_err();
        let is_refused = matches!(error, CollectError::OtherData { .. });
        assert_eq!(is_refused, is_other_data, "{at}: {error}");
    }
    Ok(())
}

#[test]
fn zeros_after_the_chain_are_left_out() -> Result<()> {
    let made = Draft::good().build();
    let mut chain = made.evidence.chain.clone();
    chain.extend([0, 0]);
    let nvml = Nvml::start(&[], good(chain))?;
    let devices = collected(&nvml, 1)?;
    assert!(made.judge(&devices.to_string()).is_ok());
    Ok(())
}
