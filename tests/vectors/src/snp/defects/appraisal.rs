//! Authentic evidence that is not wanted.

use super::{Defect, changed, defect};
use crate::snp::{ChainDraft, Draft};
use nitride_verify::evidence::SnpProduct;

pub(super) const DEFECTS: &[Defect] = &[
    defect(
        "snp.minimum-report-version",
        "version-below-the-least",
        || {
            changed(|d| {
                d.report.be_of_version(4);
                d.policy.waive("required-launch-mitigations");
                d.policy.waive("required-current-mitigations");
            })
        },
    ),
    defect(
        "snp.signing-key-wanted",
        "vcek-where-a-vlek-is-wanted",
        || changed(|d| d.policy.set("signing-keys", "[\"vlek\"]")),
    ),
    defect("snp.product-wanted", "milan-where-genoa-is-wanted", || {
        changed(|d| d.policy.want_only(SnpProduct::Genoa))
    }),
    defect("snp.csp-id-wanted", "vlek-of-another-cloud", || {
        let mut draft = Draft::vlek();
        draft.policy.set("csp-ids", "[\"CN=other.example\"]");
        draft
    }),
    defect(
        "snp.policy-reserved-one",
        "policy-without-the-bit-that-is-one",
        || changed(|d| d.report.policy &= !(1 << 17)),
    ),
    defect("snp.debug", "debugging-allowed", || {
        changed(|d| d.report.policy |= 1 << 19)
    }),
    defect("snp.migration", "migration-allowed", || {
        changed(|d| d.report.policy |= 1 << 18)
    }),
    defect("snp.policy-abi", "abi-below-the-least", || {
        changed(|d| d.policy.set("policy-minimum-abi", "\"1.52\""))
    }),
    defect("snp.policy-smt", "smt-allowed", || {
        changed(|d| d.policy.set("policy-smt", "false"))
    }),
    defect("snp.policy-single-socket", "many-sockets-allowed", || {
        changed(|d| d.report.policy &= !(1 << 20))
    }),
    defect("snp.policy-cxl", "cxl-allowed", || {
        changed(|d| d.report.policy |= 1 << 21)
    }),
    defect("snp.policy-aes-256-xts", "aes-128-allowed", || {
        changed(|d| d.report.policy &= !(1 << 22))
    }),
    defect("snp.policy-rapl-disabled", "rapl-allowed", || {
        changed(|d| d.report.policy &= !(1 << 23))
    }),
    defect(
        "snp.policy-ciphertext-hiding",
        "visible-ciphertext-allowed",
        || changed(|d| d.report.policy &= !(1 << 24)),
    ),
    defect("snp.policy-page-swap-disabled", "page-swap-allowed", || {
        changed(|d| d.report.policy &= !(1 << 25))
    }),
    defect("snp.vmpl", "asked-at-a-lower-privilege", || {
        changed(|d| d.report.vmpl = 1)
    }),
    defect("snp.measurement", "another-image", || {
        changed(|d| d.report.measurement = [0x3F; 48])
    }),
    defect("snp.measurement", "firmware-alone-is-measured", || {
        changed(|d| d.policy.set_reference("covers", "[\"firmware\"]"))
    }),
    defect("snp.host-data", "other-host-data", || {
        changed(|d| d.report.host_data = [0x4E; 32])
    }),
    defect("snp.host-data", "init-data-wanted-and-not-sent", || {
        changed(|d| d.policy.set("host-data", "\"init-data\""))
    }),
    defect("snp.id-key", "another-id-key", || {
        changed(|d| d.report.id_key_digest = [0x1E; 48])
    }),
    defect("snp.author-key", "another-author-key", || {
        changed(|d| d.report.author_key_digest = [0xA5; 48])
    }),
    defect("snp.author-key-enabled", "author-key-not-in-use", || {
        changed(|d| d.report.key_info &= !1)
    }),
    defect("snp.family-id", "another-family", || {
        changed(|d| d.report.family_id = [0xFB; 16])
    }),
    defect("snp.image-id", "another-image-id", || {
        changed(|d| d.report.image_id = [0x1B; 16])
    }),
    defect("snp.guest-svn", "guest-svn-below-the-least", || {
        changed(|d| d.report.guest_svn = 2)
    }),
    defect(
        "snp.reported-tcb-minimum",
        "reported-tcb-below-the-least",
        || {
            let mut draft = changed(|d| d.report.reported_tcb[6] = 23);
            draft.chain = ChainDraft::vcek(SnpProduct::Milan, &draft.report);
            draft
        },
    ),
    defect(
        "snp.reported-tcb-minimum",
        "turin-fmc-below-the-least",
        || {
            let mut draft = Draft::of(SnpProduct::Turin);
            draft.report.reported_tcb[0] = 0;
            draft.chain = ChainDraft::vcek(SnpProduct::Turin, &draft.report);
            draft
        },
    ),
    defect(
        "snp.committed-tcb-minimum",
        "committed-tcb-below-the-least",
        || {
            changed(|d| {
                d.report.committed_tcb[0] = 3;
                d.policy.waive("provisional-firmware");
            })
        },
    ),
    defect(
        "snp.launch-tcb-minimum",
        "launched-at-a-tcb-below-the-least",
        || changed(|d| d.report.launch_tcb[7] = 218),
    ),
    defect(
        "snp.committed-within-current",
        "committed-beyond-current",
        || {
            changed(|d| {
                d.report.committed_tcb[7] = 220;
                d.policy.waive("provisional-firmware");
            })
        },
    ),
    defect(
        "snp.reported-within-current",
        "reported-beyond-current",
        || {
            let mut draft = changed(|d| d.report.reported_tcb[7] = 220);
            draft.chain = ChainDraft::vcek(SnpProduct::Milan, &draft.report);
            draft
        },
    ),
    defect(
        "snp.provisional-firmware",
        "firmware-that-is-not-committed",
        || changed(|d| d.report.current_firmware[0] = 30),
    ),
    defect(
        "snp.provisional-firmware",
        "tcb-that-is-not-committed",
        || changed(|d| d.report.current_tcb[7] = 220),
    ),
    defect("snp.current-firmware", "firmware-below-the-least", || {
        changed(|d| {
            d.report.current_firmware[0] = 28;
            d.policy.waive("provisional-firmware");
        })
    }),
    defect(
        "snp.committed-firmware",
        "firmware-may-go-back-below-the-least",
        || {
            changed(|d| {
                d.report.committed_firmware[0] = 28;
                d.policy.waive("provisional-firmware");
            })
        },
    ),
    defect("snp.platform-smt", "smt-on", || {
        changed(|d| d.policy.set("platform-smt", "false"))
    }),
    defect("snp.platform-tsme", "tsme-off", || {
        changed(|d| d.report.platform_info &= !(1 << 1))
    }),
    defect("snp.platform-ecc", "ecc-off", || {
        changed(|d| d.report.platform_info &= !(1 << 2))
    }),
    defect("snp.platform-rapl-disabled", "rapl-on", || {
        changed(|d| d.report.platform_info &= !(1 << 3))
    }),
    defect(
        "snp.platform-ciphertext-hiding",
        "ciphertext-visible",
        || changed(|d| d.report.platform_info &= !(1 << 4)),
    ),
    defect("snp.platform-alias-check", "aliases-not-checked", || {
        changed(|d| d.report.platform_info &= !(1 << 5))
    }),
    defect("snp.platform-tio", "trusted-io-on", || {
        changed(|d| d.report.platform_info |= 1 << 7)
    }),
    defect("snp.platform-unknown-bits", "platform-bit-8", || {
        changed(|d| d.report.platform_info |= 1 << 8)
    }),
    defect(
        "snp.launch-mitigations",
        "launched-without-a-mitigation",
        || changed(|d| d.report.launch_mitigations = 0x1F),
    ),
    defect(
        "snp.current-mitigations",
        "running-without-a-mitigation",
        || changed(|d| d.report.current_mitigations = 0x1F),
    ),
    defect(
        "snp.current-mitigations",
        "version-that-tells-no-mitigations",
        || {
            changed(|d| {
                d.report.be_of_version(3);
                d.policy.set("minimum-report-version", "3");
                d.policy.waive("required-launch-mitigations");
            })
        },
    ),
    defect("snp.chip-allowed", "another-chip", || {
        changed(|d| d.policy.set("chip-ids", "[]"))
    }),
    defect("snp.report-id-pinned", "another-launch", || {
        changed(|d| d.report.report_id = [0x52; 32])
    }),
    defect("snp.migration-agent", "migration-agent-at-work", || {
        changed(|d| d.report.report_id_ma = [0x0A; 32])
    }),
];
