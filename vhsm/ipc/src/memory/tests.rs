use super::*;
use nix::sys::memfd::MFdFlags;
use std::fs::File;
use std::os::unix::fs::FileExt;

const LEN: i64 = 3 * 4096;

fn memfd(flags: MFdFlags) -> OwnedFd {
    let memfd = memfd_create(c"of-a-test", flags | MFdFlags::MFD_CLOEXEC).unwrap();
    ftruncate(&memfd, LEN).unwrap();
    memfd
}

fn allocate(memfd: &OwnedFd) {
    fallocate(memfd, FallocateFlags::empty(), 0, LEN).unwrap();
}

fn seal(memfd: &OwnedFd, seals: SealFlag) {
    fcntl(memfd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
}

fn both() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
}

#[test]
fn both_sides_see_what_the_other_writes() {
    let (ours, memfd) = SharedMemory::create(10_000).unwrap();
    let theirs = SharedMemory::adopt(&memfd, Some(10_000)).unwrap();
    ours.write_at(9_990, b"0123456789").unwrap();
    let mut out = [0; 10];
    theirs.read_at(9_990, &mut out).unwrap();
    assert_eq!(&out, b"0123456789");
    File::from(memfd).write_all_at(b"x", 0).unwrap();
    theirs.read_at(0, &mut out[..1]).unwrap();
    assert_eq!(out[0], b'x');
}

#[test]
fn nothing_outside_is_read_or_written() {
    let (memory, _memfd) = SharedMemory::create(4096).unwrap();
    let places = [
        (4095, 2),
        (4096, 1),
        (u64::MAX, 1),
        (u64::MAX - 1, 4096),
        (4097, 0),
    ];
    for (offset, len) in places {
        assert_eq!(memory.read_at(offset, &mut vec![0; len]), Err(OutOfBounds));
        assert_eq!(memory.write_at(offset, &vec![0; len]), Err(OutOfBounds));
    }
    memory.write_at(4096, b"").unwrap();
}

#[test]
fn what_can_still_shrink_or_grow_is_refused() {
    for seals in [
        SealFlag::empty(),
        SealFlag::F_SEAL_SHRINK,
        SealFlag::F_SEAL_GROW,
    ] {
        let memfd = memfd(MFdFlags::MFD_ALLOW_SEALING);
        allocate(&memfd);
        seal(&memfd, seals);
        let refused = SharedMemory::adopt(&memfd, None);
        assert!(matches!(refused, Err(MemoryError::NotSealed)), "{seals:?}");
    }
}

#[test]
fn sealed_memory_cannot_be_shrunk_under_us() {
    let (memory, memfd) = SharedMemory::create(8192).unwrap();
    assert_eq!(ftruncate(&memfd, 0), Err(Errno::EPERM));
    assert_eq!(ftruncate(&memfd, 1 << 20), Err(Errno::EPERM));
    memory.write_at(8191, b"x").unwrap();
}

#[test]
fn memory_with_holes_is_refused() {
    let memfd = memfd(MFdFlags::MFD_ALLOW_SEALING);
    File::from(memfd.try_clone().unwrap())
        .write_all_at(b"x", 4096)
        .unwrap();
    seal(&memfd, both());
    let refused = SharedMemory::adopt(&memfd, None);
    let expected = matches!(
        refused,
        Err(MemoryError::Sparse {
            allocated: 4096,
            len: 12288
        })
    );
    assert!(expected, "{refused:?}");
}

#[test]
fn hole_punched_later_reads_as_zeros_and_ends_nothing() {
    let (memory, memfd) = SharedMemory::create(8192).unwrap();
    memory.write_at(0, &[7; 8192]).unwrap();
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&memfd, punch, 0, 8192).unwrap();
    let mut out = [1; 8192];
    memory.read_at(0, &mut out).unwrap();
    assert!(out.iter().all(|byte| *byte == 0));
    memory.write_at(0, &out).unwrap();
}

#[test]
fn only_memfds_are_taken() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let (read, _write) = nix::unistd::pipe().unwrap();
    let (socket, _other) = crate::Connection::pair().unwrap();
    let mut others = vec![OwnedFd::from(file), read, socket.into()];
    // A file of the same file system as memfds, which cannot be sealed.
    if let Ok(shm) = tempfile::tempfile_in("/dev/shm") {
        shm.write_all_at(&[0; 4096], 0).unwrap();
        others.push(shm.into());
    }
    for other in others {
        let refused = SharedMemory::adopt(&other, None);
        let expected = matches!(refused, Err(MemoryError::NotMemfd | MemoryError::NotSealed));
        assert!(expected, "{refused:?}");
    }
}

#[test]
fn length_is_as_said_and_not_zero() {
    let (_memory, memfd) = SharedMemory::create(4096).unwrap();
    for said in [0, 4095, 4097, u64::MAX] {
        let refused = SharedMemory::adopt(&memfd, Some(said));
        assert!(matches!(
            refused,
            Err(MemoryError::WrongLength { len: 4096, .. })
        ));
    }
    assert!(SharedMemory::create(0).is_err());
    assert!(SharedMemory::create(u64::MAX).is_err());
}

#[test]
fn memory_that_cannot_be_written_is_refused() {
    let memfd = memfd(MFdFlags::MFD_ALLOW_SEALING);
    allocate(&memfd);
    seal(&memfd, both() | SealFlag::F_SEAL_WRITE);
    let refused = SharedMemory::adopt(&memfd, None);
    assert!(matches!(
        refused,
        Err(MemoryError::System { action: "map", .. })
    ));
}
