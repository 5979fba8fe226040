//! What the guest's owner chose and what was launched: checks 19 to 22, 24 to 26 and 32.

use super::{at_least, bit_is, digest_among, one_of};
use crate::authenticity::SnpFacts;
use crate::checks::snp as checks;
use crate::evidence::GuestPolicy;
use crate::ledger::Ledger;
use crate::policy::{ReferenceValue, SnpPolicy};

/// What [`booted`] found.
pub(super) struct Booted<'a> {
    /// The reference value that the measurement is.
    pub(super) reference: Option<&'a ReferenceValue<48>>,
    /// The measurement, and who signed for it.
    pub(super) measured: bool,
    /// Privilege level and host data.
    pub(super) configured: bool,
}

/// Check 19: what the guest policy lets the host do.
pub(super) fn allowances(facts: &SnpFacts, policy: &SnpPolicy, ledger: &mut Ledger) -> bool {
    let bits = facts.report.policy;
    let mut all = ledger.want(checks::POLICY_ABI, &policy.policy_minimum_abi, |least| {
        let (major, minor) = bits.abi();
        if (major, minor) >= *least {
            Ok(())
        } else {
            let (least_major, least_minor) = least;
            Err(format!(
                "the guest takes ABI {major}.{minor}, below {least_major}.{least_minor}"
            ))
        }
    });
    for (name, wanted, bit, what) in [
        (
            checks::POLICY_SMT,
            &policy.policy_smt,
            GuestPolicy::SMT,
            "SMT allowed",
        ),
        (
            checks::POLICY_SINGLE_SOCKET,
            &policy.policy_single_socket,
            GuestPolicy::SINGLE_SOCKET,
            "single socket required",
        ),
        (
            checks::POLICY_CXL,
            &policy.policy_cxl,
            GuestPolicy::CXL,
            "CXL allowed",
        ),
        (
            checks::POLICY_AES_256_XTS,
            &policy.policy_aes_256_xts,
            GuestPolicy::AES_256_XTS,
            "AES-256-XTS required",
        ),
        (
            checks::POLICY_RAPL_DISABLED,
            &policy.policy_rapl_disabled,
            GuestPolicy::RAPL_DISABLED,
            "RAPL required to be off",
        ),
        (
            checks::POLICY_CIPHERTEXT_HIDING,
            &policy.policy_ciphertext_hiding,
            GuestPolicy::CIPHERTEXT_HIDING,
            "ciphertext hiding required",
        ),
        (
            checks::POLICY_PAGE_SWAP_DISABLED,
            &policy.policy_page_swap_disabled,
            GuestPolicy::PAGE_SWAP_DISABLED,
            "page swap disabled",
        ),
    ] {
        all &= ledger.want(name, wanted, |wanted| bit_is(what, bits.bit(bit), *wanted));
    }
    all
}

/// Checks 20 to 22 and 24 to 26.
pub(super) fn booted<'a>(
    facts: &SnpFacts,
    policy: &'a SnpPolicy,
    now_secs: u64,
    ledger: &mut Ledger,
) -> Booted<'a> {
    let report = &facts.report;
    let vmpl = ledger.want(checks::VMPL, &policy.vmpl, |wanted| {
        one_of("privilege level", &report.vmpl, wanted)
    });
    let found = policy.references.find(&report.measurement, now_secs);
    let reference = found.as_ref().ok().copied();
    let mut measured = ledger.hold(
        checks::MEASUREMENT,
        policy.references.line(),
        found.map(|_| ()),
    );
    let host_data = ledger.want(checks::HOST_DATA, &policy.host_data, |wanted| {
        wanted.check(facts.binds_init_data, |wanted| {
            digest_among("host data", &report.host_data, wanted)
        })
    });
    measured &= ledger.want(checks::ID_KEY, &policy.id_key_digests, |wanted| {
        digest_among("ID key", &report.id_key_digest, wanted)
    });
    measured &= ledger.want(checks::AUTHOR_KEY, &policy.author_key_digests, |wanted| {
        digest_among("author key", &report.author_key_digest, wanted)
    });
    measured &= ledger.want(
        checks::AUTHOR_KEY_ENABLED,
        &policy.author_key_enabled,
        |wanted| bit_is("author key in use", report.has_author_key(), *wanted),
    );
    measured &= ledger.want(checks::FAMILY_ID, &policy.family_ids, |wanted| {
        digest_among("family id", &report.family_id, wanted)
    });
    measured &= ledger.want(checks::IMAGE_ID, &policy.image_ids, |wanted| {
        digest_among("image id", &report.image_id, wanted)
    });
    measured &= ledger.want(checks::GUEST_SVN, &policy.minimum_guest_svn, |least| {
        at_least("guest SVN", report.guest_svn, *least)
    });
    Booted {
        reference,
        measured,
        configured: vmpl && host_data,
    }
}

/// Check 32: which chip, and which launch.
pub(super) fn instance(facts: &SnpFacts, policy: &SnpPolicy, ledger: &mut Ledger) -> bool {
    let report = &facts.report;
    let chip = ledger.want(checks::CHIP_ALLOWED, &policy.chip_ids, |wanted| {
        digest_among("chip", &report.chip_id, wanted)
    });
    let launch = ledger.want(checks::REPORT_ID_PINNED, &policy.report_ids, |wanted| {
        digest_among("report id", &report.report_id, wanted)
    });
    let allowed = &policy.danger_allow_migration;
    let agent = if report.report_id_ma == [0xFF; 32] {
        ledger.pass(checks::MIGRATION_AGENT);
        true
    } else if allowed.value {
        ledger.waive(checks::MIGRATION_AGENT, allowed.line);
        true
    } else {
        let reason = "a migration agent has a report id of its own".to_owned();
        ledger.hold(checks::MIGRATION_AGENT, allowed.line, Err(reason))
    };
    chip && launch && agent
}
