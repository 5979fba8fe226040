//! ML-DSA-65 and ML-KEM-768: seeds, and what they expand to.

use super::message;
use crate::forms::{behind_a_scrub, needle, reversed};
use crate::needles::Needle;
use aws_lc_sys::EVP_PKEY;
use nitride_secmem::crypto::{MlDsa65, MlKem768, encapsulate_ml_kem_768, fill_random};
use nitride_secmem::{Record, SecretBuf};
use std::ptr::null_mut;

pub(super) struct Lattices {
    dsa_seed: Record,
    kem_seed: Record,
    dsa: MlDsa65,
    kem: MlKem768,
    ciphertext: Vec<u8>,
    shared: SecretBuf,
}

/// Length of ML-DSA-65's private key, and where in it are K, s1 and s2 (FIPS 204, algorithm 24).
const DSA_LEN: usize = 4032;
const DSA_K: usize = 32;
const DSA_S1: usize = 128;
const DSA_S2: usize = DSA_S1 + 5 * 128;
/// Length of ML-KEM-768's private key, of which the first part is s (FIPS 203, algorithm 16).
const KEM_LEN: usize = 2400;
const KEM_S_LEN: usize = 1152;

/// What stands before an ML-KEM-768 seed in its PKCS#8 file.
const KEM_FILE_HEAD: [u8; 22] = [
    0x30, 0x54, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
    0x04, 0x02, 0x04, 0x42, 0x80, 0x40,
];

impl Lattices {
    pub(super) fn new() -> Self {
        let dsa_seed = Record::from_fn(32, fill_random).unwrap();
        let kem_seed = Record::from_fn(64, fill_random).unwrap();
        let kem = MlKem768::from_seed(kem_seed.expose()).unwrap();
        let (ciphertext, shared) = kem.encapsulate().unwrap();
        Self {
            dsa: MlDsa65::from_seed(dsa_seed.expose()).unwrap(),
            kem,
            dsa_seed,
            kem_seed,
            ciphertext,
            shared,
        }
    }

    pub(super) fn import(&self) {
        drop(MlDsa65::from_seed(self.dsa_seed.expose()).unwrap());
        drop(MlKem768::from_seed(self.kem_seed.expose()).unwrap());
        let mut seed = SecretBuf::with_len(64).unwrap();
        self.kem.seed_into(seed.expose_mut().try_into().unwrap());
        let seed = &mut seed.expose_mut()[..32];
        self.dsa.seed_into(seed.try_into().unwrap());
        drop(MlDsa65::generate().unwrap());
        drop(MlKem768::generate().unwrap());
    }

    pub(super) fn sign(&self, round: usize) {
        let signature = self.dsa.sign(&message(round)).unwrap();
        assert!(self.dsa.verify(&message(round), &signature).unwrap());
    }

    pub(super) fn encapsulate(&self) {
        drop(encapsulate_ml_kem_768(self.kem.public()).unwrap());
    }

    pub(super) fn decapsulate(&self) {
        drop(self.kem.decapsulate(&self.ciphertext).unwrap());
    }

    /// Makes one of both keys without the door.
    pub(super) fn expand_in_the_open(&self, is_kem: bool) {
        behind_a_scrub(|| {
            let key = if is_kem {
                self.kem_key()
            } else {
                self.dsa_key()
            };
            // SAFETY: made here, and nobody else's.
            unsafe { aws_lc_sys::EVP_PKEY_free(key) };
        });
    }

    fn dsa_key(&self) -> *mut EVP_PKEY {
        let seed = self.dsa_seed.expose();
        // SAFETY: the seed goes with its length.
        unsafe {
            aws_lc_sys::EVP_PKEY_pqdsa_new_raw_private_key(
                aws_lc_sys::NID_MLDSA65,
                seed.as_ptr(),
                seed.len(),
            )
        }
    }

    fn kem_key(&self) -> *mut EVP_PKEY {
        let mut file = SecretBuf::with_len(KEM_FILE_HEAD.len() + 64).unwrap();
        let (head, seed) = file.expose_mut().split_at_mut(KEM_FILE_HEAD.len());
        head.copy_from_slice(&KEM_FILE_HEAD);
        seed.copy_from_slice(self.kem_seed.expose());
        let mut bytes = std::mem::MaybeUninit::uninit();
        // SAFETY: the bytes are made valid first, and read the file for its length.
        unsafe {
            aws_lc_sys::CBS_init(bytes.as_mut_ptr(), file.expose().as_ptr(), file.len());
            aws_lc_sys::EVP_parse_private_key(bytes.as_mut_ptr())
        }
    }

    /// A private key as its specification writes it.
    fn expanded(&self, is_kem: bool) -> SecretBuf {
        let mut out = SecretBuf::with_len(if is_kem { KEM_LEN } else { DSA_LEN }).unwrap();
        let mut len = out.len();
        behind_a_scrub(|| {
            let key = if is_kem {
                self.kem_key()
            } else {
                self.dsa_key()
            };
            assert_ne!(key, null_mut());
            // SAFETY: made here, used alone and freed once; at most the buffer's length is
            // written.
            unsafe {
                let out = out.expose_mut().as_mut_ptr();
                let written = aws_lc_sys::EVP_PKEY_get_raw_private_key(key, out, &raw mut len);
                assert_eq!(written, 1);
                aws_lc_sys::EVP_PKEY_free(key);
            }
        });
        out
    }

    pub(super) fn kept(&self) -> Vec<Needle> {
        let mut needles = vec![
            needle("ml-dsa seed", self.dsa_seed.expose()),
            needle("ml-kem d", &self.kem_seed.expose()[..32]),
            needle("ml-kem z", &self.kem_seed.expose()[32..]),
            needle("ml-kem shared", self.shared.expose()),
        ];
        let dsa = self.expanded(false);
        for (name, start) in [("k", DSA_K), ("s1", DSA_S1), ("s2", DSA_S2)] {
            let name = format!("ml-dsa {name}");
            needles.push(needle(&name, &dsa.expose()[start..][..32]));
        }
        let kem = self.expanded(true);
        for start in (0..KEM_S_LEN).step_by(384) {
            let name = format!("ml-kem s from {start}");
            needles.push(needle(&name, &kem.expose()[start..][..32]));
        }
        needles
    }

    pub(super) fn passing(&self) -> Vec<Needle> {
        let mut needles = vec![
            reversed("ml-dsa seed", self.dsa_seed.expose()),
            reversed("ml-kem d", &self.kem_seed.expose()[..32]),
            reversed("ml-kem z", &self.kem_seed.expose()[32..]),
            reversed("ml-kem shared", self.shared.expose()),
        ];
        let dsa = self.expanded(false);
        for (name, start) in [("s1", DSA_S1), ("s2", DSA_S2)] {
            // Four bits a coefficient, which the library computes with as 32 (eta is 4).
            let packed = &dsa.expose()[start..][..8];
            let coefficients = packed.iter().flat_map(|byte| [byte & 15, byte >> 4]);
            let words = coefficients.flat_map(|bits| (4 - i32::from(bits)).to_le_bytes());
            needles.push(Needle::new(format!("ml-dsa {name} unpacked"), words));
        }
        let kem = self.expanded(true);
        for start in (0..KEM_S_LEN).step_by(384) {
            // Twelve bits a coefficient, which the library computes with as 16.
            let packed = kem.expose()[start..][..24].chunks(3);
            let coefficients = packed.flat_map(|three| {
                let (one, two, three) = (three[0], three[1], three[2]);
                let low = u16::from(one) | u16::from(two & 15) << 8;
                let high = u16::from(two >> 4) | u16::from(three) << 4;
                [low, high]
            });
            let words = coefficients.flat_map(u16::to_le_bytes);
            needles.push(Needle::new(
                format!("ml-kem s unpacked from {start}"),
                words,
            ));
        }
        needles
    }
}
