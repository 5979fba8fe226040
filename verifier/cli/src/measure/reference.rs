//! A reference value, written as a policy reads it.

use nitride_collateral::Obstacle;
use serde_json::{Map, Value, json};

/// One entry of `[[<section>.reference]]`, its fields in the order that they are written in.
#[derive(Debug)]
pub(super) struct Reference {
    section: &'static str,
    notes: Vec<&'static str>,
    fields: Vec<(&'static str, Value)>,
}

impl Reference {
    /// One that has its name.
    pub(super) fn new(section: &'static str, name: &str) -> Result<Self, Obstacle> {
        if name.is_empty() || name.chars().any(char::is_control) {
            let reason = "is empty, or has control characters";
            return Err(Obstacle::of("--name", reason, "give it one line of text"));
        }
        Ok(Self {
            section,
            notes: Vec::new(),
            fields: vec![("name", json!(name))],
        })
    }

    /// A line for whoever reads the policy.
    pub(super) fn note(&mut self, note: &'static str) {
        self.notes.push(note);
    }

    pub(super) fn value(&mut self, field: &'static str, digest: &[u8]) {
        let digits = base16ct::lower::encode_string(digest);
        self.fields.push((field, json!(digits)));
    }

    pub(super) fn any(&mut self, field: &'static str) {
        self.fields.push((field, json!("any")));
    }

    pub(super) fn pcrs(&mut self, pcrs: &[(u8, [u8; 32])]) {
        let named = |(index, pcr): &(u8, [u8; 32])| {
            let digits = base16ct::lower::encode_string(pcr);
            (index.to_string(), json!(digits))
        };
        let pcrs: Map<String, Value> = pcrs.iter().map(named).collect();
        self.fields.push(("pcrs", Value::Object(pcrs)));
    }

    pub(super) fn covers(&mut self, parts: &[&str]) {
        self.fields.push(("covers", json!(parts)));
    }

    pub(super) fn to_toml(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            text.push_str(&format!("# {note}\n"));
        }
        text.push_str("# add \"disk\" where the command line or the initrd pins a verity tree\n");
        text.push_str(&format!("[[{}.reference]]\n", self.section));
        for (field, value) in &self.fields {
            text.push_str(&format!("{field} = {}\n", toml_of(value)));
        }
        text
    }

    pub(super) fn to_json(&self) -> String {
        let fields: Map<String, Value> = self
            .fields
            .iter()
            .map(|(field, value)| ((*field).to_owned(), value.clone()))
            .collect();
        format!(
            "{}\n",
            json!({ "section": self.section, "reference": fields })
        )
    }
}

/// TOML takes JSON's strings as they are written, where they have no control characters, and lists
/// of them; tables are written with `=`.
fn toml_of(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let mut pairs: Vec<_> = table.iter().collect();
            // In the order of numbers, where JSON has that of text.
            pairs.sort_by_key(|(key, _)| (key.len(), *key));
            let pairs = pairs.iter().map(|(key, value)| format!("{key} = {value}"));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => {
            let parts: Vec<String> = list.iter().map(Value::to_string).collect();
            format!("[{}]", parts.join(", "))
        }
        other => other.to_string(),
    }
}
