//! A client as systemd is one when it loads a unit's credential.

use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use crate::program::{RunAs, command_as};

/// What systemd 257 does in `(sd-mkdcreds)`, a process that it has put into the unit's cgroup:
/// connects from an abstract name, says that it will write nothing, reads to the end, and fails
/// the unit for more than 1 MiB.
const LOAD: &str = r#"
import os, socket, sys
path, unit, name = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.settimeout(60)
s.bind("\0" + os.urandom(8).hex() + "/unit/" + unit + "/" + name)
s.connect(path)
s.shutdown(socket.SHUT_WR)
read = b""
while part := s.recv(65536):
    read += part
    if len(read) > 1 << 20:
        sys.exit(243)
sys.stdout.buffer.write(read)
"#;

/// A credential that is being loaded.
#[derive(Debug)]
pub struct Loading {
    child: Child,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The unit starts, with these bytes.
    Credential(Vec<u8>),
    /// The unit fails (243/CREDENTIALS).
    UnitFails,
}

impl Loading {
    /// Asks at `path` for the credential `name` of `unit`; who asks runs as `run_as`, in whose
    /// cgroup it is that it lives.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(run_as: &RunAs, path: &Path, (unit, name): (&str, &str)) -> Result<Self> {
        let child = command_as(run_as, Path::new("/usr/bin/python3"))
            .args(["-c", LOAD])
            .arg(path)
            .args([unit, name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start a client that loads a credential")?;
        Ok(Self { child })
    }

    /// Whether it is still waited for.
    ///
    /// # Errors
    /// When the client cannot be asked.
    pub fn waits(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What became of it.
    ///
    /// # Errors
    /// When the client has failed otherwise than systemd would.
    pub fn end(self) -> Result<Loaded> {
        let output = self.child.wait_with_output()?;
        match output.status.code() {
            Some(0) => Ok(Loaded::Credential(output.stdout)),
            code => {
                let said = String::from_utf8_lossy(&output.stderr);
                ensure!(code == Some(243), "{}: {said}", output.status);
                Ok(Loaded::UnitFails)
            }
        }
    }
}
