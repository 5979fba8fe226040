//! The owner of resources: makes keys, signs and stores, with the service's own subcommands.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nitride_kbs::envelope::{EnvelopeFields, EnvelopePolicy};
use nitride_protocol::KeyType;
use nix::unistd::getuid;

use crate::binaries::Binaries;
use crate::folder::Folder;
use crate::forge::Signatory;
use crate::world::run;

/// An owner with a folder of keys.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    folder: &'a Folder,
}

/// A resource as its owner means it.
#[derive(Clone, Debug)]
pub struct Deposit<'a> {
    /// Where it is stored, `repository/type/tag`.
    pub path: &'a str,
    /// What the envelope says that it is, where that differs.
    pub signed_path: Option<&'a str>,
    /// The type of key.
    pub key_type: KeyType,
    /// Its version.
    pub version: u32,
    /// The bytes.
    pub material: &'a [u8],
    /// What it may be used for.
    pub operations: &'a [&'a str],
    /// To whom it may be released, such as `uid:0` and `volume:root`.
    pub release_to: Vec<String>,
    /// The volumes that it is for; none: whichever has the name.
    pub disks: &'a [&'a str],
    /// For how long it may be kept.
    pub lease_secs: Option<u64>,
    /// Until when it may be used.
    pub not_after_secs: Option<u64>,
    /// Whose it is.
    pub tenant: Option<&'a str>,
}

impl<'a> Deposit<'a> {
    /// A secret, released to whoever runs the tests and to the volume `root`.
    #[must_use]
    pub fn secret(path: &'a str, material: &'a [u8]) -> Self {
        Self {
            operations: &["release"],
            release_to: vec![format!("uid:{}", getuid()), "volume:root".to_owned()],
            ..Self::key(path, KeyType::Secret, material)
        }
    }

    /// A key for everything that its type can do.
    #[must_use]
    pub fn key(path: &'a str, key_type: KeyType, material: &'a [u8]) -> Self {
        Self {
            path,
            signed_path: None,
            key_type,
            version: 1,
            material,
            operations: match key_type {
                KeyType::EcP256 | KeyType::Ed25519 => &["public-key", "sign", "verify"],
                KeyType::HmacSha256 => &["mac", "verify-mac"],
                KeyType::Secret => &[],
                _ => &["encrypt", "decrypt"],
            },
            release_to: Vec::new(),
            disks: &[],
            lease_secs: None,
            not_after_secs: None,
            tenant: None,
        }
    }

    fn fields(&self) -> EnvelopeFields<'_> {
        EnvelopeFields {
            path: self.signed_path.unwrap_or(self.path),
            key_type: self.key_type.as_str(),
            version: self.version,
            tenant: self.tenant,
            created_secs: 1_700_000_000,
            policy: EnvelopePolicy {
                operations: self.operations.to_vec(),
                wrappable_by: Vec::new(),
                release_to: self.release_to.iter().map(String::as_str).collect(),
                lease_secs: self.lease_secs,
                not_after_secs: self.not_after_secs,
                disk: (!self.disks.is_empty()).then(|| self.disks.to_vec()),
            },
            material: self.material,
        }
    }
}

impl<'a> Owner<'a> {
    pub(crate) fn new(folder: &'a Folder) -> Self {
        Self { folder }
    }
}

impl Owner<'_> {
    /// Signs and stores a resource, as its owner would: with the subcommands.
    ///
    /// # Errors
    /// When they refuse.
    pub fn deposit(&self, deposit: &Deposit<'_>) -> Result<()> {
        let mut words = vec![
            "--owner-key".to_owned(),
            self.folder.join("owner.key").to_string_lossy().into_owned(),
            "--material".to_owned(),
            "-".to_owned(),
            format!("--type={}", deposit.key_type.as_str()),
            format!("--version={}", deposit.version),
            format!("--operations={}", deposit.operations.join(",")),
        ];
        if !deposit.release_to.is_empty() {
            words.push(format!("--release-to={}", deposit.release_to.join(",")));
        }
        if !deposit.disks.is_empty() {
            words.push(format!("--disk={}", deposit.disks.join(",")));
        }
        if let Some(secs) = deposit.lease_secs {
            words.push(format!("--lease-secs={secs}"));
        }
        if let Some(secs) = deposit.not_after_secs {
            words.push(format!("--not-after-secs={secs}"));
        }
        if let Some(tenant) = deposit.tenant {
            words.push(format!("--tenant={tenant}"));
        }
        self.put(deposit.path, &words, deposit.material)
    }

    /// Stores a resource under an envelope by any key, in which anything may be said.
    ///
    /// # Errors
    /// When the fields make no envelope or the store refuses.
    pub fn deposit_forged(
        &self,
        deposit: &Deposit<'_>,
        signatory: &Signatory,
        kid: &[u8],
    ) -> Result<()> {
        let envelope = signatory.envelope(kid, &deposit.fields())?;
        self.put(
            deposit.path,
            &["--envelope".to_owned(), "-".to_owned()],
            &envelope,
        )
    }

    /// Stores bytes that nobody signed.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn deposit_raw(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.put(path, &["--raw".to_owned(), "-".to_owned()], bytes)
    }

    fn put(&self, path: &str, what: &[String], input: &[u8]) -> Result<()> {
        let config = self.folder.join("provisiond.toml");
        let mut words = vec![
            "resource".to_owned(),
            "put".to_owned(),
            "--config".to_owned(),
            config.to_string_lossy().into_owned(),
            "--path".to_owned(),
            path.to_owned(),
        ];
        words.extend_from_slice(what);
        self.provisiond(&words, input).map(drop)
    }

    /// The service's token key, for forging with a stolen key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token_key(&self) -> Result<Signatory> {
        Signatory::from_pem(&self.read("token.key")?)
    }

    /// The owner's own key.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn signing_key(&self) -> Result<Signatory> {
        Signatory::from_pem(&self.read("owner.key")?)
    }

    fn read(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.folder.join(name)).with_context(|| format!("read {name}"))
    }

    /// Runs a subcommand of the service and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn provisiond<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Result<String> {
        let output = run(
            Command::new(&Binaries::find()?.provisiond).args(arguments),
            input,
        )?;
        ensure!(
            output.status.success(),
            "nitride-provisiond {:?}: {}",
            arguments
                .iter()
                .map(|word| Path::new(word.as_ref()).display().to_string())
                .collect::<Vec<_>>(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).context("its output is not text")
    }

    /// Makes every key of a world: the owner's, the service's for tokens, and the two secrets.
    pub(crate) fn make_keys(&self) -> Result<()> {
        for (verb, name) in [("owner-key", "owner"), ("token-key", "token")] {
            self.provisiond(
                &[
                    verb.into(),
                    "generate".into(),
                    "--out".into(),
                    self.folder.join(&format!("{name}.key")).into_os_string(),
                    "--public-out".into(),
                    self.folder.join(&format!("{name}.pub")).into_os_string(),
                ],
                b"",
            )?;
        }
        for name in ["store.key", "challenge.key"] {
            let path = self.folder.join(name).into_os_string();
            let words = ["store-key".into(), "generate".into(), "--out".into(), path];
            self.provisiond(&words, b"")?;
        }
        Ok(())
    }
}
