//! TDX quotes: every field of the policy against what is reported.

mod claims;
mod event_log;

use super::{Appraised, executables};
use crate::authenticity::TdxFacts;
use crate::budget::Budget;
use crate::checks::CheckName;
use crate::checks::tdx::{
    ADVISORIES, ATTRIBUTES_ALLOWED, CACHED_KEYS, DEBUG, DYNAMIC_PLATFORM, MIGRATABLE, MR_CONFIG_ID,
    MR_OWNER, MR_OWNER_CONFIG, MR_SEAM, MR_SERVICE_TD, MR_SIGNER_SEAM, MR_TD, PLATFORM_INSTANCE,
    PROFILING, RESERVED_ATTRIBUTES, RTMR, SEAM_ATTRIBUTES, SEPT_VE_DISABLE, SMT, TCB_EVALUATION,
    TCB_STATUS, XFAM_ALLOWED, XFAM_REQUIRED,
};
use crate::collateral::{TcbFacts, TcbStatus};
use crate::evidence::tdx_quote::TdReport;
use crate::ledger::Ledger;
use crate::policy::{
    AttestationPolicy, Launched, ServiceTd, TdxPolicy, TdxReference, Wanted, covers_boot, objection,
};
use crate::strict_toml::Stated;
use crate::trust_vector::{
    APPROVED_CONFIGURATION, CONTRAINDICATED_CONFIGURATION, CONTRAINDICATED_HARDWARE,
    CONTRAINDICATED_RUNTIME, GENUINE_HARDWARE, ISOLATED_RUNTIME, NO_CLAIM, TrustVector,
    VISIBLE_RUNTIME,
};
use std::collections::BTreeSet;

/// TDX module ABI, `TD_ATTRIBUTES`: bits that give the host a view into the trust domain (TUD).
const ATTRIBUTE_DEBUG: u64 = 1;
const ATTRIBUTES_PROFILING: u64 = 0b111_0000;
/// Service trust domains may be bound after creation; the extended report alone says which are.
const ATTRIBUTE_SERVTD_EXT: u64 = 1 << 17;
const ATTRIBUTE_SEPT_VE_DISABLE: u64 = 1 << 28;
const ATTRIBUTE_MIGRATABLE: u64 = 1 << 29;
/// Those that have a check of their own, whatever else is allowed.
const ATTRIBUTES_JUDGED: u64 =
    ATTRIBUTE_DEBUG | ATTRIBUTES_PROFILING | ATTRIBUTE_SEPT_VE_DISABLE | ATTRIBUTE_MIGRATABLE;
/// Defined by TDX 1.5: 0, 4 to 6, 16 to 22, 27 to 31, 62, 63.
const ATTRIBUTES_DEFINED: u64 =
    ATTRIBUTE_DEBUG | ATTRIBUTES_PROFILING | 0x7f << 16 | 0x1f << 27 | 0b11 << 62;

/// Makes every check, and claims what follows.
pub(super) fn appraise(
    facts: &TdxFacts,
    policy: &AttestationPolicy,
    now_secs: u64,
    budget: &mut Budget,
    ledger: &mut Ledger,
) -> Appraised {
    let report = &facts.report;
    let Some(policy) = policy.tdx() else {
        // A policy without the section admits no quote; were one to come here, nothing is wanted.
        return Appraised {
            claims: claims::of(facts, None),
            vector: TrustVector {
                hardware: CONTRAINDICATED_HARDWARE,
                ..TrustVector::default()
            },
            debug: is_debug(report),
        };
    };
    let hardware = hardware(facts, policy, ledger);
    let is_opaque = attributes(report, policy, ledger);
    let is_xfam = xfam(report, policy, ledger);
    let (reference, is_measured) = measurements(report, policy, now_secs, ledger);
    let is_logged = event_log::check(facts, policy, budget, ledger);
    let is_configured = configuration(facts, policy, ledger);
    let is_platform = platform(&facts.tcb, policy, ledger);
    // Init-data are the host's, who launched with them: that they are bound makes them nobody's wish.
    let states_configuration = matches!(policy.mr_config_id.value, Wanted::Is(Launched::OneOf(_)))
        || policy.mr_owner.value.value().is_some()
        || policy.mr_owner_config.value.value().is_some();
    Appraised {
        claims: claims::of(facts, reference),
        vector: TrustVector {
            hardware: if hardware && is_platform {
                GENUINE_HARDWARE
            } else {
                CONTRAINDICATED_HARDWARE
            },
            executables: executables(
                is_measured && is_logged,
                reference.is_some_and(|reference| covers_boot(&reference.covers)),
            ),
            // What the policy allows is not refused for it, and is not affirmed either.
            runtime_opaque: match (is_opaque && is_xfam, is_readable(report)) {
                (false, _) => CONTRAINDICATED_RUNTIME,
                (true, true) => VISIBLE_RUNTIME,
                (true, false) => ISOLATED_RUNTIME,
            },
            configuration: match (is_configured, states_configuration) {
                (false, _) => CONTRAINDICATED_CONFIGURATION,
                (true, true) => APPROVED_CONFIGURATION,
                (true, false) => NO_CLAIM,
            },
            ..TrustVector::default()
        },
        debug: is_debug(report),
    }
}

/// Whether the host may look into the trust domain.
fn is_debug(report: &TdReport) -> bool {
    report.td_attributes & (ATTRIBUTE_DEBUG | ATTRIBUTES_PROFILING) != 0
}

/// Whether somebody besides the trust domain may have its memory: a migration service has the keys.
fn is_readable(report: &TdReport) -> bool {
    is_debug(report) || report.td_attributes & ATTRIBUTE_MIGRATABLE != 0
}

/// Checks 12 to 14: what is below the trust domain.
fn hardware(facts: &TdxFacts, policy: &TdxPolicy, ledger: &mut Ledger) -> bool {
    let (tcb, report) = (&facts.tcb, &facts.report);
    let wanted = &policy.tcb_status;
    let status = ledger.hold(
        TCB_STATUS,
        wanted.line,
        status_is_wanted(tcb, &wanted.value),
    );
    let advisories = ledger.want(ADVISORIES, &policy.advisories, |accepted| {
        let all = tcb.advisories.iter().chain(&tcb.current_advisories);
        let open: Vec<&str> = all
            .map(String::as_str)
            .filter(|advisory| !accepted.contains(*advisory))
            .collect();
        if open.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "advisories are open that are not accepted: {}",
                open.join(", ")
            ))
        }
    });
    let evaluation = ledger.want(TCB_EVALUATION, &policy.minimum_tcb_evaluation, |minimum| {
        let found = tcb.evaluation_number;
        (found >= *minimum)
            .then_some(())
            .ok_or_else(|| format!("TCB evaluation number is {found}, below {minimum}"))
    });
    let seam = register(MR_SEAM, &policy.mr_seam, &report.mr_seam, ledger);
    let signer = &report.mr_signer_seam;
    let signer = register(MR_SIGNER_SEAM, &policy.mr_signer_seam, signer, ledger);
    let attributes = ledger.want(SEAM_ATTRIBUTES, &policy.seam_attributes, |wanted| {
        let found = report.seam_attributes;
        equal(found == *wanted, || {
            format!("SEAM attributes are {found:016x}, not {wanted:016x}")
        })
    });
    status & advisories & evaluation & seam & signer & attributes
}

/// Check 12. The module may have been updated since launch: what runs now is judged as well, unless
/// the one status says it all (a relaunch is advised). Up to date now is never the worse of the two.
fn status_is_wanted(tcb: &TcbFacts, wanted: &BTreeSet<TcbStatus>) -> Result<(), String> {
    if !wanted.contains(&tcb.status) {
        let status = tcb.status;
        return Err(format!(
            "TCB status is {status}, which is not among those wanted"
        ));
    }
    match tcb.current_status {
        Some(now) if now != TcbStatus::UpToDate && !wanted.contains(&now) => Err(format!(
            "TCB status is {now} since the TDX module was updated, which is not among those wanted"
        )),
        _ => Ok(()),
    }
}

/// Check 15.
fn attributes(report: &TdReport, policy: &TdxPolicy, ledger: &mut Ledger) -> bool {
    let found = report.td_attributes;
    let debug = danger(
        DEBUG,
        &policy.danger_allow_debug,
        found & ATTRIBUTE_DEBUG != 0,
        "the host may debug the trust domain",
        ledger,
    );
    let profiling = danger(
        PROFILING,
        &policy.danger_allow_profiling,
        found & ATTRIBUTES_PROFILING != 0,
        "the host may profile the trust domain",
        ledger,
    );
    let reserved = found & !ATTRIBUTES_DEFINED;
    if reserved == 0 {
        ledger.pass(RESERVED_ATTRIBUTES);
    } else {
        ledger.fail(
            RESERVED_ATTRIBUTES,
            format!("attributes {reserved:016x} are set, which TDX 1.5 does not define"),
        );
    }
    let migratable = danger(
        MIGRATABLE,
        &policy.danger_allow_migration,
        found & ATTRIBUTE_MIGRATABLE != 0,
        "the trust domain can be migrated",
        ledger,
    );
    let sept = ledger.want(SEPT_VE_DISABLE, &policy.sept_ve_disable, |wanted| {
        let is_set = found & ATTRIBUTE_SEPT_VE_DISABLE != 0;
        equal(is_set == *wanted, || {
            format!("SEPT_VE_DISABLE is {}", u8::from(is_set))
        })
    });
    let allowed = &policy.td_attributes_allowed;
    let others = ledger.want(ATTRIBUTES_ALLOWED, allowed, |allowed| {
        let surplus = found & ATTRIBUTES_DEFINED & !ATTRIBUTES_JUDGED & !allowed;
        equal(surplus == 0, || {
            format!("attributes {surplus:016x} are set, which are not allowed")
        })
    });
    debug & profiling & (reserved == 0) & migratable & sept & others
}

/// Check 16.
fn xfam(report: &TdReport, policy: &TdxPolicy, ledger: &mut Ledger) -> bool {
    let found = report.xfam;
    let required = ledger.want(XFAM_REQUIRED, &policy.xfam_required, |required| {
        let missing = required & !found;
        equal(missing == 0, || {
            format!("XFAM {found:016x} lacks {missing:016x}")
        })
    });
    let allowed = ledger.want(XFAM_ALLOWED, &policy.xfam_allowed, |allowed| {
        let surplus = found & !allowed;
        equal(surplus == 0, || {
            format!("XFAM {found:016x} has {surplus:016x}, which is not allowed")
        })
    });
    required & allowed
}

/// Checks 17 and 18: one reference value has the measurement, the registers, and the coverage.
fn measurements<'a>(
    report: &TdReport,
    policy: &'a TdxPolicy,
    now_secs: u64,
    ledger: &mut Ledger,
) -> (Option<&'a TdxReference>, bool) {
    let references = &policy.references;
    let is_known = references.iter().any(|r| r.mr_td == report.mr_td);
    if is_known {
        ledger.pass(MR_TD);
    } else {
        let reason = format!("MRTD {} is no reference value's", hex(&report.mr_td));
        ledger.fail(MR_TD, reason);
    }
    // With another MRTD the registers are still compared, so that the verdict says which part is not
    // the wanted one.
    let candidates = || {
        let all = references.iter();
        all.filter(|r| !is_known || r.mr_td == report.mr_td)
    };
    let matching = || candidates().filter(|r| differing(report, r).is_empty());
    let required = &policy.requires_coverage.value;
    let objection = |r: &TdxReference| objection(required, &r.covers, &r.set, now_secs);
    if let Some(reference) = matching().find(|r| objection(r).is_none()) {
        ledger.pass(RTMR);
        return (is_known.then_some(reference), is_known);
    }
    let reason = match (matching().next(), candidates().next()) {
        (Some(r), _) => {
            let objection = objection(r).unwrap_or_default();
            format!(
                "reference value {:?} of line {} {objection}",
                r.name, r.line
            )
        }
        (None, Some(r)) => {
            let other = differing(report, r).join(", ");
            format!(
                "reference value {:?} of line {} has another {other}",
                r.name, r.line
            )
        }
        (None, None) => "there are no reference values".to_owned(),
    };
    (
        None,
        ledger.hold(RTMR, policy.requires_coverage.line, Err(reason)),
    )
}

/// The registers that are not those of the reference value.
fn differing(report: &TdReport, reference: &TdxReference) -> Vec<String> {
    let registers = report.rtmr.iter().zip(&reference.rtmr).enumerate();
    registers
        .filter(|(_, (found, wanted))| wanted.value().is_some_and(|wanted| wanted != *found))
        .map(|(index, (found, _))| format!("RTMR{index} than {}", hex(found)))
        .collect()
}

/// Checks 19 and 20.
fn configuration(facts: &TdxFacts, policy: &TdxPolicy, ledger: &mut Ledger) -> bool {
    let report = &facts.report;
    let id = ledger.want(MR_CONFIG_ID, &policy.mr_config_id, |wanted| {
        let found = &report.mr_config_id;
        wanted.check(facts.binds_init_data, |wanted| listed(found, wanted))
    });
    let owner = register(MR_OWNER, &policy.mr_owner, &report.mr_owner, ledger);
    let config = &report.mr_owner_config;
    let config = register(MR_OWNER_CONFIG, &policy.mr_owner_config, config, ledger);
    id & owner & config & service_td(report, policy, ledger)
}

/// Check 20. A quote of version 4 or of the 1.0 body has no place for service trust domains: one
/// that has some is quoted in a later form.
fn service_td(report: &TdReport, policy: &TdxPolicy, ledger: &mut Ledger) -> bool {
    let may_be_bound_later = report.td_attributes & ATTRIBUTE_SERVTD_EXT != 0;
    let at_launch = report.v15.map(|v15| v15.mr_service_td);
    let now = report
        .v15
        .and_then(|v15| v15.ex)
        .map(|ex| ex.current_service_td_hash);
    if at_launch.is_none() && !may_be_bound_later {
        ledger.not_applicable(MR_SERVICE_TD);
        return true;
    }
    ledger.want(MR_SERVICE_TD, &policy.mr_service_td, |wanted| {
        if may_be_bound_later && now.is_none() {
            return Err(
                "service trust domains may be bound after launch (attribute SERVTD_EXT), \
                        and this quote does not say which are"
                    .to_owned(),
            );
        }
        let mut bound = [at_launch, now]
            .into_iter()
            .flatten()
            .filter(|hash| *hash != [0; 48]);
        let unwanted = match wanted {
            ServiceTd::Nobody => bound.next(),
            ServiceTd::AnyOf(hashes) => bound.find(|hash| !hashes.contains(hash)),
        };
        unwanted.map_or(Ok(()), |hash| {
            Err(format!("service trust domain {} is bound", hex(&hash)))
        })
    })
}

/// Check 22. What the certificate does not say is not what is wanted.
fn platform(tcb: &TcbFacts, policy: &TdxPolicy, ledger: &mut Ledger) -> bool {
    let instance = ledger.want(
        PLATFORM_INSTANCE,
        &policy.platform_instances,
        |wanted| match &tcb.platform_instance {
            Some(found) if wanted.contains(found) => Ok(()),
            Some(found) => Err(format!("platform instance {} is not listed", hex(found))),
            None => Err("the PCK certificate names no platform instance".to_owned()),
        },
    );
    let mut flag = |name, wanted: &Stated<Wanted<bool>>, found: Option<bool>| {
        ledger.want(name, wanted, |wanted| match found {
            Some(found) => equal(found == *wanted, || {
                format!("the PCK certificate says {found}")
            }),
            None => Err("the PCK certificate does not say".to_owned()),
        })
    };
    let smt = flag(SMT, &policy.smt, tcb.smt);
    let dynamic = flag(
        DYNAMIC_PLATFORM,
        &policy.dynamic_platform,
        tcb.dynamic_platform,
    );
    let cached = flag(CACHED_KEYS, &policy.cached_keys, tcb.cached_keys);
    instance & smt & dynamic & cached
}

fn register(
    name: CheckName,
    wanted: &Stated<Wanted<Vec<[u8; 48]>>>,
    found: &[u8; 48],
    ledger: &mut Ledger,
) -> bool {
    ledger.want(name, wanted, |wanted| listed(found, wanted))
}

fn listed(found: &[u8; 48], wanted: &[[u8; 48]]) -> Result<(), String> {
    equal(wanted.contains(found), || {
        format!("{} is not listed", hex(found))
    })
}

/// What `allowed` has to be true for.
fn danger(
    name: CheckName,
    allowed: &Stated<bool>,
    found: bool,
    reason: &str,
    ledger: &mut Ledger,
) -> bool {
    if found && allowed.value {
        ledger.waive(name, allowed.line);
        return true;
    }
    let result = if found {
        Err(reason.to_owned())
    } else {
        Ok(())
    };
    ledger.hold(name, allowed.line, result)
}

fn equal(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}
