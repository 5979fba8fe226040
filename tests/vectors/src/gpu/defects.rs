//! What may be wrong with the report of a device: one defect each, and the check that has to find it.

use super::{BASIC_CONSTRAINTS, COMPOSITE_ID, Draft, authority, composite_id};

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

/// Every defect, by the number of its check.
pub const DEFECTS: &[Defect] = &[
    defect("gpu.request", "request-for-one-measurement", |d| {
        d.spoil = Some(|evidence| evidence.report[3] = 1);
    }),
    defect("gpu.request", "request-without-a-signature", |d| {
        d.spoil = Some(|evidence| evidence.report[2] = 0);
    }),
    defect("gpu.answer", "byte-after-the-signature", |d| {
        d.spoil = Some(|evidence| evidence.report.push(0));
    }),
    defect("gpu.answer", "answer-that-is-an-error", |d| {
        d.spoil = Some(|evidence| evidence.report[38] = 0x7f);
    }),
    defect("gpu.answer", "measurement-twice", |d| {
        d.measurements.push((2, [3; 48]));
    }),
    defect("gpu.opaque-data", "driver-version-twice", |d| {
        d.opaque.push((3, b"590.12\0".to_vec()));
    }),
    defect("gpu.opaque-data", "driver-version-for-a-terminal", |d| {
        d.opaque[1].1 = b"\x1b[2J".to_vec();
    }),
    defect("gpu.chain", "chain-without-a-root", |d| {
        d.spoil = Some(|evidence| {
            let text = String::from_utf8_lossy(&evidence.chain).into_owned();
            let last = text.rfind("-----BEGIN").expect("a certificate");
            evidence.chain.truncate(last);
        });
    }),
    defect("gpu.chain", "text-after-the-chain", |d| {
        d.spoil = Some(|evidence| evidence.chain.extend(b"a"));
    }),
    defect("gpu.root-pinned", "root-of-somebody", |d| {
        d.pins_another_root = true;
    }),
    defect("gpu.chain-form", "device-that-is-no-authority", |d| {
        d.chain[1].remove_extension(BASIC_CONSTRAINTS);
    }),
    defect("gpu.chain-form", "firmware-that-is-an-authority", |d| {
        d.chain[0]
            .extensions
            .push((BASIC_CONSTRAINTS, true, authority()));
    }),
    defect("gpu.chain-form", "critical-extension-of-nobody", |d| {
        d.chain[2].extensions.push(("1.2.3.4", true, vec![5, 0]));
    }),
    defect("gpu.chain-signatures", "provisioner-by-another", |d| {
        d.signers[2] = 5;
    }),
    defect("gpu.chain-signatures", "issuer-of-another-name", |d| {
        d.chain[0].issuer = "GH100 A01 GSP BROM 2".to_owned();
    }),
    defect("gpu.chain-dates", "expired", |d| {
        d.chain[1].not_after = "211231235959Z";
    }),
    defect("gpu.signature", "report-changed-after-signing", |d| {
        // The last byte of the first measurement.
        d.spoil = Some(|evidence| evidence.report[37 + 8 + 7 + 47] ^= 1);
    }),
    defect("gpu.signature", "report-signed-by-the-device", |d| {
        d.report_signer = 1;
    }),
    defect("gpu.nonce", "another-challenge", |d| d.nonce[31] ^= 1),
    defect("gpu.firmware-id", "key-of-other-firmware", |d| {
        d.chain[0].set_extension(COMPOSITE_ID, composite_id(&[3; 48]));
    }),
    defect("gpu.firmware-id", "key-of-no-firmware", |d| {
        d.chain[0].remove_extension(COMPOSITE_ID);
    }),
    defect("gpu.once", "one-device-plays-two", |d| d.times = 2),
    defect("gpu.model", "another-model", |d| {
        want(d, "\"GH100\"", "\"GB100\"");
    }),
    defect("gpu.device-id", "another-device", |d| {
        want(d, "[\"11\"]", "[\"12\"]");
    }),
    defect("gpu.vbios", "another-vbios", |d| {
        want(d, "96.00.9F.00.01", "96.00.9F.00.02");
    }),
    defect("gpu.driver", "another-driver", |d| {
        want(d, "\"550.90.07\"", "\"550.90.08\"");
    }),
    defect("gpu.driver", "driver-not-stated", |d| {
        d.opaque.remove(1);
    }),
    defect("gpu.firmware-wanted", "another-firmware", |d| {
        want(d, "firmware-ids = [\"0404", "firmware-ids = [\"0504");
    }),
    defect("gpu.firmware-wanted", "firmware-not-stated", |d| {
        d.opaque.remove(2);
    }),
    defect("gpu.measurements", "another-measurement", |d| {
        d.measurements[1].1[0] ^= 1;
    }),
    defect("gpu.measurements", "measurement-not-taken", |d| {
        d.measurements.pop();
    }),
    defect("gpu.rim-signature", "rim-that-nobody-checks", |d| {
        want(d, "rim-signature = \"any\"", "rim-signature = \"checked\"");
    }),
    defect("gpu.revocation", "revocation-that-nobody-checks", |d| {
        want(d, "revocation = \"any\"", "revocation = \"checked\"");
    }),
];
