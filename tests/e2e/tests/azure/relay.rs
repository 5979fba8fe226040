//! Between the guest and a TPM in software, which serves one connection at a time.
//!
//! libtss2 makes a connection for each command and does not mark it to be closed in children: what
//! another test starts meanwhile inherits it, and it stays open for as long as that runs. So the TPM itself
//! is held for one command, whatever becomes of the guest's connection.

use crate::tpm_commands::{Tpm, message};
use anyhow::Result;
use nitride_support::swtpm::free_pair;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Longer than a question on the control channel, and than its answer (swtpm_ioctls(3)).
const CONTROL_LEN: usize = 256;

/// A relay before the TPM at `tpm_port`, until the test ends: how libtss2 reaches it. `before`
/// sees each command, and may first do something to the TPM.
pub(crate) fn start(
    tpm_port: u16,
    before: impl Fn(&[u8], &mut Tpm) -> Result<()> + Send + Sync + 'static,
) -> Result<String> {
    let port = free_pair()?;
    let before = Arc::new(before);
    on_each(port, move |near| {
        commands(near, |command| {
            let mut tpm = Tpm::connect(tpm_port)?;
            before(command, &mut tpm)?;
            tpm.pass(command)
        })
    })?;
    on_each(port + 1, move |near| control(near, tpm_port + 1))?;
    Ok(format!("swtpm:host=127.0.0.1,port={port}"))
}

fn commands(mut near: TcpStream, mut answer: impl FnMut(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    while let Some(command) = message(&mut near)? {
        near.write_all(&answer(&command)?)?;
    }
    Ok(())
}

/// One question and its answer: more does libtss2 not ask on one connection.
fn control(mut near: TcpStream, port: u16) -> Result<()> {
    let mut part = [0; CONTROL_LEN];
    let len = near.read(&mut part)?;
    let mut far = TcpStream::connect(("127.0.0.1", port))?;
    far.write_all(&part[..len])?;
    let len = far.read(&mut part)?;
    near.write_all(&part[..len])?;
    Ok(())
}

fn on_each(
    port: u16,
    serve: impl Fn(TcpStream) -> Result<()> + Clone + Send + 'static,
) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || {
                if let Err(error) = serve(near) {
                    eprintln!("the relay before the TPM: {error:#}");
                }
            });
        }
    });
    Ok(())
}
