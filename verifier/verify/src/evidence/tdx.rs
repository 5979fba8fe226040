//! `tdx` evidence: `{"cc_eventlog":null|"<base64 of a CCEL>","quote":"<base64 of a quote>"}`.

use super::field::base64;
use super::{ccel, tdx_quote};
use crate::authenticity::Refusal;
use crate::budget::Budget;
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use std::borrow::Cow;

/// What `tdx` evidence consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxAllegation {
    /// The quote as it came, version 4 or 5.
    pub quote: Vec<u8>,
    /// The firmware's event log, which nothing signs.
    pub event_log: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TdxForm<'a> {
    #[serde(borrow, default)]
    cc_eventlog: Option<Cow<'a, str>>,
    #[serde(borrow)]
    quote: Cow<'a, str>,
}

impl TdxAllegation {
    /// The KBS form, as `primary_evidence`.
    #[must_use]
    pub fn to_kbs_form(&self) -> String {
        let log = self.event_log.as_deref().map(Base64::encode_string);
        let quote = Base64::encode_string(&self.quote);
        serde_json::json!({ "cc_eventlog": log, "quote": quote }).to_string()
    }
}

/// Reads the JSON form, whose own cost is paid.
pub(super) fn read(primary: &str, budget: &mut Budget) -> Result<TdxAllegation, Refusal> {
    let form: TdxForm<'_> = serde_json::from_str(primary).map_err(Refusal::Malformed)?;
    let quote = base64("quote", &form.quote, tdx_quote::MAX_QUOTE_LEN, budget)?;
    let log = form.cc_eventlog;
    let event_log = log
        .map(|log| base64("cc_eventlog", &log, ccel::MAX_LOG_LEN, budget))
        .transpose()?;
    Ok(TdxAllegation { quote, event_log })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_free(primary: &str) -> Result<TdxAllegation, Refusal> {
        read(primary, &mut Budget::for_one_round())
    }

    #[test]
    fn the_form_is_read_and_written() {
        let evidence = TdxAllegation {
            quote: vec![1, 2, 3],
            event_log: Some(vec![4]),
        };
        let json = evidence.to_kbs_form();
        assert_eq!(json, "{\"cc_eventlog\":\"BA==\",\"quote\":\"AQID\"}");
        assert_eq!(read_free(&json).unwrap(), evidence);
        let evidence = TdxAllegation {
            event_log: None,
            ..evidence
        };
        let json = evidence.to_kbs_form();
        assert_eq!(json, "{\"cc_eventlog\":null,\"quote\":\"AQID\"}");
        assert_eq!(read_free(&json).unwrap(), evidence);
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for bad in [
            "",
            "{}",
            "{\"quote\":1}",
            "{\"quote\":\"AQID\",\"quote\":\"AQID\"}",
            "{\"quote\":\"AQID\",\"more\":1}",
        ] {
            assert!(
                matches!(read_free(bad), Err(Refusal::Malformed(_))),
                "{bad}"
            );
        }
        let long = "A".repeat(44_000);
        for bad in ["AQI", "AQ_D", "AQID ", long.as_str()] {
            let refused = read_free(&format!("{{\"quote\":\"{bad}\"}}")).unwrap_err();
            assert!(matches!(
                refused,
                Refusal::FieldMalformed { field: "quote", .. }
            ));
        }
    }

    #[test]
    fn decoding_is_paid_for() {
        let mut budget = Budget::new(crate::Allowance {
            bytes: 2,
            ..crate::Allowance::FOR_ONE_ROUND
        });
        let refused = read("{\"quote\":\"AQID\"}", &mut budget).unwrap_err();
        assert!(matches!(refused, Refusal::OverBudget(_)));
    }

    proptest! {
        #[test]
        fn any_evidence_survives_its_form(
            quote in proptest::collection::vec(any::<u8>(), 0..100),
            event_log in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100)),
        ) {
            let evidence = TdxAllegation { quote, event_log };
            prop_assert_eq!(read_free(&evidence.to_kbs_form()).unwrap(), evidence);
        }
    }
}
