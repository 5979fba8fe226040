//! The archives of an initrd, read as the kernel reads them, and written nowhere: the file may be the
//! host's, and whoever unpacks it as root lets it write where it wants.
//!
//! ```text
//! file ──> archive, zeros, archive, … , a compressed rest ──by a child without rights──> archives
//! ```

use super::initrd::{File, MAX_TEXT_LEN, is_read};
use nix::unistd::geteuid;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path};
use std::process::{Command, Stdio};
use std::{fs, thread};

/// Files of an initrd; a full one of dracut has some thousands.
const MAX_FILES: usize = 200_000;
/// Bytes of an initrd, and of what comes out of it.
const MAX_LEN: u64 = 1 << 29;
const MAX_UNPACKED_LEN: u64 = 1 << 32;
/// Bytes of a path, with the zero at its end.
const MAX_NAME_LEN: u32 = 4096;
/// Whoever decompresses has no rights: overflowuid of the kernel.
const NOBODY: u32 = 65_534;
/// How each begins, and who decompresses it.
const COMPRESSED: [(&[u8], &[&str]); 7] = [
    (b"\x1f\x8b", &["/usr/bin/gzip", "-dc"]),
    (b"\x28\xb5\x2f\xfd", &["/usr/bin/zstd", "-dcq"]),
    (b"\xfd7zXZ\0", &["/usr/bin/xz", "-dc"]),
    (b"\x5d\0\0", &["/usr/bin/xz", "-dc", "--format=lzma"]),
    (b"\x02\x21\x4c\x18", &["/usr/bin/lz4", "-dcq"]),
    (b"BZh", &["/usr/bin/bzip2", "-dc"]),
    (b"\x89LZO", &["/usr/bin/lzop", "-dc"]),
];

/// Why an initrd cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is no initrd: {0}")]
    Malformed(&'static str),
    #[error("it has too many files, or too much in them")]
    TooLarge,
    #[error("it is compressed, and {program} does not decompress it: {said}")]
    Decompress { program: &'static str, said: String },
    #[error("{path} in it goes up, or through a link")]
    Elsewhere { path: String },
}

/// Files by their path without a leading slash.
pub(super) fn read(initrd: &Path) -> Result<BTreeMap<String, File>, ArchiveError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(initrd)?;
    file.take(MAX_LEN + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(ArchiveError::TooLarge);
    }
    let mut found = Found::default();
    let mut rest = bytes.as_slice();
    loop {
        match rest.first() {
            None => break,
            Some(0) => rest = &rest[1..],
            Some(b'0') => found.take_archive(&mut rest)?,
            Some(_) => {
                decompress(rest, &mut found)?;
                break;
            }
        }
    }
    found.whole()
}

fn decompress(compressed: &[u8], found: &mut Found) -> Result<(), ArchiveError> {
    let known = COMPRESSED.iter();
    let mut known = known.filter(|(magic, _)| compressed.starts_with(magic));
    let Some((_, [program, arguments @ ..])) = known.next() else {
        return Err(ArchiveError::Malformed(
            "neither an archive nor compressed in a way that is known",
        ));
    };
    let failed = |said: String| ArchiveError::Decompress { program, said };
    let mut command = without_rights(program);
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let taken = thread::scope(|scope| {
        scope.spawn(move || {
            // Whoever ends early, says so by its status.
            let _ = stdin.map(|mut stdin| stdin.write_all(compressed));
        });
        let mut stream = stdout.ok_or(ArchiveError::Malformed("no stream"))?;
        let taken = found.take_archives(&mut stream);
        // The writer ends with the child, and the child with its reader.
        drop(stream);
        taken
    });
    let status = child.wait()?;
    taken?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(status.to_string())),
    }
}

fn without_rights(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir("/");
    if geteuid().is_root() {
        // Which leaves all other groups, too.
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Number, and the device's two: what files that are one file have in common.
type Inode = [u32; 3];

#[derive(Default)]
struct Found {
    files: BTreeMap<String, File>,
    /// Names of one file, of which the last alone has its bytes.
    links: HashMap<Inode, Vec<String>>,
    /// Entries and bytes so far, of folders too.
    entries: usize,
    len: u64,
}

impl Found {
    /// Archives one after the other, to the end.
    fn take_archives(&mut self, stream: &mut impl Read) -> Result<(), ArchiveError> {
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 {
            match byte {
                [0] => {}
                [b'0'] => self.take_archive(&mut byte.as_slice().chain(&mut *stream))?,
                _ => return Err(ArchiveError::Malformed("something between its archives")),
            }
        }
        Ok(())
    }

    /// One archive, to its trailer.
    fn take_archive(&mut self, stream: &mut impl Read) -> Result<(), ArchiveError> {
        while self.take_entry(stream)? {}
        self.links.clear();
        Ok(())
    }

    /// One entry of cpio's `newc`; whether there may be another.
    fn take_entry(&mut self, stream: &mut impl Read) -> Result<bool, ArchiveError> {
        let mut header = [0; 110];
        stream.read_exact(&mut header)?;
        if !header.starts_with(b"070701") && !header.starts_with(b"070702") {
            return Err(ArchiveError::Malformed("an entry that is not newc"));
        }
        let field = |at: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * at..14 + 8 * at]).ok();
            let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let number = digits.and_then(|text| u32::from_str_radix(text, 16).ok());
            number.ok_or(ArchiveError::Malformed("a number that is none"))
        };
        let (inode, mode, names) = ([field(0)?, field(7)?, field(8)?], field(1)?, field(4)?);
        let (len, name_len) = (field(6)?, field(11)?);
        self.entries += 1;
        self.len += u64::from(len);
        if self.entries > MAX_FILES || self.len > MAX_UNPACKED_LEN || name_len > MAX_NAME_LEN {
            return Err(ArchiveError::TooLarge);
        }
        let name = take(stream, name_len, name_len)?;
        // Header and name together are a multiple of four.
        skip(stream, padding(110 + name_len))?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == b"TRAILER!!!" {
            skip(stream, len)?;
            return Ok(false);
        }
        let path = path(&String::from_utf8_lossy(name))?;
        let kind = mode & 0o170_000;
        let is_kept = kind == 0o120_000 || names > 1 || is_read(&path);
        // What is longer is no configuration.
        let bytes = take(stream, len, if is_kept { MAX_TEXT_LEN } else { 0 })?;
        skip(stream, padding(len))?;
        if kind != 0o040_000 && !path.is_empty() {
            self.put(path, kind, bytes, (names > 1).then_some(inode));
        }
        Ok(true)
    }

    /// What comes later takes the place of what was there.
    fn put(&mut self, path: String, kind: u32, bytes: Vec<u8>, inode: Option<Inode>) {
        if kind == 0o120_000 {
            let target = String::from_utf8_lossy(&bytes).into_owned();
            self.files.insert(path, File::Link(target));
            return;
        }
        let is_file = kind == 0o100_000;
        let kept = |path: &str| File::Plain((is_file && is_read(path)).then(|| bytes.clone()));
        if let Some(inode) = inode {
            let names = self.links.entry(inode).or_default();
            for name in names.iter().filter(|_| !bytes.is_empty()) {
                self.files.insert(name.clone(), kept(name));
            }
            names.push(path.clone());
        }
        let file = kept(&path);
        self.files.insert(path, file);
    }

    /// The kernel follows a link that is a folder's name; where such a file comes to be is not found out.
    fn whole(self) -> Result<BTreeMap<String, File>, ArchiveError> {
        let is_link = |folder: &Path| {
            let file = self.files.get(folder.to_string_lossy().as_ref());
            matches!(file, Some(File::Link(_)))
        };
        let mut paths = self.files.keys();
        match paths.find(|path| Path::new(path).ancestors().skip(1).any(is_link)) {
            Some(path) => Err(ArchiveError::Elsewhere { path: path.clone() }),
            None => Ok(self.files),
        }
    }
}

/// The path from the root of the initrd.
fn path(name: &str) -> Result<String, ArchiveError> {
    let mut parts = Vec::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let path = name.to_owned();
                return Err(ArchiveError::Elsewhere { path });
            }
        }
    }
    Ok(parts.join("/"))
}

fn padding(len: u32) -> u32 {
    len.wrapping_neg() % 4
}

/// So many bytes of the stream, of which at most so many are kept.
fn take(stream: &mut impl Read, len: u32, most: u32) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let kept = len.min(most);
    let read = stream.take(u64::from(kept)).read_to_end(&mut bytes)?;
    if read as u64 != u64::from(kept) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    skip(stream, len - kept)?;
    Ok(bytes)
}

fn skip(stream: &mut impl Read, len: u32) -> Result<(), ArchiveError> {
    let skipped = io::copy(&mut stream.take(u64::from(len)), &mut io::sink())?;
    match skipped == u64::from(len) {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = 0o100_644;
    const LINK: u32 = 0o120_777;

    fn entry(name: &str, mode: u32, text: &str, inode: u32, names: u32) -> Vec<u8> {
        let name_len = u32::try_from(name.len()).unwrap() + 1;
        let len = u32::try_from(text.len()).unwrap();
        let fields = [inode, mode, 0, 0, names, 0, len, 0, 0, 0, 0, name_len, 0];
        let fields: String = fields.map(|field| format!("{field:08X}")).concat();
        let mut bytes = format!("070701{fields}{name}\0").into_bytes();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.extend(entry("TRAILER!!!", 0, "", 0, 1));
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn file(name: &str, text: &str) -> Vec<u8> {
        entry(name, FILE, text, 0, 1)
    }

    fn read_of(bytes: &[u8]) -> Result<BTreeMap<String, File>, ArchiveError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("initrd");
        fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, bytes).unwrap();
        let output = Command::new("gzip").arg("-c").arg(&path).output().unwrap();
        output.stdout
    }

    fn plain(text: &str) -> File {
        File::Plain(Some(text.into()))
    }

    #[test]
    fn archives_that_the_kernel_unpacks_one_over_the_other_are_one_initrd() {
        let early = archive(&[file("etc/a", "early"), file("./usr/bin/x", "program")]);
        let main = [
            archive(&[
                entry("etc", 0o040_755, "", 0, 2),
                file("etc/a", "main"),
                entry("bin", LINK, "usr/bin", 0, 1),
                entry("dev/console", 0o020_600, "", 0, 1),
                entry("etc/b", FILE, "", 7, 2),
                entry("/etc/c", FILE, "both", 7, 2),
            ]),
            archive(&[file("etc/d", "last")]),
        ];
        let expected = BTreeMap::from([
            ("etc/a".to_owned(), plain("main")),
            ("usr/bin/x".to_owned(), File::Plain(None)),
            ("bin".to_owned(), File::Link("usr/bin".to_owned())),
            ("dev/console".to_owned(), File::Plain(None)),
            ("etc/b".to_owned(), plain("both")),
            ("etc/c".to_owned(), plain("both")),
            ("etc/d".to_owned(), plain("last")),
        ]);
        let main = main.concat();
        for main in [gzip(&main), main] {
            let found = read_of(&[early.clone(), main].concat()).unwrap();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_initrd_writes_nothing_where_it_is_read() {
        let outside = tempfile::tempdir().unwrap();
        let path = outside.path().join("x");
        let absolute = path.display().to_string();
        let found = read_of(&archive(&[file(&absolute, "x")])).unwrap();
        assert!(found.contains_key(absolute.trim_start_matches('/')));
        let up = archive(&[file(&format!("../..{absolute}"), "x")]);
        let folder = outside.path().display().to_string();
        let link = archive(&[entry("a", LINK, &folder, 0, 1), file("a/x", "x")]);
        for bytes in [up, link] {
            for bytes in [gzip(&bytes), bytes] {
                let error = read_of(&bytes).unwrap_err();
                assert!(matches!(error, ArchiveError::Elsewhere { .. }), "{error}");
            }
        }
        assert!(!path.exists());
    }

    #[test]
    fn whoever_decompresses_has_no_rights() {
        let output = without_rights("/usr/bin/id").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let is_nobody = said.contains("uid=65534") && !said.contains("(root)");
        assert!(is_nobody || !geteuid().is_root(), "{said}");
    }

    #[test]
    fn what_is_no_initrd_is_named() {
        let whole = archive(&[file("etc/a", "text")]);
        let mut number = whole.clone();
        number[20] = b'+';
        let mut name = whole.clone();
        name[94..102].copy_from_slice(b"00100000");
        let mut cut = gzip(&whole);
        cut.truncate(cut.len() - 6);
        for (bytes, said) in [
            (b"no archive".to_vec(), "neither an archive"),
            (b"070707 of another kind of archive".repeat(9), "not newc"),
            (number, "a number"),
            (name, "too many"),
            (whole[..120].to_vec(), "cannot be read"),
            (cut, "does not decompress"),
            (gzip(b"x"), "between its archives"),
            (
                [gzip(&whole), whole.clone()].concat(),
                "does not decompress",
            ),
        ] {
            let error = read_of(&bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        let none = read(Path::new("/nonexistent/initrd")).unwrap_err();
        assert!(none.to_string().starts_with("it cannot be read"));
        assert_eq!(read_of(b"").unwrap(), BTreeMap::new());
    }
}
