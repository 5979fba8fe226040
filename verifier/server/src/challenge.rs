//! Challenges without state: the nonce authenticates itself, so that any replica that has the key
//! can take it back.
//!
//! ```text
//!   nonce   = base64(version 1 | issued, 6 bytes | random 16 | tee name | tag 24)
//!   session = hex(first 16 bytes of HMAC(key, "nitride session" | 0 | nonce))
//! ```
//!
//! The tag is HMAC-SHA-256 under the challenge key over "nitride challenge", a zero byte and all
//! that stands before it, cut to 24 bytes. A challenge lives 60 s. It may
//! be answered more than once in that time, which gains nothing: evidence binds nonce and TEE key
//! together, and every answer is encrypted to that key.

use crate::entropy::{Draw, NoEntropy, draw_array};
use crate::key_file::Key32;
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use nitride_verify::Tee;
use sha2::Sha256;
use std::fmt::Write;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// How long a challenge may be answered.
pub(crate) const CHALLENGE_TTL_SECS: u64 = 60;
/// How far the clocks of two replicas may differ.
const MAX_SKEW_SECS: u64 = 5;

/// What a tag is for stands before what it is over, so that none can serve for the other.
const CHALLENGE_DOMAIN: &str = "nitride challenge";
const SESSION_DOMAIN: &str = "nitride session";
const VERSION: u8 = 1;
const RANDOM_LEN: usize = 16;
const ISSUED_LEN: usize = 6;
const TAG_LEN: usize = 24;
const SESSION_LEN: usize = 16;
/// The block of SHA-256.
const HMAC_BLOCK_LEN: usize = 64;
/// More than any nonce of ours has, to bound the decoding.
const MAX_NONCE_TEXT_LEN: usize = 128;

/// The key that authenticates challenges and sessions.
#[derive(Debug)]
pub(crate) struct ChallengeKey(Key32);

/// A challenge that this service issued and that is still alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// What the guest said it would answer with; evidence is read in this form and no other.
    pub(crate) tee: Tee,
}

/// Why a nonce is not one of ours, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ChallengeError {
    #[error("nonce is not of this service's form")]
    Malformed,
    #[error("nonce was not issued by this service")]
    NotAuthentic,
    #[error("challenge has expired; ask for a new one")]
    Expired,
    #[error("session does not belong to this challenge")]
    OtherSession,
}

impl ChallengeKey {
    pub(crate) fn new(key: Key32) -> Self {
        Self(key)
    }

    /// A fresh nonce for `tee`.
    pub(crate) fn issue(
        &self,
        tee: Tee,
        now_secs: u64,
        draw: &mut dyn Draw,
    ) -> Result<String, NoEntropy> {
        let random: [u8; RANDOM_LEN] = draw_array(draw)?;
        let mut nonce = vec![VERSION];
        // 48 bits of seconds last nine million years.
        nonce.extend(now_secs.to_be_bytes().iter().skip(8 - ISSUED_LEN));
        nonce.extend(random);
        nonce.extend(tee.as_str().bytes());
        let tag = self.tag(CHALLENGE_DOMAIN, &nonce);
        nonce.extend(tag.iter().take(TAG_LEN));
        Ok(Base64::encode_string(&nonce))
    }

    /// Takes a nonce back together with the session that it was issued with.
    pub(crate) fn verify(
        &self,
        nonce: &str,
        session: &str,
        now_secs: u64,
    ) -> Result<Challenge, ChallengeError> {
        if nonce.len() > MAX_NONCE_TEXT_LEN {
            return Err(ChallengeError::Malformed);
        }
        let bytes = Base64::decode_vec(nonce).map_err(|_| ChallengeError::Malformed)?;
        let (body, tag) = bytes
            .len()
            .checked_sub(TAG_LEN)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(ChallengeError::Malformed)?;
        // Nothing of the body is looked at before its tag.
        let expected = self.tag(CHALLENGE_DOMAIN, body);
        if !ct_eq(tag, expected.get(..TAG_LEN).unwrap_or_default()) {
            return Err(ChallengeError::NotAuthentic);
        }
        if !ct_eq(session.as_bytes(), self.session(nonce).as_bytes()) {
            return Err(ChallengeError::OtherSession);
        }
        let (issued_secs, tee) = read_body(body).ok_or(ChallengeError::Malformed)?;
        if now_secs > issued_secs.saturating_add(CHALLENGE_TTL_SECS)
            || issued_secs > now_secs.saturating_add(MAX_SKEW_SECS)
        {
            return Err(ChallengeError::Expired);
        }
        Ok(Challenge { tee })
    }

    /// The session's cookie for a nonce: 32 hex digits that only this service can make.
    pub(crate) fn session(&self, nonce: &str) -> String {
        let tag = self.tag(SESSION_DOMAIN, nonce.as_bytes());
        tag.iter()
            .take(SESSION_LEN)
            .fold(String::new(), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    fn tag(&self, domain: &str, message: &[u8]) -> [u8; 32] {
        // HMAC fills a shorter key with zeros to a block (RFC 2104, 2). Done here, there is no error
        // that could turn into a tag that anybody can make.
        let mut block = Zeroizing::new([0; HMAC_BLOCK_LEN]);
        for (to, from) in block.iter_mut().zip(self.0.expose()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(domain.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

fn read_body(body: &[u8]) -> Option<(u64, Tee)> {
    let (version, rest) = body.split_at_checked(1)?;
    let (issued, rest) = rest.split_at_checked(ISSUED_LEN)?;
    let (_random, tee) = rest.split_at_checked(RANDOM_LEN)?;
    if version != [VERSION] {
        return None;
    }
    let issued_secs = issued
        .iter()
        .fold(0, |secs, byte| secs << 8 | u64::from(*byte));
    let tee = Tee::parse(std::str::from_utf8(tee).ok()?)?;
    Some((issued_secs, tee))
}

fn ct_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;

    const NOW_SECS: u64 = 1_800_000_000;

    fn key() -> ChallengeKey {
        ChallengeKey::new(Key32::draw(&mut KernelEntropy).unwrap())
    }

    fn issue(key: &ChallengeKey) -> (String, String) {
        let nonce = key
            .issue(Tee::Sample, NOW_SECS, &mut KernelEntropy)
            .unwrap();
        let session = key.session(&nonce);
        (nonce, session)
    }

    #[test]
    fn a_challenge_comes_back_within_its_minute() {
        let key = key();
        let (nonce, session) = issue(&key);
        for now_secs in [NOW_SECS - 5, NOW_SECS, NOW_SECS + 60] {
            assert_eq!(
                key.verify(&nonce, &session, now_secs),
                Ok(Challenge { tee: Tee::Sample })
            );
        }
        for now_secs in [NOW_SECS - 6, NOW_SECS + 61, u64::MAX, 0] {
            assert_eq!(
                key.verify(&nonce, &session, now_secs),
                Err(ChallengeError::Expired)
            );
        }
    }

    #[test]
    fn nonce_and_session_are_those_of_a_second_implementation() {
        struct Always(u8);
        impl Draw for Always {
            fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
                out.fill(self.0);
                Ok(())
            }
        }
        // Python: hmac.new(key, b"nitride challenge\0" + body, "sha256"), and likewise the session.
        let key = ChallengeKey::new(Key32::draw(&mut Always(11)).unwrap());
        let nonce = key.issue(Tee::Sample, NOW_SECS, &mut Always(7)).unwrap();
        assert_eq!(
            nonce,
            "AQAAa0nSAAcHBwcHBwcHBwcHBwcHBwdzYW1wbGV6o1sik+UQWClDoBdYL+G7ONd+obD7vGI="
        );
        assert_eq!(key.session(&nonce), "1380b99b04911489b01d35ffcb8ec673");
    }

    #[test]
    fn a_tag_of_one_use_is_none_of_the_other() {
        let key = key();
        assert_ne!(
            key.tag(CHALLENGE_DOMAIN, b"message"),
            key.tag(SESSION_DOMAIN, b"message")
        );
        // The domain ends before the message begins.
        assert_ne!(
            key.tag("nitride", b" session"),
            key.tag("nitride session", b"")
        );
    }

    #[test]
    fn no_two_challenges_are_the_same() {
        let key = key();
        assert_ne!(issue(&key), issue(&key));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let key = key();
        let (nonce, session) = issue(&key);
        let bytes = Base64::decode_vec(&nonce).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut tampered = bytes.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            let nonce = Base64::encode_string(&tampered);
            assert_eq!(
                key.verify(&nonce, &session, NOW_SECS),
                Err(ChallengeError::NotAuthentic)
            );
        }
    }

    #[test]
    fn another_service_s_challenge_is_refused() {
        let (nonce, session) = issue(&key());
        assert_eq!(
            key().verify(&nonce, &session, NOW_SECS),
            Err(ChallengeError::NotAuthentic)
        );
    }

    #[test]
    fn another_session_is_refused() {
        let key = key();
        let (nonce, session) = issue(&key);
        let (_, other) = issue(&key);
        for wrong in [other.as_str(), "", &session[..31], &session.to_uppercase()] {
            if wrong == session {
                continue;
            }
            assert_eq!(
                key.verify(&nonce, wrong, NOW_SECS),
                Err(ChallengeError::OtherSession)
            );
        }
    }

    #[test]
    fn what_is_no_nonce_is_malformed() {
        let key = key();
        let long = "A".repeat(MAX_NONCE_TEXT_LEN + 4);
        for text in ["", "AAAA", "not base64", "AAA", &long] {
            assert_eq!(
                key.verify(text, "", NOW_SECS),
                Err(ChallengeError::Malformed)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused(nonce in "\\PC{0,200}", session in "\\PC{0,40}") {
            proptest::prop_assert!(key().verify(&nonce, &session, NOW_SECS).is_err());
        }
    }
}
