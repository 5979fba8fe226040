//! The table `[tpm]`.

use super::seal::DEFAULT_TCTI;
use super::source::event_log;
use super::{Fault, absolute, fault};
use nitride_evidence::tpm::{InvalidTpmQuote, QuoteKey, TpmQuoteSettings};
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TpmTable {
    tcti: Option<Spanned<String>>,
    pcrs: Option<Spanned<Vec<u32>>>,
    key: Option<Spanned<String>>,
    event_log: Option<Spanned<String>>,
    authorities: Option<Spanned<Vec<Spanned<PathBuf>>>>,
}

/// `at` is where a fault is told that no line of the table has.
pub(super) fn tpm(
    at: Range<usize>,
    table: Option<Spanned<TpmTable>>,
) -> Result<TpmQuoteSettings, Fault> {
    let table = table.map(Spanned::into_inner).unwrap_or_default();
    let spans = [
        table.tcti.as_ref().map(Spanned::span),
        table.pcrs.as_ref().map(Spanned::span),
        table.authorities.as_ref().map(Spanned::span),
    ];
    let key = key(table.key)?;
    let event_log = event_log(table.event_log)?;
    let listed = table.authorities.map(Spanned::into_inner);
    let listed = listed.unwrap_or_default().into_iter();
    let authorities = listed.map(absolute).collect::<Result<Vec<_>, _>>()?;
    let pcrs = table.pcrs.as_ref().map(|pcrs| pcrs.get_ref().as_slice());
    let tcti = table.tcti.as_ref();
    let tcti = tcti.map_or(DEFAULT_TCTI, |tcti| tcti.get_ref().as_str());
    TpmQuoteSettings::new(tcti, pcrs, key, event_log, authorities).map_err(|error| {
        let [of_tcti, of_pcrs, of_authorities] = spans;
        let stated = match error {
            InvalidTpmQuote::Tcti => of_tcti,
            InvalidTpmQuote::Pcrs => of_pcrs,
            InvalidTpmQuote::Authorities => of_authorities,
        };
        Fault {
            at: stated.unwrap_or(at),
            fault: error.to_string(),
        }
    })
}

fn key(stated: Option<Spanned<String>>) -> Result<QuoteKey, Fault> {
    let Some(name) = stated else {
        return Ok(QuoteKey::default());
    };
    match name.get_ref().as_str() {
        "ec-p256" => Ok(QuoteKey::EccP256),
        "rsa-2048" => Ok(QuoteKey::Rsa2048),
        "google-ec" => Ok(QuoteKey::GoogleEcc),
        "google-rsa" => Ok(QuoteKey::GoogleRsa),
        _ => fault(
            name.span(),
            "no such key: ec-p256, rsa-2048, google-ec or google-rsa is expected",
        ),
    }
}
