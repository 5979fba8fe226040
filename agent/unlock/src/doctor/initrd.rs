//! What is in an initrd, by the listing of the tool that made it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Longest listing in bytes; one of a full dracut initrd has less than a megabyte.
const MAX_LISTING_LEN: usize = 16 << 20;

/// Files by their path without a leading slash, each with the target of its link, if it is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    files: BTreeMap<String, Option<String>>,
}

impl Listing {
    /// Reads lines as `ls -l` writes them, or paths alone; what else is said stands in lines without
    /// a path, and is passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let files = text.lines().filter_map(|line| {
            let (line, target) = match line.split_once(" -> ") {
                Some((line, target)) => (line, Some(target.trim().to_owned())),
                None => (line, None),
            };
            let path = line.split_whitespace().next_back()?;
            let path = path.trim_start_matches("./").trim_start_matches('/');
            let is_path = path.contains('/') || path == "init";
            is_path.then(|| (path.to_owned(), target))
        });
        Self {
            files: files.collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the file is there; `/bin` and `/usr/bin` are one folder, as they are in an initrd.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        let short = path.trim_start_matches("usr/");
        self.files.contains_key(path)
            || self.files.contains_key(short)
            || self.files.contains_key(&format!("usr/{short}"))
    }

    /// Whether a file of just this name is anywhere.
    pub(crate) fn has_program(&self, name: &str) -> bool {
        let mut files = self.files.keys().map(|path| path.rsplit('/').next());
        files.any(|file| file == Some(name))
    }

    /// Whether any version of the shared library is anywhere.
    pub(crate) fn has_library(&self, name: &str) -> bool {
        self.files.keys().any(|path| {
            let file = path.rsplit('/').next().unwrap_or(path);
            let version = file.strip_prefix(name);
            version.is_some_and(|version| version.starts_with(".so"))
        })
    }

    /// Whether the kernel's module is there; `-` and `_` are one in such names.
    pub(crate) fn has_module(&self, module: &str) -> bool {
        let wanted = module.replace('-', "_");
        self.files.keys().any(|path| {
            let file = path.rsplit('/').next().unwrap_or(path);
            let name = file.split('.').next().unwrap_or(file).replace('-', "_");
            file.contains(".ko") && name == wanted
        })
    }

    /// Whether systemd is there and may start the unit: it is there and not masked.
    pub(crate) fn may_start(&self, unit: &str) -> bool {
        let named = self.files.iter().filter(|(path, _)| {
            path.contains("systemd/system/") && path.rsplit('/').next() == Some(unit)
        });
        let mut is_there = false;
        for (path, target) in named {
            let is_unit = path.trim_end_matches(unit).ends_with("systemd/system/");
            match target.as_deref() {
                Some("/dev/null") if is_unit => return false,
                _ => is_there |= is_unit,
            }
        }
        is_there
    }
}

/// Lists the initrd by the first of the tools that is there and can.
pub(crate) fn list(initrd: &Path) -> Result<Listing, String> {
    if !initrd.is_file() {
        return Err(format!("there is no file {}", initrd.display()));
    }
    for (tool, arguments) in [("lsinitrd", &[][..]), ("lsinitramfs", &["-l"][..])] {
        let listed = Command::new(tool)
            .args(arguments)
            .arg(initrd)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        let Ok(output) = listed else { continue };
        if !output.status.success() || output.stdout.len() > MAX_LISTING_LEN {
            continue;
        }
        let listing = Listing::parse(&String::from_utf8_lossy(&output.stdout));
        if !listing.is_empty() {
            return Ok(listing);
        }
    }
    Err("neither lsinitrd nor lsinitramfs could list it".to_owned())
}
