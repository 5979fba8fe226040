//! What a TDX quote says, in the words of the token.

use super::hex;
use crate::authenticity::TdxFacts;
use crate::policy::TdxReference;
use crate::verdict::Claims;
use serde_json::Value;

pub(super) fn of(facts: &TdxFacts, reference: Option<&TdxReference>) -> Claims {
    let (report, tcb) = (&facts.report, &facts.tcb);
    let mut claims = Claims::default();
    claims.state("quote_version", facts.version);
    for (name, register) in [
        ("mr_td", &report.mr_td),
        ("mr_seam", &report.mr_seam),
        ("mr_signer_seam", &report.mr_signer_seam),
        ("mr_config_id", &report.mr_config_id),
        ("mr_owner", &report.mr_owner),
        ("mr_owner_config", &report.mr_owner_config),
        ("rtmr_0", &report.rtmr[0]),
        ("rtmr_1", &report.rtmr[1]),
        ("rtmr_2", &report.rtmr[2]),
        ("rtmr_3", &report.rtmr[3]),
    ] {
        claims.state(name, hex(register));
    }
    claims.state("tee_tcb_svn", hex(&report.tee_tcb_svn));
    claims.state("td_attributes", hex(&report.td_attributes.to_be_bytes()));
    claims.state(
        "seam_attributes",
        hex(&report.seam_attributes.to_be_bytes()),
    );
    claims.state("xfam", hex(&report.xfam.to_be_bytes()));
    claims.state("report_data", hex(&report.report_data));
    if let Some(v15) = &report.v15 {
        claims.state("tee_tcb_svn_2", hex(&v15.tee_tcb_svn_2));
        claims.state("mr_service_td", hex(&v15.mr_service_td));
        if let Some(ex) = &v15.ex {
            claims.state("td_id", hex(&ex.td_id));
            claims.state("vm_id", ex.vm_id);
            claims.state("device_info", hex(&ex.device_info));
            claims.state("current_service_td_hash", hex(&ex.current_service_td_hash));
        }
    }
    claims.state("init_data_bound", facts.binds_init_data);
    claims.state("tcb_status", tcb.status.to_string());
    let advisories = tcb.advisories.iter().map(|id| Value::from(id.as_str()));
    claims.state("advisory_ids", advisories.collect::<Vec<_>>());
    if let Some(status) = tcb.current_status {
        claims.state("current_tcb_status", status.to_string());
    }
    let advisories = tcb.current_advisories.iter();
    let advisories = advisories.map(|id| Value::from(id.as_str()));
    claims.state("current_advisory_ids", advisories.collect::<Vec<_>>());
    claims.state("tcb_evaluation_number", tcb.evaluation_number);
    claims.state("tcb_date", tcb.level_date.as_str());
    claims.state("fmspc", hex(&tcb.fmspc));
    if let Some(instance) = &tcb.platform_instance {
        claims.state("platform_instance", hex(instance));
    }
    if let Some(reference) = reference {
        claims.state_reference(&reference.name, &reference.set, &reference.covers);
    }
    claims
}
