//! `challenge-key` and `token-key`: what replicas share, and how it rotates.

use crate::challenge::{CHALLENGE_TTL_SECS, MAX_SKEW_SECS};
use crate::entropy::KernelEntropy;
use crate::key_file::Key32;
use crate::key_ring::rotate;
use crate::token::TOKEN_TTL_SECS;
use crate::token_key::{PrivateKeyDer, SigningAlgorithm};
use anyhow::Result;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Of the secret of challenges.
#[derive(Debug, Subcommand)]
pub(crate) enum ChallengeKeyCommand {
    /// Draw one. No file is overwritten.
    Generate {
        /// Where it goes, mode 0600.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
    /// Draw the next one into a folder that `challenge-key` names; the one before it is used from then on.
    ///
    /// Prints the files that are left, the oldest first. Give every replica the same folder and reload it
    /// before you rotate again: the newest key is not used before that. Refused within 70 s.
    Rotate {
        /// The folder; it is made, with two keys, if it is not there.
        #[arg(long, value_name = "PATH")]
        folder: PathBuf,
    },
}

/// Of the key pair of attestation results.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenKeyCommand {
    /// Make one; prints its key id, as tokens and `/.well-known/jwks.json` name it. No file is overwritten.
    Generate {
        /// Where the private key goes: PKCS#8 PEM, mode 0600.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        /// Where the public key goes: SPKI PEM.
        #[arg(long, value_name = "PATH")]
        public_out: PathBuf,
        /// How it signs.
        #[arg(long, value_enum, default_value = "es256", value_name = "ALGORITHM")]
        algorithm: SigningAlgorithm,
    },
    /// Make the next one in a folder that `token-key` names; the one before it signs from then on.
    ///
    /// Beside each key lies its public half, NUMBER.pub, for the gates that pin it: pin the newest before
    /// the next rotation. Prints the files that are left, the oldest first. Give every replica the same
    /// folder and reload it before you rotate again. Refused within 310 s.
    Rotate {
        /// The folder; it is made, with two keys, if it is not there.
        #[arg(long, value_name = "PATH")]
        folder: PathBuf,
        /// How the new one signs.
        #[arg(long, value_enum, default_value = "es256", value_name = "ALGORITHM")]
        algorithm: SigningAlgorithm,
    },
}

impl ChallengeKeyCommand {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Generate { out } => Key32::draw(&mut KernelEntropy)?.write(&out)?,
            Self::Rotate { folder } => {
                let lifetime_secs = CHALLENGE_TTL_SECS + 2 * MAX_SKEW_SECS;
                let mut make = |path: &Path| Key32::draw(&mut KernelEntropy)?.write(path);
                let left = rotate(&folder, lifetime_secs, SystemTime::now(), &mut make)?;
                print(&left);
            }
        }
        Ok(())
    }
}

impl TokenKeyCommand {
    pub(crate) fn run(self) -> Result<()> {
        let draw = |algorithm| PrivateKeyDer::draw(algorithm, &mut KernelEntropy);
        match self {
            Self::Generate {
                out,
                public_out,
                algorithm,
            } => println!("{}", draw(algorithm)?.write(&out, &public_out)?.kid()),
            Self::Rotate { folder, algorithm } => {
                let lifetime_secs = TOKEN_TTL_SECS + 2 * MAX_SKEW_SECS;
                let mut make = |path: &Path| {
                    let public = path.with_extension("pub");
                    draw(algorithm)?.write(path, &public).map(drop)
                };
                let left = rotate(&folder, lifetime_secs, SystemTime::now(), &mut make)?;
                print(&left);
            }
        }
        Ok(())
    }
}

fn print(paths: &[PathBuf]) {
    for path in paths {
        println!("{}", path.display());
    }
}
