use super::{against, hasty, options};
use crate::{AsyncClient, ClientError};
use nitride_protocol::application::{Mac, Tag};
use nitride_protocol::{Message, Status, open_request};
use std::time::Duration;

#[tokio::test]
async fn calls_under_way_together_get_their_own_replies() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let mut asked = Vec::new();
        for _ in 0..3 {
            let (head, packet) = peer.next();
            let (_, params) = open_request(&packet).unwrap();
            let data = Mac::decode_last(params).unwrap().data.to_vec();
            asked.push((head.id, data));
        }
        // Answered in the opposite order.
        for (id, data) in asked.iter().rev() {
            let tag = Tag {
                version: 1,
                tag: data,
            };
            peer.reply(*id, &tag);
        }
    });
    let client = AsyncClient::over(connection, options()).await.unwrap();
    let (one, two, three) = tokio::join!(
        client.mac("a", b"one"),
        client.mac("a", b"two"),
        client.mac("a", b"three")
    );
    assert_eq!(one.unwrap().tag, b"one");
    assert_eq!(two.unwrap().tag, b"two");
    assert_eq!(three.unwrap().tag, b"three");
    peer.join().unwrap();
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_others_alone() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (late, _) = peer.next();
        let (second, _) = peer.next();
        peer.refuse(late.id, Status::Denied);
        peer.refuse(second.id, Status::KeyNotFound);
        assert!(peer.ended());
    });
    let client = AsyncClient::over(connection, hasty()).await.unwrap();
    let error = client.describe("a").await.unwrap_err();
    assert!(matches!(
        error,
        ClientError::Timeout {
            operation: "describe",
            ..
        }
    ));
    let error = client.describe("a").await.unwrap_err();
    assert_eq!(error.status(), Some(Status::KeyNotFound));
    drop(client);
    peer.join().unwrap();
}

#[tokio::test]
async fn everyone_who_waits_hears_that_the_peer_has_gone() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        peer.next();
        peer.next();
    });
    let client = AsyncClient::over(connection, options()).await.unwrap();
    let (one, two) = tokio::join!(client.status(), client.random(1));
    assert!(matches!(
        one,
        Err(ClientError::Closed {
            operation: "status"
        })
    ));
    assert!(matches!(
        two,
        Err(ClientError::Closed {
            operation: "random"
        })
    ));
    let error = client.status().await.unwrap_err();
    assert!(matches!(
        error,
        ClientError::Unusable { .. } | ClientError::Closed { .. }
    ));
    peer.join().unwrap();
}

#[tokio::test]
async fn a_packet_that_is_no_reply_ends_all_calls() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        peer.next();
        peer.send(b"\x84");
        assert!(peer.ended());
    });
    let client = AsyncClient::over(connection, options()).await.unwrap();
    assert!(matches!(
        client.status().await,
        Err(ClientError::Closed { .. })
    ));
    drop(client);
    peer.join().unwrap();
}

#[tokio::test]
async fn long_requests_pass_and_longer_ones_are_named() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, packet) = peer.next();
        assert!(packet.len() > 65_536);
        peer.refuse(head.id, Status::Denied);
        assert!(peer.ended());
    });
    let client = AsyncClient::over(connection, options()).await.unwrap();
    let error = client.mac("a", &[7; 65_536]).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::Denied));
    let error = client.mac("a", &[7; 200_000]).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLong { .. }));
    drop(client);
    peer.join().unwrap();
}

#[tokio::test]
async fn an_absent_socket_is_named_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.sock");
    let error = AsyncClient::connect(&path).await.unwrap_err();
    assert!(error.to_string().contains("absent.sock"));
}

#[tokio::test]
async fn a_listener_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mute.sock");
    let _listener = nitride_ipc::Listener::bind(&path, 0o600).unwrap();
    let error = AsyncClient::connect_with(&path, hasty()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Timeout { operation: "hello", after } if after == Duration::from_millis(60))
    );
}
