//! A client as systemd-cryptsetup is one, and cryptsetup itself.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, socket};

use crate::world::run;

/// Reads the key of a volume as crypttab(5) describes: from an abstract name that ends in the
/// volume's, to the end of the stream; nothing is written, which systemd-cryptsetup says at once. A
/// connection that is refused or cut reads as nothing.
///
/// # Errors
/// When the client's own socket cannot be made.
pub fn read_key_file(path: &Path, volume: &str) -> Result<Vec<u8>> {
    read_key_file_saying(path, volume, b"", true)
}

/// The same by a client that says something, and ends what it says or does not.
///
/// # Errors
/// When the client's own socket cannot be made.
pub fn read_key_file_saying(
    path: &Path,
    volume: &str,
    said: &[u8],
    is_ended: bool,
) -> Result<Vec<u8>> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    // systemd draws 64 bits; the test needs no two clients of one name.
    let unique =
        (u64::from(std::process::id()) << 32) | u64::from(COUNTER.fetch_add(1, Ordering::Relaxed));
    let name = format!("{unique:016x}/cryptsetup/{volume}");
    let client = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .context("make a socket")?;
    let own = UnixAddr::new_abstract(name.as_bytes()).context("name the client")?;
    bind(client.as_raw_fd(), &own).context("bind the client's name")?;
    let server = UnixAddr::new(path).context("name the server")?;
    connect(client.as_raw_fd(), &server).context("connect to the key-file socket")?;
    let mut stream = UnixStream::from(client);
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .context("bound the read")?;
    // A vault that has refused it already does not listen either.
    let _ = stream.write_all(said);
    if is_ended {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut key = Vec::new();
    match stream.read_to_end(&mut key) {
        Ok(_) => Ok(key),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(key),
        Err(error) => Err(error).context("read the key"),
    }
}

/// Whether cryptsetup unlocks a LUKS2 volume of `passphrase` with `key`; the volume's image is
/// made on the first call. `None` where cryptsetup is not installed.
///
/// # Errors
/// When the image cannot be made.
pub fn test_passphrase(image: &Path, passphrase: &[u8], key: &[u8]) -> Result<Option<bool>> {
    let Some(cryptsetup) = [
        "/usr/sbin/cryptsetup",
        "/sbin/cryptsetup",
        "/usr/bin/cryptsetup",
    ]
    .iter()
    .find(|path| Path::new(path).exists()) else {
        return Ok(None);
    };
    if !image.exists() {
        let file = std::fs::File::create(image).context("make an image")?;
        file.set_len(20 << 20).context("size the image")?;
        // Few iterations: this tests a key's way, not its strength.
        let formatted = run(
            Command::new(cryptsetup)
                .args(["luksFormat", "--batch-mode", "--type", "luks2"])
                .args(["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"])
                .args(["--key-file", "-"])
                .arg(image),
            passphrase,
        )?;
        ensure!(
            formatted.status.success(),
            "luksFormat: {}",
            String::from_utf8_lossy(&formatted.stderr)
        );
    }
    let tried = run(
        Command::new(cryptsetup)
            .args([
                "open",
                "--test-passphrase",
                "--batch-mode",
                "--type",
                "luks2",
            ])
            .args(["--key-file", "-"])
            .arg(image),
        key,
    )?;
    Ok(Some(tried.status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cryptsetup_tells_the_right_passphrase_from_a_wrong_one() -> Result<()> {
        let folder = crate::folder::Folder::new()?;
        let image = folder.join("image");
        let Some(right) = test_passphrase(&image, b"right", b"right")? else {
            return Ok(());
        };
        assert!(right);
        assert_eq!(test_passphrase(&image, b"right", b"wrong")?, Some(false));
        Ok(())
    }
}
