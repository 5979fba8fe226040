//! Known answers and refusals of P-256 and Ed25519, and a cross-check against aws-lc-rs.

use super::hex;
use crate::crypto::{
    CryptoError, EcP256, Ed25519, constant_time_eq, fixed_to_der, verify_ed25519,
    verify_p256_sha256,
};
use crate::testing::{installed, unhex};
use proptest::prelude::*;

// --- P-256

/// RFC 6979 A.2.5: the key and a signature over "sample".
const SCALAR: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
const POINT: &str = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
const SAMPLE_SIGNATURE: &str = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
    f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

#[test]
fn a_scalar_has_its_published_point_and_comes_back_out() {
    installed();
    let key = EcP256::from_scalar(&unhex(SCALAR)).unwrap();
    assert_eq!(key.public_point(), hex(POINT));
    let mut scalar = [0; 32];
    key.scalar_into(&mut scalar);
    assert_eq!(scalar, hex(SCALAR));
    // A small scalar keeps its zeroes in front.
    let mut one = [0; 32];
    one[31] = 1;
    let key = EcP256::from_scalar(&one).unwrap();
    key.scalar_into(&mut scalar);
    assert_eq!(scalar, one);
}

#[test]
fn the_published_signature_verifies_and_a_changed_one_does_not() {
    installed();
    let (point, signature) = (hex(POINT), hex(SAMPLE_SIGNATURE));
    assert!(verify_p256_sha256(&point, &[b"sample"], &signature));
    assert!(verify_p256_sha256(
        &point,
        &[b"sam", b"", b"ple"],
        &signature
    ));
    assert!(!verify_p256_sha256(&point, &[b"simple"], &signature));
    for index in [0, 31, 32, 63] {
        let mut other = signature;
        other[index] ^= 1;
        assert!(!verify_p256_sha256(&point, &[b"sample"], &other));
    }
    assert!(!verify_p256_sha256(&point, &[b"sample"], &[0; 64]));
    assert!(!verify_p256_sha256(&point, &[b"sample"], &[0xff; 64]));
    let mut off_curve = point;
    off_curve[64] ^= 1;
    assert!(!verify_p256_sha256(&off_curve, &[b"sample"], &signature));
    assert!(!verify_p256_sha256(&[0; 65], &[b"sample"], &signature));
}

#[test]
fn scalars_out_of_range_are_refused() {
    installed();
    let order: [u8; 32] = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut last = order;
    last[31] -= 1;
    assert!(EcP256::from_scalar(&last).is_ok());
    for scalar in [&[0; 32][..], &order, &[0xff; 32], &[1; 31], &[1; 33], &[]] {
        assert_eq!(
            EcP256::from_scalar(scalar).unwrap_err(),
            CryptoError::InvalidKey
        );
    }
}

#[test]
fn both_sides_of_ecdh_get_one_secret() {
    installed();
    let (one, other) = (EcP256::generate().unwrap(), EcP256::generate().unwrap());
    let shared = one.ecdh(&other.public_point()).unwrap();
    assert_eq!(shared.len(), 32);
    assert!(constant_time_eq(
        shared.expose(),
        other.ecdh(&one.public_point()).unwrap().expose()
    ));
    // The generator times one is the generator: x of a public point.
    let mut scalar = [0; 32];
    scalar[31] = 1;
    let unit = EcP256::from_scalar(&scalar).unwrap();
    let point = one.public_point();
    assert_eq!(unit.ecdh(&point).unwrap().expose(), &point[1..33]);
}

#[test]
fn points_off_the_curve_are_refused() {
    installed();
    let key = EcP256::generate().unwrap();
    let mut point = EcP256::generate().unwrap().public_point();
    point[64] ^= 1;
    assert_eq!(key.ecdh(&point).unwrap_err(), CryptoError::InvalidPoint);
    assert_eq!(key.ecdh(&[0; 65]).unwrap_err(), CryptoError::InvalidPoint);
    let mut too_large = [0xff; 65];
    too_large[0] = 4;
    assert_eq!(key.ecdh(&too_large).unwrap_err(), CryptoError::InvalidPoint);
}

#[test]
fn keys_are_fresh() {
    installed();
    let points: Vec<_> = (0..20)
        .map(|_| EcP256::generate().unwrap().public_point())
        .collect();
    let seeds: Vec<_> = (0..20)
        .map(|_| Ed25519::generate().unwrap().public())
        .collect();
    for index in 1..20 {
        assert!(!points[..index].contains(&points[index]));
        assert!(!seeds[..index].contains(&seeds[index]));
    }
}

// --- Ed25519: RFC 8032 7.1, tests 1 to 3

#[test]
fn ed25519_gives_the_signatures_of_rfc_8032() {
    installed();
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
             c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e\
             458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290\
             ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let key = Ed25519::from_seed(&unhex(seed)).unwrap();
        assert_eq!(key.public(), hex(public));
        let message = unhex(message);
        let signed = key.sign(&message).unwrap();
        assert_eq!(signed, hex(signature));
        assert!(verify_ed25519(&key.public(), &message, &signed).unwrap());
        assert!(!verify_ed25519(&key.public(), b"other", &signed).unwrap());
        let mut other = signed;
        other[0] ^= 1;
        assert!(!verify_ed25519(&key.public(), &message, &other).unwrap());
        let mut out = [0; 32];
        key.seed_into(&mut out);
        assert_eq!(out, hex(seed));
    }
    assert_eq!(
        Ed25519::from_seed(&[1; 31]).unwrap_err(),
        CryptoError::InvalidKey
    );
}

// --- Against aws-lc-rs

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn aws_lc_rs_accepts_our_signatures(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519};
        use aws_lc_rs::signature::UnparsedPublicKey;
        installed();
        let key = EcP256::generate().unwrap();
        let signature = key.sign(&message).unwrap();
        prop_assert!(verify_p256_sha256(&key.public_point(), &[&message], &signature));
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_point());
        prop_assert!(public.verify(&message, &signature).is_ok());
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_point());
        let der = fixed_to_der(&signature);
        prop_assert!(public.verify(&message, der.as_bytes()).is_ok());
        let key = Ed25519::generate().unwrap();
        let public = UnparsedPublicKey::new(&ED25519, key.public());
        prop_assert!(public.verify(&message, &key.sign(&message).unwrap()).is_ok());
    }
}
