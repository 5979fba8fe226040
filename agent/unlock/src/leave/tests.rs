use super::mounts::{MountsError, below, is_root_of_initrd};
use super::protection::{Grounds, Protection, Table, weakest};
use super::{LeaveError, check_root, is_same};
use crate::config::Config;
use crate::device_mapper::Target;
use crate::opened::{self, DeviceNumber, Opened};
use std::fs::{self, create_dir_all};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const MOUNTS: &str = "\
1 1 0:2 / / rw - rootfs rootfs rw
22 1 0:20 / /proc rw,nosuid shared:12 - proc proc rw
30 1 253:0 / /sysroot ro,relatime shared:1 - ext4 /dev/mapper/root ro
31 30 0:25 / /sysroot/run rw - tmpfs tmpfs rw
";
const PLAIN: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:dynamic:\
    4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
const UUID: &str = "CRYPT-LUKS2-7dfa3aba96d94de690e845d3d2d0d897-root";

fn number(text: &str) -> DeviceNumber {
    text.parse().unwrap()
}

/// A folder as /sys is, with devices and what they are made of.
struct Sys(tempfile::TempDir);

impl Sys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn device(self, number: &str, uuid: Option<&str>, slaves: &[&str]) -> Self {
        let folder = self.0.path().join("dev/block").join(number);
        create_dir_all(folder.join("slaves")).unwrap();
        if let Some(uuid) = uuid {
            create_dir_all(folder.join("dm")).unwrap();
            fs::write(folder.join("dm/uuid"), format!("{uuid}\n")).unwrap();
        }
        for slave in slaves {
            let slave_folder = folder.join("slaves").join(slave.replace(':', "-"));
            create_dir_all(&slave_folder).unwrap();
            fs::write(slave_folder.join("dev"), format!("{slave}\n")).unwrap();
        }
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn of(&self, devices: &[&str], opened: &[Opened]) -> Protection {
        self.of_these(devices, opened, &[])
    }

    /// With mappings whose table is dm-verity's, and such that change no block's number.
    fn of_these(&self, devices: &[&str], opened: &[Opened], verity: &[&str]) -> Protection {
        self.by_tables(devices, opened, verity, &["253:4"])
    }

    fn by_tables(
        &self,
        devices: &[&str],
        opened: &[Opened],
        verity: &[&str],
        same: &[&str],
    ) -> Protection {
        let devices: Vec<_> = devices.iter().map(|device| number(device)).collect();
        let grounds = Grounds {
            sys: self.path(),
            opened,
            table: &|device| match device.to_string().as_str() {
                number if verity.contains(&number) => Table::Verity,
                number if same.contains(&number) => Table::Same,
                _ => Table::Other,
            },
        };
        weakest(&grounds, &devices)
    }
}

fn ours(integrity: bool) -> Opened {
    let text = match integrity {
        true => PLAIN.replace(":none:", ":hmac(sha256):"),
        false => PLAIN.to_owned(),
    };
    Opened {
        device: number("253:0"),
        uuid: UUID.to_owned(),
        volume: text.parse().unwrap(),
    }
}

#[test]
fn the_root_and_every_disk_below_it_count() {
    let root = Path::new("/sysroot");
    assert_eq!(below(MOUNTS, root), Ok(vec![number("253:0")]));
    let usr = format!("{MOUNTS}40 30 8:3 / /sysroot/usr ro - ext4 /dev/sda3 ro\n");
    let both = vec![number("253:0"), number("8:3")];
    assert_eq!(below(&usr, root), Ok(both));
    // Memory in the root's own place is not protected by anything that could be named.
    let volatile = MOUNTS.replace(
        "253:0 / /sysroot ro,relatime shared:1 - ext4",
        "0:40 / /sysroot rw - tmpfs",
    );
    assert_eq!(below(&volatile, root), Ok(vec![number("0:40")]));
    let beside = format!("{MOUNTS}40 1 8:3 / /sysroot2 ro - ext4 /dev/sda3 ro\n");
    assert_eq!(below(&beside, root), Ok(vec![number("253:0")]));
}

#[test]
fn a_root_that_is_not_mounted_and_lines_of_another_form_are_named() {
    let refused = below(MOUNTS, Path::new("/root"));
    let root = "/root".to_owned();
    assert_eq!(refused, Err(MountsError::NotMounted { root }));
    for line in [
        "",
        "1 1 0:2 / / rw",
        "1 1 x / / rw - ext4 a b",
        "1 1 0:2 / / rw - ",
    ] {
        let text = format!("{MOUNTS}{line}\n");
        let refused = below(&text, Path::new("/sysroot"));
        let is_named = refused == Err(MountsError::Form { line: 5 });
        assert!(is_named || line.ends_with("- "), "{line:?}");
    }
}

#[test]
fn a_system_is_no_initrd() {
    assert!(is_root_of_initrd(MOUNTS));
    assert!(!is_root_of_initrd(&MOUNTS.replace("rootfs", "ext4")));
}

#[test]
fn verity_is_the_kernels_word_and_the_weakest_counts() {
    let sys = Sys::new()
        .device("253:0", Some("CRYPT-VERITY-0a-root"), &["8:2"])
        .device("8:2", None, &[])
        .device("253:3", Some("LVM-abc"), &["253:0", "8:2"])
        .device("253:4", Some("LVM-abd"), &["253:0"]);
    // 8:2 is no mapping, and the device mapper is not asked of it.
    let of = |devices: &[&str]| sys.of_these(devices, &[], &["253:0", "8:2"]);
    assert_eq!(of(&["253:0"]), Protection::Verity);
    assert_eq!(of(&["8:2"]), Protection::Foreign);
    assert_eq!(of(&["253:0", "8:2"]), Protection::Foreign);
    assert_eq!(of(&["253:3"]), Protection::Foreign);
    assert_eq!(of(&["253:4"]), Protection::Verity);
    assert_eq!(of(&["0:40"]), Protection::Foreign);
    assert_eq!(of(&[]), Protection::Foreign);
    // The name alone, which anybody can give to any mapping.
    assert_eq!(sys.of(&["253:0"], &[]), Protection::Foreign);
}

#[test]
fn blocks_in_another_order_are_worth_no_more_than_what_the_host_can_change() {
    let sys = Sys::new()
        .device("253:0", Some(UUID), &["8:2"])
        .device("253:1", Some("CRYPT-VERITY-0a-root"), &["8:3"])
        .device("253:5", Some("LVM-abc"), &["253:1"])
        .device("253:6", Some("LVM-abd"), &["253:0"]);
    let of =
        |device: &str, same: &[&str]| sys.by_tables(&[device], &[ours(true)], &["253:1"], same);
    for (device, below) in [
        ("253:5", Protection::Verity),
        ("253:6", Protection::Integrity),
    ] {
        assert_eq!(of(device, &[device]), below);
        assert_eq!(of(device, &[]), Protection::Opened);
    }
}

#[test]
fn a_mapping_is_the_device_below_it_if_it_is_one_from_its_beginning() {
    let target = |kind: &str, start, parameters: &str| Target {
        start,
        kind: kind.to_owned(),
        parameters: parameters.to_owned(),
    };
    let linear = target("linear", 0, "8:2 0");
    assert!(is_same(std::slice::from_ref(&linear)));
    for other in [
        target("linear", 0, "8:2 2048"),
        target("linear", 8, "8:2 0"),
        target("striped", 0, "8:2 0"),
        target("linear", 0, "8:2"),
    ] {
        assert!(!is_same(&[other]));
    }
    assert!(!is_same(&[linear.clone(), linear]));
    assert!(!is_same(&[]));
}

#[test]
fn integrity_is_what_the_checked_header_of_this_very_mapping_said() {
    // The mapping's own name, and the one below it, are what the host's header makes, too.
    let sys = Sys::new()
        .device("253:0", Some(UUID), &["253:1"])
        .device("253:1", Some("CRYPT-INTEGRITY-root_dif"), &["8:2"])
        .device("8:2", None, &[]);
    assert_eq!(sys.of(&["253:0"], &[]), Protection::Foreign);
    assert_eq!(sys.of(&["253:0"], &[ours(false)]), Protection::Opened);
    assert_eq!(
        sys.of(&["253:0", "8:2"], &[ours(true)]),
        Protection::Foreign
    );
    assert_eq!(sys.of(&["253:0"], &[ours(true)]), Protection::Integrity);
    let elsewhere = Opened {
        device: number("253:7"),
        ..ours(true)
    };
    let other = Opened {
        uuid: UUID.replace("root", "home"),
        ..ours(true)
    };
    assert_eq!(sys.of(&["253:0"], &[elsewhere, other]), Protection::Foreign);
}

#[test]
fn devices_that_go_round_end() {
    let sys = Sys::new().device("253:0", Some("LVM-a"), &["253:0"]);
    assert_eq!(sys.of(&["253:0"], &[]), Protection::Foreign);
}

#[test]
fn what_was_opened_is_found_noted_and_read_back() {
    let sys = tempfile::tempdir().unwrap();
    let mapping = sys.path().join("block/dm-0/dm");
    create_dir_all(&mapping).unwrap();
    create_dir_all(sys.path().join("block/vda")).unwrap();
    fs::write(mapping.join("name"), "root\n").unwrap();
    fs::write(mapping.join("uuid"), format!("{UUID}\n")).unwrap();
    fs::write(sys.path().join("block/dm-0/dev"), "253:0\n").unwrap();
    let volume = ours(true).volume;
    let found = Opened::now(sys.path(), "root", &volume).unwrap();
    assert_eq!(found, ours(true));
    assert!(Opened::now(sys.path(), "roo", &volume).is_err());
    let folder = sys.path().join("notes");
    found.note(&folder, "root").unwrap();
    // And again, as after a second try.
    found.note(&folder, "root").unwrap();
    assert_eq!(opened::all(&folder), [ours(true)]);
    // `leave` is another user, with no right to pass by a mode.
    let mode = fs::metadata(folder.join("root")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o644);
    assert!(opened::all(&sys.path().join("none")).is_empty());
}

#[test]
fn a_note_that_others_can_write_or_of_another_form_is_none() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let good = format!("253:0 {UUID} {PLAIN}\n");
    let note = folder.path().join("root");
    for text in [
        String::new(),
        good.trim_end().to_owned(),
        good.replace("253:0", "253"),
        good.replace("luks2:", "luks1:"),
        good.replace(UUID, ""),
        good.replace('\n', " more\n"),
    ] {
        fs::write(&note, text).unwrap();
        assert!(opened::all(folder.path()).is_empty());
    }
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        opened::all(folder.path())
    };
    fs::write(&note, &good).unwrap();
    assert_eq!(opened::all(folder.path()), [ours(false)]);
    assert!(chmod(&note, 0o666).is_empty());
    assert_eq!(chmod(&note, 0o644), [ours(false)]);
    assert!(chmod(folder.path(), 0o777).is_empty());
    assert_eq!(chmod(folder.path(), 0o755), [ours(false)]);
    // A link of the opener's to what only root can read.
    let elsewhere = folder.path().with_extension("elsewhere");
    fs::rename(&note, &elsewhere).unwrap();
    symlink(&elsewhere, &note).unwrap();
    assert!(opened::all(folder.path()).is_empty());
    fs::remove_file(elsewhere).unwrap();
}

#[test]
fn a_root_of_somebody_elses_ends_the_boot_where_volumes_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unlock.toml");
    let config = |text: &str| {
        fs::write(&path, text).unwrap();
        Config::load(&path).unwrap()
    };
    let volume =
        format!("[[volume]]\nname = \"root\"\ndevice = \"/dev/vda2\"\nexpect = [\"{PLAIN}\"]\n");
    let taken = |text: &str, found| check_root(&config(text), Path::new("/sysroot"), found);
    let refused = taken(&volume, Protection::Foreign);
    assert!(matches!(refused, Err(LeaveError::ForeignRoot { .. })));
    for found in [
        Protection::Opened,
        Protection::Integrity,
        Protection::Verity,
    ] {
        assert!(taken(&volume, found).is_ok());
    }
    let danger = format!("danger-any-root = true\n{volume}");
    assert!(taken(&danger, Protection::Foreign).is_ok());
    assert!(taken("", Protection::Foreign).is_ok());
}
