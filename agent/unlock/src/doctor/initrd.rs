//! What is in an initrd: unpacked by the tool that made it, looked at, and removed again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where it is unpacked: a hundred megabytes and more.
const SCRATCH: &str = "/var/tmp";
/// Files of an initrd; a full one of dracut has some thousands.
const MAX_FILES: usize = 200_000;
/// Bytes of a file that is read.
const MAX_TEXT_LEN: u64 = 65_536;
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
    /// Unpacks the initrd by the tools that are there, and takes what most of it came out of: one may
    /// know a part of the other's archives alone.
    pub(super) fn unpack(initrd: &Path) -> Result<Self, String> {
        if !initrd.is_file() {
            return Err(format!("there is no file {}", initrd.display()));
        }
        // The tools are started in another folder.
        let initrd = initrd
            .canonicalize()
            .map_err(|error| format!("{} cannot be found: {error}", initrd.display()))?;
        let mut best = Self::default();
        for tool in ["lsinitrd", "unmkinitramfs"] {
            let scratch = Scratch::new(Path::new(SCRATCH))
                .map_err(|error| format!("no folder can be made in {SCRATCH}: {error}"))?;
            if !scratch.is_unpacked_by(tool, &initrd) {
                continue;
            }
            let mut found = Self::default();
            for root in scratch.roots() {
                let part = Self::of_folder(&root)
                    .map_err(|error| format!("what was unpacked cannot be read: {error}"))?;
                found.files.extend(part.files);
            }
            if found.files.len() > best.files.len() {
                best = found;
            }
        }
        match best.files.is_empty() {
            false => Ok(best),
            true => Err("neither lsinitrd nor unmkinitramfs could unpack it".to_owned()),
        }
    }

    /// All files in a folder that is the root of an initrd.
    pub(super) fn of_folder(root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.to_string_lossy().into_owned();
                let file = match kind.is_symlink() {
                    true => File::Link(fs::read_link(entry.path())?.to_string_lossy().into_owned()),
                    false => File::Plain(match kind.is_file() && is_read(&name) {
                        true => Some(read(&entry.path())?),
                        false => None,
                    }),
                };
                files.insert(name, file);
            }
            if files.len() > MAX_FILES {
                return Err(io::Error::other("it has too many files"));
            }
        }
        Ok(Self { files })
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

fn is_read(path: &str) -> bool {
    READ.iter().any(|folder| path.starts_with(folder))
}

/// At most so much of it: what is longer is no configuration.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(MAX_TEXT_LEN).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A folder that is removed with this.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> io::Result<Self> {
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        let salt = u64::from_ne_bytes(salt);
        let folder = parent.join(format!("nitride-doctor-{salt:016x}"));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    fn is_unpacked_by(&self, tool: &str, initrd: &Path) -> bool {
        let mut command = Command::new(tool);
        match tool {
            // Into the folder in which it is started.
            "lsinitrd" => command.arg("--unpack").arg(initrd),
            _ => command.arg(initrd).arg(&self.0),
        };
        let ended = command
            .current_dir(&self.0)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ended.is_ok_and(|status| status.success())
    }

    /// unmkinitramfs gives each archive a folder of its own, where there are several: `early`, `early2`
    /// and so on, and `main`, which the kernel unpacks over them.
    fn roots(&self) -> Vec<PathBuf> {
        let main = self.0.join("main");
        if !main.is_dir() {
            return vec![self.0.clone()];
        }
        let early = (1..10).map(|number| match number {
            1 => self.0.join("early"),
            number => self.0.join(format!("early{number}")),
        });
        let early = early.filter(|folder| folder.is_dir());
        early.chain([main]).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is an initrd: nothing secret.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_that_the_kernel_unpacks_one_over_the_other_are_one_initrd() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(parent.path()).unwrap();
        assert_eq!(scratch.roots(), std::slice::from_ref(&scratch.0));
        for folder in ["early", "early2", "main"] {
            fs::create_dir(scratch.0.join(folder)).unwrap();
        }
        let expected = ["early", "early2", "main"].map(|folder| scratch.0.join(folder));
        assert_eq!(scratch.roots(), expected);
        drop(scratch);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_initrd_is_named() {
        let none = Initrd::unpack(Path::new("/nonexistent/initrd"));
        assert_eq!(none, Err("there is no file /nonexistent/initrd".to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("initrd");
        fs::write(&path, "no archive").unwrap();
        assert!(Initrd::unpack(&path).is_err());
    }
}
