use super::*;

const EXPECTED: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:\
    dynamic:4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

fn least() -> String {
    format!("[[volume]]\nname = \"root\"\ndevice = \"/dev/vda2\"\nexpect = [\"{EXPECTED}\"]\n")
}

fn refused(text: &str) -> (usize, String) {
    match Config::parse(text) {
        Ok(config) => panic!("{config:?}"),
        Err(found) => (found.line(text), found.fault),
    }
}

#[test]
fn the_least_reads_as_written_out() {
    let config = Config::parse(&least()).ok().unwrap();
    assert_eq!(config.cryptsetup, Path::new("/usr/sbin/cryptsetup"));
    assert_eq!(config.key_files, Path::new("/run/cryptsetup-keys.d"));
    assert_eq!(config.admin, Path::new("/run/vhsm/admin.sock"));
    assert!(!config.danger_any_root);
    let volume = config.volume("root").unwrap();
    assert_eq!(volume.device, Path::new("/dev/vda2"));
    assert_eq!(volume.passphrases, ["root"]);
    assert_eq!(volume.timeout, Duration::from_secs(330));
    let expected = Expected::These(vec![EXPECTED.parse().unwrap()]);
    assert_eq!(volume.wanted.expected, expected);
    assert!(volume.wanted.tokens.is_empty() && volume.wanted.flags.is_empty());
    assert!(matches!(
        config.volume("data"),
        Err(ConfigError::NoVolume { .. })
    ));
}

#[test]
fn any_header_is_taken_where_that_is_said() {
    let expect = format!("expect = [\"{EXPECTED}\"]");
    let text = least().replace(&expect, "danger-any-header = true");
    let config = Config::parse(&text).ok().unwrap();
    assert_eq!(config.volumes[0].wanted.expected, Expected::DangerAny);
    for nothing in ["", "expect = []", "danger-any-header = false"] {
        let (line, fault) = refused(&least().replace(&expect, nothing));
        assert_eq!(line, 2);
        assert!(fault.starts_with("nothing is expected"), "{fault}");
    }
    let both = format!("{}danger-any-header = true\n", least());
    assert!(refused(&both).1.contains("not both"));
}

#[test]
fn what_cannot_be_is_refused_where_it_stands() {
    for (from, to, line) in [
        ("\"root\"", "\"a/b\"", 2),
        ("\"root\"", "\"\"", 2),
        ("\"root\"", "\"--help\"", 2),
        ("\"/dev/vda2\"", "\"vda2\"", 3),
        ("luks2:", "luks1:", 4),
        ("expect", "surprise = 1\nexpect", 4),
        ("expect", "tokens = [\"luks2-keyring\"]\nexpect", 4),
        ("expect", "timeout-secs = 0\nexpect", 4),
        ("expect", "passphrases = []\nexpect", 4),
        ("expect", "passphrases = [\"a\", \"a\"]\nexpect", 4),
        ("expect", "passphrases = [\"a/b\"]\nexpect", 4),
    ] {
        let text = least().replace(from, to);
        assert_ne!(text, least());
        assert_eq!(refused(&text).0, line, "{to}");
    }
    let twice = format!("{}{}", least(), least());
    assert!(refused(&twice).1.contains("stated twice"));
    assert!(
        refused("cryptsetup = \"cryptsetup\"\n")
            .1
            .contains("relative")
    );
}

#[test]
fn a_root_hash_is_one() {
    let hash = "0a".repeat(32);
    let stated = |hashes: &str| Config::parse(&format!("root-hash = [{hashes}]\n{}", least()));
    let read = stated(&format!("\"{hash}\"")).ok().unwrap();
    assert_eq!(read.root_hashes, [hash.as_str()]);
    let none = Config::parse(&least()).ok().unwrap();
    assert!(none.root_hashes.is_empty());
    for other in [&hash[..40], &hash.to_uppercase(), &format!("{hash} ")] {
        let fault = stated(&format!("\"{other}\"")).err().unwrap();
        assert!(fault.fault.contains("not a root hash"), "{other}");
    }
}

#[test]
fn a_file_that_everybody_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unlock.toml");
    std::fs::write(&path, least()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o602)).unwrap();
    let refused = Config::load(&path);
    assert!(matches!(
        refused,
        Err(ConfigError::Settings(SettingsError::Untrusted { .. }))
    ));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Config::load(&path).is_ok());
}
