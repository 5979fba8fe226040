//! Which resources an attestation result is to be for. KBS has no member for that, and a service may
//! refuse a member that it does not know; a header that it does not know it passes over.
//!
//! ```text
//!   nitride-resources: repo/type/tag, repo/type/tag     at `attest`; empty: for no resource
//! ```
//!
//! Without the header a token is for whatever the resource policy allows.

use crate::limits::{MAX_WANTED_LEN, MAX_WANTED_RESOURCES};
use crate::resource::{ResourcePath, ResourcePathError};
use thiserror::Error;

/// The header's name.
pub const HEADER: &str = "nitride-resources";

/// Why a header names no resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WantedError {
    /// More than [`MAX_WANTED_LEN`] bytes or [`MAX_WANTED_RESOURCES`] resources.
    #[error("nitride-resources names more than {MAX_WANTED_RESOURCES} resources, or is too long")]
    TooMany,
    /// What stands between two commas.
    #[error(transparent)]
    Path(#[from] ResourcePathError),
}

/// Reads the header's value.
///
/// # Errors
/// [`WantedError`].
pub fn parse(text: &str) -> Result<Vec<ResourcePath>, WantedError> {
    if text.len() > MAX_WANTED_LEN {
        return Err(WantedError::TooMany);
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let names = text.split(',').map(str::trim);
    if names.clone().count() > MAX_WANTED_RESOURCES {
        return Err(WantedError::TooMany);
    }
    Ok(names.map(ResourcePath::parse).collect::<Result<_, _>>()?)
}

/// The header's value for `resources`; nothing if they are too many, or their names too long, for one.
#[must_use]
pub fn write(resources: &[ResourcePath]) -> Option<String> {
    let names: Vec<&str> = resources.iter().map(ResourcePath::as_str).collect();
    let text = names.join(",");
    (names.len() <= MAX_WANTED_RESOURCES && text.len() <= MAX_WANTED_LEN).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let paths = ["a/b/c", "d/e/f"].map(|path| ResourcePath::parse(path).unwrap());
        for resources in [&paths[..], &paths[..1], &[]] {
            assert_eq!(parse(&write(resources).unwrap()).unwrap(), resources);
        }
        assert_eq!(parse(" a/b/c , d/e/f ").unwrap(), paths);
    }

    #[test]
    fn what_names_no_resource_or_too_many_is_refused() {
        for text in [
            "a/b",
            ",",
            "a/b/c,",
            "a/b/c,,d/e/f",
            "a/b/c d/e/f",
            "a/../c",
            "*",
        ] {
            assert!(matches!(parse(text), Err(WantedError::Path(_))), "{text}");
        }
        let many = vec![ResourcePath::parse("a/b/c").unwrap(); MAX_WANTED_RESOURCES + 1];
        assert_eq!(write(&many), None);
        assert_eq!(
            parse(&"a/b/c,".repeat(many.len())),
            Err(WantedError::TooMany)
        );
        let long = format!("a/b/{}", "c".repeat(MAX_WANTED_LEN));
        assert_eq!(parse(&long), Err(WantedError::TooMany));
    }

    proptest! {
        #[test]
        fn any_text_gives_resources_or_a_named_error(text in "\\PC{0,80}|[a-c/, .]{0,80}") {
            if let Ok(resources) = parse(&text) {
                prop_assert_eq!(parse(&write(&resources).unwrap()), Ok(resources));
            }
        }
    }
}
