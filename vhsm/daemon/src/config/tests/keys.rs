//! The list of keys, the code that reads them, and the manual agree.

use super::*;
use crate::config::keys::{KEYS, Place};

/// The keys that the reader of a table would take, as it says itself when it meets another.
fn taken(error: &str) -> Vec<String> {
    let expected = error.rsplit_once("expected ").expect(error).1;
    let mut names: Vec<String> = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

fn listed(place: Place) -> Vec<String> {
    let mut names: Vec<String> = KEYS
        .iter()
        .filter(|key| key.place == place)
        .map(|key| key.name.to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_key_that_is_read_is_listed_and_no_other() {
    for (place, text) in [
        (Place::Top, "surprise = 1\n"),
        (Place::Table("sockets"), "[sockets]\nsurprise = 1\n"),
        (Place::Table("arena"), "[arena]\nsurprise = 1\n"),
        (Place::Table("evidence"), "[evidence]\nsurprise = 1\n"),
        (Place::Table("agent"), "[agent]\nsurprise = 1\n"),
        (Place::Table("admin"), "[admin]\nsurprise = 1\n"),
        (Place::Table("limits"), "[limits]\nsurprise = 1\n"),
        (Place::Table("disk-key"), "[[disk-key]]\nsurprise = 1\n"),
        (Place::Table("service"), "[[service]]\nsurprise = 1\n"),
        (Place::Table("signer"), "[[signer]]\nsurprise = 1\n"),
        (
            Place::Table("backup-recipient"),
            "[[backup-recipient]]\nsurprise = 1\n",
        ),
        (Place::Table("seal"), "[seal]\nsurprise = 1\n"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(taken(&error), listed(place), "{place:?}");
    }
    for (place, text) in [
        (Place::PolicyTop, "surprise = 1\n".to_owned()),
        (Place::Policy("rule"), "[[rule]]\nsurprise = 1\n".to_owned()),
        (Place::Policy("key"), "[[key]]\nsurprise = 1\n".to_owned()),
        (Place::Policy("gate"), "[[gate]]\nsurprise = 1\n".to_owned()),
        (
            Place::Policy("peers"),
            "[[rule]]\nname = \"r\"\nkeys = []\npeers = [{ surprise = 1 }]\n".to_owned(),
        ),
        (
            Place::Policy("release-to"),
            format!("{KEY}release-to = [{{ surprise = 1 }}]\n"),
        ),
        (
            Place::Policy("rate"),
            format!("{LOCAL}rate = {{ surprise = 1 }}\n"),
        ),
    ] {
        let error = Folder::new(&[("x.toml", &text)]).load().unwrap_err();
        assert_eq!(taken(&error), listed(place), "{place:?}");
    }
}

#[test]
fn no_table_is_left_out_of_the_list() {
    let tables = |top: Place| {
        let mut tables: Vec<&str> = KEYS
            .iter()
            .filter(|key| key.place == top && key.is_table)
            .map(|key| key.name)
            .collect();
        tables.sort_unstable();
        tables
    };
    for (top, of) in [
        (Place::Top, Place::Table as fn(&'static str) -> Place),
        (Place::PolicyTop, Place::Policy),
    ] {
        for table in tables(top) {
            assert!(KEYS.iter().any(|key| key.place == of(table)), "{table}");
        }
    }
}

/// Written anew by `vhsmd --config-keys >docs/configuration.md`.
#[test]
fn the_manual_has_the_list() {
    let manual = include_str!("../../../../../docs/configuration.md");
    assert_eq!(manual, crate::config::Manual.to_string());
}
