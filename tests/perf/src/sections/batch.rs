use crate::floor::Bare;
use crate::measure::{Step, in_turns};
use crate::placement::OneCpu;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::{Raw, Vault};
use anyhow::{Result, ensure};
use nitride_protocol::application::{Batch, BatchAnswer, BatchItem, Sign};
use nitride_protocol::{KeyName, KeyType};

const TURNS: u32 = 20;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let place = OneCpu::bind()?;
    report.placement(place.text());
    let vault = Vault::start()?;
    vault
        .client()?
        .generate("perf/signing", KeyType::EcP256, None)?;
    let mut raw = Raw::connect(&vault, false)?;
    let bare = Bare::new()?;
    let message = [1; 32];
    let sign = BatchItem::Sign(Sign {
        key: KeyName::parse("perf/signing")?,
        scheme: None,
        message: &message,
        prehashed: false,
    });
    for count in [1_u32, 10, 100] {
        let request = Batch {
            items: vec![sign; count as usize],
        };
        let steps: &mut [Step<'_>] = &mut [
            &mut || (0..count).try_for_each(|_| bare.sign(&message)),
            &mut || {
                let all_ok = raw.call(&request, &[], |reply| {
                    let refused = |answer: &_| matches!(answer, BatchAnswer::Refused(_));
                    !reply.items.iter().any(refused)
                })?;
                ensure!(all_ok, "an item of a batch was refused");
                Ok(())
            },
        ];
        let turns = in_turns(scale.count(TURNS), scale.count(400 / count), steps)?;
        let each = f64::from(count);
        report.figure(
            format!("{count} bare signatures"),
            turns.step(0) / each,
            "us each",
        );
        report.figure(format!("batch of {count}"), turns.step(1) / each, "us each");
        let share = turns.median(|turn| turn[0] / turn[1]);
        if count == 100 {
            let name = "batch of 100 signatures, throughput / bare throughput";
            report.budget(name, share, Bound::AtLeast(0.92));
        }
    }
    Ok(())
}
