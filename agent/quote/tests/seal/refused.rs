//! Who and what is refused, whatever the platform.

use crate::process::{Helper, ask, is_root};
use crate::swtpm::Swtpm;
use nitride_protocol::Status;
use nitride_protocol::quote::{CounterRequest, ForgetRequest, PlatformKeyRequest};
use nix::unistd::getuid;

const SAMPLE: &str = "svn = \"1\"\ndanger-simulated = true";

#[test]
fn a_device_that_is_not_there_is_named_and_the_helper_serves_all_the_same() {
    if !is_root() {
        return;
    }
    for (platform, lines) in [
        ("tpm", "tcti = \"device:/nonexistent/tpmrm0\"\npcrs = [7]"),
        ("snp", "device = \"/nonexistent/sev-guest\""),
    ] {
        let helper = Helper::start(platform, lines);
        for _ in 0..2 {
            assert_eq!(helper.make(), Err(Status::PlatformAbsent));
        }
        let log = helper.log();
        assert!(log.contains("cannot open"), "{log}");
        assert!(log.contains("/nonexistent/"), "{log}");
    }
}

#[test]
fn a_tpm_that_goes_and_comes_is_refused_and_served() {
    let Some(mut tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    let made = helper.make().unwrap();
    tpm.stop();
    assert_eq!(helper.again(&made.params), Err(Status::PlatformAbsent));
    tpm.restart();
    assert_eq!(helper.again(&made.params), Ok(made));
}

#[test]
fn a_foreign_uid_gets_no_secret_and_no_counter() {
    // Giving the socket to another uid takes root.
    if !is_root() {
        return;
    }
    let helper = Helper::start_for(getuid().as_raw() + 1, "sample", SAMPLE);
    let platform = "sample";
    let key = PlatformKeyRequest {
        platform,
        params: &[],
    };
    assert_eq!(ask(&helper.connect(), &key), None);
    let counter = CounterRequest {
        platform,
        params: b"sample 1 1",
        increment: true,
    };
    assert_eq!(ask(&helper.connect(), &counter), None);
    let forget = ForgetRequest {
        platform,
        params: &[],
    };
    assert_eq!(ask(&helper.connect(), &forget), None);
    assert!(helper.log().contains("uid 0 is not the caller"));
}

#[test]
fn another_platform_than_the_configured_one_is_refused() {
    let helper = Helper::start("sample", SAMPLE);
    for platform in ["tpm", "snp", "credential", "Sample"] {
        let wanted = PlatformKeyRequest {
            platform,
            params: &[],
        };
        let refused = ask(&helper.connect(), &wanted).unwrap();
        assert_eq!(refused, Err(Status::PlatformAbsent), "{platform}");
    }
}

#[test]
fn the_sample_is_loud_and_gives_its_secret_again() {
    let helper = Helper::start("sample", SAMPLE);
    let made = helper.make().unwrap();
    assert_eq!(helper.again(&made.params), Ok(made.clone()));
    let none = helper.counter(&made.params, false);
    assert_eq!(none, Err(Status::CounterLost));
    assert_eq!(helper.again(b"tpm key1"), Err(Status::PlatformForeign));
    let log = helper.log();
    assert!(log.contains("SIMULATION"), "{log}");
    assert!(
        log.contains("SIMULATED platform, which anybody can open"),
        "{log}"
    );
    assert!(log.contains("known to everybody"), "{log}");
    let other = Helper::start("sample", &SAMPLE.replace("\"1\"", "\"2\""));
    assert_eq!(other.again(&made.params), Err(Status::PlatformChanged));
}
