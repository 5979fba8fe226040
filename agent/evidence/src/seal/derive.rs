//! HKDF-SHA256 (RFC 5869), of one block.

use crate::seal::PlatformSecret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::convert::Infallible;

/// What the platforms' secrets are told apart by.
const SALT: &[u8] = b"nitride platform part v1";

/// 32 bytes out of `parts`, each preceded by its length, for the purpose `info`.
pub(crate) fn derived(parts: &[&[u8]], info: &[&[u8]]) -> PlatformSecret {
    let extracted = authenticated(SALT, |mac| parts.iter().for_each(|part| absorb(mac, part)));
    authenticated(extracted.expose(), |mac| {
        info.iter().for_each(|part| absorb(mac, part));
        mac.update(&[1]);
    })
}

/// No two lists of parts are the same input.
fn absorb(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

fn authenticated(key: &[u8], fill: impl FnOnce(&mut Hmac<Sha256>)) -> PlatformSecret {
    // A block, padded with zeroes, is the same key as what is shorter than one (RFC 2104), and of
    // a block's length a key cannot be of a wrong one. Every key here has at most 32 bytes.
    let mut block = zeroize::Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    fill(&mut mac);
    let mut tag = mac.finalize().into_bytes();
    let Ok(secret) = PlatformSecret::filled(|secret| {
        secret.copy_from_slice(&tag);
        Ok::<_, Infallible>(())
    });
    zeroize::Zeroize::zeroize(tag.as_mut_slice());
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_purposes_are_told_apart() {
        let one = derived(&[b"ab", b"c"], &[b"p"]);
        assert_eq!(one.expose(), derived(&[b"ab", b"c"], &[b"p"]).expose());
        assert_ne!(one.expose(), derived(&[b"a", b"bc"], &[b"p"]).expose());
        assert_ne!(one.expose(), derived(&[b"ab", b"c"], &[b"q"]).expose());
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_authentication_is_hmac() {
        let tag = authenticated(b"Jefe", |mac| mac.update(b"what do ya want for nothing?"));
        assert_eq!(
            tag.expose()[..8],
            [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]
        );
    }
}
