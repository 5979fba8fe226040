//! Phases in the registers of TDX, as Linux 6.16 shows them.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA384, digest};
use nitride_evidence::KernelPaths;
use nitride_evidence::phase::{PhaseError, PhaseRegister, Phases};
use nitride_tsm::registers::Rtmrs;

fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let mut hashed = [0; 48];
    hashed.copy_from_slice(digest(&SHA384, &parts.concat()).as_ref());
    hashed
}

fn extended(held: &[u8; 48], name: &str) -> [u8; 48] {
    extended_by(held, "nitride-phase:", name)
}

fn extended_by(held: &[u8; 48], label: &str, name: &str) -> [u8; 48] {
    sha384(&[held, &sha384(&[label.as_bytes(), name.as_bytes()])])
}

struct Scene {
    registers: Rtmrs,
    folder: tempfile::TempDir,
}

impl Scene {
    fn begin() -> Result<Option<Self>> {
        let mounted = Rtmrs::mount(|held, digest| sha384(&[held, digest]))?;
        let folder = tempfile::tempdir()?;
        Ok(mounted.map(|registers| Self { registers, folder }))
    }

    /// As a helper that has just started has them.
    fn phases(&self) -> Result<Phases> {
        let register = PhaseRegister::named("rtmr-3", "device:/dev/tpmrm0")?;
        let paths = KernelPaths {
            tdx_measurements: self.registers.path().to_owned(),
            ..KernelPaths::of_this_machine()
        };
        let record = self.folder.path().join("phases");
        Ok(Phases::new(register, record, &paths))
    }
}

#[test]
fn a_phase_extends_its_rtmr_once_and_the_next_follows_it() -> Result<()> {
    let Some(scene) = Scene::begin()? else {
        return Ok(());
    };
    let begun = scene.phases()?.begin("initrd")?;
    let after = extended(&[0; 48], "initrd");
    assert_eq!((begun.is_new, begun.value), (true, after.to_vec()));
    // Of a helper that was started again.
    assert!(!scene.phases()?.begin("initrd")?.is_new);
    assert_eq!(scene.registers.held(3), after);
    assert!(scene.phases()?.release("disk/root")?.is_new);
    assert!(!scene.phases()?.release("disk/root")?.is_new);
    let refused = scene.phases()?.begin("system");
    assert!(
        matches!(refused, Err(PhaseError::Open { .. })),
        "{refused:?}"
    );
    assert!(!scene.phases()?.is_between()?);
    assert!(scene.phases()?.end("initrd")?.is_new);
    assert!(scene.phases()?.is_between()?);
    assert!(!scene.phases()?.end("initrd")?.is_new);
    let after = extended_by(&after, "nitride-release:", "disk/root");
    let after = extended_by(&after, "nitride-phase-end:", "initrd");
    assert!(scene.phases()?.begin("system")?.is_new);
    let after = extended(&after, "system");
    assert_eq!(scene.registers.held(3), after);
    let refused = scene.phases()?.begin("initrd");
    assert!(matches!(refused, Err(PhaseError::Ended(_))), "{refused:?}");
    assert_eq!(scene.registers.held(3), after);
    assert_eq!(scene.registers.held(2), [0; 48]);
    Ok(())
}

#[test]
fn a_phase_whose_extension_was_cut_off_is_extended_then() -> Result<()> {
    let Some(scene) = Scene::begin()? else {
        return Ok(());
    };
    let zeros = "00".repeat(48);
    let record = format!("nitride-phases 1 rtmr-3\n{zeros} initrd\n");
    std::fs::write(scene.folder.path().join("phases"), record)?;
    let refused = scene.phases()?.begin("system");
    assert!(matches!(refused, Err(PhaseError::Overtaken { .. })));
    assert!(scene.phases()?.begin("initrd")?.is_new);
    let after = extended(&[0; 48], "initrd");
    assert_eq!(scene.registers.held(3), after);
    // A release that was to be measured is, before the end is.
    let held: String = after.iter().map(|byte| format!("{byte:02x}")).collect();
    let record = format!("nitride-phases 1 rtmr-3\n{zeros} initrd\n{held} release a\n");
    std::fs::write(scene.folder.path().join("phases"), record)?;
    assert!(scene.phases()?.end("initrd")?.is_new);
    let after = extended_by(&after, "nitride-release:", "a");
    let after = extended_by(&after, "nitride-phase-end:", "initrd");
    assert_eq!(scene.registers.held(3), after);
    Ok(())
}

#[test]
fn what_cannot_be_measured_does_not_begin() -> Result<()> {
    let Some(scene) = Scene::begin()? else {
        return Ok(());
    };
    scene.phases()?.begin("initrd")?;
    scene.registers.overtake(3);
    let refused = scene.phases()?.begin("initrd");
    assert!(matches!(refused, Err(PhaseError::Overtaken { .. })));
    let record = scene.folder.path().join("phases");
    std::fs::write(&record, "nitride-phases 1 pcr-12\n")?;
    let refused = scene.phases()?.begin("initrd");
    assert!(matches!(refused, Err(PhaseError::Record { .. })));
    let folder = scene.registers.path().to_owned();
    drop(scene);
    let elsewhere = tempfile::tempdir()?;
    let record = elsewhere.path().join("phases");
    let register = PhaseRegister::named("rtmr-3", "device:/dev/tpmrm0")?;
    let paths = KernelPaths {
        tdx_measurements: folder,
        ..KernelPaths::of_this_machine()
    };
    let refused = Phases::new(register, record, &paths).begin("initrd");
    let refused = refused.err().context("it begins")?.to_string();
    assert!(refused.contains("Linux 6.16"), "{refused}");
    Ok(())
}
