//! `checks`: what a verdict has.

use crate::present::number;
use nitride_verify::{Tee, checks};
use serde_json::{Value, json};

/// The checks of one TEE, or of each that is judged.
pub(crate) fn checks(tee: Option<Tee>, json: bool) -> String {
    let tees = Tee::ALL.iter().filter(|t| tee.is_none_or(|tee| tee == **t));
    let names = tees.flat_map(|tee| checks::all(*tee));
    if json {
        let names: Vec<Value> = names
            .map(|name| json!({ "number": name.number, "name": name.name }))
            .collect();
        return format!("{}\n", json!({ "checks": names }));
    }
    names
        .map(|name| format!("{:>6}  {}\n", number(*name), name.name))
        .collect()
}
