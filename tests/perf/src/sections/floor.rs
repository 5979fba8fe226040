use crate::floor::{Bare, Echo};
use crate::measure::{Step, in_turns};
use crate::placement::OneCpu;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::Vault;
use anyhow::Result;
use nitride_protocol::KeyType;
use std::cell::RefCell;

const TURNS: u32 = 40;
const BATCH: u32 = 400;
/// Bytes that are signed.
const MESSAGE_LEN: usize = 32;
/// Bytes that are sealed and tagged.
const LENS: [usize; 4] = [16, 64, 256, 1024];

/// What a request has around name and data, and a reply around the result: within a byte or two of
/// the encoding of id and lengths.
const REQUEST_AROUND: usize = 10;
const REPLY_AROUND: usize = 8;
/// Header, nonce and tag.
const SEALED_AROUND: usize = 24 + 12 + 16;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    // Everything on one CPU: a round trip is then two context switches, without the cost of waking
    // another CPU, and that is how a client and its thread in the vault end up when both are busy.
    let place = OneCpu::bind()?;
    report.placement(place.text());
    let folder = tempfile::tempdir()?;
    let echo = Echo::start(folder.path())?;
    let bare = RefCell::new(Bare::new()?);
    let vault = Vault::start()?;
    let client = RefCell::new(vault.client()?);
    let name = "perf/one";

    let message = [1; MESSAGE_LEN];
    client
        .borrow_mut()
        .generate("perf/signing", KeyType::EcP256, None)?;
    let request_len = REQUEST_AROUND + "perf/signing".len() + MESSAGE_LEN;
    let steps: &mut [Step<'_>] = &mut [
        &mut || bare.borrow().sign(&message),
        &mut || echo.round_trip(request_len, REPLY_AROUND + 64),
        &mut || {
            let signature = client.borrow_mut().sign("perf/signing", None, &message)?;
            std::hint::black_box(&signature);
            Ok(())
        },
    ];
    against((report, scale), "P-256 sign", steps, 1.10)?;

    for (key_type, kind) in [
        (KeyType::Aes256Gcm, "AES-256-GCM"),
        (KeyType::HmacSha256, "HMAC-SHA-256"),
    ] {
        let key = format!("{name}/{}", key_type.as_str());
        client.borrow_mut().generate(&key, key_type, None)?;
        let seals = key_type == KeyType::Aes256Gcm;
        for len in LENS {
            let data = vec![2; len];
            let request_len = REQUEST_AROUND + key.len() + len;
            let reply_len = REPLY_AROUND + if seals { len + SEALED_AROUND } else { 32 };
            let steps: &mut [Step<'_>] = &mut [
                &mut || {
                    if seals {
                        return bare.borrow_mut().seal(len);
                    }
                    bare.borrow().tag(&data);
                    Ok(())
                },
                &mut || echo.round_trip(request_len, reply_len),
                &mut || {
                    let mut client = client.borrow_mut();
                    if seals {
                        std::hint::black_box(client.encrypt(&key, &data, b"")?);
                    } else {
                        std::hint::black_box(client.mac(&key, &data)?);
                    }
                    Ok(())
                },
            ];
            against((report, scale), &format!("{kind}, {len} B"), steps, 1.20)?;
        }
    }
    Ok(())
}

/// Measures bare operation, round trip and the vault, in this order.
fn against(
    (report, scale): (&mut Report, Scale),
    name: &str,
    steps: &mut [Step<'_>],
    most: f64,
) -> Result<()> {
    let turns = in_turns(scale.count(TURNS), scale.count(BATCH), steps)?;
    report.figure(format!("{name}: bare"), turns.step(0), "us");
    report.figure(format!("{name}: round trip"), turns.step(1), "us");
    report.figure(format!("{name}: over the socket"), turns.step(2), "us");
    let ratio = turns.median(|turn| turn[2] / (turn[0] + turn[1]));
    let title = format!("{name} over the socket / (bare + round trip)");
    report.budget(title, ratio, Bound::AtMost(most));
    Ok(())
}
