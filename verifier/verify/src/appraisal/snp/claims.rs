//! What an authentic report says, in the words of the token. Names are those that Trustee's
//! verifier gives the same facts, so that its policies read ours.

use crate::authenticity::SnpFacts;
use crate::evidence::{GuestPolicy, Tcb, is_set};
use crate::policy::{ReferenceValue, SigningKey};
use crate::verdict::Claims;
use serde_json::{Map, Value};

pub(super) fn claims(facts: &SnpFacts, reference: Option<&ReferenceValue<48>>) -> Claims {
    let report = &facts.report;
    let policy = report.policy;
    let (abi_major, abi_minor) = policy.abi();
    let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
    let mut claims = Claims::default();
    claims.state("report_version", report.version);
    claims.state("product", facts.product.as_str());
    claims.state(
        "signing_key",
        match facts.signing_key {
            SigningKey::Vcek => "vcek",
            SigningKey::Vlek => "vlek",
        },
    );
    if let Some(csp_id) = &facts.csp_id {
        claims.state("csp_id", csp_id.as_str());
    }
    claims.state("measurement", hex(&report.measurement));
    claims.state("report_data", hex(&report.report_data));
    claims.state("init_data", hex(&report.host_data));
    claims.state("init_data_bound", facts.binds_init_data);
    claims.state("family_id", hex(&report.family_id));
    claims.state("image_id", hex(&report.image_id));
    claims.state("id_key_digest", hex(&report.id_key_digest));
    claims.state("author_key_digest", hex(&report.author_key_digest));
    claims.state("report_id", hex(&report.report_id));
    claims.state("chip_id", hex(&report.chip_id));
    claims.state("guest_svn", report.guest_svn);
    claims.state("vmpl", report.vmpl);
    claims.state("policy_abi_major", abi_major);
    claims.state("policy_abi_minor", abi_minor);
    for (name, bit) in [
        ("policy_smt_allowed", GuestPolicy::SMT),
        ("policy_migrate_ma", GuestPolicy::MIGRATE_MA),
        ("policy_debug_allowed", GuestPolicy::DEBUG),
        ("policy_single_socket", GuestPolicy::SINGLE_SOCKET),
    ] {
        claims.state(name, policy.bit(bit));
    }
    claims.state("platform_smt_enabled", is_set(report.platform_info, 0));
    claims.state("platform_tsme_enabled", is_set(report.platform_info, 1));
    claims.state("platform_info", report.platform_info);
    for (name, tcb) in [
        ("current_tcb", &facts.tcbs.current),
        ("reported_tcb", &facts.tcbs.reported),
        ("committed_tcb", &facts.tcbs.committed),
        ("launch_tcb", &facts.tcbs.launch),
    ] {
        claims.state(name, components(tcb));
    }
    let reported = &facts.tcbs.reported;
    claims.state("reported_tcb_bootloader", reported.bootloader);
    claims.state("reported_tcb_tee", reported.tee);
    claims.state("reported_tcb_snp", reported.snp);
    claims.state("reported_tcb_microcode", reported.microcode);
    if let Some(reference) = reference {
        claims.state_reference(&reference.name, &reference.set, &reference.covers);
    }
    claims
}

fn components(tcb: &Tcb) -> Map<String, Value> {
    let components = tcb.components();
    components
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}
