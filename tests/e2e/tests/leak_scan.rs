//! The leak scan: no key, no HMAC state and no AES schedule outside the vault's arenas, and none
//! at all in the agent or the evidence helper, after and *during* every operation.
//!
//! Root reads the other processes' memory. The vault runs with arenas of locked memory here, so
//! that they can be read too: what is nowhere would prove nothing, so everything is first found
//! where it belongs. With memfd_secret, which is the normal case, not even root reads the arenas.
#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use nitride_e2e::known::{Known, no_leaks, plan, use_all};
use nitride_protocol::KeyType;
use nitride_support::scan::{Needles, Snapshot, hmac_sha256_states};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::World;

#[test]
fn known_keys_are_in_the_arenas_and_nowhere_else_after_every_operation() -> Result<()> {
    if !is_root_or_says_so("known_keys_are_in_the_arenas_and_nowhere_else") {
        return Ok(());
    }
    let known = Known::new()?;
    let needles = known.needles();
    let world = World::start(plan(true))?;
    known.deposit(&world)?;
    no_leaks(&world, &needles, "before")?;
    known.import(&world)?;
    no_leaks(&world, &needles, "after import")?;
    use_all(&world)?;
    no_leaks(&world, &needles, "after every use")?;
    // Each key is found where it belongs: else the search above proves nothing.
    let vault = Snapshot::take(world.vhsmd()?.pid())?;
    for form in known.forms() {
        ensure!(
            !vault.kept(&form.raw()).is_empty(),
            "{} is not in the arenas",
            form.label
        );
    }
    let mut expanded = Needles::default();
    let (inner, _) = hmac_sha256_states(&known.imported[2].2);
    expanded.add_words("inner state", &inner);
    ensure!(
        !vault.kept(&expanded).is_empty(),
        "no HMAC state is in the arenas"
    );
    Ok(())
}

#[test]
fn destroyed_keys_are_nowhere_at_all_not_even_in_the_arenas() -> Result<()> {
    if !is_root_or_says_so("destroyed_keys_are_nowhere_at_all") {
        return Ok(());
    }
    let known = Known::new()?;
    let needles = known.needles();
    let world = World::start(plan(true))?;
    known.deposit(&world)?;
    known.import(&world)?;
    use_all(&world)?;
    let mut admin = world.admin()?;
    for form in known.forms() {
        admin.destroy(form.label, None)?;
    }
    no_leaks(&world, &needles, "after destroy")?;
    let kept = Snapshot::take(world.vhsmd()?.pid())?.kept(&needles);
    ensure!(
        kept.is_empty(),
        "left in the arenas after destroy: {kept:#?}"
    );
    Ok(())
}

#[test]
fn with_memfd_secret_not_even_root_reads_the_arenas() -> Result<()> {
    if !is_root_or_says_so("with_memfd_secret_not_even_root_reads_the_arenas") {
        return Ok(());
    }
    let known = Known::new()?;
    let needles = known.needles();
    let world = World::start(plan(false))?;
    known.deposit(&world)?;
    // System call 447, asked without the vault's help, on every architecture that is built for.
    let kernel_has_it = std::process::Command::new("perl")
        .args(["-e", "exit(syscall(447, 0) < 0)"])
        .status()?
        .success();
    if !kernel_has_it {
        eprintln!("SKIPPED: this kernel has no memfd_secret");
        return Ok(());
    }
    ensure!(world.admin()?.status()?.arena_kind == "memfd-secret");
    known.import(&world)?;
    use_all(&world)?;
    no_leaks(&world, &needles, "with memfd_secret")?;
    let vault = Snapshot::take(world.vhsmd()?.pid())?;
    ensure!(vault.kept(&needles).is_empty());
    ensure!(
        vault.refused_len > 5 << 20,
        "{} bytes were refused",
        vault.refused_len
    );
    Ok(())
}

#[test]
fn nothing_that_any_program_writes_holds_a_secret() -> Result<()> {
    let known = Known::new()?;
    let needles = known.needles();
    let world = World::start(plan(false))?;
    known.deposit(&world)?;
    known.import(&world)?;
    use_all(&world)?;
    let wrong = world
        .admin()?
        .import("app/bad", KeyType::EcP256, None, &known.imported[2].2[..31]);
    ensure!(wrong.is_err());
    let logs = world.logs();
    for form in known.forms() {
        for text in [hex(form.material), base64(form.material)] {
            ensure!(!logs.contains(&text), "{} stands in a log", form.label);
        }
    }
    ensure!(needles.find(logs.as_bytes()).is_empty());
    let traffic = world.relay()?.traffic();
    ensure!(traffic.len() > 1000, "no traffic was recorded");
    ensure!(
        needles.find(&traffic).is_empty(),
        "the service's traffic holds a key in the clear"
    );
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
        .trim_end_matches('=')
        .to_owned()
}
