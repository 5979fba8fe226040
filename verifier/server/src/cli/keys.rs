//! `owner-key`, `store-key` and `admin-token`: each has `generate`.

use crate::entropy::KernelEntropy;
use crate::key_file::{Key32, generate_signing_key, key_id, write_secret};
use anyhow::{Context, Result};
use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Subcommand;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Of a key with two halves.
#[derive(Debug, Subcommand)]
pub(crate) enum PairCommand {
    /// Make a P-256 key; prints its key id. No file is overwritten.
    Generate {
        /// Where the private key goes: PKCS#8 PEM, mode 0600.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        /// Where the public key goes: SPKI PEM.
        #[arg(long, value_name = "PATH")]
        public_out: PathBuf,
    },
}

/// Of a secret of 32 bytes.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Draw it. No file is overwritten.
    Generate {
        /// Where it goes, mode 0600.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
    },
}

impl PairCommand {
    pub(crate) fn run(self) -> Result<()> {
        let Self::Generate { out, public_out } = self;
        let public = generate_signing_key(&out, &public_out, &mut KernelEntropy)?;
        let id = key_id(&public).context("encode the public key")?;
        println!("{}", hex(&id));
        Ok(())
    }
}

impl SecretCommand {
    /// Raw bytes, as the configuration wants them.
    pub(crate) fn run(self) -> Result<()> {
        let Self::Generate { out } = self;
        Key32::draw(&mut KernelEntropy)?.write(&out)?;
        Ok(())
    }

    /// Text for a header; prints the digest that the configuration wants.
    pub(crate) fn run_as_token(self) -> Result<()> {
        let Self::Generate { out } = self;
        let key = Key32::draw(&mut KernelEntropy)?;
        let token = Zeroizing::new(Base64UrlUnpadded::encode_string(key.expose()));
        write_secret(&out, token.as_bytes())?;
        println!("{}", hex(&Sha256::digest(token.as_bytes())));
        Ok(())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
