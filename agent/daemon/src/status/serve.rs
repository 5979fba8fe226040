use anyhow::{Context, bail};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long whoever asks may take to read the answer.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers that are being read at a time; more wait in the kernel's queue.
const MAX_READERS: usize = 8;

/// Where the agent says how it is doing. A connection is answered with one report, whatever is said
/// on it, and is closed.
#[derive(Debug)]
pub(crate) struct StatusSocket {
    listener: UnixListener,
    readers: JoinSet<()>,
}

impl StatusSocket {
    /// Listens at `path`, whose users are those of `mode`. A socket that is there already is one of
    /// an agent that has ended: vhsmd takes one at a time.
    pub(crate) fn listen(path: &Path, mode: u32) -> anyhow::Result<Self> {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(path).with_context(|| format!("cannot replace {shown}"))?;
            }
            Ok(_) => bail!("{shown} is there and no socket: remove it, or name another path"),
            Err(_) => {}
        }
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot listen at {shown}"))?;
        fs::set_permissions(path, Permissions::from_mode(mode))
            .with_context(|| format!("cannot give {shown} its mode"))?;
        Ok(Self {
            listener,
            readers: JoinSet::new(),
        })
    }

    /// The next who asks.
    pub(crate) async fn next(&mut self) -> UnixStream {
        loop {
            while self.readers.len() >= MAX_READERS {
                self.readers.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot take who asks for the status");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Writes `report` to whoever asked, beside everything else.
    pub(crate) fn answer(&mut self, mut stream: UnixStream, report: String) {
        while self.readers.try_join_next().is_some() {}
        self.readers.spawn(async move {
            // Who does not read, or has gone, is not told.
            let _ = timeout(READ_TIMEOUT, stream.write_all(report.as_bytes())).await;
        });
    }
}
