//! One running program: started, watched, ended.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::descriptor_store::DescriptorStore;
use crate::folder::Folder;
use crate::notify::Notifications;

/// How long a program may take to become ready, and to end when it is asked to.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Who a program runs as, when not as the harness. Only root can give it.
#[derive(Clone, Debug, Default)]
pub struct RunAs {
    /// User and group id; supplementary groups are cleared.
    pub user: Option<(u32, u32)>,
    /// Supplementary groups in their place.
    pub groups: Vec<u32>,
    /// A cgroup2 folder to be in.
    pub cgroup: Option<PathBuf>,
}

/// A command that enters the cgroup, drops to the user and dies with the thread that started it.
/// `setpriv` does what `prctl` would do in a fork of ours, so that no unsafe code is needed; it
/// replaces itself with the program, which therefore has the process id that was started.
#[must_use]
pub fn command_as(run_as: &RunAs, program: &Path) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(cgroup) = &run_as.cgroup {
        words.extend(["sh", "-c", "echo $$ > \"$0\" && exec \"$@\""].map(OsString::from));
        words.push(cgroup.join("cgroup.procs").into());
    }
    words.extend(["setpriv", "--pdeathsig", "KILL"].map(OsString::from));
    if let Some((uid, gid)) = run_as.user {
        words.extend([
            format!("--reuid={uid}").into(),
            format!("--regid={gid}").into(),
        ]);
        if run_as.groups.is_empty() {
            words.push("--clear-groups".into());
        } else {
            let groups: Vec<String> = run_as.groups.iter().map(u32::to_string).collect();
            words.push(format!("--groups={}", groups.join(",")).into());
        }
    }
    words.push("--".into());
    words.push(program.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Names the log and the notify socket.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its environment, added to a nearly empty one.
    pub environment: Vec<(OsString, OsString)>,
    /// Who it runs as.
    pub run_as: RunAs,
}

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub struct Program {
    name: String,
    pid: Pid,
    log: PathBuf,
    notifications: Notifications,
    heard: usize,
    exit: Arc<(Mutex<Option<ExitStatus>>, Condvar)>,
}

impl Program {
    /// Starts it; its standard output and error go to `NAME.log` in the folder, after what an
    /// earlier program of the name has written there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(folder: &Folder, launch: &Launch) -> Result<Self> {
        Self::launch_keeping(folder, launch, None)
    }

    /// The same, with a descriptor store: the program gets what is in it, and may add to it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_keeping(
        folder: &Folder,
        launch: &Launch,
        store: Option<&Arc<DescriptorStore>>,
    ) -> Result<Self> {
        let name = launch.name.clone();
        let log = folder.join(&format!("{name}.log"));
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open the log of {name}"))?;
        let errors = output.try_clone().context("share the log")?;
        let socket = folder.join(&format!("{name}.notify"));
        let notifications = Notifications::listen_keeping(&socket, store.cloned())?;
        let handing = store
            .map(|store| store.handing_to(&launch.path))
            .transpose()?;
        let mut command = match &handing {
            Some(handing) => {
                let mut command = command_as(&launch.run_as, Path::new("bash"));
                command.args(&handing.arguments);
                command
            }
            None => command_as(&launch.run_as, &launch.path),
        };
        let handed = handing.iter().flat_map(|handing| &handing.environment);
        let mut child = command
            .args(&launch.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUST_BACKTRACE", "1")
            .env("NOTIFY_SOCKET", notifications.path())
            .envs(launch.environment.iter().map(|(key, value)| (key, value)))
            .envs(handed.map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .current_dir("/")
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("process id")?);
        let exit = Arc::new((Mutex::new(None), Condvar::new()));
        let told = Arc::clone(&exit);
        std::thread::spawn(move || {
            // A child that cannot be waited for counts as killed.
            let status = child.wait().unwrap_or(ExitStatus::from_raw(9));
            *told.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            told.1.notify_all();
        });
        Ok(Self {
            name,
            pid,
            log,
            notifications,
            heard: 0,
            exit,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All that it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How it ended, when it has.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.exit.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `READY=1`: the first, or after a reload the next.
    ///
    /// # Errors
    /// When it ends first, or says nothing in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.wait_for("READY=1", |line| line == "READY=1")
    }

    /// Waits for a notification that has not been waited for yet.
    ///
    /// # Errors
    /// When it ends first, or says nothing in time; the log stands in the error.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let exit = Arc::clone(&self.exit);
        let give_up = move || {
            let exited = *exit.0.lock().unwrap_or_else(PoisonError::into_inner);
            exited.map(|status| format!("it ended: {status}"))
        };
        let heard = self
            .notifications
            .wait_for(self.heard, PATIENCE, wanted, give_up)
            .with_context(|| format!("wait for {what} of {}\n{}", self.name, self.log()))?;
        self.heard = heard + 1;
        Ok(())
    }

    /// Has it read its configuration again (SIGHUP), and waits until it has.
    ///
    /// # Errors
    /// When it does not say so in time; that it kept what it had is no error.
    pub fn reload(&mut self) -> Result<()> {
        self.signal(Signal::SIGHUP)?;
        self.wait_for("RELOADING=1", |line| line.starts_with("RELOADING=1"))?;
        self.wait_ready()
    }

    /// Every notification so far.
    #[must_use]
    pub fn notifications(&self) -> Vec<String> {
        self.notifications.said()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exited() {
            bail!("signal {}: it has ended: {status}", self.name);
        }
        kill(self.pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.signal_if_it_is_there(Signal::SIGTERM)?;
        self.wait_exit(PATIENCE)
    }

    /// Ends it at once (SIGKILL) and waits.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn kill(&self) -> Result<ExitStatus> {
        self.signal_if_it_is_there(Signal::SIGKILL)?;
        self.wait_exit(PATIENCE)
    }

    /// It may have ended a moment ago, and the thread that waits for it not have said so yet.
    fn signal_if_it_is_there(&self, signal: Signal) -> Result<()> {
        if self.exited().is_some() {
            return Ok(());
        }
        match kill(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("signal {}", self.name)),
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not within the time.
    pub fn wait_exit(&self, within: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + within;
        let mut exit = self.exit.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(status) = *exit {
                return Ok(status);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} did not end within {within:?}", self.name);
            }
            exit = self
                .exit
                .1
                .wait_timeout(exit, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nobody is left to tell; a program that outlives this dies with the thread anyway.
        let _ = self.kill();
    }
}

/// Waits until `holds` is true, looking every few milliseconds: for conditions that nothing
/// announces.
///
/// # Errors
/// When it does not become true within the time, or `holds` fails.
pub fn wait_until(
    what: &str,
    within: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let until = Instant::now() + within;
    while !holds()? {
        if Instant::now() > until {
            bail!("{what}: not within {within:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Reads a whole file's tail, for a report.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = File::open(path)
        .and_then(std::io::read_to_string)
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        Launch {
            name: "shell".to_owned(),
            path: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            run_as: RunAs::default(),
        }
    }

    #[test]
    fn a_program_that_ends_before_it_is_ready_is_reported_with_its_log() -> Result<()> {
        let folder = Folder::new()?;
        let mut program = Program::launch(&folder, &shell("echo no such key >&2; exit 3"))?;
        let error = program.wait_ready().unwrap_err();
        assert!(format!("{error:#}").contains("no such key"), "{error:#}");
        assert_eq!(program.wait_exit(PATIENCE)?.code(), Some(3));
        Ok(())
    }

    #[test]
    fn a_dropped_program_is_gone() -> Result<()> {
        let folder = Folder::new()?;
        let program = Program::launch(&folder, &shell("sleep 1000"))?;
        let pid = program.pid;
        drop(program);
        assert!(kill(pid, None).is_err());
        Ok(())
    }
}
