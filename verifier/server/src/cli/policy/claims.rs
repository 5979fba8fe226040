//! Claims for a trial, from a file: nobody vouches for them, and nothing is released for them.

use crate::config::read_text;
use anyhow::{Context, Result, bail};
use base64ct::{Base64UrlUnpadded, Encoding};
use nitride_kbs::token::{EAR_PROFILE, EarClaims, PRIMARY_SUBMOD};
use nitride_verify::Tee;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Reads a token, the payload of one, or the claims of one TEE under its name.
pub(super) fn read(path: &Path) -> Result<EarClaims> {
    let text = read_text(path)?;
    parse(text.trim()).with_context(|| format!("read claims from {}", path.display()))
}

fn parse(text: &str) -> Result<EarClaims> {
    if text.starts_with('{') {
        let value: Value = serde_json::from_str(text).context("it is not JSON")?;
        let Value::Object(members) = value else {
            bail!("it is not an object");
        };
        let payload = match one_tee(&members) {
            Some(tee) => affirmed(tee, members),
            None => with_envelope(members),
        };
        return serde_json::from_value(payload).context("it is not a token's payload");
    }
    let mut parts = text.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        bail!("it is neither a token nor JSON");
    };
    let payload = Base64UrlUnpadded::decode_vec(payload)
        .ok()
        .context("the token's payload is not base64url")?;
    serde_json::from_slice(&payload).context("the token's payload is not one")
}

/// The TEE, if the one member is named for it.
fn one_tee(members: &Map<String, Value>) -> Option<Tee> {
    let mut names = members.keys();
    let tee = Tee::parse(names.next()?)?;
    names.next().is_none().then_some(tee)
}

/// What the service would say if it found nothing wrong.
fn affirmed(tee: Tee, claims: Map<String, Value>) -> Value {
    let submod = json!({
        "ear.status": "affirming",
        "ear.veraison.annotated-evidence": claims,
    });
    let mut members = Map::new();
    members.insert("submods".to_owned(), json!({ PRIMARY_SUBMOD: submod }));
    members.insert("nitride.simulated".to_owned(), (tee == Tee::Sample).into());
    members.insert("nitride.debug".to_owned(), false.into());
    with_envelope(members)
}

/// What every token has and no rule asks for.
fn with_envelope(mut members: Map<String, Value>) -> Value {
    for (name, value) in [
        ("eat_profile", Value::from(EAR_PROFILE)),
        ("iss", "".into()),
        ("iat", 0.into()),
        ("exp", 0.into()),
    ] {
        members.entry(name).or_insert(value);
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_claims_is_read() {
        let sample = parse(r#"{"sample":{"svn":"1"}}"#).unwrap();
        assert_eq!(sample.simulated, Some(true));
        let snp = parse(r#"{"snp":{"measurement":"00"}}"#).unwrap();
        assert_eq!((snp.simulated, snp.debug), (Some(false), Some(false)));
        let payload = sample.to_json();
        assert_eq!(parse(&payload).unwrap(), sample);
        let token = format!(
            "e30.{}.AAAA",
            Base64UrlUnpadded::encode_string(payload.as_bytes())
        );
        assert_eq!(parse(&token).unwrap(), sample);
    }

    #[test]
    fn what_is_no_claims_is_refused() {
        for text in [
            "",
            "x",
            "a.b",
            "a.b.c.d",
            "a.!.c",
            "{",
            "[]",
            "{\"submods\":1}",
            "{\"colour\":{}}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
