use super::*;
use nitride_evidence::az::{AzureHardware, AzureSettings, UserData};
use nitride_evidence::gpu::GpuSettings;
use nitride_evidence::seal::{TcbVersion, TpmSettings};
use nitride_evidence::tpm::{QuoteKey, TpmQuoteSettings};
use nitride_evidence::{EventLog, Settings, SnpInterface, SnpSettings, TdxSettings};
use std::io::Write;

const GOOD: &str = r#"
tee = "sample"
socket = "/run/nitride/quote.sock"

[caller]
uid = 990
unit = "vhsmd.service"

[sample]
svn = "1"
danger-simulated = true
"#;

fn refused(text: &str) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let error = Config::load(file.path()).unwrap_err().to_string();
    let folder = file.path().parent().unwrap().display().to_string();
    let (_, located) = error.split_at(folder.len());
    located.split_once(':').unwrap().1.to_owned()
}

#[test]
fn a_whole_configuration_is_read() {
    let config = Config::parse(GOOD).ok().unwrap();
    assert_eq!(config.caller.uid, 990);
    assert_eq!(config.caller.unit.as_deref(), Some("vhsmd.service"));
    assert_eq!(config.device_timeout, Duration::from_secs(10));
    assert_eq!(config.idle_exit, None);
    assert_eq!(config.seal, None);
    let svn = "1".to_owned();
    assert_eq!(config.source, Source::DangerSimulated { svn });
}

#[test]
fn a_file_that_everybody_can_write_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    file.as_file().set_permissions(everybody).unwrap();
    assert!(matches!(
        Config::load(file.path()),
        Err(SettingsError::Untrusted { .. })
    ));
}

#[test]
fn an_unknown_key_is_an_error_with_its_line() {
    let error = refused(&GOOD.replace("svn", "danger-fast = 1\nsvn"));
    assert!(
        error.starts_with("10: unknown field `danger-fast`"),
        "{error}"
    );
    assert!(
        error.contains("expected `svn` or `danger-simulated`"),
        "{error}"
    );
}

#[test]
fn simulation_must_be_stated() {
    let error = refused(&GOOD.replace("danger-simulated = true", ""));
    assert!(
        error.starts_with("9: sample evidence proves nothing"),
        "{error}"
    );
    let error = refused("tee = \"sample\"\n[caller]\nuid = 1\n");
    assert!(error.starts_with("1: sample evidence needs"), "{error}");
}

#[test]
fn sample_settings_beside_a_real_tee_are_refused() {
    let error = refused(&GOOD.replace("\"sample\"", "\"snp\""));
    assert!(error.contains("has no meaning"), "{error}");
}

#[test]
fn a_real_tee_needs_no_simulation() {
    let config = Config::parse("tee = \"tdx\"\n[caller]\nuid = 1\n")
        .ok()
        .unwrap();
    let settings = Settings::Tdx(TdxSettings::default());
    assert_eq!(config.source, Source::Tee(settings));
}

fn azure(hardware: AzureHardware, tcti: &str, user_data: UserData, socket: &str) -> Settings {
    let settings = AzureSettings::new(hardware, tcti, user_data, socket.into());
    Settings::Azure(settings.unwrap())
}

fn settings(text: &str) -> Settings {
    let config = Config::parse(&format!("{text}\n[caller]\nuid = 1\n"));
    match config
        .unwrap_or_else(|fault| panic!("{}", fault.fault))
        .source
    {
        Source::Tee(settings) => settings,
        simulated @ Source::DangerSimulated { .. } => panic!("{simulated:?}"),
    }
}

#[test]
fn a_tee_has_settings_of_its_own() {
    let snp = |interface, vmpl| Settings::Snp(SnpSettings { interface, vmpl });
    assert_eq!(
        settings("tee = \"snp\""),
        snp(SnpInterface::FirstFound, None)
    );
    assert_eq!(
        settings("tee = \"snp\"\n[snp]\ninterface = \"sev-guest\"\nvmpl = 2"),
        snp(SnpInterface::SevGuest, Some(2))
    );
    assert_eq!(
        settings("tee = \"snp\"\n[snp]\ninterface = \"configfs-tsm\""),
        snp(SnpInterface::ConfigfsTsm, None)
    );
    for (word, event_log) in [
        ("required", EventLog::Required),
        ("if-there", EventLog::IfThere),
        ("omitted", EventLog::Omitted),
    ] {
        assert_eq!(
            settings(&format!("tee = \"tdx\"\n[tdx]\nevent-log = \"{word}\"")),
            Settings::Tdx(TdxSettings { event_log })
        );
    }
    let tpm = |tcti, pcrs: Option<&[u32]>, key, event_log| {
        let settings = TpmQuoteSettings::new(tcti, pcrs, key, event_log, Vec::new());
        Settings::Tpm(settings.unwrap())
    };
    assert_eq!(
        settings("tee = \"tpm\""),
        tpm(
            "device:/dev/tpmrm0",
            None,
            QuoteKey::EccP256,
            EventLog::IfThere
        )
    );
    assert_eq!(
        settings(
            "tee = \"tpm\"\n[tpm]\ntcti = \"device:/dev/tpm1\"\npcrs = [4, 9]\n\
             key = \"rsa-2048\"\nevent-log = \"required\""
        ),
        tpm(
            "device:/dev/tpm1",
            Some(&[4, 9]),
            QuoteKey::Rsa2048,
            EventLog::Required
        )
    );
    assert_eq!(
        settings("tee = \"az-snp-vtpm\""),
        azure(
            AzureHardware::Snp,
            "device:/dev/tpmrm0",
            UserData::Bound,
            "/run/nitride/imds.sock"
        )
    );
    assert_eq!(
        settings(
            "tee = \"az-tdx-vtpm\"\n[azure]\ntcti = \"device:/dev/tpm1\"\n\
             user-data = \"as-it-is\"\nmetadata-socket = \"/run/a\""
        ),
        azure(
            AzureHardware::Tdx,
            "device:/dev/tpm1",
            UserData::AsItIs,
            "/run/a"
        )
    );
}

#[test]
fn a_fault_of_the_tees_settings_is_named_with_its_line() {
    for (text, said) in [
        (
            "tee = \"snp\"\n[tdx]",
            "2: [tdx] has no meaning with `tee = \"snp\"`",
        ),
        (
            "tee = \"tdx\"\n[snp]",
            "2: [snp] has no meaning with `tee = \"tdx\"`",
        ),
        (
            "tee = \"snp\"\n[snp]\nvmpl = 4",
            "3: the value is out of range",
        ),
        (
            "tee = \"snp\"\n[snp]\ninterface = \"tsm\"",
            "3: no such interface",
        ),
        (
            "tee = \"snp\"\n[snp]\ndevice = \"/dev/x\"",
            "3: unknown field `device`",
        ),
        ("tee = \"tdx\"\n[tdx]\nevent-log = true", "3: invalid type"),
        (
            "tee = \"tpm\"\n[tpm]\npcrs = [24]",
            "3: give different PCRs",
        ),
        ("tee = \"tpm\"\n[tpm]\nkey = \"ec\"", "3: no such key"),
        (
            "tee = \"tpm\"\n[tpm]\nauthorities = [\"a\"]",
            "3: the path is relative",
        ),
        (
            "tee = \"tpm\"\n[azure]",
            "2: [azure] has no meaning with `tee = \"tpm\"`",
        ),
        (
            "tee = \"az-snp-vtpm\"\n[tpm]",
            "2: [tpm] has no meaning with `tee = \"az-snp-vtpm\"`",
        ),
        (
            "tee = \"az-snp-vtpm\"\n[azure]\nuser-data = true",
            "3: invalid type",
        ),
        (
            "tee = \"az-snp-vtpm\"\n[azure]\nuser-data = \"any\"",
            "3: no such choice",
        ),
        (
            "tee = \"az-tdx-vtpm\"\n[azure]\nmetadata-socket = \"a\"",
            "3: the path is relative",
        ),
        (
            "tee = \"az-tdx-vtpm\"\n[azure]\ntcti = \"tpm\"",
            "3: the TCTI is none",
        ),
        (
            "tee = \"tdx\"\n[tdx]\nevent-log = \"yes\"",
            "3: no such choice",
        ),
    ] {
        let error = refused(&format!("{text}\n[caller]\nuid = 1\n"));
        assert!(error.starts_with(said), "{text}: {error}");
    }
}

#[test]
fn somebody_must_be_the_caller() {
    assert!(refused("tee = \"snp\"\n[caller]\n").starts_with("2: nobody may call"));
    assert!(refused("tee = \"snp\"\n").contains("missing field `caller`"));
    let error = refused("tee = \"snp\"\n[caller]\nuser = \"nobody-of-that-name\"\n");
    assert!(error.starts_with("3: there is no user"), "{error}");
}

#[test]
fn a_user_is_resolved_to_its_uid() {
    let config = Config::parse("tee = \"snp\"\n[caller]\nuser = \"root\"\n");
    assert_eq!(config.ok().unwrap().caller.uid, 0);
}

#[test]
fn values_out_of_range_name_the_range() {
    let error = refused(&GOOD.replace("tee =", "device-timeout-ms = 1\ntee ="));
    assert!(
        error.starts_with("2: the value is out of range: give 100 to"),
        "{error}"
    );
    let error = refused(&GOOD.replace("/run/nitride/", ""));
    assert!(error.contains("relative"), "{error}");
}

fn sealed(table: &str) -> Config {
    Config::parse(&format!("{GOOD}\n[seal]\n{table}"))
        .unwrap_or_else(|fault| panic!("{}", fault.fault))
}

#[test]
fn sealing_platforms_are_read() {
    let config = sealed("platform = \"tpm\"\npcrs = [7, 4]\ncounter-index = 0x0180_0100\n");
    let settings = TpmSettings::new("device:/dev/tpmrm0", &[7, 4], Some(0x0180_0100)).unwrap();
    assert_eq!(config.seal, Some(Seal::Tpm(settings)));
    let config = sealed("platform = \"snp\"\n");
    let device = PathBuf::from("/dev/sev-guest");
    assert_eq!(
        config.seal,
        Some(Seal::Snp {
            device,
            vmpl: 0,
            min_tcb: TcbVersion::default(),
        })
    );
    let config = sealed("platform = \"sample\"\nsvn = \"1\"\ndanger-simulated = true\n");
    let svn = "1".to_owned();
    assert_eq!(config.seal, Some(Seal::DangerSimulated { svn }));
}

#[test]
fn a_fault_of_the_sealing_platform_is_named_with_its_line() {
    for (table, said) in [
        ("platform = \"tpm\"\n", "13: give `pcrs`"),
        (
            "platform = \"tpm\"\npcrs = []\n",
            "15: give 1 to 8 different PCRs",
        ),
        (
            "platform = \"tpm\"\npcrs = [24]\n",
            "15: give 1 to 8 different PCRs",
        ),
        (
            "platform = \"tpm\"\npcrs = [7]\ntcti = \"tpm0\"\n",
            "16: the TCTI is none",
        ),
        (
            "platform = \"tpm\"\npcrs = [7]\ncounter-index = 1\n",
            "16: the counter's index is not the owner's",
        ),
        (
            "platform = \"tpm\"\npcrs = [7]\nsvn = \"1\"\n",
            "13: `svn` has no meaning",
        ),
        (
            "platform = \"snp\"\npcrs = [7]\n",
            "13: `pcrs` has no meaning",
        ),
        (
            "platform = \"snp\"\nvmpl = 4\n",
            "15: the value is out of range",
        ),
        (
            "platform = \"snp\"\ndevice = \"sev\"\n",
            "15: the path is relative",
        ),
        (
            "platform = \"snp\"\nmin-tcb = \"1\"\n",
            "15: no TCB version",
        ),
        (
            "platform = \"tpm\"\npcrs = [7]\nmin-tcb = \"db18000000000004\"\n",
            "13: `min-tcb` has no meaning",
        ),
        (
            "platform = \"sample\"\nsvn = \"1\"\n",
            "13: anybody can open",
        ),
        (
            "platform = \"sample\"\ndanger-simulated = true\n",
            "13: give `svn`",
        ),
        (
            "platform = \"credential\"\n",
            "14: no such sealing platform here",
        ),
        ("platform = \"tpm\"\npcr = [7]\n", "15: unknown field `pcr`"),
    ] {
        let error = refused(&format!("{GOOD}\n[seal]\n{table}"));
        assert!(error.starts_with(said), "{table}: {error}");
    }
}

#[test]
fn devices_are_beside_any_machine() {
    let parse = |table: &str| Config::parse(&format!("{GOOD}\n[gpu]\n{table}"));
    let gpus = |table| parse(table).map(|config| config.gpus).ok().flatten();
    assert_eq!(gpus("devices = 8"), GpuSettings::new(8, None).ok());
    let library = Some(PathBuf::from("/lib/nvml.so"));
    assert_eq!(
        gpus("devices = 1\nlibrary = \"/lib/nvml.so\""),
        GpuSettings::new(1, library).ok()
    );
    for (table, fault) in [
        ("devices = 0", "no such number of GPUs: 1 to 16"),
        ("devices = 17", "no such number of GPUs: 1 to 16"),
        ("devices = 1\nlibrary = \"nvml.so\"", "the path is relative"),
        ("library = \"/lib/nvml.so\"", "missing field `devices`"),
        ("devices = 1\nindex = 0", "unknown field `index`"),
    ] {
        let refused = parse(table).unwrap_err().fault;
        assert!(refused.contains(fault), "{table}: {refused}");
    }
    assert!(refused("tee = \"nvidia\"\n[caller]\nuid = 1\n").contains("no such TEE"));
}
