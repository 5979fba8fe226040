//! The real nitride-quote in a mount namespace, in which the kernel's interfaces are the test's.

use anyhow::{Context, Result, ensure};
use nitride_ipc::Connection;
use nitride_protocol::quote::{EvidenceReply, EvidenceRequest, QuoteOperation};
use nitride_protocol::{Message, Status, open_reply, write_request};
use nitride_support::binaries::Binaries;
use nitride_support::folder::Folder;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the helper finds, and where.
#[derive(Debug, Default)]
pub struct Machine {
    /// In the place of configfs-tsm.
    pub reports: Option<PathBuf>,
    /// In the place of `/sys/firmware/acpi/tables`.
    pub acpi_tables: Option<PathBuf>,
    /// Whether there is a file in the place of `/dev/sev-guest`.
    pub has_guest_device: bool,
}

impl Machine {
    /// A command that becomes the helper, which sees this machine and nothing of the outer one.
    fn command(&self) -> Result<Command> {
        let mut script = "set -e\n".to_owned();
        for (hidden, from, to) in [
            (
                "/sys/kernel",
                &self.reports,
                "/sys/kernel/config/tsm/report",
            ),
            (
                "/sys/firmware",
                &self.acpi_tables,
                "/sys/firmware/acpi/tables",
            ),
        ] {
            script += &format!("mount -t tmpfs tmpfs {hidden}\n");
            if let Some(from) = from {
                script += &format!("mkdir -p {to}\nmount --bind {} {to}\n", from.display());
            }
        }
        if self.has_guest_device {
            // A device folder of its own, with what a program takes for granted.
            script += "mount -t tmpfs tmpfs /dev\nmknod /dev/null c 1 3\n\
                       mknod /dev/urandom c 1 9\ntouch /dev/sev-guest\n";
        }
        script += "exec \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "setpriv", "--pdeathsig", "KILL"])
            .args(["sh", "-c", &script, "sh"])
            .arg(&Binaries::find()?.quote);
        Ok(command)
    }

    /// The same in words, for whoever starts the helper with arguments of its own.
    ///
    /// # Errors
    /// When there is no helper.
    pub fn words(&self) -> Result<Vec<OsString>> {
        let command = self.command()?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        Ok(words.map(OsString::from).collect())
    }

    /// What the helper detects here.
    ///
    /// # Errors
    /// When it does not run.
    pub fn detected(&self) -> Result<String> {
        let output = self.command()?.arg("--detect").output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a helper says that must not start.
    ///
    /// # Errors
    /// When it does.
    pub fn refusal(&self, lines: &str) -> Result<String> {
        let folder = Folder::new()?;
        let config = configuration(&folder, lines)?;
        let mut command = self.command()?;
        let output: Output = command.arg("--config").arg(config).output()?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }
}

/// A running helper. Dropped, it is killed.
#[derive(Debug)]
pub struct Helper {
    folder: Folder,
    child: Child,
}

impl Helper {
    /// Starts one on this machine with these lines of configuration, and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(machine: &Machine, lines: &str) -> Result<Self> {
        Self::start_by(machine.command()?, lines)
    }

    /// Starts one by this command with these lines of configuration, and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_by(mut command: Command, lines: &str) -> Result<Self> {
        let folder = Folder::new()?;
        let config = configuration(&folder, lines)?;
        let child = command
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stderr(File::create(folder.join("log"))?)
            .spawn()?;
        let helper = Self { folder, child };
        helper.connect()?;
        Ok(helper)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("log"))?)
    }

    /// How it ended, which it has to by itself.
    ///
    /// # Errors
    /// When it does not within `patience`.
    pub fn wait_within(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it was not there.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn connect(&self) -> Result<Connection> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Connection::connect(&self.folder.join("quote.sock")) {
                Ok(connection) => {
                    connection.set_read_timeout(Some(PATIENCE))?;
                    return Ok(connection);
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error).with_context(|| self.log().unwrap_or_default());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Asks for evidence as vhsmd does: the JSON of the machine's or of the devices', or the refusal.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn evidence(&self, tee: &str, report_data: &[u8; 48]) -> Result<Result<Value, Status>> {
        let connection = self.connect()?;
        let mut packet = vec![0; 512];
        let params = EvidenceRequest {
            tee,
            report_data,
            yields: false,
        };
        let operation = QuoteOperation::Evidence.to_wire();
        let len = write_request(&mut packet, 1, operation, &params)?;
        connection.send(packet.get(..len).unwrap_or_default())?;
        let mut reply = vec![0; 200_000];
        let len = connection.recv(&mut reply)?.context("no answer")?;
        let (head, result) = open_reply(reply.get(..len).unwrap_or_default())?;
        if head.status != Status::Ok {
            return Ok(Err(head.status));
        }
        let evidence = EvidenceReply::decode_last(result)?;
        ensure!(evidence.tee == tee);
        // Devices are asked for by themselves.
        let text = match (evidence.primary_evidence, evidence.additional_evidence) {
            ("", devices) => devices,
            (machine, "") => machine,
            both => anyhow::bail!("both at once: {both:?}"),
        };
        Ok(Ok(serde_json::from_str(text)?))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(folder: &Folder, lines: &str) -> Result<PathBuf> {
    let socket = folder.join("quote.sock");
    let text = format!("socket = {socket:?}\n{lines}\n[caller]\nuid = 0\n");
    folder.write("quote.toml", text)
}
