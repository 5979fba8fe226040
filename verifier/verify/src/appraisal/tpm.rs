//! A TPM alone: what was booted, by its PCRs. Nothing is claimed of hardware or of memory: a host that
//! emulates the TPM, or runs another machine on its state, says what it likes.

use super::{Appraised, executables};
use crate::authenticity::{BoundBy, TpmFacts};
use crate::budget::Budget;
use crate::checks::tpm::{EVENT_LOG, INIT_DATA_WANTED, PCRS};
use crate::evidence::PCR_COUNT;
use crate::evidence::ccel::{Event, EventLog};
use crate::evidence::tpms_attest::SHA256 as ALG_SHA256;
use crate::ledger::Ledger;
use crate::policy::{AttestationPolicy, PcrReference, Pcrs, covers_boot};
use crate::trust_vector::{
    CONTRAINDICATED_CONFIGURATION, CONTRAINDICATED_HARDWARE, NO_CLAIM, TrustVector,
};
use crate::verdict::Claims;
use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value};

/// `instance-identity`: one of those that are known.
const KNOWN_INSTANCE: i8 = 2;
/// Where init-data are measured.
const INIT_DATA_PCR: usize = 8;
/// What the firmware logs when PCR 0 did not begin at zero (PC Client Platform Firmware Profile,
/// 10.4.5.3), and the locality after it.
const STARTUP_LOCALITY: &[u8; 16] = b"StartupLocality\0";

type Pcr = [u8; 32];

pub(super) fn appraise(
    facts: &TpmFacts,
    policy: &AttestationPolicy,
    now_secs: u64,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Appraised {
    let Some(policy) = policy.tpm() else {
        // A policy without the section admits nothing of it; were some to come here, it is not wanted.
        return Appraised {
            claims: Claims::default(),
            vector: TrustVector {
                hardware: CONTRAINDICATED_HARDWARE,
                ..TrustVector::default()
            },
            debug: false,
        };
    };
    let is_configured = ledger.want(INIT_DATA_WANTED, &policy.init_data, |_| {
        if facts.binds_init_data {
            Ok(())
        } else {
            Err("no init-data came that PCR 8 binds".to_owned())
        }
    });
    let replays = ledger.want(EVENT_LOG, &policy.event_log_pcrs, |wanted| {
        replays(
            facts.event_log.as_deref(),
            &facts.quote.pcrs,
            wanted,
            budget,
        )
    });
    let booted = policy.measurements.find(&facts.quote.pcrs, now_secs);
    let reference = booted.as_ref().ok().copied();
    let line = policy.measurements.requires.line;
    ledger.hold(PCRS, line, booted.map(|_| ()));
    let vector = TrustVector {
        instance_identity: match facts.bound_by {
            BoundBy::Name | BoundBy::Key => KNOWN_INSTANCE,
            BoundBy::Certificate { .. } => NO_CLAIM,
        },
        // What the host launched with is not what anybody wants until a rule names it.
        configuration: if is_configured {
            NO_CLAIM
        } else {
            CONTRAINDICATED_CONFIGURATION
        },
        executables: executables(
            reference.is_some() && replays,
            reference.is_some_and(|reference| covers_boot(&reference.covers)),
        ),
        ..TrustVector::default()
    };
    Appraised {
        claims: claims(facts, reference),
        vector,
        debug: false,
    }
}

/// Whether the log gives each wanted PCR the value that is quoted. What replays is complete and in order;
/// what an event's data says beside its digest is not read.
fn replays(
    log: Option<&[u8]>,
    quoted: &Pcrs,
    wanted: &[usize],
    budget: &mut Budget,
) -> Result<(), String> {
    let log = log.ok_or("no event log came with the quote")?;
    let log = EventLog::parse(log).map_err(|fault| fault.to_string())?;
    let paid = budget.spend_events(log.events().len());
    paid.map_err(|exceeded| exceeded.to_string())?;
    let replayed = replay(&log)?;
    for index in wanted {
        let found = quoted
            .get(index)
            .ok_or_else(|| format!("PCR{index} is not quoted"))?;
        let replayed = replayed.get(*index).copied().unwrap_or_default();
        if replayed != *found {
            let replayed = base16ct::lower::encode_string(&replayed);
            return Err(format!("the event log gives {replayed} for PCR{index}"));
        }
    }
    Ok(())
}

/// Extends 24 registers from their first values, as the firmware did.
fn replay(log: &EventLog<'_>) -> Result<[Pcr; PCR_COUNT], String> {
    // Those of a dynamic launch begin with ones, which say that there was none.
    let mut pcrs: [Pcr; PCR_COUNT] = std::array::from_fn(|index| match index {
        17..=22 => [0xff; 32],
        _ => [0; 32],
    });
    let mut is_begun = false;
    for event in log.events() {
        let index = usize::try_from(event.register).ok();
        if !event.is_extended() {
            if let Some(locality) = startup_locality(event) {
                if is_begun {
                    return Err("a startup locality comes late, or twice".to_owned());
                }
                is_begun = true;
                let [[.., last], ..] = &mut pcrs;
                *last = locality;
            }
            continue;
        }
        is_begun |= event.register == 0;
        let pcr = index
            .and_then(|index| pcrs.get_mut(index))
            .ok_or_else(|| format!("an event is of PCR {}, not 0 to 23", event.register))?;
        let digest = event.digest(ALG_SHA256);
        let digest = digest.and_then(|digest| <&Pcr>::try_from(digest).ok());
        let digest = digest.ok_or("the event log has no SHA-256 digests")?;
        let mut context = Context::new(&SHA256);
        context.update(pcr);
        context.update(digest);
        pcr.copy_from_slice(context.finish().as_ref());
    }
    Ok(pcrs)
}

fn startup_locality(event: &Event<'_>) -> Option<u8> {
    let (signature, locality) = event.data.split_first_chunk::<16>()?;
    match locality {
        [locality] if signature == STARTUP_LOCALITY && event.register == 0 => Some(*locality),
        _ => None,
    }
}

fn claims(facts: &TpmFacts, reference: Option<&PcrReference>) -> Claims {
    let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
    let mut claims = Claims::default();
    let pcrs = facts.quote.pcrs.iter();
    let pcrs: Map<String, Value> = pcrs
        .map(|(index, pcr)| (format!("pcr{index:02}"), hex(pcr).into()))
        .collect();
    claims.state("pcrs", pcrs);
    // Rules compare no maps, and init-data are measured into this one, by whoever may open the TPM.
    if let Some(pcr) = facts.quote.pcrs.get(&INIT_DATA_PCR) {
        claims.state("pcr08", hex(pcr));
    }
    claims.state("reset_count", facts.quote.reset_count);
    claims.state("restart_count", facts.quote.restart_count);
    claims.state("init_data_bound", facts.binds_init_data);
    claims.state("ak_sha256", hex(&facts.key_sha256));
    if let Some(name) = &facts.key_name {
        claims.state("ak_name", hex(name));
    }
    let bound_by = match &facts.bound_by {
        BoundBy::Name => "name",
        BoundBy::Key => "key",
        BoundBy::Certificate { root } => {
            claims.state("ak_root", hex(root));
            "certificate"
        }
    };
    claims.state("ak_bound_by", bound_by);
    if let Some(reference) = reference {
        claims.state_reference(&reference.name, &reference.set, &reference.covers);
    }
    claims
}
