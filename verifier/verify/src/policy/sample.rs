//! `[sample]`: which evidence without hardware is wanted, where it is accepted at all. The svn plays
//! the measurement.

use super::check_values;
use super::sets::{SetOf, Sets};
use crate::strict_toml::{FileError, Stated, TomlText};
use serde::Deserialize;
use toml::Spanned;

/// Which sample evidence is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SamplePolicy {
    /// Whatever the time is.
    pub(crate) svn: Stated<Vec<String>>,
    references: Vec<SampleReference>,
}

/// One wanted svn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleReference {
    /// What the operator calls it.
    pub name: String,
    /// The set that it is of.
    pub set: SetOf,
    /// The policy's line.
    pub line: u32,
    svn: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SampleForm {
    svn: Spanned<Vec<String>>,
    #[serde(default)]
    reference: Vec<SampleReferenceForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SampleReferenceForm {
    name: Spanned<String>,
    set: Option<Spanned<String>>,
    svn: Spanned<String>,
}

impl SamplePolicy {
    pub(super) fn read(
        form: SampleForm,
        text: &TomlText<'_>,
        sets: &Sets,
    ) -> Result<Self, FileError> {
        check_values(text, "sample.svn", &form.svn)?;
        let mut references: Vec<SampleReference> = Vec::new();
        for form in form.reference {
            let name = form.name.get_ref();
            if name.is_empty() || references.iter().any(|other| other.name == *name) {
                let reason = "a reference value's name is empty or there twice";
                return Err(text.error(&form.name, reason, "give each a name of its own"));
            }
            let set = sets.of(text, &form.name, form.set)?;
            let Stated { value: svn, line } = text.stated(form.svn);
            references.push(SampleReference {
                name: form.name.into_inner(),
                set,
                line,
                svn,
            });
        }
        Ok(Self {
            svn: text.stated(form.svn),
            references,
        })
    }

    /// The reference value that `svn` is at `now_secs`, if it is not one of those without a name.
    ///
    /// # Errors
    ///
    /// In words, that it is none, or what speaks against the one that it is.
    pub(crate) fn find(
        &self,
        svn: &str,
        now_secs: u64,
    ) -> Result<Option<&SampleReference>, String> {
        if self.svn.value.iter().any(|wanted| wanted == svn) {
            return Ok(None);
        }
        let matching = || self.references.iter().filter(|r| r.svn == svn);
        if let Some(reference) = matching().find(|r| r.set.objection(now_secs).is_none()) {
            return Ok(Some(reference));
        }
        Err(match matching().next() {
            Some(r) => format!(
                "reference value {:?} of policy line {} {}",
                r.name,
                r.line,
                r.set.objection(now_secs).unwrap_or_default()
            ),
            None => format!(
                "svn {svn:?} is not among those of policy line {}",
                self.svn.line
            ),
        })
    }
}
