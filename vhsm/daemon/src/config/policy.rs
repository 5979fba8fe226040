use super::document::untrusted;
use super::file::name;
use super::gate_rule::RawGate;
use super::key_rule::RawKey;
use super::peers::{RawPeer, peer_match};
use super::{Config, ConfigError, Document, public_key};
use nitride_ipc::trusted_file::{self, TrustError};
use nitride_protocol::{Operation, OperationSet};
use nitride_secmem::crypto::{p256_spki, sha256};
use nitride_vault::policy::{
    KeyRule, NamePattern, PolicyFault, PolicySet, ReleaseTo, Rule, Signer, Source,
};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Files that a policy folder may have.
const MAX_FILES: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct RawPolicy {
    rule: Vec<Spanned<RawRule>>,
    key: Vec<Spanned<RawKey>>,
    gate: Vec<Spanned<RawGate>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRule {
    name: Spanned<String>,
    keys: Vec<Spanned<String>>,
    peers: Vec<Spanned<RawPeer>>,
    operations: Vec<Spanned<String>>,
}

/// Reads the policy folder and the signers' keys as one policy of the given generation.
///
/// Its digest is SHA-256 over the files in the order of their names: name and content, each behind
/// its length as 64 bits, so that no two folders have one digest.
pub(crate) fn load(config: &Config, generation: u64) -> Result<PolicySet, ConfigError> {
    let documents = read_folder(&config.policy_dir)?;
    let mut builder = Builder::default();
    builder.set.generation = generation;
    builder.set.digest = digest(&documents);
    builder.set.admins.clone_from(&config.admins);
    builder.set.services.clone_from(&config.services);
    for signer in &config.signers {
        let point = public_key::read(&signer.public_key)?;
        let kid = signer.kid.clone();
        builder.set.signers.push(Signer {
            name: signer.name.clone(),
            // As nitride-provisiond names a key when it signs with it.
            kid: kid.unwrap_or_else(|| sha256(&[&p256_spki(&point)]).to_vec()),
            point,
        });
    }
    for (index, document) in documents.iter().enumerate() {
        builder.add(index, document)?;
    }
    builder
        .set
        .check()
        .map_err(|fault| builder.place(&fault, &documents, &config.policy_dir))?;
    check_evidence(config, &builder.set)?;
    check_disk_keys(config, &builder.set)?;
    Ok(builder.set)
}

/// The policy as far as it is read, and where each part of it stands.
#[derive(Debug, Default)]
struct Builder {
    set: PolicySet,
    /// "key NAME", "gate NAME" and so on, to the document's index and the bytes in it.
    places: HashMap<String, (usize, Range<usize>)>,
}

impl Builder {
    fn add(&mut self, index: usize, document: &Document) -> Result<(), ConfigError> {
        let raw: RawPolicy = document.parse()?;
        for raw in raw.rule {
            let span = raw.span();
            let rule = rule(document, raw.into_inner())?;
            self.note(format!("rule {}", rule.name), index, &span);
            self.set.rules.push(rule);
        }
        for raw in raw.gate {
            let span = raw.span();
            let gate = raw.into_inner().validate(document)?;
            self.note(format!("gate {}", gate.name), index, &span);
            self.set.gates.push(gate);
        }
        for raw in raw.key {
            let span = raw.span();
            let key = raw.into_inner().validate(document)?;
            self.note(format!("key {}", key.name), index, &span);
            for to in &key.release_to {
                if let ReleaseTo::Volume(volume) = to {
                    self.note(format!("volume {volume}"), index, &span);
                }
            }
            self.set.keys.push(key);
        }
        Ok(())
    }

    /// The last of two parts of one name is the one that is named.
    fn note(&mut self, part: String, index: usize, span: &Range<usize>) {
        self.places.insert(part, (index, span.clone()));
    }

    /// The fault with the file and the line of the part that has it.
    fn place(&self, fault: &PolicyFault, documents: &[Document], folder: &Path) -> ConfigError {
        let remedy = remedy(fault);
        let place = self
            .places
            .get(&part(fault))
            .and_then(|(index, span)| Some((documents.get(*index)?, span.clone())));
        match place {
            Some((document, span)) => document.fault(span, fault, remedy),
            None => ConfigError::of_file(folder, fault, remedy),
        }
    }
}

fn part(fault: &PolicyFault) -> String {
    match fault {
        PolicyFault::DuplicateKey { key }
        | PolicyFault::NotOfType { key, .. }
        | PolicyFault::NeverReleased { key, .. }
        | PolicyFault::NotProvisioned { key, .. }
        | PolicyFault::NoSigner { key }
        | PolicyFault::NeverValid { key } => format!("key {key}"),
        PolicyFault::Duplicate { kind, name } => format!("{kind} {name}"),
        PolicyFault::Unknown { by, .. }
        | PolicyFault::AnyPeer { by }
        | PolicyFault::RelativeCgroup { by } => by.clone(),
        PolicyFault::NeverOpen { gate } => format!("gate {gate}"),
    }
}

fn remedy(fault: &PolicyFault) -> &'static str {
    match fault {
        PolicyFault::DuplicateKey { .. } | PolicyFault::Duplicate { .. } => "keep one of the two",
        PolicyFault::Unknown { .. } => {
            "state it (services and signers in vhsmd.toml, gates in the policy) or correct the name"
        }
        PolicyFault::NotOfType { .. } => "remove the operation or correct the type",
        PolicyFault::NeverReleased { .. } => "remove release-to or correct the type",
        PolicyFault::NotProvisioned { .. } => "remove it or state a kbs:/// source",
        PolicyFault::NoSigner { .. } => {
            "name a signer, or state unsigned = \"accept\" and read what that means"
        }
        PolicyFault::NeverValid { .. } => "correct one of the two",
        PolicyFault::AnyPeer { .. } => "state a condition for each peer",
        PolicyFault::RelativeCgroup { .. } => "begin it with a slash",
        PolicyFault::NeverOpen { .. } => "state how old an approval may be",
    }
}

fn rule(document: &Document, raw: RawRule) -> Result<Rule, ConfigError> {
    let keys = raw.keys.iter().map(|pattern| {
        NamePattern::parse(pattern.get_ref()).map_err(|error| {
            document.fault(
                pattern.span(),
                format_args!("{:?} matches no key: {error}", pattern.get_ref()),
                "write a name, \"folder/*\", \"folder/**\" or \"**\"",
            )
        })
    });
    Ok(Rule {
        keys: keys.collect::<Result<_, _>>()?,
        operations: operations(document, &raw.operations)?,
        name: name(document, raw.name)?,
        peers: raw
            .peers
            .into_iter()
            .map(|peer| peer_match(document, peer))
            .collect::<Result<_, _>>()?,
    })
}

/// The set of the operations that are named by their verbs.
pub(super) fn operations(
    document: &Document,
    verbs: &[Spanned<String>],
) -> Result<OperationSet, ConfigError> {
    let mut set = OperationSet::EMPTY;
    for verb in verbs {
        let operation: Operation = verb.get_ref().parse().map_err(|_| {
            document.fault(
                verb.span(),
                format_args!("{:?} is not an operation", verb.get_ref()),
                "write a verb of the protocol, as in \"sign\"",
            )
        })?;
        set.insert(operation);
    }
    Ok(set)
}

/// The `*.toml` files of the folder in the order of their names.
fn read_folder(folder: &Path) -> Result<Vec<Document>, ConfigError> {
    let unreadable = |error: std::io::Error| {
        ConfigError::of_file(
            folder,
            format_args!("cannot be read ({error})"),
            "check policy-dir in vhsmd.toml and that vhsmd's user may read the folder",
        )
    };
    // Who can add a file to it adds rules.
    trusted_file::check_folder(folder).map_err(|error| match error {
        TrustError::Unreadable(error) => unreadable(error),
        error => untrusted(folder, &error),
    })?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    if paths.len() > MAX_FILES {
        return Err(ConfigError::of_file(
            folder,
            format_args!("has more than {MAX_FILES} policy files"),
            "join some of them",
        ));
    }
    paths.sort();
    paths.iter().map(|path| Document::read(path)).collect()
}

fn digest(documents: &[Document]) -> [u8; 32] {
    let mut lens = Vec::with_capacity(2 * documents.len());
    for document in documents {
        lens.push((file_name(document).len() as u64).to_be_bytes());
        lens.push((document.text().len() as u64).to_be_bytes());
    }
    let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * lens.len());
    for (document, lens) in documents.iter().zip(lens.chunks_exact(2)) {
        parts.extend([
            &lens[0][..],
            file_name(document),
            &lens[1][..],
            document.text().as_bytes(),
        ]);
    }
    sha256(&parts)
}

fn file_name(document: &Document) -> &[u8] {
    document
        .path()
        .file_name()
        .map_or(&[], std::ffi::OsStr::as_encoded_bytes)
}

/// What a service brings takes a round, and a round takes evidence.
fn check_evidence(config: &Config, set: &PolicySet) -> Result<(), ConfigError> {
    let provisioned = |rule: &&KeyRule| matches!(rule.source, Source::Kbs { .. });
    let key = set.keys.iter().find(provisioned);
    let who = match (key, set.gates.first()) {
        (Some(rule), _) => format!("key {}", rule.name),
        (None, Some(gate)) => format!("gate {}", gate.name),
        (None, None) => return Ok(()),
    };
    if config.evidence.is_some() {
        return Ok(());
    }
    Err(ConfigError::of_file(
        &config.policy_dir,
        format_args!("{who} takes a service, to which nothing could be proven"),
        "state where evidence comes from in [evidence] of vhsmd.toml",
    ))
}

/// Each volume that is served is released to by the key that `vhsmd.toml` names for it.
fn check_disk_keys(config: &Config, set: &PolicySet) -> Result<(), ConfigError> {
    for disk_key in &config.disk_keys {
        let released = set.keys.iter().any(|rule| {
            rule.name == disk_key.key
                && rule
                    .release_to
                    .iter()
                    .any(|to| to.is_volume(&disk_key.volume))
        });
        if !released {
            return Err(ConfigError::of_file(
                &config.policy_dir,
                format_args!(
                    "no key {} is released to the volume {}, which vhsmd.toml serves",
                    disk_key.key, disk_key.volume
                ),
                "give that key release-to = [{ volume = … }], or remove the [[disk-key]]",
            ));
        }
    }
    Ok(())
}
