//! What there is in the engine, by name. A name that is no place's is told as a stranger, however odd it
//! is, and keeps nobody from the others.

use super::naming::{RECORDS, RESOURCES, place_of};
use super::nodes::refused;
use super::{Inner, Listing, Place, RecordName, StoreError, Under};
use nitride_openbao::answer::{self, Class, MAX_LIST_LEN};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Folders below each other that a listing goes into; no place lies deeper.
const MAX_DEPTH: usize = 5;
/// Secrets that a listing reads at once.
const AT_ONCE: usize = 16;

/// Every place that has something.
pub(super) async fn list(
    inner: &Arc<Inner>,
    under: Under<'_>,
    until: Instant,
) -> Result<Listing, StoreError> {
    let folder = match under {
        Under::Resources => RESOURCES.to_owned(),
        Under::AllRecords => RECORDS.to_owned(),
        Under::Records(folder) => format!("{RECORDS}/{folder}"),
    };
    let mut listing = Listing::default();
    let mut reading = JoinSet::new();
    for name in names(inner, folder, until).await? {
        let Some(place) = place_of(&name) else {
            listing.strangers.push(name);
            continue;
        };
        // A deletion is a version, too: which places have something, only a look at each says.
        let inner = inner.clone();
        reading.spawn(async move {
            let is_there = match inner.current(&place, until).await {
                Ok(current) => current.stored.is_some(),
                // What is damaged is there, and its reader is told what it is.
                Err(
                    StoreError::NotAuthentic { .. }
                    | StoreError::UnknownForm { .. }
                    | StoreError::DeletedElsewhere { .. },
                ) => true,
                Err(error) => return Err(error),
            };
            Ok(is_there.then_some(place))
        });
        if reading.len() >= AT_ONCE {
            take_one(&mut reading, &mut listing).await?;
        }
    }
    while !reading.is_empty() {
        take_one(&mut reading, &mut listing).await?;
    }
    listing.places.sort();
    listing.strangers.sort();
    Ok(listing)
}

/// How many names there are in a folder of records.
pub(super) async fn count(
    inner: &Inner,
    folder: &RecordName,
    until: Instant,
) -> Result<usize, StoreError> {
    let names = names(inner, format!("{RECORDS}/{folder}"), until).await?;
    Ok(names.iter().filter(|name| place_of(name).is_some()).count())
}

/// Names below a folder. Folders are not among them, but those that cannot be looked into.
async fn names(inner: &Inner, folder: String, until: Instant) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let mut folders = vec![(folder, 1)];
    while let Some((folder, depth)) = folders.pop() {
        // Whoever may write to the engine may give a folder any name; no path of ours goes there.
        let Ok(request) = inner.kv.list(&folder) else {
            names.push(format!("{folder}/"));
            continue;
        };
        let answer = inner.ask(&request, MAX_LIST_LEN, until).await?;
        let keys = match Class::of(answer.status) {
            Class::Done | Class::NotFound => answer::keys(answer.status, &answer.body)?,
            _ => return Err(refused(&answer)),
        };
        for key in keys {
            match key.strip_suffix('/') {
                Some(below) if depth < MAX_DEPTH => {
                    folders.push((format!("{folder}/{below}"), depth + 1));
                }
                _ => names.push(format!("{folder}/{key}")),
            }
            if names.len() + folders.len() > answer::MAX_KEYS {
                return Err(StoreError::TooMany {
                    max: answer::MAX_KEYS,
                });
            }
        }
    }
    Ok(names)
}

async fn take_one(
    reading: &mut JoinSet<Result<Option<Place>, StoreError>>,
    listing: &mut Listing,
) -> Result<(), StoreError> {
    if let Some(read) = reading.join_next().await {
        listing
            .places
            .extend(read.map_err(|_| StoreError::ShuttingDown)??);
    }
    Ok(())
}
