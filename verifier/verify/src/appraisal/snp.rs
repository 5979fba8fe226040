//! SEV-SNP: what the policy wants of an authentic report, field by field. Every check is made,
//! whatever the one before it said.

mod claims;
mod guest;
mod platform;

use super::{Appraised, executables};
use crate::authenticity::SnpFacts;
use crate::checks::snp as checks;
use crate::evidence::GuestPolicy;
use crate::ledger::Ledger;
use crate::policy::{AttestationPolicy, Launched, SigningKey, SnpPolicy, Wanted, covers_boot};
use crate::trust_vector::{
    APPROVED_CONFIGURATION, CONTRAINDICATED_CONFIGURATION, CONTRAINDICATED_HARDWARE,
    CONTRAINDICATED_RUNTIME, GENUINE_HARDWARE, ISOLATED_RUNTIME, NO_CLAIM, TrustVector,
    VISIBLE_RUNTIME,
};

pub(super) fn appraise(
    facts: &SnpFacts,
    policy: &AttestationPolicy,
    now_secs: u64,
    ledger: &mut Ledger,
) -> Appraised {
    let debug = facts.report.policy.bit(GuestPolicy::DEBUG);
    let Some(policy) = policy.snp() else {
        // A policy without the section admits no report; were one to come here, nothing is wanted.
        return Appraised {
            claims: claims::claims(facts, None),
            vector: TrustVector {
                hardware: CONTRAINDICATED_HARDWARE,
                ..TrustVector::default()
            },
            debug,
        };
    };
    let who = signer(facts, policy, ledger);
    let opaque = opaque(facts, policy, ledger);
    let allowed = guest::allowances(facts, policy, ledger);
    let booted = guest::booted(facts, policy, now_secs, ledger);
    let hardware = platform::versions(facts, policy, ledger);
    let platform = platform::settings(facts, policy, ledger);
    let instance = guest::instance(facts, policy, ledger);

    let vector = TrustVector {
        instance_identity: match (&policy.chip_ids.value, instance) {
            (_, false) => CONTRAINDICATED_CONFIGURATION,
            (Wanted::Any, true) => NO_CLAIM,
            (Wanted::Is(_), true) => KNOWN_INSTANCE,
        },
        configuration: match (&policy.host_data.value, allowed && booted.configured) {
            (_, false) => CONTRAINDICATED_CONFIGURATION,
            // Init-data are the host's, who launched with them: that they are bound makes them
            // nobody's wish.
            (Wanted::Any | Wanted::Is(Launched::InitData), true) => NO_CLAIM,
            (Wanted::Is(Launched::OneOf(_)), true) => APPROVED_CONFIGURATION,
        },
        executables: executables(
            booted.measured,
            booted
                .reference
                .is_some_and(|value| covers_boot(&value.covers)),
        ),
        hardware: if who && hardware && platform {
            GENUINE_HARDWARE
        } else {
            CONTRAINDICATED_HARDWARE
        },
        // What the policy allows is not refused for it, and is not affirmed either.
        runtime_opaque: match (opaque, debug || may_move(facts)) {
            (false, _) => CONTRAINDICATED_RUNTIME,
            (true, true) => VISIBLE_RUNTIME,
            (true, false) => ISOLATED_RUNTIME,
        },
        ..TrustVector::default()
    };
    Appraised {
        claims: claims::claims(facts, booted.reference),
        vector,
        debug,
    }
}

/// Whether a migration agent has the guest's keys, or may get them.
fn may_move(facts: &SnpFacts) -> bool {
    let report = &facts.report;
    report.policy.bit(GuestPolicy::MIGRATE_MA) || report.report_id_ma != [0xFF; 32]
}

/// `instance-identity`: one of those that are known.
const KNOWN_INSTANCE: i8 = 2;

/// What checks 2, 4, 5 and 14 leave to the policy: who may say it, and in which form.
fn signer(facts: &SnpFacts, policy: &SnpPolicy, ledger: &mut Ledger) -> bool {
    let report = &facts.report;
    let least = &policy.minimum_report_version;
    let version = ledger.hold(
        checks::MINIMUM_REPORT_VERSION,
        least.line,
        at_least("report version", report.version, least.value),
    );
    let keys = &policy.signing_keys;
    let key = ledger.hold(
        checks::SIGNING_KEY_WANTED,
        keys.line,
        if keys.value.contains(&facts.signing_key) {
            Ok(())
        } else {
            Err(format!("a report signed by the {:?}", facts.signing_key))
        },
    );
    let products = &policy.minimum_tcb;
    let product = ledger.hold(
        checks::PRODUCT_WANTED,
        products.line,
        if products.value.contains_key(&facts.product) {
            Ok(())
        } else {
            Err(format!("{} has no minimum TCB", facts.product))
        },
    );
    let csp = match (facts.signing_key, &facts.csp_id) {
        (SigningKey::Vlek, Some(csp_id)) => {
            ledger.want(checks::CSP_ID_WANTED, &policy.csp_ids, |wanted| {
                one_of("the VLEK's cloud", csp_id, wanted)
            })
        }
        _ => {
            ledger.not_applicable(checks::CSP_ID_WANTED);
            true
        }
    };
    version && key && product && csp
}

/// Check 18: may anybody else look in?
fn opaque(facts: &SnpFacts, policy: &SnpPolicy, ledger: &mut Ledger) -> bool {
    let bits = facts.report.policy;
    let form = bits.bit(GuestPolicy::RESERVED_ONE);
    if form {
        ledger.pass(checks::POLICY_RESERVED_ONE);
    } else {
        ledger.fail(
            checks::POLICY_RESERVED_ONE,
            "bit 17 of the guest policy is not one",
        );
    }
    let mut all = form;
    for (name, allowed, bit, told) in [
        (
            checks::DEBUG,
            &policy.danger_allow_debug,
            GuestPolicy::DEBUG,
            "the host may debug the guest",
        ),
        (
            checks::MIGRATION,
            &policy.danger_allow_migration,
            GuestPolicy::MIGRATE_MA,
            "a migration agent is allowed",
        ),
    ] {
        if !bits.bit(bit) {
            ledger.pass(name);
        } else if allowed.value {
            ledger.waive(name, allowed.line);
        } else {
            all &= ledger.hold(name, allowed.line, Err(told.to_owned()));
        }
    }
    all
}

fn at_least<T: PartialOrd + std::fmt::Display>(what: &str, is: T, least: T) -> Result<(), String> {
    if is >= least {
        Ok(())
    } else {
        Err(format!("{what} is {is}, below {least}"))
    }
}

fn one_of<T: PartialEq<U>, U: std::fmt::Debug>(
    what: &str,
    is: &U,
    wanted: &[T],
) -> Result<(), String> {
    if wanted.iter().any(|value| *value == *is) {
        Ok(())
    } else {
        Err(format!("{what} {is:?} is not among those wanted"))
    }
}

/// As [`one_of`], with the value told in hexadecimal.
fn digest_among<const N: usize>(
    what: &str,
    is: &[u8; N],
    wanted: &[[u8; N]],
) -> Result<(), String> {
    if wanted.contains(is) {
        return Ok(());
    }
    let is = base16ct::lower::encode_string(is);
    Err(format!("{what} {is} is not among those wanted"))
}

/// One bit that has to be as the policy says.
fn bit_is(what: &str, is: bool, wanted: bool) -> Result<(), String> {
    if is == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {is}, wanted is {wanted}"))
    }
}
