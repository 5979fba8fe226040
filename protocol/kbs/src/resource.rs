//! The name of a resource: `repository/type/tag`.

use crate::limits::MAX_PATH_LEN;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The scheme of a resource's URI; the authority is empty, since the service is named elsewhere.
const SCHEME: &str = "kbs:///";

/// A resource of a key broker: three parts of `[a-zA-Z0-9_-][a-zA-Z0-9_.-]*`, at most
/// [`MAX_PATH_LEN`] bytes together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePath {
    path: Box<str>,
}

/// Why a text names no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResourcePathError {
    /// More than [`MAX_PATH_LEN`] bytes.
    #[error("resource path has {len} bytes, more than {MAX_PATH_LEN}")]
    TooLong {
        /// Bytes found.
        len: usize,
    },
    /// Not three parts.
    #[error("resource path has {found} parts, not repository/type/tag")]
    WrongParts {
        /// Parts found.
        found: usize,
    },
    /// A part is empty, begins with a dot, or has another character.
    #[error("{part} of the resource path is not [a-zA-Z0-9_-][a-zA-Z0-9_.-]*")]
    BadPart {
        /// "repository", "type" or "tag".
        part: &'static str,
    },
}

impl ResourcePath {
    /// Takes `repo/type/tag` or `kbs:///repo/type/tag`.
    pub fn parse(text: &str) -> Result<Self, ResourcePathError> {
        let path = text.strip_prefix(SCHEME).unwrap_or(text);
        check(path)?;
        Ok(Self { path: path.into() })
    }

    /// `repo/type/tag`.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The first part.
    pub fn repository(&self) -> &str {
        self.part(0)
    }

    /// The second part.
    pub fn resource_type(&self) -> &str {
        self.part(1)
    }

    /// The third part.
    pub fn tag(&self) -> &str {
        self.part(2)
    }

    /// `kbs:///repo/type/tag`.
    pub fn to_uri(&self) -> String {
        format!("{SCHEME}{}", self.path)
    }

    fn part(&self, index: usize) -> &str {
        self.path.split('/').nth(index).unwrap_or_default()
    }
}

/// Whether `path` is a resource path without scheme; borrows, for callers who keep it elsewhere.
pub(crate) fn check(path: &str) -> Result<(), ResourcePathError> {
    if path.len() > MAX_PATH_LEN {
        return Err(ResourcePathError::TooLong { len: path.len() });
    }
    let found = path.split('/').count();
    if found != 3 {
        return Err(ResourcePathError::WrongParts { found });
    }
    for (part, text) in ["repository", "type", "tag"]
        .into_iter()
        .zip(path.split('/'))
    {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if text.is_empty() || text.starts_with('.') || !text.bytes().all(fits) {
            return Err(ResourcePathError::BadPart { part });
        }
    }
    Ok(())
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)
    }
}

impl FromStr for ResourcePath {
    type Err = ResourcePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_and_its_uri_are_the_same_resource() {
        let path = ResourcePath::parse("default/key-1/_v2.x").unwrap();
        assert_eq!(ResourcePath::parse(&path.to_uri()).unwrap(), path);
        assert_eq!(path.repository(), "default");
        assert_eq!(path.resource_type(), "key-1");
        assert_eq!(path.tag(), "_v2.x");
        assert_eq!(path.to_string(), "default/key-1/_v2.x");
    }

    #[test]
    fn what_could_leave_the_folder_is_refused() {
        for text in [
            "a/b/..",
            "../b/c",
            "a/./c",
            "a//c",
            "/a/b/c",
            "a/b",
            "a/b/c/d",
            "",
            "a/b/c?x",
            "a/b/%2e",
            "a/b/c d",
            "kbs://host/a/b/c",
            "kbs:///kbs:///a/b/c",
            "a/b/ü",
        ] {
            assert!(ResourcePath::parse(text).is_err(), "{text:?}");
        }
        let long = format!("a/b/{}", "c".repeat(MAX_PATH_LEN));
        assert!(matches!(
            ResourcePath::parse(&long),
            Err(ResourcePathError::TooLong { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_path_that_prints_itself_or_an_error(text in "\\PC{0,40}|[a-z./_-]{0,12}") {
            if let Ok(path) = ResourcePath::parse(&text) {
                prop_assert!(text == path.as_str() || text == path.to_uri());
                prop_assert!(!path.as_str().contains("/."));
            }
        }
    }
}
