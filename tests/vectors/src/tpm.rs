//! A TPM 2.0 alone: evidence as a TPM with a key over P-256 gives it, and what may be wrong with it.

mod certificates;
mod defects;

pub use certificates::ChainDraft;
pub use defects::{DEFECTS, Defect};

use crate::keys::EcKey;
use crate::snp::NOW_SECS;
use aws_lc_rs::digest::{SHA256, digest};
use nitride_verify::evidence::{PCR_COUNT, TpmQuote, tpm_name};
use nitride_verify::{
    Allegation, AttestationPolicy, Budget, Collateral, Expected, InitDataDigest, Refused,
    TpmAllegation, Verdict, judge_allegation,
};

/// What binds challenge and key.
pub const REPORT_DATA: [u8; 48] = [9; 48];
const INIT_DATA: &str = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\na = \"b\"\n";

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const ATTESTS: u32 = 0x0005_0072;

/// Everything that one judgement takes, before it is made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What the TPM says that it enforces of the key.
    pub attributes: u32,
    /// Certificates for the key, if any came.
    pub chain: Option<ChainDraft>,
    /// The quote's first four bytes.
    pub magic: u32,
    /// Its type.
    pub kind: u16,
    /// Its nonce.
    pub nonce: Vec<u8>,
    /// The bank that it is over.
    pub bank: u16,
    /// One bit a PCR.
    pub selected: u32,
    /// The PCRs as the TPM has them.
    pub pcrs: [[u8; 32]; PCR_COUNT],
    /// What was measured: into which PCR, and what.
    pub events: Vec<(u32, &'static [u8])>,
    /// What is done to the evidence after all is signed.
    pub spoil: Option<fn(&mut TpmAllegation)>,
    /// `[tpm]`, in which `{name}` is the key's name, `{key}` its digest and `{root}` that of the root.
    pub policy: String,
    /// What is expected.
    pub expected: Expected,
}

impl Draft {
    /// Evidence with init-data, by a key whose name is pinned, that passes every check.
    #[must_use]
    pub fn good() -> Self {
        let init_data = InitDataDigest::of("toml", INIT_DATA).expect("init-data of its form");
        let events: Vec<(u32, &'static [u8])> = vec![
            (0, b"firmware"),
            (4, b"loader"),
            (4, b"kernel"),
            (9, b"initrd"),
        ];
        let mut pcrs = [[0; 32]; PCR_COUNT];
        for (index, event) in &events {
            let pcr = pcrs.get_mut(*index as usize).expect("a PCR");
            *pcr = sha256(&[&pcr[..], &sha256(event)].concat());
        }
        pcrs[8] = sha256(&[&[0; 32], init_data.as_bytes()].concat());
        let pcr = |index: usize| base16ct::lower::encode_string(&pcrs[index]);
        let policy = format!(
            "attestation-keys = [\"{{name}}\"]\nattestation-key-roots = []\n\
             attestation-key-revocation = \"any\"\ninit-data = \"bound\"\n\
             event-log-pcrs = [0, 4]\nrequires-coverage = [\"firmware\", \"kernel\"]\n\
             [[tpm.reference]]\nname = \"image\"\n\
             pcrs = {{ 0 = \"{}\", 2 = \"{}\", 4 = \"{}\", 9 = \"{}\", 12 = \"{}\" }}\n\
             covers = [\"firmware\", \"kernel\", \"initrd\", \"command-line\"]\n",
            pcr(0),
            pcr(2),
            pcr(4),
            pcr(9),
            pcr(12)
        );
        Self {
            attributes: ATTESTS,
            chain: None,
            magic: 0xff54_4347,
            kind: 0x8018,
            nonce: REPORT_DATA.to_vec(),
            bank: 0x000b,
            selected: 0xff_ffff,
            pcrs,
            events,
            spoil: None,
            policy,
            expected: Expected {
                report_data: REPORT_DATA.into(),
                init_data: Some(init_data),
            },
        }
    }

    /// The same, by a key that is certified under a pinned root.
    #[must_use]
    pub fn certified() -> Self {
        let good = Self::good();
        Self {
            chain: Some(ChainDraft::good()),
            policy: good
                .policy
                .replace("keys = [\"{name}\"]", "keys = []")
                .replace("roots = []", "roots = [\"{root}\"]"),
            ..good
        }
    }

    /// Signs and encodes everything: the evidence, and the text of its policy.
    #[must_use]
    pub fn build(&self) -> (TpmAllegation, String) {
        let key = EcKey::p256().spki();
        let public = self.public_area(&key);
        let certificates = self.chain.as_ref().map(ChainDraft::sign);
        let certificates = certificates.unwrap_or_default();
        let root = certificates.last().map(|root| sha256(root));
        let message = self.statement();
        let hex = |bytes: &[u8]| base16ct::lower::encode_string(bytes);
        let policy = self
            .policy
            .replace("{name}", &hex(&tpm_name(&public)))
            .replace("{key}", &hex(&sha256(&key)))
            .replace("{root}", &hex(&root.unwrap_or_default()));
        let mut evidence = TpmAllegation {
            quote: TpmQuote {
                signature: sign(&message),
                message,
                pcrs: self.pcrs,
            },
            key,
            public_area: Some(public),
            certificates,
            event_log: Some(self.event_log()),
        };
        if let Some(spoil) = self.spoil {
            spoil(&mut evidence);
        }
        let head = "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tpm]\n";
        (evidence, format!("{head}{policy}"))
    }

    /// Judges it.
    ///
    /// # Errors
    ///
    /// As [`judge_allegation`].
    pub fn judge(&self) -> Result<Verdict, Refused> {
        self.judge_within(Budget::for_one_round())
    }

    /// Judges it within a budget.
    ///
    /// # Errors
    ///
    /// As [`judge_allegation`].
    pub fn judge_within(&self, mut budget: Budget) -> Result<Verdict, Refused> {
        let (evidence, policy) = self.build();
        let policy = AttestationPolicy::parse(&policy, "policy.toml");
        judge_allegation(
            Allegation::Tpm(Box::new(evidence)),
            &self.expected,
            &policy.expect("the policy is good"),
            &Collateral::default(),
            NOW_SECS,
            &mut budget,
        )
    }

    /// `TPMT_PUBLIC` of a key over P-256 that signs by ECDSA with SHA-256.
    fn public_area(&self, spki: &[u8]) -> Vec<u8> {
        let point = spki.split_at(spki.len().saturating_sub(64)).1;
        let (x, y) = point.split_at(32);
        let mut area = vec![0, 0x23, 0, 0x0b];
        area.extend(self.attributes.to_be_bytes());
        area.extend([0, 0]);
        area.extend([0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10]);
        sized(&mut area, x);
        sized(&mut area, y);
        area
    }

    fn statement(&self) -> Vec<u8> {
        let mut all = self.magic.to_be_bytes().to_vec();
        all.extend(self.kind.to_be_bytes());
        // No name, and the nonce.
        all.extend([0, 0]);
        sized(&mut all, &self.nonce);
        // Clock, counters, safe; firmware.
        all.extend([0; 25]);
        all.extend([0, 0, 0, 1]);
        all.extend(self.bank.to_be_bytes());
        let [one, two, three, _] = self.selected.to_le_bytes();
        all.extend([3, one, two, three]);
        let pcrs = self.pcrs.iter().enumerate();
        let pcrs = pcrs.filter(|(index, _)| self.selected >> index & 1 == 1);
        let pcrs: Vec<u8> = pcrs.flat_map(|(_, pcr)| *pcr).collect();
        sized(&mut all, &sha256(&pcrs));
        all
    }

    /// With the SHA-256 bank alone.
    fn event_log(&self) -> Vec<u8> {
        let mut spec_id = b"Spec ID Event03\0".to_vec();
        spec_id.extend([0, 0, 0, 0, 0, 2, 0, 2]);
        spec_id.extend([1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
        let mut log = vec![0, 0, 0, 0, 3, 0, 0, 0];
        log.extend([0; 20]);
        counted(&mut log, &spec_id);
        for (pcr, event) in &self.events {
            log.extend(pcr.to_le_bytes());
            log.extend([0x0d, 0, 0, 0, 1, 0, 0, 0, 0x0b, 0]);
            log.extend(sha256(event));
            counted(&mut log, event);
        }
        log
    }
}

/// `TPMT_SIGNATURE` by ECDSA with SHA-256.
fn sign(message: &[u8]) -> Vec<u8> {
    let signature = EcKey::p256().sign(message);
    let (r, s) = signature.split_at(32);
    let mut all = vec![0, 0x18, 0, 0x0b];
    sized(&mut all, r);
    sized(&mut all, s);
    all
}

fn sized(all: &mut Vec<u8>, part: &[u8]) {
    let len = u16::try_from(part.len()).expect("a short part");
    all.extend(len.to_be_bytes());
    all.extend(part);
}

fn counted(all: &mut Vec<u8>, part: &[u8]) {
    let len = u32::try_from(part.len()).expect("a short part");
    all.extend(len.to_le_bytes());
    all.extend(part);
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
