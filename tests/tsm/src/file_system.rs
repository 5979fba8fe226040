//! The calls of FUSE. One thread serves them, as one lock of the kernel's is held while a provider
//! makes a report: a slow one is in everybody's way.

use crate::attribute::Attribute;
use crate::fault::Fault;
use crate::instance::Instance;
use crate::mounted::Shared;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// Nothing is kept in the kernel.
const TTL: Duration = Duration::ZERO;
/// Nodes of one request: its folder, then its files.
const NODES: u64 = 16;

/// What is mounted.
#[derive(Debug)]
pub(crate) struct FileSystem {
    shared: Arc<Shared>,
    tables: Mutex<Tables>,
}

/// Requests and open files by their numbers.
#[derive(Debug, Default)]
struct Tables {
    last: u64,
    instances: BTreeMap<u64, Instance>,
    files: BTreeMap<u64, OpenFile>,
}

/// One open file. Reading and writing are not mixed.
#[derive(Debug)]
struct OpenFile {
    instance: u64,
    attribute: Attribute,
    read: Option<Vec<u8>>,
    written: Option<Vec<u8>>,
}

impl FileSystem {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let tables = Mutex::new(Tables::default());
        Self { shared, tables }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self) -> &'static [Attribute] {
        Attribute::all(self.shared.provider.floor().is_some())
    }

    /// Which file a node is: its request, and its attribute if it is not the folder.
    fn node(&self, node: INodeNo) -> Option<(u64, Option<Attribute>)> {
        let (id, index) = (node.0 / NODES, usize::try_from(node.0 % NODES).ok()?);
        match index.checked_sub(1) {
            None => Some((id, None)),
            Some(index) => Some((id, Some(*self.attributes().get(index)?))),
        }
    }

    fn attr(&self, node: INodeNo) -> FileAttr {
        let attribute = (node != INodeNo::ROOT)
            .then(|| self.node(node))
            .flatten()
            .and_then(|(_, attribute)| attribute);
        FileAttr {
            ino: node,
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: attribute.map_or(FileType::Directory, |_| FileType::RegularFile),
            perm: attribute.map_or(0o755, Attribute::mode),
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn read_file(&self, handle: FileHandle) -> Result<Vec<u8>, Errno> {
        let mut tables = self.tables();
        let Tables {
            instances, files, ..
        } = &mut *tables;
        let file = files.get_mut(&handle.0).ok_or(Errno::EBADF)?;
        if file.written.is_some() {
            return Err(Errno::ETXTBSY);
        }
        if let Some(content) = &file.read {
            return Ok(content.clone());
        }
        self.shared.note(format!("read {}", file.attribute.name()));
        let instance = instances.get_mut(&file.instance).ok_or(Errno::ENOENT)?;
        if let (Some(Fault::Stall(time)), Attribute::Outblob) = (instance.fault, file.attribute) {
            self.shared.stall(time);
        }
        let content = instance
            .content(file.attribute, &self.shared.provider)
            .map_err(|errno| Errno::from_i32(errno as i32))?;
        file.read = Some(content.clone());
        Ok(content)
    }

    fn write_file(&self, handle: FileHandle, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let mut tables = self.tables();
        let Tables {
            instances, files, ..
        } = &mut *tables;
        let file = files.get_mut(&handle.0).ok_or(Errno::EBADF)?;
        self.shared.note(format!("write {}", file.attribute.name()));
        if file.read.is_some() {
            return Err(Errno::ETXTBSY);
        }
        match file.attribute {
            Attribute::Inblob => {
                let written = file.written.get_or_insert_default();
                let at = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
                if at != written.len() || !Instance::takes(at + data.len()) {
                    return Err(Errno::EFBIG);
                }
                written.extend(data);
                Ok(())
            }
            Attribute::Privlevel => {
                let instance = instances.get_mut(&file.instance).ok_or(Errno::ENOENT)?;
                let floor = self.shared.provider.floor().unwrap_or_default();
                instance
                    .store_privlevel(data, floor)
                    .map_err(|errno| Errno::from_i32(errno as i32))
            }
            _ => Err(Errno::EACCES),
        }
    }
}

impl Filesystem for FileSystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = if parent == INodeNo::ROOT {
            let tables = self.tables();
            let mut instances = tables.instances.iter();
            instances
                .find(|(_, instance)| name == instance.name.as_str())
                .map(|(id, _)| id * NODES)
        } else {
            let mut attributes = (1..).zip(self.attributes());
            attributes
                .find(|(_, attribute)| name == attribute.name())
                .map(|(index, _)| parent.0 + index)
        };
        match found {
            Some(node) => reply.entry(&TTL, &self.attr(INodeNo(node)), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(node));
    }

    fn mkdir(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let Some(fault) = self.shared.next_request() else {
            return reply.error(Errno::ENXIO);
        };
        let mut tables = self.tables();
        tables.last += 1;
        let id = tables.last;
        let name = name.to_string_lossy().into_owned();
        self.shared.note("make".to_owned());
        tables.instances.insert(id, Instance::new(name, fault));
        reply.entry(&TTL, &self.attr(INodeNo(id * NODES)), Generation(0));
    }

    fn rmdir(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.shared.note("remove".to_owned());
        let mut tables = self.tables();
        tables
            .instances
            .retain(|_, instance| name != instance.name.as_str());
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let names: Vec<String> = if node == INodeNo::ROOT {
            let tables = self.tables();
            let instances = tables.instances.values();
            instances.map(|instance| instance.name.clone()).collect()
        } else {
            let attributes = self.attributes().iter();
            attributes
                .map(|attribute| attribute.name().to_owned())
                .collect()
        };
        let kind = match node {
            INodeNo::ROOT => FileType::Directory,
            _ => FileType::RegularFile,
        };
        for (at, name) in (1..)
            .zip(names)
            .skip(usize::try_from(offset).unwrap_or_default())
        {
            if reply.add(INodeNo(u64::MAX), at, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let Some((instance, Some(attribute))) = self.node(node) else {
            return reply.error(Errno::ENOENT);
        };
        let mut tables = self.tables();
        tables.last += 1;
        let handle = tables.last;
        let file = OpenFile {
            instance,
            attribute,
            read: None,
            written: None,
        };
        tables.files.insert(handle, file);
        reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_file(handle) {
            Ok(content) => {
                let at = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(content.len());
                let end = content.len().min(at.saturating_add(size as usize));
                reply.data(&content[at..end]);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_file(handle, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or_default()),
            Err(errno) => reply.error(errno),
        }
    }

    /// The kernel stores at the file's release, which it waits for in close() and FUSE does not:
    /// what it waits for is this. Nothing of a failure is told.
    fn flush(&self, _: &Request, _: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let mut tables = self.tables();
        let Tables {
            instances, files, ..
        } = &mut *tables;
        if let Some(file) = files.get_mut(&handle.0)
            && let Some(written) = file.written.take()
            && let Some(instance) = instances.get_mut(&file.instance)
        {
            instance.store_inblob(written);
        }
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.tables().files.remove(&handle.0);
        reply.ok();
    }
}
