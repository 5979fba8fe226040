//! What is in an initrd.

use super::archive;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Bytes of a file that is read.
pub(super) const MAX_TEXT_LEN: u32 = 65_536;
/// Folders whose files are read.
const READ: [&str; 6] = [
    "etc/",
    "usr/lib/sysctl.d/",
    "usr/lib/systemd/system-generators/",
    "cryptroot/",
    "scripts/",
    "conf/",
];
/// Where systemd looks for generators, and where it did once.
const GENERATORS: [&str; 5] = [
    "usr/lib/systemd/",
    "usr/local/lib/systemd/",
    "etc/systemd/",
    "run/systemd/",
    "lib/systemd/",
];
/// What powers the machine off in the place of a unit that would open a shell.
const CLOSED: &str = "nitride-closed.service";

/// Files by their path without a leading slash; folders are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Initrd {
    files: BTreeMap<String, File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum File {
    /// With the bytes of those that are read.
    Plain(Option<Vec<u8>>),
    Link(String),
}

impl Initrd {
    /// Reads it, and writes nothing.
    pub(super) fn read(initrd: &Path) -> Result<Self, String> {
        if !initrd.is_file() {
            return Err(format!("there is no file {}", initrd.display()));
        }
        match archive::read(initrd) {
            Ok(files) if files.is_empty() => Err(format!("{} is empty", initrd.display())),
            Ok(files) => Ok(Self { files }),
            Err(error) => Err(format!("{}: {error}", initrd.display())),
        }
    }

    #[cfg(test)]
    pub(super) fn of_files(files: BTreeMap<String, File>) -> Self {
        Self { files }
    }

    /// The file, under the one or the other of its names: `/bin` and `/usr/bin` are one folder, as
    /// they are in an initrd.
    fn file(&self, path: &str) -> Option<&File> {
        let path = path.trim_start_matches('/');
        let short = path.trim_start_matches("usr/");
        self.files
            .get(path)
            .or_else(|| self.files.get(short))
            .or_else(|| self.files.get(&format!("usr/{short}")))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.file(path).is_some()
    }

    /// What stands in the file, where it is one that is read.
    pub(super) fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.file(path)? {
            File::Plain(bytes) => bytes.as_deref(),
            File::Link(_) => None,
        }
    }

    /// What stands in the file, as text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(path)?).ok()
    }

    /// Files in the folder that end in `.conf`, in their order, with what stands in them.
    pub(super) fn settings<'i>(
        &'i self,
        folder: &'i str,
    ) -> impl Iterator<Item = (&'i str, &'i str)> {
        let paths = self.files.keys().filter_map(move |path| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (name.ends_with(".conf") && !name.contains('/')).then_some((name, path))
        });
        paths.filter_map(|(name, path)| Some((name, self.text(path)?)))
    }

    /// What stands in the folder's files, in their order, and in those of its folders.
    pub(super) fn texts<'i>(&'i self, folder: &'i str) -> impl Iterator<Item = &'i str> {
        let paths = self
            .files
            .keys()
            .filter(move |path| path.starts_with(folder));
        paths.filter_map(|path| self.text(path))
    }

    /// Names of systemd's generators, of units and of variables, with what stands in them where they are
    /// read; those that are masked are none.
    pub(super) fn generators(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let all = self.files.iter().filter(|(_, file)| match file {
            File::Link(target) => target != "/dev/null",
            File::Plain(_) => true,
        });
        all.filter_map(|(path, _)| {
            let (folder, name) = path.rsplit_once('/')?;
            let kind = GENERATORS.iter().find_map(|of| folder.strip_prefix(of))?;
            let is_one = matches!(kind, "system-generators" | "system-environment-generators");
            is_one.then(|| (name, self.text(path)))
        })
    }

    /// Whether it is one of initramfs-tools, in which no systemd is.
    pub(super) fn is_of_scripts(&self) -> bool {
        self.has("/scripts/functions")
    }

    /// What the initrd sets the name to.
    pub(super) fn sysctl(&self, wanted: &str) -> Option<&str> {
        match self.is_of_scripts() {
            true => self.sysctl_of_script(wanted),
            false => self.sysctl_of_files(wanted),
        }
    }

    /// Our script's lines `echo VALUE >/proc/sys/NAME`.
    fn sysctl_of_script(&self, wanted: &str) -> Option<&str> {
        let file = format!("/proc/sys/{}", wanted.replace('.', "/"));
        let mut lines = self.text("scripts/init-top/nitride")?.lines();
        lines.find_map(|line| {
            let (value, to) = line.trim().strip_prefix("echo ")?.split_once('>')?;
            (to.trim() == file).then(|| value.trim())
        })
    }

    /// By sysctl.d(5); a file in /etc takes the place of its namesake.
    fn sysctl_of_files(&self, wanted: &str) -> Option<&str> {
        let mut files: BTreeMap<&str, &str> = self.settings("usr/lib/sysctl.d").collect();
        files.extend(self.settings("etc/sysctl.d"));
        let lines = files.into_values().flat_map(str::lines);
        let mut values = lines.filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            let name = name.trim().trim_start_matches('-').replace('/', ".");
            (name == wanted).then(|| value.trim())
        });
        values.next_back()
    }

    /// What dracut puts before the kernel's command line.
    pub(super) fn command_line(&self) -> String {
        let texts = self.settings("etc/cmdline.d").map(|(_, text)| text);
        texts.collect::<Vec<_>>().join(" ")
    }

    /// Whether any version of the shared library is anywhere.
    pub(super) fn has_library(&self, name: &str) -> bool {
        self.names().any(|file| {
            let version = file.strip_prefix(name);
            version.is_some_and(|version| version.starts_with(".so"))
        })
    }

    /// The kernels that it has modules of.
    pub(super) fn kernels(&self) -> BTreeSet<&str> {
        let versions = self.files.keys().filter_map(|path| {
            let path = path.strip_prefix("usr/").unwrap_or(path);
            let (version, rest) = path.strip_prefix("lib/modules/")?.split_once('/')?;
            rest.contains(".ko").then_some(version)
        });
        versions.collect()
    }

    /// Whether the kernel's module is there; `-` and `_` are one in such names.
    pub(super) fn has_module(&self, module: &str) -> bool {
        let wanted = module.replace('-', "_");
        self.names().any(|file| {
            let name = file.split('.').next().unwrap_or(file).replace('-', "_");
            file.contains(".ko") && name == wanted
        })
    }

    /// Whether systemd is there and may start the unit: it is there, is not masked, and is not what
    /// powers the machine off.
    pub(super) fn may_start(&self, unit: &str) -> bool {
        let mut is_there = false;
        for (path, file) in &self.files {
            let is_unit = path
                .strip_suffix(unit)
                .is_some_and(|folder| folder.ends_with("systemd/system/"));
            if !is_unit {
                continue;
            }
            match file {
                File::Link(target) if target == "/dev/null" => return false,
                File::Link(target) if target.rsplit('/').next() == Some(CLOSED) => {
                    return !self.has(&format!("/usr/lib/systemd/system/{CLOSED}"));
                }
                _ => is_there = true,
            }
        }
        is_there
    }

    /// The last parts of all paths.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.files
            .keys()
            .map(|path| path.rsplit('/').next().unwrap_or(path))
    }
}

/// Whether what stands in the file is looked at.
pub(super) fn is_read(path: &str) -> bool {
    READ.iter().any(|folder| path.starts_with(folder))
}
