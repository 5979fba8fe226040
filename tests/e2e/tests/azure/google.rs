//! Google's virtual TPM, which keeps a template of its attestation key, and a certificate of that.

use crate::paravisor::port_of;
use crate::relay;
use crate::tpm_commands::{AK_ECC, Tpm, measured_once};
use anyhow::{Context, Result, ensure};
use nitride_evidence::tpm::{QuoteKey, TpmQuoteSettings};
use nitride_evidence::{Collector, EventLog, KernelPaths, Settings};
use nitride_support::folder::Folder;
use nitride_support::swtpm::Swtpm;
use nitride_verify::{
    AttestationPolicy, Budget, Collateral, Expected, Tee, UnverifiedEvidence, judge,
};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use std::time::{SystemTime, UNIX_EPOCH};

const REPORT_DATA: [u8; 48] = [9; 48];
const CERTIFICATE: u32 = 0x01c1_0002;
const TEMPLATE: u32 = 0x01c1_0003;
/// Google's indices are longer than what is in them.
const FILL_LEN: usize = 100;

/// The point of a key over P-256.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A root, and its certificate of the key; both in DER.
fn certificates(point: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>)> {
    let key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_der = root.self_signed(&key)?.der().to_vec();
    let mut leaf = CertificateParams::default();
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = leaf.signed_by(&Point(point), &Issuer::new(root, key))?;
    Ok((root_der, leaf.der().to_vec()))
}

#[test]
fn a_key_of_googles_is_made_from_its_template_and_certified() -> Result<()> {
    let folder = Folder::new()?;
    let swtpm = Swtpm::start(&folder)?;
    let tcti = relay::start(port_of(&swtpm)?, |_, _| Ok(()))?;
    let paths = KernelPaths {
        tpm: tcti.clone(),
        ..KernelPaths::of_this_machine()
    };
    let looked = || {
        let found = nitride_evidence::detect(&paths);
        let found = found.iter().map(ToString::to_string);
        found.collect::<Vec<_>>().join("\n")
    };
    ensure!(looked().contains(": not Google's"), "{}", looked());
    let root = folder.join("root.der");
    let settings = TpmQuoteSettings::new(
        &tcti,
        None,
        QuoteKey::GoogleEcc,
        EventLog::Omitted,
        vec![root.clone()],
    )?;
    let open = || Collector::open(Settings::Tpm(settings.clone()), &paths);
    let refused = open()?.collect(&REPORT_DATA);
    ensure!(refused.is_err(), "a key without a template");

    // Its public area ends with both coordinates, of 32 bytes here.
    let mut firmware = Tpm::connect(port_of(&swtpm)?)?;
    firmware.extend(0)?;
    let (handle, area) = firmware.primary(AK_ECC)?;
    firmware.flush(handle)?;
    let coordinates = &area[area.len() - 68..];
    ensure!(coordinates[..2] == [0, 32] && coordinates[34..36] == [0, 32]);
    let point = [&[4], &coordinates[2..34], &coordinates[36..]].concat();
    let (root_der, leaf) = certificates(point)?;
    std::fs::write(&root, &root_der)?;
    for (index, bytes, fill) in [(TEMPLATE, AK_ECC, 0), (CERTIFICATE, &leaf, FILL_LEN)] {
        firmware.define(index, u16::try_from(bytes.len() + fill)?)?;
        firmware.write(index, &[bytes, &vec![0; fill]].concat())?;
    }
    drop(firmware);
    ensure!(
        looked().contains("Google's attestation keys: google-ec"),
        "{}",
        looked()
    );

    let evidence = open()?.collect(&REPORT_DATA)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &root_der);
    let policy = format!(
        "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n[tpm]\n\
         attestation-keys = []\nattestation-key-roots = [\"{}\"]\n\
         attestation-key-revocation = \"any\"\ninit-data = \"any\"\nevent-log-pcrs = \"any\"\n\
         requires-coverage = [\"firmware\"]\n[[tpm.reference]]\nname = \"clean\"\n\
         pcrs = {{ 0 = \"{}\" }}\ncovers = [\"firmware\"]\n",
        base16ct::lower::encode_string(digest.as_ref()),
        measured_once()
    );
    let verdict = judge(
        &UnverifiedEvidence {
            tee: Tee::parse(evidence.tee.as_str()).context("a TEE")?,
            primary: &evidence.primary_evidence,
            additional: &evidence.additional_evidence,
        },
        &Expected::of(REPORT_DATA),
        &AttestationPolicy::parse(&policy, "policy.toml")?,
        &Collateral::default(),
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        &mut Budget::for_one_round(),
    )?;
    ensure!(verdict.failures().next().is_none(), "{verdict:?}");
    Ok(())
}
