//! vhsmd is killed at random moments under load, and whatever was acknowledged is in the file.
//!
//! Nobody keeps its records, so that each kill is a reboot. `NITRIDE_KILLS` says how often, 8 times
//! if it does not.

use super::world::{CREDENTIAL, end, plan, started, wait_for};
use anyhow::{Context, Result, bail, ensure};
use nitride_client::{Client, ClientError};
use nitride_protocol::{KeyState, KeyType};
use nitride_support::world::World;
use nix::sys::signal::Signal;
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 3;
const KEYS_PER_CLIENT: usize = 8;
const MOST_VERSIONS: u32 = 6;

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

/// Numbers that repeat for a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }

    /// One of so many.
    fn pick(&mut self, len: usize) -> usize {
        usize::from(self.below(256).to_le_bytes()[0]) % len
    }
}

/// What is known of a key. What was asked for and not answered may be either way.
#[derive(Clone, Debug, Default)]
struct Known {
    versions: u32,
    is_disabled: bool,
    sealed: Vec<Vec<u8>>,
    is_in_doubt: bool,
}

struct Tenant {
    number: u64,
    draw: Draw,
    keys: Vec<Known>,
    nonces: HashSet<(usize, Vec<u8>)>,
    acknowledged: u64,
}

impl Tenant {
    fn new(number: u64) -> Self {
        Self {
            number,
            draw: Draw(0x5851_f42d + number),
            keys: vec![Known::default(); KEYS_PER_CLIENT],
            nonces: HashSet::new(),
            acknowledged: 0,
        }
    }

    /// Asks for one thing after the other until vhsmd is gone.
    fn load(&mut self, app: &mut Client, admin: &mut Client) -> Result<()> {
        loop {
            let key = self.draw.pick(KEYS_PER_CLIENT);
            match self.ask(app, admin, key) {
                Ok(()) => self.acknowledged += 1,
                Err(error) if error.status().is_none() => return Ok(()),
                Err(error) => bail!("{}: {error}", name(self.number, key)),
            }
        }
    }

    fn ask(&mut self, app: &mut Client, admin: &mut Client, key: usize) -> Result<(), ClientError> {
        let name = name(self.number, key);
        let choice = self.draw.below(8);
        let known = &mut self.keys[key];
        // Until the answer is here.
        known.is_in_doubt = true;
        match choice {
            _ if known.versions == 0 => {
                app.generate(&name, KeyType::Aes256Gcm, None)?;
                known.versions = 1;
            }
            0 if !known.is_disabled && known.versions < MOST_VERSIONS => {
                known.versions = admin.rotate(&name)?;
            }
            1 if known.is_disabled => {
                app.enable(&name, None)?;
                known.is_disabled = false;
            }
            1 => {
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
            ensure!(
                known.is_in_doubt || is_disabled == known.is_disabled,
                "{name}: {told:?} {known:?}"
            );
            (known.versions, known.is_disabled) = (newest, is_disabled);
            known.is_in_doubt = false;
            if !is_disabled {
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

#[test]
fn whatever_was_acknowledged_is_in_the_file_after_every_kill() -> Result<()> {
    let kills: u64 = std::env::var("NITRIDE_KILLS").map_or(Ok(8), |text| text.parse())?;
    let mut world = started(plan(CREDENTIAL, &policy()))?;
    world.talkative = false;
    let mut draw = Draw(kills + 1);
    let mut tenants: Vec<_> = (0..CLIENTS).map(Tenant::new).collect();
    for round in 0..kills {
        let patience = Duration::from_micros(draw.below(200_000));
        one_life(&world, &mut tenants, patience).with_context(|| format!("before kill {round}"))?;
        end(&mut world)?;
        world
            .start_vhsmd()
            .with_context(|| format!("after kill {round}"))?;
        wait_for(&world, "open")?;
        for tenant in &mut tenants {
            tenant
                .check(&mut world.application()?)
                .with_context(|| format!("after kill {round}"))?;
        }
    }
    let acknowledged: u64 = tenants.iter().map(|tenant| tenant.acknowledged).sum();
    println!("{kills} kills, {acknowledged} requests acknowledged");
    ensure!(acknowledged > kills);
    Ok(())
}
