//! What dracut's modules put into an initrd, and what they refuse to leave out: their own functions, run
//! as dracut runs them, on a folder that stands for an image.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_support::folder::Folder;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// dracut's functions, as far as the modules call them: MISSING names what the image lacks, and MODULES
/// which modules of dracut's are in.
const DRACUT: &str = r#"
set -u
systemdsystemunitdir=/usr/lib/systemd/system systemdutildir=/usr/lib/systemd kernel=6.12
is_there() { [[ " $MISSING " != *" $1 "* ]]; }
put() { mkdir -p "$initdir$(dirname "$2")" && cp -P "$1" "$initdir$2"; }
dfatal() { echo "$*" >&2; }
inst_binary() { is_there "$1" || return 1; mkdir -p "$initdir$(dirname "${2:-$1}")" && : >"$initdir${2:-$1}"; }
inst_multiple() { local name; for name in "$@"; do inst_binary "/usr/bin/$name"; done; }
inst_libdir_file() { is_there libtss2-tcti-device.so.0 || return 0; inst_binary /usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0; }
inst_simple() {
    local from=$1
    is_there "${1##*/}" || return 1
    [[ $from == "$systemdsystemunitdir"/* ]] && from=$SOURCE/systemd/system/${from##*/}
    [[ $from == /usr/lib/tmpfiles.d/* ]] && from=$SOURCE/systemd/tmpfiles.d/${from##*/}
    [[ -e $from ]] && put "$from" "${2:-$1}"
}
inst_script() { inst_simple "$@"; }
instmods() { is_there "${2:-}"; }
dracut_module_included() { [[ " $MODULES " == *" $1 "* ]]; }
for moddir in 90nitride 99nitride-closed; do
    moddir=$DRACUT/$moddir
    # As dracut has it of each module, also of one that cannot be read.
    install() { true; }
    . "$moddir/module-setup.sh"
    if [[ $moddir == *90nitride ]]; then
        check || exit 9
        installkernel
    fi
    install
done
"#;

/// An image with Nitride and the examples of an initrd's configuration, and the initrd that is made of it.
struct Image {
    folder: Folder,
}

impl Image {
    fn new() -> Result<Self> {
        let folder = Folder::new()?;
        let own = folder.path().join("image/etc/nitride/initrd/policy.d");
        fs::create_dir_all(&own)?;
        let examples = Path::new(ROOT).join("examples/config/initrd");
        for name in [
            "vhsmd.toml",
            "policy.d/disk.toml",
            "agent.toml",
            "quote.toml",
            "unlock.toml",
        ] {
            fs::copy(
                examples.join(name),
                own.parent().context("it has one")?.join(name),
            )?;
        }
        let image = Self { folder };
        image.write("etc/nitride/initrd/owner.pub", "")?;
        image.write("etc/nitride/initrd/ca.pem", "")?;
        let users = "vhsm:x:987:987::/:/bin/false\nnitride:x:986:986::/:/bin/false\n\
             nitride-unlock:x:983:983::/:/bin/false\n";
        image.write("etc/passwd", users)?;
        let groups = "vhsm:x:987:\nnitride:x:986:\nvhsm-clients:x:985:\ntss:x:984:\n\
             nitride-unlock:x:983:\ndisk:x:6:\n";
        image.write("etc/group", groups)?;
        let initrd = image.initrd();
        // What dracut's own modules have put there before ours come.
        for path in [
            "etc/cmdline.d/x",
            "usr/bin/x",
            "usr/sbin/sulogin",
            "usr/lib/systemd/systemd-sysctl",
            "usr/lib/systemd/systemd-shutdown",
            "usr/lib/systemd/system/emergency.service",
            "usr/lib/systemd/system-generators/systemd-cryptsetup-generator",
            "usr/lib/systemd/system-generators/systemd-debug-generator",
            "usr/lib/systemd/system-generators/systemd-hibernate-resume-generator",
            "usr/lib/systemd/system-generators/systemd-fstab-generator",
            "usr/lib/systemd/system-generators/dracut-rootfs-generator",
            "etc/systemd/system-environment-generators/of-tomorrow",
            "usr/lib/systemd/systemd-hibernate-resume",
        ] {
            let path = initrd.join(path);
            fs::create_dir_all(path.parent().context("it has one")?)?;
            fs::write(path, "")?;
        }
        fs::create_dir_all(initrd.join("etc"))?;
        fs::write(initrd.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
        Ok(image)
    }

    fn initrd(&self) -> PathBuf {
        self.folder.path().join("initrd")
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join("image").join(path);
        Ok(fs::write(path, text)?)
    }

    fn remove(&self, path: &str) -> Result<()> {
        let path = self.folder.path().join("image").join(path);
        Ok(fs::remove_file(path)?)
    }

    fn build(&self, missing: &str, modules: &str) -> Result<Output> {
        let ours = Path::new(ROOT).join("packaging/dracut");
        self.build_by(&ours, missing, modules)
    }

    /// With the modules of another folder than ours.
    fn build_by(&self, dracut: &Path, missing: &str, modules: &str) -> Result<Output> {
        Ok(Command::new("bash")
            .args(["-c", DRACUT])
            .env("SOURCE", ROOT)
            .env("DRACUT", dracut)
            .env("MISSING", missing)
            .env("MODULES", modules)
            .env("initdir", self.initrd())
            .env("dracutsysrootdir", self.folder.path().join("image"))
            .output()?)
    }

    /// That the build ends, and says why.
    fn is_refused(&self, missing: &str, modules: &str, said: &str) -> Result<()> {
        let output = self.build(missing, modules)?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
        Ok(())
    }

    fn link(&self, path: &str) -> Result<String> {
        let path = self.initrd().join(path);
        let target = fs::read_link(&path).with_context(|| path.display().to_string())?;
        Ok(target.display().to_string())
    }

    fn text(&self, path: &str) -> Result<String> {
        let path = self.initrd().join(path);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

#[test]
fn an_initrd_has_its_own_configuration_and_starts_what_unlocks() -> Result<()> {
    let image = Image::new()?;
    let output = image.build("", "")?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let units = "usr/lib/systemd/system";
    for (wanted, unit) in [
        (
            "sockets.target.wants/vhsm-disk@root.socket",
            "vhsm-disk@.socket",
        ),
        (
            "sockets.target.wants/nitride-quote.socket",
            "nitride-quote.socket",
        ),
        (
            "initrd-root-device.target.requires/nitride-unlock@root.service",
            "nitride-unlock@.service",
        ),
        (
            "initrd-switch-root.service.requires/nitride-leave.service",
            "nitride-leave.service",
        ),
        (
            "initrd-root-device.target.wants/nitride-root.service",
            "nitride-root.service",
        ),
        (
            "initrd-cleanup.service.requires/nitride-leave.service",
            "nitride-leave.service",
        ),
    ] {
        assert_eq!(
            image.link(&format!("{units}/{wanted}"))?,
            format!("../{unit}")
        );
        assert!(image.initrd().join(units).join(unit).is_file(), "{unit}");
    }
    assert!(image.text("etc/passwd")?.contains("vhsm:x:987:987:"));
    // Who opens volumes is a user of its own, and has disks and the device mapper by groups.
    assert!(
        image
            .text("etc/passwd")?
            .contains("nitride-unlock:x:983:983:")
    );
    assert!(image.text("etc/group")?.contains("disk:x:6:"));
    assert!(
        image
            .text("usr/lib/tmpfiles.d/nitride-unlock.conf")?
            .contains("/dev/mapper/control")
    );
    assert!(
        image
            .text("etc/vhsm/vhsmd.toml")?
            .contains("phase = \"initrd\"")
    );
    assert!(image.initrd().join("etc/vhsm/policy.d/disk.toml").is_file());
    let tpm = "nitride-quote.service.d/90-nitride-nitride-quote-tpm.conf";
    assert!(image.initrd().join(units).join(tpm).is_file());
    Ok(())
}

#[test]
fn the_four_programs_of_an_initrd_are_one_file_by_four_names() -> Result<()> {
    let image = Image::new()?;
    assert!(image.build("", "")?.status.success());
    let inode = |path: &str| -> Result<u64> {
        let path = image.initrd().join(path);
        // A symbolic link would be another name for whoever looks at a process.
        let file = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
        assert!(file.is_file() && file.nlink() == 4, "{}", path.display());
        Ok(file.ino())
    };
    let vhsmd = inode("usr/bin/vhsmd")?;
    for path in [
        "usr/bin/nitride-agent",
        "usr/bin/nitride-unlock",
        "usr/libexec/nitride-quote",
    ] {
        assert_eq!(inode(path)?, vhsmd, "{path}");
    }
    Ok(())
}

#[test]
fn a_closed_initrd_has_neither_shell_nor_prompt_nor_another_opener() -> Result<()> {
    let image = Image::new()?;
    assert!(image.build("", "")?.status.success());
    for unit in ["emergency", "rescue", "dracut-emergency"] {
        let target = image.link(&format!("etc/systemd/system/{unit}.service"))?;
        assert_eq!(target, "/usr/lib/systemd/system/nitride-closed.service");
    }
    for unit in [
        "debug-shell.service",
        "getty@.service",
        "serial-getty@.service",
        "systemd-ask-password-console.service",
        "dracut-cmdline-ask.service",
    ] {
        assert_eq!(
            image.link(&format!("etc/systemd/system/{unit}"))?,
            "/dev/null"
        );
    }
    for gone in [
        "usr/sbin/sulogin",
        "usr/lib/systemd/system-generators/systemd-cryptsetup-generator",
        "usr/lib/systemd/system-generators/systemd-debug-generator",
        "usr/lib/systemd/system-generators/systemd-hibernate-resume-generator",
        "usr/lib/systemd/systemd-hibernate-resume",
        "etc/systemd/system-environment-generators/of-tomorrow",
    ] {
        assert!(!image.initrd().join(gone).exists(), "{gone}");
    }
    let generators = "usr/lib/systemd/system-generators";
    assert!(
        image
            .initrd()
            .join(generators)
            .join("dracut-rootfs-generator")
            .exists()
    );
    let wrapped = image.text(&format!("{generators}/systemd-fstab-generator"))?;
    assert!(wrapped.contains("\nunset CREDENTIALS_DIRECTORY ENCRYPTED_CREDENTIALS_DIRECTORY\n"));
    assert!(
        image
            .initrd()
            .join("usr/lib/nitride/systemd-fstab-generator")
            .exists()
    );
    assert_eq!(
        image.link("etc/systemd/system/systemd-hibernate-resume.service")?,
        "/dev/null"
    );
    let closed = image.text("usr/lib/systemd/system/nitride-closed.service")?;
    assert!(closed.contains("SuccessAction=poweroff-force"));
    assert!(closed.contains("FailureAction=poweroff-force"));
    assert!(
        image
            .text("etc/sysctl.d/99-nitride.conf")?
            .contains("kernel.sysrq = 0")
    );
    Ok(())
}

#[test]
fn what_is_missing_ends_the_build_by_its_name() -> Result<()> {
    for missing in [
        "/usr/libexec/nitride-initrd",
        "/usr/sbin/cryptsetup",
        "libtss2-tcti-device.so.0",
        "nitride-unlock@.service",
        "nitride-leave.service",
        "dm_crypt",
    ] {
        Image::new()?.is_refused(missing, "", missing)?;
    }
    for missing in [
        "vhsmd.toml",
        "unlock.toml",
        "quote.toml",
        "agent.toml",
        "owner.pub",
        "ca.pem",
    ] {
        let image = Image::new()?;
        image.remove(&format!("etc/nitride/initrd/{missing}"))?;
        image.is_refused("", "", missing)?;
    }
    let image = Image::new()?;
    image.write("etc/passwd", "vhsm:x:987:987::/:/bin/false\n")?;
    image.is_refused("", "", "there is no user nitride")?;
    let image = Image::new()?;
    image.write("etc/nitride/initrd/unlock.toml", "# none\n")?;
    image.is_refused("", "", "no [[volume]]")
}

#[test]
fn what_would_open_the_initrd_again_ends_the_build() -> Result<()> {
    for module in ["debug", "rescue", "systemd-emergency", "ssh-client"] {
        Image::new()?.is_refused("", module, module)?;
    }
    let image = Image::new()?;
    fs::write(
        image.initrd().join("etc/crypttab"),
        "root UUID=1 none luks\n",
    )?;
    image.is_refused("", "", "/etc/crypttab")
}

#[test]
fn a_module_that_bash_cannot_read_leaves_no_initrd_open() -> Result<()> {
    let image = Image::new()?;
    let dracut = image.folder.path().join("dracut");
    for module in ["90nitride", "99nitride-closed"] {
        let ours = Path::new(ROOT).join("packaging/dracut").join(module);
        let mut copied = Command::new("cp");
        fs::create_dir_all(&dracut)?;
        assert!(copied.arg("-r").arg(ours).arg(&dracut).status()?.success());
    }
    assert!(image.build_by(&dracut, "", "")?.status.success());
    let damaged = dracut.join("99nitride-closed/module-setup.sh");
    let text = fs::read_to_string(&damaged)?;
    let cut = text.find("install()").context("it installs")? + "install() {".len();
    fs::write(&damaged, text.get(..cut).context("it is there")?)?;
    let output = Image::new()?.build_by(&dracut, "", "")?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("99nitride-closed cannot be read"), "{said}");
    Ok(())
}
