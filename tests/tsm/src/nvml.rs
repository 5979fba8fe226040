//! A stand-in for NVIDIA's management library: a shared library, made for one test, whose GPUs answer
//! as the test says.

use anyhow::{Context, Result, ensure};
use nitride_support::folder::Folder;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const SOURCE: &str = include_str!("nvml.c");

/// What a GPU is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// A report over a nonce.
    Report {
        /// Of which GPU.
        index: u8,
        /// The nonce.
        nonce: [u8; 32],
    },
    /// The chain of the key that signs.
    Chain {
        /// Of which GPU.
        index: u8,
    },
}

/// The library's file. What its GPUs say comes from a thread of this process.
#[derive(Debug)]
pub struct Nvml {
    folder: Folder,
}

impl Nvml {
    /// Compiles it with these definitions (`COUNT=2`, or a fault) and answers for its GPUs.
    ///
    /// # Errors
    /// When there is no C compiler, which the tests' own linker is.
    pub fn start(
        definitions: &[&str],
        answer: impl FnMut(Asked) -> Vec<u8> + Send + 'static,
    ) -> Result<Self> {
        let folder = Folder::new()?;
        let source = folder.write("nvml.c", SOURCE)?;
        let socket = folder.join("gpus.sock");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-Wall", "-Werror"])
            .arg(format!("-DSOCKET=\"{}\"", socket.display()))
            .args(
                definitions
                    .iter()
                    .map(|definition| format!("-D{definition}")),
            )
            .arg("-o")
            .arg(folder.join("libnvidia-ml.so.1"))
            .arg(source);
        let output = compiler.output().context("run cc")?;
        ensure!(output.status.success(), "{output:?}");
        let listener = UnixListener::bind(socket)?;
        thread::spawn(move || serve(&listener, answer));
        Ok(Self { folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("libnvidia-ml.so.1")
    }

    /// The lines of `quote.toml` that name it.
    #[must_use]
    pub fn lines(&self, devices: u32) -> String {
        table(&self.path(), devices)
    }
}

/// The table `[gpu]` for this library.
#[must_use]
pub fn table(library: &Path, devices: u32) -> String {
    format!("[gpu]\ndevices = {devices}\nlibrary = {library:?}\n")
}

fn serve(listener: &UnixListener, mut answer: impl FnMut(Asked) -> Vec<u8>) {
    for peer in listener.incoming().flatten() {
        // Whoever asks hears nothing, and the test what became of that.
        let _ = answer_one(peer, &mut answer);
    }
}

fn answer_one(mut peer: UnixStream, answer: &mut impl FnMut(Asked) -> Vec<u8>) -> Result<()> {
    let mut question = [0; 34];
    peer.read_exact(&mut question)?;
    let [what, index, nonce @ ..] = question;
    let asked = match what {
        b'r' => Asked::Report { index, nonce },
        _ => Asked::Chain { index },
    };
    peer.write_all(&answer(asked))?;
    Ok(())
}
