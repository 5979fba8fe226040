//! Headers that somebody else wrote: each has one defect, and its refusal the defect's name.

use super::*;

/// The defect's name, and what is changed in the sound header's JSON.
const DEFECTS: &[(&str, &[(&str, &str)])] = &[
    (
        "null-cipher",
        &[(
            "\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"cipher_null-ecb\"",
        )],
    ),
    (
        "null-cipher",
        &[(
            "\"258048\",\"encryption\":\"aes-xts-plain64\",\"key_size\":32",
            "\"258048\",\"encryption\":\"cipher_null-ecb\",\"key_size\":32",
        )],
    ),
    (
        "null-cipher",
        &[(
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"iv_tweak\":\"0\",\"encryption\":\"null\"",
        )],
    ),
    (
        "null-cipher",
        &[(
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"iv_tweak\":\"0\",\"encryption\":\"capi:ecb(cipher_null)-plain\"",
        )],
    ),
    (
        "null-cipher",
        &[(
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"iv_tweak\":\"0\",\"encryption\":\"\"",
        )],
    ),
    (
        "cipher",
        &[(
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-ecb\"",
        )],
    ),
    (
        "cipher",
        &[(
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-cbc-plain64\"",
        )],
    ),
    (
        "cipher",
        &[(
            "\"258048\",\"encryption\":\"aes-xts-plain64\",\"key_size\":64",
            "\"258048\",\"encryption\":\"aes-cbc-plain\",\"key_size\":64",
        )],
    ),
    ("key-size", &[("\"key_size\":32}", "\"key_size\":16}")]),
    (
        "key-size",
        &[(
            "\"priority\":2,\"key_size\":64",
            "\"priority\":2,\"key_size\":32",
        )],
    ),
    (
        "key-size",
        &[(
            "\"key_size\":64,\n      \"af\"",
            "\"key_size\":16,\n      \"af\"",
        )],
    ),
    (
        "segments",
        &[(
            "\"segments\":{\n",
            "\"segments\":{\"1\":{\"type\":\"crypt\",\"offset\":\"16777216\",\"size\":\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\",\"sector_size\":512},\n",
        )],
    ),
    (
        "segments",
        &[("\"segments\":{\n    \"0\"", "\"segments\":{\n    \"1\"")],
    ),
    (
        "segment-type",
        &[("\"type\":\"crypt\"", "\"type\":\"linear\"")],
    ),
    (
        "segment-type",
        &[("\"type\":\"crypt\"", "\"type\":\"other\"")],
    ),
    (
        "segment-flag",
        &[(
            "\"sector_size\":4096",
            "\"sector_size\":4096,\"flags\":[\"other\"]",
        )],
    ),
    (
        "reencryption",
        &[(
            "\"sector_size\":4096",
            "\"sector_size\":4096,\"flags\":[\"in-reencryption\"]",
        )],
    ),
    (
        "reencryption",
        &[(
            "\"sector_size\":4096",
            "\"sector_size\":4096,\"flags\":[\"backup-final\"]",
        )],
    ),
    (
        "reencryption",
        &[(
            "\"16744448\"",
            "\"16744448\",\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]}",
        )],
    ),
    (
        "reencryption",
        &[(
            "\"16744448\"",
            "\"16744448\",\"requirements\":{\"mandatory\":[\"offline-reencrypt\"]}",
        )],
    ),
    (
        "reencryption",
        &[
            ("\"priority\":2,", ""),
            ("\"1\":{\"type\":\"luks2\"", "\"1\":{\"type\":\"reencrypt\""),
        ],
    ),
    (
        "requirement",
        &[(
            "\"16744448\"",
            "\"16744448\",\"requirements\":{\"mandatory\":[\"inline-hw-tags\"]}",
        )],
    ),
    (
        "unknown-member",
        &[(
            "\"16744448\"",
            "\"16744448\",\"requirements\":{\"mandatory\":[],\"other\":[]}",
        )],
    ),
    (
        "flag",
        &[(
            "\"16744448\"",
            "\"16744448\",\"flags\":[\"allow-discards\"]",
        )],
    ),
    (
        "token",
        &[(
            "\"tokens\":{}",
            "\"tokens\":{\"0\":{\"type\":\"systemd-tpm2\",\"keyslots\":[\"0\"]}}",
        )],
    ),
    ("iv-tweak", &[("\"iv_tweak\":\"0\"", "\"iv_tweak\":\"8\"")]),
    (
        "sector-size",
        &[("\"sector_size\":4096", "\"sector_size\":4095")],
    ),
    (
        "sector-size",
        &[("\"sector_size\":4096", "\"sector_size\":0")],
    ),
    ("sector-size", &[("\"size\":\"dynamic\"", "\"size\":\"0\"")]),
    (
        "sector-size",
        &[("\"size\":\"dynamic\"", "\"size\":\"513\"")],
    ),
    (
        "segment-in-header",
        &[(
            "\"type\":\"crypt\",\"offset\":\"16777216\"",
            "\"type\":\"crypt\",\"offset\":\"0\"",
        )],
    ),
    (
        "segment-in-header",
        &[(
            "\"type\":\"crypt\",\"offset\":\"16777216\"",
            "\"type\":\"crypt\",\"offset\":\"16773120\"",
        )],
    ),
    (
        "segment-beyond-device",
        &[(
            "\"type\":\"crypt\",\"offset\":\"16777216\"",
            "\"type\":\"crypt\",\"offset\":\"33554432\"",
        )],
    ),
    (
        "segment-beyond-device",
        &[("\"size\":\"dynamic\"", "\"size\":\"16781312\"")],
    ),
    (
        "segment-beyond-device",
        &[("\"size\":\"dynamic\"", "\"size\":\"18446744073709547520\"")],
    ),
    (
        "integrity",
        &[(
            "\"sector_size\":4096",
            "\"sector_size\":4096,\"integrity\":{\"type\":\"crc32c\",\"journal_encryption\":\"none\",\"journal_integrity\":\"none\"}",
        )],
    ),
    (
        "integrity",
        &[(
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\"",
            "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-random\"",
        )],
    ),
    (
        "member",
        &[(
            "\"sector_size\":4096",
            "\"sector_size\":4096,\"integrity\":{\"type\":\"hmac(sha256)\",\"journal_encryption\":\"x\",\"journal_integrity\":\"none\"}",
        )],
    ),
    (
        "weak-kdf",
        &[(
            "\"iterations\":1000,\"salt\"",
            "\"iterations\":999,\"salt\"",
        )],
    ),
    (
        "weak-kdf",
        &[(
            "\"type\":\"pbkdf2\",\"hash\":\"sha256\"",
            "\"type\":\"pbkdf2\",\"hash\":\"sha1\"",
        )],
    ),
    ("weak-kdf", &[("\"time\":4", "\"time\":1")]),
    ("weak-kdf", &[("\"memory\":1048576", "\"memory\":8")]),
    (
        "weak-kdf",
        &[("\"type\":\"argon2id\"", "\"type\":\"argon2i\"")],
    ),
    (
        "weak-kdf",
        &[("\"type\":\"argon2id\"", "\"type\":\"none\"")],
    ),
    (
        "weak-kdf",
        &[("\"iterations\":1000,\n", "\"iterations\":1,\n")],
    ),
    (
        "costly-kdf",
        &[("\"memory\":1048576", "\"memory\":4194305")],
    ),
    (
        "costly-kdf",
        &[(
            "\"iterations\":1000,\"salt\"",
            "\"iterations\":4294967295,\"salt\"",
        )],
    ),
    ("costly-kdf", &[("\"cpus\":4", "\"cpus\":1000")]),
    ("split", &[("\"stripes\":4000", "\"stripes\":1")]),
    (
        "split",
        &[(
            "\"stripes\":4000,\"hash\":\"sha256\"",
            "\"stripes\":4000,\"hash\":\"sha1\"",
        )],
    ),
    ("area", &[("\"offset\":\"32768\"", "\"offset\":\"28672\"")]),
    (
        "area",
        &[("\"offset\":\"32768\"", "\"offset\":\"16773120\"")],
    ),
    (
        "area",
        &[(
            "\"offset\":\"32768\"",
            "\"offset\":\"18446744073709547520\"",
        )],
    ),
    (
        "area",
        &[(
            "\"offset\":\"32768\",\"size\":\"258048\"",
            "\"offset\":\"32768\",\"size\":\"4096\"",
        )],
    ),
    (
        "areas-overlap",
        &[("\"offset\":\"290816\"", "\"offset\":\"286720\"")],
    ),
    (
        "keyslot-type",
        &[("\"1\":{\"type\":\"luks2\"", "\"1\":{\"type\":\"luks3\"")],
    ),
    ("digest-without-slot", &[("[\"0\",\"1\"]", "[\"0\"]")]),
    (
        "digest-of-no-slot",
        &[("[\"0\",\"1\"]", "[\"0\",\"1\",\"2\"]")],
    ),
    (
        "digest-segments",
        &[("\"segments\":[\"0\"]", "\"segments\":[]")],
    ),
    (
        "digest-segments",
        &[("\"segments\":[\"0\"]", "\"segments\":[\"0\",\"1\"]")],
    ),
    (
        "digests",
        &[(
            "\"digests\":{\n",
            "\"digests\":{\"1\":{\"type\":\"pbkdf2\",\"keyslots\":[],\"segments\":[],\"hash\":\"sha256\",\"iterations\":1000,\"salt\":\"UkyRvHxUP9yTivVvOjEX9yFHL5c4pWAIWYphAqaqDi8=\",\"digest\":\"tcQ+r+p/ZkqjUrK716fQUQLePlr1VL4XU7sth6wkOMU=\"},\n",
        )],
    ),
    (
        "member",
        &[(
            "\"digest\":\"tcQ+r+p/ZkqjUrK716fQUQLePlr1VL4XU7sth6wkOMU=\"",
            "\"digest\":\"tcQ=\"",
        )],
    ),
    (
        "member",
        &[(
            "\"digest\":\"tcQ+r+p/ZkqjUrK716fQUQLePlr1VL4XU7sth6wkOMU=\"",
            "\"digest\":\"tcQ+r+p/ZkqjUrK716fQUQLePlr1VL4XU7sth6wkOMV=\"",
        )],
    ),
    (
        "member",
        &[("\"json_size\":\"12288\"", "\"json_size\":\"28672\"")],
    ),
    (
        "member",
        &[("\"json_size\":\"12288\"", "\"json_size\":\"012288\"")],
    ),
    (
        "member",
        &[("\"1\":{\"type\":\"luks2\"", "\"01\":{\"type\":\"luks2\"")],
    ),
    (
        "member",
        &[("\"1\":{\"type\":\"luks2\"", "\"32\":{\"type\":\"luks2\"")],
    ),
    ("member", &[("\"priority\":2", "\"priority\":3")]),
    ("member", &[("\"tokens\":{},", "")]),
    (
        "unknown-member",
        &[("\"tokens\":{},", "\"tokens\":{},\"other\":{},")],
    ),
    (
        "unknown-member",
        &[("\"sector_size\":4096", "\"sector_size\":4096,\"other\":1")],
    ),
    ("unknown-member", &[("\"priority\":2", "\"other\":2")]),
    ("areas-too-large", &[("\"16744448\"", "\"134217728\"")]),
    (
        "json",
        &[(
            "\"iv_tweak\":\"0\"",
            "\"iv_tweak\":\"0\",\"iv_tweak\":\"0\"",
        )],
    ),
    (
        "json",
        &[("\"type\":\"crypt\"", "\"type\":\"cr\\u0079pt\"")],
    ),
    (
        "json",
        &[(
            "\"tokens\":{}",
            "\"tokens\":{\"0\":{\"type\":\"t\",\"a\":[[[[[[]]]]]]}}",
        )],
    ),
];

#[test]
fn every_hostile_header_is_refused_by_its_name() {
    for (name, changes) in DEFECTS {
        let json = changes.iter().fold(JSON.to_owned(), |json, (from, to)| {
            assert!(json.contains(from), "{name}: {from}");
            json.replacen(from, to, 1)
        });
        let fault = checked(&json, &any_volume()).expect_err(name);
        assert_eq!(fault.name(), *name, "{changes:?}: {fault}");
        assert!(!fault.remedy().is_empty() && !fault.remedy().ends_with('.'));
    }
}

#[test]
fn a_header_without_keyslots_is_refused() {
    let begin = JSON.find("\"0\":{\"type\":\"luks2\"").unwrap();
    let end = JSON.find("\n  },\n  \"tokens\"").unwrap();
    let json = format!("{}{}", &JSON[..begin], &JSON[end..]).replace("[\"0\",\"1\"]", "[]");
    assert_eq!(checked(&json, &any_volume()), Err(HeaderFault::NoKeyslot));
}

#[test]
fn what_follows_the_json_is_refused() {
    for which in [Which::Primary, Which::Backup] {
        let mut bytes = both(JSON);
        let at = match which {
            Which::Primary => 0,
            Which::Backup => 16_384,
        };
        bytes[at + 16_000] = b'}';
        binary::seal(&mut bytes[at..at + 16_384]);
        assert_eq!(parse(&bytes), Err(HeaderFault::JsonTail { copy: which }));
    }
}

/// A defect of a binary header: its name, where, and the bytes that are put there.
const BINARY_DEFECTS: &[(&str, usize, &[u8])] = &[
    ("not-luks2", 0, b"XUKS"),
    ("version", 6, &[0, 1]),
    ("version", 6, &[0, 3]),
    ("size", 8, &[0, 0, 0, 0, 0, 0, 0x20, 0]),
    ("size", 8, &[0xff; 8]),
    ("size", 8, &[0, 0, 0, 0, 0, 0x40, 0, 0]),
    ("place", 256, &[0, 0, 0, 0, 0, 0, 0x10, 0]),
    ("checksum-algorithm", 72, b"sha1\0\0"),
    ("text", 168, b"7DFA3ABA"),
    ("text", 24, &[0xff]),
    ("text", 70, b"xx"),
    ("text", 208, b"\n"),
];

#[test]
fn a_hostile_binary_header_is_refused_by_its_name() {
    for (name, at, bytes) in BINARY_DEFECTS {
        for copy_at in [0, 16_384] {
            let mut changed = both(JSON);
            changed[copy_at + at..copy_at + at + bytes.len()].copy_from_slice(bytes);
            binary::seal(&mut changed[copy_at..copy_at + 16_384]);
            let fault = parse(&changed).expect_err(name);
            assert_eq!(fault.name(), *name, "{at} of {copy_at}: {fault}");
        }
    }
}

#[test]
fn a_short_device_is_refused() {
    let bytes = both(JSON);
    for len in [0, 511, 4095] {
        assert_eq!(len_of_both(&bytes[..len]).unwrap_err().name(), "too-short");
    }
    assert_eq!(len_of_both(&bytes[..4096]), Ok(32_768));
    for len in [4096, 16_384, 32_767] {
        assert_eq!(parse(&bytes[..len]).unwrap_err().name(), "too-short");
    }
}
