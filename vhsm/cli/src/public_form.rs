//! A key's public half as other programs read it.

use crate::answer::Answer;
use crate::arguments::PublicForm;
use crate::failure::Failure;
use crate::present;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use nitride_client::{PublicHalf, PublicKey, PublicKeyFault};
use serde_json::{Value, json};

pub(crate) fn written(key: PublicKey, form: PublicForm) -> Result<Answer, Failure> {
    Ok(match form {
        PublicForm::Der => Answer::public("spki", Some(key.version), key.spki),
        PublicForm::Pem => present::pem(&key),
        PublicForm::Jwk => {
            let jwk = jwk(&key)?;
            Answer::Text {
                text: format!("{jwk}\n"),
                json: jwk,
            }
        }
        PublicForm::Openssh => {
            let (name, blob) = key.openssh()?;
            let body = Base64::encode_string(&blob);
            let text = format!("{name} {body}\n");
            let json = json!({ "version": key.version, "openssh": text.trim_end() });
            Answer::Text { text, json }
        }
    })
}

/// RFC 7517 and 7518 (EC, RSA), 8037 (OKP); ML-DSA and ML-KEM as the key type AKP of the JOSE
/// group's drafts.
fn jwk(key: &PublicKey) -> Result<Value, PublicKeyFault> {
    let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    Ok(match key.half()? {
        PublicHalf::Ec { curve, x, y } => json!({
            "kty": "EC", "crv": curve.jwk_name(), "x": text(x), "y": text(y),
        }),
        PublicHalf::Ed25519(x) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(x) }),
        PublicHalf::X25519(x) => json!({ "kty": "OKP", "crv": "X25519", "x": text(x) }),
        PublicHalf::Rsa { modulus, exponent } => json!({
            "kty": "RSA", "n": text(modulus), "e": text(exponent),
        }),
        PublicHalf::MlDsa65(public) => json!({
            "kty": "AKP", "alg": "ML-DSA-65", "pub": text(public),
        }),
        PublicHalf::MlKem768(public) => json!({
            "kty": "AKP", "alg": "ML-KEM-768", "pub": text(public),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8037, appendix A.
    #[test]
    fn an_ed25519_key_is_the_jwk_of_the_rfc() {
        let public = Base64UrlUnpadded::decode_vec("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let head = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        let key = PublicKey {
            version: 1,
            spki: [&head[..], &public.unwrap()].concat(),
        };
        assert_eq!(
            jwk(&key).unwrap(),
            json!({
                "kty": "OKP", "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            })
        );
        let Ok(Answer::Text { text, .. }) = written(key, PublicForm::Openssh) else {
            panic!("not text");
        };
        assert!(
            text.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"),
            "{text}"
        );
    }
}
