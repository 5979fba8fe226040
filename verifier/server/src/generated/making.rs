//! Made once, whoever asks first and wherever: every write says what it replaces.

use super::record::{Kept, KeptError};
use super::{Form, Machine, Template};
use crate::clock::Clock;
use crate::entropy::{Draw, NoEntropy};
use crate::store::{Expected, Place, RecordName, RecordNameError, Store, StoreError, Under};
use base64ct::{Base64UrlUnpadded, Encoding};
use nitride_kbs::resource::ResourcePath;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use thiserror::Error;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Where they lie: `generated/RESOURCE/MACHINE`, each by its digest, since neither is a record's name.
const FOLDER: &str = "generated";
/// How often a change begins anew, since another was made meanwhile.
const MAX_TRIES: usize = 16;
/// Other replicas' machines are counted in so long.
const COUNTED_WITHIN_MS: u64 = 5000;

/// What a machine is given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) kept: Kept,
    /// Whether it was made for this very request.
    pub(crate) is_new: bool,
}

/// How many machines each resource has secrets of, as this process saw last.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<BTreeMap<RecordName, Counted>>);

#[derive(Debug)]
struct Counted {
    at_ms: u64,
    machines: usize,
}

/// Why a machine gets none.
#[derive(Debug, Error)]
pub(crate) enum MakeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Name(#[from] RecordNameError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    #[error("encode a passphrase")]
    Passphrase,
    #[error("{path} of {machine} was destroyed; `generated rotate` makes another")]
    Destroyed { path: String, machine: String },
    #[error(
        "{path} of {machine} is a {kept}, and {template:?} makes a {wanted}; `generated rotate` makes one"
    )]
    OtherType {
        path: String,
        machine: String,
        template: String,
        kept: String,
        wanted: String,
    },
    #[error(
        "{machines} machines have a secret of {path}: {template:?} makes no more; raise its max-machines, \
         if they are yours"
    )]
    Full {
        path: String,
        template: String,
        machines: usize,
    },
    #[error("others changed it again and again; try again")]
    Busy,
}

/// Why one that is there is not changed.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error(
        "it is given to nobody any more, and the versions before it are not erased yet; try again"
    )]
    NotErased(#[source] StoreError),
    #[error("nothing was made of {path} for {machine:?}; `generated list` says for whom")]
    Unknown { path: String, machine: String },
}

impl Rooms {
    /// Refuses one more machine where there are as many as there may be. Replicas that make some at the
    /// same moment may pass the bound by those.
    async fn check(
        &self,
        store: &dyn Store,
        path: &ResourcePath,
        template: &Template,
        now_ms: u64,
    ) -> Result<(), MakeError> {
        let folder = folder_of(path)?;
        // Whoever looks is waited for: a fleet that boots has its machines counted once.
        let mut counted = self.0.lock().await;
        counted.retain(|_, seen| now_ms.saturating_sub(seen.at_ms) < COUNTED_WITHIN_MS);
        let machines = match counted.get(&folder) {
            Some(seen) => seen.machines,
            None => {
                let machines = store.count(&folder).await?;
                let at_ms = now_ms;
                counted.insert(folder, Counted { at_ms, machines });
                machines
            }
        };
        if machines < template.max_machines {
            return Ok(());
        }
        Err(MakeError::Full {
            path: path.to_string(),
            template: template.name.clone(),
            machines,
        })
    }

    async fn made(&self, path: &ResourcePath) -> Result<(), MakeError> {
        if let Some(seen) = self.0.lock().await.get_mut(&folder_of(path)?) {
            seen.machines += 1;
        }
        Ok(())
    }
}

/// What this machine has of the resource; made now, if it has nothing yet. It is in the store before it
/// is returned, and whoever else asks at this moment gets the same.
pub(crate) async fn give(
    (store, rooms): (&dyn Store, &Rooms),
    template: &Template,
    path: &ResourcePath,
    machine: &Machine,
    clock: &Clock,
    draw: &mut dyn Draw,
) -> Result<Given, MakeError> {
    let machine = machine.as_str();
    let place = place_of(path, machine)?;
    for _ in 0..MAX_TRIES {
        if let Some(given) = given_before(store, &place, (path, machine), template).await? {
            return Ok(given);
        }
        let now_ms = clock.monotonic_ms();
        if let Err(refusal) = rooms.check(store, path, template, now_ms).await {
            // Among those that are counted may be this machine's, which another request made meanwhile.
            let given = given_before(store, &place, (path, machine), template).await?;
            return given.ok_or(refusal);
        }
        let material = drawn(template, draw)?;
        let kept = Kept::first((path, machine), template, &material, clock.wall_secs())?;
        if written(store, &place, &kept, Expected::Absent).await? {
            rooms.made(path).await?;
            let is_new = true;
            return Ok(Given { kept, is_new });
        }
    }
    Err(MakeError::Busy)
}

/// What the machine has already.
async fn given_before(
    store: &dyn Store,
    place: &Place,
    (path, machine): (&ResourcePath, &str),
    template: &Template,
) -> Result<Option<Given>, MakeError> {
    let Some(stored) = store.read(place).await? else {
        return Ok(None);
    };
    let kept = Kept::read(stored.bytes)?.checked(path, machine)?;
    check_usable(&kept, template)?;
    let is_new = false;
    Ok(Some(Given { kept, is_new }))
}

/// Makes the next version, which the machine gets from then on; its number.
pub(crate) async fn rotate(
    store: &dyn Store,
    template: &Template,
    (path, machine): (&ResourcePath, &str),
    now_secs: u64,
    draw: &mut (dyn Draw + '_),
) -> Result<u32, ChangeError> {
    change(store, path, machine, |kept| {
        let material = drawn(template, draw)?;
        Ok(kept.next(template, &material, now_secs)?)
    })
    .await
}

/// Destroys the material. The machine gets nothing of this resource until the next rotation.
pub(crate) async fn destroy(
    store: &dyn Store,
    path: &ResourcePath,
    machine: &str,
) -> Result<(), ChangeError> {
    change(store, path, machine, |kept| Ok(kept.destroyed()?)).await?;
    let place = place_of(path, machine).map_err(MakeError::from)?;
    // The versions before it are in an engine still, sealed.
    let erased = store.erase_older(&place).await;
    erased.map_err(ChangeError::NotErased)
}

/// What was made, of one resource or of all, in the order of the places.
pub(crate) async fn list(
    store: &dyn Store,
    path: Option<&ResourcePath>,
) -> Result<Vec<Kept>, MakeError> {
    let folder = match path {
        Some(path) => folder_of(path)?,
        None => RecordName::parse(FOLDER)?,
    };
    let mut all = Vec::new();
    for place in store.list(Under::Records(&folder)).await?.places {
        if let Some(stored) = store.read(&place).await? {
            all.push(Kept::read(stored.bytes)?);
        }
    }
    Ok(all)
}

/// Where the secret of a machine lies.
pub(crate) fn place_of(path: &ResourcePath, machine: &str) -> Result<Place, RecordNameError> {
    let folder = folder_of(path)?;
    let name = format!("{folder}/{}", digest_of(machine));
    Ok(Place::from(&RecordName::parse(&name)?))
}

fn folder_of(path: &ResourcePath) -> Result<RecordName, RecordNameError> {
    RecordName::parse(&format!("{FOLDER}/{}", digest_of(path.as_str())))
}

fn digest_of(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes another in the place of what is there, and begins anew where another was faster.
async fn change(
    store: &dyn Store,
    path: &ResourcePath,
    machine: &str,
    mut apply: impl FnMut(&Kept) -> Result<Kept, MakeError>,
) -> Result<u32, ChangeError> {
    let place = place_of(path, machine).map_err(MakeError::from)?;
    for _ in 0..MAX_TRIES {
        let stored = store.read(&place).await.map_err(MakeError::from)?;
        let stored = stored.ok_or_else(|| ChangeError::Unknown {
            path: path.to_string(),
            machine: machine.to_owned(),
        })?;
        let kept = Kept::read(stored.bytes).and_then(|kept| kept.checked(path, machine));
        let next = apply(&kept.map_err(MakeError::from)?)?;
        if written(store, &place, &next, Expected::Version(stored.version)).await? {
            return Ok(next.number());
        }
    }
    Err(MakeError::Busy.into())
}

/// Whether it is there now; not, if somebody else was faster.
async fn written(
    store: &dyn Store,
    place: &Place,
    kept: &Kept,
    expected: Expected,
) -> Result<bool, MakeError> {
    match store.write(place, kept.to_store(), expected).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. } | StoreError::Unresolved { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn check_usable(kept: &Kept, template: &Template) -> Result<(), MakeError> {
    let path = || kept.path().to_owned();
    let machine = || kept.machine().to_owned();
    if kept.is_destroyed() {
        return Err(MakeError::Destroyed {
            path: path(),
            machine: machine(),
        });
    }
    if kept.key_type() != template.key_type() {
        return Err(MakeError::OtherType {
            path: path(),
            machine: machine(),
            template: template.name.clone(),
            kept: kept.key_type().to_owned(),
            wanted: template.key_type().to_owned(),
        });
    }
    Ok(())
}

/// New material, in places that are wiped.
fn drawn(template: &Template, draw: &mut dyn Draw) -> Result<Zeroizing<Vec<u8>>, MakeError> {
    let mut bytes = Zeroizing::new(vec![0; template.bytes]);
    draw.fill(&mut bytes)?;
    match template.form {
        Form::Bytes => Ok(bytes),
        Form::Passphrase => {
            let len = Base64UrlUnpadded::encoded_len(&bytes);
            let mut text = Zeroizing::new(vec![0; len]);
            let encoded = Base64UrlUnpadded::encode(&bytes, &mut text);
            encoded.map_err(|_| MakeError::Passphrase)?;
            Ok(text)
        }
    }
}
