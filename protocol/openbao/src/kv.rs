//! Where a KV engine's secrets are, and what it is asked about them.

use crate::Request;
use base64ct::{Base64, Encoding};
use std::fmt::Write;
use thiserror::Error;

/// The longest bytes that one secret holds, so that its JSON fits into an entry of integrated storage
/// (1 MiB).
pub const MAX_SEALED_LEN: usize = 600 * 1024;
/// Versions that a deletion has destroyed at most: an engine keeps ten unless told otherwise.
const MAX_DESTROYED: u64 = 100;

/// An engine of version 2 and a folder in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kv {
    mount: String,
    prefix: String,
}

/// A text that is no path of an engine, or of a folder in one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no path: parts of [a-zA-Z0-9_-][a-zA-Z0-9_.-]* between slashes")]
pub struct KvError {
    text: String,
}

impl Kv {
    /// The engine mounted at `mount`, and a folder in it that is this caller's alone.
    ///
    /// # Errors
    /// Where one of them is no path.
    pub fn new(mount: &str, prefix: &str) -> Result<Self, KvError> {
        Ok(Self {
            mount: checked(mount)?,
            prefix: checked(prefix)?,
        })
    }

    /// Asks for the newest version of a secret.
    ///
    /// # Errors
    /// Where the name is no path.
    pub fn read(&self, name: &str) -> Result<Request, KvError> {
        Ok(Request::get(self.path("data", &checked(name)?)))
    }

    /// Asks for one version of it.
    ///
    /// # Errors
    /// Where the name is no path.
    pub fn read_version(&self, name: &str, version: u64) -> Result<Request, KvError> {
        let path = self.path("data", &checked(name)?);
        Ok(Request::get(format!("{path}?version={version}")))
    }

    /// Writes the version after `last` (0: the first there ever was), if that is still the newest.
    ///
    /// # Errors
    /// Where the name is no path.
    pub fn write(&self, name: &str, sealed: &[u8], last: u64) -> Result<Request, KvError> {
        let sealed = Base64::encode_string(sealed);
        // Digits and base64 need no escape.
        let body = format!(r#"{{"options":{{"cas":{last}}},"data":{{"sealed":"{sealed}"}}}}"#);
        let path = self.path("data", &checked(name)?);
        Ok(Request::post(path, body.into_bytes()))
    }

    /// Has the versions up to `last` erased; which of them are there does not matter.
    ///
    /// # Errors
    /// Where the name is no path.
    pub fn destroy_up_to(&self, name: &str, last: u64) -> Result<Request, KvError> {
        let first = last.saturating_sub(MAX_DESTROYED - 1).max(1);
        let mut body = String::from(r#"{"versions":["#);
        for version in first..=last {
            let comma = if version == first { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(body, "{comma}{version}");
        }
        body.push_str("]}");
        let path = self.path("destroy", &checked(name)?);
        Ok(Request::post(path, body.into_bytes()))
    }

    /// Asks what lies in a folder, itself without its last slash.
    ///
    /// # Errors
    /// Where the name is no path.
    pub fn list(&self, folder: &str) -> Result<Request, KvError> {
        let path = self.path("metadata", &checked(folder)?);
        Ok(Request::get(format!("{path}?list=true")))
    }

    fn path(&self, endpoint: &str, name: &str) -> String {
        format!("/v1/{}/{endpoint}/{}/{name}", self.mount, self.prefix)
    }
}

/// No part that a server or a proxy would read as another path.
pub(crate) fn checked(text: &str) -> Result<String, KvError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(fits);
    if text.len() <= 1024 && text.split('/').all(is_part) {
        Ok(text.to_owned())
    } else {
        Err(KvError {
            text: text.chars().take(255).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    fn kv() -> Kv {
        Kv::new("team/secret", "nitride").unwrap()
    }

    fn body(request: &Request) -> &str {
        std::str::from_utf8(&request.body).unwrap()
    }

    #[test]
    fn requests_are_as_the_engine_documents_them() {
        let read = kv().read("resource/a/b/c").unwrap();
        assert_eq!(read.method, Method::Get);
        assert_eq!(read.path, "/v1/team/secret/data/nitride/resource/a/b/c");
        assert!(read.body.is_empty());
        let one = kv().read_version("a", 7).unwrap();
        assert_eq!(one.path, "/v1/team/secret/data/nitride/a?version=7");
        let write = kv().write("a", b"\x00\xff", 3).unwrap();
        assert_eq!(write.method, Method::Post);
        assert_eq!(
            body(&write),
            r#"{"options":{"cas":3},"data":{"sealed":"AP8="}}"#
        );
        let destroy = kv().destroy_up_to("a", 3).unwrap();
        assert_eq!(destroy.path, "/v1/team/secret/destroy/nitride/a");
        assert_eq!(body(&destroy), r#"{"versions":[1,2,3]}"#);
        let list = kv().list("resource").unwrap();
        assert_eq!(
            list.path,
            "/v1/team/secret/metadata/nitride/resource?list=true"
        );
    }

    #[test]
    fn a_deletion_asks_for_a_bounded_number_of_versions() {
        let destroy = kv().destroy_up_to("a", u64::MAX - 1).unwrap();
        assert_eq!(body(&destroy).matches(',').count(), 99);
    }

    #[test]
    fn no_name_leaves_its_folder() {
        for name in [
            "", "/a", "a/", "a//b", "..", "a/../b", "a?x", "a%2f", "a b", "a#",
        ] {
            assert!(kv().read(name).is_err(), "{name}");
            assert!(Kv::new(name, "p").is_err(), "{name}");
            assert!(Kv::new("m", name).is_err(), "{name}");
        }
    }
}
