use crate::measure::per_operation;
use crate::placement::OneCpu;
use crate::report::Report;
use crate::scale::Scale;
use crate::vault::Vault;
use anyhow::Result;
use nitride_client::Client;
use nitride_protocol::{KeyType, Operation};

/// Bytes that are encrypted and tagged; what is longer goes through shared memory.
const LENS: [usize; 5] = [16, 256, 1024, 16 * 1024, 64 * 1024 - 256];

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let place = OneCpu::bind()?;
    report.placement(place.text());
    let vault = Vault::start()?;
    let mut client = vault.client()?;
    for key_type in KeyType::ALL {
        let name = format!("perf/{}", key_type.as_str());
        if let Err(error) = client.generate(&name, key_type, None) {
            report.absent(format!("{}: {error}", key_type.as_str()));
            continue;
        }
        let can = key_type.operations();
        if can.contains(Operation::Encrypt) {
            // What RSA encrypts is shorter than its modulus.
            let most = if can.contains(Operation::Sign) {
                64
            } else {
                usize::MAX
            };
            for len in LENS.into_iter().filter(|len| *len <= most) {
                let data = vec![1; len];
                let title = format!("{}: encrypt {len} B", key_type.as_str());
                time((report, scale), &mut client, &title, &mut |client| {
                    client.encrypt(&name, &data, b"").map(drop)
                })?;
            }
        }
        if can.contains(Operation::Mac) {
            for len in LENS {
                let data = vec![1; len];
                let title = format!("{}: mac {len} B", key_type.as_str());
                time((report, scale), &mut client, &title, &mut |client| {
                    client.mac(&name, &data).map(drop)
                })?;
            }
        }
        if can.contains(Operation::Sign) {
            let title = format!("{}: sign", key_type.as_str());
            time((report, scale), &mut client, &title, &mut |client| {
                client.sign(&name, None, &[1; 32]).map(drop)
            })?;
        }
        if can.contains(Operation::PublicKey) {
            let title = format!("{}: public-key", key_type.as_str());
            time((report, scale), &mut client, &title, &mut |client| {
                client.public_key(&name, None).map(drop)
            })?;
        }
    }
    Ok(())
}

type Called = Result<(), nitride_client::ClientError>;

fn time(
    (report, scale): (&mut Report, Scale),
    client: &mut Client,
    title: &str,
    call: &mut dyn FnMut(&mut Client) -> Called,
) -> Result<()> {
    let mut once = || call(client).map_err(anyhow::Error::from);
    if let Err(error) = once() {
        report.absent(format!("{title}: {error}"));
        return Ok(());
    }
    // About 50 ms of each.
    let first = per_operation(scale.count(5), &mut once)?;
    let count = (50_000.0 / first.max(1.0)).clamp(5.0, 2000.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 5 and 2000"
    )]
    let micros = per_operation(scale.count(count as u32), &mut once)?;
    report.figure(title, micros, "us");
    Ok(())
}
