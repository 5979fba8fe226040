use super::{against, hasty, options, welcome};
use crate::{Client, ClientError};
use nitride_protocol::application::{
    Released, SIGNER_LISTS_FEATURE, Sign, Signature, SignerStatus, StatusRequest, Tag, VaultStatus,
    Welcome,
};
use nitride_protocol::{KeyType, Message, SignScheme, Status, VERSION, open_request};
use std::error::Error;
use std::time::{Duration, Instant};

#[test]
fn hello_says_how_long_and_learns_who_answers() {
    let (connection, peer) = against(|mut peer| {
        assert_eq!(peer.welcome(), 1500);
        assert_eq!(peer.welcome(), 0);
    });
    let options = options().with_wait(Duration::from_millis(1500));
    let mut client = Client::over(connection, options).unwrap();
    assert_eq!(client.server().name, "peer 1");
    assert_eq!(client.server().max_inline_len, 65_536);
    assert_eq!(client.server().features, ["trial"]);
    client.set_wait(Duration::ZERO).unwrap();
    peer.join().unwrap();
}

#[test]
fn a_call_sends_its_request_and_owns_its_reply() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, packet) = peer.next();
        let (_, params) = open_request(&packet).unwrap();
        let sign = Sign::decode_last(params).unwrap();
        assert_eq!(sign.key.as_str(), "app/sign");
        assert_eq!(sign.scheme, Some(SignScheme::EcdsaSha256Der));
        assert_eq!(sign.message, b"message");
        let signature = Signature {
            version: 3,
            signature: b"signature",
        };
        peer.reply(head.id, &signature);
    });
    let mut client = Client::over(connection, options()).unwrap();
    let scheme = Some(SignScheme::EcdsaSha256Der);
    let signed = client.sign("app/sign", scheme, b"message").unwrap();
    assert_eq!(
        (signed.version, signed.signature.as_slice()),
        (3, &b"signature"[..])
    );
    peer.join().unwrap();
}

#[test]
fn a_vault_is_asked_for_its_lists_of_signers_where_it_says_that_it_has_them() {
    let status = |signers| VaultStatus {
        server: "vhsmd",
        arena_kind: "locked",
        records_used: 0,
        records_size: 0,
        heap_used: 0,
        heap_size: 0,
        keys: 0,
        connections: 0,
        parked: 0,
        agent_connected: false,
        policy_generation: 1,
        policy_digest: &[0; 32],
        tee: "none",
        gates: vec![],
        warnings: vec![],
        seal: None,
        signers,
    };
    let list = SignerStatus {
        signer: "owner",
        serial: 2,
        keys: 1,
    };
    for (feature, lists) in [("trial", None), (SIGNER_LISTS_FEATURE, Some(vec![list]))] {
        let answer = lists.clone();
        let (connection, peer) = against(move |mut peer| {
            let (hello, _) = peer.next();
            let welcome = Welcome {
                features: vec![feature],
                ..welcome()
            };
            peer.reply(hello.id, &welcome);
            let (asked, packet) = peer.next();
            let (_, params) = open_request(&packet).unwrap();
            let request = StatusRequest::decode_last(params).unwrap();
            assert_eq!(request.also_signers, answer.is_some());
            peer.reply(asked.id, &status(answer));
        });
        let mut client = Client::over(connection, options()).unwrap();
        let found = client.status().unwrap().signers;
        let found = found.map(|lists| lists.iter().map(|list| list.serial).collect());
        assert_eq!(found, lists.map(|_| vec![2]));
        peer.join().unwrap();
    }
}

#[test]
fn a_refusal_names_verb_and_status_and_the_connection_goes_on() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        for status in [Status::Denied, Status::VerificationFailed] {
            let (head, _) = peer.next();
            peer.refuse(head.id, status);
        }
    });
    let mut client = Client::over(connection, options()).unwrap();
    let error = client.release("disk/root", None).unwrap_err();
    assert_eq!(error.status(), Some(Status::Denied));
    assert_eq!(error.to_string(), "release refused: denied");
    assert!(error.remedy().contains("rule"));
    let error = client.verify_mac("a", None, b"data", b"tag").unwrap_err();
    assert_eq!(error.status(), Some(Status::VerificationFailed));
    peer.join().unwrap();
}

#[test]
fn a_call_without_answer_times_out_and_its_late_reply_is_thrown_away() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (late, _) = peer.next();
        let (second, _) = peer.next();
        // The reply to the first comes before the reply to the second.
        let tag = |version| Tag { version, tag: &[1] };
        peer.reply(late.id, &tag(1));
        peer.reply(second.id, &tag(2));
        let (third, _) = peer.next();
        peer.reply(third.id, &tag(3));
    });
    let mut client = Client::over(connection, hasty()).unwrap();
    let started = Instant::now();
    let error = client.mac("a", b"data").unwrap_err();
    assert!(matches!(
        error,
        ClientError::Timeout {
            operation: "mac",
            ..
        }
    ));
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert_eq!(client.mac("a", b"data").unwrap().version, 2);
    assert_eq!(client.mac("a", b"data").unwrap().version, 3);
    peer.join().unwrap();
}

#[test]
fn the_deadline_holds_against_a_peer_that_answers_something_else_for_ever() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, _) = peer.next();
        for _ in 0..20 {
            peer.refuse(head.id.wrapping_add(77), Status::Denied);
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let mut client = Client::over(connection, hasty()).unwrap();
    let started = Instant::now();
    assert!(matches!(
        client.mac("a", b""),
        Err(ClientError::Timeout { .. })
    ));
    assert!(started.elapsed() < Duration::from_millis(180));
    peer.join().unwrap();
}

#[test]
fn a_packet_that_is_no_reply_ends_the_connection() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        peer.next();
        peer.send(b"\x84");
    });
    let mut client = Client::over(connection, options()).unwrap();
    assert!(matches!(client.status(), Err(ClientError::Protocol { .. })));
    assert!(matches!(client.status(), Err(ClientError::Unusable { .. })));
    peer.join().unwrap();
}

#[test]
fn a_result_of_another_shape_is_named_and_the_connection_goes_on() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, _) = peer.next();
        peer.reply(head.id, &welcome());
        let (head, _) = peer.next();
        peer.refuse(head.id, Status::KeyNotFound);
    });
    let mut client = Client::over(connection, options()).unwrap();
    let error = client.generate("a", KeyType::Ed25519, None).unwrap_err();
    assert!(matches!(
        error,
        ClientError::Protocol {
            operation: "generate",
            ..
        }
    ));
    assert!(error.source().is_some());
    let error = client.describe("a").unwrap_err();
    assert_eq!(error.status(), Some(Status::KeyNotFound));
    peer.join().unwrap();
}

#[test]
fn a_peer_that_goes_is_told_from_one_that_is_slow() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        peer.next();
    });
    let mut client = Client::over(connection, options()).unwrap();
    assert!(matches!(
        client.random(8),
        Err(ClientError::Closed {
            operation: "random"
        })
    ));
    assert!(matches!(
        client.random(8),
        Err(ClientError::Unusable { .. })
    ));
    peer.join().unwrap();
}

#[test]
fn a_version_that_was_not_offered_is_refused() {
    let (connection, peer) = against(|mut peer| {
        let (head, _) = peer.next();
        let mut welcome = welcome();
        welcome.version = VERSION + 1;
        peer.reply(head.id, &welcome);
    });
    let error = Client::over(connection, options()).unwrap_err();
    assert!(matches!(error, ClientError::Version { found, .. } if found == VERSION + 1));
    peer.join().unwrap();
}

#[test]
fn what_cannot_be_asked_is_not_sent() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        assert!(peer.ended());
    });
    let mut client = Client::over(connection, options()).unwrap();
    assert!(matches!(
        client.enable("../a", None),
        Err(ClientError::Name(_))
    ));
    let long = vec![0; 200_000];
    assert!(matches!(
        client.mac("a", &long),
        Err(ClientError::TooLong { .. })
    ));
    drop(client);
    peer.join().unwrap();
}

#[test]
fn an_absent_socket_is_named_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.sock");
    let error = Client::connect(&path).unwrap_err();
    assert!(error.to_string().contains("absent.sock"));
    assert!(error.remedy().contains("vhsmd runs"));
}

#[test]
fn a_secret_leaves_nothing_in_the_buffer() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, _) = peer.next();
        peer.refuse(head.id, Status::Denied);
        let (head, _) = peer.next();
        let released = Released {
            version: 1,
            secret: b"not a real passphrase",
        };
        peer.reply(head.id, &released);
        let (head, _) = peer.next();
        peer.refuse(head.id, Status::Denied);
    });
    let mut client = Client::over(connection, options()).unwrap();
    assert!(client.mac("a", b"a passphrase").is_err());
    assert!(client.holds(b"passphrase"), "the buffer is where it passes");
    let released = client.release("disk/root", None).unwrap();
    assert_eq!(released.secret.as_slice(), b"not a real passphrase");
    assert!(!client.holds(b"passphrase"));
    assert!(!format!("{released:?} {client:?}").contains("112"));
    let refused = client.import("a", KeyType::Secret, None, b"not a real passphrase");
    assert!(refused.is_err());
    assert!(!client.holds(b"passphrase"));
    peer.join().unwrap();
}

#[test]
fn a_secret_that_comes_too_late_leaves_nothing_in_the_buffer() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (late, _) = peer.next();
        let (second, _) = peer.next();
        let released = Released {
            version: 1,
            secret: b"not a real passphrase",
        };
        peer.reply(late.id, &released);
        let tag = Tag {
            version: 2,
            tag: &[1],
        };
        peer.reply(second.id, &tag);
    });
    let mut client = Client::over(connection, hasty()).unwrap();
    let error = client.release("disk/root", None).unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }));
    client.mac("a", b"data").unwrap();
    assert!(!client.holds(b"passphrase"));
    peer.join().unwrap();
}
