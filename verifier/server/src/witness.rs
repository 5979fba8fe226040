//! The witness of vaults' audits: how far each had come when its machine last attested.
//!
//! A head (`nitride_kbs::audit_head`) is bound by the evidence that it came with, so that it is of that
//! machine's vault at that time, whoever carried it. It goes into this service's own audit, and is compared
//! with the one before it, which every replica finds in the store:
//!
//! ```text
//!   witness/0a3   the machines whose names' SHA-256 begins with 0a3; of each its newest head, and when
//! ```
//!
//! What lies there is bounded: 4096 records, of 64 machines each, those that attested last. A machine that
//! is forgotten begins anew; that its heads follow one another is told again by the two audits.

use crate::challenge::MAX_SKEW_SECS;
use crate::identity::{Identity, IdentityClaim};
use crate::store::{Expected, Place, RecordName, RecordNameError, Store, StoreError, Under};
use nitride_kbs::audit_head::AuditHead;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

const FAMILY: &str = "witness";
const VERSION: u32 = 1;
/// Machines of one record.
const MAX_MACHINES: usize = 64;
/// How often a change begins anew, since another was made meanwhile.
const MAX_TRIES: usize = 16;
/// A head that stays the same is written again after so long, so that its machine is not forgotten.
const WRITTEN_AGAIN_SECS: u64 = 86_400;

/// `[witness]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WitnessSettings {
    /// What a machine is known by: the first of these that its evidence has.
    pub(crate) identity: Vec<IdentityClaim>,
    pub(crate) on_fork: OnFork,
}

/// What becomes of a machine whose audit does not go on from what was witnessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFork {
    /// It is told, and what is witnessed from then on is the new chain.
    Note,
    /// It gets no token until its head is forgotten here.
    Refuse,
}

/// What a head is beside the one that was witnessed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing was, and nothing came now.
    Nothing,
    /// The first, or a later one, or the same.
    Good,
    /// An older one, of a round that began before the newer was witnessed.
    Overtaken { seen: AuditHead },
    /// None, of a machine whose vault had one.
    Withheld { seen: AuditHead },
    /// An older one, made after the newer.
    WentBack { seen: AuditHead },
    /// Another entry of the same number.
    Forked { seen: AuditHead },
}

/// Why it is not known what was witnessed.
#[derive(Debug, Error)]
pub(crate) enum WitnessError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Name(#[from] RecordNameError),
    #[error("{place} is not a list of witnessed heads, of version {VERSION}")]
    Malformed { place: Place },
    #[error("others changed {place} again and again; try again")]
    Busy { place: Place },
}

/// When evidence was asked for, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) challenged_secs: u64,
    pub(crate) now_secs: u64,
}

/// The newest head of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Witnessed {
    pub(crate) machine: String,
    pub(crate) head: AuditHead,
    /// When it was witnessed, in seconds since 1970.
    pub(crate) at_secs: u64,
}

/// A record's form, the machine that attested last at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListForm {
    version: u32,
    machines: Vec<Witnessed>,
}

impl Finding {
    /// Its word, in the audit and in figures.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Good => "ok",
            Self::Overtaken { .. } => "overtaken",
            Self::Withheld { .. } => "withheld",
            Self::WentBack { .. } => "went-back",
            Self::Forked { .. } => "forked",
        }
    }

    /// The head before it, where there is something to say of the two.
    pub(crate) fn seen(self) -> Option<AuditHead> {
        match self {
            Self::Nothing | Self::Good => None,
            Self::Overtaken { seen }
            | Self::Withheld { seen }
            | Self::WentBack { seen }
            | Self::Forked { seen } => Some(seen),
        }
    }

    /// Whether the chain is another one than was witnessed.
    pub(crate) fn is_fork(self) -> bool {
        matches!(self, Self::WentBack { .. } | Self::Forked { .. })
    }

    fn of(head: Option<AuditHead>, seen: Option<&Witnessed>, times: Times) -> Self {
        let Some(Witnessed {
            head: seen,
            at_secs,
            ..
        }) = seen
        else {
            return match head {
                None => Self::Nothing,
                Some(_) => Self::Good,
            };
        };
        let seen = *seen;
        match head {
            None => Self::Withheld { seen },
            Some(head) if head == seen || head.sequence > seen.sequence => Self::Good,
            Some(head) if head.sequence == seen.sequence => Self::Forked { seen },
            // Evidence is made after its challenge: two rounds may be under way at a time, and the one
            // that began first may come last. Replicas' clocks differ by no more.
            Some(_) if times.challenged_secs > at_secs.saturating_add(MAX_SKEW_SECS) => {
                Self::WentBack { seen }
            }
            Some(_) => Self::Overtaken { seen },
        }
    }
}

/// Compares a machine's head with the one before it, and remembers it.
pub(crate) async fn witness(
    store: &dyn Store,
    on_fork: OnFork,
    machine: &Identity,
    head: Option<AuditHead>,
    times: Times,
) -> Result<Finding, WitnessError> {
    let place = place_of(machine)?;
    for _ in 0..MAX_TRIES {
        let (mut machines, expected) = read(store, &place).await?;
        let at = machines
            .iter()
            .position(|known| known.machine == machine.as_str());
        let known = at.and_then(|at| machines.get(at));
        let finding = Finding::of(head, known, times);
        let is_new = match (known, head) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(known), Some(head)) if known.head == head => {
                times.now_secs > known.at_secs.saturating_add(WRITTEN_AGAIN_SECS)
            }
            _ => match finding {
                Finding::Good => true,
                finding => finding.is_fork() && on_fork == OnFork::Note,
            },
        };
        let Some(head) = head.filter(|_| is_new) else {
            return Ok(finding);
        };
        if let Some(at) = at {
            machines.remove(at);
        } else if machines.len() >= MAX_MACHINES {
            machines.remove(0);
        }
        machines.push(Witnessed {
            machine: machine.to_string(),
            head,
            at_secs: times.now_secs,
        });
        match write(store, &place, machines, expected).await {
            Ok(()) => return Ok(finding),
            Err(WitnessError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Err(WitnessError::Busy { place })
}

/// All that is remembered, by machine.
pub(crate) async fn list(store: &dyn Store) -> Result<Vec<Witnessed>, WitnessError> {
    let family = RecordName::parse(FAMILY)?;
    let mut all = Vec::new();
    for place in store.list(Under::Records(&family)).await?.places {
        all.extend(read(store, &place).await?.0);
    }
    all.sort_by(|one, other| one.machine.cmp(&other.machine));
    Ok(all)
}

/// Forgets a machine's head; whether there was one.
pub(crate) async fn forget(store: &dyn Store, machine: &str) -> Result<bool, WitnessError> {
    let place = place_of_name(machine)?;
    for _ in 0..MAX_TRIES {
        let (mut machines, expected) = read(store, &place).await?;
        let before = machines.len();
        machines.retain(|known| known.machine != machine);
        if machines.len() == before {
            return Ok(false);
        }
        match write(store, &place, machines, expected).await {
            Ok(()) => return Ok(true),
            Err(WitnessError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Err(WitnessError::Busy { place })
}

fn place_of(machine: &Identity) -> Result<Place, RecordNameError> {
    place_of_name(machine.as_str())
}

fn place_of_name(machine: &str) -> Result<Place, RecordNameError> {
    let [first, second, ..] = <[u8; 32]>::from(Sha256::digest(machine.as_bytes()));
    let name = format!("{FAMILY}/{first:02x}{:x}", second >> 4);
    Ok(Place::from(&RecordName::parse(&name)?))
}

async fn read(
    store: &dyn Store,
    place: &Place,
) -> Result<(Vec<Witnessed>, Expected), WitnessError> {
    let Some(stored) = store.read(place).await? else {
        return Ok((Vec::new(), Expected::Absent));
    };
    let malformed = || WitnessError::Malformed {
        place: place.clone(),
    };
    let form: ListForm = serde_json::from_slice(&stored.bytes).map_err(|_| malformed())?;
    if form.version != VERSION {
        return Err(malformed());
    }
    Ok((form.machines, Expected::Version(stored.version)))
}

async fn write(
    store: &dyn Store,
    place: &Place,
    machines: Vec<Witnessed>,
    expected: Expected,
) -> Result<(), WitnessError> {
    let form = ListForm {
        version: VERSION,
        machines,
    };
    let malformed = |_| WitnessError::Malformed {
        place: place.clone(),
    };
    let bytes = serde_json::to_vec(&form).map_err(malformed)?;
    store.write(place, Zeroizing::new(bytes), expected).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
