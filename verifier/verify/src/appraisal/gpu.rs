//! NVIDIA devices: which one it is, what it runs, and what is known against it.

use super::Appraised;
use crate::authenticity::GpuFacts;
use crate::checks::CheckName;
use crate::checks::gpu as checks;
use crate::ledger::Ledger;
use crate::policy::{AttestationPolicy, GpuPolicy, GpuReference, Unjudged, Wanted};
use crate::strict_toml::Stated;
use crate::trust_vector::{
    APPROVED_BOOT, CONTRAINDICATED_CONFIGURATION, CONTRAINDICATED_HARDWARE,
    CONTRAINDICATED_RUNTIME, GENUINE_HARDWARE, NO_CLAIM, TrustVector, VISIBLE_RUNTIME,
};
use crate::verdict::Claims;
use aws_lc_rs::digest::{SHA384, digest};

/// `instance-identity`: one of those that are known.
const KNOWN_INSTANCE: i8 = 2;

pub(super) fn appraise(
    facts: &GpuFacts,
    policy: &AttestationPolicy,
    now_secs: u64,
    ledger: &mut Ledger,
) -> Appraised {
    let Some(policy) = policy.gpu() else {
        // A policy without the section admits no device; were one to come here, it is not wanted.
        return Appraised {
            claims: Claims::default(),
            vector: TrustVector {
                hardware: CONTRAINDICATED_HARDWARE,
                ..TrustVector::default()
            },
            debug: false,
        };
    };
    let model = model(facts);
    let is_model = listed(checks::MODEL, &policy.models, model, ledger);
    let is_instance = listed(
        checks::DEVICE_ID,
        &policy.device_ids,
        Some(&facts.id),
        ledger,
    );
    let vbios = facts.vbios.as_deref();
    let is_vbios = listed(checks::VBIOS, &policy.vbios_versions, vbios, ledger);
    let driver = facts.driver.as_deref();
    let is_driver = listed(checks::DRIVER, &policy.driver_versions, driver, ledger);
    let firmware = facts
        .firmware_id
        .map(|id| base16ct::lower::encode_string(&id));
    let is_firmware = listed(
        checks::FIRMWARE_WANTED,
        &policy.firmware_ids,
        firmware.as_deref(),
        ledger,
    );
    let (is_measured, reference) = measured(facts, policy, now_secs, ledger);
    let is_signed = unjudged(
        checks::RIM_SIGNATURE,
        &policy.rim_signature,
        "the signature of NVIDIA's reference values",
        ledger,
    );
    let is_unrevoked = unjudged(
        checks::REVOCATION,
        &policy.revocation,
        "whether NVIDIA revoked a certificate",
        ledger,
    );
    let executables = if !(is_vbios && is_driver && is_firmware && is_measured && is_signed) {
        CONTRAINDICATED_RUNTIME
    } else if reference.is_some() {
        APPROVED_BOOT
    } else {
        NO_CLAIM
    };
    let instance_identity = match (&policy.device_ids.value, is_instance) {
        (_, false) => CONTRAINDICATED_CONFIGURATION,
        (Wanted::Is(_), true) => KNOWN_INSTANCE,
        (Wanted::Any, true) => NO_CLAIM,
    };
    Appraised {
        claims: claims(facts, model, reference),
        vector: TrustVector {
            hardware: if is_model && is_unrevoked {
                GENUINE_HARDWARE
            } else {
                CONTRAINDICATED_HARDWARE
            },
            executables,
            instance_identity,
            // A mode in which the host looks in is known by measurements alone: without them, it may.
            runtime_opaque: if reference.is_some() {
                NO_CLAIM
            } else {
                VISIBLE_RUNTIME
            },
            ..TrustVector::default()
        },
        // No field of the report that is known here says so, and what is not known is no warning of its
        // own here: the trust vector has one.
        debug: false,
    }
}

/// `GH100 A01 GSP FMC LF`: the chip comes first.
fn model(facts: &GpuFacts) -> Option<&str> {
    facts.name.split(' ').next().filter(|word| !word.is_empty())
}

fn listed(
    name: CheckName,
    wanted: &Stated<Wanted<Vec<String>>>,
    found: Option<&str>,
    ledger: &mut Ledger,
) -> bool {
    ledger.want(name, wanted, |list| match found {
        Some(found) if list.iter().any(|wanted| wanted == found) => Ok(()),
        Some(found) => Err(format!("{found:?} is not among those wanted")),
        None => Err("the device does not state it".to_owned()),
    })
}

fn measured<'a>(
    facts: &GpuFacts,
    policy: &'a GpuPolicy,
    now_secs: u64,
    ledger: &mut Ledger,
) -> (bool, Option<&'a GpuReference>) {
    let mut reference = None;
    let holds = ledger.want(checks::MEASUREMENTS, &policy.measurements, |_| {
        reference = Some(policy.find(&facts.measurements, now_secs)?);
        Ok(())
    });
    (holds, reference)
}

fn unjudged(
    name: CheckName,
    wanted: &Stated<Wanted<Unjudged>>,
    what: &str,
    ledger: &mut Ledger,
) -> bool {
    ledger.want(name, wanted, |Unjudged::Checked| {
        Err(format!("{what} is not checked here"))
    })
}

fn claims(facts: &GpuFacts, model: Option<&str>, reference: Option<&GpuReference>) -> Claims {
    let mut claims = Claims::default();
    claims.state("device_name", facts.name.as_str());
    claims.state("device_id", facts.id.as_str());
    for (name, text) in [
        ("model", model),
        ("vbios_version", facts.vbios.as_deref()),
        ("driver_version", facts.driver.as_deref()),
        ("board", facts.board.as_deref()),
    ] {
        if let Some(text) = text {
            claims.state(name, text);
        }
    }
    // All of them would make eight devices' tokens longer than a header may be.
    let record = digest(&SHA384, &facts.record);
    let record = base16ct::lower::encode_string(record.as_ref());
    claims.state("measurements_sha384", record);
    if let Some(reference) = reference {
        claims.state("reference_value", reference.name.as_str());
        claims.state_set(&reference.set);
    }
    claims
}
