//! Engines that lie, that put back, that hang up, and logins that are refused.

mod engine;

use super::*;
use crate::config::{Login, LoginMethod};
use crate::key_file::write_secret;
use engine::{Engine, Mood, secret};
use nitride_kbs::resource::ResourcePath;
use serde_json::json;
use std::fmt;
use tempfile::TempDir;
use tokio::runtime::Runtime;

struct World {
    engine: Engine,
    folder: TempDir,
    key: [u8; 32],
    runtime: Runtime,
}

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["role", "secret"] {
            write_secret(&folder.path().join(name), b"an id\n").unwrap();
        }
        Self {
            engine: Engine::start(),
            folder,
            key: [7; 32],
            runtime: Runtime::new().unwrap(),
        }
    }

    /// One replica, which asks at these addresses in turn.
    fn replica_of(&self, addresses: &[String]) -> OpenBaoStore {
        let config = OpenBao {
            addresses: addresses.to_vec(),
            ca: None,
            kv: Kv::new("secret", "nitride").unwrap(),
            login: Login {
                mount: "approle".to_owned(),
                method: LoginMethod::AppRole {
                    role_id: self.folder.path().join("role"),
                    secret_id: self.folder.path().join("secret"),
                },
            },
            deadline: Duration::from_secs(5),
            attempt: Duration::from_secs(1),
        };
        let file = self.folder.path().join("store.key");
        let _ = std::fs::remove_file(&file);
        write_secret(&file, &self.key).unwrap();
        OpenBaoStore::open(&config, Key32::read(&file).unwrap()).unwrap()
    }

    fn replica(&self) -> OpenBaoStore {
        self.replica_of(&[self.engine.url()])
    }

    fn read(&self, store: &OpenBaoStore, place: &Place) -> Result<Option<Stored>, StoreError> {
        self.runtime.block_on(store.read(place))
    }

    fn write(
        &self,
        store: &OpenBaoStore,
        place: &Place,
        bytes: &[u8],
        expected: Expected,
    ) -> Result<Version, StoreError> {
        let bytes = Resource::new(bytes.to_vec());
        self.runtime.block_on(store.write(place, bytes, expected))
    }

    fn put(&self, store: &OpenBaoStore, place: &Place, bytes: &[u8]) -> Version {
        self.write(store, place, bytes, Expected::Any).unwrap()
    }

    fn delete(&self, store: &OpenBaoStore, place: &Place) -> Result<bool, StoreError> {
        self.runtime.block_on(store.delete(place, Expected::Any))
    }
}

fn place(text: &str) -> Place {
    Place::from(&ResourcePath::parse(text).unwrap())
}

fn record(text: &str) -> Place {
    Place::from(&RecordName::parse(text).unwrap())
}

#[track_caller]
fn refused<T: fmt::Debug>(result: Result<T, StoreError>, word: &str) {
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.starts_with(word), "{error}");
}

#[test]
fn replicas_share_what_the_engine_cannot_read() {
    let world = World::start();
    let (one, two) = (world.replica(), world.replica());
    let (a, b) = (place("a/b/c"), record("a/b/c"));
    assert!(world.read(&one, &a).unwrap().is_none());
    let first = world
        .write(&one, &a, b"plaintext", Expected::Absent)
        .unwrap();
    world.put(&one, &b, b"a record");
    let stored = world.read(&two, &a).unwrap().unwrap();
    assert_eq!(stored.bytes.as_slice(), b"plaintext");
    assert_eq!(stored.version, first);
    assert_eq!(
        world.read(&two, &b).unwrap().unwrap().bytes.as_slice(),
        b"a record"
    );
    let second = world
        .write(&two, &a, b"more", Expected::Version(first))
        .unwrap();
    refused(
        world.write(&one, &a, b"x", Expected::Version(first)),
        "Conflict",
    );
    refused(world.write(&one, &a, b"x", Expected::Absent), "Conflict");
    let list = |under| world.runtime.block_on(one.list(under)).unwrap().places;
    assert_eq!(list(Under::Resources), std::slice::from_ref(&a));
    assert_eq!(list(Under::AllRecords), std::slice::from_ref(&b));
    assert_eq!(list(Under::Records(&RecordName::parse("a").unwrap())), [b]);
    assert!(
        world
            .runtime
            .block_on(two.delete(&a, Expected::Version(second)))
            .unwrap()
    );
    assert!(!world.delete(&one, &a).unwrap());
    assert!(world.read(&one, &a).unwrap().is_none());
    let list = |under| world.runtime.block_on(one.list(under)).unwrap().places;
    assert_eq!(list(Under::Resources), []);
    let third = world.write(&one, &a, b"again", Expected::Absent).unwrap();
    assert!(third > second);
    let state = world.engine.state();
    let all = format!("{:?}", state.secrets);
    assert!(!all.contains("plaintext") && !all.contains("cGxhaW50ZXh0"));
    // The deleted versions are erased, and not only marked.
    assert_eq!(state.secrets["resource/a/b/c"][..2], [None, None]);
}

#[test]
fn an_engine_that_shows_other_bytes_is_refused() {
    let world = World::start();
    let store = world.replica();
    for name in ["a/b/c", "a/b/d"] {
        world.put(&store, &place(name), name.as_bytes());
    }
    let sealed = |name: &str| world.engine.state().secrets[name][0].clone().unwrap();
    let (own, other) = (sealed("resource/a/b/c"), sealed("resource/a/b/d"));
    let answer = |version: usize, sealed: &str| {
        let lie = secret(version, json!({ "sealed": sealed }));
        let mut state = world.engine.state();
        state.lies.insert("resource/a/b/c".to_owned(), lie);
        drop(state);
        world.read(&store, &place("a/b/c"))
    };
    assert!(answer(1, &own).unwrap().is_some());
    refused(answer(1, &other), "NotAuthentic");
    // What is old cannot be shown as new either.
    refused(answer(2, &own), "NotAuthentic");
    let mut changed = own.clone().into_bytes();
    let last = changed.len() - 8;
    changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
    refused(
        answer(1, &String::from_utf8(changed).unwrap()),
        "NotAuthentic",
    );
    refused(answer(1, "bm90IHNlYWxlZA=="), "UnknownForm");
    refused(answer(1, "!"), "Answer(NotSealed)");
    // A number that was only claimed shuts nothing: the place is as before.
    world.engine.state().lies.clear();
    assert!(world.read(&store, &place("a/b/c")).unwrap().is_some());
}

#[test]
fn an_engine_that_was_put_back_is_refused_by_who_has_seen_more() {
    let world = World::start();
    let store = world.replica();
    let place = place("a/b/c");
    world.put(&store, &place, b"one");
    let snapshot = world.engine.state().secrets.clone();
    world.put(&store, &place, b"two");
    world.engine.state().secrets = snapshot;
    refused(world.read(&store, &place), "RolledBack");
    // Nor is it built upon.
    refused(
        world.write(&store, &place, b"x", Expected::Any),
        "RolledBack",
    );
    world.engine.state().secrets.clear();
    refused(world.read(&store, &place), "RolledBack");
    // Who has seen nothing believes it: LIMITATIONS says so.
    assert!(world.read(&world.replica(), &place).unwrap().is_none());
}

#[test]
fn what_somebody_else_deleted_is_no_absence() {
    let world = World::start();
    let store = world.replica();
    let place = place("a/b/c");
    world.put(&store, &place, b"one");
    world
        .engine
        .state()
        .secrets
        .get_mut("resource/a/b/c")
        .unwrap()[0] = None;
    refused(world.read(&store, &place), "DeletedElsewhere");
    refused(
        world.write(&store, &place, b"x", Expected::Absent),
        "DeletedElsewhere",
    );
    world.put(&store, &place, b"two");
    assert!(world.read(&store, &place).unwrap().is_some());
}

#[test]
fn a_write_whose_answer_is_lost_is_done_once() {
    let world = World::start();
    let store = world.replica();
    let place = place("a/b/c");
    for (number, expected) in [(1, Expected::Absent), (2, Expected::Any)] {
        // The read before it, and then the write.
        world.engine.feel(&[Mood::Honest, Mood::LoseAnswers]);
        let version = world.write(&store, &place, b"one", expected).unwrap();
        assert_eq!(version, Version::new(number));
        let count = world.engine.state().secrets["resource/a/b/c"].len();
        assert_eq!(u64::try_from(count).unwrap(), number);
    }
}

#[test]
fn of_two_writers_whose_answers_are_lost_only_the_first_believes_that_it_was_taken() {
    let world = World::start();
    let (one, two) = (world.replica(), world.replica());
    // Whether both have read before either writes is chance: of several times, once it is so.
    for number in 0..8 {
        let place = place(&format!("a/b/c{number}"));
        let lost = [
            Mood::Honest,
            Mood::Honest,
            Mood::LoseAnswers,
            Mood::LoseAnswers,
        ];
        world.engine.feel(&lost);
        let write = |store: &OpenBaoStore, bytes: &[u8]| {
            let (store, place, bytes) =
                (store.clone(), place.clone(), Resource::new(bytes.to_vec()));
            world
                .runtime
                .spawn(async move { store.write(&place, bytes, Expected::Absent).await })
        };
        let (first, second) = (write(&one, b"one"), write(&two, b"two"));
        let results = world
            .runtime
            .block_on(async { [first.await.unwrap(), second.await.unwrap()] });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let winner: &[u8] = if results[0].is_ok() { b"one" } else { b"two" };
        let stored = world.read(&world.replica(), &place).unwrap().unwrap();
        assert_eq!(stored.bytes.as_slice(), winner);
        let name = format!("resource/a/b/c{number}");
        assert_eq!(world.engine.state().secrets[&name].len(), 1);
    }
}

#[test]
fn what_one_node_cannot_say_another_is_asked() {
    let world = World::start();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let store = world.replica_of(&[gone, world.engine.url()]);
    world.put(&store, &place("a/b/c"), b"one");
    world
        .engine
        .feel(&[Mood::StandBy, Mood::StandBy, Mood::Silent, Mood::Endless]);
    assert!(world.read(&store, &place("a/b/c")).unwrap().is_some());
}

#[test]
fn without_a_node_the_call_ends_in_time_and_names_the_node() {
    let world = World::start();
    let store = world.replica();
    world.put(&store, &place("a/b/c"), b"one");
    world.engine.feel(&[Mood::StandBy; 1000]);
    let began = std::time::Instant::now();
    let error = world.read(&store, &place("a/b/c")).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(7));
    let text = error.to_string();
    assert!(
        text.contains(&world.engine.url()) && text.contains("standing by"),
        "{text}"
    );
}

#[test]
fn a_token_that_is_revoked_is_had_anew_by_one_login() {
    let world = World::start();
    let store = world.replica();
    world.put(&store, &place("a/b/c"), b"one");
    assert_eq!(world.engine.state().logins, 1);
    world.engine.state().good_tokens.clear();
    let reads = (0..50).map(|_| {
        let store = store.clone();
        world
            .runtime
            .spawn(async move { store.read(&place("a/b/c")).await })
    });
    let reads: Vec<_> = reads.collect();
    for read in reads {
        assert!(world.runtime.block_on(read).unwrap().unwrap().is_some());
    }
    assert_eq!(world.engine.state().logins, 2);
}

#[test]
fn logins_that_are_refused_are_no_storm() {
    let world = World::start();
    world.engine.state().login_is_refused = true;
    let store = world.replica();
    for _ in 0..50 {
        refused(world.read(&store, &place("a/b/c")), "LoginRefused");
    }
    world.engine.state().login_is_refused = false;
    // Nobody asks until the pause is over.
    refused(world.read(&store, &place("a/b/c")), "LoginRefused");
    assert_eq!(world.engine.state().logins, 0);
    std::thread::sleep(Duration::from_millis(2100));
    assert!(world.read(&store, &place("a/b/c")).unwrap().is_none());
    assert_eq!(world.engine.state().logins, 1);
}

#[test]
fn a_path_that_the_policies_do_not_allow_costs_no_login() {
    let world = World::start();
    let store = world.replica();
    world.put(&store, &place("a/b/c"), b"one");
    world.engine.state().forbidden = true;
    for _ in 0..5 {
        refused(world.read(&store, &place("a/b/c")), "Forbidden");
    }
    world.engine.state().forbidden = false;
    assert!(world.read(&store, &place("a/b/c")).unwrap().is_some());
    assert_eq!(world.engine.state().logins, 1);
}

#[test]
fn an_odd_name_is_a_stranger_and_keeps_nobody_from_the_others() {
    let world = World::start();
    let store = world.replica();
    for name in ["a/b/c", "a/b/d"] {
        world.put(&store, &place(name), b"one");
    }
    world.put(&store, &record("r/one"), b"one");
    let odd = [
        "resource/a/b c/d",
        "resource/.hidden/b/c",
        "resource/a/b/c d",
        "resource/a/b/c/d/e/f",
        "record/r/o n e/x",
    ];
    let secret = world.engine.state().secrets["resource/a/b/c"].clone();
    for name in odd {
        let mut state = world.engine.state();
        state.secrets.insert(name.to_owned(), secret.clone());
    }
    let list = |under| world.runtime.block_on(store.list(under)).unwrap();
    let resources = list(Under::Resources);
    assert_eq!(resources.places, [place("a/b/c"), place("a/b/d")]);
    assert_eq!(
        resources.strangers,
        [
            "resource/.hidden/",
            "resource/a/b c/",
            "resource/a/b/c d",
            "resource/a/b/c/d/e/"
        ]
    );
    let records = list(Under::AllRecords);
    assert_eq!(records.places, [record("r/one")]);
    assert_eq!(records.strangers, ["record/r/o n e/"]);
    let folder = RecordName::parse("r").unwrap();
    let count = world.runtime.block_on(store.count(&folder)).unwrap();
    assert_eq!(count, 1);
}

/// Somebody logs in or renews at a node that does not answer.
#[test]
fn an_answer_that_is_there_waits_for_no_login() {
    let world = World::start();
    let store = world.replica();
    world.put(&store, &place("a/b/c"), b"one");
    let (_, generation) = world
        .runtime
        .block_on(store.0.authority.token(store.until()))
        .unwrap();
    let _held = store.0.authority.hold();
    let began = std::time::Instant::now();
    store.0.authority.served(generation);
    let until = Instant::now() + Duration::from_millis(200);
    world
        .runtime
        .block_on(store.0.authority.refused(generation, until));
    assert!(began.elapsed() < Duration::from_secs(2));
}
