//! A chip with SEV-SNP, as far as a test's machine needs one: it lies outside the machine, and signs
//! reports over what it is asked, by a key under roots that this process draws.
//!
//! `nitride-vm-chip FOLDER` writes `attestation.toml`, which wants this chip, `collateral`, what AMD
//! would publish of it, and `answer-len`; then it answers on the socket `chip`: 64 bytes to it, a
//! report and a table of certificates back.
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use nitride_tsm::provider::{ARK, ASK, VCEK, table};
use nitride_vectors::{published, snp};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("name a folder")?);
    let now_secs = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let draft = snp::Draft::lasting(now_secs);
    let vector = draft.build();
    let vcek = vector.allegation.certificates.vcek.as_deref();
    let ask = vector.collateral.ask.as_deref();
    let certificates = table(&[
        (VCEK, vcek.context("no VCEK")?),
        (ASK, ask.context("no ASK")?),
        (ARK, &vector.collateral.ark),
    ])?;
    let answer = |data: [u8; 64]| {
        let mut report = draft.report.clone();
        report.report_data = data;
        [report.sign(), certificates.clone()].concat()
    };
    published::write_amd(&vector, &folder.join("collateral"))?;
    std::fs::write(folder.join("attestation.toml"), &vector.policy)?;
    let answer_len = answer([0; 64]).len().to_string();
    std::fs::write(folder.join("answer-len"), answer_len)?;
    let socket = folder.join("chip");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).context("listen")?;
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut data = [0; 64];
        // A machine that ends closes it.
        while stream.read_exact(&mut data).is_ok() {
            stream.write_all(&answer(data))?;
        }
    }
}
