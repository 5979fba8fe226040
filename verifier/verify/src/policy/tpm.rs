//! `[tpm]`: which TPMs are wanted. A TPM alone proves what was booted to whoever trusts its maker, and
//! one that the host emulates to whoever trusts the host: no verdict here claims any hardware.
//!
//! ```toml
//! [tpm]
//! # The attestation keys that are known: by the TPM's own name of one (68 digits, "000b…"), which
//! # holds what the TPM enforces of it and comes out of an enrolment; or by the SHA-256 of its
//! # SubjectPublicKeyInfo (64 digits), for which whoever states it vouches alone.
//! attestation-keys = ["000b<64 digits>"]
//! # Roots of certificates for attestation keys, by the SHA-256 of their DER. Each speaks for every
//! # TPM below it.
//! attestation-key-roots = []
//! # There is no other: no revocation list is looked at. Unpin instead.
//! attestation-key-revocation = "any"
//! # "bound": init-data came, and PCR 8 is extended by them alone.
//! init-data = "any"
//! # The PCRs that the firmware's event log has to replay to.
//! event-log-pcrs = [0, 1, 2, 3, 4, 5, 6, 7]
//! requires-coverage = ["firmware", "kernel", "initrd", "command-line"]
//!
//! # As [[azure.reference]], and each states PCR 0: other firmware measures what it likes. What may be
//! # reset by whoever may open the TPM (16, 23) may stand beside it, and covers nothing.
//! [[tpm.reference]]
//! name = "image 2026-11"
//! pcrs = { 0 = "<64 digits>", 2 = "<64 digits>", 4 = …, 8 = …, 9 = …, 12 = … }
//! covers = ["firmware", "kernel", "initrd", "command-line"]
//! ```

use super::azure::{Bound, Held, PcrReferenceForm, PcrReferences};
use super::hexadecimal::bytes_of;
use super::reference::Coverage;
use super::sets::Sets;
use super::wanted::{Wanted, WantedForm};
use crate::evidence::PCR_COUNT;
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::Spanned;

/// A policy with more keys than this wants certificates.
const MAX_KEYS: usize = 4096;

/// Which TPMs are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmPolicy {
    pub(crate) keys: Stated<KeyPins>,
    pub(crate) roots: Stated<BTreeSet<[u8; 32]>>,
    pub(crate) revocation: Stated<Wanted<NeverChecked>>,
    pub(crate) init_data: Stated<Wanted<Bound>>,
    pub(crate) event_log_pcrs: Stated<Wanted<Vec<usize>>>,
    pub(crate) measurements: PcrReferences,
}

/// The attestation keys that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPins {
    /// By the TPM's own name.
    pub names: BTreeSet<[u8; 34]>,
    /// By the SHA-256 of the key alone.
    pub keys: BTreeSet<[u8; 32]>,
}

/// What cannot be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum NeverChecked {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TpmForm {
    attestation_keys: Spanned<Vec<String>>,
    attestation_key_roots: Spanned<Vec<String>>,
    attestation_key_revocation: Spanned<WantedForm<NeverChecked>>,
    init_data: Spanned<WantedForm<Bound>>,
    event_log_pcrs: Spanned<WantedForm<Vec<usize>>>,
    requires_coverage: Spanned<Vec<Coverage>>,
    #[serde(default)]
    reference: Vec<PcrReferenceForm>,
}

impl TpmPolicy {
    pub(super) fn read(text: &TomlText<'_>, form: TpmForm, sets: &Sets) -> Result<Self, FileError> {
        let init_data = text.wanted_as_is(form.init_data)?;
        let held = Held {
            firmware: false,
            init_data: init_data.value.value().is_some(),
        };
        Ok(Self {
            keys: text.converted(form.attestation_keys, |list| KeyPins::read(&list))?,
            roots: text.converted(form.attestation_key_roots, |list| {
                let roots = list.iter().map(|root| bytes_of(root));
                once_each(&list, roots.collect::<Result<_, _>>()?)
            })?,
            revocation: text.wanted_as_is(form.attestation_key_revocation)?,
            init_data,
            event_log_pcrs: text.wanted(form.event_log_pcrs, pcr_numbers)?,
            measurements: PcrReferences::read(
                text,
                form.requires_coverage,
                form.reference,
                held,
                sets,
            )?,
        })
    }
}

impl KeyPins {
    fn read(list: &[String]) -> Result<Self, String> {
        if list.len() > MAX_KEYS {
            return Err(format!(
                "there are {} keys, more than {MAX_KEYS}",
                list.len()
            ));
        }
        let mut pins = Self::default();
        for pin in list {
            let is_new = if pin.len() == 64 {
                pins.keys.insert(bytes_of(pin)?)
            } else if pin.starts_with("000b") {
                pins.names.insert(bytes_of(pin)?)
            } else {
                return Err(format!(
                    "{pin:?} is neither a key's name, \"000b\" and 64 digits, nor the SHA-256 of a \
                     key, 64 digits"
                ));
            };
            if !is_new {
                return Err(format!("{pin:?} is there twice"));
            }
        }
        Ok(pins)
    }
}

fn once_each(list: &[String], set: BTreeSet<[u8; 32]>) -> Result<BTreeSet<[u8; 32]>, String> {
    if set.len() == list.len() {
        Ok(set)
    } else {
        Err("a root is there twice".to_owned())
    }
}

fn pcr_numbers(list: Vec<usize>) -> Result<Vec<usize>, String> {
    let set: BTreeSet<usize> = list.iter().copied().collect();
    if list.is_empty() || set.len() != list.len() || list.iter().any(|pcr| *pcr >= PCR_COUNT) {
        return Err("give different PCRs of 0 to 23, or \"any\"".to_owned());
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::super::AttestationPolicy;
    use super::*;
    use crate::evidence::Tee;

    const HEAD: &str = "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n\
         [tpm]\nattestation-keys = []\nattestation-key-roots = []\n\
         attestation-key-revocation = \"any\"\ninit-data = \"any\"\nevent-log-pcrs = \"any\"\n\
         requires-coverage = [\"firmware\"]\n";

    fn changed(from: &str, to: &str) -> Result<AttestationPolicy, FileError> {
        assert!(HEAD.contains(from), "{from}");
        AttestationPolicy::parse(&HEAD.replace(from, to), "policy.toml")
    }

    #[test]
    fn every_field_is_stated() {
        let read = AttestationPolicy::parse(HEAD, "policy.toml").unwrap();
        assert!(read.admits(Tee::Tpm).is_ok());
        assert_eq!(read.tpm().unwrap().keys.value, KeyPins::default());
        for field in HEAD.lines().skip(4) {
            assert!(changed(field, "").is_err(), "{field}");
        }
    }

    #[test]
    fn keys_are_pinned_by_name_or_by_digest() {
        let name = format!("000b{}", "01".repeat(32));
        let key = "02".repeat(32);
        let both = format!("attestation-keys = [\"{name}\", \"{key}\"]");
        let read = changed("attestation-keys = []", &both).unwrap();
        let pins = &read.tpm().unwrap().keys.value;
        assert!(pins.keys.contains(&[2; 32]) && pins.names.len() == 1);
        for bad in [
            format!("\"{name}\", \"{name}\""),
            format!("\"000c{}\"", "01".repeat(32)),
            "\"000b\"".to_owned(),
            "\"\"".to_owned(),
            format!("\"{}\"", "0A".repeat(32)),
        ] {
            let refused = changed(
                "attestation-keys = []",
                &format!("attestation-keys = [{bad}]"),
            );
            assert_eq!(refused.unwrap_err().line, 5, "{bad}");
        }
    }

    #[test]
    fn what_is_not_of_its_form_is_refused_at_its_line() {
        for (from, to, line) in [
            ("roots = []", "roots = [\"00\"]", 6),
            ("revocation = \"any\"", "revocation = \"checked\"", 7),
            ("init-data = \"any\"", "init-data = true", 8),
            ("event-log-pcrs = \"any\"", "event-log-pcrs = []", 9),
            ("event-log-pcrs = \"any\"", "event-log-pcrs = [24]", 9),
            ("event-log-pcrs = \"any\"", "event-log-pcrs = [4, 4]", 9),
            ("[\"firmware\"]", "[\"kernel\"]", 10),
            ("[\"firmware\"]", "[]", 10),
        ] {
            assert_eq!(changed(from, to).unwrap_err().line, line, "{to}");
        }
    }

    /// Below a TPM alone nothing is measured by anybody else.
    #[test]
    fn a_value_without_the_firmwares_register_covers_nothing() {
        let value = |pcrs: &[usize], covers: &str| {
            let pcrs: Vec<String> = pcrs
                .iter()
                .map(|index| format!("{index} = \"{}\"", "0a".repeat(32)))
                .collect();
            let pcrs = pcrs.join(", ");
            let value = format!(
                "[[tpm.reference]]\nname = \"a\"\npcrs = {{ {pcrs} }}\ncovers = [{covers}]\n"
            );
            AttestationPolicy::parse(&format!("{HEAD}{value}"), "policy.toml")
        };
        assert!(value(&[0], "\"firmware\"").is_ok());
        assert!(value(&[0, 16], "\"firmware\"").is_ok());
        for only in [&[16][..], &[23], &[4], &[2, 4, 8, 9, 12]] {
            let refused = value(only, "\"firmware\"").unwrap_err();
            assert!(refused.reason.contains("PCR 0"), "{only:?}: {refused}");
        }
        let boot = "\"kernel\", \"initrd\", \"command-line\"";
        assert!(value(&[2, 4, 8, 9, 12], boot).is_err());
        assert!(value(&[0, 2, 4, 8, 9, 12], boot).is_ok());
        assert!(value(&[0, 4, 9], boot).is_err());
    }
}
