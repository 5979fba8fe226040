//! Sets of reference values: which of them hold when.
//!
//! ```toml
//! [[set]]
//! name = "image 2026-11"
//! # Points in time, in UTC, or "any". It holds from the first, and no more at the second.
//! valid-from = 2026-11-01T00:00:00Z
//! valid-until = 2027-03-01T00:00:00Z
//!
//! [[sample.reference]]
//! name = "web 7"
//! set = "image 2026-11"
//! svn = "7"
//! ```
//!
//! A fleet changes its image machine by machine: for a while two sets hold. Where there is a set, each
//! reference value states which one it is of, so that none outlives its image by being forgotten.

use super::wanted::{Wanted, WantedForm};
use crate::strict_toml::{FileError, Stated, TomlText};
use der::DateTime;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;
use toml::value::{Datetime, Offset};

/// A section lists fewer values than this, and a policy fewer sets.
const MAX_SETS: usize = 1024;

/// A set, and when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceSet {
    /// What the operator calls it.
    pub name: String,
    /// The policy's line.
    pub line: u32,
    /// From when, in seconds since 1970.
    pub valid_from: Wanted<u64>,
    /// Until when, that second excluded.
    pub valid_until: Wanted<u64>,
}

/// The set of a reference value, where the policy has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOf(Option<Arc<ReferenceSet>>);

/// All sets of a policy, while it is read.
#[derive(Debug, Default)]
pub(crate) struct Sets(Vec<Arc<ReferenceSet>>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SetForm {
    name: Spanned<String>,
    valid_from: Spanned<WantedForm<Datetime>>,
    valid_until: Spanned<WantedForm<Datetime>>,
}

impl SetOf {
    /// The set's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|set| set.name.as_str())
    }

    /// Why a value of it is not one at `now_secs`, in words that follow its name.
    pub(crate) fn objection(&self, now_secs: u64) -> Option<String> {
        let set = self.0.as_ref()?;
        let told = |what: &str, at: u64| {
            let (name, line) = (&set.name, set.line);
            Some(format!(
                "is of set {name:?} (policy line {line}), which {what} {}",
                shown(at)
            ))
        };
        match (&set.valid_from, &set.valid_until) {
            (Wanted::Is(from), _) if now_secs < *from => told("holds from", *from),
            (_, Wanted::Is(until)) if now_secs >= *until => told("ended at", *until),
            _ => None,
        }
    }
}

impl Sets {
    pub(crate) fn read(text: &TomlText<'_>, forms: Vec<SetForm>) -> Result<Self, FileError> {
        let mut sets: Vec<Arc<ReferenceSet>> = Vec::new();
        for form in forms {
            let name = form.name.get_ref();
            if name.is_empty() || sets.iter().any(|other| other.name == *name) {
                let reason = "a set's name is empty or there twice";
                return Err(text.error(&form.name, reason, "give each a name of its own"));
            }
            if sets.len() >= MAX_SETS {
                return Err(text.error(&form.name, "more than 1024 sets", "remove what ended"));
            }
            let valid_from = text.wanted(form.valid_from, secs_of)?.value;
            let until = text.wanted(form.valid_until, secs_of)?;
            if let (Wanted::Is(from), Wanted::Is(end)) = (&valid_from, &until.value)
                && from >= end
            {
                return Err(FileError {
                    file: text.file.to_owned(),
                    line: until.line,
                    reason: format!("set {name:?} ends before it begins"),
                    remedy: "state a later time".to_owned(),
                });
            }
            let Stated { value: name, line } = text.stated(form.name);
            sets.push(Arc::new(ReferenceSet {
                name,
                line,
                valid_from,
                valid_until: until.value,
            }));
        }
        Ok(Self(sets))
    }

    /// The set that a reference value states; `of` is the value's name, for the error's line.
    pub(crate) fn of(
        &self,
        text: &TomlText<'_>,
        of: &Spanned<String>,
        stated: Option<Spanned<String>>,
    ) -> Result<SetOf, FileError> {
        match stated {
            None if self.0.is_empty() => Ok(SetOf(None)),
            None => {
                let reason = format!("reference value {:?} states no set", of.get_ref());
                Err(text.error(of, reason, "state its set, or remove every [[set]]"))
            }
            Some(name) => {
                let set = self.0.iter().find(|set| set.name == *name.get_ref());
                let set = set.ok_or_else(|| {
                    let reason = format!("there is no set {:?}", name.get_ref());
                    text.error(&name, reason, "add it as [[set]]")
                })?;
                Ok(SetOf(Some(set.clone())))
            }
        }
    }
}

/// Seconds since 1970 of a date and time in UTC.
fn secs_of(at: Datetime) -> Result<u64, String> {
    let wrong = || format!("{at} is no time in UTC after 1970, as 2026-11-01T00:00:00Z is");
    let (Some(date), Some(time), Some(Offset::Z)) = (at.date, at.time, at.offset) else {
        return Err(wrong());
    };
    let second = time.second.unwrap_or(0);
    let time = DateTime::new(
        date.year,
        date.month,
        date.day,
        time.hour,
        time.minute,
        second,
    );
    time.map(|time| time.unix_duration().as_secs())
        .map_err(|_| wrong())
}

fn shown(secs: u64) -> String {
    match DateTime::from_unix_duration(Duration::from_secs(secs)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("second {secs}"),
    }
}

#[cfg(test)]
mod tests;
