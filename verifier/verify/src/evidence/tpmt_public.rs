//! The public area of a TPM's key: TPM 2.0 Library, part 2, `TPMT_PUBLIC` (12.2.4), of RSA keys and
//! of keys over P-256 whose name is by SHA-256. What it says of the key, the TPM enforces, if it is a
//! TPM that says it: the name, which is a digest of it, is what is pinned.

use super::cursor::Cursor;
use super::tpms_attest::{ECDSA, RSASSA, SHA256 as ALG_SHA256, be_u16, be_u32, sized};
use crate::x509::{p256_spki, rsa_spki};
use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;

/// An RSA key of 4096 bits has less than 600 bytes.
const MAX_PUBLIC_LEN: usize = 1024;

const RSA: u16 = 0x0001;
const AES: u16 = 0x0006;
const NULL: u16 = 0x0010;
const ECC: u16 = 0x0023;
const CFB: u16 = 0x0043;
const NIST_P256: u16 = 0x0003;
/// What an exponent of zero stands for.
const DEFAULT_EXPONENT: u32 = 65_537;

const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const ENCRYPTED_DUPLICATION: u32 = 1 << 11;
const RESTRICTED: u32 = 1 << 16;
const DECRYPT: u32 = 1 << 17;
const SIGN: u32 = 1 << 18;

/// A key's public area, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmPublic<'a> {
    /// `TPMA_OBJECT`.
    pub attributes: u32,
    /// The cipher that it protects others with: algorithm, bits, mode. `None` for a signing key.
    pub symmetric: Option<(u16, u16, u16)>,
    /// The one scheme that it signs by, and its hash. `None` where it may be any.
    pub scheme: Option<(u16, u16)>,
    /// The key.
    pub key: TpmKey<'a>,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmKey<'a> {
    /// RSA.
    Rsa {
        /// Big-endian.
        modulus: &'a [u8],
        /// Never zero.
        exponent: u32,
    },
    /// A point of P-256, big-endian.
    P256 {
        /// Its first coordinate.
        x: [u8; 32],
        /// Its second.
        y: [u8; 32],
    },
}

/// Why bytes are no public area that is known here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublicMalformed {
    /// Too long.
    #[error("a TPM public area of {len} bytes; at most {MAX_PUBLIC_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// Neither RSA nor elliptic curves.
    #[error("a TPM key of type {0:#06x}; RSA and ECC are known")]
    Type(u16),
    /// Its name is a digest of another kind.
    #[error("a TPM key whose name is by hash {0:#06x}; SHA-256 is known")]
    NameHash(u16),
    /// Another curve.
    #[error("a TPM key over curve {0:#06x}; P-256 is known")]
    Curve(u16),
    /// A part is not whole, or something comes after.
    #[error("a TPM public area is not of its form")]
    Form,
}

impl<'a> TpmPublic<'a> {
    /// Reads a public area, with nothing after it.
    ///
    /// # Errors
    ///
    /// [`PublicMalformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PublicMalformed> {
        if bytes.len() > MAX_PUBLIC_LEN {
            return Err(PublicMalformed::TooLong { len: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        let kind = be_u16(&mut cursor).ok_or(PublicMalformed::Form)?;
        if kind != RSA && kind != ECC {
            return Err(PublicMalformed::Type(kind));
        }
        let name_hash = be_u16(&mut cursor).ok_or(PublicMalformed::Form)?;
        if name_hash != ALG_SHA256 {
            return Err(PublicMalformed::NameHash(name_hash));
        }
        let attributes = be_u32(&mut cursor).ok_or(PublicMalformed::Form)?;
        // The authorization policy: who may use the key, which is no matter of what it is.
        sized(&mut cursor).ok_or(PublicMalformed::Form)?;
        let symmetric = symmetric(&mut cursor).ok_or(PublicMalformed::Form)?;
        let scheme = scheme(&mut cursor).ok_or(PublicMalformed::Form)?;
        let key = if kind == RSA {
            rsa(&mut cursor).ok_or(PublicMalformed::Form)?
        } else {
            ecc(&mut cursor)?
        };
        if !cursor.rest().is_empty() {
            return Err(PublicMalformed::Form);
        }
        Ok(Self {
            attributes,
            symmetric,
            scheme,
            key,
        })
    }

    /// The key as `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        match &self.key {
            TpmKey::Rsa { modulus, exponent } => rsa_spki(modulus, &exponent.to_be_bytes()),
            TpmKey::P256 { x, y } => p256_spki(x, y),
        }
    }

    /// Whether its TPM made it, keeps it, and signs by it nothing but what the TPM says itself.
    ///
    /// # Errors
    ///
    /// In words, what is not so.
    pub fn signs_for_its_tpm_alone(&self) -> Result<(), &'static str> {
        self.stays_in_its_tpm()?;
        if self.attributes & SIGN == 0 || self.attributes & DECRYPT != 0 {
            return Err("it is not for signatures alone");
        }
        let scheme = match self.key {
            TpmKey::Rsa { .. } => RSASSA,
            TpmKey::P256 { .. } => ECDSA,
        };
        if self.symmetric.is_some() || self.scheme != Some((scheme, ALG_SHA256)) {
            return Err("it signs neither by RSASSA nor by ECDSA with SHA-256");
        }
        Ok(())
    }

    /// Whether it is an endorsement key: nothing but a TPM's own can be opened by it.
    ///
    /// # Errors
    ///
    /// In words, what is not so.
    pub fn opens_for_its_tpm_alone(&self) -> Result<(), &'static str> {
        self.stays_in_its_tpm()?;
        if self.attributes & DECRYPT == 0 || self.attributes & SIGN != 0 {
            return Err("it is not for decryption alone");
        }
        if self.symmetric != Some((AES, 128, CFB)) {
            return Err("it does not protect by AES-128 in CFB");
        }
        Ok(())
    }

    fn stays_in_its_tpm(&self) -> Result<(), &'static str> {
        let wanted = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN;
        if self.attributes & wanted != wanted || self.attributes & ENCRYPTED_DUPLICATION != 0 {
            return Err("it was not made in its TPM, or may leave it");
        }
        if self.attributes & RESTRICTED == 0 {
            return Err("it is not restricted to what its TPM says");
        }
        Ok(())
    }
}

/// A TPM's name of the key with this public area (part 1, 16): the hash's number, and the digest.
#[must_use]
pub fn tpm_name(public: &[u8]) -> [u8; 34] {
    let mut name = [0; 34];
    let (algorithm, hash) = name.split_at_mut(2);
    algorithm.copy_from_slice(&ALG_SHA256.to_be_bytes());
    hash.copy_from_slice(digest(&SHA256, public).as_ref());
    name
}

/// `TPMT_SYM_DEF_OBJECT`. `None` outside: not whole.
fn symmetric(cursor: &mut Cursor<'_>) -> Option<Option<(u16, u16, u16)>> {
    match be_u16(cursor)? {
        NULL => Some(None),
        algorithm => Some(Some((algorithm, be_u16(cursor)?, be_u16(cursor)?))),
    }
}

/// `TPMT_ASYM_SCHEME` of the schemes that have a hash and nothing else.
fn scheme(cursor: &mut Cursor<'_>) -> Option<Option<(u16, u16)>> {
    match be_u16(cursor)? {
        NULL => Some(None),
        scheme => Some(Some((scheme, be_u16(cursor)?))),
    }
}

fn rsa<'a>(cursor: &mut Cursor<'a>) -> Option<TpmKey<'a>> {
    let bits = be_u16(cursor)?;
    let exponent = match be_u32(cursor)? {
        0 => DEFAULT_EXPONENT,
        exponent => exponent,
    };
    let modulus = sized(cursor)?;
    (modulus.len().checked_mul(8)? == usize::from(bits))
        .then_some(TpmKey::Rsa { modulus, exponent })
}

fn ecc(cursor: &mut Cursor<'_>) -> Result<TpmKey<'static>, PublicMalformed> {
    let curve = be_u16(cursor).ok_or(PublicMalformed::Form)?;
    if curve != NIST_P256 {
        return Err(PublicMalformed::Curve(curve));
    }
    let point = |cursor: &mut Cursor<'_>| {
        // A signing key derives nothing.
        let kdf = be_u16(cursor)?;
        let (x, y) = (coordinate(cursor)?, coordinate(cursor)?);
        (kdf == NULL).then_some(TpmKey::P256 { x, y })
    };
    point(cursor).ok_or(PublicMalformed::Form)
}

/// 32 bytes, which a TPM may write without their leading zeros.
fn coordinate(cursor: &mut Cursor<'_>) -> Option<[u8; 32]> {
    let mut fixed = [0; 32];
    let number = sized(cursor)?;
    let start = fixed.len().checked_sub(number.len())?;
    fixed.get_mut(start..)?.copy_from_slice(number);
    Some(fixed)
}

#[cfg(test)]
mod tests;
