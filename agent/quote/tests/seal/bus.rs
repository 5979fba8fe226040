//! What somebody between the helper and the TPM sees: no session without a salt, and no secret that
//! is not encrypted. A session that lacks either works just as well, so only the bus tells.

use crate::interposer::{Interposer, NV_READ, START_AUTH_SESSION, number};
use crate::process::Helper;
use crate::swtpm::Swtpm;
use std::collections::BTreeSet;

const NV_DEFINE_SPACE: u32 = 0x12a;
const CREATE: u32 = 0x153;
const HMAC: u32 = 0x155;
const UNSEAL: u32 = 0x15e;
const GET_RANDOM: u32 = 0x17b;
/// Session attributes: the first parameter of the command, of the answer.
const DECRYPT: u8 = 0x20;
const ENCRYPT: u8 = 0x40;
/// Number of handles, and what must be encrypted.
const SECRET: &[(u32, usize, u8)] = &[
    (NV_DEFINE_SPACE, 1, DECRYPT),
    (NV_READ, 2, ENCRYPT),
    (CREATE, 1, DECRYPT),
    (HMAC, 1, ENCRYPT),
    (UNSEAL, 1, ENCRYPT),
    (GET_RANDOM, 0, ENCRYPT),
];

#[test]
fn every_session_is_salted_and_every_secret_on_the_bus_is_encrypted() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let interposer = Interposer::start(&tpm, |_| ());
    let lines = interposer.lines(&tpm, &tpm.lines_with_counter());
    let helper = Helper::start("tpm", &lines);
    let made = helper.make().unwrap();
    assert_eq!(helper.again(&made.params), Ok(made.clone()));
    helper.counter(&made.params, true).unwrap();
    let mut codes = BTreeSet::new();
    for command in interposer.commands() {
        let code = number(&command[6..10]);
        codes.insert(code);
        if code == START_AUTH_SESSION {
            assert_is_salted(&command);
        } else if let Some((_, handles, wanted)) = SECRET.iter().find(|(of, ..)| *of == code) {
            let attributes = attributes(&command, *handles);
            assert_eq!(attributes & wanted, *wanted, "command {code:#x}");
        }
    }
    assert!(codes.contains(&START_AUTH_SESSION));
    assert!(
        SECRET.iter().all(|(code, ..)| codes.contains(code)),
        "{codes:x?}"
    );
}

fn assert_is_salted(command: &[u8]) {
    let null = [0x40, 0, 0, 7];
    let nonce_len = usize::from(command[18]) << 8 | usize::from(command[19]);
    let salt_at = 20 + nonce_len;
    let salt_len = usize::from(command[salt_at]) << 8 | usize::from(command[salt_at + 1]);
    let kind = command[salt_at + 2 + salt_len];
    let is_trial = kind == 3;
    assert_eq!(salt_len == 0, is_trial, "salt of a session of kind {kind}");
    assert_eq!(command[10..14] == null, is_trial);
}

/// The attributes of all sessions of a command.
fn attributes(command: &[u8], handles: usize) -> u8 {
    assert_eq!(command[..2], [0x80, 2], "a command without a session");
    let mut at = 10 + 4 * handles;
    let end = at + 4 + number(&command[at..at + 4]) as usize;
    at += 4;
    let mut attributes = 0;
    while at < end {
        at += 4;
        at += 2 + (usize::from(command[at]) << 8 | usize::from(command[at + 1]));
        attributes |= command[at];
        at += 1;
        at += 2 + (usize::from(command[at]) << 8 | usize::from(command[at + 1]));
    }
    attributes
}
