//! What a process that is not vhsmd gets out of it: nothing, by any way into another process that
//! the kernel has, with and without a core dump. Beside each attempt stands the same one on an
//! ordinary process, which has to succeed, so that no test passes for want of trying.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use nitride_protocol::{KeyType, Status};
use nitride_support::plan::Plan;
use nitride_support::program::{RunAs, command_as, wait_until};
use nitride_support::unit::is_root_or_says_so;
use nitride_support::world::{World, outcome, run};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

const STRANGER: u32 = 4321;
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = include_str!("look_into.py");

fn stranger() -> RunAs {
    RunAs {
        user: Some((STRANGER, STRANGER)),
        ..RunAs::default()
    }
}

/// A vault that runs as an ordinary user.
fn world() -> Result<World> {
    let mut plan = Plan::vault("");
    plan.vhsmd_as = stranger();
    let mut world = World::prepare(plan)?;
    // The helper, which is root, reads nothing out of a folder of somebody else's.
    world.start_quote()?;
    let folder = world.folder.path().to_owned();
    std::os::unix::fs::chown(&folder, Some(STRANGER), Some(STRANGER))?;
    world.start_vhsmd()?;
    Ok(world)
}

/// A process that hides nothing. Dropped, it is gone.
struct Ordinary(Child);

impl Ordinary {
    fn start(run_as: &RunAs) -> Result<Self> {
        let mut command = command_as(run_as, Path::new("sleep"));
        let child = command.arg("1000").spawn().context("start sleep")?;
        let process = Self(child);
        // Until setpriv has become sleep it is as little to be looked into as what it was.
        let name = format!("/proc/{}/comm", process.0.id());
        wait_until("sleep runs", Duration::from_secs(10), || {
            Ok(std::fs::read_to_string(&name)? == "sleep\n")
        })?;
        Ok(process)
    }
}

impl Drop for Ordinary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How each way into the process `pid` went.
fn look_into(command: &mut Command, pid: u32) -> Result<BTreeMap<String, String>> {
    let output = run(command.args(["-c", SCRIPT, &pid.to_string()]), b"")?;
    let said = String::from_utf8(output.stdout)?;
    let went = said.lines().filter_map(|line| line.split_once(": "));
    let went: BTreeMap<String, String> = went
        .map(|(way, how)| (way.to_owned(), how.to_owned()))
        .collect();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(went.len() == 9, "{said}{error}");
    Ok(went)
}

fn all_refused(went: &BTreeMap<String, String>) -> bool {
    went.values().all(|how| how == "EPERM" || how == "EACCES")
}

#[test]
fn no_way_into_another_process_leads_into_the_vault() -> Result<()> {
    if !is_root_or_says_so("no_way_into_another_process_leads_into_the_vault") {
        return Ok(());
    }
    let world = world()?;
    let pid = world.vhsmd()?.pid();
    let python = || command_as(&stranger(), Path::new(PYTHON));
    let ordinary = Ordinary::start(&stranger())?;
    let went = look_into(&mut python(), ordinary.0.id())?;
    ensure!(went.values().all(|how| how == "done"), "{went:?}");
    let went = look_into(&mut python(), pid)?;
    ensure!(all_refused(&went), "the same user: {went:?}");
    // Whoever runs as root without its capabilities, as a unit of systemd may.
    let mut without = command_as(&RunAs::default(), Path::new("setpriv"));
    without.args(["--bounding-set=-all", "--inh-caps=-all", PYTHON]);
    let went = look_into(&mut without, pid)?;
    ensure!(all_refused(&went), "root without capabilities: {went:?}");
    // It has not been harmed by the attempts.
    world.application()?.status()?;
    Ok(())
}

/// Ends a process by a signal that makes a core file of others. std looks at the first SIGSEGV
/// itself, for overflows of stacks, and lets the second one through.
fn crash(pid: u32, signal: Signal, mut ended: impl FnMut() -> Result<bool>) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    wait_until("it ends", Duration::from_secs(20), || {
        let _ = kill(pid, signal);
        ended()
    })
}

/// The ends of an ordinary process and of the vault, both with core files of any size allowed.
fn ends(signal: Signal) -> Result<(ExitStatus, ExitStatus)> {
    // Inherited by both; a hard limit below it stays, and the ordinary process shows that.
    let _ = setrlimit(Resource::RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
    let folder = tempfolder()?;
    let mut command = command_as(&RunAs::default(), Path::new("sleep"));
    let child = command.current_dir(&folder).arg("1000").spawn()?;
    let mut ordinary = Ordinary(child);
    let comm = format!("/proc/{}/comm", ordinary.0.id());
    wait_until("sleep runs", Duration::from_secs(10), || {
        Ok(std::fs::read_to_string(&comm)? == "sleep\n")
    })?;
    let id = ordinary.0.id();
    crash(id, signal, || Ok(ordinary.0.try_wait()?.is_some()))?;
    let control = ordinary.0.wait()?;
    std::fs::remove_dir_all(&folder)?;
    let world = World::start(Plan::vault(""))?;
    let vhsmd = world.vhsmd()?;
    crash(vhsmd.pid(), signal, || Ok(vhsmd.exited().is_some()))?;
    Ok((control, vhsmd.exited().context("it has ended")?))
}

fn tempfolder() -> Result<std::path::PathBuf> {
    let name = format!("nitride-cores-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// With the kernel's `core_pattern` as it is: a file, or a program that is handed the dump.
#[test]
fn a_vault_that_crashes_leaves_no_core_dump() -> Result<()> {
    for signal in [Signal::SIGSEGV, Signal::SIGABRT] {
        let (ordinary, vault) = ends(signal)?;
        assert_eq!(vault.signal(), Some(signal as i32));
        assert!(!vault.core_dumped(), "{signal}: {vault}");
        if !ordinary.core_dumped() {
            eprintln!("{signal}: no process leaves a core dump here, so this says little");
        }
    }
    Ok(())
}

/// Nothing that serving takes is refused by the confinement: every kind of key is made, used,
/// reloaded over, and outlives a signal to read the policy again.
#[test]
fn nothing_that_is_needed_is_blocked() -> Result<()> {
    let mut world = World::start(Plan {
        vhsmd_tables: "[audit]\nfolder = \"@DIR@/audit\"\n\
                       [metrics]\nsocket = \"@DIR@/metrics.sock\"\nallowed-uids = [@UID@]\n"
            .to_owned(),
        ..Plan::vault("")
    })?;
    let mut app = world.application()?;
    for key_type in KeyType::ALL {
        let name = format!("app/{}", key_type.as_str());
        app.generate(&name, key_type, None)?;
        app.describe(&name)?;
    }
    app.sign("app/ec-p256", None, b"m")?;
    app.random(100)?;
    world.admin()?.reload()?;
    world.vhsmd()?.signal(Signal::SIGHUP)?;
    // Users are looked up anew when a policy is read.
    let by_name = format!(
        "{}\n[[rule]]\nname = \"by-name\"\nkeys = [\"x\"]\npeers = [{{ user = \"root\" }}]\n\
         operations = [\"sign\"]\n",
        world.plan.policy
    );
    world.set_policy(&by_name)?;
    let called = world.application()?.describe("app/none");
    assert_eq!(outcome(called)?, Status::KeyNotFound);
    let stopped = world.vhsmd()?.stop()?;
    assert!(stopped.success(), "{stopped}");
    assert!(!world.path("vhsm.sock").exists(), "its socket is removed");
    Ok(())
}
