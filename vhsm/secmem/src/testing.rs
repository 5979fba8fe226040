//! What the unit tests of this crate share: one pair of arenas for the test process.

use crate::crypto::{CryptoError, fill_random};
use crate::redirect::sabotage::{Refuse, held, refuse};
use crate::{ArenaSizes, BackingChoice, Installed, install};
use std::sync::OnceLock;

/// The arenas of this test process; the first caller sets them up.
pub(crate) fn installed() -> &'static Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let sizes = ArenaSizes {
            records_len: 1 << 18,
            records_max_len: 1 << 18,
            heap_len: 2 << 20,
        };
        install(sizes, BackingChoice::Best, Vec::new()).unwrap()
    })
}

/// Refuses the first, second, third … allocation within `work`, with those after it and alone,
/// until there are no more; gives how many there are, and what it gives then. Each refusal is
/// named, or made good, and leaves nothing behind.
pub(crate) fn refuse_each<R>(name: &str, work: impl Fn() -> Result<R, CryptoError>) -> (usize, R) {
    // The thread's generator is seeded once, on the reserve.
    fill_random(&mut [0]);
    for count in 0..300 {
        for which in [Refuse::One(count), Refuse::All(count)] {
            let before = held();
            refuse(which);
            let result = work();
            let has_struck = refuse(Refuse::None);
            match result {
                Ok(result) if !has_struck => {
                    println!("{name}: {count} allocations");
                    return (count, result);
                }
                Ok(result) => {
                    drop(result);
                    assert_eq!(which, Refuse::One(count), "{name}");
                }
                Err(error) => assert_eq!(error, CryptoError::ArenaFull, "{name} {which:?}"),
            }
            assert_eq!(held(), before, "{name} {which:?} leaks");
        }
    }
    panic!("{name} never succeeds");
}

/// Bytes from hexadecimal digits; white space is skipped.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|each| !each.is_whitespace())
        .map(|each| u8::try_from(each.to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Runs one test of this binary again in a process of its own, with `CASE` set to `case`, and
/// tells how that process ended. What it writes is thrown away.
pub(crate) fn in_child(test: &str, case: &str) -> std::process::ExitStatus {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("NITRIDE_SECMEM_CASE", case)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

/// The case that [`in_child`] named, if this is such a child. It leaves no core file.
pub(crate) fn case() -> Option<String> {
    let case = std::env::var("NITRIDE_SECMEM_CASE").ok()?;
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads the struct that we pass by pointer.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    Some(case)
}
