//! A TPM in software, which nitride-quote talks to as if it were the machine's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::folder::Folder;

/// The PCR that sealing is bound to in tests: one that nothing else measures into.
pub const PCR: u8 = 16;

/// Where the counter is.
pub const COUNTER_INDEX: u32 = 0x0180_0123;

/// A running TPM. Dropped, it is killed; what it keeps stays in the folder.
#[derive(Debug)]
pub struct Swtpm {
    state: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Swtpm {
    /// Starts a TPM that keeps its state below the folder.
    ///
    /// # Errors
    /// When there is no `swtpm`, or it does not start.
    pub fn start(folder: &Folder) -> Result<Self> {
        let state = folder.join("swtpm");
        std::fs::create_dir(&state).context("make the TPM's folder")?;
        for _ in 0..50 {
            let port = free_pair()?;
            let mut tpm = Self {
                state: state.clone(),
                port,
                child: None,
            };
            if tpm.try_start()? {
                return Ok(tpm);
            }
        }
        bail!("swtpm does not start")
    }

    /// Ends it and starts it again: PCRs are as after a boot, keys and counters as before.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let until = Instant::now() + Duration::from_secs(60);
        while !self.try_start()? {
            ensure!(Instant::now() < until, "swtpm does not start again");
        }
        Ok(())
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// How libtss2 reaches it.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// Measures something, as a machine does that starts something else.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn extend(&self) -> Result<()> {
        self.extend_by(PCR, &[7; 32])
    }

    /// Measures what has this SHA-256 into a PCR.
    ///
    /// # Errors
    /// When the TPM refuses.
    pub fn extend_by(&self, pcr: u8, digest: &[u8; 32]) -> Result<()> {
        // TPM2_PCR_Extend with an empty password, of one SHA-256 digest.
        let mut command = vec![0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x82, 0, 0, 0, pcr];
        command.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
        command.extend([0, 0, 0, 1, 0, 0x0b]);
        command.extend(digest);
        let len = u32::try_from(command.len())?.to_be_bytes();
        command[2..6].copy_from_slice(&len);
        let until = Instant::now() + Duration::from_secs(60);
        // It serves one at a time.
        let mut stream = loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        stream.write_all(&command)?;
        let mut head = [0; 10];
        stream.read_exact(&mut head)?;
        ensure!(head[6..] == [0; 4], "the TPM refuses: {head:02x?}");
        Ok(())
    }

    fn try_start(&mut self) -> Result<bool> {
        let mut child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", self.state.display()))
            .arg("--server")
            .arg(format!("type=tcp,port={}", self.port))
            .arg("--ctrl")
            .arg(format!("type=tcp,port={}", self.port + 1))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("swtpm: apt-get install swtpm")?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if child.try_wait()?.is_some() || Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(false);
            }
            if TcpStream::connect(("127.0.0.1", self.port + 1)).is_ok() {
                self.child = Some(child);
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A free port that a free one follows: libtss2 takes that one for the TPM's control channel.
///
/// # Errors
/// When there is none.
pub fn free_pair() -> Result<u16> {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").context("find a port")?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
}
