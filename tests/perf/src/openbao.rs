//! OpenBao's transit engine over a Unix socket, where `bao` is on the path.

use crate::measure::per_operation;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TURNS: usize = 10;
const BATCH: u32 = 50;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Microseconds a P-256 signature; `None` where `bao` is not on the path.
pub(crate) fn sign_micros() -> Result<Option<f64>> {
    if Command::new("bao")
        .arg("version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("bao.sock");
    let config = folder.path().join("bao.hcl");
    let text = format!(
        "listener \"unix\" {{ address = \"{}\" }}\n",
        socket.display()
    );
    std::fs::write(&config, text)?;
    let _server = Server(
        Command::new("bao")
            .args([
                "server",
                "-dev",
                "-dev-no-store-token",
                "-dev-root-token-id=perf",
            ])
            .args(["-dev-listen-address=127.0.0.1:0", "-config"])
            .arg(&config)
            .env("HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start bao")?,
    );
    let mut connection = connect(&socket)?;
    call(
        &mut connection,
        "/v1/sys/mounts/transit",
        r#"{"type":"transit"}"#,
    )?;
    call(
        &mut connection,
        "/v1/transit/keys/perf",
        r#"{"type":"ecdsa-p256"}"#,
    )?;
    // 32 bytes, as for the others; hashed by the server, as by vhsmd.
    let message = r#"{"input":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}"#;
    let mut micros = Vec::new();
    for _ in 0..=TURNS {
        micros.push(per_operation(BATCH, &mut || {
            call(&mut connection, "/v1/transit/sign/perf", message)
        })?);
    }
    micros.sort_by(f64::total_cmp);
    Ok(Some(micros[micros.len() / 2]))
}

fn connect(socket: &Path) -> Result<BufReader<UnixStream>> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let tried = UnixStream::connect(socket)
            .map(BufReader::new)
            .map_err(anyhow::Error::from);
        let error = match tried {
            Ok(mut connection) => {
                // It listens before it is unsealed.
                match call(&mut connection, "/v1/auth/token/lookup-self", "") {
                    Ok(()) => return Ok(connection),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if Instant::now() > patience {
            return Err(error.context("bao does not answer on its Unix socket"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One request; without a body it only asks.
fn call(connection: &mut BufReader<UnixStream>, path: &str, body: &str) -> Result<()> {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: perf\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut content_len = 0;
    loop {
        line.clear();
        ensure!(
            connection.read_line(&mut line)? > 0,
            "bao has closed the connection"
        );
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            content_len = value.trim().parse()?;
        }
    }
    let mut answer = vec![0; content_len];
    connection.read_exact(&mut answer)?;
    if !status.starts_with('2') {
        bail!(
            "bao answers {status} to {path}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    Ok(())
}
