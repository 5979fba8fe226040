//! Who besides this helper may open the TPM. Its attestation key has no password, whichever it is: whoever
//! may open the device has any report data quoted, a key of their own among them, and is this machine to
//! every service. For the other TEEs it takes root.

use std::fs::{metadata, read_to_string};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const GROUPS: &str = "/etc/group";

/// What there is to say of the device; that it is not there, who opens it says. Groups of a directory
/// service and access control lists are not looked at.
pub(crate) fn warning(device: &Path) -> Option<String> {
    let found = metadata(device).ok()?;
    let groups = read_to_string(GROUPS).unwrap_or_default();
    let others = others(found.mode(), found.uid(), found.gid(), &groups)?;
    Some(format!(
        "{others} may open {}: whoever does can be this machine to every service",
        device.display()
    ))
}

fn others(mode: u32, uid: u32, gid: u32, groups: &str) -> Option<String> {
    if mode & 0o006 != 0 {
        return Some("everybody".to_owned());
    }
    if mode & 0o600 != 0 && uid != 0 {
        return Some(format!("the user {uid}"));
    }
    if mode & 0o060 == 0 || gid == 0 {
        return None;
    }
    // name:password:gid:members
    let (name, members) = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, found) = (fields.next()?, fields.nth(1)?);
        (found.parse() == Ok(gid)).then(|| (name, fields.next().unwrap_or_default()))
    })?;
    let members = members.split(',').map(str::trim);
    let members: Vec<&str> = members
        .filter(|member| !member.is_empty() && *member != "root")
        .collect();
    (!members.is_empty()).then(|| format!("{} of the group {name}", members.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "root:x:0:\ntss:x:107:alice, root,bob\nvhsm:x:990:\n";

    #[test]
    fn all_who_may_open_the_device_are_told() {
        for (mode, uid, gid, told) in [
            (0o020_666, 0, 0, Some("everybody")),
            (0o020_602, 0, 0, Some("everybody")),
            (0o020_600, 107, 0, Some("the user 107")),
            (0o020_660, 0, 107, Some("alice, bob of the group tss")),
            (0o020_660, 0, 990, None),
            (0o020_660, 0, 0, None),
            (0o020_660, 0, 4242, None),
            (0o020_600, 0, 107, None),
        ] {
            let found = others(mode, uid, gid, GROUPS);
            assert_eq!(found.as_deref(), told, "{mode:o} {uid} {gid}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_no_warning() {
        assert_eq!(warning(Path::new("/nowhere/tpmrm0")), None);
    }

    #[test]
    fn what_is_said_names_the_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tpmrm0");
        std::fs::write(&path, "").unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&path, open).unwrap();
        let said = warning(&path).unwrap();
        assert!(said.starts_with("everybody may open ") && said.contains("tpmrm0"));
    }
}
