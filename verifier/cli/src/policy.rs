//! Policy files, and `policy check`.

use crate::exit::Exit;
use nitride_collateral::{Files, Obstacle};
use nitride_verify::{AttestationPolicy, Tee};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// As the provisioning service reads it: a thousand reference values fit.
const MAX_POLICY_LEN: u64 = 1 << 20;

/// Reads a policy.
pub(crate) fn read(path: &Path, files: &mut Files) -> Result<AttestationPolicy, Obstacle> {
    let text = files.read_text(path, MAX_POLICY_LEN)?;
    AttestationPolicy::parse(&text, &path.display().to_string()).map_err(|error| {
        let thing = format!("{}:{}", error.file, error.line);
        Obstacle::of(thing, error.reason, error.remedy)
    })
}

/// Every file has to be good; the first that is not ends it.
pub(crate) fn check(paths: &[PathBuf], json: bool) -> Result<(String, Exit), Obstacle> {
    let mut files = Files::new();
    let mut lines = String::new();
    let mut found: Vec<Value> = Vec::new();
    for path in paths {
        let policy = read(path, &mut files)?;
        let wanted = Tee::ALL.iter().filter(|tee| policy.admits(**tee).is_ok());
        let wanted: Vec<&str> = wanted.map(|tee| tee.as_str()).collect();
        let file = path.display().to_string();
        let told = match wanted.as_slice() {
            [] => "accepts nothing".to_owned(),
            wanted => format!("accepts {}", wanted.join(", ")),
        };
        lines.push_str(&format!("{file}: good, {told}\n"));
        found.push(json!({ "file": file, "accepts": wanted }));
    }
    let shown = if json {
        format!("{}\n", json!({ "policies": found }))
    } else {
        lines
    };
    Ok((shown, Exit::Accepted))
}
