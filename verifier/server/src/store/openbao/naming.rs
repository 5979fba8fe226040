//! What places are called in the engine.

use crate::store::{Place, RecordName};
use nitride_kbs::resource::ResourcePath;

/// Folders of the prefix.
pub(super) const RESOURCES: &str = "resource";
pub(super) const RECORDS: &str = "record";

/// A place's name below the prefix.
pub(super) fn name_of(place: &Place) -> String {
    match place {
        Place::Resource(path) => format!("{RESOURCES}/{path}"),
        Place::Record(name) => format!("{RECORDS}/{name}"),
    }
}

/// The place of such a name.
pub(super) fn place_of(name: &str) -> Option<Place> {
    let (folder, name) = name.split_once('/')?;
    match folder {
        RESOURCES => ResourcePath::parse(name).ok().map(Place::Resource),
        RECORDS => RecordName::parse(name).ok().map(Place::Record),
        _ => None,
    }
}
