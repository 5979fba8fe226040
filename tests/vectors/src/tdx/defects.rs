//! What can be wrong, one thing each, with the check that has to find it.

use super::Spec;
use super::collateral::level;
use super::event_log;
use serde_json::json;

/// One thing that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// What it is.
    pub name: &'static str,
    /// The check that fails, and no other.
    pub check: &'static str,
    /// Makes it wrong.
    pub make: fn(&mut Spec),
}

const fn defect(check: &'static str, name: &'static str, make: fn(&mut Spec)) -> Defect {
    Defect { name, check, make }
}

/// Of every numbered check at least one, in the order of the checks.
pub const DEFECTS: &[Defect] = &[
    // 1
    defect("tdx.header", "version-3", |s| s.quote.version = 3),
    defect("tdx.header", "version-6", |s| s.quote.version = 6),
    defect("tdx.header", "attestation-key-of-p384", |s| {
        s.quote.key_type = 3;
    }),
    defect("tdx.header", "tee-type-of-sgx", |s| s.quote.tee_type = 0),
    defect("tdx.header", "quoting-enclave-of-another-vendor", |s| {
        s.quote.vendor[0] ^= 1;
    }),
    // 2
    defect("tdx.body", "body-type-not-known", |s| {
        s.quote.version = 5;
        s.quote.body_type = 5;
    }),
    defect("tdx.body", "body-type-of-sgx", |s| {
        s.quote.version = 5;
        s.quote.body_type = 1;
    }),
    defect("tdx.body", "body-size-of-another-type", |s| {
        s.quote.version = 5;
        s.quote.body_size = Some(584);
    }),
    // 3
    defect(
        "tdx.trailing-bytes",
        "more-trailing-bytes-than-a-buffer",
        |s| {
            s.quote.trailing_len = 8 * 1024 + 1;
        },
    ),
    // 4
    defect("tdx.pck-dates", "pck-certificate-run-out", |s| {
        s.pki.pck_until = 2026;
    }),
    defect("tdx.root", "root-not-pinned", |s| {
        s.pki.pins_another_root = true;
    }),
    defect(
        "tdx.pck-chain",
        "pck-certificate-by-another-authority",
        |s| s.pki.pck_by_another = true,
    ),
    defect("tdx.pck-chain", "pck-of-no-known-sgx-type", |s| {
        s.pki.sgx_type = 3;
    }),
    // 5
    defect("tdx.root-crl", "root-crl-by-another", |s| {
        s.pki.root_crl_by_another = true;
    }),
    defect("tdx.root-crl", "root-crl-run-out", |s| {
        s.pki.root_crl_until = 3;
    }),
    defect("tdx.pck-crl", "pck-crl-by-another", |s| {
        s.pki.pck_crl_by_another = true;
    }),
    defect("tdx.pck-crl", "pck-crl-run-out", |s| {
        s.pki.pck_crl_until = 3;
    }),
    defect("tdx.root-crl", "root-crl-of-the-future", |s| {
        s.pki.root_crl_from = 7;
    }),
    defect("tdx.pck-crl", "pck-crl-of-the-future", |s| {
        s.pki.pck_crl_from = 7;
    }),
    defect("tdx.revocation", "pck-revoked", |s| {
        s.pki.revokes_pck = true;
    }),
    defect("tdx.revocation", "platform-authority-revoked", |s| {
        s.pki.revokes_authority = true;
    }),
    // 6 to 8
    defect("tdx.qe-report-signature", "qe-report-by-another", |s| {
        s.quote.qe.by_another = true;
    }),
    defect("tdx.qe-report-data", "qe-binds-another-key", |s| {
        s.quote.qe.binds_another = true;
    }),
    defect("tdx.qe-report-data", "qe-binds-more-than-the-key", |s| {
        s.quote.qe.padding[31] = 1;
    }),
    defect("tdx.quote-signature", "quote-by-another-key", |s| {
        s.quote.by_another = true;
    }),
    defect("tdx.quote-signature", "header-changed-after-signing", |s| {
        s.quote.inverted = Some(30);
    }),
    defect("tdx.quote-signature", "body-changed-after-signing", |s| {
        s.quote.inverted = Some(500);
    }),
    // 9
    defect("tdx.qe-identity-signature", "qe-identity-by-another", |s| {
        s.collateral.qe_identity_by_another = true;
    }),
    defect("tdx.qe-identity-dates", "qe-identity-run-out", |s| {
        s.collateral.qe_identity["nextUpdate"] = json!("2026-06-14T00:00:00Z");
    }),
    defect("tdx.qe-identity-dates", "qe-identity-of-the-future", |s| {
        s.collateral.qe_identity["issueDate"] = json!("2026-06-16T00:00:00Z");
    }),
    defect("tdx.qe-identity", "qe-identity-of-sgx", |s| {
        s.collateral.qe_identity["id"] = json!("QE");
    }),
    defect("tdx.qe-identity", "qe-of-another-signer", |s| {
        s.quote.qe.mr_signer[0] ^= 1;
    }),
    defect("tdx.qe-identity", "qe-of-another-product", |s| {
        s.quote.qe.isv_prod_id = 1;
    }),
    defect("tdx.qe-identity", "qe-with-other-misc-select", |s| {
        s.quote.qe.misc_select = 1;
    }),
    defect("tdx.qe-identity", "qe-with-other-attributes", |s| {
        s.quote.qe.attributes[1] = 1;
    }),
    defect("tdx.qe-identity", "qe-in-debug-mode", |s| {
        s.quote.qe.attributes[0] |= 2;
    }),
    defect("tdx.qe-level", "qe-below-every-level", |s| {
        s.quote.qe.isv_svn = 3;
    }),
    // 10
    defect("tdx.tcb-info-signature", "tcb-info-by-another", |s| {
        s.collateral.tcb_info_by_another = true;
    }),
    defect("tdx.tcb-info-signature", "tcb-signer-revoked", |s| {
        s.pki.revokes_signer = true;
    }),
    defect("tdx.tcb-info-dates", "tcb-info-run-out", |s| {
        s.collateral.tcb_info["nextUpdate"] = json!("2026-06-14T00:00:00Z");
    }),
    defect("tdx.tcb-info-dates", "tcb-info-of-the-future", |s| {
        s.collateral.tcb_info["issueDate"] = json!("2026-06-16T00:00:00Z");
    }),
    defect("tdx.tcb-info-platform", "tcb-info-of-sgx", |s| {
        s.collateral.tcb_info["id"] = json!("SGX");
    }),
    defect("tdx.tcb-info-platform", "tcb-info-of-another-pceid", |s| {
        s.pki.pce_id = [1, 0];
    }),
    defect("tdx.collateral", "collateral-of-another-fmspc", |s| {
        s.pki.fmspc[0] ^= 1;
    }),
    // 11
    defect("tdx.tcb-level", "sgx-component-below-every-level", |s| {
        s.pki.cpu_svn[7] = 2;
    }),
    defect("tdx.tcb-level", "pce-below-every-level", |s| {
        s.pki.pce_svn = 12;
    }),
    defect("tdx.tcb-level", "tdx-component-below-every-level", |s| {
        s.collateral.tcb_info["tcbLevels"][0]["tcb"]["tdxtcbcomponents"][2]["svn"] = json!(3);
    }),
    defect("tdx.tcb-level", "module-version-not-known", |s| {
        s.quote.tee_tcb_svn[1] = 2;
    }),
    defect("tdx.tcb-level", "module-below-every-level", |s| {
        s.quote.tee_tcb_svn[0] = 3;
    }),
    defect("tdx.tcb-level", "updated-module-below-every-level", |s| {
        s.quote.version = 5;
        s.quote.tee_tcb_svn_2[0] = 3;
    }),
    // 12
    defect("tdx.tcb-revoked", "platform-level-revoked", |s| {
        s.collateral.tcb_info["tcbLevels"][0]["tcbStatus"] = json!("Revoked");
    }),
    defect("tdx.tcb-revoked", "module-level-revoked", |s| {
        let modules = &mut s.collateral.tcb_info["tdxModuleIdentities"];
        modules[0]["tcbLevels"][0]["tcbStatus"] = json!("Revoked");
    }),
    defect("tdx.tcb-revoked", "qe-level-revoked", |s| {
        s.collateral.qe_identity["tcbLevels"][0]["tcbStatus"] = json!("Revoked");
    }),
    defect("tdx.tcb-status", "platform-out-of-date", |s| {
        s.collateral.tcb_info["tcbLevels"] = json!([
            level(4, 13, "UpToDate", &[]),
            level(3, 13, "OutOfDate", &[])
        ]);
    }),
    defect("tdx.tcb-status", "module-out-of-date", |s| {
        let modules = &mut s.collateral.tcb_info["tdxModuleIdentities"];
        modules[0]["tcbLevels"][0]["tcbStatus"] = json!("OutOfDate");
    }),
    defect("tdx.tcb-status", "qe-out-of-date", |s| {
        s.collateral.qe_identity["tcbLevels"][0]["tcbStatus"] = json!("OutOfDate");
    }),
    defect("tdx.tcb-status", "qe-at-a-lower-level", |s| {
        s.collateral.qe_identity["tcbLevels"] = json!([
            { "tcb": { "isvsvn": 5 }, "tcbDate": "2026-03-01T00:00:00Z", "tcbStatus": "UpToDate" },
            { "tcb": { "isvsvn": 4 }, "tcbDate": "2025-03-01T00:00:00Z", "tcbStatus": "OutOfDate" },
        ]);
    }),
    defect("tdx.tcb-status", "platform-needs-configuration", |s| {
        s.collateral.tcb_info["tcbLevels"] = json!([level(3, 13, "ConfigurationNeeded", &[])]);
    }),
    defect("tdx.tcb-status", "relaunch-advised", |s| {
        s.quote.version = 5;
        s.quote.tee_tcb_svn_2[0] = 5;
        let modules = &mut s.collateral.tcb_info["tdxModuleIdentities"];
        modules[0]["tcbLevels"] = json!([
            { "tcb": { "isvsvn": 5 }, "tcbDate": "2026-03-01T00:00:00Z", "tcbStatus": "UpToDate" },
            { "tcb": { "isvsvn": 4 }, "tcbDate": "2025-03-01T00:00:00Z", "tcbStatus": "OutOfDate" },
        ]);
    }),
    defect("tdx.tcb-status", "updated-to-a-module-out-of-date", |s| {
        updated_to_another_module(s, "OutOfDate", &[]);
    }),
    defect(
        "tdx.advisories",
        "updated-to-a-module-with-an-advisory",
        |s| {
            updated_to_another_module(s, "UpToDate", &["INTEL-SA-00837"]);
        },
    ),
    defect("tdx.advisories", "advisory-not-accepted", |s| {
        s.collateral.tcb_info["tcbLevels"] = json!([level(3, 13, "UpToDate", &["INTEL-SA-00837"])]);
    }),
    // 13
    defect(
        "tdx.tcb-evaluation",
        "old-evaluation-of-the-platform",
        |s| {
            s.collateral.tcb_info["tcbEvaluationDataNumber"] = json!(16);
        },
    ),
    defect("tdx.tcb-evaluation", "old-evaluation-of-the-qe", |s| {
        s.collateral.qe_identity["tcbEvaluationDataNumber"] = json!(16);
    }),
    // 14
    defect("tdx.seam-module", "seam-signer-not-as-evaluated", |s| {
        s.quote.mr_signer_seam[0] = 1;
    }),
    defect("tdx.seam-module", "seam-attributes-not-as-evaluated", |s| {
        s.quote.seam_attributes = 1;
    }),
    defect("tdx.mr-seam", "seam-module-not-wanted", |s| {
        s.quote.mr_seam[0] ^= 1;
    }),
    defect("tdx.mr-signer-seam", "seam-signer-not-wanted", |s| {
        s.quote.mr_signer_seam[0] = 1;
        let signer = json!(format!("01{}", "00".repeat(47)));
        s.collateral.tcb_info["tdxModule"]["mrsigner"] = signer.clone();
        s.collateral.tcb_info["tdxModuleIdentities"][0]["mrsigner"] = signer;
    }),
    defect("tdx.seam-attributes", "seam-attributes-not-wanted", |s| {
        s.quote.seam_attributes = 1;
        let attributes = json!("0100000000000000");
        s.collateral.tcb_info["tdxModule"]["attributes"] = attributes.clone();
        s.collateral.tcb_info["tdxModuleIdentities"][0]["attributes"] = attributes;
    }),
    // 15
    defect("tdx.debug", "debug", |s| s.quote.td_attributes |= 1),
    defect("tdx.profiling", "profiling", |s| {
        s.quote.td_attributes |= 1 << 4;
    }),
    defect("tdx.reserved-attributes", "reserved-attribute", |s| {
        s.quote.td_attributes |= 1 << 40;
    }),
    defect("tdx.migratable", "migratable", |s| {
        s.quote.td_attributes |= 1 << 29;
    }),
    defect("tdx.sept-ve-disable", "sept-ve-enabled", |s| {
        s.quote.td_attributes = 0;
    }),
    // 16
    defect("tdx.attributes-allowed", "attribute-not-allowed", |s| {
        s.quote.td_attributes |= 1 << 63;
    }),
    defect("tdx.xfam-required", "xfam-lacks-sse", |s| {
        s.quote.xfam &= !2;
    }),
    defect("tdx.xfam-allowed", "xfam-with-more-than-allowed", |s| {
        s.quote.xfam |= 1 << 8;
    }),
    // 17, 18
    defect("tdx.mr-td", "another-trust-domain", |s| {
        s.quote.mr_td[0] ^= 1;
    }),
    defect("tdx.rtmr", "kernel-register-of-another-kernel", |s| {
        s.quote.rtmr[1][0] ^= 1;
        s.policy = s
            .policy
            .replace("event-log = \"replayed\"", "event-log = \"any\"");
    }),
    defect("tdx.rtmr", "reference-value-covers-too-little", |s| {
        s.policy = s.policy.replace("coverage = [", "coverage = [\"disk\", ");
    }),
    defect("tdx.event-log", "no-event-log", |s| s.event_log = None),
    defect("tdx.event-log", "event-log-lacks-an-event", |s| {
        s.event_log = Some(event_log::without_an_event());
    }),
    // 19
    defect("tdx.mr-config-id", "other-configuration", |s| {
        s.quote.mr_config_id[0] = 1;
    }),
    defect("tdx.mr-config-id", "init-data-wanted-and-not-sent", |s| {
        let zero = "00".repeat(48);
        let stated = format!("mr-config-id = [\"{zero}\"]");
        s.policy = s.policy.replace(&stated, "mr-config-id = \"init-data\"");
    }),
    defect("tdx.init-data", "init-data-not-bound", |s| {
        let text = "version = \"0.1.0\"\nalgorithm = \"sha384\"\n[data]\n";
        s.init_data = Some(text.to_owned());
    }),
    defect("tdx.mr-owner", "other-owner", |s| s.quote.mr_owner[47] = 1),
    defect("tdx.mr-owner-config", "other-owner-configuration", |s| {
        s.quote.mr_owner_config[0] = 1;
    }),
    // 20
    defect("tdx.mr-service-td", "service-td-bound", |s| {
        s.quote.version = 5;
        s.quote.mr_service_td[0] = 1;
    }),
    defect("tdx.mr-service-td", "service-td-bound-since-launch", |s| {
        s.quote.version = 5;
        s.quote.body_type = 4;
        s.quote.current_service_td[0] = 1;
    }),
    defect("tdx.mr-service-td", "service-td-bound-later-unsaid", |s| {
        s.quote.td_attributes |= 1 << 17;
    }),
    defect(
        "tdx.mr-service-td",
        "service-td-bound-later-unsaid-by-1-5",
        |s| {
            s.quote.version = 5;
            s.quote.td_attributes |= 1 << 17;
        },
    ),
    // 21
    defect("tdx.report-data", "report-data-of-another-challenge", |s| {
        s.quote.report_data[0] ^= 1;
    }),
    defect("tdx.report-data", "report-data-with-more-behind", |s| {
        s.quote.report_data[63] = 1;
    }),
    // 22
    defect("tdx.platform-instance", "another-platform", |s| {
        s.pki.platform_instance[0] ^= 1;
    }),
    defect("tdx.smt", "smt-off", |s| s.pki.smt = false),
    defect("tdx.dynamic-platform", "dynamic-platform", |s| {
        s.pki.dynamic_platform = true;
    }),
    defect("tdx.cached-keys", "keys-not-cached", |s| {
        s.pki.cached_keys = false;
    }),
];

/// Launched under the module of major version 1, which is up to date; since then there is one of
/// major version 2, at this level.
fn updated_to_another_module(spec: &mut Spec, status: &str, advisories: &[&str]) {
    spec.quote.version = 5;
    spec.quote.tee_tcb_svn_2[..2].copy_from_slice(&[1, 2]);
    let modules = &mut spec.collateral.tcb_info["tdxModuleIdentities"];
    let mut module = modules[0].clone();
    module["id"] = json!("TDX_02");
    module["tcbLevels"] = json!([{
        "tcb": { "isvsvn": 1 },
        "tcbDate": "2026-03-01T00:00:00Z",
        "tcbStatus": status,
        "advisoryIDs": advisories,
    }]);
    *modules = json!([modules[0], module]);
}
