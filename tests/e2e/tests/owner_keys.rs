//! Owners whose private key is in no file: SoftHSM2 by PKCS#11, and OpenBao's transit engine, both real.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_kbs::envelope::UnverifiedEnvelope;
use nitride_kbs::signer_list::UnverifiedSignerList;
use nitride_support::bao::{Bao, ROOT_TOKEN};
use nitride_support::binaries::Binaries;
use nitride_support::folder::Folder;
use nitride_support::softhsm::{PIN, SoftHsm, TOKEN};
use nitride_support::world::run;
use p256::PublicKey;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use std::path::Path;
use std::process::Command;

struct Owner {
    folder: Folder,
    environment: Vec<(&'static str, std::path::PathBuf)>,
}

impl Owner {
    fn new() -> Result<Self> {
        let owner = Self {
            folder: Folder::new()?,
            environment: Vec::new(),
        };
        owner.folder.write("material", "a passphrase")?;
        for name in ["acme", "other"] {
            let key = format!("--out @/{name}.key --public-out @/{name}.pub");
            owner.run(&format!("owner-key generate {key}"))?;
        }
        Ok(owner)
    }

    /// A line of words of nitride-provisiond's; `@` stands for the folder.
    fn run(&self, line: &str) -> Result<()> {
        let folder = self.folder.path().to_string_lossy();
        let line = line.replace('@', &folder);
        let mut command = Command::new(&Binaries::find()?.provisiond);
        command.args(line.split(' '));
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        let output = run(&mut command, b"")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}");
        Ok(())
    }

    fn seal(&self, signer: &str, out: &str) -> Result<()> {
        self.run(&format!(
            "resource seal --path acme/secret/one --signer @/{signer} --material @/material \
             --type secret --version 1 --operations release --release-to uid:0 --out @/{out}"
        ))
    }

    /// Why it is not sealed; nothing was written.
    fn refused(&self, signer: &str) -> Result<String> {
        let out = "never";
        let said = self.seal(signer, out).err().context("it was sealed")?;
        ensure!(!self.folder.join(out).exists(), "it was written");
        Ok(said.to_string())
    }

    fn public(&self, name: &str) -> Result<VerifyingKey> {
        let pem = std::fs::read_to_string(self.folder.join(name))?;
        Ok(VerifyingKey::from(PublicKey::from_public_key_pem(&pem)?))
    }

    /// An envelope and a list by what `signer` describes, under the public key in `public`.
    fn makes_envelopes_and_lists(&self, signer: &str, public: &str) -> Result<()> {
        self.seal(signer, "envelope")?;
        let key = self.public(public)?;
        let is_by = |parts: &[&[u8]], signature: &[u8; 64]| {
            Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(&parts.concat(), &signature).is_ok())
        };
        let envelope = std::fs::read(self.folder.join("envelope"))?;
        let envelope = UnverifiedEnvelope::parse(&envelope)?.verified_by(is_by)?;
        ensure!(envelope.fields().material == b"a passphrase");
        self.run(&format!(
            "signer-list make --signer @/{signer} --owner acme --key @/other.pub --out @/list"
        ))?;
        let list = std::fs::read(self.folder.join("list"))?;
        let list = UnverifiedSignerList::parse(&list)?.verified_by(is_by)?;
        ensure!(list.owner == "acme" && list.keys.len() == 1);
        Ok(())
    }

    fn describe(&self, file: &str, public: &str, engine: &str) -> Result<()> {
        let folder = self.folder.path().to_string_lossy();
        let text = format!("public-key = \"@/{public}\"\n{engine}").replace('@', &folder);
        self.folder.write(file, text).map(drop)
    }
}

#[test]
fn a_key_in_a_token_signs_and_another_one_than_the_stated_does_not() -> Result<()> {
    let mut owner = Owner::new()?;
    let token = SoftHsm::make(owner.folder.path())?;
    let (name, config) = token.environment();
    owner.environment.push((name, config.to_owned()));
    token.import(&owner.folder.join("acme.key"), "acme", "A1")?;
    owner.folder.write_secret("pin", format!("{PIN}\n"))?;
    owner.folder.write_secret("wrong-pin", "9999")?;
    owner.folder.write("open-pin", PIN)?;
    let module = SoftHsm::module()?.display().to_string();
    let engine = |token: &str, key: &str, pin: &str| {
        format!(
            "[pkcs11]\nmodule = \"{module}\"\ntoken = \"{token}\"\nkey = \"{key}\"\n\
             pin-file = \"@/{pin}\"\n"
        )
    };
    owner.describe("signer.toml", "acme.pub", &engine(TOKEN, "acme", "pin"))?;
    owner.makes_envelopes_and_lists("signer.toml", "acme.pub")?;
    for (public, engine, reason) in [
        (
            "other.pub",
            engine(TOKEN, "acme", "pin"),
            "is not the one that is stated",
        ),
        (
            "acme.pub",
            engine(TOKEN, "acme", "wrong-pin"),
            "log in to the token",
        ),
        ("acme.pub", engine(TOKEN, "acme", "open-pin"), "chmod 0600"),
        ("acme.pub", engine(TOKEN, "nobody", "pin"), "0 public keys"),
        ("acme.pub", engine("nobody", "acme", "pin"), "0 tokens"),
    ] {
        owner.describe("refused.toml", public, &engine)?;
        let said = owner.refused("refused.toml")?;
        ensure!(said.contains(reason), "{reason}: {said}");
    }
    // Two of one label: which is meant, nobody says.
    token.import(&owner.folder.join("other.key"), "acme", "A2")?;
    let said = owner.refused("signer.toml")?;
    ensure!(said.contains("2 public keys"), "{said}");
    Ok(())
}

#[test]
fn openbao_s_transit_engine_signs_and_what_is_not_of_the_stated_key_does_not_leave() -> Result<()> {
    let owner = Owner::new()?;
    let bao = Bao::dev(owner.folder.path())?;
    bao.ask(&["secrets", "enable", "transit"])?;
    bao.ask(&["write", "-f", "transit/keys/acme", "type=ecdsa-p256"])?;
    let made = bao.ask(&["read", "transit/keys/acme"])?;
    let public = made["data"]["keys"]["1"]["public_key"].as_str();
    owner
        .folder
        .write("bao.pub", public.context("its public key")?)?;
    owner.folder.write_secret("token", ROOT_TOKEN)?;
    owner.folder.write_secret("wrong-token", "nobody")?;
    let engine = |address: &str, ca: &Path, token: &str| {
        let ca = ca.display();
        format!(
            "[transit]\naddress = \"{address}\"\nca = \"{ca}\"\ntoken-file = \"@/{token}\"\n\
             key = \"acme\"\n"
        )
    };
    let good = engine(bao.address(), &bao.ca(), "token");
    owner.describe("signer.toml", "bao.pub", &good)?;
    owner.makes_envelopes_and_lists("signer.toml", "bao.pub")?;
    let stranger = nitride_support::pki::Pki::new("another CA")?;
    let other_ca = owner.folder.write("other-ca.pem", stranger.ca_pem())?;
    let plain = bao.address().replace("https", "http");
    for (public, engine, reason) in [
        (
            "acme.pub",
            good.clone(),
            "does not verify under the public key",
        ),
        (
            "bao.pub",
            engine(bao.address(), &bao.ca(), "wrong-token"),
            "permission denied",
        ),
        (
            "bao.pub",
            engine(bao.address(), &other_ca, "token"),
            "its CA is the stated one",
        ),
        (
            "bao.pub",
            engine(&plain, &bao.ca(), "token"),
            "no address of OpenBao",
        ),
    ] {
        owner.describe("refused.toml", public, &engine)?;
        let said = owner.refused("refused.toml")?;
        ensure!(said.contains(reason), "{reason}: {said}");
    }
    // Its newest version signs, which is another key.
    bao.ask(&["write", "-f", "transit/keys/acme/rotate"])?;
    let said = owner.refused("signer.toml")?;
    ensure!(
        said.contains("does not verify under the public key"),
        "{said}"
    );
    Ok(())
}
