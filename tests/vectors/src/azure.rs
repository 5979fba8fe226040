//! Azure's confidential VMs: evidence as the paravisor's virtual TPM gives it, over an SEV-SNP report
//! of the test PKI, and what may be wrong with it.

mod defects;

pub use defects::{DEFECTS, Defect};

use crate::snp;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use nitride_verify::evidence::{PCR_COUNT, TpmQuote};
use nitride_verify::{
    Allegation, AttestationPolicy, AzureAllegation, AzureHardware, Budget, Collateral, Expected,
    InitDataDigest, Refused, Verdict, judge_allegation,
};
use std::fmt::Write;
use std::sync::OnceLock;

/// What binds challenge and key.
pub const REPORT_DATA: [u8; 48] = [9; 48];
const INIT_DATA: &str = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\na = \"b\"\n";

/// Everything that one judgement takes, before it is made.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The hardware below. Its report binds the runtime data.
    pub hardware: snp::Draft,
    /// 1 or 2.
    pub version: u32,
    /// The paravisor's JSON, in which `{n}` is the modulus of the attestation key and `{user-data}`
    /// what the guest wrote.
    pub runtime: String,
    /// What the guest wrote, 64 bytes.
    pub user_data: Vec<u8>,
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
    /// What is done to the evidence after all is signed.
    pub spoil: Option<fn(&mut AzureAllegation)>,
    /// `[azure]` up to its hardware's sections.
    pub policy: String,
    /// What is expected.
    pub expected: Expected,
}

impl Draft {
    /// Evidence of version 2 with init-data that passes every check.
    #[must_use]
    pub fn good() -> Self {
        let init_data = InitDataDigest::of("toml", INIT_DATA).expect("init-data of its form");
        let mut pcrs: [[u8; 32]; PCR_COUNT] =
            std::array::from_fn(|index| [u8::try_from(index).unwrap_or(0xff); 32]);
        pcrs[8].copy_from_slice(&sha256(&[&[0; 32], init_data.as_bytes()].concat()));
        let mut policy = "user-data = \"bound\"\ninit-data = \"bound\"\nsecure-boot = true\n\
            console = false\nvm-ids = [\"A\"]\nrequires-coverage = [\"kernel\"]\n"
            .to_owned();
        let pcr = |index: usize| base16ct::lower::encode_string(&pcrs[index]);
        write!(
            policy,
            "[[azure.reference]]\nname = \"image\"\n\
             pcrs = {{ 2 = \"{}\", 4 = \"{}\", 9 = \"{}\", 12 = \"{}\" }}\n\
             covers = [\"kernel\", \"initrd\", \"command-line\"]\n",
            pcr(2),
            pcr(4),
            pcr(9),
            pcr(12)
        )
        .expect("write to a string");
        Self {
            hardware: snp::Draft::good(),
            version: 2,
            runtime: "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\",\"e\":\"AQAB\",\
                \"n\":\"{n}\"}],\"vm-configuration\":{\"secure-boot\":true,\
                \"console-enabled\":false,\"vmUniqueId\":\"A\"},\"user-data\":\"{user-data}\"}"
                .to_owned(),
            user_data: [&REPORT_DATA[..], &[0; 16]].concat(),
            magic: 0xff54_4347,
            kind: 0x8018,
            nonce: REPORT_DATA.to_vec(),
            bank: 0x000b,
            selected: 0xff_ffff,
            pcrs,
            spoil: None,
            policy,
            expected: Expected {
                report_data: REPORT_DATA.into(),
                init_data: Some(init_data),
            },
        }
    }

    /// Signs, encodes and judges everything.
    ///
    /// # Errors
    ///
    /// As [`judge_allegation`].
    pub fn judge(&self) -> Result<Verdict, Refused> {
        let runtime = self.runtime.replace("{n}", &modulus()).replace(
            "{user-data}",
            &base16ct::lower::encode_string(&self.user_data),
        );
        let mut hardware = self.hardware.clone();
        hardware.report.report_data = [0; 64];
        hardware.report.report_data[..32].copy_from_slice(&sha256(runtime.as_bytes()));
        let hardware = hardware.build();
        let certificates = &hardware.allegation.certificates;
        let message = self.statement();
        let mut evidence = AzureAllegation {
            version: self.version,
            quote: TpmQuote {
                signature: sign(&message),
                message,
                pcrs: self.pcrs,
            },
            hcl_report: hcl(&hardware.allegation.report, &runtime),
            hardware: AzureHardware::Snp {
                vcek: certificates.vcek.clone().expect("the draft has a VCEK"),
            },
        };
        if let Some(spoil) = self.spoil {
            spoil(&mut evidence);
        }
        let policy = self.policy_over(&hardware.policy);
        let policy = AttestationPolicy::parse(&policy, "policy.toml");
        judge_allegation(
            Allegation::Azure(Box::new(evidence)),
            &self.expected,
            &policy.expect("the policy is good"),
            &Collateral {
                amd: std::slice::from_ref(&hardware.collateral),
                ..Collateral::default()
            },
            hardware.now_secs,
            &mut Budget::for_one_round(),
        )
    }

    /// The policy's file, with what another one says of SEV-SNP as what is wanted below the paravisor.
    #[must_use]
    pub fn policy_over(&self, hardware: &str) -> String {
        let (head, below) = hardware.split_once("[snp]").expect("a section");
        let below = below.replace("[snp.", "[azure.snp.");
        format!("{head}[azure]\n{}[azure.snp]{below}", self.policy)
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
}

/// The paravisor's report over an SEV-SNP report.
fn hcl(report: &[u8], runtime: &str) -> Vec<u8> {
    let len = u32::try_from(runtime.len()).expect("a short text");
    let mut hcl = b"HCLA".to_vec();
    let words = |hcl: &mut Vec<u8>, words: &[u32]| {
        hcl.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    words(&mut hcl, &[2, len.saturating_add(0x4d4), 2, 0, 0, 0, 0]);
    hcl.extend(report);
    words(&mut hcl, &[len.saturating_add(20), 1, 2, 1, len]);
    hcl.extend(runtime.as_bytes());
    hcl
}

fn key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("draw an RSA key"))
}

fn sign(message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key().public_modulus_len()];
    key()
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            message,
            &mut signature,
        )
        .expect("sign with RSA");
    signature
}

/// In base64url: the 256 bytes before the exponent of 3 bytes and its header of 2.
fn modulus() -> String {
    let der: PublicKeyX509Der<'_> = key().public_key().as_der().expect("encode a key");
    let der = der.as_ref();
    let end = der.len().saturating_sub(5);
    let modulus = der.get(end.saturating_sub(256)..end);
    base64url(modulus.expect("a key of 2048 bits"))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=three.len()].copy_from_slice(three);
        let word = u32::from_be_bytes(word);
        for digit in 0..=three.len() {
            let index = word >> (18 - 6 * digit) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn sized(all: &mut Vec<u8>, part: &[u8]) {
    let len = u16::try_from(part.len()).expect("a short part");
    all.extend(len.to_be_bytes());
    all.extend(part);
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
