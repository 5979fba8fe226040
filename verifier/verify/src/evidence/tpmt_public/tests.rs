use super::*;
use proptest::prelude::*;

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const ATTESTS: u32 = 0x0005_0072;

fn area(kind: u16, attributes: u32, rest: &[u8]) -> Vec<u8> {
    let mut area = kind.to_be_bytes().to_vec();
    area.extend(ALG_SHA256.to_be_bytes());
    area.extend(attributes.to_be_bytes());
    area.extend([0, 0]);
    area.extend(rest);
    area
}

fn p256(attributes: u32) -> Vec<u8> {
    let mut rest = vec![0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 1, 7, 0, 32];
    rest.extend([8; 32]);
    area(ECC, attributes, &rest)
}

fn rsa_2048(attributes: u32) -> Vec<u8> {
    let mut rest = vec![0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 1, 0];
    rest.extend([9; 256]);
    area(RSA, attributes, &rest)
}

#[test]
fn both_kinds_of_keys_are_read() {
    let bytes = p256(ATTESTS);
    let read = TpmPublic::parse(&bytes).unwrap();
    let mut x = [0; 32];
    x[31] = 7;
    assert_eq!(read.key, TpmKey::P256 { x, y: [8; 32] });
    assert_eq!(read.signs_for_its_tpm_alone(), Ok(()));
    assert!(read.opens_for_its_tpm_alone().is_err());
    assert_eq!(read.spki(), p256_spki(&x, &[8; 32]));
    let bytes = rsa_2048(ATTESTS);
    let read = TpmPublic::parse(&bytes).unwrap();
    let modulus = &[9; 256][..];
    let exponent = 65_537;
    assert_eq!(read.key, TpmKey::Rsa { modulus, exponent });
    assert_eq!(read.signs_for_its_tpm_alone(), Ok(()));
    assert_eq!(read.spki(), rsa_spki(modulus, &[1, 0, 1]));
}

#[test]
fn a_key_that_may_leave_or_sign_anything_is_no_attestation_key() {
    for bit in [
        FIXED_TPM,
        FIXED_PARENT,
        SENSITIVE_DATA_ORIGIN,
        RESTRICTED,
        SIGN,
        DECRYPT,
    ] {
        let bytes = p256(ATTESTS ^ bit);
        let read = TpmPublic::parse(&bytes).unwrap();
        assert!(read.signs_for_its_tpm_alone().is_err(), "{bit:#x}");
    }
    let bytes = p256(ATTESTS | ENCRYPTED_DUPLICATION);
    let duplicated = TpmPublic::parse(&bytes).unwrap();
    assert!(duplicated.signs_for_its_tpm_alone().is_err());
    // Any scheme, and another hash.
    for (at, value) in [(13, 0x16), (15, 4)] {
        let mut bytes = p256(ATTESTS);
        bytes[at] = value;
        let read = TpmPublic::parse(&bytes).unwrap();
        assert!(read.signs_for_its_tpm_alone().is_err(), "{at}");
    }
}

#[test]
fn an_endorsement_key_is_for_decryption_by_its_cipher() {
    let attributes = (ATTESTS ^ SIGN) | DECRYPT;
    let mut rest = vec![0, 6, 0, 128, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 1, 0];
    rest.extend([9; 256]);
    let bytes = area(RSA, attributes, &rest);
    let read = TpmPublic::parse(&bytes).unwrap();
    assert_eq!(read.opens_for_its_tpm_alone(), Ok(()));
    assert!(read.signs_for_its_tpm_alone().is_err());
    let bytes = area(RSA, attributes ^ RESTRICTED, &rest);
    let loose = TpmPublic::parse(&bytes).unwrap();
    assert!(loose.opens_for_its_tpm_alone().is_err());
}

#[test]
fn what_is_no_public_area_is_refused_by_its_reason() {
    let good = p256(ATTESTS);
    for len in 0..good.len() {
        let refused = TpmPublic::parse(&good[..len]);
        assert_eq!(refused, Err(PublicMalformed::Form), "{len}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(TpmPublic::parse(&longer), Err(PublicMalformed::Form));
    for (at, value, fault) in [
        (1, 0x08, PublicMalformed::Type(8)),
        (3, 0x0c, PublicMalformed::NameHash(0x0c)),
        (17, 4, PublicMalformed::Curve(4)),
        (19, 0x20, PublicMalformed::Form),
    ] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(TpmPublic::parse(&bytes), Err(fault), "{at}");
    }
    let refused = TpmPublic::parse(&[0; 1025]);
    assert_eq!(refused, Err(PublicMalformed::TooLong { len: 1025 }));
    // 2048 bits said, 2040 there.
    let mut bytes = rsa_2048(ATTESTS);
    bytes.pop();
    bytes[22] = 0;
    bytes[23] = 255;
    assert_eq!(TpmPublic::parse(&bytes), Err(PublicMalformed::Form));
}

#[test]
fn a_name_is_the_number_of_the_hash_and_the_digest() {
    let name = tpm_name(b"");
    assert_eq!(name[..6], [0, 0x0b, 0xe3, 0xb0, 0xc4, 0x42]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        at in 0..60usize,
        value: u8,
    ) {
        let _ = TpmPublic::parse(&bytes);
        for mut changed in [p256(ATTESTS), rsa_2048(ATTESTS)] {
            if let Some(byte) = changed.get_mut(at) {
                *byte = value;
            }
            if let Ok(read) = TpmPublic::parse(&changed) {
                let _ = (read.spki(), read.signs_for_its_tpm_alone());
            }
        }
    }
}
