//! The attestation policy: which evidence is wanted. Strict TOML; every field is stated, since a
//! field that may be left out fails open.
//!
//! ```toml
//! version = 1
//! # Evidence without hardware. It proves nothing: for tests and demonstrations alone.
//! danger-accept-sample = true
//!
//! [sample]
//! # Reference values: the svn plays the measurement. An empty list wants nothing.
//! svn = ["1"]
//! ```

use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use toml::Spanned;

/// The only version of the file's form.
const VERSION: i64 = 1;
/// A policy with more reference values for one field than this is a mistake.
const MAX_REFERENCE_VALUES: usize = 1024;

/// Which evidence is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationPolicy {
    danger_accept_sample: Stated<bool>,
    sample_svn: Stated<Vec<String>>,
}

/// The trust anchors of a policy: all that authenticity may depend on. `sample` has none, so that
/// its anchor is the statement that nothing vouches for it.
#[derive(Debug, Clone, Copy)]
pub struct Anchors<'a> {
    /// Whether evidence without hardware is taken at all.
    pub danger_accept_sample: &'a Stated<bool>,
}

impl AttestationPolicy {
    /// Reads a policy from its text. `file` is used in errors only.
    ///
    /// # Errors
    ///
    /// [`FileError`] for text that is not TOML, unknown or missing fields, an unknown version,
    /// an empty or duplicate reference value, or too many of them.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        let text = TomlText { text, file };
        let form: FileForm = text.read("state every field of the attestation policy, no other")?;
        if *form.version.get_ref() != VERSION {
            return Err(text.error(
                &form.version,
                format!("version {} is not known", form.version.get_ref()),
                "write version = 1",
            ));
        }
        check_reference_values(&text, "sample.svn", &form.sample.svn)?;
        Ok(Self {
            danger_accept_sample: text.stated(form.danger_accept_sample),
            sample_svn: text.stated(form.sample.svn),
        })
    }

    /// What authenticity may depend on.
    #[must_use]
    pub fn anchors(&self) -> Anchors<'_> {
        Anchors {
            danger_accept_sample: &self.danger_accept_sample,
        }
    }

    /// The reference values for the svn of `sample` evidence.
    #[must_use]
    pub fn sample_svn(&self) -> &Stated<Vec<String>> {
        &self.sample_svn
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileForm {
    version: Spanned<i64>,
    danger_accept_sample: Spanned<bool>,
    sample: SampleForm,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SampleForm {
    svn: Spanned<Vec<String>>,
}

fn check_reference_values(
    text: &TomlText<'_>,
    field: &str,
    values: &Spanned<Vec<String>>,
) -> Result<(), FileError> {
    let list = values.get_ref();
    if list.len() > MAX_REFERENCE_VALUES {
        let reason = format!("{field} has {} values", list.len());
        return Err(text.error(values, reason, "keep at most 1024"));
    }
    if list.iter().any(String::is_empty) {
        let reason = format!("{field} has an empty value");
        return Err(text.error(values, reason, "remove it"));
    }
    let mut sorted: Vec<&str> = list.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let reason = format!("{field} has {:?} twice", pair.first().unwrap_or(&""));
            Err(text.error(values, reason, "remove one"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version = 1\n\ndanger-accept-sample = true\n[sample]\nsvn = [\"1\"]\n";

    #[test]
    fn a_complete_policy_knows_its_lines() {
        let policy = AttestationPolicy::parse(GOOD, "a.toml").unwrap();
        assert_eq!(
            policy.anchors().danger_accept_sample,
            &Stated {
                value: true,
                line: 3
            }
        );
        assert_eq!(
            policy.sample_svn(),
            &Stated {
                value: vec!["1".to_owned()],
                line: 5
            }
        );
    }

    #[test]
    fn each_field_left_out_is_an_error_that_names_it() {
        for field in ["version", "danger-accept-sample", "svn"] {
            let text: String = GOOD
                .lines()
                .filter(|line| !line.starts_with(field))
                .fold(String::new(), join);
            let error = AttestationPolicy::parse(&text, "a.toml").unwrap_err();
            assert!(error.reason.contains(field), "{error}");
        }
        let error = AttestationPolicy::parse("version = 1\ndanger-accept-sample = true\n", "a")
            .unwrap_err();
        assert!(error.reason.contains("sample"), "{error}");
    }

    #[test]
    fn an_unknown_field_names_its_line() {
        let text = format!("{GOOD}colour = \"red\"\n");
        let error = AttestationPolicy::parse(&text, "policy.toml").unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("policy.toml", 6));
        assert!(error.reason.contains("colour"), "{error}");
    }

    #[test]
    fn wrong_versions_and_reference_values_are_refused() {
        for (from, to, word) in [
            ("version = 1", "version = 2", "version 2"),
            ("[\"1\"]", "[\"\"]", "empty"),
            ("[\"1\"]", "[\"1\", \"2\", \"1\"]", "twice"),
            ("[\"1\"]", "\"1\"", "invalid type"),
            ("= true", "= 1", "invalid type"),
        ] {
            let error = AttestationPolicy::parse(&GOOD.replace(from, to), "a").unwrap_err();
            assert!(error.reason.contains(word), "{error}");
        }
    }

    #[test]
    fn an_empty_reference_list_is_a_statement() {
        let policy = AttestationPolicy::parse(&GOOD.replace("[\"1\"]", "[]"), "a").unwrap();
        assert!(policy.sample_svn().value.is_empty());
    }

    fn join(text: String, line: &str) -> String {
        text + line + "\n"
    }
}
