//! Cgroups that are named to look like units, and units that look like nothing special.

use crate::kernel::{Meeting, identify};
use crate::peers::{start, steps};
use anyhow::Result;
use nitride_support::program::RunAs;
use nitride_support::unit::{Unit, is_root_or_says_so};
use std::path::{Path, PathBuf};

const VICTIM: &str = "nitride-e2e-named.service";

/// The unit and the cgroup of a peer that runs in `folder`.
fn seen(meeting: &Meeting, folder: &Path) -> Result<(Option<String>, Option<String>)> {
    let run_as = RunAs {
        cgroup: Some(folder.to_owned()),
        ..RunAs::default()
    };
    let peer = start(&run_as, &[], &meeting.socket, &steps(&["connect", "recv"]))?;
    let connection = meeting.accept()?;
    let identity = identify(&connection)?;
    connection.send(b"end")?;
    peer.finish()?;
    Ok((identity.unit.clone(), identity.cgroup.clone()))
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[test]
fn a_name_below_a_delegated_cgroup_is_nobodys_unit() -> Result<()> {
    if !is_root_or_says_so("a_name_below_a_delegated_cgroup_is_nobodys_unit") {
        return Ok(());
    }
    let meeting = Meeting::new("names")?;
    let system = Unit::create("nitride-e2e-delegates.service")?;
    let slice = Unit::create_slice("user.slice/user-4321.slice")?;
    let user = slice.folder().join("user@4321.service");
    let top = Unit::create_slice("nitride-e2e-top.slice")?;
    let machine = Unit::create_slice("nitride-e2e-machine.scope")?;
    for folder in [
        made(system.folder().join(VICTIM))?,
        made(system.folder().join("payload").join(VICTIM))?,
        made(system.folder().join("system.slice").join(VICTIM))?,
        made(system.folder().join("app.slice"))?,
        made(user.join(VICTIM))?,
        made(user.join("app.slice").join(VICTIM))?,
        made(user.join("system.slice").join(VICTIM))?,
        made(top.folder().join(VICTIM))?,
        made(machine.folder().join("system.slice").join(VICTIM))?,
    ] {
        let (unit, cgroup) = seen(&meeting, &folder)?;
        assert_eq!(unit, None, "{}", folder.display());
        let cgroup = cgroup.unwrap_or_default();
        assert!(folder.ends_with(cgroup.trim_start_matches('/')), "{cgroup}");
    }
    Ok(())
}

#[test]
fn names_with_signs_in_them_are_taken_as_they_are_or_not_at_all() -> Result<()> {
    if !is_root_or_says_so("names_with_signs_in_them_are_taken_as_they_are") {
        return Ok(());
    }
    let meeting = Meeting::new("signs")?;
    let system = Unit::create("nitride-e2e-signs.service")?;
    let ours = Some("nitride-e2e-signs.service".to_owned());
    for (name, unit) in [
        // A sub-group that claims nothing counts to its unit.
        ("two words", &ours),
        ("nitride-e2e-named.service ", &ours),
        (" nitride-e2e-named.service", &None),
        ("nitride-e2e-named.service\t.service", &None),
        ("ünitride.service", &None),
        ("0::", &ours),
        ("a\\x2db", &ours),
        ("-.slice", &None),
    ] {
        let folder = made(system.folder().join(name))?;
        let (found, cgroup) = seen(&meeting, &folder)?;
        assert_eq!(&found, unit, "{name:?}");
        assert_eq!(
            cgroup.unwrap_or_default(),
            format!("/system.slice/nitride-e2e-signs.service/{name}")
        );
    }
    // What could forge a line of /proc/PID/cgroup cannot be made.
    let forged = format!("x\n0::/system.slice/{VICTIM}");
    assert!(std::fs::create_dir(system.folder().join(forged)).is_err());
    // What looks like the kernel's note on a folder that is gone names nothing by /proc.
    let gone = made(system.folder().join("x (deleted)"))?;
    let run_as = RunAs {
        cgroup: Some(gone),
        ..RunAs::default()
    };
    let peer = start(&run_as, &[], &meeting.socket, &steps(&["connect", "recv"]))?;
    let connection = meeting.accept()?;
    let root = nitride_ipc::peer::CgroupRoot::find()?.by_proc_alone();
    let identity = nitride_ipc::peer::resolve(&connection, Some(&root))?;
    assert_eq!((&identity.unit, &identity.cgroup), (&None, &None));
    connection.send(b"end")?;
    peer.finish()?;
    Ok(())
}

#[test]
fn instances_of_templates_and_units_in_nested_slices_are_units() -> Result<()> {
    if !is_root_or_says_so("instances_of_templates_and_units_in_nested_slices_are_units") {
        return Ok(());
    }
    let meeting = Meeting::new("slices")?;
    let slice = Unit::create("system-nitride.slice")?;
    for (name, unit) in [
        ("nitride-e2e@one.service", "nitride-e2e@one.service"),
        ("nitride-e2e.scope", "nitride-e2e.scope"),
        (
            "deeper.slice/nitride-e2e@two.service",
            "nitride-e2e@two.service",
        ),
        ("_cpu.service", "cpu.service"),
        (
            "nitride-e2e@one.service/worker/0",
            "nitride-e2e@one.service",
        ),
    ] {
        let folder = made(slice.folder().join(name))?;
        let (found, cgroup) = seen(&meeting, &folder)?;
        assert_eq!(found.as_deref(), Some(unit), "{name}");
        let path = format!("/system.slice/system-nitride.slice/{name}");
        assert_eq!(cgroup, Some(path));
    }
    // The slice itself is a unit, but no peer's: services and scopes are.
    assert_eq!(seen(&meeting, slice.folder())?.0, None);
    Ok(())
}
