//! A public half in the forms that other programs read.

use crate::PublicKey;
use thiserror::Error;

/// A public half, taken out of its SubjectPublicKeyInfo. Integers are big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicHalf<'a> {
    /// A point of a NIST curve.
    Ec {
        /// Which curve.
        curve: Curve,
        /// The first coordinate, as long as the field.
        x: &'a [u8],
        /// The second coordinate.
        y: &'a [u8],
    },
    /// Ed25519: 32 bytes.
    Ed25519(&'a [u8]),
    /// X25519: 32 bytes.
    X25519(&'a [u8]),
    /// RSA.
    Rsa {
        /// The modulus without leading zeros.
        modulus: &'a [u8],
        /// The public exponent without leading zeros.
        exponent: &'a [u8],
    },
    /// ML-DSA-65.
    MlDsa65(&'a [u8]),
    /// ML-KEM-768.
    MlKem768(&'a [u8]),
}

/// A NIST curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

/// Why a public half is not written in some form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublicKeyFault {
    /// It is not what a SubjectPublicKeyInfo is.
    #[error("the public key is not a SubjectPublicKeyInfo")]
    Malformed,
    /// Its algorithm is unknown here.
    #[error("the public key's algorithm is unknown")]
    UnknownAlgorithm,
    /// The form does not have its algorithm.
    #[error("{form} has no keys of this type")]
    NoForm {
        /// The form.
        form: &'static str,
    },
}

const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const OID_P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const OID_X25519: &[u8] = &[0x2b, 0x65, 0x6e];
const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_ML_DSA_65: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
const OID_ML_KEM_768: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, 0x02];

impl Curve {
    /// The name in a JWK (RFC 7518).
    pub const fn jwk_name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    const fn openssh_name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl PublicKey {
    /// The key in its parts.
    ///
    /// # Errors
    /// [`PublicKeyFault`].
    pub fn half(&self) -> Result<PublicHalf<'_>, PublicKeyFault> {
        half(&self.spki).ok_or(PublicKeyFault::Malformed)?
    }

    /// What stands in the SubjectPublicKeyInfo beside the algorithm: the point, the raw key, or
    /// RSA's numbers in DER.
    ///
    /// # Errors
    /// [`PublicKeyFault::Malformed`].
    pub fn bits(&self) -> Result<&[u8], PublicKeyFault> {
        parse(&self.spki)
            .map(|(_, bits)| bits)
            .ok_or(PublicKeyFault::Malformed)
    }

    /// The key in the binary form of RFC 4253, 5656 and 8709, and its algorithm's name: both
    /// stand, the binary form in base64, in an `authorized_keys` file.
    ///
    /// # Errors
    /// [`PublicKeyFault::NoForm`] for keys that do not sign, and for ML-DSA.
    pub fn openssh(&self) -> Result<(String, Vec<u8>), PublicKeyFault> {
        let half = self.half()?;
        let name = match half {
            PublicHalf::Ec { curve, .. } => format!("ecdsa-sha2-{}", curve.openssh_name()),
            PublicHalf::Ed25519(_) => "ssh-ed25519".into(),
            PublicHalf::Rsa { .. } => "ssh-rsa".into(),
            _ => return Err(PublicKeyFault::NoForm { form: "OpenSSH" }),
        };
        let mut blob = Vec::new();
        put(&mut blob, name.as_bytes());
        match half {
            PublicHalf::Ec { curve, x, y } => {
                put(&mut blob, curve.openssh_name().as_bytes());
                put(&mut blob, &[&[4], x, y].concat());
            }
            PublicHalf::Ed25519(key) => put(&mut blob, key),
            PublicHalf::Rsa { modulus, exponent } => {
                put_integer(&mut blob, exponent);
                put_integer(&mut blob, modulus);
            }
            _ => {}
        }
        Ok((name, blob))
    }
}

/// A string of RFC 4251.
fn put(blob: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    blob.extend_from_slice(&len.to_be_bytes());
    blob.extend_from_slice(bytes);
}

/// An mpint of RFC 4251: positive, so with a zero before a set first bit.
fn put_integer(blob: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => put(blob, &[&[0], bytes].concat()),
        _ => put(blob, bytes),
    }
}

/// The algorithm and the key's own bytes.
fn parse(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, rest) = element(spki, 0x30)?;
    let (algorithm, info) = element(info, 0x30)?;
    let (bits, after) = element(info, 0x03)?;
    let (&unused, key) = bits.split_first()?;
    let whole = rest.is_empty() && after.is_empty() && unused == 0;
    whole.then_some((algorithm, key))
}

fn half(spki: &[u8]) -> Option<Result<PublicHalf<'_>, PublicKeyFault>> {
    let (algorithm, key) = parse(spki)?;
    let (oid, parameters) = element(algorithm, 0x06)?;
    Some(Ok(match oid {
        OID_EC => {
            let (curve, _) = element(parameters, 0x06)?;
            let curve = match curve {
                OID_P256 => Curve::P256,
                OID_P384 => Curve::P384,
                OID_P521 => Curve::P521,
                _ => return Some(Err(PublicKeyFault::UnknownAlgorithm)),
            };
            let (&form, point) = key.split_first()?;
            let (x, y) = point.split_at_checked(curve.field_len())?;
            if form != 4 || y.len() != curve.field_len() {
                return None;
            }
            PublicHalf::Ec { curve, x, y }
        }
        OID_ED25519 if key.len() == 32 => PublicHalf::Ed25519(key),
        OID_X25519 if key.len() == 32 => PublicHalf::X25519(key),
        OID_RSA => {
            let (numbers, rest) = element(key, 0x30)?;
            let (modulus, numbers) = element(numbers, 0x02)?;
            let (exponent, end) = element(numbers, 0x02)?;
            if !rest.is_empty() || !end.is_empty() {
                return None;
            }
            PublicHalf::Rsa {
                modulus: unsigned(modulus)?,
                exponent: unsigned(exponent)?,
            }
        }
        OID_ML_DSA_65 => PublicHalf::MlDsa65(key),
        OID_ML_KEM_768 => PublicHalf::MlKem768(key),
        OID_ED25519 | OID_X25519 => return None,
        _ => return Some(Err(PublicKeyFault::UnknownAlgorithm)),
    }))
}

/// A positive INTEGER without its leading zero.
fn unsigned(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => Some(rest),
        [first, ..] if first & 0x80 == 0 => Some(integer),
        _ => None,
    }
}

/// The contents of the element in front, which has this tag, and what follows it. Lengths of up to
/// two bytes, as long as public keys are.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(spki: &[&[u8]]) -> PublicKey {
        PublicKey {
            version: 1,
            spki: spki.concat(),
        }
    }

    fn ed25519() -> PublicKey {
        key(&[
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
            &[7; 32],
        ])
    }

    #[test]
    fn an_ed25519_key_is_written_for_openssh() {
        let key = ed25519();
        assert_eq!(key.half(), Ok(PublicHalf::Ed25519(&[7; 32])));
        let (name, blob) = key.openssh().unwrap();
        assert_eq!(name, "ssh-ed25519");
        assert_eq!(
            blob,
            [b"\0\0\0\x0bssh-ed25519\0\0\0\x20", &[7; 32][..]].concat()
        );
    }

    #[test]
    fn an_ec_key_has_its_coordinates() {
        let head = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
        let key = key(&[head, &[1; 32], &[2; 32]]);
        assert_eq!(
            key.half(),
            Ok(PublicHalf::Ec {
                curve: Curve::P256,
                x: &[1; 32],
                y: &[2; 32]
            })
        );
        let (name, blob) = key.openssh().unwrap();
        assert_eq!(name, "ecdsa-sha2-nistp256");
        assert!(blob.ends_with(&[&[4], &[1; 32][..], &[2; 32]].concat()));
    }

    #[test]
    fn an_rsa_key_has_its_numbers_and_openssh_keeps_them_positive() {
        let spki = key(&[
            b"\x30\x1c\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
            b"\x03\x0b\x00\x30\x08\x02\x02\x00\x81\x02\x02\x01\x01",
        ]);
        assert_eq!(
            spki.half(),
            Ok(PublicHalf::Rsa {
                modulus: &[0x81],
                exponent: &[1, 1]
            })
        );
        let (_, blob) = spki.openssh().unwrap();
        assert!(blob.ends_with(b"\0\0\0\x02\x01\x01\0\0\0\x02\x00\x81"));
    }

    #[test]
    fn what_is_no_public_key_is_named() {
        let whole = ed25519().spki;
        for cut in 0..whole.len() {
            assert_eq!(
                key(&[&whole[..cut]]).half(),
                Err(PublicKeyFault::Malformed),
                "{cut}"
            );
        }
        assert_eq!(key(&[&whole, &[0]]).half(), Err(PublicKeyFault::Malformed));
        let mut other = whole.clone();
        other[8] = 0x71;
        assert_eq!(key(&[&other]).half(), Err(PublicKeyFault::UnknownAlgorithm));
        let x25519 = key(&[
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00",
            &[7; 32],
        ]);
        assert_eq!(
            x25519.openssh(),
            Err(PublicKeyFault::NoForm { form: "OpenSSH" })
        );
    }
}
