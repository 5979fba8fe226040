//! NVIDIA devices beside a machine: a report under a chain in the shape of NVIDIA's, and what may be
//! wrong with it. The machine is `sample`, which is judged elsewhere.

mod defects;

pub use defects::{DEFECTS, Defect};

use crate::asn1::{CertificateDraft, integer, oid, sequence, tlv};
use crate::keys::{EcKey, Salt};
use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64, Encoding};
use nitride_verify::{
    AttestationPolicy, Budget, Collateral, Composite, CompositeExpected, DeviceNonce, Expected,
    GpuAllegation, Refused, SampleAllegation, Tee, UnverifiedEvidence, judge_composite,
};
use std::fmt::Write;

/// 2026-11-22.
pub const NOW_SECS: u64 = 1_795_305_600;
/// What binds challenge and key to each device.
pub const DEVICE_DATA: [u8; 48] = [6; 48];
/// What binds them to the machine.
pub const REPORT_DATA: [u8; 48] = [5; 48];
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const COMPOSITE_ID: &str = "2.23.133.5.4.1";
/// The firmware whose key signs.
const FIRMWARE_ID: [u8; 48] = [4; 48];
const NAMES: [&str; 5] = [
    "GH100 A01 GSP FMC LF",
    "GH100 A01 GSP BROM",
    "Test GH100 Provisioner",
    "Test GH100 Identity",
    "Test Device Identity CA",
];

/// Everything that one judgement takes, before it is made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// From the firmware's certificate to the root.
    pub chain: [CertificateDraft; 5],
    /// Which of the six keys signs each of them.
    pub signers: [usize; 5],
    /// Which of them signs the report.
    pub report_signer: usize,
    /// The request's nonce.
    pub nonce: [u8; 32],
    /// The measurements by their index.
    pub measurements: Vec<(u8, [u8; 48])>,
    /// The maker's fields by their type.
    pub opaque: Vec<(u16, Vec<u8>)>,
    /// What is done to the evidence after all is signed.
    pub spoil: Option<fn(&mut GpuAllegation)>,
    /// How often the device is in the list.
    pub times: usize,
    /// Whether the policy pins another root.
    pub pins_another_root: bool,
    /// `[gpu]`.
    pub policy: String,
    /// When it is judged.
    pub now_secs: u64,
}

impl Draft {
    /// Evidence that passes every check.
    #[must_use]
    pub fn good() -> Self {
        let mut policy = "min-devices = 1\nmodels = [\"GH100\"]\ndevice-ids = [\"11\"]\n\
            vbios-versions = [\"96.00.9F.00.01\"]\ndriver-versions = [\"550.90.07\"]\n\
            firmware-ids = [\"{firmware}\"]\nmeasurements = \"reference\"\n\
            rim-signature = \"any\"\nrevocation = \"any\"\n"
            .replace("{firmware}", &base16ct::lower::encode_string(&FIRMWARE_ID));
        write!(
            policy,
            "[[gpu.reference]]\nname = \"driver\"\nmeasurements = {{ 2 = \"{}\" }}\n",
            "02".repeat(48)
        )
        .expect("write to a string");
        Self {
            chain: std::array::from_fn(certificate),
            signers: [1, 2, 3, 4, 4],
            report_signer: 0,
            nonce: [6; 32],
            measurements: vec![(1, [1; 48]), (2, [2; 48])],
            opaque: vec![
                (6, b"\x00\x9f\x00\x96\x01\x00\x00\x00".to_vec()),
                (3, b"550.90.07\0".to_vec()),
                (20, FIRMWARE_ID.to_vec()),
            ],
            spoil: None,
            times: 1,
            pins_another_root: false,
            policy,
            now_secs: NOW_SECS,
        }
    }

    /// Signs and encodes everything.
    #[must_use]
    pub fn build(&self) -> Made {
        // A signature is drawn anew each time, and the policy pins the root by its bytes.
        let chain: Vec<Vec<u8>> = self
            .chain
            .iter()
            .zip(self.signers)
            .map(|(certificate, signer)| certificate.sign_p384(EcKey::one_of_six(signer)))
            .collect();
        let root = chain.last().expect("a chain of five");
        let mut pin = digest(&SHA256, root).as_ref().to_vec();
        if self.pins_another_root {
            pin.reverse();
        }
        let policy = format!(
            "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = [\"{}\"]\n\
             [sample]\nsvn = [\"1\"]\n[gpu]\n{}",
            base16ct::lower::encode_string(&pin),
            self.policy
        );
        let mut evidence = GpuAllegation {
            report: self.report(),
            chain: pem(&chain).into_bytes(),
        };
        if let Some(spoil) = self.spoil {
            spoil(&mut evidence);
        }
        Made {
            evidence,
            policy,
            now_secs: self.now_secs,
        }
    }

    /// Judges it beside a machine.
    ///
    /// # Errors
    ///
    /// As [`judge_composite`].
    pub fn judge(&self) -> Result<Composite, Refused> {
        let made = self.build();
        let devices = vec![("HOPPER", made.evidence.clone()); self.times];
        let additional = match devices.as_slice() {
            [] => String::new(),
            devices => GpuAllegation::to_kbs_form(devices),
        };
        made.judge(&additional)
    }

    /// The report alone, signed over the nonce.
    #[must_use]
    pub fn report(&self) -> Vec<u8> {
        let mut report = vec![0x11, 0xe0, 1, 0xff];
        report.extend(self.nonce);
        report.push(0);
        let blocks = u8::try_from(self.measurements.len()).expect("few measurements");
        let mut record = Vec::new();
        for (index, value) in &self.measurements {
            record.extend([*index, 1, 51, 0, 1, 48, 0]);
            record.extend(value);
        }
        let [low, middle, high, _] = u32::try_from(record.len())
            .expect("a short record")
            .to_le_bytes();
        report.extend([0x11, 0x60, 0, 0, blocks, low, middle, high]);
        report.extend(record);
        report.extend([9; 32]);
        let mut opaque = Vec::new();
        for (kind, value) in &self.opaque {
            opaque.extend(kind.to_le_bytes());
            sized(&mut opaque, value);
        }
        sized(&mut report, &opaque);
        let signature = EcKey::one_of_six(self.report_signer).sign(&report);
        report.extend(signature);
        report
    }
}

/// A draft, signed.
#[derive(Debug, Clone)]
pub struct Made {
    /// The report and its chain.
    pub evidence: GpuAllegation,
    /// The policy's file.
    pub policy: String,
    /// When it is judged.
    pub now_secs: u64,
}

impl Made {
    /// Judges `additional` as the evidence beside a machine that is good.
    ///
    /// # Errors
    ///
    /// As [`judge_composite`].
    pub fn judge(&self, additional: &str) -> Result<Composite, Refused> {
        let primary = SampleAllegation {
            svn: "1".to_owned(),
            report_data: REPORT_DATA,
        };
        let evidence = UnverifiedEvidence {
            tee: Tee::Sample,
            primary: &primary.to_kbs_form(),
            additional,
        };
        let expected = CompositeExpected {
            primary: Expected::of(REPORT_DATA),
            device_nonce: DeviceNonce::of(&DEVICE_DATA),
        };
        let policy = AttestationPolicy::parse(&self.policy, "policy.toml");
        judge_composite(
            &evidence,
            &expected,
            &policy.expect("the policy is good"),
            &Collateral::default(),
            self.now_secs,
            &mut Budget::for_one_round(),
        )
    }
}

fn certificate(place: usize) -> CertificateDraft {
    let is_authority = place > 0;
    let usage: &[u8] = if is_authority { &[2, 4] } else { &[7, 0x80] };
    let mut extensions = vec![(KEY_USAGE, true, tlv(0x03, usage))];
    if is_authority {
        extensions.push((BASIC_CONSTRAINTS, true, authority()));
    } else {
        extensions.push((COMPOSITE_ID, false, composite_id(&FIRMWARE_ID)));
    }
    let issuer = NAMES.get(place + 1).or(NAMES.last());
    CertificateDraft {
        version: 3,
        serial: 0x10 + u64::try_from(place).expect("one of five"),
        issuer: (*issuer.expect("a name")).to_owned(),
        subject: NAMES[place].to_owned(),
        not_before: "201017000000Z",
        not_after: "491231235959Z",
        spki: EcKey::one_of_six(place).spki(),
        extensions,
        salt: Salt::Len48,
        spoil_signature: false,
    }
}

fn authority() -> Vec<u8> {
    sequence(&[&tlv(0x01, &[0xff])])
}

fn composite_id(firmware: &[u8]) -> Vec<u8> {
    let sha384 = oid("2.16.840.1.101.3.4.2.2");
    sequence(&[&integer(1), &sequence(&[&sha384, &tlv(0x04, firmware)])])
}

fn sized(all: &mut Vec<u8>, part: &[u8]) {
    let len = u16::try_from(part.len()).expect("a short part");
    all.extend(len.to_le_bytes());
    all.extend(part);
}

/// Certificates in DER, one behind the other in PEM.
fn pem(chain: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for der in chain {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let body = Base64::encode_string(der);
        for line in body.as_bytes().chunks(64) {
            text.extend(line.iter().copied().map(char::from));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
