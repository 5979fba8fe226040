//! `tpm` evidence: a quote of a TPM 2.0 alone, and the key that signed it.
//!
//! The first three members are those of the KBS protocol. The public area, by which the TPM names
//! the key, certificates for it and the firmware's event log are ours: whoever does not know them
//! leaves them alone.

use super::ccel::MAX_LOG_LEN;
use super::field::base64;
use super::tpm_quote::{MAX_MESSAGE_LEN, MAX_SIGNATURE_LEN, TpmQuote, pcrs};
use crate::authenticity::Refusal;
use crate::budget::Budget;
use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// An RSA key of 4096 bits has less than 600 bytes, in either form.
const MAX_KEY_LEN: usize = 1024;
const MAX_CERTIFICATE_LEN: usize = 8 * 1024;
/// A key's certificate, two authorities and a root.
const MAX_CERTIFICATES: usize = 4;
/// Said again beside the quote; nobody reads it.
const MAX_REPORT_DATA_LEN: usize = 128;

/// What `tpm` evidence consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmAllegation {
    /// The quote; its signature is a `TPMT_SIGNATURE`.
    pub quote: TpmQuote,
    /// The attestation key as `SubjectPublicKeyInfo` in DER.
    pub key: Vec<u8>,
    /// The same key as `TPMT_PUBLIC`, which has what the TPM enforces of it.
    pub public_area: Option<Vec<u8>>,
    /// Certificates in DER, that of the key first, the root last; none for a key that is pinned.
    pub certificates: Vec<Vec<u8>>,
    /// The firmware's event log.
    pub event_log: Option<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    #[serde(borrow)]
    report_data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tpm_quote: QuoteForm<'a>,
    #[serde(borrow)]
    ak_public: Cow<'a, str>,
    #[serde(borrow)]
    ak_area: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ak_certificates: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    event_log: Option<Cow<'a, str>>,
}

/// As of Azure, but in base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuoteForm<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    pcrs: Vec<Cow<'a, str>>,
}

impl TpmAllegation {
    /// The KBS form, as `primary_evidence`. `report_data` is what the quote's nonce is said to be.
    #[must_use]
    pub fn to_kbs_form(&self, report_data: &[u8]) -> String {
        let base64 = |bytes: &[u8]| Value::from(Base64::encode_string(bytes));
        let hex = |pcr: &[u8; 32]| Value::from(base16ct::lower::encode_string(pcr));
        let mut form = json!({
            "report_data": base64(report_data),
            "tpm_quote": {
                "signature": base64(&self.quote.signature),
                "message": base64(&self.quote.message),
                "pcrs": self.quote.pcrs.iter().map(hex).collect::<Vec<_>>(),
            },
            "ak_public": base64(&self.key),
        });
        if let Value::Object(form) = &mut form {
            let mut insert = |member: &str, value| form.insert(member.to_owned(), value);
            if let Some(area) = &self.public_area {
                insert("ak_area", base64(area));
            }
            if !self.certificates.is_empty() {
                let all = self.certificates.iter().map(|der| base64(der));
                insert("ak_certificates", all.collect::<Vec<_>>().into());
            }
            if let Some(log) = &self.event_log {
                insert("event_log", base64(log));
            }
        }
        form.to_string()
    }
}

pub(super) fn read(primary: &str, budget: &mut Budget) -> Result<TpmAllegation, Refusal> {
    let form: Form<'_> = serde_json::from_str(primary).map_err(Refusal::Malformed)?;
    if let Some(said) = &form.report_data {
        base64("report_data", said, MAX_REPORT_DATA_LEN, budget)?;
    }
    if form.ak_certificates.len() > MAX_CERTIFICATES {
        return Err(Refusal::FieldMalformed {
            field: "ak_certificates",
            fault: "has more than 4 certificates",
        });
    }
    let quote = &form.tpm_quote;
    let mut certificates = Vec::new();
    for text in &form.ak_certificates {
        certificates.push(base64(
            "ak_certificates",
            text,
            MAX_CERTIFICATE_LEN,
            budget,
        )?);
    }
    let mut optional = |field, text: &Option<Cow<'_, str>>, max| match text {
        Some(text) => base64(field, text, max, budget).map(Some),
        None => Ok(None),
    };
    Ok(TpmAllegation {
        public_area: optional("ak_area", &form.ak_area, MAX_KEY_LEN)?,
        event_log: optional("event_log", &form.event_log, MAX_LOG_LEN)?,
        quote: TpmQuote {
            message: base64("message", &quote.message, MAX_MESSAGE_LEN, budget)?,
            signature: base64("signature", &quote.signature, MAX_SIGNATURE_LEN, budget)?,
            pcrs: pcrs(&quote.pcrs)?,
        },
        key: base64("ak_public", &form.ak_public, MAX_KEY_LEN, budget)?,
        certificates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allegation() -> TpmAllegation {
        TpmAllegation {
            quote: TpmQuote {
                message: vec![1, 2],
                signature: vec![3],
                pcrs: std::array::from_fn(|index| [u8::try_from(index).unwrap(); 32]),
            },
            key: vec![4],
            public_area: Some(vec![5]),
            certificates: vec![vec![6], vec![7]],
            event_log: Some(vec![8]),
        }
    }

    fn read_all(primary: &str) -> Result<TpmAllegation, Refusal> {
        read(primary, &mut Budget::for_one_round())
    }

    #[test]
    fn the_form_is_read_and_written() {
        let all = allegation();
        assert_eq!(read_all(&all.to_kbs_form(&[9; 64])).unwrap(), all);
        let bare = TpmAllegation {
            public_area: None,
            certificates: Vec::new(),
            event_log: None,
            ..all
        };
        let form = bare.to_kbs_form(&[9; 64]);
        assert!(!form.contains("ak_area") && !form.contains("event_log"));
        assert_eq!(read_all(&form).unwrap(), bare);
    }

    #[test]
    fn the_form_of_the_protocol_alone_is_read() {
        let pcrs = vec!["ab".repeat(32); 24];
        let form = json!({
            "report_data": "CQ==",
            "tpm_quote": {"signature": "Aw==", "message": "AQI=", "pcrs": pcrs},
            "ak_public": "BA==",
        });
        let read = read_all(&form.to_string()).unwrap();
        assert_eq!((read.key, read.public_area), (vec![4], None));
        assert_eq!(read.quote.pcrs, [[0xab; 32]; 24]);
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        let good = allegation().to_kbs_form(&[9; 64]);
        for (from, to) in [
            ("\"ak_public\":\"BA==\"", "\"ak_public\":\"BA\""),
            (
                "\"ak_public\":\"BA==\"",
                "\"ak_public\":\"BA==\",\"more\":1",
            ),
            ("\"ak_public\"", "\"ak_publik\""),
            ("\"message\":\"AQI=\"", "\"message\":\"0102\\n\""),
            ("\"pcrs\":[", "\"pcrs\":[\"00\","),
            ("[\"Bg==\"", "[\"Bg==\",\"\",\"\",\"\""),
            ("\"report_data\":\"", "\"report_data\":\"!"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(read_all(&good.replacen(from, to, 1)).is_err(), "{to}");
        }
        let long = format!("\"event_log\":\"{}\"", "AAAA".repeat(MAX_LOG_LEN / 3 + 2));
        let long = good.replacen("\"event_log\":\"CA==\"", &long, 1);
        assert!(read_all(&long).is_err());
    }

    #[test]
    fn decoding_is_paid_for() {
        let mut budget = Budget::new(crate::Allowance {
            bytes: 2,
            ..crate::Allowance::FOR_ONE_ROUND
        });
        let refused = read(&allegation().to_kbs_form(&[]), &mut budget);
        assert!(matches!(refused, Err(Refusal::OverBudget(_))));
    }
}
