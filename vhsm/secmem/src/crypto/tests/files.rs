//! PKCS#8 files: those of others, and what is wrong with them.

use super::hex;
use crate::crypto::{
    CryptoError, Curve, Ec, Ed25519, KeyAlgorithm, MAX_PKCS8_LEN, MlDsa65, MlKem768, Rsa, RsaSize,
    X25519, parse_pkcs8,
};
use crate::testing::{installed, refuse_each, unhex};

/// A DER value.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let head = crate::crypto::der::Head::new(tag, contents.len()).unwrap();
    [head.as_bytes(), &contents].concat()
}

/// A file of version 0, or of version 1 with a public key.
pub(super) fn file(algorithm: KeyAlgorithm, key: &[u8], public: Option<&[u8]>) -> Vec<u8> {
    let identifier = value(0x30, &[algorithm.identifier()]);
    let key = value(4, &[key]);
    match public {
        None => value(0x30, &[&[2, 1, 0], &identifier, &key]),
        Some(public) => {
            let public = value(0x81, &[&[0], public]);
            value(0x30, &[&[2, 1, 1], &identifier, &key, &public])
        }
    }
}

/// An `ECPrivateKey`.
fn ec_key(scalar: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let scalar = value(4, &[scalar]);
    value(0x30, &[&[&[2, 1, 1], &scalar[..]], rest].concat())
}

/// Reads a file as a key of its kind.
fn read(algorithm: KeyAlgorithm, file: &[u8]) -> Result<(), CryptoError> {
    match algorithm {
        KeyAlgorithm::Ec(curve) => Ec::from_pkcs8(curve, file).map(drop),
        KeyAlgorithm::Ed25519 => Ed25519::from_pkcs8(file).map(drop),
        KeyAlgorithm::X25519 => X25519::from_pkcs8(file).map(drop),
        KeyAlgorithm::Rsa => Rsa::from_pkcs8(RsaSize::Bits2048, file).map(drop),
        KeyAlgorithm::MlDsa65 => MlDsa65::from_pkcs8(file).map(drop),
        KeyAlgorithm::MlKem768 => MlKem768::from_pkcs8(file).map(drop),
    }
}

/// For each kind a key as its file has it inside, and its public key.
fn keys() -> Vec<(KeyAlgorithm, Vec<u8>, Vec<u8>)> {
    let mut keys: Vec<_> = Curve::ALL
        .into_iter()
        .map(|curve| {
            let mut scalar = vec![3; curve.scalar_len()];
            scalar[0] = 0;
            let key = Ec::from_scalar(curve, &scalar).unwrap();
            let public = key.public_point().as_bytes().to_vec();
            (KeyAlgorithm::Ec(curve), ec_key(&scalar, &[]), public)
        })
        .collect();
    let octets = value(4, &[&[7; 32]]);
    let public = Ed25519::from_seed(&[7; 32]).unwrap().public();
    keys.push((KeyAlgorithm::Ed25519, octets.clone(), public.to_vec()));
    let public = X25519::from_private(&[7; 32]).unwrap().public();
    keys.push((KeyAlgorithm::X25519, octets, public.to_vec()));
    let seed = value(0x80, &[&[7; 32]]);
    let public = MlDsa65::from_seed(&[7; 32]).unwrap().public().to_vec();
    keys.push((KeyAlgorithm::MlDsa65, seed, public));
    let seed = value(0x80, &[&[7; 64]]);
    let public = MlKem768::from_seed(&[7; 64]).unwrap().public().to_vec();
    keys.push((KeyAlgorithm::MlKem768, seed, public));
    let key = Rsa::generate(RsaSize::Bits2048).unwrap();
    let whole = key.pkcs8().unwrap();
    let inner = parse_pkcs8(whole.expose()).unwrap().secret.to_vec();
    let public = crate::crypto::parse_spki(key.spki()).unwrap().key.to_vec();
    keys.push((KeyAlgorithm::Rsa, inner, public));
    keys
}

#[test]
fn the_example_of_rfc_8410_is_read() {
    installed();
    let der = unhex(
        "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44\
         755842",
    );
    let key = Ed25519::from_pkcs8(&der).unwrap();
    let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    assert_eq!(key.public(), hex(public));
    assert_eq!(
        X25519::from_pkcs8(&der).unwrap_err(),
        CryptoError::WrongAlgorithm
    );
}

#[test]
fn a_file_of_each_kind_is_read_with_and_without_its_public_key() {
    installed();
    for (algorithm, key, public) in keys() {
        assert_eq!(read(algorithm, &file(algorithm, &key, None)), Ok(()));
        assert_eq!(
            read(algorithm, &file(algorithm, &key, Some(&public))),
            Ok(())
        );
        let mut other = public;
        *other.last_mut().unwrap() ^= 1;
        assert_eq!(
            read(algorithm, &file(algorithm, &key, Some(&other))),
            Err(CryptoError::InvalidKey),
            "{algorithm:?}"
        );
        for wrong in KeyAlgorithm::ALL {
            if wrong != algorithm {
                let file = file(algorithm, &key, None);
                assert_eq!(read(wrong, &file), Err(CryptoError::WrongAlgorithm));
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_off_or_goes_on_is_refused() {
    installed();
    for (algorithm, key, public) in keys() {
        let whole = file(algorithm, &key, Some(&public));
        for len in (0..whole.len()).step_by(whole.len() / 64) {
            assert_eq!(
                parse_pkcs8(&whole[..len]).unwrap_err(),
                CryptoError::BadEncoding
            );
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(parse_pkcs8(&longer).unwrap_err(), CryptoError::BadEncoding);
        let inner = [&key[..], &[0]].concat();
        assert_eq!(
            read(algorithm, &file(algorithm, &inner, None)).unwrap_err(),
            CryptoError::BadEncoding,
            "{algorithm:?}"
        );
    }
    assert_eq!(
        parse_pkcs8(&vec![0x30; MAX_PKCS8_LEN + 1]).unwrap_err(),
        CryptoError::BadEncoding
    );
}

#[test]
fn a_file_with_a_changed_byte_is_no_other_key_or_refused() {
    installed();
    for (algorithm, key, public) in keys() {
        let whole = file(algorithm, &key, Some(&public));
        for index in (0..whole.len()).step_by(1 + whole.len() / 200) {
            let mut changed = whole.clone();
            // A bit that X25519 does not ignore.
            changed[index] ^= 0x10;
            // The second half of this seed has no part in the public key.
            let is_second_half = parse_pkcs8(&changed).is_ok_and(|info| {
                let same = info.secret.get(..32) == Some(&[7; 32]);
                algorithm == KeyAlgorithm::MlKem768 && same && info.public == Some(&public)
            });
            if is_second_half {
                continue;
            }
            // Its public key no longer fits, or its form is wrong, or its numbers.
            assert!(read(algorithm, &changed).is_err(), "{algorithm:?} {index}");
        }
    }
}

#[test]
fn versions_and_attributes_that_do_not_belong_are_refused() {
    installed();
    let algorithm = KeyAlgorithm::Ed25519;
    let identifier = value(0x30, &[algorithm.identifier()]);
    let key = value(4, &[&value(4, &[&[7; 32]])]);
    let public = Ed25519::from_seed(&[7; 32]).unwrap().public();
    let bits = value(0x81, &[&[0], &public]);
    let attributes = [0xa0, 0];
    for (parts, name) in [
        (
            vec![&[2, 1, 0][..], &identifier, &key, &bits],
            "version 0 with a public key",
        ),
        (vec![&[2, 1, 1][..], &identifier, &key], "version 1 without"),
        (vec![&[2, 1, 2][..], &identifier, &key], "version 2"),
        (vec![&[2, 2, 0, 0][..], &identifier, &key], "a longer zero"),
        (
            vec![&[2, 1, 0][..], &identifier, &key, &attributes],
            "attributes",
        ),
        (vec![&identifier[..], &key], "no version"),
        (vec![&[2, 1, 0][..], &key, &identifier], "another order"),
    ] {
        let file = value(0x30, &parts);
        assert_eq!(
            parse_pkcs8(&file).unwrap_err(),
            CryptoError::BadEncoding,
            "{name}"
        );
    }
    let unused_bit = value(0x81, &[&[1], &public]);
    let file = value(0x30, &[&[2, 1, 1], &identifier, &key, &unused_bit]);
    assert!(parse_pkcs8(&file).is_err());
    let with_null = value(0x30, &[algorithm.identifier(), &[5, 0]]);
    let file = value(0x30, &[&[2, 1, 0], &with_null, &key]);
    assert_eq!(parse_pkcs8(&file).unwrap_err(), CryptoError::WrongAlgorithm);
}

#[test]
fn an_ec_file_may_say_its_curve_and_point_again_but_no_other() {
    installed();
    let scalar = [3; 32];
    let algorithm = KeyAlgorithm::Ec(Curve::P256);
    let key = Ec::from_scalar(Curve::P256, &scalar).unwrap();
    let point = key.public_point();
    let p256 = value(0xa0, &[&algorithm.identifier()[9..]]);
    let p384 = value(0xa0, &[&KeyAlgorithm::Ec(Curve::P384).identifier()[9..]]);
    let public = value(0xa1, &[&value(3, &[&[0], point.as_bytes()])]);
    let mut other = point.as_bytes().to_vec();
    other[64] ^= 1;
    let wrong = value(0xa1, &[&value(3, &[&[0], &other])]);
    for (rest, expected) in [
        (vec![&p256[..]], Ok(())),
        (vec![&public[..]], Ok(())),
        (vec![&p256[..], &public], Ok(())),
        (vec![&p384[..]], Err(CryptoError::BadEncoding)),
        (vec![&[0xa0, 0][..]], Err(CryptoError::BadEncoding)),
        (vec![&public[..], &p256], Err(CryptoError::BadEncoding)),
        (vec![&wrong[..]], Err(CryptoError::InvalidKey)),
    ] {
        let file = file(algorithm, &ec_key(&scalar, &rest), None);
        assert_eq!(read(algorithm, &file), expected);
    }
    // Inside and outside, but not the same.
    let inside = ec_key(&scalar, &[&public]);
    let both = file(algorithm, &inside, Some(&other));
    assert_eq!(read(algorithm, &both), Err(CryptoError::InvalidKey));
    for scalar in [&[0; 32][..], &[0xff; 32], &[3; 31], &[3; 33]] {
        let file = file(algorithm, &ec_key(scalar, &[]), None);
        assert_eq!(read(algorithm, &file), Err(CryptoError::InvalidKey));
    }
}

#[test]
fn a_lattice_key_has_its_seed_and_nothing_that_is_not_its() {
    installed();
    for (algorithm, seed_len, len) in [
        (KeyAlgorithm::MlDsa65, 32, 4032),
        (KeyAlgorithm::MlKem768, 64, 2400),
    ] {
        let seed = value(4, &[&vec![7; seed_len]]);
        let expanded = value(4, &[&vec![7; len]]);
        for (key, expected) in [
            (expanded.clone(), CryptoError::NoSeed),
            (value(4, &[&vec![7; len - 1]]), CryptoError::BadEncoding),
            (seed.clone(), CryptoError::BadEncoding),
            (
                value(0x80, &[&vec![7; seed_len - 1]]),
                CryptoError::BadEncoding,
            ),
            (value(0x30, &[&seed]), CryptoError::BadEncoding),
            (value(0x30, &[&expanded, &seed]), CryptoError::BadEncoding),
            (value(0x30, &[&seed, &expanded]), CryptoError::InvalidKey),
        ] {
            let file = file(algorithm, &key, None);
            assert_eq!(read(algorithm, &file), Err(expected), "{algorithm:?}");
        }
    }
}

#[test]
fn a_file_is_read_whole_or_refused_when_the_arena_is_full() {
    installed();
    for (algorithm, key, public) in keys() {
        let file = file(algorithm, &key, Some(&public));
        let (count, ()) = refuse_each("file", || read(algorithm, &file));
        assert!(count > 0, "{algorithm:?}");
    }
}

#[test]
fn a_weak_or_inconsistent_rsa_key_is_refused() {
    installed();
    let key = Rsa::generate(RsaSize::Bits2048).unwrap();
    let whole = key.pkcs8().unwrap();
    let again = Rsa::from_pkcs8(RsaSize::Bits2048, whole.expose()).unwrap();
    assert_eq!(again.spki(), key.spki());
    assert_eq!(again.pkcs8().unwrap().expose(), whole.expose());
    assert_eq!(
        Rsa::from_pkcs8(RsaSize::Bits3072, whole.expose()).unwrap_err(),
        CryptoError::WrongAlgorithm
    );
    // The last number, a coefficient, no longer fits the others.
    let mut other = whole.expose().to_vec();
    let place = other.len() - 1;
    other[place] ^= 2;
    assert_eq!(
        Rsa::from_pkcs8(RsaSize::Bits2048, &other).unwrap_err(),
        CryptoError::InvalidKey
    );
    // An exponent of three, and all else in order.
    let small = file(KeyAlgorithm::Rsa, &rsa_key_with_exponent(3), None);
    assert!(parse_pkcs8(&small).is_ok());
    assert_eq!(
        Rsa::from_pkcs8(RsaSize::Bits2048, &small).unwrap_err(),
        CryptoError::InvalidKey
    );
    let not_a_key = file(KeyAlgorithm::Rsa, &value(0x30, &[&[2, 1, 0]]), None);
    assert_eq!(
        Rsa::from_pkcs8(RsaSize::Bits2048, &not_a_key).unwrap_err(),
        CryptoError::InvalidKey
    );
}

/// An `RSAPrivateKey` of 2048 bits that the library makes and we would not.
fn rsa_key_with_exponent(exponent: u64) -> Vec<u8> {
    use std::ptr::null_mut;
    let (mut start, mut len) = (null_mut(), 0);
    // SAFETY: every object is made here, used alone, and freed once; what is read is as long as
    // the library says.
    unsafe {
        let number = aws_lc_sys::BN_new();
        let key = aws_lc_sys::RSA_new();
        assert_eq!(aws_lc_sys::BN_set_word(number, exponent), 1);
        let made = aws_lc_sys::RSA_generate_key_ex(key, 2048, number, null_mut());
        assert_eq!(made, 1);
        let written = aws_lc_sys::RSA_private_key_to_bytes(&raw mut start, &raw mut len, key);
        assert_eq!(written, 1);
        let bytes = std::slice::from_raw_parts(start, len).to_vec();
        aws_lc_sys::OPENSSL_free(start.cast());
        aws_lc_sys::RSA_free(key);
        aws_lc_sys::BN_free(number);
        bytes
    }
}
