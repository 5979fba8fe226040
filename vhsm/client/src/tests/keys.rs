//! Batches and shared memory.

use super::{against, options};
use crate::{Answer, Client, ClientError, Span};
use nitride_ipc::memory::SharedMemory;
use nitride_protocol::application::{
    Batch, BatchAnswer, BatchItem, Batched, BufferDone, EncryptBuffer, Random, RegisterBuffer,
    Registered,
};
use nitride_protocol::{Call, Message, Status, open_request, write_reply};

#[test]
fn each_item_of_a_batch_has_its_own_answer() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        let (head, packet) = peer.next();
        assert_eq!(head.operation, Batch::OPERATION);
        let (_, params) = open_request(&packet).unwrap();
        assert_eq!(Batch::decode_last(params).unwrap().items.len(), 2);
        let items = vec![
            BatchAnswer::Bytes(b"zq-bytes"),
            BatchAnswer::Refused(Status::Denied),
        ];
        peer.reply(head.id, &Batched { items });
    });
    let mut client = Client::over(connection, options()).unwrap();
    let answers = client
        .batch(vec![BatchItem::Random(Random { len: 8 }); 2])
        .unwrap();
    let [Answer::Bytes(bytes), Answer::Refused(Status::Denied)] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(bytes.as_slice(), b"zq-bytes");
    assert!(!format!("{answers:?}").contains("122"));
    assert!(!client.holds(b"zq-bytes"));
    peer.join().unwrap();
}

#[test]
fn a_buffer_is_the_same_memory_on_both_sides() {
    let (connection, peer) = against(|mut peer| {
        peer.welcome();
        // Said once, before the first descriptor.
        peer.welcome_descriptors();
        let mut packet = [0; 256];
        let message = peer
            .connection
            .recv_message(&mut packet, 1)
            .unwrap()
            .unwrap();
        let (head, params) = open_request(&packet[..message.len]).unwrap();
        let register = RegisterBuffer::decode_last(params).unwrap();
        let memfd = message.descriptors.into_iter().next().unwrap();
        let memory = SharedMemory::adopt(&memfd, Some(register.len)).unwrap();
        let mut reply = [0; 64];
        let registered = Registered { buffer: 3 };
        let len = write_reply(&mut reply, head.id, Status::Ok, &registered).unwrap();
        peer.send(&reply[..len]);

        let (head, packet) = peer.next();
        let (_, params) = open_request(&packet).unwrap();
        let EncryptBuffer(call) = EncryptBuffer::decode_last(params).unwrap();
        assert_eq!((call.buffer, call.aad), (Some(3), &b"aad"[..]));
        let mut input = [0; 5];
        memory.read_at(call.input_offset, &mut input).unwrap();
        input.reverse();
        memory.write_at(call.output_offset, &input).unwrap();
        peer.reply(head.id, &BufferDone { output_len: 5 });
        let (head, _) = peer.next();
        peer.refuse(head.id, Status::VerificationFailed);
        let (head, _) = peer.next();
        assert_eq!(head.operation, RegisterBuffer::OPERATION);
        peer.refuse(head.id, Status::QuotaExceeded);
    });
    let mut client = Client::over(connection, options()).unwrap();
    let buffer = client.register_buffer(4096).unwrap();
    buffer.write_at(0, b"12345").unwrap();
    let span = Span {
        input_offset: 0,
        input_len: 5,
        output_offset: 1000,
    };
    assert_eq!(
        client.encrypt_buffer("a", &buffer, span, b"aad").unwrap(),
        5
    );
    let mut out = [0; 5];
    buffer.read_at(1000, &mut out).unwrap();
    assert_eq!(&out, b"54321");
    let refused = client.decrypt_buffer("a", &buffer, span, b"").unwrap_err();
    assert_eq!(refused.status(), Some(Status::VerificationFailed));
    buffer.erase();
    buffer.read_at(1000, &mut out).unwrap();
    assert_eq!(out, [0; 5]);
    assert!(buffer.read_at(4092, &mut out).is_err());
    assert!(matches!(
        client.register_buffer(0),
        Err(ClientError::Memory { .. })
    ));
    let refused = client.register_buffer(4096).unwrap_err();
    assert_eq!(refused.status(), Some(Status::QuotaExceeded));
    peer.join().unwrap();
}
