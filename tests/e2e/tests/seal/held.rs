//! What waits for the counter, and what does not: with a platform that answers when it is told to.

use super::world::{PATIENCE, end, plan, prepared, wait_for};
use anyhow::{Context, Result, ensure};
use nitride_client::Span;
use nitride_ipc::{Connection, Listener};
use nitride_protocol::quote::{CounterReply, CounterRequest, PlatformKeyReply, PlatformKeyRequest};
use nitride_protocol::{Call, KeyType, Message, Status, open_request, write_reply};
use nitride_support::program::wait_until;
use nitride_support::world::{World, outcome};
use std::fs;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const SETTINGS: &str = "[seal]\nfolder = \"@DIR@/seal\"\nplatform = \"tpm\"\ncounter = true\n";

const LIMITED: &str = r#"
[[key]]
name = "app/limited"
type = "aes-256-gcm"
source = "local"
operations = ["encrypt", "decrypt"]
max-uses = 5
seal = true
"#;

/// The counter of a platform, and what is asked of it.
#[derive(Debug, Default)]
struct Counter {
    value: u64,
    is_held: bool,
    /// Steps that were asked for.
    asked: u64,
}

/// In the place of nitride-quote.
#[derive(Debug, Clone, Default)]
struct Platform(Arc<(Mutex<Counter>, Condvar)>);

impl Platform {
    fn start(world: &World) -> Result<Self> {
        let listener = Listener::bind(&world.path("quote.sock"), 0o600)?;
        let platform = Self::default();
        platform.change(|counter| counter.value = 1);
        let serving = platform.clone();
        // Until the test's process ends.
        thread::spawn(move || {
            while let Ok(connection) = listener.accept() {
                let serving = serving.clone();
                thread::spawn(move || serving.answer(&connection));
            }
        });
        Ok(platform)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Counter) -> T) -> T {
        let mut counter = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut counter);
        self.0.1.notify_all();
        changed
    }

    fn answer(&self, connection: &Connection) -> Result<()> {
        let mut packet = vec![0; 10_000];
        let len = connection.recv(&mut packet)?.context("no question")?;
        let (head, params) = open_request(&packet[..len])?;
        let mut reply = vec![0; 10_000];
        let len = if head.operation == PlatformKeyRequest::OPERATION {
            let answer = PlatformKeyReply {
                secret: &[9; 32],
                params: &[1],
                is_old: false,
            };
            write_reply(&mut reply, head.id, Status::Ok, &answer)?
        } else {
            let step = CounterRequest::decode_last(params)?.increment;
            if step {
                self.change(|counter| counter.asked += 1);
            }
            let counter = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .0
                .1
                .wait_while(counter, |counter| step && counter.is_held);
            let mut counter = waited.unwrap_or_else(PoisonError::into_inner);
            counter.value += u64::from(step);
            let value = counter.value;
            write_reply(&mut reply, head.id, Status::Ok, &CounterReply { value })?
        };
        connection.send(&reply[..len])?;
        Ok(())
    }
}

/// A world whose seal is open, and whose every write takes one step from now on.
fn begun() -> Result<(World, Platform)> {
    let mut world = prepared(plan(SETTINGS, LIMITED))?;
    let platform = Platform::start(&world)?;
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    world
        .application()?
        .generate("app/limited", KeyType::Aes256Gcm, None)?;
    Ok((world, platform))
}

impl Platform {
    /// Has the counter answer nobody while `ask` is under way, and does `meanwhile`.
    fn hold<T: Send>(
        &self,
        ask: impl FnOnce() -> Result<T> + Send,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<T> {
        let before = self.change(|counter| {
            counter.is_held = true;
            counter.asked
        });
        thread::scope(|scope| {
            let asking = scope.spawn(ask);
            let met = wait_until("the counter is asked", PATIENCE, || {
                Ok(self.change(|counter| counter.asked) > before)
            })
            .and_then(|()| meanwhile());
            let is_waiting = !asking.is_finished();
            self.change(|counter| counter.is_held = false);
            let asked = asking.join().map_err(|_| anyhow::anyhow!("panicked"))?;
            met?;
            ensure!(is_waiting, "it was answered before it was in the file");
            asked
        })
    }
}

#[test]
fn nothing_is_in_shared_memory_before_its_use_is_in_the_file() -> Result<()> {
    let (world, platform) = begun()?;
    let mut app = world.application()?;
    let buffer = app.register_buffer(1 << 20)?;
    let plaintext = [0x5a; 1000];
    buffer.write_at(0, &plaintext)?;
    let span = Span {
        input_offset: 0,
        input_len: 1000,
        output_offset: 4096,
    };
    let read = |offset, len| -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        buffer.read_at(offset, &mut bytes)?;
        Ok(bytes)
    };
    let is_empty = |offset| {
        // As long as it would take if it did not wait.
        thread::sleep(Duration::from_millis(300));
        ensure!(read(offset, 4096)? == [0; 4096], "what waits was readable");
        Ok(())
    };
    let sealed_len = platform.hold(
        || Ok(app.encrypt_buffer("app/limited", &buffer, span, b"")?),
        || is_empty(4096),
    )?;
    let span = Span {
        input_offset: 4096,
        input_len: sealed_len,
        output_offset: 16384,
    };
    platform.hold(
        || Ok(app.decrypt_buffer("app/limited", &buffer, span, b"")?),
        || is_empty(16384),
    )?;
    ensure!(read(16384, 1000)? == plaintext);
    Ok(())
}

#[test]
fn whoever_needs_nothing_of_the_file_waits_for_nobodys_counter() -> Result<()> {
    let (world, platform) = begun()?;
    let mut app = world.application()?;
    let mut other = world.application()?;
    let mut admin = world.admin()?;
    other.generate("app/other", KeyType::Ed25519, None)?;
    platform.hold(
        || Ok(app.encrypt("app/limited", b"text", b"")?),
        || {
            let began = Instant::now();
            other.sign("app/other", None, b"message")?;
            other.random(32)?;
            other.status()?;
            // Nor whoever makes, changes or ends keys that are in no file.
            other.generate("app/third", KeyType::HmacSha256, None)?;
            other.mac("app/third", b"message")?;
            admin.rotate("app/third")?;
            admin.destroy("app/third", None)?;
            let took = began.elapsed();
            ensure!(took < Duration::from_secs(10), "{took:?}");
            Ok(())
        },
    )?;
    Ok(())
}

#[test]
fn a_use_that_is_counted_waits_for_the_file_that_has_its_key_whatever_the_rule_says() -> Result<()>
{
    let (mut world, _platform) = begun()?;
    end(&mut world)?;
    // The key is in the file that counts, which does not get a successor without it.
    let unsealed = LIMITED.replace("seal = true\n", "");
    let policy = world.plan.policy.replace(LIMITED.trim(), unsealed.trim());
    ensure!(policy != world.plan.policy);
    let policy = world.expand(&policy);
    world.folder.write("policy.d/test.toml", policy)?;
    let obstacle = world.path("seal/vault.sealed.half");
    fs::create_dir(&obstacle)?;
    world.start_vhsmd()?;
    wait_for(&world, "open")?;
    let mut app = world.application()?;
    for _ in 0..2 {
        let used = app.encrypt("app/limited", b"text", b"");
        ensure!(outcome(used)? == Status::SealUnavailable);
    }
    fs::remove_dir(&obstacle)?;
    app.encrypt("app/limited", b"text", b"")?;
    Ok(())
}
