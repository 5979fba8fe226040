//! What the daemon itself completes: `attest` and `wipe`, and the bound on shared memory.

use crate::world::{Client, Vhsmd, read, sign};
use nitride_ipc::{Connection, Listener};
use nitride_protocol::admin::{Reload, Wipe};
use nitride_protocol::application::{Attest, Attested, Generate, Random, RegisterBuffer};
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest};
use nitride_protocol::{
    KeyName, KeyType, Message, RequestHead, Status, open_request, write_reply, write_request,
};
use std::os::fd::AsFd;
use std::time::Duration;

const POLICY: &str = r#"
[[rule]]
name = "all"
keys = ["**"]
peers = [{ uid = UID }]
operations = ["generate", "sign", "random", "attest", "encrypt-buffer"]
"#;

/// A question that nitride-quote was asked and has not answered.
struct Question {
    connection: Connection,
    head: RequestHead,
    report_data: [u8; 48],
}

/// Takes the next question, in the place of nitride-quote.
fn question(quote: &Listener) -> Question {
    let connection = quote.accept().unwrap();
    let limit = Some(Duration::from_secs(10));
    connection.set_read_timeout(limit).unwrap();
    let mut packet = vec![0; 4096];
    let len = connection.recv(&mut packet).unwrap().unwrap();
    let (head, params) = open_request(&packet[..len]).unwrap();
    let report_data = *EvidenceRequest::decode_last(params).unwrap().report_data;
    Question {
        connection,
        head,
        report_data,
    }
}

impl Question {
    fn answer(&self) {
        let made = EvidenceReply {
            tee: "sample",
            primary_evidence: "{}",
            additional_evidence: "",
        };
        let mut reply = vec![0; 4096];
        let len = write_reply(&mut reply, self.head.id, Status::Ok, &made).unwrap();
        self.connection.send(&reply[..len]).unwrap();
    }
}

fn world(policy: &str, tables: &str) -> (Vhsmd, Listener, Client) {
    let vhsmd = Vhsmd::start(policy, tables);
    let client = vhsmd.greeted("vhsm.sock", 0);
    let quote = Listener::bind(&vhsmd.path("quote.sock"), 0o600).unwrap();
    (vhsmd, quote, client)
}

fn generate(client: &mut Client, key: &str) -> Result<Vec<u8>, Status> {
    client.call(&Generate {
        key: KeyName::parse(key).unwrap(),
        key_type: KeyType::EcP256,
        operations: None,
        wrappable_by: Vec::new(),
    })
}

#[test]
fn who_waits_for_evidence_holds_nobody_up_and_no_user_has_more_than_its_part() {
    let (_vhsmd, quote, mut client) = world(POLICY, "");
    let ids: Vec<u32> = (0..4)
        .map(|_| {
            client.send(&Attest {
                data: b"mine",
                audit_head: false,
            })
        })
        .collect();
    // The connection goes on, nitride-quote is asked twice at a time, and a fifth is refused.
    client.call(&Random { len: 1 }).unwrap();
    assert_eq!(
        client.call(&Attest {
            data: b"mine",
            audit_head: false
        }),
        Err(Status::QuotaExceeded)
    );
    let first = [question(&quote), question(&quote)];
    let waits = std::thread::spawn(move || [question(&quote), question(&quote)]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!waits.is_finished(), "no more than two at a time");
    for one in &first {
        one.answer();
    }
    for one in waits.join().unwrap() {
        one.answer();
    }
    let mut answered: Vec<u32> = (0..4)
        .map(|_| {
            let (id, status, packet) = client.receive();
            assert_eq!(status, Status::Ok);
            let attested: Attested<'_> = read(&packet);
            assert_eq!(attested.report_data, &first[0].report_data);
            assert_eq!((attested.tee, attested.primary_evidence), ("sample", "{}"));
            id
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, ids);
    // Their places are free again.
    let id = client.send(&Attest {
        data: b"",
        audit_head: false,
    });
    assert!(id > 0);
}

#[test]
fn evidence_is_over_a_label_and_the_callers_data_and_goes_to_who_may_have_it() {
    let (vhsmd, quote, mut client) = world(POLICY, "");
    let mut seen = Vec::new();
    for data in [&b"a"[..], b"b"] {
        client.send(&Attest {
            data,
            audit_head: false,
        });
        let asked = question(&quote);
        assert!(!asked.report_data.starts_with(data));
        seen.push(asked.report_data);
        asked.answer();
        assert_eq!(client.receive().1, Status::Ok);
    }
    assert_ne!(seen[0], seen[1]);
    // Taken away while evidence is made: judged again before it leaves.
    client.send(&Attest {
        data: b"a",
        audit_head: false,
    });
    let asked = question(&quote);
    vhsmd.write_policy("");
    vhsmd.greeted("admin.sock", 0).call(&Reload).unwrap();
    asked.answer();
    assert_eq!(client.receive().1, Status::Denied);
    assert_eq!(
        client.call(&Attest {
            data: b"a",
            audit_head: false
        }),
        Err(Status::Denied)
    );
}

#[test]
fn evidence_that_there_is_none_of_is_told_as_that() {
    let (vhsmd, quote, mut client) = world(POLICY, "");
    client.send(&Attest {
        data: b"",
        audit_head: false,
    });
    // It hangs up.
    drop(question(&quote));
    assert_eq!(client.receive().1, Status::EvidenceUnavailable);
    drop(quote);
    assert_eq!(
        client.call(&Attest {
            data: b"",
            audit_head: false
        }),
        Err(Status::EvidenceUnavailable)
    );
    assert!(vhsmd.log().contains("nitride-quote cannot be reached"));
    let mut packet = vec![0; 4096];
    let long = [0; 65];
    let id = 5;
    let operation = <Attest<'_> as nitride_protocol::Call>::OPERATION;
    let len = write_request(
        &mut packet,
        id,
        operation,
        &Attest {
            data: &long,
            audit_head: false,
        },
    );
    // What the writer does not refuse, the vault does.
    if let Ok(len) = len {
        let (_, status, _) = client.receive_after(&packet[..len]);
        assert!(
            matches!(status, Status::Malformed | Status::TooLarge),
            "{status}"
        );
    }
}

#[test]
fn policy_that_is_not_taken_is_the_policys_fault() {
    let (vhsmd, _quote, mut client) = world(POLICY, "");
    let mut admin = vhsmd.greeted("admin.sock", 0);
    vhsmd.write_policy("nonsense = 1\n");
    assert_eq!(admin.call(&Reload), Err(Status::PolicyInvalid));
    assert!(client.call(&Random { len: 1 }).is_ok());
}

#[test]
fn wipe_ends_the_process_and_is_no_applications_to_ask() {
    let (mut vhsmd, _quote, mut client) = world(POLICY, "");
    generate(&mut client, "a").unwrap();
    assert!(client.call(&Wipe).is_err());
    assert!(client.sign("a").is_ok());
    let mut admin = vhsmd.greeted("admin.sock", 0);
    // [7, 36, 0]: params that are none.
    let (_, status, _) = admin.receive_after(&[0x83, 0x07, 0x18, 0x24, 0x00]);
    assert_eq!(status, Status::Malformed);
    assert!(client.sign("a").is_ok());
    assert!(admin.call(&Wipe).is_ok());
    // Nobody uses a key after the answer.
    let used = {
        let mut packet = vec![0; 512];
        let operation =
            <nitride_protocol::application::Sign<'_> as nitride_protocol::Call>::OPERATION;
        let len = write_request(&mut packet, 9, operation, &sign("a")).unwrap();
        let sent = client.connection.send(&packet[..len]);
        sent.is_ok()
            && matches!(client.connection.recv(&mut packet), Ok(Some(len)) if
            nitride_protocol::open_reply(&packet[..len]).unwrap().0.status == Status::Ok)
    };
    assert!(!used);
    assert!(vhsmd.child.wait().unwrap().success(), "{}", vhsmd.log());
    assert!(vhsmd.log().contains("every key wiped"));
}

#[test]
fn user_shares_no_more_memory_than_the_file_says() {
    let (_vhsmd, _quote, mut client) = world(POLICY, "[limits]\nshared-per-uid = \"1MiB\"\n");
    client.announce_descriptors();
    let register = |len: u64| {
        let (_, memory) = nitride_ipc::memory::SharedMemory::create(len).unwrap();
        let mut packet = vec![0; 4096];
        let operation = <RegisterBuffer as nitride_protocol::Call>::OPERATION;
        let written = write_request(&mut packet, 3, operation, &RegisterBuffer { len }).unwrap();
        let sent = client
            .connection
            .send_with(&packet[..written], &[memory.as_fd()]);
        sent.unwrap();
        client.receive().1
    };
    assert_eq!(register(512 << 10), Status::Ok);
    assert_eq!(register(768 << 10), Status::QuotaExceeded);
    assert_eq!(register(512 << 10), Status::Ok);
    assert_eq!(register(4096), Status::QuotaExceeded);
}
