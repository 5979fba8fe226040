//! The leak scan in the middle of things: the vault is stopped again and again while it works,
//! and searched as it stands. See `leak_scan.rs`, which searches when it is done.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use nitride_e2e::known::{Known, control, fresh_bytes, no_leaks, plan, use_all};
use nitride_protocol::{KeyType, Status};
use nitride_support::courier::{Courier, KbsSession};
use nitride_support::owner::Deposit;
use nitride_support::program::wait_until;
use nitride_support::scan::{Form, Needles, Snapshot, aes256_encrypt_block, candidates};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::World;
use p256::pkcs8::DecodePublicKey;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Moments at which the vault is stopped and searched while it works.
const MOMENTS: usize = 60;

/// Does one turn of work after the other, and counts them, until it is over.
fn work_until(
    over: &AtomicBool,
    turns: &AtomicU64,
    mut work: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        work(turn)?;
        turn += 1;
        turns.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn no_moment_of_any_operation_shows_a_known_key_outside_the_arenas() -> Result<()> {
    if !is_root_or_says_so("no_moment_of_any_operation_shows_a_known_key") {
        return Ok(());
    }
    let known = Known::new()?;
    let mut needles = known.needles();
    let mut plan = plan(true);
    plan.vhsmd_tables = "[limits]\nkeys = 10000000\nkeys-per-uid = 10000000\n".to_owned();
    let world = World::start(plan)?;
    known.deposit(&world)?;
    known.import(&world)?;
    use_all(&world)?;
    // Short-lived keys of the same bytes every time: import and destroy under the search too.
    let passing = fresh_bytes(32)?;
    for key_type in [KeyType::HmacSha256, KeyType::Aes256GcmSiv, KeyType::Ed25519] {
        Form {
            label: "passing",
            key_type,
            material: &passing,
        }
        .add_to(&mut needles);
    }
    let (over, operations) = (AtomicBool::new(false), AtomicU64::new(0));
    let (world, passing) = (&world, passing.as_slice());
    std::thread::scope(|scope| {
        let users = [
            scope.spawn(|| work_until(&over, &operations, |_| use_all(world))),
            scope.spawn(|| work_until(&over, &operations, |_| use_all(world))),
        ];
        let keeper = scope.spawn(|| {
            let mut admin = world.admin()?;
            work_until(&over, &operations, |turn| {
                let kinds = [KeyType::HmacSha256, KeyType::Aes256GcmSiv, KeyType::Ed25519];
                let kind = kinds[usize::try_from(turn % 3)?];
                let name = format!("app/passing{turn}");
                // What was destroyed leaves its name behind in the records, until they are full.
                match admin.import(&name, kind, None, passing) {
                    Err(error) if error.status() == Some(Status::ArenaFull) => return Ok(()),
                    imported => imported?,
                };
                Ok(admin.destroy(&name, None)?)
            })
        });
        let searched = (0..MOMENTS).try_for_each(|moment| {
            // Spread over what the vault does by waiting for it to do a little more.
            let seen = operations.load(Ordering::Relaxed);
            wait_until(
                "the vault works",
                std::time::Duration::from_secs(20),
                || {
                    Ok(operations.load(Ordering::Relaxed) > seen
                        || users.iter().any(|u| u.is_finished()))
                },
            )?;
            no_leaks(world, &needles, &format!("moment {moment}"))
        });
        over.store(true, Ordering::Relaxed);
        for worker in users.into_iter().chain([keeper]) {
            worker.join().ok().context("no panic")??;
        }
        searched
    })?;
    eprintln!(
        "{MOMENTS} moments among {} turns, 0 findings",
        operations.into_inner()
    );
    Ok(())
}

#[test]
fn no_moment_of_a_round_shows_what_it_brings_outside_the_arenas() -> Result<()> {
    if !is_root_or_says_so("no_moment_of_a_round_shows_what_it_brings") {
        return Ok(());
    }
    // Keys by the dozen in each round, and a lease that has them brought again and again.
    let names: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    let policy: String = names
        .iter()
        .map(|name| {
            format!(
                "[[key]]\nname = \"app/{name}\"\ntype = \"hmac-sha256\"\nlease = \"1s\"\n\
                 source = \"kbs:///demo/key/{name}\"\nservice = \"main\"\nsigner = \"owner\"\n\
                 operations = [\"mac\"]\n"
            )
        })
        .collect();
    let mut plan = plan(true);
    plan.policy.push_str(&policy);
    plan.service_tables = "[throttle]\nrequests-per-second = 10000\nburst = 10000\n".to_owned();
    let world = World::start(plan)?;
    let mut needles = Needles::default();
    for name in &names {
        let (path, material) = (format!("demo/key/{name}"), fresh_bytes(32)?);
        world
            .owner()
            .deposit(&Deposit::key(&path, KeyType::HmacSha256, &material))?;
        Form {
            label: name,
            key_type: KeyType::HmacSha256,
            material: &material,
        }
        .add_to(&mut needles);
    }
    let over = AtomicBool::new(false);
    let moments = std::thread::scope(|scope| -> Result<usize> {
        let users: Vec<_> = names
            .chunks(10)
            .map(|names| {
                let (over, world) = (&over, &world);
                scope.spawn(move || -> Result<()> {
                    let mut app = world.application()?;
                    while !over.load(Ordering::Relaxed) {
                        for name in names {
                            match app.mac(&format!("app/{name}"), b"data") {
                                // A machine that is busy may take longer for a round than a lease.
                                Err(error) if error.status() == Some(Status::TimedOut) => {}
                                used => drop(used?),
                            }
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let rounds = || Ok::<_, anyhow::Error>(world.relay()?.count("POST", "/kbs/v0/attest"));
        let mut moments = 0;
        let searched = (|| -> Result<()> {
            // Until both have happened often enough, or a user has failed.
            while (moments < MOMENTS || rounds()? < 50)
                && !users.iter().any(std::thread::ScopedJoinHandle::is_finished)
            {
                no_leaks(&world, &needles, &format!("moment {moments}"))?;
                moments += 1;
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        for user in users {
            user.join().ok().context("no panic")??;
        }
        searched.map(|()| moments)
    })?;
    let kept = Snapshot::take(world.vhsmd()?.pid())?.kept(&needles);
    ensure!(!kept.is_empty(), "none of the keys is in the arenas");
    let rounds = world.relay()?.count("POST", "/kbs/v0/attest");
    eprintln!("{moments} moments among {rounds} rounds, 0 findings");
    Ok(())
}

/// The keys that a vault has made, found in its arenas by what they do.
fn find_generated(
    world: &World,
    vault: &Snapshot,
) -> Result<Vec<(&'static str, KeyType, [u8; 32])>> {
    let mut app = world.application()?;
    let spki = app.public_key("app/made-ec", None)?.spki;
    let ec = p256::PublicKey::from_public_key_der(&spki)?;
    let ed = app.public_key("app/made-ed", None)?.spki;
    let tag = app.mac("app/made-mac", b"data")?.tag;
    let sealed = app.encrypt("app/made-gcm", &[0; 16], b"")?;
    let mut found: Vec<(&'static str, KeyType, [u8; 32])> = Vec::new();
    let unique: BTreeSet<&[u8; 32]> = candidates(&vault.arenas).collect();
    for candidate in unique {
        let is_ec =
            || p256::SecretKey::from_slice(candidate).is_ok_and(|secret| secret.public_key() == ec);
        let is_ed = || {
            Ed25519KeyPair::from_seed_unchecked(candidate)
                .is_ok_and(|pair| ed.ends_with(pair.public_key().as_ref()))
        };
        let is_mac = || {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, candidate);
            aws_lc_rs::hmac::verify(&key, b"data", &tag).is_ok()
        };
        // The first block of zeros under counter 2 is keystream (SP 800-38D, 7.1).
        let is_gcm = || {
            let mut counter = [0; 16];
            counter[..12].copy_from_slice(&sealed[24..36]);
            counter[15] = 2;
            aes256_encrypt_block(candidate, &counter) == sealed[36..52]
        };
        for (label, key_type, is_it) in [
            ("made-ed", KeyType::Ed25519, &is_ed as &dyn Fn() -> bool),
            ("made-mac", KeyType::HmacSha256, &is_mac),
            ("made-gcm", KeyType::Aes256Gcm, &is_gcm),
            ("made-ec", KeyType::EcP256, &is_ec),
        ] {
            if is_it() {
                found.push((label, key_type, *candidate));
            }
        }
    }
    Ok(found)
}

#[test]
fn generated_keys_are_in_the_arenas_alone_while_and_after_they_are_made() -> Result<()> {
    if !is_root_or_says_so("generated_keys_are_in_the_arenas_alone") {
        return Ok(());
    }
    let world = World::start(plan(true))?;
    let kinds = [
        ("app/made-ec", KeyType::EcP256),
        ("app/made-ed", KeyType::Ed25519),
        ("app/made-mac", KeyType::HmacSha256),
        ("app/made-gcm", KeyType::Aes256Gcm),
    ];
    let mut moments = Vec::new();
    let pid = world.vhsmd()?.pid();
    std::thread::scope(|scope| -> Result<()> {
        let maker = scope.spawn(|| -> Result<()> {
            let mut app = world.application()?;
            // The first use of a key is a part of its making: it is expanded then.
            for (name, key_type) in kinds {
                app.generate(name, key_type, None)?;
                for _ in 0..400 {
                    match key_type {
                        KeyType::HmacSha256 => drop(app.mac(name, b"data")?),
                        KeyType::Aes256Gcm => drop(app.encrypt(name, b"plaintext", b"")?),
                        _ => drop(app.sign(name, None, b"message")?),
                    }
                }
            }
            Ok(())
        });
        while !maker.is_finished() {
            let mut moment = Snapshot::take(pid)?;
            moment.arenas.clear();
            moments.push(moment);
        }
        maker.join().ok().context("no panic")?
    })?;
    moments.push(Snapshot::take(pid)?);
    let last = moments.last().context("one moment at least")?;
    let found = find_generated(&world, last)?;
    let mut needles = Needles::default();
    for (name, _) in kinds {
        let label = name.trim_start_matches("app/");
        let of_kind = found.iter().find(|(found, ..)| *found == label);
        let (label, key_type, material) =
            of_kind.with_context(|| format!("{name} was not found in the arenas"))?;
        Form {
            label,
            key_type: *key_type,
            material,
        }
        .add_to(&mut needles);
    }
    for (index, moment) in moments.iter().enumerate() {
        let leaks = moment.leaks(&needles);
        ensure!(
            leaks.is_empty(),
            "moment {index} of {}: {leaks:#?}",
            moments.len()
        );
        ensure!(!moment.leaks(&control()).is_empty(), "the search is blind");
    }
    eprintln!("{} moments while keys were made, 0 findings", moments.len());
    no_leaks(&world, &needles, "after generate")
}

#[test]
fn a_rounds_own_key_is_in_the_arenas_while_it_lasts_and_nowhere_afterwards() -> Result<()> {
    if !is_root_or_says_so("a_rounds_own_key_is_in_the_arenas_while_it_lasts") {
        return Ok(());
    }
    let mut plan = plan(true);
    plan.with_agent = false;
    let world = World::start(plan)?;
    let known = Known::new()?;
    known.deposit(&world)?;
    let pid = world.vhsmd()?.pid();
    let mut courier = Courier::connect(&world.path("agent.sock"))?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            world
                .application()?
                .mac("app/fetched-mac", b"d")
                .context("mac")
        });
        let mut acted = || -> Result<()> {
            let order = courier.next_round()?;
            let mut session = KbsSession::open(&world.service_upstream()?)?;
            let nonce = session.auth(&order.tee)?;
            let evidence = courier.challenge(&order, &nonce)?;
            let key: Value = serde_json::from_str(&evidence.tee_pubkey)?;
            let public = nitride_kbs::tee_key::TeePublicKey::parse(&key.to_string())?;
            let nitride_kbs::tee_key::TeePublicKey::EcP256 { x, y } = public else {
                anyhow::bail!("a key of P-256, since no other was offered");
            };
            let point = nitride_kbs::tee_key::p256_point(&x, &y);
            let public = p256::PublicKey::from_sec1_bytes(&point)?;
            let during = Snapshot::take(pid)?;
            let unique: BTreeSet<&[u8; 32]> = candidates(&during.arenas).collect();
            let either_order = unique.into_iter().find_map(|candidate| {
                let reversed: [u8; 32] = std::array::from_fn(|at| candidate[31 - at]);
                [*candidate, reversed].into_iter().find(|bytes| {
                    p256::SecretKey::from_slice(bytes).is_ok_and(|key| key.public_key() == public)
                })
            });
            let secret = either_order.context("the round's key is not in the arenas")?;
            let mut needles = Needles::default();
            needles.add("the round's key", &secret);
            ensure!(
                during.leaks(&needles).is_empty(),
                "{:#?}",
                during.leaks(&needles)
            );
            session.attest(&nonce, &evidence)?;
            for path in &order.resources {
                let jwe = session.resource(path)?;
                courier.resource(&order, path, &jwe)?;
            }
            let opened = Snapshot::take(pid)?;
            ensure!(
                opened.leaks(&needles).is_empty(),
                "{:#?}",
                opened.leaks(&needles)
            );
            courier.finish(&order)?;
            let after = Snapshot::take(pid)?;
            let left = [after.kept(&needles), after.leaks(&needles)].concat();
            ensure!(left.is_empty(), "left after the round: {left:#?}");
            Ok(())
        };
        let acted = acted();
        drop(courier);
        acted?;
        waiting.join().ok().context("no panic")?.map(drop)
    })
}
