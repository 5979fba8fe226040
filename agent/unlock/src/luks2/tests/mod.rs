//! Headers that are made here, sound but for one thing. Those that cryptsetup makes are read in
//! `crate::copy`'s and `crate::cryptsetup`'s tests.

mod hostile;
mod two_copies;

use super::*;
use nitride_kbs::disk::DiskExpectation;
use proptest::prelude::*;

/// Bytes of the device that the headers are for.
pub(crate) const DEVICE_LEN: u64 = 32 << 20;

/// As cryptsetup 2.6 writes it, with its blanks.
pub(crate) const JSON: &str = r#"{
  "keyslots":{
    "0":{"type":"luks2","key_size":64,
      "af":{"type":"luks1","stripes":4000,"hash":"sha256"},
      "area":{"type":"raw","offset":"32768","size":"258048","encryption":"aes-xts-plain64","key_size":64},
      "kdf":{"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"HlVSAgMnnuSMhOtx1Ots1HDd/8PmdBPM1SLDj7LuqAs="}},
    "1":{"type":"luks2","priority":2,"key_size":64,
      "af":{"type":"luks1","stripes":4000,"hash":"sha256"},
      "area":{"type":"raw","offset":"290816","size":"258048","encryption":"aes-xts-plain64","key_size":32},
      "kdf":{"type":"argon2id","time":4,"memory":1048576,"cpus":4,"salt":"OJAxfbYKYcrUWN8Qu7aMg/bysgjDl/tVimOyiTtNtbE="}}
  },
  "tokens":{},
  "segments":{
    "0":{"type":"crypt","offset":"16777216","size":"dynamic","iv_tweak":"0","encryption":"aes-xts-plain64","sector_size":4096}
  },
  "digests":{
    "0":{"type":"pbkdf2","keyslots":["0","1"],"segments":["0"],"hash":"sha256","iterations":1000,
      "salt":"UkyRvHxUP9yTivVvOjEX9yFHL5c4pWAIWYphAqaqDi8=","digest":"tcQ+r+p/ZkqjUrK716fQUQLePlr1VL4XU7sth6wkOMU="}
  },
  "config":{"json_size":"12288","keyslots_size":"16744448"}
}"#;

pub(crate) const UUID: &str = "7dfa3aba-96d9-4de6-90e8-45d3d2d0d897";

/// One copy of 16 KiB.
pub(crate) fn copy(which: Which, json: &str, sequence: u64) -> Vec<u8> {
    const SIZE: usize = 16_384;
    let mut bytes = vec![0; SIZE];
    let (magic, place) = match which {
        Which::Primary => (b"LUKS\xba\xbe", 0_u64),
        Which::Backup => (b"SKUL\xba\xbe", SIZE as u64),
    };
    bytes[..6].copy_from_slice(magic);
    bytes[6..8].copy_from_slice(&2_u16.to_be_bytes());
    bytes[8..16].copy_from_slice(&(SIZE as u64).to_be_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_be_bytes());
    bytes[24..28].copy_from_slice(b"disk");
    bytes[72..78].copy_from_slice(b"sha256");
    bytes[168..168 + UUID.len()].copy_from_slice(UUID.as_bytes());
    bytes[256..264].copy_from_slice(&place.to_be_bytes());
    bytes[BINARY_LEN..BINARY_LEN + json.len()].copy_from_slice(json.as_bytes());
    binary::seal(&mut bytes);
    bytes
}

/// Two copies that agree.
pub(crate) fn both(json: &str) -> Vec<u8> {
    [copy(Which::Primary, json, 3), copy(Which::Backup, json, 3)].concat()
}

/// Both copies with their JSON changed, and checksums that are right again: what anybody can do who
/// holds the disk.
pub(crate) fn rewritten(both: &[u8], from: &str, to: &str) -> Vec<u8> {
    let size = binary::size(both).unwrap();
    let mut made = both[..2 * size].to_vec();
    for copy in made.chunks_mut(size) {
        let json = String::from_utf8(copy[BINARY_LEN..].to_vec()).unwrap();
        let json = json.trim_end_matches('\0');
        assert!(json.contains(from), "{json}");
        let json = json.replacen(from, to, 1);
        copy[BINARY_LEN..].fill(0);
        copy[BINARY_LEN..BINARY_LEN + json.len()].copy_from_slice(json.as_bytes());
        binary::seal(copy);
    }
    made
}

/// Any volume, and nothing extra.
pub(crate) fn any_volume() -> Wanted {
    Wanted {
        expected: Expected::DangerAny,
        tokens: Vec::new(),
        flags: Vec::new(),
    }
}

/// What the sound header says.
pub(crate) fn disk() -> DiskExpectation {
    checked(JSON, &any_volume()).unwrap().is().clone()
}

pub(crate) fn checked(json: &str, wanted: &Wanted) -> Result<CheckedHeader, HeaderFault> {
    CheckedHeader::of(parse(&both(json))?, DEVICE_LEN, wanted)
}

#[test]
fn a_sound_header_says_which_volume_it_is() {
    let checked = checked(JSON, &any_volume()).unwrap();
    let is = checked.is();
    assert_eq!(is.uuid, UUID);
    assert_eq!(is.cipher, "aes-xts-plain64");
    assert_eq!((is.key_bits, is.sector_len), (512, 4096));
    assert_eq!((is.offset, is.len, &is.integrity), (16 << 20, None, &None));
    let header = checked.header();
    assert_eq!((header.sequence(), header.standing()), (3, Standing::Whole));
    assert_eq!(header.len(), 16 << 20);
    assert_eq!(header.keyslots().len(), 2);
}

#[test]
fn the_volume_that_is_expected_is_taken_and_slots_may_differ() {
    let is = checked(JSON, &any_volume()).unwrap().is().clone();
    let wanted = Wanted {
        expected: Expected::These(vec![is.clone()]),
        ..any_volume()
    };
    assert!(checked(JSON, &wanted).is_ok());
    let other_slot = JSON
        .replace("HlVSAg", "AlVSAg")
        .replace("\"1000,\"", "\"2000,\"");
    assert_ne!(other_slot, JSON);
    assert_eq!(checked(&other_slot, &wanted).unwrap().is(), &is);
}

#[test]
fn what_is_not_the_expected_volume_is_named() {
    let is = checked(JSON, &any_volume()).unwrap().is().clone();
    let wanted = Wanted {
        expected: Expected::These(vec![is]),
        ..any_volume()
    };
    for (from, to, part) in [
        ("\"size\":\"dynamic\"", "\"size\":\"4096\"", "length"),
        ("\"16777216\"", "\"16781312\"", "offset"),
        ("\"sector_size\":4096", "\"sector_size\":512", "sector size"),
        (
            "\"key_size\":64,\n      \"af\"",
            "\"key_size\":32,\n      \"af\"",
            "number of key bits",
        ),
    ] {
        let changed = JSON.replace(from, to);
        match checked(&changed, &wanted) {
            Err(HeaderFault::OtherSegment { part: found, .. }) => assert_eq!(found, part),
            other => panic!("{part}: {other:?}"),
        }
    }
    let with_integrity = JSON
        .replace(
            "\"sector_size\":4096",
            "\"sector_size\":4096,\"integrity\":{\"type\":\"hmac(sha256)\",\
             \"journal_encryption\":\"none\",\"journal_integrity\":\"none\"}",
        )
        .replace("258048", "385024")
        .replace("290816", "417792");
    let changed = with_integrity.replace(
        "\"key_size\":64,\n      \"af\"",
        "\"key_size\":96,\n      \"af\"",
    );
    assert!(checked(&changed, &any_volume()).is_ok());
    // The same bits of key, so that integrity is what differs.
    match checked(&with_integrity, &wanted) {
        Err(HeaderFault::OtherSegment { part, .. }) => assert_eq!(part, "integrity"),
        other => panic!("{other:?}"),
    }
    for (from, to) in [("UkyRvH", "AkyRvH"), ("tcQ+r+", "AcQ+r+")] {
        let changed = checked(&JSON.replace(from, to), &wanted);
        assert_eq!(changed, Err(HeaderFault::OtherVolumeKey));
    }
    let digest_iterations = JSON.replace("1000,\n      \"salt\"", "1001,\n      \"salt\"");
    assert_ne!(digest_iterations, JSON);
    let changed = checked(&digest_iterations, &wanted);
    assert_eq!(changed, Err(HeaderFault::OtherVolumeKey));
    let mut elsewhere = wanted.clone();
    if let Expected::These(volumes) = &mut elsewhere.expected {
        volumes[0].uuid = "00000000-0000-0000-0000-000000000000".to_owned();
    }
    let fault = checked(JSON, &elsewhere).unwrap_err();
    assert_eq!(fault.name(), "other-uuid");
    let nothing = Wanted {
        expected: Expected::These(Vec::new()),
        ..any_volume()
    };
    assert_eq!(checked(JSON, &nothing).unwrap_err().name(), "other-uuid");
}

#[test]
fn tokens_and_flags_are_taken_where_they_are_wanted() {
    let json = JSON
        .replace(
            "\"tokens\":{}",
            "\"tokens\":{\"0\":{\"type\":\"systemd-recovery\",\"keyslots\":[]}}",
        )
        .replace(
            "\"16744448\"",
            "\"16744448\",\"flags\":[\"allow-discards\"]",
        );
    assert_eq!(checked(&json, &any_volume()).unwrap_err().name(), "token");
    let mut wanted = any_volume();
    wanted.tokens.push("systemd-recovery".to_owned());
    assert_eq!(checked(&json, &wanted).unwrap_err().name(), "flag");
    wanted.flags.push("allow-discards".to_owned());
    assert!(checked(&json, &wanted).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_give_a_header_or_a_named_fault(
        bytes in proptest::collection::vec(any::<u8>(), 0..9000), begins_right: bool,
    ) {
        let mut bytes = bytes;
        if begins_right && bytes.len() > 24 {
            bytes[..24].copy_from_slice(&copy(Which::Primary, JSON, 3)[..24]);
        }
        let _ = len_of_both(&bytes);
        prop_assert!(parse(&bytes).is_err());
    }

    #[test]
    fn a_byte_that_was_changed_never_gives_another_volume(at in 0..JSON.len(), value in b' '..b'~') {
        let mut json = JSON.as_bytes().to_vec();
        json[at] = value;
        let json = String::from_utf8(json).unwrap();
        let is = checked(JSON, &any_volume()).unwrap().is().clone();
        let wanted = Wanted { expected: Expected::These(vec![is.clone()]), ..any_volume() };
        if let Ok(checked) = checked(&json, &wanted) {
            prop_assert_eq!(checked.is(), &is);
        }
    }

    #[test]
    fn a_bit_that_was_flipped_is_seen(at in 0..32_768_usize, bit in 0..8) {
        let mut bytes = both(JSON);
        bytes[at] ^= 1_u8 << bit;
        let whole = parse(&bytes).is_ok_and(|header| header.standing() == Standing::Whole);
        prop_assert!(!whole);
    }
}
