//! Keeps one operation going, for a profiler to look at.

use crate::placement::OneCpu;
use crate::vault::Vault;
use anyhow::{Result, bail};
use nitride_protocol::KeyType;
use std::time::{Duration, Instant};

/// The argument under which nothing is measured.
pub(crate) const ARGUMENT: &str = "--drive";
const SPAN: Duration = Duration::from_secs(20);

/// Asks for `sign`, `encrypt` or `mac` over 64 bytes for a while, everything on one CPU.
pub(crate) fn drive(operation: &str) -> Result<()> {
    let _place = OneCpu::bind()?;
    let vault = Vault::start()?;
    let mut client = vault.client()?;
    let key_type = match operation {
        "sign" => KeyType::EcP256,
        "encrypt" => KeyType::Aes256Gcm,
        "mac" => KeyType::HmacSha256,
        _ => bail!("{ARGUMENT} takes sign, encrypt and mac"),
    };
    client.generate("perf/key", key_type, None)?;
    println!("client {}, vhsmd {}", std::process::id(), vault.pid()?);
    let data = [1; 64];
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < SPAN {
        match key_type {
            KeyType::EcP256 => drop(client.sign("perf/key", None, &data)?),
            KeyType::Aes256Gcm => drop(client.encrypt("perf/key", &data, b"")?),
            _ => drop(client.mac("perf/key", &data)?),
        }
        count += 1;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(count);
    println!("{count} operations, {each:.2} us each");
    Ok(())
}
