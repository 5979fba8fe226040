//! vhsmd is killed at random moments under load, and whatever was acknowledged is in the file.
//!
//! Nobody keeps its records, so that each kill is a reboot. `NITRIDE_KILLS` says how often, 8 times
//! if it does not. Under a TPM's counter keys are destroyed as well, and the host puts back what the
//! folder had before; that is a quarter as many kills, since each write takes steps of the TPM.

use super::tpm::{COUNTED, all_files, with_tpm};
use super::world::{CREDENTIAL, check_not_open, end, plan, seal, started, wait_for};
use anyhow::{Context, Result, bail, ensure};
use nitride_client::{Client, ClientError};
use nitride_protocol::{KeyState, KeyType};
use nitride_support::draw::Draw;
use nitride_support::world::World;
use nix::sys::signal::Signal;
use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 3;
const KEYS_PER_CLIENT: usize = 8;
const MOST_VERSIONS: u32 = 6;
/// Under a counter: names stay taken, so the others live on.
const DESTROYED_KEYS: usize = 3;

fn name(client: u64, key: usize) -> String {
    format!("app/t{client}/k{key}")
}

fn policy() -> String {
    let mut policy = String::new();
    for client in 0..CLIENTS {
        for key in 0..KEYS_PER_CLIENT {
            policy.push_str(&format!(
                "[[key]]\nname = \"{}\"\ntype = \"aes-256-gcm\"\nsource = \"local\"\n\
                 operations = [\"encrypt\", \"decrypt\"]\nseal = true\n",
                name(client, key)
            ));
        }
    }
    policy
}

/// What is known of a key. What was asked for and not answered may be either way.
#[derive(Clone, Debug, Default)]
struct Known {
    versions: u32,
    is_disabled: bool,
    is_destroyed: bool,
    sealed: Vec<Vec<u8>>,
    is_in_doubt: bool,
}

struct Tenant {
    number: u64,
    draw: Draw,
    /// Whether what is destroyed stays so.
    is_durable: bool,
    keys: Vec<Known>,
    nonces: HashSet<(usize, Vec<u8>)>,
    acknowledged: u64,
}

impl Tenant {
    fn new(number: u64, is_durable: bool) -> Self {
        Self {
            number,
            draw: Draw::new(0x5851_f42d + number),
            is_durable,
            keys: vec![Known::default(); KEYS_PER_CLIENT],
            nonces: HashSet::new(),
            acknowledged: 0,
        }
    }

    /// Asks for one thing after the other until vhsmd is gone.
    fn load(&mut self, app: &mut Client, admin: &mut Client) -> Result<()> {
        loop {
            let key = self.draw.place(KEYS_PER_CLIENT);
            match self.ask(app, admin, key) {
                Ok(()) => self.acknowledged += 1,
                Err(error) if error.status().is_none() => return Ok(()),
                Err(error) => bail!("{}: {error}", name(self.number, key)),
            }
        }
    }

    fn ask(&mut self, app: &mut Client, admin: &mut Client, key: usize) -> Result<(), ClientError> {
        let name = name(self.number, key);
        let choice = self.draw.below(32);
        let known = &mut self.keys[key];
        // Until the answer is here.
        known.is_in_doubt = true;
        match choice {
            _ if known.versions == 0 => {
                app.generate(&name, KeyType::Aes256Gcm, None)?;
                known.versions = 1;
            }
            _ if known.is_destroyed => {}
            0 if self.is_durable && key < DESTROYED_KEYS => {
                admin.destroy(&name, None)?;
                known.is_destroyed = true;
            }
            1..=4 if !known.is_disabled && known.versions < MOST_VERSIONS => {
                known.versions = admin.rotate(&name)?;
            }
            5..=8 if known.is_disabled => {
                app.enable(&name, None)?;
                known.is_disabled = false;
            }
            5..=8 => {
                app.disable(&name, None)?;
                known.is_disabled = true;
            }
            _ if known.is_disabled => {}
            _ => {
                let sealed = app.encrypt(&name, b"plaintext", b"")?;
                let is_new = self.nonces.insert((key, sealed[..40].to_vec()));
                assert!(is_new, "{name}: a nonce was used twice");
                known.sealed.truncate(10);
                known.sealed.insert(0, sealed);
            }
        }
        known.is_in_doubt = false;
        Ok(())
    }

    /// Looks at every key, and learns which of the requests that had no answer were done.
    fn check(&mut self, app: &mut Client) -> Result<()> {
        for (key, known) in self.keys.iter_mut().enumerate() {
            let name = name(self.number, key);
            let told = match app.describe(&name) {
                Ok(told) => told,
                Err(_) if known.versions == 0 => {
                    known.is_in_doubt = false;
                    continue;
                }
                Err(error) => bail!("{name} is lost: {error}: {known:?}"),
            };
            let newest = told.versions.last().map_or(0, |last| last.version);
            let doubt = u32::from(known.is_in_doubt);
            ensure!(
                (known.versions..=known.versions + doubt).contains(&newest),
                "{name}: {told:?} {known:?}"
            );
            let is_disabled = told.state == KeyState::Disabled;
            let is_destroyed = told.state == KeyState::Destroyed;
            ensure!(
                known.is_in_doubt
                    || (is_destroyed == known.is_destroyed
                        && (is_disabled == known.is_disabled || is_destroyed)),
                "{name}: {told:?} {known:?}"
            );
            ensure!(
                !known.is_destroyed || is_destroyed,
                "{name} came back: {told:?}"
            );
            (known.versions, known.is_disabled) = (newest, is_disabled);
            (known.is_destroyed, known.is_in_doubt) = (is_destroyed, false);
            if !is_disabled && !is_destroyed {
                for sealed in &known.sealed {
                    let opened = app.decrypt(&name, sealed, b"")?;
                    ensure!(opened.as_slice() == b"plaintext", "{name}");
                }
            }
        }
        Ok(())
    }
}

fn one_life(world: &World, tenants: &mut [Tenant], patience: Duration) -> Result<()> {
    let vhsmd = world.vhsmd()?;
    thread::scope(|scope| {
        let mut loads = Vec::new();
        for tenant in tenants {
            let (mut app, mut admin) = (world.application()?, world.admin()?);
            loads.push(scope.spawn(move || tenant.load(&mut app, &mut admin)));
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
        Ok(())
    })
}

/// Kills it so often, and looks each time. `start` is how it comes back after a kill.
fn survive(
    world: &mut World,
    kills: u64,
    (is_durable, longest_life): (bool, Duration),
    mut start: impl FnMut(&mut World, u64) -> Result<()>,
) -> Result<()> {
    world.talkative = false;
    let mut draw = Draw::new(kills + 1);
    let mut tenants: Vec<_> = (0..CLIENTS)
        .map(|number| Tenant::new(number, is_durable))
        .collect();
    // On a machine that is slow at it, more lives: what was never acknowledged cannot be lost.
    let mut round = 0;
    while round < kills || (round < 4 * kills && acknowledged(&tenants) <= kills) {
        let patience = longest_life / 1000 * u32::try_from(draw.below(1000))?;
        one_life(world, &mut tenants, patience).with_context(|| format!("before kill {round}"))?;
        end(world)?;
        start(world, round).with_context(|| format!("after kill {round}"))?;
        wait_for(world, "open")?;
        for tenant in &mut tenants {
            tenant
                .check(&mut world.application()?)
                .with_context(|| format!("after kill {round}"))?;
        }
        round += 1;
    }
    let acknowledged = acknowledged(&tenants);
    println!("{round} kills, {acknowledged} requests acknowledged");
    ensure!(acknowledged > kills);
    Ok(())
}

fn acknowledged(tenants: &[Tenant]) -> u64 {
    tenants.iter().map(|tenant| tenant.acknowledged).sum()
}

fn kills(unless_told: u64) -> Result<u64> {
    Ok(std::env::var("NITRIDE_KILLS").map_or(Ok(unless_told), |text| text.parse())?)
}

#[test]
fn whatever_was_acknowledged_is_in_the_file_after_every_kill() -> Result<()> {
    let mut world = started(plan(CREDENTIAL, &policy()))?;
    let terms = (false, Duration::from_millis(200));
    survive(&mut world, kills(8)?, terms, |world, _| world.start_vhsmd())
}

#[test]
fn under_a_counter_no_kill_and_no_older_file_loses_what_was_acknowledged() -> Result<()> {
    let (mut world, _tpm) = with_tpm(COUNTED, &policy())?;
    let mut older = all_files(&world)?;
    let mut refused = 0;
    let terms = (true, Duration::from_millis(1500));
    survive(&mut world, kills(32)? / 4, terms, |world, round| {
        if round % 4 != 3 {
            return world.start_vhsmd();
        }
        // What the folder had four kills ago either counts still, and then has everything, or does
        // not open, and the rest is no worse for it.
        let newest = all_files(world)?;
        put_back(world, &older)?;
        world.start_vhsmd()?;
        if seal(world)?.state != "open" {
            check_not_open(world, "closed", "none that counts")?;
            refused += 1;
            end(world)?;
            put_back(world, &newest)?;
            world.start_vhsmd()?;
        }
        older = newest;
        Ok(())
    })?;
    println!("{refused} times an older file did not count");
    Ok(())
}

/// Has the seal's folder have these files and no others.
fn put_back(world: &World, files: &[(String, Vec<u8>)]) -> Result<()> {
    let folder = world.path("seal");
    for entry in fs::read_dir(&folder)? {
        fs::remove_file(entry?.path())?;
    }
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
