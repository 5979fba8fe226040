use super::subject::{Subject, subject};
use super::*;
use nitride_protocol::application::{Child, Derive, Disable, Generated, Wrap};
use nitride_protocol::{Call, KeyType, open_request, write_reply, write_request};

fn name(text: &str) -> KeyName<'_> {
    KeyName::parse(text).unwrap()
}

fn packet<'a, M: Message<'a> + Call>(message: &M) -> Vec<u8> {
    let mut packet = vec![0; 1024];
    let len = write_request(&mut packet, 1, M::OPERATION, message).unwrap();
    packet.truncate(len);
    packet
}

/// What the entry of a request says beside its key.
fn told(operation: Operation, packet: &[u8], version: u32) -> (Option<String>, Subject) {
    let (_, params) = open_request(packet).unwrap();
    let mut reply = [0; 64];
    let len = write_reply(&mut reply, 1, Status::Ok, &Generated { version }).unwrap();
    let (_, result) = open_reply(&reply[..len]).unwrap();
    let key = key_of(operation, &params).map(|key| key.as_str().to_owned());
    (key, subject(operation, &params, Status::Ok, &result))
}

#[test]
fn an_entry_names_both_keys_of_an_act_and_the_version_that_it_is_about() {
    let wrap = Wrap {
        wrapping_key: name("kek"),
        key: name("a"),
        version: Some(2),
    };
    let (key, about) = told(Operation::Wrap, &packet(&wrap), 7);
    assert_eq!((key.as_deref(), &*about.other), (Some("kek"), "wraps a"));
    let derive = Derive {
        key: name("parent"),
        version: None,
        child: Child {
            name: name("child"),
            key_type: KeyType::HmacSha256,
            operations: None,
            info: b"",
        },
        salt: b"",
    };
    let (key, about) = told(Operation::Derive, &packet(&derive), 7);
    let expected = (Some("parent"), "makes child");
    assert_eq!((key.as_deref(), &*about.other), expected);
    let disable = Disable {
        key: name("a"),
        version: Some(3),
    };
    let (_, about) = told(Operation::Disable, &packet(&disable), 7);
    assert_eq!(about.version, Some(3));
    let (_, about) = told(Operation::Generate, &packet(&disable), 7);
    assert_eq!(about.version, Some(7));
}

/// The price of one request: what SERVING's floor is compared with.
#[test]
fn counting_a_request_is_cheap() {
    let watch = Watch::without_files();
    let mut tally = Tally::default();
    let noted = Noted {
        key: Some(name("a/b/c")),
        version: Some(1),
        operation: Operation::Sign,
        status: Status::Ok,
    };
    let who = || UsePeer {
        uid: 1,
        pid: 1,
        unit: None,
    };
    let began = std::time::Instant::now();
    let rounds = 100_000_u32;
    for _ in 0..rounds {
        let ticket = watch.begin(Operation::Sign.to_wire()).unwrap();
        let took = Duration::from_nanos(boot_ns() - ticket.began_ns);
        let asked = (ticket.operation, None);
        watch.metrics.count(1, asked, Status::Ok, took);
        tally.add(&watch.counters, who, &noted);
    }
    let each = began.elapsed() / rounds;
    println!("{each:?} a request");
    // Far more than it takes without optimisation, on a machine that does other things besides.
    assert!(each.as_micros() < 20, "{each:?} a request");
}
