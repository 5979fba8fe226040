//! Finds the programs under test: built now, or taken from a folder.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The packages whose programs are under test.
const PACKAGES: [&str; 7] = [
    "vhsmd",
    "vhsm",
    "nitride-quote",
    "nitride-agent",
    "nitride-unlock",
    "nitride-provisiond",
    "nitride-verify-cli",
];

/// Where each program is.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The vault daemon.
    pub vhsmd: PathBuf,
    /// Its command line.
    pub vhsm: PathBuf,
    /// The evidence helper.
    pub quote: PathBuf,
    /// The courier.
    pub agent: PathBuf,
    /// The opener of encrypted volumes.
    pub unlock: PathBuf,
    /// The provisioning service.
    pub provisiond: PathBuf,
    /// The verifier of evidence from files.
    pub verify: PathBuf,
}

impl Binaries {
    /// The programs of `NITRIDE_BIN_DIR` where that is set, else of the workspace, built in the
    /// harness's own profile. Once a process; between processes cargo's own lock keeps order.
    ///
    /// # Errors
    /// When they cannot be built or one is missing.
    pub fn find() -> Result<&'static Self> {
        static FOUND: OnceLock<Result<Binaries, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            match std::env::var_os("NITRIDE_BIN_DIR") {
                Some(folder) => in_folder(&PathBuf::from(folder)),
                None => build(),
            }
            .map_err(|error| format!("{error:#}"))
        });
        match found {
            Ok(binaries) => Ok(binaries),
            Err(error) => bail!("find the programs under test: {error}"),
        }
    }

    fn from_lookup(mut path_of: impl FnMut(&str) -> Option<PathBuf>) -> Result<Self> {
        let mut take = |name: &str| path_of(name).with_context(|| format!("{name} is not there"));
        Ok(Self {
            vhsmd: take("vhsmd")?,
            vhsm: take("vhsm")?,
            quote: take("nitride-quote")?,
            agent: take("nitride-agent")?,
            unlock: take("nitride-unlock")?,
            provisiond: take("nitride-provisiond")?,
            verify: take("nitride-verify")?,
        })
    }
}

fn in_folder(folder: &std::path::Path) -> Result<Binaries> {
    Binaries::from_lookup(|name| Some(folder.join(name)).filter(|path| path.is_file()))
}

fn build() -> Result<Binaries> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .arg("build")
        .arg("--message-format=json")
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"),
        ])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // What cargo tells the programs that it runs would otherwise be taken for wishes of ours.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    let mut cargo = command.spawn().context("run cargo build")?;
    let Some(output) = cargo.stdout.take() else {
        bail!("cargo build has no output");
    };
    let mut executables = Vec::new();
    for message in serde_json::Deserializer::from_reader(BufReader::new(output)).into_iter() {
        let message: Value = message.context("read cargo build's messages")?;
        if let Some(path) = message["executable"].as_str() {
            executables.push(PathBuf::from(path));
        }
    }
    let status = cargo.wait().context("wait for cargo build")?;
    ensure!(status.success(), "cargo build: {status}");
    Binaries::from_lookup(|name| {
        executables
            .iter()
            .find(|path| path.file_name().is_some_and(|file| file == name))
            .cloned()
    })
}
