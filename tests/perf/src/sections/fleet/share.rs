//! What SNP evidence adds to a handshake, and how much of that is its signature (docs/decisions/0044).

use super::crowd::{Crowd, Errand};
use super::{Bench, CLIENTS, identities};
use crate::measure::Turns;
use crate::placement::allowed;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::sections::evidence::Raw;
use anyhow::Result;
use nix::time::ClockId;
use std::time::{Duration, Instant};

/// Of what an SNP report costs beyond sample evidence, at least that much is the verification of its
/// signature.
const SIGNATURE_SHARE: f64 = 0.5;
const TURNS: u32 = 9;
const SPAN: Duration = Duration::from_millis(500);

/// Handshakes of each kind, and verifications, in turns.
pub(super) fn run(
    report: &mut Report,
    scale: Scale,
    sample: &mut Bench,
    snp: &mut Bench,
) -> Result<()> {
    let [_, clients] = CLIENTS;
    let services = (sample.start()?, snp.start()?);
    let identities = identities(clients)?;
    let sample = sample.crowd(&services.0, &identities)?;
    let snp = snp.crowd(&services.1, &identities)?;
    let span = scale.span(SPAN);
    let handshake_us = |crowd: &Crowd<'_>| -> Result<f64> {
        let rate = crowd.repeat(Errand::Handshakes, clients, span)?;
        Ok(rate.each_us(rate.busy.service))
    };
    let turns = Turns::of(TURNS, || {
        Ok(vec![
            handshake_us(&sample)?,
            handshake_us(&snp)?,
            verification_us(span)?,
        ])
    })?;
    for (index, what) in [
        "a sample handshake",
        "an SNP handshake",
        "a P-384 verification",
    ]
    .into_iter()
    .enumerate()
    {
        report.figure(format!("in turns: CPU of {what}"), turns.step(index), "us");
    }
    report.figure(
        "P-384 verification / SNP handshake",
        turns.median(|turn| turn[2] / turn[1]),
        "",
    );
    report.budget(
        "P-384 verification / what an SNP handshake takes beyond a sample's",
        turns.median(|turn| turn[2] / (turn[1] - turn[0])),
        Bound::AtLeast(SIGNATURE_SHARE),
    );
    Ok(())
}

/// The CPU time of a P-384 verification, in microseconds, where every CPU has a thread that verifies.
fn verification_us(span: Duration) -> Result<f64> {
    let raw = Raw::of_report()?;
    let times = std::thread::scope(|scope| {
        let threads = allowed()?.into_iter().map(|_| {
            scope.spawn(|| -> Result<f64> {
                let busy =
                    || -> Result<Duration> { Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now()?.into()) };
                let (begun, before, mut count) = (Instant::now(), busy()?, 0_u32);
                while begun.elapsed() < span {
                    raw.verify(10)?;
                    count += 10;
                }
                Ok((busy()? - before).as_secs_f64() * 1e6 / f64::from(count))
            })
        });
        let threads: Vec<_> = threads.collect();
        let times = threads.into_iter().map(|thread| {
            let time = thread.join();
            time.map_err(|_| anyhow::anyhow!("a verification ended"))?
        });
        times.collect::<Result<Vec<f64>>>()
    })?;
    Ok(times.iter().sum::<f64>() / f64::from(u32::try_from(times.len())?))
}
