//! Who besides this helper may open the TPM. Its attestation key has no password, whichever it is: whoever
//! may open the device has any report data quoted, a key of their own among them, and is this machine to
//! every service. For the other TEEs it takes root.

use std::fs::{metadata, read_to_string};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const GROUPS: &str = "/etc/group";
const USERS: &str = "/etc/passwd";

/// Whom the system's files name.
struct Names {
    groups: String,
    users: String,
}

/// What there is to say of the device, and of the one beside it that leads to the same TPM; that they are
/// not there, who opens them says. Names of a directory service and access control lists are not looked
/// at.
pub(crate) fn warning(device: &Path) -> Option<String> {
    let names = Names {
        groups: read_to_string(GROUPS).unwrap_or_default(),
        users: read_to_string(USERS).unwrap_or_default(),
    };
    let devices = [Some(device.to_owned()), beside(device)];
    let told: Vec<String> = devices
        .into_iter()
        .flatten()
        .filter_map(|device| {
            let found = metadata(&device).ok()?;
            let others = names.others(found.mode(), found.uid(), found.gid());
            let may = format!("{} may open {}", others.join(" and "), device.display());
            (!others.is_empty()).then_some(may)
        })
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// `/dev/tpm0` of `/dev/tpmrm0`, and the other way round.
fn beside(device: &Path) -> Option<PathBuf> {
    let name = device.file_name()?.to_str()?;
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let managed = name.strip_prefix("tpmrm").filter(is_number);
    let bare = name.strip_prefix("tpm").filter(is_number);
    let other = match (managed, bare) {
        (Some(number), _) => format!("tpm{number}"),
        (None, Some(number)) => format!("tpmrm{number}"),
        (None, None) => return None,
    };
    Some(device.with_file_name(other))
}

impl Names {
    fn others(&self, mode: u32, uid: u32, gid: u32) -> Vec<String> {
        let everybody = (mode & 0o006 != 0).then(|| "everybody".to_owned());
        let owner = (mode & 0o600 != 0 && uid != 0).then(|| self.user(uid));
        let group = (mode & 0o060 != 0 && gid != 0).then(|| self.group(gid));
        [everybody, owner, group].into_iter().flatten().collect()
    }

    fn user(&self, uid: u32) -> String {
        // name:password:uid:gid
        let named = self.users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, found) = (fields.next()?, fields.nth(1)?);
            (found.parse() == Ok(uid)).then_some(name)
        });
        match named {
            Some(name) => format!("the user {name}"),
            None => format!("the user {uid}"),
        }
    }

    /// With whom it is said to have: those of whom it is the first group, and those that it lists. A
    /// process may be of a group that has nobody.
    fn group(&self, gid: u32) -> String {
        let firsts = self.users.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, found) = (fields.next()?, fields.nth(2)?);
            (found.parse() == Ok(gid)).then_some(name)
        });
        // name:password:gid:members
        let named = self.groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, found) = (fields.next()?, fields.nth(1)?);
            (found.parse() == Ok(gid)).then(|| (name, fields.next().unwrap_or_default()))
        });
        let listed = named.map_or("", |(_, members)| members).split(',');
        let mut members: Vec<&str> = firsts.chain(listed.map(str::trim)).collect();
        members.retain(|member| !member.is_empty() && *member != "root");
        members.sort_unstable();
        members.dedup();
        let group = match named {
            Some((name, _)) => format!("the group {name}"),
            None => format!("the group {gid}"),
        };
        match members.is_empty() {
            true => group,
            false => format!("{group} ({})", members.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn all_who_may_open_the_device_are_told() {
        let names = Names {
            groups: "root:x:0:\ntss:x:107:alice, root,bob\nvhsm:x:990:\n".to_owned(),
            users: "root:x:0:0::/:\ntss:x:106:107::/:\nbob:x:1000:107::/:\n".to_owned(),
        };
        for (mode, uid, gid, told) in [
            (0o020_666, 0, 0, "everybody"),
            (0o020_602, 0, 0, "everybody"),
            (0o020_600, 106, 0, "the user tss"),
            (0o020_600, 108, 0, "the user 108"),
            (0o020_660, 0, 107, "the group tss (alice, bob, tss)"),
            (
                0o020_660,
                106,
                107,
                "the user tss; the group tss (alice, bob, tss)",
            ),
            (0o020_660, 0, 990, "the group vhsm"),
            (0o020_660, 0, 4242, "the group 4242"),
            (0o020_662, 0, 990, "everybody; the group vhsm"),
            (0o020_660, 0, 0, ""),
            (0o020_600, 0, 107, ""),
        ] {
            let found = names.others(mode, uid, gid).join("; ");
            assert_eq!(found, told, "{mode:o} {uid} {gid}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_no_warning() {
        assert_eq!(warning(Path::new("/nowhere/tpmrm0")), None);
    }

    #[test]
    fn what_is_said_names_the_device_and_the_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let [managed, bare] = ["tpmrm0", "tpm0"].map(|name| folder.path().join(name));
        let make = |path: &Path, mode| {
            write(path, "").unwrap();
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        make(&managed, 0o666);
        let said = warning(&managed).unwrap();
        assert!(said.starts_with("everybody may open ") && said.ends_with("tpmrm0"));
        make(&managed, 0o600);
        make(&bare, 0o666);
        for device in [&managed, &bare] {
            let said = warning(device).unwrap();
            assert!(
                said.ends_with("/tpm0") && !said.contains("tpmrm0"),
                "{said}"
            );
        }
        make(&managed, 0o666);
        let said = warning(&bare).unwrap();
        assert!(
            said.contains("/tpm0, ") && said.contains("/tpmrm0"),
            "{said}"
        );
        assert_eq!(beside(Path::new("/dev/tpm1")), Some("/dev/tpmrm1".into()));
        assert_eq!(beside(Path::new("/dev/sev-guest")), None);
    }
}
