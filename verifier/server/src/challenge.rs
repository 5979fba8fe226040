//! Challenges without state: the nonce authenticates itself, so that any replica that has the key
//! can take it back. Its form is [`nitride_kbs::nonce`]'s.
//!
//! ```text
//!   key id  = first 4 bytes of HMAC(key, "nitride challenge key id" | 0)
//!   tag     = first 24 bytes of HMAC(key, "nitride challenge" | 0 | what stands before it)
//!   session = hex(first 16 bytes of HMAC(key, "nitride session" | 0 | nonce))
//! ```
//!
//! HMAC is with SHA-256. A challenge lives 60 s. It may be answered more than once in that time by the
//! key that it was answered with first, which a client has to when an answer was lost. By another key
//! it would gain nothing: evidence binds nonce and TEE key together, and every answer is encrypted to
//! that key. A replica that has seen the first answer refuses it all the same ([`crate::answered`]).

use crate::answered::ChallengeId;
use crate::entropy::{Draw, NoEntropy, draw_array};
use crate::key_file::Key32;
use crate::key_ring::KeyRing;
use hmac::{Hmac, KeyInit, Mac};
use nitride_kbs::nonce::{
    KEY_ID_LEN, NonceError, TAG_LEN, UnverifiedNonce, assemble, to_be_tagged,
};
use nitride_verify::Tee;
use sha2::Sha256;
use std::fmt::Write;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// How long a challenge may be answered.
pub(crate) const CHALLENGE_TTL_SECS: u64 = 60;
/// How far the clocks of two replicas may differ.
pub(crate) const MAX_SKEW_SECS: u64 = 5;

/// What a tag is for stands before what it is over, so that none can serve for the other.
const KEY_ID_DOMAIN: &str = "nitride challenge key id";
const CHALLENGE_DOMAIN: &str = "nitride challenge";
const SESSION_DOMAIN: &str = "nitride session";
const SESSION_LEN: usize = 16;
/// The block of SHA-256.
const HMAC_BLOCK_LEN: usize = 64;

/// A key that authenticates challenges and sessions.
#[derive(Debug)]
pub(crate) struct ChallengeKey {
    key: Key32,
    id: [u8; KEY_ID_LEN],
}

/// The keys of challenges: one issues, all of them take back.
#[derive(Debug)]
pub(crate) struct ChallengeKeys(KeyRing<ChallengeKey>);

/// A new challenge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) nonce: String,
    /// The session's cookie: 32 hex digits that only this service can make.
    pub(crate) session: String,
}

/// A challenge that this service issued and that is still alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// What the guest said it would answer with; evidence is read in this form and no other.
    pub(crate) tee: Tee,
    /// Which it is.
    pub(crate) id: ChallengeId,
    /// When it was issued, in seconds since 1970: what answers it was made later.
    pub(crate) issued_secs: u64,
}

/// Why a nonce is not one of ours, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ChallengeError {
    #[error(transparent)]
    Nonce(#[from] NonceError),
    #[error("challenge has expired; ask for a new one")]
    Expired,
    #[error("session does not belong to this challenge")]
    OtherSession,
}

impl ChallengeKeys {
    pub(crate) fn new(keys: KeyRing<ChallengeKey>) -> Self {
        Self(keys)
    }

    /// A fresh nonce for `tee`, and its session.
    pub(crate) fn issue(
        &self,
        tee: Tee,
        now_secs: u64,
        draw: &mut dyn Draw,
    ) -> Result<Issued, NoEntropy> {
        let key = self.0.current();
        let body = to_be_tagged(key.id, now_secs, draw_array(draw)?, tee.as_str());
        let tag = key.challenge_tag(&body);
        let nonce = assemble(body, &tag);
        let session = key.session(&nonce);
        Ok(Issued { nonce, session })
    }

    /// Takes a nonce back together with the session that it was issued with.
    pub(crate) fn verify(
        &self,
        nonce: &str,
        session: &str,
        now_secs: u64,
    ) -> Result<Challenge, ChallengeError> {
        let unverified = UnverifiedNonce::parse(nonce)?;
        let id = unverified.key_id();
        // Four bytes: two keys may have them in common, one in four thousand million.
        let keys = || self.0.all().filter(|key| key.id == id);
        let mut by = None;
        let verified = unverified.verified_by(|body, tag| {
            by = keys().find(|key| ct_eq(tag, &key.challenge_tag(body)));
            by.is_some()
        })?;
        let expected = by.map(|key| key.session(nonce)).unwrap_or_default();
        if !ct_eq(session.as_bytes(), expected.as_bytes()) {
            return Err(ChallengeError::OtherSession);
        }
        let issued_secs = verified.issued_secs();
        if now_secs > issued_secs.saturating_add(CHALLENGE_TTL_SECS)
            || issued_secs > now_secs.saturating_add(MAX_SKEW_SECS)
        {
            return Err(ChallengeError::Expired);
        }
        Ok(Challenge {
            tee: Tee::parse(verified.tee()).ok_or(NonceError::Malformed)?,
            id: ChallengeId::of(verified.random()),
            issued_secs,
        })
    }
}

impl ChallengeKey {
    pub(crate) fn new(key: Key32) -> Self {
        let [a, b, c, d, ..] = tag(&key, KEY_ID_DOMAIN, b"");
        Self {
            key,
            id: [a, b, c, d],
        }
    }

    /// Whether it is this secret. Takes the same time whatever the secret is.
    pub(crate) fn is(&self, other: &Key32) -> bool {
        ct_eq(self.key.expose(), other.expose())
    }

    fn challenge_tag(&self, body: &[u8]) -> [u8; TAG_LEN] {
        let whole = tag(&self.key, CHALLENGE_DOMAIN, body);
        let mut cut = [0; TAG_LEN];
        for (to, from) in cut.iter_mut().zip(whole) {
            *to = from;
        }
        cut
    }

    fn session(&self, nonce: &str) -> String {
        let tag = tag(&self.key, SESSION_DOMAIN, nonce.as_bytes());
        tag.iter()
            .take(SESSION_LEN)
            .fold(String::new(), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

fn tag(key: &Key32, domain: &str, message: &[u8]) -> [u8; 32] {
    // HMAC fills a shorter key with zeros to a block (RFC 2104, 2). Done here, there is no error
    // that could turn into a tag that anybody can make.
    let mut block = Zeroizing::new([0; HMAC_BLOCK_LEN]);
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    mac.update(domain.as_bytes());
    mac.update(&[0]);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn ct_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use base64ct::{Base64, Encoding};

    const NOW_SECS: u64 = 1_800_000_000;

    struct Always(u8);
    impl Draw for Always {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), NoEntropy> {
            out.fill(self.0);
            Ok(())
        }
    }

    fn numbered(number: u8) -> ChallengeKey {
        ChallengeKey::new(Key32::draw(&mut Always(number)).unwrap())
    }

    /// The keys of these numbers, the oldest first.
    pub(crate) fn keys(numbers: &[u8]) -> ChallengeKeys {
        let keys = numbers.iter().map(|number| numbered(*number)).collect();
        ChallengeKeys::new(KeyRing::of(keys).unwrap())
    }

    fn issue(keys: &ChallengeKeys) -> Issued {
        keys.issue(Tee::Sample, NOW_SECS, &mut KernelEntropy)
            .unwrap()
    }

    fn verify(keys: &ChallengeKeys, issued: &Issued, now_secs: u64) -> Result<Tee, ChallengeError> {
        keys.verify(&issued.nonce, &issued.session, now_secs)
            .map(|challenge| challenge.tee)
    }

    #[test]
    fn a_challenge_comes_back_within_its_minute() {
        let keys = keys(&[1]);
        let issued = issue(&keys);
        for now_secs in [NOW_SECS - 5, NOW_SECS, NOW_SECS + 60] {
            assert_eq!(verify(&keys, &issued, now_secs), Ok(Tee::Sample));
        }
        for now_secs in [NOW_SECS - 6, NOW_SECS + 61, u64::MAX, 0] {
            assert_eq!(
                verify(&keys, &issued, now_secs),
                Err(ChallengeError::Expired)
            );
        }
    }

    #[test]
    fn nonce_and_session_are_those_of_a_second_implementation() {
        // Python: hmac.new(key, b"nitride challenge\0" + body, "sha256"), and likewise the others.
        let keys = keys(&[11]);
        let issued = keys.issue(Tee::Sample, NOW_SECS, &mut Always(7)).unwrap();
        assert_eq!(
            issued.nonce,
            "Ak9Uj44AAGtJ0gAHBwcHBwcHBwcHBwcHBwcHc2FtcGxl4kBKSB2se/Q201X2W60NFIh3/vnWuPKA"
        );
        assert_eq!(issued.session, "14fee5a7d74cb975b65bfe8b98b4d6bf");
    }

    #[test]
    fn a_tag_of_one_use_is_none_of_the_other() {
        let key = Key32::draw(&mut Always(1)).unwrap();
        assert_ne!(
            tag(&key, CHALLENGE_DOMAIN, b"message"),
            tag(&key, SESSION_DOMAIN, b"message")
        );
        // The domain ends before the message begins.
        assert_ne!(
            tag(&key, "nitride", b" session"),
            tag(&key, "nitride session", b"")
        );
    }

    #[test]
    fn no_two_challenges_are_the_same() {
        let keys = keys(&[1]);
        let (one, two) = (issue(&keys), issue(&keys));
        let id = |issued: &Issued| {
            keys.verify(&issued.nonce, &issued.session, NOW_SECS)
                .unwrap()
                .id
        };
        assert_ne!(id(&one), id(&two));
        assert_ne!(one, two);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let keys = keys(&[1]);
        let issued = issue(&keys);
        let bytes = Base64::decode_vec(&issued.nonce).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut tampered = bytes.clone();
            tampered[bit / 8] ^= 1 << (bit % 8);
            let nonce = Base64::encode_string(&tampered);
            let refused = keys.verify(&nonce, &issued.session, NOW_SECS);
            assert!(
                matches!(refused, Err(ChallengeError::Nonce(_))),
                "bit {bit}: {refused:?}"
            );
        }
    }

    #[test]
    fn another_service_s_challenge_is_refused() {
        assert_eq!(
            verify(&keys(&[1]), &issue(&keys(&[2])), NOW_SECS),
            Err(ChallengeError::Nonce(NonceError::NotAuthentic))
        );
    }

    #[test]
    fn a_key_with_the_same_id_does_not_vouch_for_another() {
        let mut other = numbered(2);
        other.id = numbered(1).id;
        let ring = KeyRing::of(vec![other]).unwrap();
        assert_eq!(
            verify(&ChallengeKeys::new(ring), &issue(&keys(&[1])), NOW_SECS),
            Err(ChallengeError::Nonce(NonceError::NotAuthentic))
        );
    }

    #[test]
    fn replicas_one_rotation_apart_take_each_others_challenges() {
        let (before, after) = (keys(&[1, 2, 3]), keys(&[2, 3, 4]));
        assert!(verify(&before, &issue(&after), NOW_SECS).is_ok());
        assert!(verify(&after, &issue(&before), NOW_SECS).is_ok());
        // The newest is not used before every replica has it.
        let lone = keys(&[2]);
        assert!(verify(&lone, &issue(&before), NOW_SECS).is_ok());
        // Two rotations apart, nothing vouches any more.
        let later = keys(&[4, 5, 6]);
        assert!(verify(&later, &issue(&before), NOW_SECS).is_err());
    }

    #[test]
    fn another_session_is_refused() {
        let keys = keys(&[1]);
        let (issued, other) = (issue(&keys), issue(&keys));
        for wrong in [
            other.session.as_str(),
            "",
            &issued.session[..31],
            &format!("{}0", issued.session),
        ] {
            assert_eq!(
                keys.verify(&issued.nonce, wrong, NOW_SECS),
                Err(ChallengeError::OtherSession)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused(nonce in "\\PC{0,200}", session in "\\PC{0,40}") {
            proptest::prop_assert!(keys(&[1]).verify(&nonce, &session, NOW_SECS).is_err());
        }
    }
}
