use super::*;
use crate::config::{Config, Document};
use nitride_ipc::Connection;
use nitride_ipc::peer::resolve;
use nitride_protocol::admin::Import;
use nitride_protocol::{Call, KeyName, KeyType, MaterialFormat, write_request};

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

fn daemon() -> Arc<Daemon> {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "policy-dir = {:?}\n[arena]\nrecords = \"1MiB\"\nheap = \"1MiB\"\n",
        folder.path()
    );
    let path = folder.path().join("vhsmd.toml");
    let config = Config::of(&Document::of(&path, text)).unwrap();
    // Another test of this process may have been first.
    let _ = nitride_secmem::install(config.arena_sizes, config.backing, Vec::new());
    Daemon::new(path, config, nitride_secmem::Backing::Locked).unwrap()
}

#[test]
fn conversation_that_ends_by_a_fault_ends_its_connection_and_says_so() {
    let daemon = daemon();
    let (ours, theirs) = Connection::pair().unwrap();
    let identity = resolve(&ours, None).unwrap();
    let socket = nitride_vault::Socket::Application;
    let slot = daemon.quota.connect(identity.uid, socket).unwrap();
    let link = Arc::new(Link::new(1, socket, ours, identity, slot));
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
