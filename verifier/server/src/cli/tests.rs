//! The subcommands on a folder of their own, as an owner would type them.

use super::*;
use crate::config::Config;
use crate::key_file::{Key32, key_id, read_signing_key};
use crate::store::{Expected, Place, RecordName, Resource, Store};
use clap::CommandFactory;
use nitride_kbs::envelope::UnverifiedEnvelope;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::signer_list::UnverifiedSignerList;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

/// A folder with keys, policies and a configuration.
struct Folder(TempDir);

impl Folder {
    fn make() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder
            .run("owner-key generate --out @/owner.pem --public-out @/owner.pub")
            .unwrap();
        folder
            .run("token-key generate --out @/token.pem --public-out @/token.pub")
            .unwrap();
        folder.run("store-key generate --out @/store.key").unwrap();
        folder
            .run("store-key generate --out @/challenge.key")
            .unwrap();
        folder.write(
            "attestation.toml",
            "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\nsvn = [\"1\"]\n",
        );
        folder.write("resource.toml", "version = 1\n");
        folder.write(
            "provisiond.toml",
            "listen = \"127.0.0.1:0\"\ndanger-plain-http = true\nstore = \"store\"\n\
             store-key = \"store.key\"\nchallenge-key = \"challenge.key\"\n\
             token-key = \"token.pem\"\nissuer = \"i\"\naudience = \"a\"\npolicy-id = \"p\"\n\
             attestation-policy = \"attestation.toml\"\nresource-policy = \"resource.toml\"\n",
        );
        folder.write("material", "a passphrase");
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// Runs a line of words; `@` stands for the folder.
    fn run(&self, line: &str) -> Result<()> {
        let line = line.replace('@', self.0.path().to_str().unwrap());
        Cli::try_parse_from(["nitride-provisiond"].into_iter().chain(line.split(' ')))?
            .command
            .run()
    }

    fn stored(&self, path: &str) -> Option<Vec<u8>> {
        self.read(&Place::from(&ResourcePath::parse(path).unwrap()))
    }

    /// A record of the service's own.
    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.read(&Place::from(&RecordName::parse(name).unwrap()))
    }

    fn keep(&self, name: &str, bytes: &[u8]) {
        let place = Place::from(&RecordName::parse(name).unwrap());
        let bytes = Resource::new(bytes.to_vec());
        let (store, runtime) = self.store();
        let writing = store.write(&place, bytes, Expected::Absent);
        runtime.block_on(writing).unwrap();
    }

    fn read(&self, place: &Place) -> Option<Vec<u8>> {
        let (store, runtime) = self.store();
        let stored = runtime.block_on(store.read(place)).unwrap();
        stored.map(|stored| stored.bytes.to_vec())
    }

    fn store(&self) -> (Arc<dyn Store>, tokio::runtime::Runtime) {
        let fixed = Config::load(&self.at("provisiond.toml")).unwrap().fixed;
        let key = Key32::read(&fixed.store_key).unwrap();
        let store = crate::store::open(&fixed.store, key).unwrap();
        (store, tokio::runtime::Runtime::new().unwrap())
    }
}

const SEALING: &str = "--path demo/disk/root --owner-key @/owner.pem --material @/material \
    --type secret --version 2 --operations release --release-to volume:root,uid:0";
const CONFIG: &str = "--config @/provisiond.toml";

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_was_sealed_offline_is_stored_as_it_is() {
    let folder = Folder::make();
    folder
        .run(&format!("resource seal {SEALING} --out @/envelope"))
        .unwrap();
    folder
        .run(&format!(
            "resource put {CONFIG} --path demo/disk/root --envelope @/envelope"
        ))
        .unwrap();
    let stored = folder.stored("demo/disk/root").unwrap();
    assert_eq!(stored, fs::read(folder.at("envelope")).unwrap());
}

#[test]
fn a_disk_that_no_volume_could_be_is_refused_before_it_is_signed() {
    const DISK: &str = "luks2:7dfa3aba-96d9-4de6-90e8-45d3d2d0d897:aes-xts-plain64:512:16777216:\
        dynamic:4096:none:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let sealed = |disk: &str| {
        let folder = Folder::make();
        folder.run(&format!(
            "resource seal {SEALING} --disk {disk} --out @/envelope"
        ))
    };
    sealed(DISK).unwrap();
    for other in ["7dfa3aba-96d9-4de6-90e8-45d3d2d0d897", &format!("{DISK},x")] {
        assert!(sealed(other).is_err(), "{other}");
    }
}

#[test]
fn what_is_sealed_on_the_way_verifies_under_the_owner_s_key() {
    let folder = Folder::make();
    folder
        .run(&format!("resource put {CONFIG} {SEALING}"))
        .unwrap();
    let stored = folder.stored("demo/disk/root").unwrap();
    let owner = *read_signing_key(&folder.at("owner.pem"))
        .unwrap()
        .verifying_key();
    let envelope = UnverifiedEnvelope::parse(&stored).unwrap();
    assert_eq!(envelope.kid(), key_id(&owner).unwrap());
    let envelope = envelope
        .verified_by(|parts, signature| {
            let signature = Signature::from_slice(signature).unwrap();
            owner.verify(&parts.concat(), &signature).is_ok()
        })
        .unwrap();
    assert_eq!(envelope.fields().material, b"a passphrase");
    assert_eq!(
        envelope.fields().policy.release_to,
        ["volume:root", "uid:0"]
    );
}

#[test]
fn raw_bytes_are_stored_when_that_is_said() {
    let folder = Folder::make();
    folder
        .run(&format!(
            "resource put {CONFIG} --path demo/key/raw --raw @/material"
        ))
        .unwrap();
    assert_eq!(folder.stored("demo/key/raw").unwrap(), b"a passphrase");
    folder.run(&format!("resource list {CONFIG}")).unwrap();
    folder
        .run(&format!("resource delete {CONFIG} kbs:///demo/key/raw"))
        .unwrap();
    assert_eq!(folder.stored("demo/key/raw"), None);
    let error = folder
        .run(&format!("resource delete {CONFIG} demo/key/raw"))
        .unwrap_err();
    assert!(error.to_string().contains("no resource"), "{error}");
}

#[test]
fn put_refuses_what_is_unclear_and_stores_nothing() {
    let folder = Folder::make();
    folder
        .run(&format!("resource seal {SEALING} --out @/envelope"))
        .unwrap();
    let envelope = fs::read(folder.at("envelope")).unwrap();
    fs::write(folder.at("cut"), &envelope[..envelope.len() - 1]).unwrap();
    for (arguments, word) in [
        ("", "say what to store"),
        ("--envelope @/material", "not an envelope"),
        ("--envelope @/cut", "not an envelope"),
        ("--raw @/envelope", "looks like an envelope"),
        ("--raw @/none", "open"),
        (
            "--raw @/envelope --envelope @/envelope",
            "cannot be used with",
        ),
        ("--owner-key @/owner.pem", "--material"),
        (
            "--owner-key @/owner.pem --material @/material",
            "--operations",
        ),
        ("--type secret", "--owner-key"),
        (
            "--owner-key @/token.pub --material @/material --type secret --version 1 \
             --operations release",
            "mode",
        ),
    ] {
        let line = format!("resource put {CONFIG} --path demo/disk/root {arguments}");
        let error = folder.run(line.trim_end()).unwrap_err();
        assert!(error.to_string().contains(word), "{arguments}: {error}");
    }
    assert_eq!(folder.stored("demo/disk/root"), None);
}

#[test]
fn a_secret_is_no_argument() {
    let folder = Folder::make();
    let line = SEALING.replace("@/material", "a-passphrase");
    let error = folder
        .run(&format!("resource put {CONFIG} {line}"))
        .unwrap_err();
    assert!(error.to_string().contains("open"), "{error}");
}

#[test]
fn policies_are_checked_with_file_and_line() {
    let folder = Folder::make();
    folder.run(&format!("policy check {CONFIG}")).unwrap();
    folder.write("resource.toml", "version = 1\ncolour = 2\n");
    for line in [
        format!("policy check {CONFIG}"),
        "policy check --resource @/resource.toml".into(),
    ] {
        let error = folder.run(&line).unwrap_err();
        assert!(error.to_string().contains("resource.toml:2: "), "{error}");
    }
    assert!(folder.run("policy check").is_err());
}

#[test]
fn the_admin_s_token_is_written_and_its_digest_is_what_the_service_compares() {
    let folder = Folder::make();
    folder.run("admin-token generate --out @/admin").unwrap();
    let token = fs::read_to_string(folder.at("admin")).unwrap();
    assert_eq!(token.len(), 43);
    assert!(folder.run("admin-token generate --out @/admin").is_err());
    assert_eq!(fs::read_to_string(folder.at("admin")).unwrap(), token);
}

#[test]
fn a_change_that_somebody_else_made_meanwhile_is_not_overwritten() {
    let folder = Folder::make();
    let put = |more: &str| {
        folder.run(&format!(
            "resource put {CONFIG} --path demo/raw/one --raw @/material {more}"
        ))
    };
    put("--if-absent").unwrap();
    assert!(put("--if-absent").is_err());
    put("--if-version 1").unwrap();
    for stale in ["--if-version 1", "--if-version 0"] {
        assert!(put(stale).is_err());
        let delete = format!("resource delete {CONFIG} demo/raw/one {stale}");
        assert!(folder.run(&delete).is_err());
    }
    let delete = format!("resource delete {CONFIG} demo/raw/one --if-version 2");
    folder.run(&delete).unwrap();
}

#[test]
fn an_envelope_for_a_trustee_lies_where_its_repository_has_it() {
    let folder = Folder::make();
    folder
        .run(&format!("resource seal {SEALING} --tree @/repository"))
        .unwrap();
    let envelope = fs::read(folder.at("repository/demo/disk/root")).unwrap();
    assert!(UnverifiedEnvelope::parse(&envelope).is_ok());
    assert!(folder.run(&format!("resource seal {SEALING}")).is_err());
}

#[test]
fn each_list_of_signers_follows_the_one_before_and_is_its_owner_s() {
    let folder = Folder::make();
    for name in ["list", "next", "other"] {
        let line = format!("owner-key generate --out @/{name}.pem --public-out @/{name}.pub");
        folder.run(&line).unwrap();
    }
    let line = "signer-list make --list-key @/list.pem --owner owner --key @/owner.pub --out @/1";
    folder.run(line).unwrap();
    let line =
        "signer-list add --list-key @/list.pem --list @/1 --key @/next.pub --from-secs 5 --out @/2";
    folder.run(line).unwrap();
    let line = "signer-list retire --list-key @/list.pem --list @/2 --key @/owner.pub --out @/3";
    folder.run(line).unwrap();
    let lists = ["1", "2", "3"].map(|name| {
        let bytes = fs::read(folder.at(name)).unwrap();
        let unverified = UnverifiedSignerList::parse(&bytes).unwrap();
        let digest = unverified.digest();
        (unverified.verified_by(|_, _| true).unwrap(), digest)
    });
    let [(first, first_digest), (second, second_digest), (third, _)] = lists;
    assert_eq!((first.serial, second.serial, third.serial), (1, 2, 3));
    assert_eq!(second.previous, Some(first_digest));
    assert_eq!(third.previous, Some(second_digest));
    assert_eq!(
        (first.keys.len(), second.keys.len(), third.keys.len()),
        (1, 2, 1)
    );
    assert_eq!(third.keys[0].from_secs, 5);
    assert_eq!(third.owner, "owner");
    folder
        .run("signer-list show --list @/3 --list-public @/list.pub")
        .unwrap();
    for refused in [
        "signer-list show --list @/3 --list-public @/other.pub",
        // Somebody else's list is not continued, and a key that is not named not retired.
        "signer-list add --list-key @/other.pem --list @/3 --key @/other.pub --out @/4",
        "signer-list retire --list-key @/list.pem --list @/3 --key @/owner.pub --out @/4",
        "signer-list add --list-key @/list.pem --list @/3 --key @/next.pub --from-secs 9 --until-secs 8 --out @/4",
        "signer-list make --owner owner --key @/owner.pub --out @/4",
    ] {
        assert!(folder.run(refused).is_err(), "{refused}");
    }
    assert!(!folder.at("4").exists());
    // It is stored as any resource is.
    let line = format!("resource put {CONFIG} --path demo/signers/owner --envelope @/3");
    folder.run(&line).unwrap();
    let stored = folder.stored("demo/signers/owner").unwrap();
    assert_eq!(stored, fs::read(folder.at("3")).unwrap());
}

mod keeping;
