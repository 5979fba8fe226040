//! What may be wrong with evidence of a TPM alone: one defect each, and the check that has to find it.

use super::certificates::{EXTENDED_KEY_USAGE, KEY_USAGE};
use super::{ChainDraft, Draft};
use crate::asn1::{oid, sequence, tlv};
use crate::keys::EcKey;
use nitride_verify::evidence::InitDataDigest;

/// One thing that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// The check that fails, and no other.
    pub check: &'static str,
    /// What is wrong, as the vector is called.
    pub name: &'static str,
    good: fn() -> Draft,
    make: fn(&mut Draft),
}

impl Defect {
    /// Good evidence with this defect.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let mut draft = (self.good)();
        (self.make)(&mut draft);
        draft
    }
}

const fn defect(check: &'static str, name: &'static str, make: fn(&mut Draft)) -> Defect {
    Defect {
        check,
        name,
        good: Draft::good,
        make,
    }
}

/// Of evidence whose key is certified.
const fn certified(check: &'static str, name: &'static str, make: fn(&mut Draft)) -> Defect {
    Defect {
        check,
        name,
        good: Draft::certified,
        make,
    }
}

/// Changes the policy, in which `from` stands.
fn want(draft: &mut Draft, from: &str, to: &str) {
    assert!(draft.policy.contains(from), "{from}");
    draft.policy = draft.policy.replace(from, to);
}

fn chain(draft: &mut Draft) -> &mut ChainDraft {
    draft.chain.as_mut().expect("the draft has certificates")
}

/// Every defect, by the number of its check.
pub const DEFECTS: &[Defect] = &[
    defect("tpm.ak-area", "area-cut-short", |d| {
        d.spoil = Some(|evidence| {
            evidence.public_area.as_mut().map(Vec::pop);
        });
    }),
    defect("tpm.ak-area", "area-of-another-key", |d| {
        d.spoil = Some(|evidence| {
            if let Some(last) = evidence.public_area.iter_mut().flatten().last() {
                *last ^= 1;
            }
        });
    }),
    defect("tpm.ak-attributes", "key-not-restricted", |d| {
        d.attributes &= !(1 << 16);
    }),
    defect("tpm.ak-attributes", "key-that-may-leave-its-tpm", |d| {
        d.attributes &= !(1 << 1);
    }),
    defect("tpm.ak-attributes", "key-made-elsewhere", |d| {
        d.attributes &= !(1 << 5);
    }),
    defect("tpm.ak-bound", "key-not-pinned", |d| {
        want(d, "\"{name}\"", "");
    }),
    defect("tpm.ak-bound", "name-pinned-and-not-shown", |d| {
        d.spoil = Some(|evidence| evidence.public_area = None);
    }),
    certified("tpm.ak-bound", "certified-without-its-area", |d| {
        d.spoil = Some(|evidence| evidence.public_area = None);
    }),
    certified("tpm.ak-bound", "root-not-pinned", |d| {
        want(d, "\"{root}\"", "");
    }),
    certified("tpm.ak-bound", "root-that-certifies-itself", |d| {
        d.spoil = Some(|evidence| {
            evidence.certificates.drain(..2);
        });
    }),
    certified("tpm.ak-chain", "certificate-changed", |d| {
        chain(d).leaf.spoil_signature = true;
    }),
    certified("tpm.ak-chain", "intermediate-changed", |d| {
        chain(d).intermediate.spoil_signature = true;
    }),
    certified("tpm.ak-chain", "certificate-of-another-issuer", |d| {
        "TPM key".clone_into(&mut chain(d).leaf.issuer);
    }),
    certified("tpm.ak-authorities", "intermediate-no-authority", |d| {
        chain(d).intermediate.extensions.remove(0);
    }),
    certified("tpm.ak-authorities", "intermediate-may-not-certify", |d| {
        chain(d).intermediate.extensions.pop();
    }),
    certified("tpm.ak-authorities", "critical-extension-not-known", |d| {
        let unknown = ("1.2.3.4", true, vec![5, 0]);
        chain(d).leaf.extensions.push(unknown);
    }),
    certified("tpm.ak-dates", "certificate-expired", |d| {
        chain(d).leaf.not_after = "260101000000Z";
    }),
    certified("tpm.ak-certificate", "certificate-of-another-key", |d| {
        chain(d).leaf.spki = EcKey::p384().spki();
    }),
    certified("tpm.ak-certificate", "certificate-for-encryption", |d| {
        // keyEncipherment.
        chain(d).leaf.extensions = vec![(KEY_USAGE, true, tlv(0x03, &[5, 0b0010_0000]))];
    }),
    certified("tpm.ak-certificate", "certificate-for-a-server", |d| {
        // id-kp-serverAuth.
        let usage = sequence(&[&oid("1.3.6.1.5.5.7.3.1")]);
        chain(d)
            .leaf
            .extensions
            .push((EXTENDED_KEY_USAGE, false, usage));
    }),
    defect("tpm.quote-magic", "statement-of-no-tpm", |d| d.magic = 0),
    defect("tpm.quote-type", "statement-of-a-clock", |d| {
        d.kind = 0x8019;
    }),
    defect("tpm.quote-form", "byte-after-the-quote", |d| {
        d.spoil = Some(|evidence| evidence.quote.message.push(0));
    }),
    defect("tpm.quote-signature", "nonce-changed-after-signing", |d| {
        d.spoil = Some(|evidence| evidence.quote.message[10] ^= 1);
    }),
    defect("tpm.quote-signature", "signature-of-another-scheme", |d| {
        d.spoil = Some(|evidence| evidence.quote.signature[1] = 0x14);
    }),
    defect("tpm.quote-nonce", "quote-of-another-challenge", |d| {
        d.nonce = vec![8; 48];
    }),
    defect("tpm.quote-nonce", "nonce-padded-with-something", |d| {
        d.nonce.extend([1; 16]);
    }),
    defect("tpm.quote-nonce", "nonce-padded-too-short", |d| {
        d.nonce.push(0);
    }),
    defect("tpm.pcr-selection", "quote-over-the-sha-1-bank", |d| {
        d.bank = 4;
    }),
    defect("tpm.pcr-selection", "quote-over-nothing", |d| {
        d.selected = 0;
    }),
    defect("tpm.pcr-digest", "pcr-changed-after-signing", |d| {
        d.spoil = Some(|evidence| evidence.quote.pcrs[14][0] ^= 1);
    }),
    defect("tpm.init-data", "init-data-not-measured", |d| {
        let body = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n";
        d.expected.init_data = InitDataDigest::of("toml", body).ok();
    }),
    defect("tpm.init-data-wanted", "no-init-data", |d| {
        d.expected.init_data = None;
    }),
    defect("tpm.event-log", "no-event-log", |d| {
        d.spoil = Some(|evidence| evidence.event_log = None);
    }),
    defect("tpm.event-log", "event-left-out", |d| {
        d.events.remove(1);
    }),
    defect("tpm.event-log", "events-in-another-order", |d| {
        d.events.swap(1, 2);
    }),
    defect("tpm.event-log", "log-of-a-pcr-not-quoted", |d| {
        // Into 5 nothing was measured, and no reference value states it.
        want(d, "[0, 4]", "[0, 4, 5]");
        d.selected &= !(1 << 5);
    }),
    defect("tpm.pcrs", "another-boot", |d| d.pcrs[9][0] ^= 1),
    defect("tpm.pcrs", "driver-from-elsewhere", |d| {
        d.pcrs[2][0] ^= 1;
    }),
    defect("tpm.pcrs", "other-firmware", |d| {
        // As the log has it, so that nothing else tells.
        d.pcrs[0] = [0; 32];
        d.events.remove(0);
    }),
    defect("tpm.pcrs", "boot-not-quoted", |d| d.selected &= !(1 << 9)),
    defect("tpm.pcrs", "boot-not-covered", |d| {
        want(d, "\"kernel\"]\n[[", "\"kernel\", \"disk\"]\n[[");
    }),
];
