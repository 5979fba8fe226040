use super::*;
use crate::config::{Config, Document};
use nitride_ipc::Connection;
use nitride_ipc::peer::resolve;
use nitride_protocol::admin::Import;
use nitride_protocol::application::{
    Ciphertext, Decrypt, Encrypt, Generate, Hello, Mac, Random, RegisterBuffer, Sign, Signature,
    Tag, Verify, VerifyMac,
};
use nitride_protocol::{
    Call, KeyName, KeyType, MaterialFormat, Message, open_reply, write_request,
};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeValLike;
use std::os::fd::AsFd;

#[test]
fn head_of_an_unread_packet_is_whole_and_holds_no_material() {
    let material = [0xa5; 16];
    let import = Import {
        key: KeyName::parse("a").unwrap(),
        key_type: KeyType::Secret,
        operations: None,
        material: &material,
        format: MaterialFormat::Raw,
        wrapping_key: None,
        wrappable_by: Vec::new(),
    };
    for id in [0, u32::MAX] {
        let mut packet = [0; 128];
        let len = write_request(&mut packet, id, Import::OPERATION, &import).unwrap();
        assert!(packet[..len].windows(16).any(|part| part == material));
        let head = &packet[..HEAD_LEN];
        assert!(!head.contains(&0xa5));
        assert_eq!(open_request(head).unwrap().0.id, id);
    }
    // The longest head that decodes.
    let longest = [0x83, 0x1a, 0xff, 0xff, 0xff, 0xff, 0x19, 0xff, 0xff];
    assert_eq!(
        open_request(&longest[..HEAD_LEN]).unwrap().0.operation,
        0xffff
    );
}

fn daemon(policy: &str) -> Arc<Daemon> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.toml"), policy).unwrap();
    let text = format!(
        "policy-dir = {:?}\n[arena]\nrecords = \"1MiB\"\nheap = \"3MiB\"\n",
        folder.path()
    );
    let path = folder.path().join("vhsmd.toml");
    let config = Config::of(&Document::of(&path, text)).unwrap();
    // Another test of this process may have been first.
    let _ = nitride_secmem::install(config.arena_sizes, config.backing, Vec::new());
    Daemon::new(path, config, nitride_secmem::Backing::Locked).unwrap()
}

/// A link with this process, and its other end.
fn link_of(daemon: &Daemon) -> (Arc<Link>, Connection) {
    let (ours, theirs) = Connection::pair().unwrap();
    let identity = resolve(&ours, None).unwrap();
    let socket = nitride_vault::Socket::Application;
    let slot = daemon.quota.connect(identity.uid, socket).unwrap();
    let link = Arc::new(Link::new(1, socket, ours, identity, slot));
    (link, theirs)
}

#[test]
fn conversation_that_ends_by_a_fault_ends_its_connection_and_says_so() {
    let daemon = daemon("");
    let (link, theirs) = link_of(&daemon);
    let end = End {
        daemon: Arc::clone(&daemon),
        link: Arc::clone(&link),
    };
    let faulty = thread::spawn(move || {
        let _end = end;
        panic!("of the test");
    });
    assert!(faulty.join().is_err());
    // Although the link is still held, as a parked request would.
    assert_eq!(theirs.next_len().unwrap(), None);
    let warnings = daemon.warnings();
    assert!(warnings.iter().any(|text| text.contains("fault of vhsmd")));
}

/// Both ends of a conversation, on one thread.
struct Talk {
    conversation: Conversation,
    theirs: Connection,
    packet: [u8; 4096],
    reply: [u8; 4096],
}

impl Talk {
    /// A conversation that has been greeted.
    fn with(daemon: &Arc<Daemon>) -> Self {
        let (link, theirs) = link_of(daemon);
        let mut talk = Self {
            conversation: Conversation::new(Arc::clone(daemon), link),
            theirs,
            packet: [0; 4096],
            reply: [0; 4096],
        };
        talk.conversation.begin();
        talk.hello(false);
        talk
    }

    fn hello(&mut self, attaches: bool) {
        self.ask(&Hello {
            min_version: 1,
            max_version: 1,
            client: "test",
            wait_ms: 0,
            attaches,
        });
    }

    /// Keeps asking until packets are taken into a borrowed buffer.
    fn hurry(&mut self) {
        (0..20).for_each(|_| {
            self.ask(&Random { len: 8 });
        });
        assert!(self.conversation.packet.borrowed().is_some());
    }

    /// Sends a memfd with a request to register it, under `id`, and gives the answer's status; `None`
    /// where the kernel keeps it from being sent.
    fn register(&mut self, id: u32) -> Option<Status> {
        let len = 4096;
        let (_memory, memfd) = nitride_ipc::memory::SharedMemory::create(len).unwrap();
        let request = RegisterBuffer { len };
        let operation = RegisterBuffer::OPERATION;
        let len = write_request(&mut self.packet, id, operation, &request).unwrap();
        let sent = self.theirs.send_with(&self.packet[..len], &[memfd.as_fd()]);
        sent.ok()?;
        assert!(self.conversation.turn().is_ok());
        let len = self.theirs.recv(&mut self.reply).unwrap().unwrap();
        let (head, _) = open_reply(&self.reply[..len]).unwrap();
        assert_eq!(head.id, id);
        Some(head.status)
    }

    /// How long the conversation waits for a packet; zero is for ever.
    fn longest_pause(&self) -> Duration {
        let connection = self.conversation.link.connection();
        let timeout = getsockopt(connection, sockopt::ReceiveTimeout).unwrap();
        Duration::from_micros(timeout.num_microseconds().try_into().unwrap())
    }

    /// Asks, has it answered, and gives the answer.
    fn ask<'a, 'r, R>(&'r mut self, request: &R) -> R::Reply<'r>
    where
        R: Call + Message<'a>,
    {
        let len = write_request(&mut self.packet, 1, R::OPERATION, request).unwrap();
        self.theirs.send(&self.packet[..len]).unwrap();
        assert!(self.conversation.turn().is_ok());
        let len = self.theirs.recv(&mut self.reply).unwrap().unwrap();
        let (head, result) = open_reply(&self.reply[..len]).unwrap();
        assert_eq!(head.status, Status::Ok, "{}", R::VERB);
        R::Reply::decode_last(result).unwrap()
    }

    /// How many allocations a hundred answers cost, once the first were given.
    fn allocations<'a, R>(&mut self, request: &R) -> u64
    where
        R: Call + Message<'a>,
    {
        let mut ask = |times| (0..times).for_each(|_| drop(self.ask(request)));
        ask(100);
        allocation_counter::measure(|| ask(100)).count_total
    }
}

const ALL_OF_IT: &str = r#"
[[rule]]
name = "all"
keys = ["**"]
peers = [{ uid = UID }]
operations = ["generate", "sign", "verify", "encrypt", "decrypt", "mac", "verify-mac", "random"]
"#;

#[test]
fn what_is_asked_most_is_answered_without_allocating() {
    let uid = nix::unistd::getuid().to_string();
    let mut talk = Talk::with(&daemon(&ALL_OF_IT.replace("UID", &uid)));
    let name = |name| KeyName::parse(name).unwrap();
    for (key, key_type) in [
        ("signing", KeyType::EcP256),
        ("sealing", KeyType::Aes256Gcm),
        ("tagging", KeyType::HmacSha256),
    ] {
        talk.ask(&Generate {
            key: name(key),
            key_type,
            operations: None,
            wrappable_by: Vec::new(),
        });
    }
    assert!(
        allocation_counter::measure(|| drop(vec![0; 9])).count_total > 0,
        "the test sees allocations"
    );
    let message = [7; 1024];
    let sign = Sign {
        key: name("signing"),
        scheme: None,
        message: &message,
        prehashed: false,
    };
    assert_eq!(talk.allocations(&sign), 0);
    let Signature { signature, .. } = talk.ask(&sign);
    let signature = signature.to_vec();
    let verify = Verify {
        key: name("signing"),
        version: None,
        scheme: None,
        message: &message,
        prehashed: false,
        signature: &signature,
    };
    assert_eq!(talk.allocations(&verify), 0);
    let encrypt = Encrypt {
        key: name("sealing"),
        scheme: None,
        plaintext: &message,
        aad: b"with it",
    };
    assert_eq!(talk.allocations(&encrypt), 0);
    let Ciphertext { ciphertext } = talk.ask(&encrypt);
    let ciphertext = ciphertext.to_vec();
    let decrypt = Decrypt {
        key: name("sealing"),
        version: None,
        scheme: None,
        ciphertext: &ciphertext,
        aad: b"with it",
        nonce: None,
    };
    assert_eq!(talk.allocations(&decrypt), 0);
    let mac = Mac {
        key: name("tagging"),
        data: &message,
    };
    assert_eq!(talk.allocations(&mac), 0);
    let Tag { tag, .. } = talk.ask(&mac);
    let tag = tag.to_vec();
    let verify_mac = VerifyMac {
        key: name("tagging"),
        version: None,
        data: &message,
        tag: &tag,
    };
    assert_eq!(talk.allocations(&verify_mac), 0);
    assert_eq!(talk.allocations(&Random { len: 32 }), 0);
}

#[test]
fn a_loan_ends_by_a_pause_as_soon_as_another_connection_may_want_it() {
    let uid = nix::unistd::getuid().to_string();
    let daemon = daemon(&ALL_OF_IT.replace("UID", &uid));
    let mut talk = Talk::with(&daemon);
    talk.hurry();
    assert_eq!(talk.longest_pause(), Duration::ZERO);
    let another = link_of(&daemon);
    // What was asked for before the other came is waited for without end, and no longer.
    talk.ask(&Random { len: 8 });
    talk.ask(&Random { len: 8 });
    assert_eq!(talk.longest_pause(), LONGEST_PAUSE);
    assert!(talk.conversation.packet.borrowed().is_some());
    assert!(talk.conversation.turn().is_ok());
    assert!(talk.conversation.packet.borrowed().is_none());
    assert_eq!(talk.longest_pause(), Duration::ZERO);
    // Whoever borrows while there are others is bounded from the first packet on.
    (0..100).for_each(|_| {
        talk.ask(&Random { len: 8 });
    });
    assert!(talk.conversation.packet.borrowed().is_some());
    assert_eq!(talk.longest_pause(), LONGEST_PAUSE);
    drop(another);
}

/// Whether the kernel keeps descriptors from a connection that takes none.
fn keeps_out() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let _listener = nitride_ipc::Listener::bind(&path, 0o600).unwrap();
    let theirs = Connection::connect(&path).unwrap();
    theirs.send_with(b"x", &[theirs.as_fd()]).is_err()
}

#[test]
fn descriptors_are_taken_only_from_who_says_in_hello_that_there_may_be_some() {
    // From Linux 6.16 on the kernel keeps them out; before, they are refused and closed.
    let unannounced = (!keeps_out()).then_some(Status::Malformed);
    let uid = nix::unistd::getuid().to_string();
    let policy = ALL_OF_IT.replace("UID", &uid);
    let per_message = policy.replace(" }]", ", per-message = true }]");
    for (policy, is_per_message) in [(policy, false), (per_message, true)] {
        let daemon = daemon(&policy);
        for (is_hasty, id) in [(false, 70), (true, 80)] {
            let mut talk = Talk::with(&daemon);
            assert_eq!(talk.conversation.link.is_per_message(), is_per_message);
            if is_hasty {
                talk.hurry();
            }
            assert_eq!(talk.register(id), unannounced);
            if unannounced.is_some() {
                let refused = daemon.refusals.find(1, id).unwrap();
                let reason = &refused.reason;
                assert!(
                    reason.contains("say hello again with attaches true"),
                    "{reason}"
                );
            }
            talk.hello(true);
            assert_eq!(talk.register(1), Some(Status::Ok));
            // The last word holds.
            talk.hello(false);
            assert_eq!(talk.register(1), unannounced);
            // A version that is not spoken changes nothing.
            talk.hello(true);
            let hello = Hello {
                min_version: 9,
                max_version: 9,
                client: "test",
                wait_ms: 0,
                attaches: false,
            };
            let len = write_request(&mut talk.packet, 1, Hello::OPERATION, &hello).unwrap();
            talk.theirs.send(&talk.packet[..len]).unwrap();
            assert!(talk.conversation.turn().is_ok());
            talk.theirs.discard().unwrap();
            assert_eq!(talk.register(1), Some(Status::Ok));
        }
    }
}

#[test]
fn message_of_another_process_is_refused_however_busy_the_connection_is() {
    let uid = nix::unistd::getuid().to_string();
    let policy = ALL_OF_IT.replace("UID", &uid);
    let daemon = daemon(&policy.replace(" }]", ", per-message = true }]"));
    for attaches in [false, true] {
        let mut talk = Talk::with(&daemon);
        talk.hello(attaches);
        talk.hurry();
        // random of 8 bytes, under the id 5.
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", r"printf '\203\005\014\201\010' >&0"])
            .stdin(std::os::fd::OwnedFd::from(talk.theirs.try_clone().unwrap()))
            .status();
        assert!(status.unwrap().success());
        assert!(talk.conversation.turn().is_ok());
        let len = talk.theirs.recv(&mut talk.reply).unwrap().unwrap();
        let (head, _) = open_reply(&talk.reply[..len]).unwrap();
        assert_eq!((head.id, head.status), (5, Status::Denied));
        talk.ask(&Random { len: 8 });
    }
}

#[test]
fn packet_too_long_is_refused_by_name_whether_descriptors_are_taken_or_not() {
    let uid = nix::unistd::getuid().to_string();
    let daemon = daemon(&ALL_OF_IT.replace("UID", &uid));
    for attaches in [false, true] {
        let mut talk = Talk::with(&daemon);
        talk.hurry();
        talk.hello(attaches);
        let mut long = vec![0; MAX_PACKET_LEN + 1];
        let request = Random { len: 8 };
        write_request(&mut long, 5, Random::OPERATION, &request).unwrap();
        talk.theirs.send(&long).unwrap();
        assert!(talk.conversation.turn().is_ok());
        let len = talk.theirs.recv(&mut talk.reply).unwrap().unwrap();
        let (head, _) = open_reply(&talk.reply[..len]).unwrap();
        assert_eq!((head.id, head.status), (5, Status::TooLarge));
        talk.ask(&Random { len: 8 });
    }
}
