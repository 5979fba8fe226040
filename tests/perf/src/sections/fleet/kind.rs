//! What simulated machines say: prepared bytes, with holes for what a challenge changes.

use super::wire::Answer;
use anyhow::{Context, Result, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::digest::{Context as Hash, SHA256};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use nitride_kbs::jwe::concat_kdf_other_info;
use nitride_kbs::report_data::report_data;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_vectors::keys::EcKey;
use nitride_vectors::snp::Vector;
use nitride_verify::SnpAllegation;
use serde_json::Value;
use std::fmt::Write;

/// Where the resource is, if there is one.
pub(super) const RESOURCE: &str = "fleet/secret/one";
/// Of a report, what is signed, and where report data is in it (56860, table 23).
const SIGNED_LEN: usize = 0x2A0;
const REPORT_DATA_AT: usize = 0x50;
const SCALAR_LEN: usize = 48;

/// A kind of machine, by its evidence.
pub(super) struct Kind {
    /// As the report calls it.
    pub(super) name: &'static str,
    auth: Vec<u8>,
    evidence: Evidence,
}

enum Evidence {
    Sample,
    Snp(Box<SnpForm>),
}

/// A report in the KBS form, cut where report data and signature are.
struct SnpForm {
    signed: Vec<u8>,
    pieces: [String; 4],
}

/// The key of one machine, made beforehand.
pub(super) struct Identity {
    key: PrivateKey,
    public: TeePublicKey,
    jwk: String,
}

impl Identity {
    pub(super) fn draw() -> Result<Self> {
        let key = PrivateKey::generate(&ECDH_P256)?;
        let point = key.compute_public_key()?;
        let point = point.as_ref().try_into().context("an uncompressed point")?;
        let public = TeePublicKey::from_point(point)?;
        let jwk = public.to_jwk_json();
        Ok(Self { key, public, jwk })
    }

    /// What is in a JWE to this key: that what is served is the resource is seen once.
    pub(super) fn open(&self, jwe: &str) -> Result<Vec<u8>> {
        let part = |object: &Value, name: &str| -> Result<Vec<u8>> {
            let text = object[name].as_str();
            let text = text.with_context(|| format!("the JWE has no {name}"))?;
            Ok(Base64UrlUnpadded::decode_vec(text)?)
        };
        let jwe: Value = serde_json::from_str(jwe)?;
        let header: Value = serde_json::from_slice(&part(&jwe, "protected")?)?;
        let sender = [
            vec![4],
            part(&header["epk"], "x")?,
            part(&header["epk"], "y")?,
        ]
        .concat();
        let sender = UnparsedPublicKey::new(&ECDH_P256, sender);
        let key = agree(
            &self.key,
            sender,
            anyhow::anyhow!("no agreement"),
            |shared| {
                let mut kdf = Hash::new(&SHA256);
                kdf.update(&1_u32.to_be_bytes());
                kdf.update(shared);
                kdf.update(&concat_kdf_other_info());
                Ok(kdf.finish())
            },
        )?;
        let mut content_key = [0; 32];
        AesKek::new(&AES_256, key.as_ref())?
            .unwrap(&part(&jwe, "encrypted_key")?, &mut content_key)?;
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key)?);
        let nonce = Nonce::try_assume_unique_for_key(&part(&jwe, "iv")?)?;
        let aad = Aad::from(jwe["protected"].as_str().unwrap_or_default());
        let mut sealed = [part(&jwe, "ciphertext")?, part(&jwe, "tag")?].concat();
        Ok(cipher.open_in_place(nonce, aad, &mut sealed)?.to_vec())
    }
}

impl Kind {
    pub(super) fn sample() -> Self {
        Self::new("sample", "sample", Evidence::Sample)
    }

    /// One chip, and its report anew for each challenge.
    pub(super) fn snp(vector: &Vector) -> Result<Self> {
        let form = SnpForm::cut(&vector.allegation)?;
        Ok(Self::new("SNP", "snp", Evidence::Snp(Box::new(form))))
    }

    fn new(name: &'static str, tee: &str, evidence: Evidence) -> Self {
        let body = format!(
            r#"{{"version":"0.4.0","tee":"{tee}","extra-params":{{"supported-hash-algorithms":["sha256","sha384","sha512"]}}}}"#
        );
        Self {
            name,
            auth: post("auth", "", &body),
            evidence,
        }
    }

    pub(super) fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// The request that answers a challenge.
    pub(super) fn attest(&self, identity: &Identity, challenge: Answer<'_>) -> Result<Vec<u8>> {
        let nonce = challenge.member("nonce")?;
        let data = report_data(nonce, &identity.public, "");
        let evidence = match &self.evidence {
            Evidence::Sample => {
                let data = Base64::encode_string(&data);
                format!(r#"{{"svn":"1","report_data":"{data}"}}"#)
            }
            Evidence::Snp(form) => form.fill(&data)?,
        };
        let body = format!(
            r#"{{"init-data":null,"runtime-data":{{"nonce":"{nonce}","tee-pubkey":{}}},"tee-evidence":{{"primary_evidence":{evidence},"additional_evidence":""}}}}"#,
            identity.jwk
        );
        let cookie = format!("Cookie: {}\r\n", challenge.cookie()?);
        Ok(post("attest", &cookie, &body))
    }
}

/// The request for a resource with a token.
pub(super) fn get(resource: &str, token: &str) -> Vec<u8> {
    format!(
        "GET /kbs/v0/resource/{resource} HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

fn post(path: &str, header: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!(
        "POST /kbs/v0/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         {header}Content-Length: {len}\r\n\r\n{body}"
    )
    .into_bytes()
}

impl SnpForm {
    fn cut(allegation: &SnpAllegation) -> Result<Self> {
        let form = allegation.to_kbs_form();
        let form = form.context("a good report has a KBS form")?;
        let mut rest = form.as_str();
        let mut pieces = [const { String::new() }; 4];
        for (piece, list) in pieces
            .iter_mut()
            .zip(["\"report_data\":[", "\"r\":[", "\"s\":["])
        {
            let from = rest.find(list).context("a list in the form")? + list.len();
            let to = rest.get(from..).and_then(|rest| rest.find(']'));
            let to = from + to.context("the list's end")?;
            piece.push_str(rest.get(..from).unwrap_or_default());
            rest = rest.get(to..).unwrap_or_default();
        }
        rest.clone_into(&mut pieces[3]);
        let signed = allegation.report.get(..SIGNED_LEN);
        Ok(Self {
            signed: signed.context("a report is longer")?.to_vec(),
            pieces,
        })
    }

    fn fill(&self, data: &[u8; SCALAR_LEN]) -> Result<String> {
        let mut signed = self.signed.clone();
        let place = signed.get_mut(REPORT_DATA_AT..REPORT_DATA_AT + 64);
        let place = place.context("report data")?;
        let mut padded = [0; 64];
        padded[..SCALAR_LEN].copy_from_slice(data);
        place.copy_from_slice(&padded);
        let signature = EcKey::p384().sign(&signed);
        ensure!(signature.len() == 2 * SCALAR_LEN, "a signature of P-384");
        let [before, first, second, after] = &self.pieces;
        let mut text = String::with_capacity(16 * 1024);
        text.push_str(before);
        list(&mut text, &padded)?;
        for (piece, scalar) in [first, second]
            .into_iter()
            .zip(signature.chunks(SCALAR_LEN))
        {
            text.push_str(piece);
            // Little-endian, in 72 bytes.
            let mut field = [0; 72];
            for (to, from) in field.iter_mut().zip(scalar.iter().rev()) {
                *to = *from;
            }
            list(&mut text, &field)?;
        }
        text.push_str(after);
        Ok(text)
    }
}

fn list(text: &mut String, bytes: &[u8]) -> Result<()> {
    for (at, byte) in bytes.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(text, "{comma}{byte}")?;
    }
    Ok(())
}
