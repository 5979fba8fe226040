//! Reference values by name, which an attestation policy in Rego asks for: a list in the form in which
//! Trustee's provider stores them, each with the time at which it ends, and at will that from which it
//! holds.
//!
//! ```json
//! [{ "version": "0.1.0", "name": "svn", "expiration": "2027-03-01T00:00:00Z", "value": ["7"] },
//!  { "version": "0.1.0", "name": "svn", "valid-from": "2026-11-01T00:00:00Z",
//!    "expiration": "2027-12-01T00:00:00Z", "value": ["8"] }]
//! ```
//!
//! Of one name there may be several, whose values are lists: those that hold are one list together. What
//! has ended is null to the policy, as what was never there.

use der::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// The only version of the form.
const VERSION: &str = "0.1.0";
/// More values than this are a mistake.
const MAX_VALUES: usize = 10_000;

/// The values, each with its time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamedValues {
    values: Vec<NamedValue>,
}

#[derive(Debug, Clone, PartialEq)]
struct NamedValue {
    name: String,
    from_secs: u64,
    until_secs: u64,
    value: Value,
}

/// Why a text is no list of reference values.
#[derive(Debug, Error)]
pub enum NamedValuesError {
    /// Not JSON of the form.
    #[error("{file} is no list of reference values")]
    Malformed {
        /// The file.
        file: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// One of them.
    #[error("{file}: reference value {name:?}: {reason}")]
    Value {
        /// The file.
        file: String,
        /// The value's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many.
    #[error("{file} has more than {MAX_VALUES} reference values")]
    TooMany {
        /// The file.
        file: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Form {
    version: String,
    name: String,
    valid_from: Option<String>,
    expiration: String,
    value: Value,
}

impl NamedValues {
    /// Reads the list; `file` is used in errors only.
    ///
    /// # Errors
    ///
    /// [`NamedValuesError`] for another form, a time that is none, or a name twice whose values are no lists.
    pub fn parse(text: &str, file: &str) -> Result<Self, NamedValuesError> {
        let forms: Vec<Form> =
            serde_json::from_str(text).map_err(|source| NamedValuesError::Malformed {
                file: file.to_owned(),
                source,
            })?;
        if forms.len() > MAX_VALUES {
            let file = file.to_owned();
            return Err(NamedValuesError::TooMany { file });
        }
        let mut values: Vec<NamedValue> = Vec::with_capacity(forms.len());
        for form in forms {
            let name = form.name.clone();
            let value = read(form).and_then(|value| {
                let is_alone = values.iter().all(|other| {
                    other.name != value.name || (other.value.is_array() && value.value.is_array())
                });
                match is_alone {
                    true => Ok(value),
                    false => Err("it is there twice, and not as lists".to_owned()),
                }
            });
            values.push(value.map_err(|reason| NamedValuesError::Value {
                file: file.to_owned(),
                name,
                reason,
            })?);
        }
        Ok(Self { values })
    }

    /// Those that hold at `now_secs`, as one JSON object.
    #[must_use]
    pub fn at(&self, now_secs: u64) -> Value {
        let mut found: Map<String, Value> = Map::new();
        let holding = self.values.iter();
        let holding = holding.filter(|v| (v.from_secs..v.until_secs).contains(&now_secs));
        for named in holding {
            match (found.get_mut(&named.name), &named.value) {
                (Some(Value::Array(all)), Value::Array(more)) => all.extend(more.iter().cloned()),
                _ => _ = found.insert(named.name.clone(), named.value.clone()),
            }
        }
        Value::Object(found)
    }
}

fn read(form: Form) -> Result<NamedValue, String> {
    if form.version != VERSION {
        return Err(format!("version {:?} is not {VERSION}", form.version));
    }
    if form.name.is_empty() {
        return Err("its name is empty".to_owned());
    }
    let from_secs = match &form.valid_from {
        Some(from) => secs_of(from)?,
        None => 0,
    };
    let until_secs = secs_of(&form.expiration)?;
    if from_secs >= until_secs {
        return Err("it ends before it begins".to_owned());
    }
    Ok(NamedValue {
        name: form.name,
        from_secs,
        until_secs,
        value: form.value,
    })
}

fn secs_of(text: &str) -> Result<u64, String> {
    let time: Result<DateTime, _> = text.parse();
    time.map(|time| time.unix_duration().as_secs())
        .map_err(|_| format!("{text:?} is no time as 2026-11-01T00:00:00Z is"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OCTOBER: u64 = 1_790_812_800;
    const NOVEMBER: u64 = 1_793_491_200;
    const DECEMBER: u64 = 1_796_083_200;

    fn values() -> Value {
        json!([
            { "version": "0.1.0", "name": "svn", "expiration": "2026-12-01T00:00:00Z", "value": ["7"] },
            { "version": "0.1.0", "name": "svn", "valid-from": "2026-11-01T00:00:00Z",
              "expiration": "2027-12-01T00:00:00Z", "value": ["8"] },
            { "version": "0.1.0", "name": "major", "expiration": "2026-12-01T00:00:00Z", "value": 3 },
        ])
    }

    #[test]
    fn what_holds_is_one_list_and_what_ended_is_not_there() {
        let values = NamedValues::parse(&values().to_string(), "v.json").unwrap();
        for (now_secs, expected) in [
            (OCTOBER, json!({ "svn": ["7"], "major": 3 })),
            (NOVEMBER, json!({ "svn": ["7", "8"], "major": 3 })),
            (DECEMBER, json!({ "svn": ["8"] })),
            (u64::MAX, json!({})),
        ] {
            assert_eq!(values.at(now_secs), expected, "{now_secs}");
        }
    }

    #[test]
    fn what_is_no_reference_value_is_told_by_its_name() {
        let changed = |index: usize, field: &str, value: Value| {
            let mut list = values();
            list[index][field] = value;
            NamedValues::parse(&list.to_string(), "v.json")
                .unwrap_err()
                .to_string()
        };
        for (field, value) in [
            ("version", json!("0.2.0")),
            ("name", json!("")),
            ("name", json!("svn")),
            ("expiration", json!("2026-12-01")),
            ("expiration", json!("1960-12-01T00:00:00Z")),
            ("valid-from", json!("2026-12-01T00:00:00Z")),
        ] {
            let told = changed(2, field, value);
            assert!(told.contains("reference value"), "{told}");
        }
        assert!(changed(0, "colour", json!(1)).contains("no list"));
        assert!(NamedValues::parse("{}", "v.json").is_err());
    }
}
