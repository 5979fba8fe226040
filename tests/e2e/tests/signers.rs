//! An owner's signing keys by a signed list, with the real programs: rotation, retirement, and what a
//! service or a courier that goes back is worth.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_client::SignerStatus;
use nitride_protocol::Status;
use nitride_support::descriptor_store::DescriptorStore;
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, wait_until};
use nitride_support::world::{World, outcome};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const TABLES: &str = r#"
[[signer]]
name = "acme"
list-key = "@DIR@/root.pub"
list = "kbs:///acme/signers/list"
list-max-age = "1h"

[audit]
folder = "@DIR@/audit"
full = "refuse"
"#;

const LIST: &str = "acme/signers/list";

/// Each try is a key of its own, since a key that came is not asked for again.
fn rules() -> String {
    (1..=9)
        .map(|number| {
            format!(
                "[[key]]\nname = \"app/k{number}\"\ntype = \"secret\"\n\
                 source = \"kbs:///acme/secret/k{number}\"\nservice = \"main\"\nsigner = \"acme\"\n\
                 operations = [\"release\"]\nrelease-to = [{{ uid = @UID@ }}]\n\n"
            )
        })
        .collect()
}

struct Acme {
    world: World,
}

impl Acme {
    fn start() -> Result<Self> {
        let mut plan = Plan::chain(&rules());
        plan.vhsmd_tables = TABLES.to_owned();
        let mut acme = Self {
            world: World::prepare(plan)?,
        };
        for name in ["root", "other-root", "a", "b"] {
            let key = format!("--out @/{name}.key --public-out @/{name}.pub");
            acme.run(&format!("owner-key generate {key}"), b"")?;
        }
        let world = &mut acme.world;
        world.store = Some(Arc::new(DescriptorStore::new(16)));
        world.start_quote()?;
        world.start_vhsmd()?;
        world.start_service()?;
        world.start_agent()?;
        Ok(acme)
    }

    /// A line of words of nitride-provisiond's; `@` stands for the world's folder.
    fn run(&self, line: &str, input: &[u8]) -> Result<String> {
        let folder = self.world.path("").to_string_lossy().into_owned();
        let line = line.replace("@/", &folder);
        let words: Vec<&str> = line.split(' ').collect();
        self.world.owner().provisiond(&words, input)
    }

    /// Makes a list and keeps it in the world's folder.
    fn list(&self, line: &str) -> Result<()> {
        self.run(&format!("signer-list {line}"), b"").map(drop)
    }

    fn publish(&self, list: &str) -> Result<()> {
        let config = "--config @/provisiond.toml";
        let line = format!("resource put {config} --path {LIST} --envelope @/{list}");
        self.run(&line, b"").map(drop)
    }

    /// Has one of the owner's keys sign a secret, and stores it.
    fn deposit(&self, number: u8, signer: &str) -> Result<()> {
        let config = "--config @/provisiond.toml";
        let uid = self.world.expand("@UID@");
        let line = format!(
            "resource put {config} --path acme/secret/k{number} --owner-key @/{signer}.key \
             --material - --type secret --version 1 --operations release --release-to uid:{uid}"
        );
        self.run(&line, signer.as_bytes()).map(drop)
    }

    fn release(&self, number: u8) -> Result<Status> {
        let mut app = self.world.application()?;
        outcome(app.release(&format!("app/k{number}"), None))
    }

    /// Row of each list in the status.
    fn lists(&self) -> Result<Vec<(String, u64, u64)>> {
        let lists = self.world.admin()?.status()?.signers.context("lists")?;
        let row = |list: SignerStatus| (list.signer, list.serial, list.keys);
        Ok(lists.into_iter().map(row).collect())
    }

    /// What the audit has of lists that were taken, in its order.
    fn audited(&self) -> Result<Vec<String>> {
        let folder = self.world.path("audit").display().to_string();
        let words = ["audit", "tail", &folder, "--limit", "100000", "--json"];
        let shown = self.world.vhsm(&RunAs::default(), &words, b"")?;
        let entries: Vec<Value> = serde_json::from_slice(&shown.stdout)?;
        let of_lists = entries.iter().filter_map(|entry| {
            let reason = entry["reason"].as_str()?;
            (entry["kind"] == "policy" && reason.starts_with("signer ")).then(|| reason.to_owned())
        });
        Ok(of_lists.collect())
    }

    fn said(&self, text: &str) -> Result<()> {
        self.world
            .logs()
            .contains(text)
            .then_some(())
            .with_context(|| format!("the logs do not say {text:?}:\n{}", self.world.logs()))
    }
}

#[test]
fn an_owner_rotates_its_signing_key_by_a_signed_list() -> Result<()> {
    let acme = Acme::start()?;
    for number in [1, 6] {
        acme.deposit(number, "a")?;
    }
    for number in [2, 3] {
        acme.deposit(number, "b")?;
    }
    // Before a list has come, nobody is believed.
    assert_eq!(acme.release(6)?, Status::ResourceRefused);
    acme.said("no list of the key's signer has come that counts")?;
    assert_eq!(acme.lists()?, []);

    acme.list("make --list-key @/root.key --owner acme --key @/a.pub --out @/1.list")?;
    acme.publish("1.list")?;
    assert_eq!(acme.release(1)?, Status::Ok);
    assert_eq!(acme.release(2)?, Status::ResourceRefused);
    acme.said("the envelope's signer is none of the key's")?;

    acme.list("add --list-key @/root.key --list @/1.list --key @/b.pub --out @/2.list")?;
    acme.publish("2.list")?;
    assert_eq!(acme.release(3)?, Status::Ok);
    assert_eq!(acme.release(1)?, Status::Ok);

    acme.list("retire --list-key @/root.key --list @/2.list --key @/a.pub --out @/3.list")?;
    acme.publish("3.list")?;
    acme.deposit(4, "b")?;
    assert_eq!(acme.release(4)?, Status::Ok);
    // What A signed is here, and at its next use nobody vouches for it; nor is it taken again.
    assert_eq!(acme.release(1)?, Status::ResourceRefused);
    acme.deposit(5, "a")?;
    assert_eq!(acme.release(5)?, Status::ResourceRefused);

    // An older list put back brings A not back, and takes B not away.
    acme.publish("2.list")?;
    acme.deposit(7, "a")?;
    acme.deposit(8, "b")?;
    assert_eq!(acme.release(7)?, Status::ResourceRefused);
    assert_eq!(acme.release(8)?, Status::Ok);
    acme.said("its serial 2 is below 3, which was taken")?;

    assert_eq!(acme.lists()?, [("acme".to_owned(), 3, 1)]);
    let shown = acme
        .world
        .vhsm(&RunAs::default(), &["--admin", "status"], b"")?;
    let shown = String::from_utf8(shown.stdout)?;
    assert!(shown.contains("acme serial 3, 1 keys"), "{shown}");
    // Each list once, however often it came, and none that was refused.
    let audited = acme.audited()?;
    let expected = [(1, 1), (2, 2), (3, 1)];
    assert_eq!(audited.len(), expected.len(), "{audited:?}");
    for (entry, (serial, keys)) in audited.iter().zip(expected) {
        let begin = format!("signer acme: list with serial {serial}, digest ");
        let end = format!(", {keys} keys");
        assert!(
            entry.starts_with(&begin) && entry.ends_with(&end),
            "{entry}"
        );
        acme.said(entry)?;
    }
    Ok(())
}

#[test]
fn a_list_of_another_key_or_of_another_owner_changes_nothing() -> Result<()> {
    let acme = Acme::start()?;
    for number in [1, 2, 3] {
        acme.deposit(number, "a")?;
    }
    let by_other = "make --list-key @/other-root.key --owner acme --key @/a.pub --out @/by-other";
    acme.list(by_other)?;
    acme.publish("by-other")?;
    assert_eq!(acme.release(1)?, Status::ResourceRefused);
    acme.said("it is malformed or not of the pinned list key")?;
    acme.list("make --list-key @/root.key --owner emca --key @/a.pub --out @/of-other")?;
    acme.publish("of-other")?;
    assert_eq!(acme.release(2)?, Status::ResourceRefused);
    acme.said("it is the list of another owner")?;
    acme.list("make --list-key @/root.key --owner acme --key @/a.pub --out @/1.list")?;
    acme.publish("1.list")?;
    assert_eq!(acme.release(3)?, Status::Ok);
    // Once its back-off is over, what was refused is fetched anew.
    wait_until(
        "the first one is taken, too",
        Duration::from_secs(40),
        || Ok(acme.release(1)? == Status::Ok),
    )
}

#[test]
fn a_restarted_vault_remembers_the_newest_list_with_its_records() -> Result<()> {
    let mut acme = Acme::start()?;
    acme.list("make --list-key @/root.key --owner acme --key @/a.pub --out @/1.list")?;
    acme.list("add --list-key @/root.key --list @/1.list --key @/b.pub --out @/2.list")?;
    acme.list("retire --list-key @/root.key --list @/2.list --key @/a.pub --out @/3.list")?;
    acme.publish("3.list")?;
    acme.deposit(1, "b")?;
    assert_eq!(acme.release(1)?, Status::Ok);
    acme.world.vhsmd.take().context("vhsmd is there")?.kill()?;
    acme.world.start_vhsmd()?;
    acme.publish("1.list")?;
    acme.deposit(2, "a")?;
    assert_eq!(acme.release(2)?, Status::ResourceRefused);
    acme.said("its serial 1 is below 3, which was taken")?;
    assert_eq!(acme.release(1)?, Status::Ok);
    Ok(())
}
