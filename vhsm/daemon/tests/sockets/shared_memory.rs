//! Data too long for a packet, and peers that share memory in bad faith.

use crate::world::{Client, Vhsmd, read, sign};
use nitride_ipc::memory::SharedMemory;
use nitride_protocol::admin::Reload;
use nitride_protocol::application::{
    BufferDone, DecryptBuffer, EncryptBuffer, Generate, RegisterBuffer, Registered, Window,
};
use nitride_protocol::{Call, KeyName, KeyType, Message, Status, write_request};
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

const POLICY: &str = r#"
[[rule]]
name = "all"
keys = ["**"]
peers = [{ uid = UID }]
operations = ["generate", "sign", "encrypt-buffer", "decrypt-buffer"]
"#;

const KEY: &str = "bulk";
const LEN: u64 = 1 << 20;

/// A vault with a key, and a client of it.
fn world() -> (Vhsmd, Client) {
    let vhsmd = Vhsmd::start(POLICY, "");
    let mut client = vhsmd.greeted("vhsm.sock", 0);
    client.announce_descriptors();
    for (key, key_type) in [(KEY, KeyType::Aes256Gcm), ("signing", KeyType::EcP256)] {
        client
            .call(&Generate {
                key: KeyName::parse(key).unwrap(),
                key_type,
                operations: None,
                wrappable_by: Vec::new(),
            })
            .unwrap();
    }
    (vhsmd, client)
}

fn call_with<'a, C: Call + Message<'a>>(
    client: &Client,
    call: &C,
    attached: &[BorrowedFd<'_>],
) -> Result<Vec<u8>, Status> {
    let mut packet = vec![0; 4096];
    let len = write_request(&mut packet, 3, C::OPERATION, call).unwrap();
    client
        .connection
        .send_with(&packet[..len], attached)
        .unwrap();
    match client.receive() {
        (3, Status::Ok, packet) => Ok(packet),
        (3, status, _) => Err(status),
        other => panic!("{other:?}"),
    }
}

fn register(client: &Client, memfd: &OwnedFd, len: u64) -> Result<u32, Status> {
    let registered = call_with(client, &RegisterBuffer { len }, &[memfd.as_fd()])?;
    Ok(read::<Registered>(&registered).buffer)
}

fn encrypt(buffer: Option<u32>, input: (u64, u64), output_offset: u64) -> EncryptBuffer<'static> {
    EncryptBuffer(window(buffer, input, output_offset))
}

fn decrypt(buffer: Option<u32>, input: (u64, u64), output_offset: u64) -> DecryptBuffer<'static> {
    DecryptBuffer(window(buffer, input, output_offset))
}

fn window(buffer: Option<u32>, input: (u64, u64), output_offset: u64) -> Window<'static> {
    Window {
        key: KeyName::parse(KEY).unwrap(),
        buffer,
        input_offset: input.0,
        input_len: input.1,
        output_offset,
        aad: b"aad",
    }
}

fn bytes_at(memory: &SharedMemory, offset: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    memory.read_at(offset, &mut bytes).unwrap();
    bytes
}

fn pattern(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn what_is_encrypted_in_a_buffer_decrypts_to_itself_at_every_length() {
    let (_vhsmd, client) = world();
    let (memory, memfd) = SharedMemory::create(4 * LEN).unwrap();
    let buffer = register(&client, &memfd, 4 * LEN).unwrap();
    for len in [0, 1, 65_535, 65_536, 65_537, 131_072, LEN] {
        let plaintext = pattern(len);
        memory.write_at(0, &plaintext).unwrap();
        let done = call_with(&client, &encrypt(Some(buffer), (0, len), LEN), &[]).unwrap();
        let sealed_len = read::<BufferDone>(&done).output_len;
        assert_eq!(sealed_len, 56 + len + 16 * len.div_ceil(65_536).max(1));
        // One-shot, over the same memory.
        let back = decrypt(None, (LEN, sealed_len), 3 * LEN);
        let done = call_with(&client, &back, &[memfd.as_fd()]).unwrap();
        assert_eq!(read::<BufferDone>(&done).output_len, len);
        assert!(bytes_at(&memory, 3 * LEN, len) == plaintext, "{len}");
    }
}

#[test]
fn nothing_is_left_of_a_message_that_is_not_whole() {
    let (_vhsmd, client) = world();
    let (memory, memfd) = SharedMemory::create(4 * LEN).unwrap();
    let buffer = register(&client, &memfd, 4 * LEN).unwrap();
    memory.write_at(0, &pattern(LEN)).unwrap();
    let done = call_with(&client, &encrypt(Some(buffer), (0, LEN), LEN), &[]).unwrap();
    let sealed_len = read::<BufferDone>(&done).output_len;
    // The last byte of all: every chunk but the last was fine, and released.
    let last = LEN + sealed_len - 1;
    let byte = bytes_at(&memory, last, 1)[0];
    memory.write_at(last, &[byte ^ 1]).unwrap();
    let back = decrypt(Some(buffer), (LEN, sealed_len), 3 * LEN);
    let refused = call_with(&client, &back, &[]);
    assert_eq!(refused.unwrap_err(), Status::VerificationFailed);
    assert!(
        bytes_at(&memory, 3 * LEN, LEN)
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn peer_that_changes_the_memory_meanwhile_gets_nothing_but_its_own_data() {
    let (_vhsmd, client) = world();
    let (memory, memfd) = SharedMemory::create(4 * LEN).unwrap();
    let buffer = register(&client, &memfd, 4 * LEN).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut fill = 0_u8;
            while !over.load(Ordering::Relaxed) {
                fill = fill.wrapping_add(1);
                memory.write_at(0, &vec![fill; 1 << 20]).unwrap();
            }
        });
        for _ in 0..20 {
            // Whatever was encrypted is what is authenticated: it was read once.
            let done = call_with(&client, &encrypt(Some(buffer), (0, LEN), LEN), &[]).unwrap();
            let sealed_len = read::<BufferDone>(&done).output_len;
            let back = decrypt(Some(buffer), (LEN, sealed_len), 3 * LEN);
            call_with(&client, &back, &[]).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn memory_that_can_shrink_or_has_holes_or_is_no_memory_is_refused() {
    let (_vhsmd, mut client) = world();
    let make = |allocates: bool, seals: SealFlag| {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memfd = memfd_create(c"of-a-test", flags).unwrap();
        ftruncate(&memfd, 1 << 20).unwrap();
        if allocates {
            fallocate(&memfd, FallocateFlags::empty(), 0, 1 << 20).unwrap();
        }
        fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        memfd
    };
    let both = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
    let (pipe, _write) = nix::unistd::pipe().unwrap();
    let bad = [
        make(true, SealFlag::F_SEAL_GROW),
        make(true, SealFlag::F_SEAL_SHRINK),
        make(false, both),
        make(true, both | SealFlag::F_SEAL_WRITE),
        tempfile::tempfile().unwrap().into(),
        pipe,
    ];
    for memfd in bad {
        assert_eq!(register(&client, &memfd, LEN), Err(Status::Malformed));
        let one_shot = encrypt(None, (0, 10), 100);
        let refused = call_with(&client, &one_shot, &[memfd.as_fd()]);
        assert_eq!(refused.unwrap_err(), Status::Malformed);
    }
    // Of another length than it says.
    let good = make(true, both);
    assert_eq!(register(&client, &good, LEN + 1), Err(Status::Malformed));
    assert!(register(&client, &good, LEN).is_ok());
    assert!(client.sign("signing").is_ok());
}

#[test]
fn descriptors_that_a_request_does_not_take_are_refused_and_closed() {
    let (vhsmd, mut client) = world();
    let open = || {
        let folder = format!("/proc/{}/fd", vhsmd.child.id());
        std::fs::read_dir(folder).unwrap().count()
    };
    let before = open();
    let (_memory, memfd) = SharedMemory::create(LEN).unwrap();
    let one = memfd.as_fd();
    for attached in [&[one][..], &[one, one], &[one; 20]] {
        let refused = call_with(&client, &sign("signing"), attached);
        assert_eq!(refused.unwrap_err(), Status::Malformed);
        if attached.len() > 1 {
            let refused = call_with(&client, &RegisterBuffer { len: LEN }, attached);
            assert_eq!(refused.unwrap_err(), Status::Malformed);
        }
    }
    // None where one is needed, and one where a buffer is named.
    let none = call_with(&client, &RegisterBuffer { len: LEN }, &[]);
    assert_eq!(none.unwrap_err(), Status::Malformed);
    let none = call_with(&client, &encrypt(None, (0, 10), 100), &[]);
    assert_eq!(none.unwrap_err(), Status::Malformed);
    let buffer = register(&client, &memfd, LEN).unwrap();
    let both = call_with(&client, &encrypt(Some(buffer), (0, 10), 100), &[one]);
    assert_eq!(both.unwrap_err(), Status::Malformed);
    assert!(client.sign("signing").is_ok());
    assert_eq!(open(), before);
}

#[test]
fn first_descriptor_after_a_reload_that_grants_bulk_is_taken() {
    let (vhsmd, mut client) = world();
    vhsmd.write_policy("");
    let mut admin = vhsmd.greeted("admin.sock", 0);
    admin.call(&Reload).unwrap();
    let (_memory, memfd) = SharedMemory::create(LEN).unwrap();
    let one_shot = encrypt(None, (0, 10), 100);
    // Long enough that packets are taken without a look at them.
    for _ in 0..20 {
        let refused = call_with(&client, &one_shot, &[memfd.as_fd()]);
        assert_eq!(refused.unwrap_err(), Status::Denied);
        assert!(client.sign("signing").is_err());
    }
    vhsmd.write_policy(POLICY);
    admin.call(&Reload).unwrap();
    assert!(call_with(&client, &one_shot, &[memfd.as_fd()]).is_ok());
}

#[test]
fn places_outside_the_memory_or_over_each_other_are_refused() {
    let (_vhsmd, client) = world();
    let (_memory, memfd) = SharedMemory::create(LEN).unwrap();
    let buffer = Some(register(&client, &memfd, LEN).unwrap());
    let bad = [
        encrypt(buffer, (LEN, 1), 0),
        encrypt(buffer, (LEN - 10, 11), 0),
        encrypt(buffer, (u64::MAX, 2), 0),
        encrypt(buffer, (0, 10), LEN - 81),
        encrypt(buffer, (0, 10), u64::MAX - 3),
        encrypt(buffer, (0, 10), 9),
        encrypt(buffer, (50, 10), 0),
    ];
    for request in bad {
        let refused = call_with(&client, &request, &[]);
        assert_eq!(refused.unwrap_err(), Status::Malformed, "{request:?}");
    }
    let there = encrypt(buffer, (0, 10), LEN - 82);
    assert!(call_with(&client, &there, &[]).is_ok());
    let unknown = encrypt(Some(7), (0, 10), 100);
    let refused = call_with(&client, &unknown, &[]);
    assert_eq!(refused.unwrap_err(), Status::BufferNotFound);
}

#[test]
fn a_connection_has_four_buffers_and_they_go_with_it() {
    let (vhsmd, client) = world();
    let (_memory, memfd) = SharedMemory::create(LEN).unwrap();
    for number in 0..4 {
        assert_eq!(register(&client, &memfd, LEN), Ok(number));
    }
    assert_eq!(register(&client, &memfd, LEN), Err(Status::QuotaExceeded));
    let mapped = || {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", vhsmd.child.id())).unwrap();
        maps.matches("nitride-buffer").count()
    };
    assert_eq!(mapped(), 4);
    // A buffer of one connection is none of another.
    let mut other = vhsmd.greeted("vhsm.sock", 0);
    other.announce_descriptors();
    let refused = call_with(&other, &encrypt(Some(0), (0, 10), 100), &[]);
    assert_eq!(refused.unwrap_err(), Status::BufferNotFound);
    drop(client);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while mapped() > 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
