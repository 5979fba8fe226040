//! Evidence in the JSON forms of the KBS protocol.

use super::Given;
use crate::arguments::KbsArguments;
use nitride_collateral::{Files, Obstacle};
use nitride_kbs::messages::TeeEvidence;

/// A request of the protocol has no more.
const MAX_LEN: u64 = 1 << 20;

pub(super) fn read(arguments: &KbsArguments, files: &mut Files) -> Result<Given, Obstacle> {
    let text = files.read_text(&arguments.evidence, MAX_LEN)?;
    let tee = arguments.tee;
    // What is not the object that a request has is the primary evidence alone, or none: the core
    // says which.
    Ok(match serde_json::from_str::<TeeEvidence>(&text) {
        Ok(evidence) => Given::Kbs {
            tee,
            primary: evidence.primary_evidence.get().to_owned(),
            additional: evidence.additional_evidence,
        },
        Err(_) => Given::Kbs {
            tee,
            primary: text,
            additional: String::new(),
        },
    })
}
