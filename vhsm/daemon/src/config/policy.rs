use super::file::name;
use super::gate_rule::RawGate;
use super::key_rule::RawKey;
use super::peers::{Accounts, RawPeer, peer_match};
use super::policy_folder::{digest, file_name, read_folder};
use super::policy_remedy::{part, remedy};
use super::{Config, ConfigError, Document};
use nitride_protocol::{Operation, OperationSet};
use nitride_vault::policy::{
    KeyRule, NamePattern, PolicyFault, PolicySet, ReleaseTo, Rule, SealTerms, Source,
};
use serde::Deserialize;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;

/// Faults that are named at a time; a file with more is named by its first ones.
const MAX_FAULTS: usize = 32;

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
    let digest = digest(&documents);
    let set = set_of(config, &documents).map_err(|mut faults| faults.swap_remove(0))?;
    Ok(PolicySet {
        generation,
        digest,
        ..set
    })
}

/// What is wrong with the policy if `text` stands in the file `name` of its folder: nothing, or
/// faults of that file and of what it does not go together with. Nothing is put in force.
pub(crate) fn check(config: &Config, name: &str, text: &str) -> Vec<ConfigError> {
    let candidate = match Document::of(Path::new(name), text.to_owned()).plain() {
        Ok(candidate) => candidate,
        Err(fault) => return vec![fault],
    };
    let mut documents = match read_folder(&config.policy_dir) {
        Ok(documents) => documents,
        Err(fault) => return vec![fault],
    };
    documents.retain(|document| file_name(document) != file_name(&candidate));
    documents.push(candidate);
    set_of(config, &documents).err().unwrap_or_default()
}

/// The policy of these files, or its faults, of which there is at least one.
fn set_of(config: &Config, documents: &[Document]) -> Result<PolicySet, Vec<ConfigError>> {
    let mut builder = Builder::default();
    builder.set.admins.clone_from(&config.admins);
    builder.set.services.clone_from(&config.services);
    builder.set.seal = config.seal.as_ref().map(|seal| SealTerms {
        provisioned: seal.provisioned.clone(),
        is_durable: seal.counter,
    });
    for signer in &config.signers {
        let read = signer.read_into(&mut builder.set);
        read.map_err(|fault| vec![fault])?;
    }
    for (index, document) in documents.iter().enumerate() {
        builder.add(index, document);
    }
    if !builder.faults.is_empty() {
        return Err(builder.faults);
    }
    let placed = |fault| builder.place(&fault, documents, &config.policy_dir);
    builder.set.check().map_err(|fault| vec![placed(fault)])?;
    check_evidence(config, &builder.set).map_err(|fault| vec![fault])?;
    check_disk_keys(config, &builder.set).map_err(|fault| vec![fault])?;
    check_credentials(config, &builder.set).map_err(|fault| vec![fault])?;
    // The seal waits for it, so nobody else has to ask.
    for key in &mut builder.set.keys {
        let seal = builder.set.seal.as_ref();
        key.prefetch |= seal.is_some_and(|seal| seal.provisioned.as_ref() == Some(&key.name));
    }
    Ok(builder.set)
}

/// The policy as far as it is read, and where each part of it stands.
#[derive(Debug, Default)]
struct Builder {
    set: PolicySet,
    /// "key NAME", "gate NAME" and so on, to the document's index and the bytes in it.
    places: HashMap<String, (usize, Range<usize>)>,
    accounts: Accounts,
    faults: Vec<ConfigError>,
}

impl Builder {
    fn add(&mut self, index: usize, document: &Document) {
        let Some(raw) = self.good(document.parse::<RawPolicy>()) else {
            return;
        };
        for raw in raw.rule {
            let span = raw.span();
            let read = rule(document, &mut self.accounts, raw.into_inner());
            if let Some(rule) = self.good(read) {
                self.note(format!("rule {}", rule.name), index, &span);
                self.set.rules.push(rule);
            }
        }
        for raw in raw.gate {
            let span = raw.span();
            if let Some(gate) = self.good(raw.into_inner().validate(document)) {
                self.note(format!("gate {}", gate.name), index, &span);
                self.set.gates.push(gate);
            }
        }
        for raw in raw.key {
            let span = raw.span();
            let Some(key) = self.good(raw.into_inner().validate(document)) else {
                continue;
            };
            self.note(format!("key {}", key.name), index, &span);
            for to in &key.release_to {
                if let ReleaseTo::Volume(volume) = to {
                    self.note(format!("volume {volume}"), index, &span);
                }
            }
            self.set.keys.push(key);
        }
    }

    /// What was read, or nothing, with the fault noted.
    fn good<T>(&mut self, read: Result<T, ConfigError>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(fault) => {
                if self.faults.len() < MAX_FAULTS {
                    self.faults.push(fault);
                }
                None
            }
        }
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

fn rule(document: &Document, accounts: &mut Accounts, raw: RawRule) -> Result<Rule, ConfigError> {
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
            .map(|peer| peer_match(document, accounts, peer))
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

/// What a service brings takes a round, and a round takes evidence.
fn check_evidence(config: &Config, set: &PolicySet) -> Result<(), ConfigError> {
    if config.evidence.is_some() {
        return Ok(());
    }
    let remedy = "state where evidence comes from in [evidence] of vhsmd.toml";
    let in_clear = |name: &String| set.is_in_clear(name);
    let provisioned = |rule: &&KeyRule| matches!(&rule.source, Source::Kbs { services, .. } if !services.iter().all(in_clear));
    let key = set.keys.iter().find(provisioned);
    let who = match (key, set.gates.first()) {
        (Some(rule), _) => Some(format!("key {}", rule.name)),
        (None, Some(gate)) => Some(format!("gate {}", gate.name)),
        (None, None) => None,
    };
    if let Some(who) = who {
        let fault = format_args!("{who} takes a service, to which nothing could be proven");
        return Err(ConfigError::of_file(&config.policy_dir, fault, remedy));
    }
    match set.keys.iter().find(|rule| rule.measure_release) {
        None => Ok(()),
        Some(rule) => Err(ConfigError::of_file(
            &config.policy_dir,
            format_args!(
                "key {} says measure-release, and nobody measures",
                rule.name
            ),
            remedy,
        )),
    }
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

/// Each credential that is served is released to its unit by the key that `vhsmd.toml` names for it.
fn check_credentials(config: &Config, set: &PolicySet) -> Result<(), ConfigError> {
    for credential in &config.credentials {
        let unit = &credential.unit;
        let released = set.keys.iter().any(|rule| {
            rule.name == credential.key && rule.release_to.iter().any(|to| to.is_unit(unit))
        });
        if !released {
            return Err(ConfigError::of_file(
                &config.policy_dir,
                format_args!(
                    "no key {} is released to {unit}, whose credential {} vhsmd.toml serves",
                    credential.key, credential.name
                ),
                "give that key release-to = [{ unit = … }], or remove the [[credential]]",
            ));
        }
    }
    Ok(())
}
