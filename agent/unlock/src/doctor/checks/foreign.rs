//! Whether the host can put something of its own in the place of this boot, by what nothing measures:
//! an image of a kernel on a disk, credentials of the machine, variables of the firmware.

use super::closed::command_line;
use super::{Verdict, of_initrd, values, verdict};
use crate::doctor::facts::Facts;
use crate::doctor::initrd::Initrd;

/// Generators that an initrd may have: those that 99nitride-closed leaves in it.
pub(in crate::doctor) const GENERATORS: [&str; 3] = [
    DRACUTS,
    "systemd-fstab-generator",
    "systemd-veritysetup-generator",
];
/// Units that lay images over the file system: systemd-stub finds some beside a unified image.
const EXTENDING: [&str; 4] = [
    "systemd-sysext.service",
    "systemd-confext.service",
    "systemd-sysext-sysroot.service",
    "systemd-confext-sysroot.service",
];
/// Lines of what stands before the others.
const WRAPPER: [&str; 2] = [
    "\nunset CREDENTIALS_DIRECTORY ENCRYPTED_CREDENTIALS_DIRECTORY\n",
    "\nexport SYSTEMD_EFI_OPTIONS=\n",
];
/// The one that reads the kernel's command line alone.
const DRACUTS: &str = "dracut-rootfs-generator";
/// Others that the check of openers judges, by what turns them off.
const JUDGED_AS_OPENERS: [&str; 2] = ["systemd-cryptsetup-generator", "systemd-gpt-auto-generator"];

/// A kernel that is resumed has all of the memory, and the measurements of the boot that it replaced.
pub(super) fn nothing_is_resumed(facts: &Facts) -> Verdict {
    of_initrd(facts, |initrd| {
        let said = command_line(facts);
        let names = ["resume", "resume_offset"];
        let said = names.iter().filter(|name| !values(&said, name).is_empty());
        let mut faults: Vec<_> = said.map(|name| format!("{name} is said")).collect();
        // The kernel reads what it was started with alone.
        let line = &facts.machine.command_line;
        if values(line, "nohibernate").is_empty() && !values(line, "hibernate").contains(&"no") {
            faults.push("nohibernate is not said".to_owned());
        }
        for unit in [
            "systemd-hibernate-resume.service",
            "systemd-hibernate-resume@.service",
        ] {
            if initrd.may_start(unit) {
                faults.push(format!("{unit} may start"));
            }
        }
        for path in ["/bin/resume", "/scripts/local-premount/resume"] {
            if initrd.has(path) {
                faults.push(format!("{path} is in the initrd"));
            }
        }
        let is_some = |device: &&str| !matches!(*device, "" | "none");
        faults.extend(
            resumes(initrd)
                .filter(is_some)
                .map(|device| format!("the initrd resumes from {device}")),
        );
        verdict(
            faults,
            "no other kernel is resumed in the place of this one",
        )
    })
}

/// Devices by the settings of initramfs-tools.
fn resumes(initrd: &Initrd) -> impl Iterator<Item = &str> {
    let lines = initrd.texts("conf/").flat_map(str::lines);
    lines.filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let device = line.strip_prefix("RESUME=")?;
        Some(device.trim().trim_matches(['"', '\'']))
    })
}

/// PID 1 takes them from the hypervisor's tables unless it knows that the machine is confidential, which
/// it often does not; it reads this word, and no file of the initrd.
pub(super) fn credentials_are_not_imported(facts: &Facts) -> Verdict {
    let line = facts.machine.command_line.replace('-', "_");
    let said = values(&line, "systemd.import_credentials");
    // In the initrd both count.
    let of_initrd = values(&line, "rd.systemd.import_credentials");
    let is_no = |value: &&str| {
        let value = value.to_ascii_lowercase();
        ["0", "no", "n", "false", "f", "off"].contains(&value.as_str())
    };
    match !said.is_empty() && said.iter().chain(&of_initrd).all(is_no) {
        true => Verdict::Good("no credential is taken from the host".to_owned()),
        false => Verdict::Bad("systemd.import_credentials=no is not said".to_owned()),
    }
}

/// PID 1, generators and what asks for root's password take words for PID 1 from a variable of the
/// firmware's, SystemdOptions, as they take the kernel's own. Only the kernel keeps all of them from it.
pub(super) fn firmware_says_nothing(facts: &Facts) -> Verdict {
    let line = &facts.machine.command_line;
    let said = values(line, "efi").into_iter();
    // The kernel's own order: whichever is said last.
    let last = said
        .flat_map(|value| value.split(','))
        .rfind(|word| ["runtime", "noruntime"].contains(word));
    match last {
        Some("noruntime") => Verdict::Good("no variable of the firmware's is read".to_owned()),
        _ => Verdict::Bad("efi=noruntime is not said".to_owned()),
    }
}

/// Generators are no units: they run before any, with what PID 1 took from the host, and make units of
/// it.
pub(super) fn generators_are_known(facts: &Facts) -> Verdict {
    of_initrd(facts, |initrd| {
        let mut faults = Vec::new();
        for (name, text) in initrd.generators() {
            let is_wrapped = |text: &str| WRAPPER.iter().all(|line| text.contains(line));
            if JUDGED_AS_OPENERS.contains(&name) || name == DRACUTS {
                continue;
            }
            if !GENERATORS.contains(&name) {
                faults.push(format!("{name} is in the initrd"));
            } else if !text.is_some_and(is_wrapped) {
                faults.push(format!("{name} mounts what the host says"));
            }
        }
        for unit in EXTENDING {
            if initrd.may_start(unit) {
                faults.push(format!("{unit} may start"));
            }
        }
        verdict(faults, "nothing makes units of what the host says")
    })
}
