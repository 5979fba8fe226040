//! Forms that AWS-LC gives secrets, made by its own functions.

use crate::needles::Needle;
use nitride_secmem::{Record, SecretBuf};

pub(crate) fn needle(name: &str, bytes: &[u8]) -> Needle {
    Needle::new(name, bytes.iter().copied())
}

pub(crate) fn reversed(name: &str, bytes: &[u8]) -> Needle {
    Needle::new(format!("{name}, reversed"), bytes.iter().rev().copied())
}

/// Needles of 32 bytes out of something longer, one after another, in the order of its bytes and
/// in the other.
pub(crate) fn pieces(name: &str, bytes: &[u8]) -> Vec<Needle> {
    bytes
        .chunks_exact(32)
        .enumerate()
        .flat_map(|(index, piece)| {
            let name = format!("{name} [{index}]");
            [needle(&name, piece), reversed(&name, piece)]
        })
        .collect()
}

/// SHA-256's state after the key block of HMAC, as AWS-LC keeps it: eight native words.
pub(crate) fn hmac_state(key: &Record, pad: u8) -> SecretBuf {
    let mut block = SecretBuf::with_len(64).unwrap();
    block.expose_mut()[..key.len()].copy_from_slice(key.expose());
    block.expose_mut().iter_mut().for_each(|byte| *byte ^= pad);
    let mut context = SecretBuf::with_len(size_of::<aws_lc_sys::SHA256_CTX>()).unwrap();
    behind_a_scrub(|| {
        let context = context
            .expose_mut()
            .as_mut_ptr()
            .cast::<aws_lc_sys::SHA256_CTX>();
        // SAFETY: the context has its size and is initialised first; a block has 64 bytes.
        unsafe {
            aws_lc_sys::SHA256_Init(context);
            aws_lc_sys::SHA256_Transform(context, block.expose().as_ptr());
        }
    });
    context.truncate(32);
    context
}

pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

/// The state of SHA-384 or SHA-512 after the key block of HMAC: eight native words.
pub(crate) fn long_hmac_state(key: &[u8], pad: u8, is_short: bool) -> SecretBuf {
    let mut block = SecretBuf::with_len(128).unwrap();
    block.expose_mut()[..key.len()].copy_from_slice(key);
    block.expose_mut().iter_mut().for_each(|byte| *byte ^= pad);
    let mut context = SecretBuf::with_len(size_of::<aws_lc_sys::SHA512_CTX>()).unwrap();
    behind_a_scrub(|| {
        let context = context
            .expose_mut()
            .as_mut_ptr()
            .cast::<aws_lc_sys::SHA512_CTX>();
        // SAFETY: the context has its size and is initialised first; a block has 128 bytes.
        unsafe {
            if is_short {
                aws_lc_sys::SHA384_Init(context);
            } else {
                aws_lc_sys::SHA512_Init(context);
            }
            aws_lc_sys::SHA512_Transform(context, block.expose().as_ptr());
        }
    });
    context.truncate(64);
    context
}

/// Both states of HMAC with a long hash.
pub(crate) fn long_hmac_states(name: &str, key: &[u8], is_short: bool) -> Vec<Needle> {
    [("inner", 0x36), ("outer", 0x5c)]
        .into_iter()
        .map(|(which, pad)| {
            let state = long_hmac_state(key, pad, is_short);
            needle(&format!("{name} {which} state"), state.expose())
        })
        .collect()
}

/// Round keys of a schedule: two places of it.
pub(crate) fn round_keys(name: &str, key: &Record, direction: Direction) -> Vec<Needle> {
    let rounds = key.len() / 4 + 7;
    let schedule = schedule(key, direction);
    [2, rounds - 3]
        .into_iter()
        .map(|round| {
            let bytes = &schedule.expose()[16 * round..][..32];
            needle(&format!("{name} rounds from {round}"), bytes)
        })
        .collect()
}

/// The round keys as this processor's AES has them: 15 of 16 bytes, or 11.
pub(crate) fn schedule(key: &Record, direction: Direction) -> SecretBuf {
    let mut schedule = SecretBuf::with_len(size_of::<aws_lc_sys::AES_KEY>()).unwrap();
    behind_a_scrub(|| {
        let to = schedule.expose_mut().as_mut_ptr().cast();
        let from = key.expose().as_ptr();
        let bits = u32::try_from(key.len() * 8).unwrap();
        // SAFETY: the schedule has its size; the key has that many bits.
        unsafe {
            match direction {
                Direction::Encrypt => aws_lc_sys::AES_set_encrypt_key(from, bits, to),
                Direction::Decrypt => aws_lc_sys::AES_set_decrypt_key(from, bits, to),
            };
        }
    });
    schedule
}

/// SHA-512 of an Ed25519 seed, with the bits of the scalar set as RFC 8032 5.1.5 says.
pub(crate) fn expanded_seed(seed: &Record) -> SecretBuf {
    let mut expanded = SecretBuf::with_len(64).unwrap();
    behind_a_scrub(|| {
        let out = expanded.expose_mut().as_mut_ptr();
        // SAFETY: the seed goes with its length; a digest has 64 bytes.
        unsafe { aws_lc_sys::SHA512(seed.expose().as_ptr(), seed.len(), out) };
    });
    let scalar = expanded.expose_mut();
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    expanded
}

pub(crate) fn wrap(kek: &Record, key: &Record) -> Vec<u8> {
    let schedule = schedule(kek, Direction::Encrypt);
    let mut wrapped = vec![0; key.len() + 8];
    behind_a_scrub(|| {
        // SAFETY: eight bytes more than the key are written, as the buffer has; null stands for
        // the default integrity value.
        let written = unsafe {
            aws_lc_sys::AES_wrap_key(
                schedule.expose().as_ptr().cast(),
                std::ptr::null(),
                wrapped.as_mut_ptr(),
                key.expose().as_ptr(),
                key.len(),
            )
        };
        assert_eq!(usize::try_from(written), Ok(key.len() + 8));
    });
    wrapped
}

/// The test's own calls to AWS-LC, which do not pass the door, clean up for themselves.
#[inline(never)]
pub(crate) fn behind_a_scrub(work: impl FnOnce()) {
    #[inline(never)]
    fn call(work: impl FnOnce()) {
        work();
    }
    #[inline(never)]
    fn scrub() {
        let mut area = [0_u8; 128 * 1024];
        std::hint::black_box(&mut area);
    }
    call(work);
    scrub();
}
