//! What the host runs: checks 27 to 31.

use super::bit_is;
use crate::authenticity::SnpFacts;
use crate::checks::snp as checks;
use crate::evidence::{FirmwareVersion, Tcb, is_set};
use crate::ledger::Ledger;
use crate::policy::{SnpPolicy, Wanted};

/// PLATFORM_INFO (AMD 56860, table 24): the bits that have a meaning.
const SMT: u8 = 0;
const TSME: u8 = 1;
const ECC: u8 = 2;
const RAPL_DISABLED: u8 = 3;
const CIPHERTEXT_HIDING: u8 = 4;
const ALIAS_CHECK: u8 = 5;
const TIO: u8 = 7;
/// Bit 6 is set on real parts and has no meaning that is published.
const KNOWN_BITS: u64 = 0b1011_1111;

/// Checks 27 to 29: are firmware and microcode new enough, and do their versions fit together?
pub(super) fn versions(facts: &SnpFacts, policy: &SnpPolicy, ledger: &mut Ledger) -> bool {
    let (report, tcbs) = (&facts.report, &facts.tcbs);
    let mut all = true;
    for (name, tcb) in [
        (checks::REPORTED_TCB_MINIMUM, &tcbs.reported),
        (checks::COMMITTED_TCB_MINIMUM, &tcbs.committed),
        (checks::LAUNCH_TCB_MINIMUM, &tcbs.launch),
    ] {
        all &= minimum(facts, policy, tcb, name, ledger);
    }
    let line = policy.minimum_tcb.line;
    for (name, tcb) in [
        (checks::COMMITTED_WITHIN_CURRENT, &tcbs.committed),
        (checks::REPORTED_WITHIN_CURRENT, &tcbs.reported),
    ] {
        let within = tcbs.current.at_least(tcb);
        all &= ledger.hold(
            name,
            line,
            within.map_err(|reason| format!("current {reason}")),
        );
    }
    all &= ledger.want(
        checks::PROVISIONAL_FIRMWARE,
        &policy.provisional_firmware,
        |wanted| {
            let provisional = tcbs.committed != tcbs.current
                || report.committed_firmware != report.current_firmware;
            bit_is("firmware not committed", provisional, *wanted)
        },
    );
    for (name, version) in [
        (checks::CURRENT_FIRMWARE, report.current_firmware),
        (checks::COMMITTED_FIRMWARE, report.committed_firmware),
    ] {
        all &= ledger.want(name, &policy.minimum_firmware, |least| {
            if version >= *least {
                Ok(())
            } else {
                Err(format!(
                    "firmware {} is below {}",
                    told(version),
                    told(*least)
                ))
            }
        });
    }
    all
}

/// Check 27 for one of the versions. A product without a minimum is not wanted, as check 5 says.
fn minimum(
    facts: &SnpFacts,
    policy: &SnpPolicy,
    tcb: &Tcb,
    name: crate::CheckName,
    ledger: &mut Ledger,
) -> bool {
    match policy.minimum_tcb.value.get(&facts.product) {
        Some(wanted) => ledger.want(name, wanted, |least| tcb.at_least(least)),
        None => {
            ledger.not_applicable(name);
            true
        }
    }
}

/// Checks 30 and 31.
pub(super) fn settings(facts: &SnpFacts, policy: &SnpPolicy, ledger: &mut Ledger) -> bool {
    let info = facts.report.platform_info;
    let mut all = true;
    for (name, wanted, bit, what) in [
        (checks::PLATFORM_SMT, &policy.platform_smt, SMT, "SMT"),
        (checks::PLATFORM_TSME, &policy.platform_tsme, TSME, "TSME"),
        (checks::PLATFORM_ECC, &policy.platform_ecc, ECC, "ECC"),
        (
            checks::PLATFORM_RAPL_DISABLED,
            &policy.platform_rapl_disabled,
            RAPL_DISABLED,
            "RAPL off",
        ),
        (
            checks::PLATFORM_CIPHERTEXT_HIDING,
            &policy.platform_ciphertext_hiding,
            CIPHERTEXT_HIDING,
            "ciphertext hiding",
        ),
        (
            checks::PLATFORM_ALIAS_CHECK,
            &policy.platform_alias_check,
            ALIAS_CHECK,
            "alias check",
        ),
        (
            checks::PLATFORM_TIO,
            &policy.platform_tio,
            TIO,
            "trusted I/O",
        ),
    ] {
        all &= ledger.want(name, wanted, |wanted| {
            bit_is(what, is_set(info, bit), *wanted)
        });
    }
    all &= ledger.want(
        checks::PLATFORM_UNKNOWN_BITS,
        &policy.platform_unknown_bits,
        |known_to_the_policy| {
            let unknown = info & !KNOWN_BITS & !known_to_the_policy;
            if unknown == 0 {
                Ok(())
            } else {
                Err(format!("platform bits {unknown:#x} have no known meaning"))
            }
        },
    );
    for (name, wanted, vector) in [
        (
            checks::LAUNCH_MITIGATIONS,
            &policy.required_launch_mitigations,
            facts.report.launch_mitigations,
        ),
        (
            checks::CURRENT_MITIGATIONS,
            &policy.required_current_mitigations,
            facts.report.current_mitigations,
        ),
    ] {
        all &= mitigations(facts, wanted, vector, name, ledger);
    }
    all
}

/// Check 31. A version without the vector says nothing about mitigations, which is not to have
/// them.
fn mitigations(
    facts: &SnpFacts,
    wanted: &crate::strict_toml::Stated<Wanted<u64>>,
    vector: u64,
    name: crate::CheckName,
    ledger: &mut Ledger,
) -> bool {
    ledger.want(name, wanted, |required| match required & !vector {
        0 => Ok(()),
        _ if !facts.report.has_mitigations() => Err(format!(
            "report version {} has no mitigation vector",
            facts.report.version
        )),
        missing => Err(format!("mitigations {missing:#x} are missing")),
    })
}

fn told(version: FirmwareVersion) -> String {
    let FirmwareVersion {
        major,
        minor,
        build,
    } = version;
    format!("{major}.{minor}.{build}")
}
