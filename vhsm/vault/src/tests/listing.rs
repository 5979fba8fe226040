//! What `list` shows, and what it does not.

use super::world::{EVERYTHING, Not, World, kbs, key, name, policy, rule};
use crate::Session;
use crate::policy::Source;
use nitride_protocol::application::{Generate, List};
use nitride_protocol::limits::MAX_LIST_LEN;
use nitride_protocol::{KeyName, KeyState, KeyType, Operation, Status};

fn list<'a>(prefix: &'a str, after: Option<&'a str>, max: u32) -> List<'a> {
    List {
        prefix,
        after: after.map(name),
        max,
    }
}

fn names(world: &mut World, session: &mut Session, list: &List<'_>) -> (Vec<String>, bool) {
    let listed = world.ask(session, list).unwrap();
    let listing = listed.result();
    let names = listing.entries.iter().map(|entry| entry.key.to_string());
    (names.collect(), listing.more)
}

fn generate(world: &mut World, session: &mut Session, key: KeyName<'_>) {
    let generate = Generate {
        key,
        key_type: KeyType::Aes256Gcm,
        operations: None,
        wrappable_by: Vec::new(),
    };
    world.ask(session, &generate).unwrap();
}

#[test]
fn only_names_that_the_peer_may_describe_are_shown() {
    let rules = vec![
        rule(1, "**", EVERYTHING),
        rule(2, "seen/*", &[Operation::Describe, Operation::List]),
        rule(2, "used/*", &[Operation::Encrypt]),
        rule(3, "**", &[Operation::Describe]),
    ];
    let mut world = World::new(policy(rules, vec![]));
    let (mut one, mut two) = (world.application(1), world.application(2));
    for key in ["seen/a", "used/b", "other/c"] {
        generate(&mut world, &mut one, name(key));
    }
    let all = list("", None, 100);
    assert_eq!(names(&mut world, &mut one, &all).0.len(), 3);
    let seen = (vec!["seen/a".to_owned()], false);
    assert_eq!(names(&mut world, &mut two, &all), seen);
    // `list` takes a rule of its own.
    let mut three = world.application(3);
    let denied = world.ask(&mut three, &all).unwrap_err();
    assert_eq!(denied, Not::Done(Status::Denied));
    let mut admin = world.admin(0);
    assert_eq!(names(&mut world, &mut admin, &all).0.len(), 3);
}

#[test]
fn keys_that_are_stated_and_not_here_yet_are_pending() {
    let keys = vec![
        key("fetched", KeyType::EcP256, kbs("r/t/f")),
        key("local", KeyType::EcP256, Source::Local),
        key("made", KeyType::Ed25519, Source::Generate),
    ];
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], keys));
    let mut app = world.application(1);
    let listed = world.ask(&mut app, &list("", None, 100)).unwrap();
    let listing = listed.result();
    let shown: Vec<_> = listing
        .entries
        .iter()
        .map(|entry| (entry.key.as_str(), entry.state, entry.newest_version))
        .collect();
    assert_eq!(
        shown,
        [
            ("fetched", KeyState::Pending, 0),
            ("made", KeyState::Pending, 0)
        ]
    );
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat() {
    let keys = (0..300)
        .map(|n| {
            key(
                &format!("k/{n:04}-stated"),
                KeyType::Aes256Gcm,
                kbs("r/t/k"),
            )
        })
        .collect();
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], keys));
    let mut app = world.application(1);
    for n in 0..90 {
        let text = format!("k/{n:04}");
        generate(&mut world, &mut app, name(&text));
    }
    generate(&mut world, &mut app, name("l"));
    for page_len in [1, 7, 256, 100_000] {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let (page, more) = names(
                &mut world,
                &mut app,
                &list("k/", after.as_deref(), page_len),
            );
            assert!(page.len() <= MAX_LIST_LEN.min(page_len as usize));
            after = page.last().cloned();
            all.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(all.len(), 390, "pages of {page_len}");
        assert!(all.is_sorted_by(|a, b| a < b));
    }
}

#[test]
fn a_prefix_is_of_the_text_and_may_match_nothing() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let mut app = world.application(1);
    for key in ["a", "ab", "b/c"] {
        generate(&mut world, &mut app, name(key));
    }
    let listed = |world: &mut World, app: &mut Session, prefix, after| {
        names(world, app, &list(prefix, after, 10)).0
    };
    assert_eq!(listed(&mut world, &mut app, "a", None), ["a", "ab"]);
    assert_eq!(listed(&mut world, &mut app, "a", Some("a")), ["ab"]);
    assert_eq!(listed(&mut world, &mut app, "b", Some("a")), ["b/c"]);
    assert!(listed(&mut world, &mut app, "c", None).is_empty());
    assert!(listed(&mut world, &mut app, "a", Some("b")).is_empty());
}

#[test]
fn asking_for_none_tells_whether_there_are_any() {
    let mut world = World::new(policy(vec![rule(1, "**", EVERYTHING)], vec![]));
    let mut app = world.application(1);
    let none = list("", None, 0);
    assert_eq!(names(&mut world, &mut app, &none), (vec![], false));
    generate(&mut world, &mut app, name("a"));
    assert_eq!(names(&mut world, &mut app, &none), (vec![], true));
}

#[test]
fn what_begins_as_no_granted_name_does_is_not_even_looked_at() {
    let granted = &[Operation::Describe, Operation::List];
    let rules = vec![
        rule(1, "**", EVERYTHING),
        rule(2, "b/*", granted),
        rule(2, "b/deep/**", granted),
        rule(2, "bb", granted),
        rule(2, "d/**", granted),
        rule(2, "a/**", &[Operation::Encrypt]),
    ];
    let mut world = World::new(policy(rules, vec![]));
    let (mut one, mut two) = (world.application(1), world.application(2));
    let two_peer = two.peer().clone();
    let set = world.vault.policy();
    let starts = set.starts_granted(&two_peer, Operation::Describe);
    // What begins with another one is in it.
    assert_eq!(starts, ["b", "d"]);
    for key in [
        "a/1",
        "b/1",
        "b/deep/x/y",
        "b/x/y",
        "bb",
        "bbb",
        "c/1",
        "d/1",
    ] {
        generate(&mut world, &mut one, name(key));
    }
    let seen = |world: &mut World, two: &mut Session, prefix, after| {
        names(world, two, &list(prefix, after, 100)).0
    };
    let all = ["b/1", "b/deep/x/y", "bb", "d/1"];
    assert_eq!(seen(&mut world, &mut two, "", None), all);
    assert_eq!(
        seen(&mut world, &mut two, "", Some("b/deep/x/y")),
        ["bb", "d/1"]
    );
    assert_eq!(seen(&mut world, &mut two, "b/d", None), ["b/deep/x/y"]);
    assert_eq!(seen(&mut world, &mut two, "c", None), Vec::<String>::new());
    let (first, more) = names(&mut world, &mut two, &list("", None, 3));
    assert_eq!((first.len(), more), (3, true));
}
