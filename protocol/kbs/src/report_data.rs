//! What the evidence is made over: a hash that binds the challenge and the TEE key.

use crate::audit_head::AuditHead;
use crate::tee_key::TeePublicKey;
use sha2::{Digest, Sha384};

/// `SHA-384(JCS({"additional-evidence","nonce","tee-pubkey"}))` for the primary device.
///
/// `additional_evidence` is the text that goes into the `attest` request, empty without devices.
/// SNP and TDX pad the 48 bytes with zeros to 64.
pub fn report_data(nonce: &str, key: &TeePublicKey, additional_evidence: &str) -> [u8; 48] {
    report_data_with_head(nonce, key, additional_evidence, None)
}

/// The same with the head of the vault's audit as a member `nitride-audit-head`, where there is one: a
/// service of ours offers to witness it, and computes this; to every other nothing changes.
pub fn report_data_with_head(
    nonce: &str,
    key: &TeePublicKey,
    additional_evidence: &str,
    audit_head: Option<&AuditHead>,
) -> [u8; 48] {
    let audit_head = audit_head.map_or_else(String::new, |head| {
        format!(r#""nitride-audit-head":"{head}","#)
    });
    let text = format!(
        r#"{{"additional-evidence":{},{audit_head}"nonce":{},"tee-pubkey":{}}}"#,
        canonical(additional_evidence),
        canonical(nonce),
        key.to_jwk_json(),
    );
    Sha384::digest(text.as_bytes()).into()
}

/// `SHA-384(JCS({"nonce","tee-pubkey"}))`, the runtime hash for each additional device.
pub fn device_report_data(nonce: &str, key: &TeePublicKey) -> [u8; 48] {
    let text = format!(
        r#"{{"nonce":{},"tee-pubkey":{}}}"#,
        canonical(nonce),
        key.to_jwk_json(),
    );
    Sha384::digest(text.as_bytes()).into()
}

/// A string as RFC 8785, 3.2.2.2 spells it: `\b \t \n \f \r \" \\` short, other controls `\u00xx`
/// in lower case, and nothing else escaped. serde_json writes just that; a test holds it to it.
fn canonical(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "Le+ufDeHlV73E/wKRnP77EnZS10c+oXMASUFxR6BOmQ=";

    fn key() -> TeePublicKey {
        TeePublicKey::parse(r#"{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"4NUXj5NxFdcPEdqNbrW_fYWQnRbQgrqkiXdFLOWxYFQ","y":"udSzbwTP71PNZiVSXswOcNZKa3BvMDkparTVQ0QG-Zo"}"#).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_published_vector_comes_out() {
        assert_eq!(
            hex(&report_data(NONCE, &key(), "")),
            "57c27780c1f2a91f82ba020fae572c6c77899a21b09611e5bb360b0f440fa5e7f6ceb054019eb7cf92f3cf889a9a012a"
        );
    }

    #[test]
    fn nonce_key_and_devices_each_change_the_hash() {
        let ours = report_data(NONCE, &key(), "");
        let TeePublicKey::EcP256 { x, y } = key() else {
            panic!("another form");
        };
        assert_ne!(report_data("other", &key(), ""), ours);
        assert_ne!(report_data(NONCE, &key(), "{}"), ours);
        assert_ne!(
            report_data(NONCE, &TeePublicKey::EcP256 { x: y, y: x }, ""),
            ours
        );
        assert_ne!(device_report_data(NONCE, &key()), ours);
    }

    #[test]
    fn an_audits_head_changes_the_hash_and_none_is_the_protocol_s_own() {
        let head = |text: String| text.parse::<AuditHead>().unwrap();
        let one = head(format!("1:{}", "0a".repeat(32)));
        let two = head(format!("2:{}", "0a".repeat(32)));
        let with = |head: Option<&AuditHead>| report_data_with_head(NONCE, &key(), "", head);
        assert_eq!(with(None), report_data(NONCE, &key(), ""));
        assert_ne!(with(Some(&one)), with(None));
        assert_ne!(with(Some(&one)), with(Some(&two)));
        // As a second implementation of RFC 8785 has it: members in the order of their names.
        let text = serde_json::json!({
            "additional-evidence": "", "nitride-audit-head": one.to_string(), "nonce": NONCE,
        });
        let text = text
            .to_string()
            .replace('}', &format!(r#","tee-pubkey":{}}}"#, key().to_jwk_json()));
        assert_eq!(with(Some(&one)).as_slice(), Sha384::digest(text).as_slice());
    }

    #[test]
    fn a_nonce_cannot_break_out_of_its_member() {
        let injected = "\",\"tee-pubkey\":{}}";
        assert_eq!(canonical(injected), r#""\",\"tee-pubkey\":{}}""#);
    }

    #[test]
    fn strings_are_spelled_as_rfc_8785_says() {
        assert_eq!(
            canonical("\u{8}\t\n\u{c}\r\"\\/\u{1}\u{1f}\u{7f}é€\u{2028}😀"),
            "\"\\b\\t\\n\\f\\r\\\"\\\\/\\u0001\\u001f\u{7f}é€\u{2028}😀\""
        );
    }
}
