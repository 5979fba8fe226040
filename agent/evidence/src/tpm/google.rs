//! What Google's virtual TPM keeps of its attestation keys, for people: which can be configured.

use super::settings::{QuoteKey, TpmQuoteSettings};
use super::talk::Talk;
use crate::settings::EventLog;

/// Which of the keys have a certificate and a template, or why there is none.
pub(crate) fn found(tcti: &str) -> Result<String, String> {
    let key = QuoteKey::GoogleEcc;
    let settings = TpmQuoteSettings::new(tcti, None, key, EventLog::Omitted, Vec::new());
    let settings = settings.map_err(|error| error.to_string())?;
    let mut tpm = Talk::open(&settings).map_err(|error| error.to_string())?;
    let mut keys = Vec::new();
    for (key, name) in [
        (QuoteKey::GoogleEcc, "google-ec"),
        (QuoteKey::GoogleRsa, "google-rsa"),
    ] {
        let Some(index) = key.certificate_index() else {
            continue;
        };
        let mut has = |index| tpm.kept(index).map(|kept| kept.is_some());
        let is_whole = has(index).and_then(|certificate| Ok(certificate && has(index | 1)?));
        if is_whole.map_err(|error| error.to_string())? {
            keys.push(name);
        }
    }
    match keys.is_empty() {
        true => Err(format!(
            "{} keeps no attestation key's certificate: not Google's",
            settings.named
        )),
        false => Ok(format!(
            "it keeps certificates of Google's attestation keys: {}",
            keys.join(", ")
        )),
    }
}
