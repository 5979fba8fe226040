//! What is left of a secret in the process that handed it over.

use crate::process::{Helper, ask};
use crate::swtpm::Swtpm;
use nitride_protocol::quote::PlatformKeyRequest;
use std::fs::File;
use std::os::unix::fs::FileExt;

#[test]
fn no_copy_of_a_secret_is_left_in_memory_once_it_was_given() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines_with_counter());
    let made = helper.make().unwrap();
    // The connection stays, and with it everything that belongs to it.
    let connection = helper.connect();
    let request = PlatformKeyRequest {
        platform: "tpm",
        params: &made.params,
    };
    let answer = ask(&connection, &request).unwrap().unwrap();
    assert!(answer.windows(32).any(|window| window == made.secret));
    let left = places_of(helper.pid(), &made.secret);
    assert!(left.is_empty(), "{left:#x?}");
}

#[test]
fn memory_is_locked_where_real_secrets_pass() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let helper = Helper::start("tpm", &tpm.lines());
    helper.make().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", helper.pid())).unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse::<u64>().unwrap()
    };
    assert!(line("VmLck:") > line("VmRSS:") / 2, "{status}");
}

/// Where in the memory of process `pid` the first half of `secret` is. Needs the rights of root,
/// since the process is not dumpable.
pub(crate) fn places_of(pid: u32, secret: &[u8; 32]) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    let mut read_bytes = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line
            .split_whitespace()
            .next()
            .unwrap()
            .split_once('-')
            .unwrap();
        let at = |digits| u64::from_str_radix(digits, 16).unwrap();
        let (mut from, to) = (at(from), at(to));
        while from < to {
            let mut page = vec![0; 4096 + 15];
            let len = memory.read_at(&mut page, from).unwrap_or(0);
            read_bytes += len;
            let places = page[..len].windows(16).enumerate();
            let places = places.filter(|(_, window)| *window == &secret[..16]);
            found.extend(places.map(|(place, _)| from + place as u64));
            from += 4096;
        }
    }
    assert!(
        read_bytes > 100_000,
        "only {read_bytes} bytes could be read"
    );
    found
}
