//! The ciphers, MACs and derivations that came later.

use super::{drawn, message};
use crate::forms::{
    Direction, behind_a_scrub, long_hmac_states, needle, pieces, reversed, round_keys, schedule,
};
use crate::needles::Needle;
use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, HashAlgorithm, Hmac, Kwp, Xaes256Gcm, hkdf, hkdf_expand,
};
use nitride_secmem::{Record, SecretBuf};

const NONCE: [u8; 24] = *b"a nonce of 24 bytes long";
const SALT: &[u8] = b"salt";
const INFO: &[u8] = b"info";

pub(super) struct Symmetric {
    gcm128_key: Record,
    chacha_key: Record,
    xaes_key: Record,
    kek: Record,
    wrapped_key: Record,
    mac_key: Record,
    gcm128: AeadKey,
    chacha: AeadKey,
    xaes: Xaes256Gcm,
    kwp: Kwp,
    macs: [Hmac; 2],
}

impl Symmetric {
    pub(super) fn new() -> Self {
        let (gcm128_key, chacha_key, xaes_key) = (drawn(16), drawn(32), drawn(32));
        let (kek, mac_key) = (drawn(32), drawn(64));
        let cipher = |algorithm, key: &Record| AeadKey::new(algorithm, key.expose()).unwrap();
        Self {
            gcm128: cipher(AeadAlgorithm::Aes128Gcm, &gcm128_key),
            chacha: cipher(AeadAlgorithm::ChaCha20Poly1305, &chacha_key),
            xaes: Xaes256Gcm::new(xaes_key.expose()).unwrap(),
            kwp: Kwp::new(kek.expose()).unwrap(),
            macs: [HashAlgorithm::Sha384, HashAlgorithm::Sha512]
                .map(|hash| Hmac::new(hash, mac_key.expose()).unwrap()),
            gcm128_key,
            chacha_key,
            xaes_key,
            kek,
            wrapped_key: drawn(40),
            mac_key,
        }
    }

    pub(super) fn import(&self) {
        drop(AeadKey::new(AeadAlgorithm::Aes128Gcm, self.gcm128_key.expose()).unwrap());
        drop(AeadKey::new(AeadAlgorithm::ChaCha20Poly1305, self.chacha_key.expose()).unwrap());
        drop(Xaes256Gcm::new(self.xaes_key.expose()).unwrap());
        drop(Kwp::new(self.kek.expose()).unwrap());
        drop(Hmac::new(HashAlgorithm::Sha384, self.mac_key.expose()).unwrap());
        drop(Hmac::new(HashAlgorithm::Sha512, self.mac_key.expose()).unwrap());
    }

    pub(super) fn seal(&self, round: usize) {
        let text = message(round);
        let (mut sealed, mut opened) = (vec![0; text.len() + 16], vec![0; text.len()]);
        for key in [&self.gcm128, &self.chacha] {
            let nonce = [7; 12];
            key.seal(&nonce, &[b"ab"], &text, &mut sealed).unwrap();
            key.open(&nonce, &[b"ab"], &sealed, &mut opened).unwrap();
            assert!(key.open(&nonce, &[], &sealed, &mut opened).is_err());
        }
        self.xaes
            .seal(&NONCE, &[b"ab"], &text, &mut sealed)
            .unwrap();
        self.xaes
            .open(&NONCE, &[b"ab"], &sealed, &mut opened)
            .unwrap();
    }

    pub(super) fn seal_key(&self, other: &Record) {
        let mut sealed = vec![0; other.len() + 16];
        for key in [&self.gcm128, &self.chacha] {
            key.seal(&[8; 12], &[], other.expose(), &mut sealed)
                .unwrap();
        }
        self.xaes
            .seal(&NONCE, &[b"ab"], other.expose(), &mut sealed)
            .unwrap();
    }

    pub(super) fn mac(&self, round: usize) {
        for key in &self.macs {
            let mut tag = [0; 64];
            let len = key.tag(&message(round), &mut tag).unwrap();
            assert!(key.verify(&message(round), &tag[..len]).unwrap());
        }
    }

    pub(super) fn wrap(&self) {
        let mut wrapped = [0; 48];
        self.kwp
            .wrap(self.wrapped_key.expose(), &mut wrapped)
            .unwrap();
    }

    pub(super) fn unwrap(&self) {
        let mut wrapped = [0; 48];
        self.kwp
            .wrap(self.wrapped_key.expose(), &mut wrapped)
            .unwrap();
        drop(self.kwp.unwrap(&wrapped).unwrap());
        wrapped[47] ^= 1;
        assert!(self.kwp.unwrap(&wrapped).is_err());
    }

    pub(super) fn derive(&self) {
        let key = self.mac_key.expose();
        drop(hkdf(HashAlgorithm::Sha256, key, SALT, INFO, 64).unwrap());
        drop(hkdf_expand(HashAlgorithm::Sha256, key, INFO, 64).unwrap());
    }

    /// HKDF without the door: its HMAC contexts are locals.
    pub(super) fn derive_in_the_open(&self) {
        let mut out = SecretBuf::with_len(64).unwrap();
        behind_a_scrub(|| {
            let (out, key) = (out.expose_mut(), self.mac_key.expose());
            // SAFETY: each pointer goes with the length of its slice.
            let derived = unsafe {
                aws_lc_sys::HKDF(
                    out.as_mut_ptr(),
                    out.len(),
                    aws_lc_sys::EVP_sha256(),
                    key.as_ptr(),
                    key.len(),
                    SALT.as_ptr(),
                    SALT.len(),
                    INFO.as_ptr(),
                    INFO.len(),
                )
            };
            assert_eq!(derived, 1);
        });
    }

    pub(super) fn kept(&self) -> Vec<Needle> {
        let mut needles = vec![
            needle("gcm-128 key", self.gcm128_key.expose()),
            needle("chacha key", self.chacha_key.expose()),
            needle("xaes key", self.xaes_key.expose()),
            needle("kwp key", self.kek.expose()),
            needle("wrapped key", self.wrapped_key.expose()),
            needle("xaes subkey", self.xaes_subkey().expose()),
        ];
        needles.extend(
            pieces("long mac key", self.mac_key.expose())
                .into_iter()
                .step_by(2),
        );
        needles.extend(round_keys("gcm-128", &self.gcm128_key, Direction::Encrypt));
        needles.extend(round_keys("xaes", &self.xaes_key, Direction::Encrypt));
        needles.extend(round_keys("kwp", &self.kek, Direction::Encrypt));
        needles.extend(round_keys("kwp inverse", &self.kek, Direction::Decrypt));
        needles.extend(long_hmac_states("hmac-384", self.mac_key.expose(), true));
        needles.extend(long_hmac_states("hmac-512", self.mac_key.expose(), false));
        needles
    }

    pub(super) fn passing(&self) -> Vec<Needle> {
        let mut needles = vec![
            reversed("gcm-128 key", self.gcm128_key.expose()),
            reversed("chacha key", self.chacha_key.expose()),
            reversed("xaes key", self.xaes_key.expose()),
            reversed("kwp key", self.kek.expose()),
            reversed("wrapped key", self.wrapped_key.expose()),
        ];
        let message_key = self.message_key();
        needles.push(needle("xaes message key", message_key.expose()));
        needles.extend(round_keys(
            "xaes message key",
            &message_key,
            Direction::Encrypt,
        ));
        let mut extracted = SecretBuf::with_len(32).unwrap();
        Hmac::new(HashAlgorithm::Sha256, SALT)
            .unwrap()
            .tag(self.mac_key.expose(), extracted.expose_mut())
            .unwrap();
        needles.extend(pieces("hkdf extracted", extracted.expose()));
        let key = self.mac_key.expose();
        let derived = hkdf(HashAlgorithm::Sha256, key, SALT, INFO, 64).unwrap();
        needles.extend(pieces("hkdf derived", derived.expose()));
        let expanded = hkdf_expand(HashAlgorithm::Sha256, key, INFO, 64).unwrap();
        needles.extend(pieces("expanded", expanded.expose()));
        needles
    }

    /// K1 of XAES-256-GCM, by its specification.
    fn xaes_subkey(&self) -> SecretBuf {
        let mut block = SecretBuf::with_len(16).unwrap();
        self.encrypt_block(block.expose_mut());
        let bytes = block.expose_mut();
        let is_high = bytes[0] & 0x80 != 0;
        for index in 0..16 {
            let next = bytes.get(index + 1).map_or(0, |next| next >> 7);
            bytes[index] = bytes[index] << 1 | next;
        }
        bytes[15] ^= if is_high { 0x87 } else { 0 };
        block
    }

    /// The key of the one message that is sealed.
    fn message_key(&self) -> Record {
        let subkey = self.xaes_subkey();
        Record::from_fn(32, |key| {
            for (counter, half) in (1..).zip(key.chunks_mut(16)) {
                half[..4].copy_from_slice(&[0, counter, b'X', 0]);
                half[4..].copy_from_slice(&NONCE[..12]);
                for (byte, other) in half.iter_mut().zip(subkey.expose()) {
                    *byte ^= other;
                }
                self.encrypt_block(half);
            }
        })
        .unwrap()
    }

    fn encrypt_block(&self, block: &mut [u8]) {
        let schedule = schedule(&self.xaes_key, Direction::Encrypt);
        behind_a_scrub(|| {
            // SAFETY: one block of 16 bytes in place, with a schedule as the library made it.
            unsafe {
                aws_lc_sys::AES_encrypt(
                    block.as_ptr(),
                    block.as_mut_ptr(),
                    schedule.expose().as_ptr().cast(),
                );
            }
        });
    }
}
