//! Evidence that is not authentic.

use super::{Defect, changed, defect};
use crate::asn1::{integer, sequence, tlv};
use crate::keys::{EcKey, Salt};
use crate::snp::chain::{
    BASIC_CONSTRAINTS, CSP_ID, HARDWARE_ID, KEY_USAGE, PRODUCT_NAME, SNP_VERSION, ia5,
};
use crate::snp::{ChainDraft, Draft};
use nitride_verify::Expected;
use nitride_verify::evidence::{InitDataDigest, SnpProduct};

pub(super) const DEFECTS: &[Defect] = &[
    defect("snp.report-length", "a-byte-short", || {
        changed(|d| d.report.spoil = Some(|raw| raw.truncate(1183)))
    }),
    defect("snp.report-length", "a-byte-more", || {
        changed(|d| d.report.spoil = Some(|raw| raw.push(0)))
    }),
    defect("snp.report-version", "version-1", || {
        changed(|d| d.report.version = 1)
    }),
    defect("snp.report-version", "version-6", || {
        changed(|d| d.report.version = 6)
    }),
    defect("snp.signature-algorithm", "signature-algorithm-0", || {
        changed(|d| d.report.signature_algorithm = 0)
    }),
    defect("snp.signing-key", "signing-key-none", || {
        changed(|d| d.report.key_info |= 7 << 2)
    }),
    defect("snp.chip-key-not-masked", "chip-key-masked", || {
        changed(|d| d.report.key_info |= 1 << 1)
    }),
    defect("snp.product", "processor-of-no-product", || {
        changed(|d| d.report.cpuid = [0x19, 0x60, 0x00])
    }),
    defect("snp.root-pinned", "root-of-somebody", || {
        changed(|d| d.policy.trust_the_vendor_alone())
    }),
    defect("snp.root-self-signed", "root-not-self-signed", || {
        changed(|d| d.chain.root.spoil_signature = true)
    }),
    defect(
        "snp.intermediate-signature",
        "intermediate-not-signed-by-root",
        || changed(|d| d.chain.intermediate.spoil_signature = true),
    ),
    defect(
        "snp.intermediate-signature",
        "intermediate-signed-with-a-salt-of-32",
        || changed(|d| d.chain.intermediate.salt = Salt::Len32Stated48),
    ),
    defect("snp.intermediate-kind", "vlek-below-the-vceks-ask", || {
        let mut draft = Draft::vlek();
        draft.chain.intermediate.subject = "SEV-Milan".to_owned();
        draft.chain.vek.issuer = "SEV-Milan".to_owned();
        draft
    }),
    defect("snp.intermediate-kind", "intermediate-of-genoa", || {
        changed(|d| d.chain.intermediate.subject = "SEV-Genoa".to_owned())
    }),
    defect(
        "snp.intermediate-authority",
        "intermediate-that-is-no-authority",
        || {
            let none = sequence(&[]);
            changed(|d| d.chain.intermediate.set_extension(BASIC_CONSTRAINTS, none))
        },
    ),
    defect(
        "snp.intermediate-authority",
        "root-that-allows-no-authority-below",
        || {
            let zero = sequence(&[&tlv(0x01, &[0xFF]), &integer(0)]);
            changed(|d| d.chain.root.set_extension(BASIC_CONSTRAINTS, zero))
        },
    ),
    defect(
        "snp.intermediate-key-usage",
        "intermediate-for-signatures-only",
        || {
            let usage = tlv(0x03, &[7, 0b1000_0000]);
            changed(|d| d.chain.intermediate.set_extension(KEY_USAGE, usage))
        },
    ),
    defect("snp.vek-signature", "vcek-not-signed", || {
        changed(|d| d.chain.vek.spoil_signature = true)
    }),
    defect("snp.vek-signature", "vcek-signed-with-a-salt-of-32", || {
        changed(|d| d.chain.vek.salt = Salt::Len32)
    }),
    defect(
        "snp.vek-signature",
        "vcek-signed-with-another-salt-than-stated",
        || changed(|d| d.chain.vek.salt = Salt::Len32Stated48),
    ),
    defect("snp.vek-signature", "vcek-of-another-issuers-name", || {
        changed(|d| d.chain.vek.issuer = "SEV-Genoa".to_owned())
    }),
    defect(
        "snp.critical-extensions",
        "vcek-with-an-unknown-critical-extension",
        || {
            let unknown = ("1.3.6.1.4.1.3704.1.99", true, ia5("read me"));
            changed(|d| d.chain.vek.extensions.push(unknown))
        },
    ),
    defect(
        "snp.critical-extensions",
        "intermediate-with-name-constraints",
        || {
            let constraints = ("2.5.29.30", true, sequence(&[]));
            changed(|d| d.chain.intermediate.extensions.push(constraints))
        },
    ),
    defect("snp.certificate-dates", "vcek-expired", || {
        changed(|d| d.chain.vek.not_after = "261121235959Z")
    }),
    defect("snp.certificate-dates", "vcek-not-valid-yet", || {
        changed(|d| d.chain.vek.not_before = "261122000001Z")
    }),
    defect("snp.certificate-dates", "intermediate-expired", || {
        changed(|d| d.chain.intermediate.not_after = "261121235959Z")
    }),
    defect("snp.certificate-dates", "root-expired", || {
        changed(|d| d.chain.root.not_after = "261121235959Z")
    }),
    defect("snp.vek-version", "vcek-of-version-1", || {
        changed(|d| {
            d.chain.vek.version = 1;
            d.chain.vek.extensions.clear();
        })
    }),
    defect("snp.vek-key", "vcek-over-p256", || {
        changed(|d| d.chain.vek.spki = EcKey::p256().spki())
    }),
    defect("snp.vek-common-name", "vcek-called-vlek", || {
        changed(|d| d.chain.vek.subject = "SEV-VLEK".to_owned())
    }),
    defect("snp.crl-present", "no-revocation-list", || {
        changed(|d| d.chain.crl = None)
    }),
    defect("snp.crl-signature", "revocation-list-not-signed", || {
        changed(|d| of_crl(d).spoil_signature = true)
    }),
    defect(
        "snp.crl-signature",
        "revocation-list-of-another-root",
        || changed(|d| of_crl(d).issuer = "ARK-Genoa".to_owned()),
    ),
    defect("snp.crl-signature", "second-list-not-signed", || {
        with_second_list(|list| list.spoil_signature = true)
    }),
    defect(
        "snp.crl-fresh",
        "revocation-list-past-its-next-update",
        || changed(|d| of_crl(d).next_update = "261121235959Z"),
    ),
    defect("snp.crl-fresh", "revocation-list-fetched-long-ago", || {
        changed(|d| d.chain.crl_obtained_at_secs = d.now_secs - 86401)
    }),
    defect("snp.crl-fresh", "revocation-list-of-the-future", || {
        changed(|d| d.chain.crl_obtained_at_secs = d.now_secs + 301)
    }),
    defect("snp.crl-fresh", "second-list-past-its-next-update", || {
        with_second_list(|list| list.next_update = "261121235959Z")
    }),
    defect("snp.not-revoked", "intermediate-revoked", || {
        changed(|d| of_crl(d).revoked.push(0x0001_0001))
    }),
    defect(
        "snp.not-revoked",
        "intermediate-revoked-in-the-second-list",
        || with_second_list(|list| list.revoked.push(0x0001_0001)),
    ),
    defect("snp.vek-product", "vcek-of-genoa", || {
        changed(|d| d.chain.vek.set_extension(PRODUCT_NAME, ia5("Genoa-B1")))
    }),
    defect("snp.chip-id", "vcek-of-another-chip", || {
        changed(|d| d.chain.vek.set_extension(HARDWARE_ID, vec![0xC2; 64]))
    }),
    defect("snp.chip-id", "vcek-without-a-chip", || {
        changed(|d| d.chain.vek.remove_extension(HARDWARE_ID))
    }),
    defect("snp.chip-id", "chip-id-masked", || {
        changed(|d| d.report.chip_id = [0; 64])
    }),
    defect("snp.chip-id", "turin-chip-id-with-a-tail", || {
        let mut draft = Draft::of(SnpProduct::Turin);
        draft.report.chip_id[8] = 1;
        draft
    }),
    defect("snp.csp-id", "vlek-of-no-cloud", || {
        let mut draft = Draft::vlek();
        draft.chain.vek.remove_extension(CSP_ID);
        draft
    }),
    defect("snp.reported-tcb", "vcek-of-another-tcb", || {
        changed(|d| d.chain.vek.set_extension(SNP_VERSION, integer(25)))
    }),
    defect("snp.reported-tcb", "vcek-without-a-component", || {
        changed(|d| d.chain.vek.remove_extension(SNP_VERSION))
    }),
    defect("snp.reported-tcb", "turin-vcek-of-another-fmc", || {
        let mut draft = Draft::of(SnpProduct::Turin);
        let fmc = "1.3.6.1.4.1.3704.1.3.9";
        draft.chain.vek.set_extension(fmc, integer(9));
        draft
    }),
    defect("snp.signature-form", "r-longer-than-48-bytes", || {
        changed(|d| d.report.spoil = Some(|raw| raw[0x2A0 + 48] = 1))
    }),
    defect("snp.signature-form", "s-longer-than-48-bytes", || {
        changed(|d| d.report.spoil = Some(|raw| raw[0x2A0 + 72 + 71] = 1))
    }),
    defect("snp.signature-form", "bytes-after-s", || {
        changed(|d| d.report.spoil = Some(|raw| raw[0x2A0 + 144] = 1))
    }),
    defect("snp.signature-form", "r-is-zero", || {
        changed(|d| d.report.spoil = Some(|raw| raw[0x2A0..0x2A0 + 48].fill(0)))
    }),
    defect("snp.signature-form", "s-beyond-the-order", || {
        changed(|d| d.report.spoil = Some(|raw| raw[0x2A0 + 72..0x2A0 + 120].fill(0xFF)))
    }),
    defect("snp.signature", "a-byte-changed-after-signing", || {
        changed(|d| d.report.spoil = Some(|raw| raw[0x10] ^= 1))
    }),
    defect("snp.reserved-fields", "bytes-at-4c", || {
        changed(|d| d.report.at_4c[3] = 1)
    }),
    defect("snp.reserved-fields", "bytes-at-18b", || {
        changed(|d| d.report.at_18b[20] = 1)
    }),
    defect("snp.reserved-fields", "bytes-at-208", || {
        changed(|d| d.report.at_208[0] = 1)
    }),
    defect("snp.reserved-fields", "byte-at-1eb", || {
        changed(|d| d.report.current_firmware[3] = 1)
    }),
    defect("snp.reserved-fields", "byte-at-1ef", || {
        changed(|d| d.report.committed_firmware[3] = 1)
    }),
    defect("snp.reserved-fields", "key-info-bit-5", || {
        changed(|d| d.report.key_info |= 1 << 5)
    }),
    defect("snp.reserved-fields", "policy-bit-26", || {
        changed(|d| d.report.policy |= 1 << 26)
    }),
    defect("snp.reserved-fields", "tcb-byte-2", || {
        changed(|d| d.report.launch_tcb[2] = 1)
    }),
    defect("snp.reserved-fields", "mitigations-in-version-4", || {
        changed(|d| {
            d.report.be_of_version(4);
            d.report.launch_mitigations = 1;
        })
    }),
    defect("snp.reserved-fields", "cpuid-in-version-2", || {
        changed(|d| {
            let cpuid = d.report.cpuid;
            d.report.be_of_version(2);
            d.report.cpuid = cpuid;
        })
    }),
    defect("snp.requester", "asked-for-by-the-host", || {
        changed(|d| {
            d.report.vmpl = u32::MAX;
            d.policy.waive("vmpl");
        })
    }),
    defect("snp.init-data", "init-data-that-was-not-launched", || {
        changed(|d| {
            let body = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n";
            d.expected.init_data = InitDataDigest::of("toml", body).ok();
        })
    }),
    defect("snp.report-data", "another-challenge", || {
        changed(|d| d.expected = Expected::of([8; 48]))
    }),
    defect("snp.report-data", "bytes-after-the-report-data", || {
        changed(|d| d.report.report_data[63] = 1)
    }),
];

fn of_crl(draft: &mut Draft) -> &mut crate::asn1::CrlDraft {
    let ChainDraft { crl, .. } = &mut draft.chain;
    crl.as_mut().expect("a good chain has a revocation list")
}

/// A VLEK's report, with a good list and another one.
fn with_second_list(change: impl FnOnce(&mut crate::asn1::CrlDraft)) -> Draft {
    let mut draft = Draft::vlek();
    let mut second = of_crl(&mut draft).clone();
    change(&mut second);
    draft.chain.further_crl = Some(second);
    draft
}
