//! RSA: the numbers of a key, in the forms that the library has them.

use super::message;
use crate::forms::{behind_a_scrub, needle, pieces, reversed};
use crate::needles::Needle;
use nitride_secmem::crypto::{
    HashAlgorithm, Input, Rsa, RsaPadding, RsaScheme, RsaSize, fill_random, parse_pkcs8,
};
use nitride_secmem::{Record, SecretBuf};
use std::ops::Range;

const SIZE: RsaSize = RsaSize::Bits2048;
const HASH: HashAlgorithm = HashAlgorithm::Sha256;
/// One round in as many makes a key, which takes as long as a hundred of the others.
pub(crate) const ROUNDS_PER_KEY: usize = 32;

pub(super) struct RsaKeys {
    file: Record,
    key: Rsa,
    plaintext: SecretBuf,
    ciphertext: Vec<u8>,
}

/// The secret numbers, by their places among those of an `RSAPrivateKey`.
const NUMBERS: [(&str, usize); 6] = [
    ("rsa d", 3),
    ("rsa p", 4),
    ("rsa q", 5),
    ("rsa dp", 6),
    ("rsa dq", 7),
    ("rsa qinv", 8),
];

impl RsaKeys {
    pub(super) fn new() -> Self {
        let key = Rsa::generate(SIZE).unwrap();
        let mut plaintext = SecretBuf::with_len(32).unwrap();
        fill_random(plaintext.expose_mut());
        let label = b"label";
        let ciphertext = key.encrypt_oaep(HASH, label, plaintext.expose()).unwrap();
        Self {
            file: Record::new(key.pkcs8().unwrap().expose()).unwrap(),
            key,
            plaintext,
            ciphertext,
        }
    }

    pub(super) fn generate(round: usize) {
        if round.is_multiple_of(ROUNDS_PER_KEY) {
            drop(Rsa::generate(SIZE).unwrap());
        }
    }

    pub(super) fn import(&self) {
        drop(Rsa::from_pkcs8(SIZE, self.file.expose()).unwrap());
        assert!(Rsa::from_pkcs8(RsaSize::Bits4096, self.file.expose()).is_err());
    }

    pub(super) fn export(&self) {
        drop(self.key.pkcs8().unwrap());
    }

    pub(super) fn sign(&self, round: usize) {
        for padding in [RsaPadding::Pss, RsaPadding::Pkcs1] {
            let scheme = RsaScheme {
                padding,
                hash: HASH,
            };
            self.key
                .sign(scheme, Input::Message(&message(round)))
                .unwrap();
        }
    }

    pub(super) fn seal_key(&self) {
        let plaintext = self.plaintext.expose();
        self.key.encrypt_oaep(HASH, b"label", plaintext).unwrap();
    }

    pub(super) fn decrypt(&self) {
        let opened = self.key.decrypt_oaep(HASH, b"label", &self.ciphertext);
        drop(opened.unwrap());
        assert!(self.key.decrypt_oaep(HASH, b"", &self.ciphertext).is_err());
    }

    /// The numbers as limbs, least significant first, as the expanded key has them, and as digits,
    /// as the file has them; and those that the expanded key has in Montgomery's form.
    pub(super) fn kept(&self) -> Vec<Needle> {
        let mut needles = vec![needle("rsa plaintext", self.plaintext.expose())];
        for (name, place) in NUMBERS {
            let digits = self.digits(place);
            needles.extend(pieces(name, &self.file.expose()[digits]));
        }
        for (name, number) in self.in_montgomery_form() {
            needles.extend(pieces(name, number.expose()).into_iter().skip(1).step_by(2));
        }
        needles
    }

    pub(super) fn passing(&self) -> Vec<Needle> {
        let mut needles = vec![reversed("rsa plaintext", self.plaintext.expose())];
        for (name, number) in self.in_montgomery_form() {
            needles.extend(pieces(name, number.expose()).into_iter().step_by(2));
        }
        needles
    }

    /// Where the digits of a number of the key are in its file, without zeroes in front that make
    /// it positive; as many as are a multiple of 32, from the end.
    fn digits(&self, place: usize) -> Range<usize> {
        let file = self.file.expose();
        let key = parse_pkcs8(file).unwrap().secret;
        let start = key.as_ptr().addr() - file.as_ptr().addr();
        // The sequence's head has four bytes; each number a tag, a length, and contents.
        let mut at = start + 4;
        for _ in 0..place {
            let (head, len) = head_at(file, at);
            at += head + len;
        }
        let (head, len) = head_at(file, at);
        let end = at + head + len;
        end - len / 32 * 32..end
    }

    /// The inverse of q times R modulo p, and R squared modulo either prime, which tells it.
    fn in_montgomery_form(&self) -> [(&'static str, SecretBuf); 3] {
        let [p, q, inverse] = [4, 5, 8].map(|place| &self.file.expose()[self.digits(place)]);
        [
            ("rsa qinv in montgomery form", shifted(inverse, 1024, p)),
            ("rsa r squared modulo p", shifted(&[1], 2048, p)),
            ("rsa r squared modulo q", shifted(&[1], 2048, q)),
        ]
    }
}

/// Lengths of a DER value's head and of its contents.
fn head_at(der: &[u8], at: usize) -> (usize, usize) {
    match der[at + 1] {
        0x82 => (4, usize::from(der[at + 2]) << 8 | usize::from(der[at + 3])),
        0x81 => (3, usize::from(der[at + 2])),
        len => (2, usize::from(len)),
    }
}

/// `number` times two to the power of `bits`, modulo `modulus`, as long as that.
fn shifted(number: &[u8], bits: i32, modulus: &[u8]) -> SecretBuf {
    let mut out = SecretBuf::with_len(modulus.len()).unwrap();
    behind_a_scrub(|| {
        let null = std::ptr::null_mut();
        // SAFETY: numbers are made here, in the arena, and freed once; bytes go with their
        // lengths.
        unsafe {
            let context = aws_lc_sys::BN_CTX_new();
            let modulus = aws_lc_sys::BN_bin2bn(modulus.as_ptr(), modulus.len(), null);
            let number = aws_lc_sys::BN_bin2bn(number.as_ptr(), number.len(), null);
            let shifted = aws_lc_sys::BN_mod_lshift(number, number, bits, modulus, context);
            assert_eq!(shifted, 1);
            let out = out.expose_mut();
            let written = aws_lc_sys::BN_bn2bin_padded(out.as_mut_ptr(), out.len(), number);
            assert_eq!(written, 1);
            aws_lc_sys::BN_free(number);
            aws_lc_sys::BN_free(modulus);
            aws_lc_sys::BN_CTX_free(context);
        }
    });
    out
}
