//! `signer-list make|add|retire|show`.

use super::keys::hex;
use super::resource::{read_input, write_out};
use crate::clock::Clock;
use crate::key_file::key_id;
use crate::signer::{Signer, read_public};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use nitride_kbs::limits::MAX_SIGNER_LIST_LEN;
use nitride_kbs::signer_list::{
    ListedKey, SignerList, UnverifiedSignerList, assemble, to_be_signed,
};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an owner's first list, with serial 1.
    Make {
        #[command(flatten)]
        signing: Signing,
        /// The owner, as vaults name it: `name` of their [[signer]].
        #[arg(long, value_name = "NAME")]
        owner: String,
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        time: Time,
    },
    /// Make the next list, with a key more, or with another time for one that it names.
    Add {
        #[command(flatten)]
        signing: Signing,
        #[command(flatten)]
        before: Before,
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        time: Time,
    },
    /// Make the next list, without a key: nothing that it ever signed is believed any more.
    Retire {
        #[command(flatten)]
        signing: Signing,
        #[command(flatten)]
        before: Before,
        #[command(flatten)]
        key: Key,
    },
    /// Verify a list and print what it says.
    Show {
        #[command(flatten)]
        before: Before,
        /// The public half of the owner's list key: SPKI PEM.
        #[arg(long, value_name = "PATH")]
        list_public: PathBuf,
    },
}

/// Who signs the list, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct Signing {
    /// The owner's list key, P-256 in PKCS#8 PEM. It signs lists and nothing else.
    #[arg(
        long,
        value_name = "PATH",
        group = "signs_list",
        required_unless_present = "signer"
    )]
    list_key: Option<PathBuf>,
    /// In its place, a TOML file that says where the list key is: in a token, by PKCS#11, or in
    /// OpenBao's transit engine.
    #[arg(long, value_name = "PATH", group = "signs_list")]
    signer: Option<PathBuf>,
    /// Where the list goes; `resource put --envelope` stores it. `-` is standard output.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

/// The list that there is.
#[derive(Debug, Args)]
pub(crate) struct Before {
    /// The newest list. `-` is standard input.
    #[arg(long, value_name = "PATH")]
    list: PathBuf,
}

/// A key that signs envelopes.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The public half of a key that signs envelopes: SPKI PEM.
    #[arg(long, value_name = "PATH")]
    key: PathBuf,
}

/// When its signatures count.
#[derive(Debug, Args)]
pub(crate) struct Time {
    /// From when on its signatures count, in seconds since 1970; since ever if left out.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        hide_default_value = true
    )]
    from_secs: u64,
    /// Until when, in seconds since 1970; until a list names it no more if left out.
    #[arg(long, value_name = "SECONDS")]
    until_secs: Option<u64>,
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        let now_secs = Clock::system().wall_secs();
        match self {
            Self::Make {
                signing,
                owner,
                key,
                time,
            } => signing.write(|_| {
                Ok(SignerList {
                    owner,
                    serial: 1,
                    previous: None,
                    created_secs: now_secs,
                    keys: vec![time.of(&key)?],
                })
            }),
            Self::Add {
                signing,
                before,
                key,
                time,
            } => signing.write(|by| {
                let mut next = before.next(by, now_secs)?;
                let added = time.of(&key)?;
                next.keys.retain(|listed| listed.point != added.point);
                next.keys.push(added);
                Ok(next)
            }),
            Self::Retire {
                signing,
                before,
                key,
            } => signing.write(|by| {
                let mut next = before.next(by, now_secs)?;
                let point = point_of(&read_public(&key.key)?)?;
                let len = next.keys.len();
                next.keys.retain(|listed| listed.point != point);
                if next.keys.len() == len {
                    bail!("the list does not name {}", key.key.display());
                }
                Ok(next)
            }),
            Self::Show {
                before,
                list_public,
            } => show(&before, &read_public(&list_public)?),
        }
    }
}

impl Signing {
    /// Signs what `list` comes to under the signer's public key, and writes it.
    fn write(self, list: impl FnOnce(&VerifyingKey) -> Result<SignerList>) -> Result<()> {
        let signer = Signer::of(self.list_key.as_deref(), self.signer.as_deref())?;
        let mut signer = signer.context("say who signs: --list-key or --signer")?;
        let list = list(signer.public())?;
        let kid = *signer.kid();
        let signature = signer.sign(&to_be_signed(&kid, &list)?)?;
        write_out(&self.out, &assemble(&kid, &list, &signature)?)
    }
}

impl Before {
    /// The list, verified, and its digest.
    fn read(&self, by: &VerifyingKey) -> Result<(SignerList, [u8; 32])> {
        let bytes = read_input(&self.list, MAX_SIGNER_LIST_LEN)?;
        let no_list = || format!("read {}", self.list.display());
        let unverified = UnverifiedSignerList::parse(&bytes).with_context(no_list)?;
        let digest = unverified.digest();
        let check = |parts: &[&[u8]], signature: &[u8; 64]| {
            Signature::from_slice(signature)
                .is_ok_and(|signature| by.verify(&parts.concat(), &signature).is_ok())
        };
        Ok((unverified.verified_by(check).with_context(no_list)?, digest))
    }

    /// The list that follows it, with the same keys. Only a list of one's own is continued.
    fn next(&self, by: &VerifyingKey, now_secs: u64) -> Result<SignerList> {
        let (list, digest) = self.read(by)?;
        let serial = list.serial.checked_add(1);
        Ok(SignerList {
            serial: serial.context("no serial follows the list's")?,
            previous: Some(digest),
            created_secs: now_secs,
            ..list
        })
    }
}

impl Time {
    fn of(&self, key: &Key) -> Result<ListedKey> {
        Ok(ListedKey {
            point: point_of(&read_public(&key.key)?)?,
            from_secs: self.from_secs,
            until_secs: self.until_secs,
        })
    }
}

fn point_of(key: &VerifyingKey) -> Result<[u8; 65]> {
    let point = key.to_sec1_point(false);
    let point = point.as_bytes().try_into();
    point.context("encode the public key")
}

fn show(before: &Before, by: &VerifyingKey) -> Result<()> {
    let (list, digest) = before.read(by)?;
    println!("owner {}", list.owner);
    println!("serial {}", list.serial);
    println!("digest {}", hex(&digest));
    if let Some(previous) = list.previous {
        println!("previous {}", hex(&previous));
    }
    println!("created-secs {}", list.created_secs);
    for key in &list.keys {
        let public = VerifyingKey::from_sec1_bytes(&key.point).context("a listed key is no key")?;
        let kid = key_id(&public).context("encode a listed key")?;
        let until = key.until_secs.map(|until| format!(" until-secs {until}"));
        println!(
            "key {} from-secs {}{}",
            hex(&kid),
            key.from_secs,
            until.unwrap_or_default()
        );
    }
    Ok(())
}
