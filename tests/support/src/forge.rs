//! Making what a hostile service, owner or courier would make: tokens and envelopes with any
//! content, signed by any key.

use anyhow::{Context, Result};
use base64ct::{Base64UrlUnpadded, Encoding};
use nitride_kbs::envelope::{self, EnvelopeFields};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use sha2::Digest;

/// A P-256 key of the test's.
#[derive(Clone)]
pub struct Signatory {
    key: SigningKey,
}

impl std::fmt::Debug for Signatory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signatory")
    }
}

impl Signatory {
    /// A key that is always the same for the same number.
    ///
    /// # Errors
    /// When the number gives no key, which none does.
    pub fn numbered(number: u8) -> Result<Self> {
        let mut scalar = [0x42; 32];
        scalar[31] = number;
        let key = SigningKey::from_slice(&scalar).context("make a key")?;
        Ok(Self { key })
    }

    /// The key in a PKCS#8 PEM file, such as the service's token key.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = SigningKey::from_pkcs8_pem(pem).context("read a key")?;
        Ok(Self { key })
    }

    /// The public key, SPKI PEM.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn public_pem(&self) -> Result<String> {
        self.key
            .verifying_key()
            .to_public_key_pem(LineEnding::LF)
            .context("write a public key")
    }

    /// The public key as a JWK.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let point = self.key.verifying_key().to_sec1_point(false);
        let bytes = point.as_bytes();
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256",
            "x": Base64UrlUnpadded::encode_string(&bytes[1..33]),
            "y": Base64UrlUnpadded::encode_string(&bytes[33..65]),
        })
    }

    /// `r || s` over SHA-256 of the message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.key.sign(message);
        signature.to_bytes().into()
    }

    /// The id under which the service's tools sign: SHA-256 of the SPKI.
    ///
    /// # Errors
    /// When the public key cannot be written.
    pub fn kid(&self) -> Result<Vec<u8>> {
        let spki = self
            .key
            .verifying_key()
            .to_public_key_der()
            .context("write a public key")?;
        Ok(sha2::Sha256::digest(spki.as_bytes()).to_vec())
    }

    /// An envelope under any id.
    ///
    /// # Errors
    /// When the fields do not make one.
    pub fn envelope(&self, kid: &[u8], fields: &EnvelopeFields<'_>) -> Result<Vec<u8>> {
        let signed = envelope::to_be_signed(kid, fields).context("write what is signed")?;
        envelope::assemble(kid, fields, &self.sign(&signed)).context("write the envelope")
    }
}

/// A JWT taken apart.
#[derive(Clone, Debug)]
pub struct OpenToken {
    /// The header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

impl OpenToken {
    /// Takes a token apart without looking at its signature.
    ///
    /// # Errors
    /// When it is no JWT.
    pub fn open(token: &str) -> Result<Self> {
        let mut parts = token.split('.').map(|part| -> Result<Value> {
            let bytes = Base64UrlUnpadded::decode_vec(part)
                .ok()
                .context("not base64url")?;
            serde_json::from_slice(&bytes).context("not JSON")
        });
        let mut next = || parts.next().context("a token has three parts")?;
        Ok(Self {
            header: next()?,
            claims: next()?,
        })
    }

    /// Puts it together again under a key.
    #[must_use]
    pub fn sign(&self, signatory: &Signatory) -> String {
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature = Base64UrlUnpadded::encode_string(&signatory.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_kbs::token::UnverifiedToken;

    #[test]
    fn a_forged_token_has_the_form_of_a_token() -> Result<()> {
        let token = OpenToken {
            header: json!({"alg": "ES256", "typ": "JWT"}),
            claims: json!({"iss": "nobody"}),
        };
        let text = token.sign(&Signatory::numbered(1)?);
        assert!(UnverifiedToken::parse(&text).is_ok());
        assert_eq!(OpenToken::open(&text)?.claims["iss"], "nobody");
        Ok(())
    }
}
