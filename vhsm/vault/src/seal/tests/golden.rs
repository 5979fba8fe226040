//! What is written and read is what `seal.cddl` says. Its golden items, which an encoder that is not
//! ours has made and the CDDL's own test holds to it, are unsealed, and sealed again byte for byte.

use super::super::*;
use super::world::{Machine, local, part, policy_of, provisioned, sealing_key};
use crate::seal::stream::CHUNK_LEN;
use nitride_protocol::KeyType;
use nitride_protocol::limits::MAX_VERSIONS_LEN;

fn file(path: &str) -> String {
    let protocol = concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocol/vhsm/");
    std::fs::read_to_string(format!("{protocol}{path}")).unwrap()
}

fn golden(name: &str) -> Vec<u8> {
    let text = file(&format!("golden/{name}.hex"));
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let digit = |of: char| u8::try_from(of.to_digit(16).unwrap()).unwrap();
    let byte = |pair: &[char]| digit(pair[0]) << 4 | digit(pair[1]);
    digits.chunks(2).map(byte).collect()
}

/// The items of a file, as they follow one another.
fn items_of(machine: &Machine, file: &[u8]) -> Vec<u8> {
    let (head, _) = Head::parse(file).unwrap();
    let keys = machine.world.vault.opening_keys(&head, &part()).unwrap();
    let mut opened = Opened::new(&head, &keys[0], file).unwrap();
    let mut items = Vec::new();
    while let Some(item) = opened.item().unwrap() {
        let item = item.expose();
        items.extend(u32::try_from(item.len()).unwrap().to_be_bytes());
        items.extend(item);
    }
    items
}

#[test]
fn what_another_encoder_wrote_is_unsealed_and_sealed_again_byte_for_byte() {
    let rules = vec![
        local("app/full", KeyType::Aes256Gcm),
        local("app/gone", KeyType::HmacSha256),
        provisioned("app/plain"),
        provisioned("app/vouched"),
    ];
    let mut machine = Machine::under(policy_of(true, rules), Sealing::Closed);
    let head = machine.head();
    let key = sealing_key(&machine.world.vault, &head);
    let mut chunks = Chunks::new(&head, &key).unwrap();
    let items = golden("sealed-keys");
    chunks.push(&items).unwrap();
    let file = chunks.finish().unwrap();
    assert_eq!(machine.unseal(&file), Ok(4));
    let file = machine.seal().file;
    assert_eq!(items_of(&machine, &file), items);
}

#[test]
fn the_head_that_another_encoder_wrote_is_read_and_written_byte_for_byte() {
    let bytes = [&b"NVSEALED"[..], &golden("seal-head")].concat();
    let (head, len) = Head::parse(&bytes).unwrap();
    assert_eq!(len, bytes.len());
    assert_eq!(head.platform, Platform::Tpm);
    assert_eq!(head.params, b"params");
    assert_eq!(head.provisioned.as_ref().unwrap().as_str(), "seal/part");
    assert_eq!(head.salt[..3], [0, 1, 2]);
    assert_eq!(head.generation, Generation(1 << 33));
    assert_eq!(head.encode().unwrap(), bytes);
}

#[test]
fn the_cddl_has_the_same_words_and_limits() {
    let cddl = file("cddl/seal.cddl");
    let platforms = Platform::ALL.map(|each| format!("{:?}", each.as_str()));
    for stated in [
        format!("platform: {},", platforms.join(" / ")),
        format!("of {CHUNK_LEN} bytes of the items"),
        format!("The file has at most {MAX_FILE_LEN} bytes"),
        format!("versions: 1..{MAX_VERSIONS_LEN},"),
        "params: bstr .size (0..4096),".to_owned(),
    ] {
        assert!(cddl.contains(&stated), "{stated}");
    }
    let with_params = |len| {
        let draw = &mut Machine::new(Vec::new()).world.draw;
        Head::new(Platform::Sample, vec![0; len], None, Generation(1), draw).map(drop)
    };
    assert_eq!(with_params(4096), Ok(()));
    assert_eq!(with_params(4097), Err(SealFault::ParamsTooLong));
}
