//! The run-time measurement registers of TDX as Linux 6.16 shows them: four files of 48 bytes, two of
//! which are extended by writing just so many at their beginning.

use anyhow::{Context, Result, ensure};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags, spawn_mount,
};
use nitride_support::folder::Folder;
use nix::unistd::getuid;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

const TTL: Duration = Duration::ZERO;
const LEN: usize = 48;
/// Those before it are the firmware's.
const FIRST_OF_SYSTEM: usize = 2;

/// How a register is extended: `H(register ‖ digest)`.
pub type Extend = fn(&[u8; 48], &[u8; 48]) -> [u8; 48];

type Registers = Arc<Mutex<[[u8; LEN]; 4]>>;

/// Registers, mounted for as long as they are held.
#[derive(Debug)]
pub struct Rtmrs {
    path: PathBuf,
    registers: Registers,
    session: Option<BackgroundSession>,
    _folder: Folder,
}

struct FileSystem {
    registers: Registers,
    extend: Extend,
}

impl Rtmrs {
    /// Mounts four of zeros; `None`, and says so, where that cannot be done.
    ///
    /// # Errors
    /// When it should have gone well: as root with `/dev/fuse`, and in CI.
    pub fn mount(extend: Extend) -> Result<Option<Self>> {
        if !getuid().is_root() || !Path::new("/dev/fuse").exists() {
            ensure!(
                std::env::var_os("CI").is_none(),
                "CI plays registers by FUSE: it takes root and /dev/fuse"
            );
            eprintln!("skipped: registers by FUSE take root and /dev/fuse");
            return Ok(None);
        }
        let folder = Folder::new()?;
        let path = folder.join("measurements");
        std::fs::create_dir(&path)?;
        let registers = Registers::new(Mutex::new([[0; LEN]; 4]));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("nitride-rtmrs".to_owned())];
        let served = FileSystem {
            registers: Arc::clone(&registers),
            extend,
        };
        let session = spawn_mount(served, &path, &config).context("mount by FUSE")?;
        Ok(Some(Self {
            path,
            registers,
            session: Some(session),
            _folder: folder,
        }))
    }

    /// Their folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a register holds.
    #[must_use]
    pub fn held(&self, number: usize) -> [u8; 48] {
        self.registers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)[number]
    }

    /// Something else extends it.
    pub fn overtake(&self, number: usize) {
        self.registers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)[number] = [7; LEN];
    }
}

impl Drop for Rtmrs {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && let Err(error) = session.umount_and_join()
        {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// The number of a register's file.
fn number(node: INodeNo) -> Option<usize> {
    usize::try_from(node.0)
        .ok()?
        .checked_sub(2)
        .filter(|n| *n < 4)
}

fn attr(node: INodeNo) -> FileAttr {
    let number = number(node);
    FileAttr {
        ino: node,
        size: number.map_or(0, |_| LEN as u64),
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: number.map_or(FileType::Directory, |_| FileType::RegularFile),
        perm: match number {
            None => 0o755,
            Some(0 | 1) => 0o444,
            Some(_) => 0o644,
        },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for FileSystem {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = (0..4u64).find(|number| name == format!("rtmr{number}:sha384").as_str());
        match found {
            Some(found) => reply.entry(&TTL, &attr(INodeNo(found + 2)), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &attr(node));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(number) = number(node) else {
            return reply.error(Errno::ENOENT);
        };
        let registers = self
            .registers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(offset).unwrap_or(LEN).min(LEN);
        let end = LEN.min(at.saturating_add(size as usize));
        reply.data(&registers[number][at..end]);
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let number = number(node).filter(|number| *number >= FIRST_OF_SYSTEM);
        let (Some(number), Ok(digest)) = (number, <&[u8; LEN]>::try_from(data)) else {
            return reply.error(Errno::EINVAL);
        };
        if offset != 0 {
            return reply.error(Errno::EINVAL);
        }
        let mut registers = self
            .registers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        registers[number] = (self.extend)(&registers[number], digest);
        reply.written(u32::try_from(LEN).unwrap_or_default());
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }
}
