//! Keys of the test PKI, drawn once a run.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair, RsaPssSaltLength,
    RsaSignatureEncoding,
};
use std::sync::OnceLock;

/// An RSA key of 4096 bits, the size that AMD's have.
#[derive(Debug)]
pub struct RsaKey(RsaKeyPair);

/// The length of the salt of a PSS signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Salt {
    /// The only one that is right with SHA-384 here.
    Len48,
    /// Stated and used: another algorithm.
    Len32,
    /// 48 is stated, 32 is used.
    Len32Stated48,
}

impl Salt {
    /// What the certificate states.
    #[must_use]
    pub const fn stated_len(self) -> u64 {
        match self {
            Self::Len48 | Self::Len32Stated48 => 48,
            Self::Len32 => 32,
        }
    }
}

static SALT_OF_32: RsaSignatureEncoding =
    RSA_PSS_SHA384.with_pss_salt_length(RsaPssSaltLength::Custom(32));

impl RsaKey {
    fn draw() -> Self {
        Self(RsaKeyPair::generate(KeySize::Rsa4096).expect("draw an RSA key"))
    }

    /// The key of the test root. Drawing it takes seconds.
    pub fn root() -> &'static Self {
        static KEY: OnceLock<RsaKey> = OnceLock::new();
        KEY.get_or_init(Self::draw)
    }

    /// The key of the test intermediates.
    pub fn intermediate() -> &'static Self {
        static KEY: OnceLock<RsaKey> = OnceLock::new();
        KEY.get_or_init(Self::draw)
    }

    /// Signs with RSASSA-PSS and SHA-384.
    #[must_use]
    pub fn sign(&self, message: &[u8], salt: Salt) -> Vec<u8> {
        let encoding: &'static dyn RsaEncoding = match salt {
            Salt::Len48 => &RSA_PSS_SHA384,
            Salt::Len32 | Salt::Len32Stated48 => &SALT_OF_32,
        };
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .expect("sign with RSA");
        signature
    }

    /// The public half, as `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        spki(self.0.public_key())
    }
}

/// An ECDSA key.
#[derive(Debug)]
pub struct EcKey(EcdsaKeyPair);

impl EcKey {
    fn draw(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self(EcdsaKeyPair::generate(algorithm).expect("draw an EC key"))
    }

    /// A key over P-384, as VCEKs and VLEKs are.
    pub fn p384() -> &'static Self {
        static KEY: OnceLock<EcKey> = OnceLock::new();
        KEY.get_or_init(|| Self::draw(&ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    /// Six keys over P-384 that are not the same: five of a chain, and somebody else's.
    pub fn one_of_six(place: usize) -> &'static Self {
        static KEYS: [OnceLock<EcKey>; 6] = [const { OnceLock::new() }; 6];
        let key = KEYS.get(place).expect("one of six keys");
        key.get_or_init(|| Self::draw(&ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    /// A key over another curve.
    pub fn p256() -> &'static Self {
        static KEY: OnceLock<EcKey> = OnceLock::new();
        KEY.get_or_init(|| Self::draw(&ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    /// r and s, each as long as the curve, big-endian.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature.expect("sign with ECDSA").as_ref().to_vec()
    }

    /// The public half, as `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        spki(self.0.public_key())
    }
}

fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    let der = key.as_der();
    der.expect("encode a public key").as_ref().to_vec()
}
