//! Templates of keys, as `TPMT_PUBLIC` (TPM 2.0 Library, part 2, 12.2.4), and keys in the form in which
//! others read them.

use tss_esapi::structures::Public;
use tss_esapi::traits::UnMarshall;
use tss_esapi::{Error, WrapperErrorKind};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign; ECDSA with
/// SHA-256 over P-256. Its unique part is empty: the same key each time, until the endorsement seed is
/// another.
const AK_ECC: &[u8] = b"\x00\x23\x00\x0b\x00\x05\x04\x72\x00\x00\
    \x00\x10\x00\x18\x00\x0b\x00\x03\x00\x10\x00\x00\x00\x00";
/// The same by RSASSA with SHA-256 and 2048 bits.
const AK_RSA: &[u8] = b"\x00\x01\x00\x0b\x00\x05\x04\x72\x00\x00\
    \x00\x10\x00\x14\x00\x0b\x08\x00\x00\x00\x00\x00\x00\x00";
/// The endorsement key L-1 (TCG EK Credential Profile, B.3.3) up to its unique part, which is 256
/// zeros: RSA of 2048 bits, whose policy is PolicySecret of the endorsement hierarchy.
const EK_RSA_HEAD: &[u8] = b"\x00\x01\x00\x0b\x00\x03\x00\xb2\x00\x20\
    \x83\x71\x97\x67\x44\x84\xb3\xf8\x1a\x90\xcc\x8d\x46\xa5\xd7\x24\
    \xfd\x52\xd7\x6e\x06\x52\x0b\x64\xf2\xa1\xda\x1b\x33\x14\x69\xaa\
    \x00\x06\x00\x80\x00\x43\x00\x10\x08\x00\x00\x00\x00\x00\x01\x00";

/// Up to the coordinates of a key over P-256 (RFC 5480, 2.1).
const SPKI_P256_HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
/// Up to the modulus of an RSA key of 2048 bits, whose first bit is set (RFC 8017, A.1).
const SPKI_RSA_HEAD: &[u8] =
    b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\
    \x05\x00\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00";
/// The exponent 65537.
const SPKI_RSA_TAIL: &[u8] = b"\x02\x03\x01\x00\x01";
const DEFAULT_EXPONENT: u32 = 65_537;

/// The attestation key over P-256.
pub(super) fn ak_ecc() -> Result<Public, Error> {
    Public::unmarshall(AK_ECC)
}

/// The attestation key of RSA.
pub(super) fn ak_rsa() -> Result<Public, Error> {
    Public::unmarshall(AK_RSA)
}

/// The endorsement key.
pub(super) fn ek_rsa() -> Result<Public, Error> {
    Public::unmarshall(&[EK_RSA_HEAD, &[0; 256]].concat())
}

/// As `SubjectPublicKeyInfo` in DER.
pub(super) fn spki(key: &Public) -> Result<Vec<u8>, Error> {
    let unknown = Error::WrapperError(WrapperErrorKind::UnsupportedParam);
    match key {
        Public::Ecc { unique, .. } => {
            let mut point = [0; 64];
            let (x, y) = point.split_at_mut(32);
            for (half, number) in [(x, unique.x().value()), (y, unique.y().value())] {
                let start = half.len().checked_sub(number.len()).ok_or(unknown)?;
                let end = half.get_mut(start..).ok_or(unknown)?;
                end.copy_from_slice(number);
            }
            Ok([SPKI_P256_HEAD, &point].concat())
        }
        Public::Rsa {
            unique, parameters, ..
        } => {
            let modulus = unique.value();
            let is_high = modulus.first().is_some_and(|first| first & 0x80 != 0);
            let exponent = parameters.exponent().value();
            if modulus.len() != 256 || !is_high || ![0, DEFAULT_EXPONENT].contains(&exponent) {
                return Err(unknown);
            }
            Ok([SPKI_RSA_HEAD, modulus, SPKI_RSA_TAIL].concat())
        }
        Public::KeyedHash { .. } | Public::SymCipher { .. } => Err(unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tss_esapi::traits::Marshall;

    #[test]
    fn templates_are_read_and_written_as_they_stand() {
        assert_eq!(ak_ecc().unwrap().marshall().unwrap(), AK_ECC);
        assert_eq!(ak_rsa().unwrap().marshall().unwrap(), AK_RSA);
        let ek = ek_rsa().unwrap();
        assert_eq!(ek.marshall().unwrap().len(), EK_RSA_HEAD.len() + 256);
        let attributes = ak_ecc().unwrap().object_attributes();
        assert!(attributes.restricted() && attributes.sign_encrypt() && attributes.fixed_tpm());
        assert!(!attributes.decrypt() && attributes.no_da());
    }

    #[test]
    fn keys_are_written_for_others() {
        let public = [AK_ECC.split_at(20).0, &[0, 1, 7, 0, 32], &[9; 32]].concat();
        let written = spki(&Public::unmarshall(&public).unwrap()).unwrap();
        assert_eq!(written.len(), 91);
        assert_eq!(written[57..60], [0, 7, 9]);
        let public = [AK_RSA.split_at(22).0, &[1, 0], &[0x80; 256]].concat();
        let written = spki(&Public::unmarshall(&public).unwrap()).unwrap();
        assert_eq!(written.len(), 294);
        assert!(spki(&ak_rsa().unwrap()).is_err(), "it has no modulus");
    }
}
