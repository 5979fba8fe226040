//! Private keys of tokens in files: PKCS#8 PEM, and the public half beside it as SPKI PEM.

use super::TokenKey;
use crate::atomic_file;
use crate::entropy::{Draw, draw_secret};
use crate::key_file::{KeyFileError, draw_p256, read_secret, write_secret};
use clap::ValueEnum;
use p256::pkcs8::{Document, EncodePrivateKey, LineEnding, SecretDocument};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";
const SEED_LEN: usize = 32;
/// PKCS#8 of an ML-DSA-65 seed, up to the seed (RFC 9881, 6).
const ML_DSA_65_HEAD: [u8; 22] = [
    0x30, 0x34, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
    0x03, 0x12, 0x04, 0x22, 0x80, 0x20,
];

/// How a new key will sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ML-DSA-65, which withstands quantum computers; its tokens are too long for a cookie.
    #[value(name = "ml-dsa-65")]
    MlDsa65,
}

/// A private key in PKCS#8. It is wiped when dropped.
pub(crate) struct PrivateKeyDer(SecretDocument);

impl PrivateKeyDer {
    /// Reads one key in PEM; nothing if the file holds anything else.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let bytes = read_secret(path)?;
        let pem = std::str::from_utf8(&bytes).ok();
        let document = pem.and_then(|pem| SecretDocument::from_pem(pem).ok());
        let key = document.filter(|(label, _)| *label == PRIVATE_LABEL);
        Ok(key.map(|(_, der)| Self(der)))
    }

    /// Draws a new one.
    pub(crate) fn draw(
        algorithm: SigningAlgorithm,
        draw: &mut dyn Draw,
    ) -> Result<Self, KeyFileError> {
        let der = match algorithm {
            SigningAlgorithm::Es256 => draw_p256(draw)?.to_pkcs8_der().ok(),
            SigningAlgorithm::MlDsa65 => {
                let seed = draw_secret::<SEED_LEN>(draw)?;
                // Sized once, so that no growing leaves a copy behind.
                let mut der = Zeroizing::new(Vec::with_capacity(ML_DSA_65_HEAD.len() + SEED_LEN));
                der.extend_from_slice(&ML_DSA_65_HEAD);
                der.extend_from_slice(seed.as_slice());
                SecretDocument::try_from(der.as_slice()).ok()
            }
        };
        der.map(Self).ok_or(KeyFileError::Unmade)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Writes both halves to files that do not exist yet; the key, as it will be used.
    pub(crate) fn write(&self, out: &Path, public_out: &Path) -> Result<TokenKey, KeyFileError> {
        let key = TokenKey::from_pkcs8(self.bytes()).ok_or(KeyFileError::Unmade)?;
        let public = key.spki().and_then(|der| Document::try_from(der).ok());
        let public = public.and_then(|der| der.to_pem(PUBLIC_LABEL, LineEnding::LF).ok());
        let public = public.ok_or(KeyFileError::Unmade)?;
        let private = self
            .0
            .to_pem(PRIVATE_LABEL, LineEnding::LF)
            .map_err(|_| KeyFileError::Unmade)?;
        write_secret(out, private.as_bytes())?;
        let written = atomic_file::create(public_out, public.as_bytes(), 0o644);
        if written.is_err() {
            // Nobody has its other half: it would only be in the way of the next try.
            let _ = atomic_file::remove(out);
        }
        let unwritable = |source: io::Error| KeyFileError::Unwritable {
            path: public_out.to_owned(),
            source,
        };
        written.map_err(unwritable)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::KernelEntropy;
    use rcgen::{CertificateParams, KeyPair};
    use std::fs;

    const BOTH: [SigningAlgorithm; 2] = [SigningAlgorithm::Es256, SigningAlgorithm::MlDsa65];

    #[test]
    fn a_key_of_each_algorithm_reads_back_and_is_never_overwritten() {
        for algorithm in BOTH {
            let folder = tempfile::tempdir().unwrap();
            let (out, public) = (folder.path().join("1.key"), folder.path().join("1.pub"));
            let drawn = PrivateKeyDer::draw(algorithm, &mut KernelEntropy).unwrap();
            let written = drawn.write(&out, &public).unwrap();
            let read = TokenKey::read(&out).unwrap();
            assert_eq!(read.kid(), written.kid());
            let pem = fs::read_to_string(&public).unwrap();
            let (label, der) = Document::from_pem(&pem).unwrap();
            assert_eq!((label, der.to_vec()), (PUBLIC_LABEL, read.spki().unwrap()));
            let again = PrivateKeyDer::draw(algorithm, &mut KernelEntropy).unwrap();
            assert!(again.write(&out, &public).is_err());
            assert!(again.write(&folder.path().join("2.key"), &public).is_err());
            assert!(!folder.path().join("2.key").exists());
        }
    }

    #[test]
    fn what_is_no_private_key_of_either_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let good = PrivateKeyDer::draw(SigningAlgorithm::MlDsa65, &mut KernelEntropy).unwrap();
        let certificate = good.0.to_pem("CERTIFICATE", LineEnding::LF).unwrap();
        let cut = &good.bytes()[..good.bytes().len() - 1];
        assert!(TokenKey::from_pkcs8(cut).is_none());
        for (number, text) in ["", "PEM", &p384.serialize_pem(), &certificate]
            .into_iter()
            .enumerate()
        {
            let path = folder.path().join(number.to_string());
            write_secret(&path, text.as_bytes()).unwrap();
            assert!(matches!(
                TokenKey::read(&path),
                Err(KeyFileError::NotAKey { .. })
            ));
        }
    }

    #[test]
    fn the_certificates_beside_a_key_are_in_its_header_if_they_are_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate().unwrap();
        let path = folder.path().join("token.key");
        write_secret(&path, pair.serialize_pem().as_bytes()).unwrap();
        assert!(
            TokenKey::read(&path)
                .unwrap()
                .header()
                .certificates
                .is_empty()
        );
        let beside = folder.path().join("token.crt");
        let certificate = |pair: &KeyPair| {
            let params = CertificateParams::new(vec!["issuer".to_owned()]).unwrap();
            params.self_signed(pair).unwrap().pem()
        };
        let own = certificate(&pair);
        fs::write(
            &beside,
            format!("{own}{}", certificate(&KeyPair::generate().unwrap())),
        )
        .unwrap();
        let key = TokenKey::read(&path).unwrap();
        assert_eq!(key.header().certificates.len(), 2);
        for text in [
            certificate(&KeyPair::generate().unwrap()),
            String::new(),
            own.repeat(9),
        ] {
            fs::write(&beside, text).unwrap();
            assert!(matches!(
                TokenKey::read(&path),
                Err(KeyFileError::OtherCertificate { .. })
            ));
        }
    }
}
