//! All curves.

use super::message;
use crate::forms::{behind_a_scrub, needle, reversed};
use crate::needles::Needle;
use nitride_secmem::crypto::{Curve, Ec, Ed25519, HashAlgorithm, Input, X25519, fill_random};
use nitride_secmem::{Record, SecretBuf};

pub(super) struct Curves {
    nist: Vec<Nist>,
    private: Record,
    x25519: X25519,
    peer: [u8; 32],
    /// An Ed25519 key's PKCS#8 file.
    file: SecretBuf,
}

struct Nist {
    curve: Curve,
    scalar: Record,
    key: Ec,
    peer: Vec<u8>,
}

/// What stands before an Ed25519 seed in its shortest PKCS#8 file.
const FILE_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

impl Curves {
    pub(super) fn new() -> Self {
        let private = Record::from_fn(32, fill_random).unwrap();
        let mut file = SecretBuf::with_len(FILE_HEAD.len() + 32).unwrap();
        let (head, seed) = file.expose_mut().split_at_mut(FILE_HEAD.len());
        head.copy_from_slice(&FILE_HEAD);
        fill_random(seed);
        Self {
            nist: Curve::ALL.map(Nist::new).into(),
            x25519: X25519::from_private(private.expose()).unwrap(),
            private,
            peer: X25519::generate().unwrap().public(),
            file,
        }
    }

    pub(super) fn generate() {
        for curve in Curve::ALL {
            drop(Ec::generate(curve).unwrap());
        }
        drop(X25519::generate().unwrap());
        drop(Ed25519::generate().unwrap());
    }

    pub(super) fn import(&self) {
        for nist in &self.nist {
            drop(Ec::from_scalar(nist.curve, nist.scalar.expose()).unwrap());
        }
        drop(X25519::from_private(self.private.expose()).unwrap());
    }

    pub(super) fn import_files(&self) {
        drop(Ed25519::from_pkcs8(self.file.expose()).unwrap());
        assert!(X25519::from_pkcs8(self.file.expose()).is_err());
    }

    pub(super) fn export(&self) {
        for nist in &self.nist {
            let mut out = SecretBuf::with_len(nist.curve.scalar_len()).unwrap();
            nist.key.scalar_into(out.expose_mut()).unwrap();
        }
        let mut out = SecretBuf::with_len(32).unwrap();
        self.x25519
            .private_into(out.expose_mut().try_into().unwrap());
    }

    pub(super) fn sign(&self, round: usize) {
        for (nist, hash) in self.nist.iter().zip(HashAlgorithm::ALL.iter().cycle()) {
            nist.key
                .sign(*hash, Input::Message(&message(round)))
                .unwrap();
        }
    }

    pub(super) fn agree(&self) {
        for nist in &self.nist {
            drop(nist.key.ecdh(&nist.peer).unwrap());
        }
        drop(self.x25519.agree(&self.peer).unwrap());
    }

    pub(super) fn agree_in_the_open(&self) {
        let mut shared = SecretBuf::with_len(32).unwrap();
        behind_a_scrub(|| {
            // SAFETY: 32 bytes each, as all three have.
            unsafe {
                aws_lc_sys::X25519(
                    shared.expose_mut().as_mut_ptr(),
                    self.private.expose().as_ptr(),
                    self.peer.as_ptr(),
                );
            }
        });
    }

    pub(super) fn kept(&self) -> Vec<Needle> {
        let mut needles = vec![
            needle("x25519 private", self.private.expose()),
            needle("seed in a file", &self.file.expose()[FILE_HEAD.len()..]),
        ];
        for nist in &self.nist {
            let name = format!("{:?} scalar", nist.curve);
            needles.push(needle(&name, nist.scalar.expose()));
            // Limbs, least significant first.
            needles.push(reversed(&name, nist.scalar.expose()));
        }
        needles
    }

    pub(super) fn passing(&self) -> Vec<Needle> {
        let shared = self.x25519.agree(&self.peer).unwrap();
        let mut clamped = SecretBuf::copy_of(self.private.expose()).unwrap();
        let bytes = clamped.expose_mut();
        bytes[0] &= 248;
        bytes[31] = bytes[31] & 127 | 64;
        let mut needles = vec![
            reversed("x25519 private", self.private.expose()),
            needle("x25519 clamped", clamped.expose()),
            // The middle is the same whether it is clamped or not.
            needle("x25519 middle", &self.private.expose()[1..31]),
            needle("x25519 shared", shared.expose()),
            reversed("x25519 shared", shared.expose()),
        ];
        for nist in &self.nist {
            let shared = nist.key.ecdh(&nist.peer).unwrap();
            let name = format!("{:?} shared", nist.curve);
            needles.push(needle(&name, shared.expose()));
            needles.push(reversed(&name, shared.expose()));
            let montgomery = nist.in_montgomery_form();
            let name = format!("{:?} scalar in montgomery form", nist.curve);
            needles.push(reversed(&name, montgomery.expose()));
        }
        needles
    }
}

impl Nist {
    fn new(curve: Curve) -> Self {
        let key = Ec::generate(curve).unwrap();
        let scalar = Record::from_fn(curve.scalar_len(), |out| key.scalar_into(out).unwrap());
        let peer = Ec::generate(curve).unwrap();
        Self {
            curve,
            scalar: scalar.unwrap(),
            key,
            peer: peer.public_point().as_bytes().to_vec(),
        }
    }

    /// The scalar times 2 to the power of all bits of its limbs, modulo the order.
    fn in_montgomery_form(&self) -> SecretBuf {
        let mut out = SecretBuf::with_len(self.curve.scalar_len()).unwrap();
        let (nid, limbs) = match self.curve {
            Curve::P256 => (aws_lc_sys::NID_X9_62_prime256v1, 4),
            Curve::P384 => (aws_lc_sys::NID_secp384r1, 6),
            Curve::P521 => (aws_lc_sys::NID_secp521r1, 9),
        };
        let (out_len, bytes) = (out.len(), self.scalar.expose());
        behind_a_scrub(|| {
            // SAFETY: numbers are made here and freed once; the group is a constant of the
            // library; bytes go with their lengths.
            unsafe {
                let order =
                    aws_lc_sys::EC_GROUP_get0_order(aws_lc_sys::EC_GROUP_new_by_curve_name(nid));
                let context = aws_lc_sys::BN_CTX_new();
                let number =
                    aws_lc_sys::BN_bin2bn(bytes.as_ptr(), bytes.len(), std::ptr::null_mut());
                let shifted = aws_lc_sys::BN_mod_lshift(number, number, limbs * 64, order, context);
                assert_eq!(shifted, 1);
                let written =
                    aws_lc_sys::BN_bn2bin_padded(out.expose_mut().as_mut_ptr(), out_len, number);
                assert_eq!(written, 1);
                aws_lc_sys::BN_free(number);
                aws_lc_sys::BN_CTX_free(context);
            }
        });
        out
    }
}
