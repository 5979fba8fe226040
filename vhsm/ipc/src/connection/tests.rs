use super::*;
use std::time::Instant;

#[test]
fn packets_keep_their_borders() {
    let (one, other) = Connection::pair().unwrap();
    one.send(b"first").unwrap();
    one.send(b"second").unwrap();
    let mut buf = [0; 64];
    assert_eq!(other.next_len().unwrap(), Some(5));
    assert_eq!(other.recv(&mut buf).unwrap(), Some(5));
    assert_eq!(&buf[..5], b"first");
    assert_eq!(other.recv(&mut buf).unwrap(), Some(6));
    assert_eq!(&buf[..6], b"second");
}

#[test]
fn truncated_packet_is_an_error_and_the_next_one_is_whole() {
    let (one, other) = Connection::pair().unwrap();
    one.send(&[1; 100]).unwrap();
    one.send(&[2; 10]).unwrap();
    let mut buf = [0; 10];
    assert!(matches!(
        other.recv(&mut buf),
        Err(RecvError::Truncated { len: 100, room: 10 })
    ));
    assert_eq!(other.recv(&mut buf).unwrap(), Some(10));
    assert_eq!(buf, [2; 10]);
}

#[test]
fn discarded_packet_is_gone() {
    let (one, other) = Connection::pair().unwrap();
    one.send(&[1; 100]).unwrap();
    one.send(&[2; 10]).unwrap();
    other.discard().unwrap();
    assert_eq!(other.next_len().unwrap(), Some(10));
}

#[test]
fn largest_packet_of_the_protocol_passes() {
    let (one, other) = Connection::pair().unwrap();
    let len = nitride_protocol::limits::MAX_PACKET_LEN;
    one.send(&vec![7; len]).unwrap();
    let mut buf = vec![0; len];
    assert_eq!(other.next_len().unwrap(), Some(len));
    assert_eq!(other.recv(&mut buf).unwrap(), Some(len));
}

#[test]
fn oversized_packet_is_named() {
    let (one, _other) = Connection::pair().unwrap();
    assert!(matches!(
        one.send(&vec![0; 1 << 20]),
        Err(SendError::TooLong { .. })
    ));
}

#[test]
fn ended_connection_is_none() {
    let (one, other) = Connection::pair().unwrap();
    drop(other);
    assert_eq!(one.next_len().unwrap(), None);
    assert_eq!(one.recv(&mut [0; 8]).unwrap(), None);
    assert!(matches!(one.send(b"x"), Err(SendError::Closed)));
}

#[test]
fn read_and_write_timeouts_hold() {
    let (one, _other) = Connection::pair().unwrap();
    let limit = Duration::from_millis(30);
    one.set_read_timeout(Some(limit)).unwrap();
    one.set_write_timeout(Some(limit)).unwrap();
    let start = Instant::now();
    assert!(matches!(one.next_len(), Err(RecvError::TimedOut)));
    assert!(start.elapsed() >= limit);
    let packet = [0; 60_000];
    let refused = (0..100).find_map(|_| one.send(&packet).err());
    assert!(matches!(refused, Some(SendError::TimedOut)));
    assert!(matches!(one.try_send(&packet), Err(SendError::TimedOut)));
}

#[test]
fn shutdown_read_ends_receiving_and_lets_answers_out() {
    let (one, other) = Connection::pair().unwrap();
    one.shutdown_read();
    assert_eq!(one.next_len().unwrap(), None);
    one.send(b"last words").unwrap();
    assert_eq!(other.next_len().unwrap(), Some(10));
}

#[test]
fn clone_is_the_same_connection() {
    let (one, other) = Connection::pair().unwrap();
    let second = one.try_clone().unwrap();
    drop(one);
    second.send(b"still").unwrap();
    assert_eq!(other.next_len().unwrap(), Some(5));
}

#[test]
fn connect_names_the_path() {
    let error = Connection::connect(Path::new("/nonexistent/socket")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/socket"));
}

#[test]
fn connecting_to_a_full_queue_ends_in_time() {
    use nix::sys::socket::{Backlog, bind, listen};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = seqpacket().unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let limit = Duration::from_millis(50);
    // One place is there all the same.
    let _first = Connection::connect_within(&path, limit).unwrap();
    let start = Instant::now();
    let refused = Connection::connect_within(&path, limit).unwrap_err();
    assert!(matches!(
        refused,
        ConnectError::Refused {
            errno: Errno::EAGAIN,
            ..
        }
    ));
    assert!(start.elapsed() >= limit);
}
