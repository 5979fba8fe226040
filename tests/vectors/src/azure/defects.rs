//! What may be wrong with evidence from Azure: one defect each, and the check that has to find it.
//! What may be wrong with the hardware's report, its own defects show.

use super::Draft;
use nitride_verify::{AzureHardware, evidence::InitDataDigest};

/// One thing that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// The check that fails, and no other.
    pub check: &'static str,
    /// What is wrong, as the vector is called.
    pub name: &'static str,
    /// Does it.
    pub make: fn(&mut Draft),
}

const fn defect(check: &'static str, name: &'static str, make: fn(&mut Draft)) -> Defect {
    Defect { check, name, make }
}

/// Changes the policy, in which `from` stands.
fn want(draft: &mut Draft, from: &str, to: &str) {
    assert!(draft.policy.contains(from), "{from}");
    draft.policy = draft.policy.replace(from, to);
}

fn say(draft: &mut Draft, from: &str, to: &str) {
    assert!(draft.runtime.contains(from), "{from}");
    draft.runtime = draft.runtime.replace(from, to);
}

/// Every defect, by the number of its check.
pub const DEFECTS: &[Defect] = &[
    defect("az-snp.hcl-report", "hcl-report-cut-short", |d| {
        d.spoil = Some(|evidence| {
            evidence.hcl_report.pop();
        });
    }),
    defect("az-snp.hcl-report", "hcl-report-of-tdx", |d| {
        d.spoil = Some(|evidence| evidence.hcl_report[0x4c8] = 4);
    }),
    defect("az-snp.runtime-data", "runtime-data-changed", |d| {
        d.spoil = Some(|evidence| {
            let last = evidence.hcl_report.len() - 3;
            evidence.hcl_report[last] ^= 1;
        });
    }),
    defect("az-snp.paravisor", "report-asked-for-by-the-guest", |d| {
        d.hardware.report.vmpl = 2;
    }),
    defect("az-snp.attestation-key", "no-attestation-key", |d| {
        say(d, "HCLAkPub", "HCLEkPub");
    }),
    defect("az-snp.quote-magic", "statement-of-no-tpm", |d| d.magic = 0),
    defect("az-snp.quote-type", "statement-of-a-clock", |d| {
        d.kind = 0x8019;
    }),
    defect("az-snp.quote-form", "byte-after-the-quote", |d| {
        d.spoil = Some(|evidence| evidence.quote.message.push(0));
    }),
    defect(
        "az-snp.quote-signature",
        "nonce-changed-after-signing",
        |d| {
            d.spoil = Some(|evidence| evidence.quote.message[10] ^= 1);
        },
    ),
    defect("az-snp.quote-signature", "quote-by-another-key", |d| {
        // Another modulus, and the hardware vouches for it.
        say(d, "{n}", &format!("0{}", "w".repeat(341)));
    }),
    defect("az-snp.quote-nonce", "quote-of-another-challenge", |d| {
        d.nonce = vec![8; 48];
    }),
    defect("az-snp.quote-nonce", "nonce-with-a-tail", |d| {
        d.nonce.push(0);
    }),
    defect("az-snp.pcr-selection", "quote-over-the-sha-1-bank", |d| {
        d.bank = 4;
    }),
    defect("az-snp.pcr-selection", "quote-over-nothing", |d| {
        d.selected = 0;
    }),
    defect("az-snp.pcr-digest", "pcr-changed-after-signing", |d| {
        d.spoil = Some(|evidence| evidence.quote.pcrs[14][0] ^= 1);
    }),
    defect("az-snp.user-data", "user-data-of-another-challenge", |d| {
        d.user_data[0] ^= 1;
    }),
    defect("az-snp.user-data-wanted", "evidence-of-version-1", |d| {
        d.version = 1;
    }),
    defect("az-snp.init-data", "init-data-not-measured", |d| {
        let body = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n";
        d.expected.init_data = InitDataDigest::of("toml", body).ok();
    }),
    defect("az-snp.init-data", "init-data-in-a-pcr-not-quoted", |d| {
        d.selected &= !(1 << 8);
    }),
    defect("az-snp.init-data-wanted", "no-init-data", |d| {
        d.expected.init_data = None;
    }),
    defect("az-snp.secure-boot", "secure-boot-off", |d| {
        say(d, "\"secure-boot\":true", "\"secure-boot\":false");
    }),
    defect("az-snp.secure-boot", "secure-boot-not-said", |d| {
        say(d, "\"secure-boot\":true,", "");
    }),
    defect("az-snp.console", "console-enabled", |d| {
        say(d, "\"console-enabled\":false", "\"console-enabled\":true");
    }),
    defect("az-snp.vm-id", "another-vm", |d| say(d, "\"A\"", "\"B\"")),
    defect("az-snp.pcrs", "another-boot", |d| d.pcrs[4][0] ^= 1),
    defect("az-snp.pcrs", "driver-from-elsewhere", |d| {
        d.pcrs[2][0] ^= 1;
    }),
    defect("az-snp.pcrs", "boot-not-quoted", |d| {
        d.selected &= !(1 << 9);
    }),
    defect("az-snp.pcrs", "boot-not-covered", |d| {
        want(d, "[\"kernel\"]\n[[", "[\"kernel\", \"disk\"]\n[[");
    }),
    // The hardware below is judged too, under its own names.
    defect("snp.vek-signature", "vcek-changed", |d| {
        d.spoil = Some(|evidence| {
            if let AzureHardware::Snp { vcek } = &mut evidence.hardware {
                let last = vcek.len() - 1;
                vcek[last] ^= 1;
            }
        });
    }),
    defect("snp.measurement", "another-paravisor", |d| {
        d.hardware.report.measurement[0] ^= 1;
    }),
    defect("snp.debug", "paravisor-open-to-the-host", |d| {
        d.hardware.report.policy |= 1 << 19;
    }),
];
