//! Azure's confidential VMs: the paravisor by its hardware's own appraisal, then what it booted, by
//! the PCRs of its TPM.

use super::{Appraised, executables, snp, tdx};
use crate::authenticity::{AzureFacts, Facts};
use crate::budget::Budget;
use crate::checks::CheckName;
use crate::ledger::Ledger;
use crate::policy::{AttestationPolicy, AzurePolicy, PcrReference, Wanted, covers_boot};
use crate::strict_toml::Stated;
use crate::trust_vector::{
    APPROVED_CONFIGURATION, CONTRAINDICATED_CONFIGURATION, CONTRAINDICATED_HARDWARE,
    CONTRAINDICATED_RUNTIME, TrustVector,
};
use crate::verdict::Claims;
use serde_json::{Map, Value};

/// Where init-data are measured.
const INIT_DATA_PCR: usize = 8;
/// `instance-identity`: one of those that are known.
const KNOWN_INSTANCE: i8 = 2;

pub(super) fn appraise(
    facts: &AzureFacts,
    policy: &AttestationPolicy,
    now_secs: u64,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Appraised {
    let Some(policy) = policy.azure() else {
        // A policy without the section admits nothing of it; were some to come here, it is not wanted.
        return unwanted();
    };
    let below = match &facts.hardware {
        Facts::Snp(facts) => snp::appraise(facts, &policy.hardware, now_secs, ledger),
        Facts::Tdx(facts) => tdx::appraise(facts, &policy.hardware, now_secs, budget, ledger),
        Facts::Sample(_) | Facts::Azure(_) | Facts::Gpu(_) | Facts::Tpm(_) => return unwanted(),
    };
    let names = facts.names;
    let is_configured = configuration(facts, policy, ledger);
    let vm_id = facts.runtime.vm_unique_id.as_deref();
    let is_instance = ledger.want(names.vm_id, &policy.vm_ids, |wanted| match vm_id {
        Some(found) if wanted.iter().any(|id| id == found) => Ok(()),
        Some(found) => Err(format!("VM {found:?} is not among those wanted")),
        None => Err("the paravisor names no VM".to_owned()),
    });
    let booted = policy.measurements.find(&facts.quote.pcrs, now_secs);
    let reference = booted.as_ref().ok().copied();
    let line = policy.measurements.requires.line;
    ledger.hold(names.pcrs, line, booted.map(|_| ()));

    let mut vector = below.vector;
    if !is_configured {
        vector.configuration = CONTRAINDICATED_CONFIGURATION;
    } else if facts.binds_init_data
        && reference.is_some_and(|reference| reference.states(INIT_DATA_PCR))
        && vector.configuration != CONTRAINDICATED_CONFIGURATION
    {
        // Bound init-data are the host's; these are the very ones that a reference value states.
        vector.configuration = APPROVED_CONFIGURATION;
    }
    // Below is the paravisor, which measures the rest.
    vector.executables = executables(
        vector.executables != CONTRAINDICATED_RUNTIME && reference.is_some(),
        reference.is_some_and(|reference| covers_boot(&reference.covers)),
    );
    match (&policy.vm_ids.value, is_instance) {
        (_, false) => vector.instance_identity = CONTRAINDICATED_CONFIGURATION,
        (Wanted::Is(_), true) if vector.instance_identity == 0 => {
            vector.instance_identity = KNOWN_INSTANCE;
        }
        _ => {}
    }
    Appraised {
        claims: claims(facts, &below.claims, reference),
        vector,
        debug: below.debug,
    }
}

fn unwanted() -> Appraised {
    Appraised {
        claims: Claims::default(),
        vector: TrustVector {
            hardware: CONTRAINDICATED_HARDWARE,
            ..TrustVector::default()
        },
        debug: false,
    }
}

fn configuration(facts: &AzureFacts, policy: &AzurePolicy, ledger: &mut Ledger) -> bool {
    let names = facts.names;
    let bound = |is_bound: bool, what: &str| {
        if is_bound {
            Ok(())
        } else {
            Err(format!("{what} does not bind what is expected"))
        }
    };
    let user_data = ledger.want(names.user_data_wanted, &policy.user_data, |_| {
        bound(facts.binds_user_data, "the paravisor's user data")
    });
    let init_data = ledger.want(names.init_data_wanted, &policy.init_data, |_| {
        bound(facts.binds_init_data, "PCR 8")
    });
    let mut flag = |name: CheckName, wanted: &Stated<Wanted<bool>>, found: Option<bool>| {
        ledger.want(name, wanted, |wanted| match found {
            Some(found) if found == *wanted => Ok(()),
            Some(found) => Err(format!("the paravisor says {found}")),
            None => Err("the paravisor does not say".to_owned()),
        })
    };
    let runtime = &facts.runtime;
    let secure_boot = flag(names.secure_boot, &policy.secure_boot, runtime.secure_boot);
    let console = flag(names.console, &policy.console, runtime.console_enabled);
    user_data && init_data && secure_boot && console
}

fn claims(facts: &AzureFacts, below: &Claims, reference: Option<&PcrReference>) -> Claims {
    let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
    let mut claims = Claims::default();
    let hardware: Map<String, Value> = below
        .iter()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    claims.state("hardware", hardware);
    let pcrs = facts.quote.pcrs.iter();
    let pcrs: Map<String, Value> = pcrs
        .map(|(index, pcr)| (format!("pcr{index:02}"), hex(pcr).into()))
        .collect();
    claims.state("pcrs", pcrs);
    // Rules compare no maps, and this one is what init-data are measured into.
    if let Some(pcr) = facts.quote.pcrs.get(&INIT_DATA_PCR) {
        claims.state("pcr08", hex(pcr));
    }
    claims.state("init_data_bound", facts.binds_init_data);
    claims.state("reset_count", facts.quote.reset_count);
    claims.state("restart_count", facts.quote.restart_count);
    let runtime = &facts.runtime;
    for (name, flag) in [
        ("secure_boot", runtime.secure_boot),
        ("console_enabled", runtime.console_enabled),
    ] {
        if let Some(flag) = flag {
            claims.state(name, flag);
        }
    }
    if let Some(id) = &runtime.vm_unique_id {
        claims.state("vm_unique_id", id.as_str());
    }
    if let Some(user_data) = &runtime.user_data {
        claims.state("user_data", hex(user_data));
    }
    if let Some(reference) = reference {
        claims.state_reference(&reference.name, &reference.set, &reference.covers);
    }
    claims
}
