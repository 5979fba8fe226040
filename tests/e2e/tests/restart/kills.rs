//! vhsmd is killed at random moments under load, and the next one has every key that was
//! acknowledged: its versions, its counters, what was disabled and what was destroyed.
//!
//! `NITRIDE_KILLS` says how often vhsmd is killed, 40 times if it does not.

use super::{kill, store, world};
use anyhow::{Context, Result, bail, ensure};
use nitride_client::{Client, ClientError};
use nitride_protocol::{KeyPolicy, KeyState, KeyType};
use nitride_support::draw::Draw;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 3;
const KEYS_PER_CLIENT: u64 = 12;
/// Names stay taken: a thousand kills would fill the records with those of destroyed keys.
const LAST_NAME: u64 = 1200;
const MAX_USES: u64 = 1 << 40;

/// Bytes of a ciphertext before the nonce, and of the nonce.
const NONCE: std::ops::Range<usize> = 24..36;

/// What is known of a key. What was asked for and not answered may be either way.
#[derive(Clone, Debug, Default)]
struct Known {
    versions: u32,
    disabled: bool,
    destroyed: bool,
    has_policy: bool,
    is_imported: bool,
    uses: u64,
    sealed: Vec<Vec<u8>>,
    is_in_doubt: bool,
}

/// One client's keys, which nobody else touches.
struct Tenant {
    number: u64,
    draw: Draw,
    keys: BTreeMap<u64, Known>,
    nonces: HashSet<(u64, Vec<u8>)>,
    acknowledged: u64,
}

fn name(tenant: u64, key: u64) -> String {
    format!("app/t{tenant}/k{key}")
}

/// The next key takes the place of one that was destroyed: names are not used again.
fn generation_of(keys: &BTreeMap<u64, Known>, slot: u64) -> u64 {
    let mut taken = keys
        .iter()
        .filter(|(key, _)| *key % KEYS_PER_CLIENT == slot);
    match taken.next_back() {
        Some((key, known)) if known.destroyed => key + KEYS_PER_CLIENT,
        Some((key, _)) => *key,
        None => slot,
    }
}

impl Tenant {
    fn new(number: u64) -> Self {
        Self {
            number,
            draw: Draw::new(0x9e37_79b9 + number),
            keys: BTreeMap::new(),
            nonces: HashSet::new(),
            acknowledged: 0,
        }
    }

    /// Asks for one thing after the other until vhsmd is gone.
    fn load(&mut self, client: &mut Client, admin: &mut Client, ends: &AtomicBool) -> Result<()> {
        while !ends.load(Ordering::Relaxed) {
            let slot = self.draw.below(KEYS_PER_CLIENT);
            let key = generation_of(&self.keys, slot);
            match self.ask(client, admin, key) {
                Ok(()) => self.acknowledged += 1,
                Err(error) if error.status().is_none() => return Ok(()),
                Err(error) => bail!("{}: {error}", name(self.number, key)),
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        client: &mut Client,
        admin: &mut Client,
        key: u64,
    ) -> Result<(), ClientError> {
        let name = name(self.number, key);
        let choice = self.draw.below(16);
        let known = self.keys.entry(key).or_default();
        // Until the answer is here.
        known.is_in_doubt = true;
        match choice {
            _ if known.versions == 0 => {
                if choice < 12 {
                    known.is_imported = false;
                    client.generate(&name, KeyType::Aes256Gcm, None)?;
                } else {
                    known.is_imported = true;
                    admin.import(&name, KeyType::Aes256GcmSiv, None, &[7; 32])?;
                }
                known.versions = 1;
            }
            0 | 1 if !known.disabled && !known.is_imported && known.versions < 10 => {
                known.versions = admin.rotate(&name)?;
            }
            2 | 3 if known.disabled => {
                client.enable(&name, None)?;
                known.disabled = false;
            }
            2 => {
                client.disable(&name, None)?;
                known.disabled = true;
            }
            4 => {
                let policy = KeyPolicy {
                    max_uses: Some(MAX_USES),
                    ..KeyPolicy::default()
                };
                admin.set_policy(&name, policy)?;
                known.has_policy = true;
            }
            5 if key < LAST_NAME => {
                admin.destroy(&name, None)?;
                known.destroyed = true;
            }
            _ if known.disabled => {}
            _ => {
                let sealed = client.encrypt(&name, b"plaintext", b"")?;
                known.uses += 1;
                // The header names cipher and version, so a nonce counts within them.
                let is_new = self.nonces.insert((key, sealed[3..NONCE.end].to_vec()));
                assert!(is_new, "{name}: a nonce was used twice");
                known.sealed.truncate(20);
                known.sealed.insert(0, sealed);
            }
        }
        known.is_in_doubt = false;
        Ok(())
    }

    /// Looks at every key, and learns which of the requests that had no answer were done.
    fn check(&mut self, client: &mut Client) -> Result<()> {
        let number = self.number;
        let mut gone = Vec::new();
        for (key, known) in &mut self.keys {
            let name = name(number, *key);
            let told = match client.describe(&name) {
                Ok(told) => told,
                Err(_) if known.is_in_doubt && known.versions == 0 => {
                    gone.push(*key);
                    continue;
                }
                Err(error) => bail!("{name} is lost: {error}: {known:?}"),
            };
            let doubt = u32::from(known.is_in_doubt);
            let newest = told.versions.last().map_or(0, |last| last.version);
            ensure!(
                (known.versions..=known.versions + doubt).contains(&newest),
                "{name}: {told:?} {known:?}"
            );
            known.versions = newest;
            let is_destroyed = told.state == KeyState::Destroyed;
            let is_disabled = told.state == KeyState::Disabled;
            ensure!(
                known.is_in_doubt
                    || (is_destroyed == known.destroyed
                        && (is_disabled == known.disabled || is_destroyed)),
                "{name}: {told:?} {known:?}"
            );
            ensure!(
                !known.destroyed || is_destroyed,
                "{name} was destroyed: {told:?}"
            );
            (known.destroyed, known.disabled) = (is_destroyed, is_disabled);
            ensure!(
                !known.has_policy || told.max_uses == Some(MAX_USES),
                "{name}: {told:?}"
            );
            known.has_policy = told.max_uses.is_some();
            // What was taken of the allowance stays taken.
            ensure!(
                told.uses_left
                    .is_none_or(|left| left + known.uses <= MAX_USES),
                "{name}: {told:?} {known:?}"
            );
            let uses: u64 = told.versions.iter().map(|each| each.uses).sum();
            ensure!(
                uses >= known.uses || is_destroyed,
                "{name}: {uses} of {known:?}"
            );
            if !is_destroyed && !is_disabled {
                for sealed in &known.sealed {
                    let opened = client.decrypt(&name, sealed, b"")?;
                    ensure!(opened.as_slice() == b"plaintext", "{name}");
                }
            } else if let Some(sealed) = known.sealed.first() {
                ensure!(
                    client.decrypt(&name, sealed, b"").is_err(),
                    "{name} still opens"
                );
            }
            known.is_in_doubt = false;
        }
        for key in gone {
            self.keys.remove(&key);
        }
        Ok(())
    }
}

#[test]
fn whatever_was_acknowledged_is_there_after_every_kill() -> Result<()> {
    let kills: u64 = std::env::var("NITRIDE_KILLS").map_or(Ok(40), |text| text.parse())?;
    let mut world = world(64)?;
    world.talkative = false;
    let mut draw = Draw::new(kills + 1);
    let mut tenants: Vec<_> = (0..CLIENTS).map(Tenant::new).collect();
    for round in 0..kills {
        let ends = AtomicBool::new(false);
        let patience = Duration::from_micros(draw.below(60_000));
        let vhsmd = world.vhsmd.as_ref().context("vhsmd is not there")?;
        thread::scope(|scope| -> Result<()> {
            let mut loads = Vec::new();
            for tenant in &mut tenants {
                let (mut client, mut admin) = (world.application()?, world.admin()?);
                let ends = &ends;
                loads.push(scope.spawn(move || tenant.load(&mut client, &mut admin, ends)));
            }
            let until = Instant::now() + patience;
            while Instant::now() < until {
                thread::yield_now();
            }
            vhsmd.signal(Signal::SIGKILL)?;
            for load in loads {
                load.join()
                    .map_err(|_| anyhow::anyhow!("a client panicked"))??;
            }
            ends.store(true, Ordering::Relaxed);
            Ok(())
        })?;
        kill(&mut world)?;
        world
            .start_vhsmd()
            .with_context(|| format!("after kill {round}"))?;
        for tenant in &mut tenants {
            tenant
                .check(&mut world.application()?)
                .with_context(|| format!("after kill {round}"))?;
        }
    }
    let acknowledged: u64 = tenants.iter().map(|tenant| tenant.acknowledged).sum();
    println!(
        "{kills} kills, {acknowledged} requests acknowledged, {} segments",
        store(&world)?.len()
    );
    ensure!(acknowledged > kills);
    Ok(())
}
