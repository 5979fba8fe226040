//! Case B: the key is missing or gated, and an attestation round brings what is wanted.

use crate::policy;
use crate::story::Story;
use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::owner::Deposit;
use nitride_support::program::wait_until;
use nitride_support::world::{World, outcome};
use std::time::Duration;

fn rounds(world: &World) -> Result<usize> {
    Ok(world.relay()?.count("POST", "/kbs/v0/auth"))
}

pub(crate) fn owner_deposits(story: &mut Story, world: &World) -> Result<()> {
    story.part("The owner signs secrets and leaves them at the provisioning service.");
    let owner = world.owner();
    let [one, two] = &policy::MAC_KEYS;
    let deposits = [
        Deposit::secret("demo/secret/api-key", policy::API_KEY),
        Deposit::key("demo/key/signing", KeyType::EcP256, &policy::SCALAR),
        Deposit::secret("demo/secret/database", policy::DATABASE_PASSWORD),
        Deposit::key(
            "demo/key/prefetched",
            KeyType::EcP256,
            &policy::PREFETCHED_SCALAR,
        ),
        Deposit::key("demo/key/one", KeyType::HmacSha256, one),
        Deposit::key("demo/key/two", KeyType::HmacSha256, two),
        Deposit::secret("demo/disk/root", policy::PASSPHRASE),
    ];
    story.step("seal and put, each under the owner's signature", || {
        for deposit in &deposits {
            owner.deposit(deposit)?;
        }
        Ok(format!("{} resources", deposits.len()))
    })
}

pub(crate) fn prefetched_in_one_round(story: &mut Story, world: &World) -> Result<()> {
    story.part("Case B: the key is missing. The agent carries; the vault opens.");
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    story.step("the agent starts; two keys marked prefetch arrive", || {
        wait_until("prefetch", Duration::from_secs(20), || {
            let there = outcome(hasty.release("app/database-password", None))?;
            Ok(there == Status::Ok)
        })?;
        hasty.sign("app/prefetched-signing", None, b"m")?;
        ensure!(rounds(world)? == 1, "{} rounds", rounds(world)?);
        Ok("a secret and an EC key, one round")
    })?;
    Ok(())
}

pub(crate) fn fetched_on_first_use(story: &mut Story, world: &World) -> Result<()> {
    let before = rounds(world)?;
    let mut app = world.application()?;
    story.step("release a secret that is missing", || {
        let released = app.release("app/api-key", None)?;
        ensure!(**released.secret == *policy::API_KEY);
        Ok("attested, fetched, released")
    })?;
    story.step("sign with an EC key that is missing", || {
        app.sign("app/owner-signing", None, b"m")?;
        Ok("attested, fetched, signed")
    })?;
    story.step("sign again", || {
        app.sign("app/owner-signing", None, b"m")?;
        ensure!(rounds(world)? == before + 2);
        Ok("Case A by now")
    })
}

pub(crate) fn gated(story: &mut Story, world: &mut World) -> Result<()> {
    story.part("A gated key: this machine's trust is proven now, and again when it has aged.");
    let mut hasty = world.application_waiting(Duration::ZERO)?;
    story.step("use it without waiting for a round", || {
        let refused = outcome(hasty.mac("app/gated", b"data"))?;
        ensure!(refused != Status::Ok);
        Ok(format!("refused: {refused}"))
    })?;
    story.step("use it with a round", || {
        world.application()?.mac("app/gated", b"data")?;
        Ok("approved, used")
    })?;
    // Nobody renews the approval now.
    world.agent.take().context("the agent runs")?.stop()?;
    story.step("use it when the approval is older than 2 s", || {
        wait_until("the approval ages", Duration::from_secs(10), || {
            Ok(outcome(hasty.mac("app/gated", b"data"))? != Status::Ok)
        })?;
        Ok("refused again")
    })?;
    world.start_agent()
}

pub(crate) fn denied_peer(story: &mut Story, world: &World) -> Result<()> {
    story.part("A peer that no rule names.");
    let mut app = world.application()?;
    story.step("generate a key of another user", || {
        let refused = outcome(app.generate("payroll/signing", KeyType::EcP256, None))?;
        ensure!(refused == Status::Denied);
        Ok(format!("refused: {refused}"))
    })?;
    story.step("release the disk's passphrase to an application", || {
        let refused = outcome(app.release("disk/root", None))?;
        ensure!(refused == Status::Denied);
        Ok(format!("refused: {refused}"))
    })
}
