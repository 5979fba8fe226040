//! Policy files that somebody made to be expensive, or to be read otherwise than they look.

use super::*;
use crate::config::check_policy;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// In a build without optimisation; the bounds, not the machine, keep it this short.
const LONGEST: Duration = Duration::from_secs(20);

/// The fault of one policy file, found in bounded time.
#[track_caller]
fn fault(text: &[u8]) -> String {
    let folder = Folder::new(&[]);
    fs::write(folder.dir.path().join("policy.d/x.toml"), text).unwrap();
    let begun = Instant::now();
    let fault = folder.load().unwrap_err();
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    assert!(fault.len() < 2000, "a fault of {} bytes", fault.len());
    assert!(fault.contains("policy.d"), "{fault}");
    fault
}

#[test]
fn text_that_is_not_what_it_looks_like_is_refused() {
    for (text, line, reason) in [
        (&b"\xef\xbb\xbf[[rule]]\n"[..], 1, "byte order mark"),
        (b"# a\n# b\0c\n", 2, "not shown"),
        (b"# a\n\n# \x1b[2J\n", 3, "not shown"),
        ("# \u{202e}elur\n".as_bytes(), 1, "not shown"),
        (b"# a\n\"\xff\xfe\"\n", 2, "not UTF-8"),
        (b"# \xc3", 1, "not UTF-8"),
    ] {
        let fault = fault(text);
        assert!(fault.contains(&format!("x.toml:{line}: ")), "{fault}");
        assert!(fault.contains(reason), "{fault}");
    }
}

#[test]
fn a_huge_file_and_a_huge_folder_are_refused() {
    assert!(fault(&vec![b'#'; (1 << 20) + 1]).contains("longer than"));
    let comment = "#".repeat(1 << 20);
    let names: Vec<String> = (0..9).map(|index| format!("{index}.toml")).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), comment.as_str()))
        .collect();
    let error = Folder::new(&files).load().unwrap_err();
    assert!(error.contains("bytes of policy"), "{error}");
    let names: Vec<String> = (0..257).map(|index| format!("{index}.toml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let error = Folder::new(&files).load().unwrap_err();
    assert!(error.contains("more than 256 policy files"), "{error}");
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let deep = format!("x = {}1{}", open.repeat(300_000), close.repeat(300_000));
        let deep = &deep[..deep.len().min((1 << 20) - 1)];
        fault(deep.as_bytes());
    }
    fault(format!("[{}]\n", vec!["a"; 100_000].join(".")).as_bytes());
    fault(format!("{} = 1\n", vec!["a"; 100_000].join(".")).as_bytes());
}

#[test]
fn too_many_of_anything_is_refused_with_its_number() {
    let rule = |keys: &str, peers: &str| {
        format!(
            "[[rule]]\nname = \"r\"\nkeys = [{keys}]\npeers = [{peers}]\noperations = [\"sign\"]\n"
        )
    };
    let patterns = fault(rule(&"\"a\",".repeat(200_000), "{uid=1}").as_bytes());
    assert!(patterns.contains("x.toml:1: "), "{patterns}");
    assert!(patterns.contains("rule r has 200000 names, which is more than 1024"));
    let peers = fault(rule("\"a\"", &"{uid=1},".repeat(100_000)).as_bytes());
    assert!(peers.contains("rule r has 100000 peers"), "{peers}");
    // One name is asked for once, however often it is written.
    let users = fault(rule("\"a\"", &"{user=\"root\"},".repeat(60_000)).as_bytes());
    assert!(users.contains("rule r has 60000 peers"), "{users}");
    let mut rules = String::new();
    for index in 0..8000 {
        let _ = write!(
            rules,
            "[[rule]]\nname=\"r{index}\"\nkeys=[\"a\"]\npeers=[{{uid=1}}]\noperations=[]\n"
        );
    }
    let rules = fault(rules.as_bytes());
    assert!(rules.contains("the policy has 8000 rules"), "{rules}");
    let wrapping = fault(
        format!(
            "{LOCAL}wrappable-by = [{}]\n",
            (0..9)
                .map(|index| format!("\"w{index}\""))
                .collect::<Vec<_>>()
                .join(",")
        )
        .as_bytes(),
    );
    assert!(wrapping.contains("has 9 wrapping keys"), "{wrapping}");
    let recipients = fault(format!("{KEY}release-to=[{}]\n", "{uid=1},".repeat(65)).as_bytes());
    assert!(recipients.contains("has 65 recipients"), "{recipients}");
    let signers = KEY.replace("\"owner\"", &format!("[{}]", "\"owner\",".repeat(17)));
    let signers = fault(signers.as_bytes());
    assert!(signers.contains("has 17 signers"), "{signers}");
}

#[test]
fn thousands_of_keys_are_judged_in_bounded_time() {
    let mut text = String::new();
    for index in 0..7000 {
        let _ = write!(
            text,
            "[[key]]\nname=\"k{index}\"\ntype=\"ec-p256\"\nsource=\"local\"\noperations=[\"sign\"]\n"
        );
    }
    let names: Vec<String> = (0..2).map(|index| format!("{index}.toml")).collect();
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| {
            (
                name.clone(),
                text.replace("\"k", &format!("\"{}/k", &name[..1])),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let folder = Folder::new(&files);
    let begun = Instant::now();
    assert_eq!(folder.load().unwrap().keys.len(), 14_000);
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    // And a name that is there twice is found among all of them.
    let twice = format!("{LOCAL}\n").replace("\"l\"", "\"1/k17\"");
    let faults = check_policy(&folder.config, "z.toml", &twice);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().contains("key 1/k17 has two rules"));
}

#[test]
fn a_file_is_checked_together_with_the_others_and_as_if_it_replaced_itself() {
    let folder = Folder::new(&[("10-keys.toml", KEY)]);
    let faults = |name: &str, text: &str| -> Vec<String> {
        check_policy(&folder.config, name, text)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(faults("10-keys.toml", KEY), [""; 0]);
    assert_eq!(faults("/somewhere/10-keys.toml", KEY), [""; 0]);
    let twice = faults("20-more.toml", KEY);
    assert_eq!(twice.len(), 1);
    assert!(twice[0].starts_with("20-more.toml:1: key a has two rules; "));
    // Every part that cannot be read is named, not the first alone.
    let bad = "[[rule]]\nname = \"r\"\nkeys = [\"a*\"]\npeers = []\noperations = []\n".repeat(40);
    let bad = faults("new.toml", &bad);
    assert_eq!(bad.len(), 32);
    assert!(bad[1].starts_with("new.toml:8: "), "{}", bad[1]);
    assert!(faults("new.toml", "\u{feff}")[0].contains("byte order mark"));
    assert!(faults("new.toml", "a\0b")[0].contains("not shown"));
    // What stands in the folder is as it was.
    assert!(folder.load().is_ok());
}
