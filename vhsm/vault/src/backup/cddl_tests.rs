//! What is written is what `backup.cddl` says, field by field.

use super::tests::{Site, pair};
use super::*;
use crate::keys::record::read_policy;
use nitride_protocol::KeyName;

fn cddl() -> String {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../protocol/vhsm/cddl/backup.cddl"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split(';').next().unwrap().trim());
    lines.collect::<Vec<_>>().join(" ")
}

/// The members of an array: names and types, in order.
fn members_of(array: &str) -> Vec<(String, String)> {
    let mut depth = 0;
    let mut members = vec![String::new()];
    for sign in array.chars() {
        match sign {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            _ => {}
        }
        match sign {
            ',' if depth == 0 => members.push(String::new()),
            sign => members.last_mut().unwrap().push(sign),
        }
    }
    let split = |member: &String| {
        let (name, of) = member.split_once(':')?;
        Some((name.trim().to_owned(), of.trim().to_owned()))
    };
    members.iter().filter_map(split).collect()
}

/// What stands between the brackets of a rule.
fn rule(cddl: &str, name: &str) -> Vec<(String, String)> {
    let start = format!("{name} = [");
    let (_, rest) = cddl.split_once(&start).unwrap();
    let mut depth = 1;
    let end = rest.find(|sign| {
        depth += i32::from(sign == '[') - i32::from(sign == ']');
        depth == 0
    });
    members_of(&rest[..end.unwrap()])
}

/// Reads an array as its rule says; gives its byte strings.
fn read(members: &[(String, String)], reader: &mut Reader<'_>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    reader.array_of(members.len() as u64).unwrap();
    for (name, of) in members {
        let word = of.split([' ', '.']).next().unwrap();
        match word {
            "bstr" => {
                let bytes = reader.bytes().unwrap();
                let mut sizes = of.split(".size ").skip(1);
                let fits = |size: &str| match size.trim().trim_end_matches(" / bstr") {
                    range if range.starts_with('(') => {
                        let (low, high) = range[1..range.len() - 1].split_once("..").unwrap();
                        let high = match high {
                            "max-sealed-len" => MAX_SEALED_LEN,
                            high => high.parse().unwrap(),
                        };
                        (low.parse().unwrap()..=high).contains(&bytes.len())
                    }
                    size => bytes.len() == size.trim().parse::<usize>().unwrap(),
                };
                let is_free = !of.contains(".size");
                assert!(is_free || sizes.any(fits), "{name}: {of}");
                found.push(bytes.to_vec());
            }
            "key-name" => drop(KeyName::read(reader, "key").unwrap()),
            "key-type" => drop(KeyType::read(reader).unwrap()),
            "bool" => drop(reader.bool().unwrap()),
            "uint" => drop(reader.u64().unwrap()),
            "[*" => drop(read_policy(reader).unwrap()),
            "[1*64" => {
                let inner = of.strip_prefix("[1*64 [").unwrap();
                let inner = members_of(inner.strip_suffix("]]").unwrap());
                for _ in 0..reader.array().unwrap() {
                    found.extend(read(&inner, reader));
                }
            }
            // A number, one of several, or a range.
            _ => {
                let number = reader.u64().unwrap();
                let is_one = match of.split_once("..") {
                    Some((low, high)) => {
                        (low.parse().unwrap()..=high.parse().unwrap()).contains(&number)
                    }
                    None => of.split(" / ").any(|one| one.parse() == Ok(number)),
                };
                assert!(is_one, "{name}: {number} is none of {of}");
            }
        }
    }
    found
}

#[test]
fn a_part_is_what_the_cddl_says() {
    let cddl = cddl();
    for recipient_type in [KeyType::X25519, KeyType::EcP256] {
        let (recipient, half) = pair(recipient_type);
        let mut site = Site::made(&[
            ("app/a", KeyType::Aes256Gcm),
            ("app/b", KeyType::EcP256),
            ("app/c", KeyType::HmacSha512),
        ]);
        for part in site.back_up(&recipient) {
            let mut reader = Reader::new(&part);
            let found = read(&rule(&cddl, "backup-part"), &mut reader);
            reader.finish().unwrap();
            let mut reader = Reader::new(&found[0]);
            read(&rule(&cddl, "backup-head"), &mut reader);
            reader.finish().unwrap();
            let private = match recipient_type {
                KeyType::X25519 => Private::X25519(X25519::from_private(half.expose()).unwrap()),
                _ => Private::P256(Ec::from_scalar(Curve::P256, half.expose()).unwrap()),
            };
            let images = SealedPart::parse(&part).unwrap().open(&private).unwrap();
            let mut reader = Reader::new(images.expose());
            let mut keys = 0;
            while reader.position() < images.expose().len() {
                read(&rule(&cddl, "backup-key"), &mut reader);
                keys += 1;
            }
            assert_eq!(keys, 3);
        }
    }
}
