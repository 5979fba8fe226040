//! Policies and reference values that the store keeps for every replica.
//!
//! ```text
//!   policy/set       which documents there are: each one's form, version, and its text's name and digest
//!   policy/text/ID   a text, written once under a name of chance
//! ```
//!
//! A change writes its text first, where nobody looks yet, and then the set over the one that it saw.
//! So the set changes whole, of two who saw the same one is refused, what was checked together is
//! stored together, and a text that was swapped or put back is none of the set's.

mod name;

pub(crate) use name::DocumentName;

use crate::audit::entry::hex;
use crate::documents::{Document, Documents, Form, MAX_TENANTS, Strict};
use crate::entropy::{KernelEntropy, NoEntropy, draw_array};
use crate::judging::NotJudged;
use crate::policies::PolicyError;
use crate::store::{
    Expected, MAX_RECORD_LEN, Place, RecordName, RecordNameError, Resource, Store, StoreError,
    Version, seen, wanted,
};
use nitride_verify::policy::MissingCollateral;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// No document is longer.
pub(crate) const MAX_DOCUMENT_LEN: usize = MAX_RECORD_LEN;
/// The record that says which documents there are.
pub(crate) const POLICY_SET: &str = "policy/set";
const TEXTS: &str = "policy/text";
const FORM_VERSION: u32 = 1;
/// How often a reading begins anew, since a text was replaced meanwhile.
const MAX_READINGS: usize = 4;
/// What there is where nothing was put: nothing is wanted, nothing is allowed.
const NOTHING_WANTED: &str =
    "version = 1\ndanger-accept-sample = false\ndanger-test-anchors = []\n";
const NOTHING_ALLOWED: &str = "version = 1\n";

/// All documents of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct PolicySet {
    /// How often the set was changed; 0 is none.
    pub(crate) serial: u64,
    documents: BTreeMap<DocumentName, Kept>,
    /// Which of them is being put, as long as the set is not the store's.
    put: Option<DocumentName>,
}

/// One document.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    entry: Entry,
    pub(crate) text: Arc<str>,
}

/// As the set has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    form: Form,
    /// The set's serial when it was put.
    version: u64,
    /// The last part of its text's name.
    text: String,
    sha256: String,
}

/// The record's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetForm {
    version: u32,
    serial: u64,
    documents: BTreeMap<String, Entry>,
}

/// A text on its way into the store.
#[derive(Debug)]
pub(crate) struct Fresh {
    form: Form,
    id: String,
    text: Arc<str>,
}

/// Why there is no set, or no other one.
#[derive(Debug, Error)]
pub(crate) enum PolicySetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Name(#[from] RecordNameError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error("record {POLICY_SET} is no set of policies of version {FORM_VERSION}")]
    Malformed,
    #[error("the text of {name} is not in the store")]
    Gone { name: DocumentName },
    #[error("what the store has as the text of {name} is another one")]
    AnotherText { name: DocumentName },
    #[error(
        "the store has set {found} of the policies, and had {seen}: it was put back; if its operator \
         did that, restart this service"
    )]
    RolledBack { found: u64, seen: u64 },
    #[error("the store has another set {serial} of the policies than it had")]
    Forked { serial: u64 },
    #[error(
        "the store has set {found} of the policies, and the configuration wants {at_least} at least"
    )]
    BelowStated { found: u64, at_least: u64 },
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the attestation policy would refuse all that it wants")]
    Missing(#[from] MissingCollateral),
    #[error("{name} is {}, not {}", seen(*.found), wanted(*.expected))]
    Conflict {
        name: DocumentName,
        expected: Expected,
        found: Option<Version>,
    },
    #[error("there is no {name}")]
    NoSuch { name: DocumentName },
    #[error("there is no room for more documents in one set: {MAX_RECORD_LEN} bytes of names")]
    Full,
    #[error("others changed the policies again and again; try again")]
    Busy,
    #[error(transparent)]
    NotJudged(#[from] NotJudged),
}

impl Kept {
    pub(crate) fn form(&self) -> Form {
        self.entry.form
    }

    pub(crate) fn version(&self) -> Version {
        Version::new(self.entry.version)
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.entry.sha256
    }
}

impl Fresh {
    pub(crate) fn draw(form: Form, text: &str) -> Result<Self, NoEntropy> {
        Ok(Self {
            form,
            id: hex(&draw_array::<16>(&mut KernelEntropy)?),
            text: text.into(),
        })
    }

    pub(crate) fn sha256(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }

    /// Writes the text, where nobody looks yet.
    pub(crate) async fn write(&self, store: &dyn Store) -> Result<(), PolicySetError> {
        let bytes = Resource::new(self.text.as_bytes().to_vec());
        store
            .write(&place_of(&self.id)?, bytes, Expected::Absent)
            .await?;
        Ok(())
    }

    /// Takes back the text of a change that was not made. One that stays is nobody's, and harms nobody.
    pub(crate) async fn erase(&self, store: &dyn Store) {
        erase(store, &self.id).await;
    }
}

impl PolicySet {
    /// What the store has, and what a change of it has to find there. It follows what is `known`, and is
    /// `at_least` so new, or it is refused. Texts that are known are not asked for again.
    pub(crate) async fn read(
        store: &dyn Store,
        known: &Self,
        at_least: u64,
    ) -> Result<(Self, Expected), PolicySetError> {
        let mut readings = 1;
        loop {
            match Self::read_once(store, known, at_least).await {
                Err(PolicySetError::Gone { .. }) if readings < MAX_READINGS => readings += 1,
                read => return read,
            }
        }
    }

    async fn read_once(
        store: &dyn Store,
        known: &Self,
        at_least: u64,
    ) -> Result<(Self, Expected), PolicySetError> {
        let place = Place::from(&RecordName::parse(POLICY_SET)?);
        let Some(stored) = store.read(&place).await? else {
            let none = Self::default();
            return none
                .follow(known, at_least)
                .map(|()| (none, Expected::Absent));
        };
        let form: SetForm =
            serde_json::from_slice(&stored.bytes).map_err(|_| PolicySetError::Malformed)?;
        if form.version != FORM_VERSION || form.serial == 0 || form.documents.len() > MAX_TENANTS {
            return Err(PolicySetError::Malformed);
        }
        let mut entries = BTreeMap::new();
        for (name, entry) in form.documents {
            let name = DocumentName::parse(&name).ok_or(PolicySetError::Malformed)?;
            if !name.takes(entry.form) || !(1..=form.serial).contains(&entry.version) {
                return Err(PolicySetError::Malformed);
            }
            let known = known.documents.get(&name);
            let known = known.filter(|kept| kept.entry == entry);
            let text = known.map(|kept| kept.text.clone());
            entries.insert(name, (entry, text));
        }
        // Before its texts are looked for: those of an older set are gone.
        let is_as_known = entries.len() == known.documents.len()
            && entries.values().all(|(_, text)| text.is_some());
        if form.serial == known.serial && !is_as_known {
            return Err(PolicySetError::Forked {
                serial: form.serial,
            });
        }
        let mut set = Self {
            serial: form.serial,
            documents: BTreeMap::new(),
            put: None,
        };
        set.follow(known, at_least)?;
        for (name, (entry, text)) in entries {
            let text = match text {
                Some(text) => text,
                None => read_text(store, &name, &entry).await?,
            };
            set.documents.insert(name, Kept { entry, text });
        }
        Ok((set, Expected::Version(stored.version)))
    }

    fn follow(&self, known: &Self, at_least: u64) -> Result<(), PolicySetError> {
        let (found, seen) = (self.serial, known.serial);
        if found < seen {
            return Err(PolicySetError::RolledBack { found, seen });
        }
        if found < at_least {
            return Err(PolicySetError::BelowStated { found, at_least });
        }
        Ok(())
    }

    pub(crate) fn document(&self, name: &DocumentName) -> Option<&Kept> {
        self.documents.get(name)
    }

    pub(crate) fn documents(&self) -> impl Iterator<Item = (&DocumentName, &Kept)> {
        self.documents.iter()
    }

    /// Refuses a change by who expects to find something else.
    pub(crate) fn check(
        &self,
        name: &DocumentName,
        expected: Expected,
    ) -> Result<(), PolicySetError> {
        let found = self.document(name).map(Kept::version);
        let holds = match expected {
            Expected::Any => true,
            Expected::Absent => found.is_none(),
            Expected::Version(version) => found == Some(version),
        };
        let name = name.clone();
        holds.then_some(()).ok_or(PolicySetError::Conflict {
            name,
            expected,
            found,
        })
    }

    /// The next set, with another text for `name`, or without it.
    pub(crate) fn with(
        &self,
        name: &DocumentName,
        fresh: Option<&Fresh>,
    ) -> Result<Self, PolicySetError> {
        let mut next = Self {
            serial: self.serial.saturating_add(1),
            documents: self.documents.clone(),
            put: fresh.map(|_| name.clone()),
        };
        let replaced = match fresh {
            None => next.documents.remove(name),
            Some(fresh) => {
                let entry = Entry {
                    form: fresh.form,
                    version: next.serial,
                    text: fresh.id.clone(),
                    sha256: fresh.sha256(),
                };
                let text = fresh.text.clone();
                next.documents.insert(name.clone(), Kept { entry, text })
            }
        };
        match (replaced, fresh) {
            (None, None) => Err(PolicySetError::NoSuch { name: name.clone() }),
            _ => Ok(next),
        }
    }

    /// Writes the set over what was seen; `false` if somebody else was faster.
    pub(crate) async fn write(
        &self,
        store: &dyn Store,
        seen: Expected,
    ) -> Result<bool, PolicySetError> {
        let documents = self.documents.iter();
        let form = SetForm {
            version: FORM_VERSION,
            serial: self.serial,
            documents: documents
                .map(|(name, kept)| (name.to_string(), kept.entry.clone()))
                .collect(),
        };
        let bytes = serde_json::to_vec(&form).map_err(|_| PolicySetError::Malformed)?;
        if bytes.len() > MAX_RECORD_LEN || form.documents.len() > MAX_TENANTS {
            return Err(PolicySetError::Full);
        }
        let place = Place::from(&RecordName::parse(POLICY_SET)?);
        match store.write(&place, Resource::new(bytes), seen).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Erases the text that the next set has no more. One that stays is nobody's, and harms nobody.
    pub(crate) async fn erase_text(&self, store: &dyn Store, name: &DocumentName) {
        if let Some(kept) = self.document(name) {
            erase(store, &kept.entry.text).await;
        }
    }

    /// What is read into a judgement. Where a policy was not put, nothing is wanted or allowed.
    pub(crate) fn to_documents(&self) -> Documents {
        let of = |name: &DocumentName| {
            self.document(name).map(|kept| Document {
                file: name.to_string(),
                form: kept.form(),
                text: kept.text.clone(),
            })
        };
        let or = |name: DocumentName, text: &str| {
            of(&name).unwrap_or_else(|| Document {
                file: name.to_string(),
                form: Form::Toml,
                text: text.into(),
            })
        };
        let tenants = self.documents.keys().filter_map(|name| match name {
            DocumentName::Tenant(repository) => Some((repository.clone(), of(name)?)),
            _ => None,
        });
        let put = match &self.put {
            Some(DocumentName::Tenant(repository)) => Some(repository.clone()),
            _ => None,
        };
        Documents {
            strict: Strict::Put(put),
            attestation: or(DocumentName::Attestation, NOTHING_WANTED),
            attestation_values: of(&DocumentName::AttestationValues),
            resource: or(DocumentName::Resource, NOTHING_ALLOWED),
            tenants: tenants.collect(),
            appraisal: of(&DocumentName::Appraisal),
            named_values: of(&DocumentName::NamedValues),
        }
    }
}

async fn read_text(
    store: &dyn Store,
    name: &DocumentName,
    entry: &Entry,
) -> Result<Arc<str>, PolicySetError> {
    let stored = store.read(&place_of(&entry.text)?).await?;
    let stored = stored.ok_or_else(|| PolicySetError::Gone { name: name.clone() })?;
    let another = || PolicySetError::AnotherText { name: name.clone() };
    if hex(&Sha256::digest(&*stored.bytes)) != entry.sha256 {
        return Err(another());
    }
    let text = std::str::from_utf8(&stored.bytes).map_err(|_| another())?;
    Ok(text.into())
}

async fn erase(store: &dyn Store, id: &str) {
    let Ok(place) = place_of(id) else {
        return;
    };
    if let Err(error) = store.delete(&place, Expected::Any).await {
        tracing::warn!(%error, id, "a text that no set of policies has any more stays in the store");
    }
}

fn place_of(id: &str) -> Result<Place, RecordNameError> {
    Ok(Place::from(&RecordName::parse(&format!("{TEXTS}/{id}"))?))
}

#[cfg(test)]
mod tests;
