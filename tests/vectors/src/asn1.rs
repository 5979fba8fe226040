//! Writes DER by hand, so that certificates may be wrong in whichever way a vector needs.

use crate::keys::{EcKey, RsaKey, Salt};
use der::asn1::ObjectIdentifier;

/// A tag, a length and a content.
#[must_use]
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![tag];
    let bytes: Vec<u8> = len
        .to_be_bytes()
        .into_iter()
        .skip_while(|b| *b == 0)
        .collect();
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            out.push(0x80 | u8::try_from(bytes.len()).expect("a length of at most 8 bytes"));
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

/// SEQUENCE of parts.
#[must_use]
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// INTEGER that is not negative.
#[must_use]
pub fn integer(number: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = number
        .to_be_bytes()
        .into_iter()
        .skip_while(|b| *b == 0)
        .collect();
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    tlv(0x02, &bytes)
}

/// INTEGER from a number in big-endian bytes.
fn positive(number: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = number.iter().copied().skip_while(|b| *b == 0).collect();
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    tlv(0x02, &bytes)
}

/// OBJECT IDENTIFIER from its dotted form.
#[must_use]
pub fn oid(dotted: &str) -> Vec<u8> {
    let oid: ObjectIdentifier = dotted.parse().expect("an object identifier");
    tlv(0x06, oid.as_bytes())
}

/// BIT STRING of whole bytes.
#[must_use]
pub fn bit_string(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

/// A name with nothing but a common name.
#[must_use]
pub fn name(common_name: &str) -> Vec<u8> {
    let attribute = sequence(&[&oid("2.5.4.3"), &tlv(0x0C, common_name.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

/// UTCTime of a text such as `260101000000Z`.
#[must_use]
pub fn utc_time(text: &str) -> Vec<u8> {
    tlv(0x17, text.as_bytes())
}

/// RSASSA-PSS with SHA-384, MGF1-SHA-384, and the salt length that it states.
#[must_use]
pub fn rsa_pss(salt_len: u64) -> Vec<u8> {
    let sha384 = sequence(&[&oid("2.16.840.1.101.3.4.2.2"), &tlv(0x05, &[])]);
    let mgf1 = sequence(&[&oid("1.2.840.113549.1.1.8"), &sha384]);
    let parameters = sequence(&[
        &tlv(0xA0, &sha384),
        &tlv(0xA1, &mgf1),
        &tlv(0xA2, &integer(salt_len)),
    ]);
    sequence(&[&oid("1.2.840.113549.1.1.10"), &parameters])
}

/// One extension: its identifier, whether it is critical, and its value.
pub type ExtensionDraft = (&'static str, bool, Vec<u8>);

/// A certificate before it is signed. Every part may be set to what it must not be.
#[derive(Debug, Clone)]
pub struct CertificateDraft {
    /// 1 or 3.
    pub version: u64,
    /// The serial number.
    pub serial: u64,
    /// The issuer's common name.
    pub issuer: String,
    /// The subject's common name.
    pub subject: String,
    /// The first second, as UTCTime.
    pub not_before: &'static str,
    /// The last.
    pub not_after: &'static str,
    /// The subject's key, as `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// The extensions.
    pub extensions: Vec<ExtensionDraft>,
    /// The salt that the signature states and has.
    pub salt: Salt,
    /// A byte of the signature is changed after signing.
    pub spoil_signature: bool,
}

impl CertificateDraft {
    /// The certificate, signed.
    #[must_use]
    pub fn sign(&self, key: &RsaKey) -> Vec<u8> {
        let algorithm = rsa_pss(self.salt.stated_len());
        let body = self.body(&algorithm);
        signed(&body, &algorithm, key, self.salt, self.spoil_signature)
    }

    /// The certificate, signed with ECDSA over P-384 and SHA-384.
    #[must_use]
    pub fn sign_p384(&self, key: &EcKey) -> Vec<u8> {
        let algorithm = sequence(&[&oid("1.2.840.10045.4.3.3")]);
        let body = self.body(&algorithm);
        let fixed = key.sign(&body);
        let (r, s) = fixed.split_at(fixed.len() / 2);
        let signature = sequence(&[&positive(r), &positive(s)]);
        sequence(&[&body, &algorithm, &bit_string(&signature)])
    }

    fn body(&self, algorithm: &[u8]) -> Vec<u8> {
        let version = match self.version {
            1 => Vec::new(),
            version => tlv(0xA0, &integer(version - 1)),
        };
        let validity = sequence(&[&utc_time(self.not_before), &utc_time(self.not_after)]);
        sequence(&[
            &version,
            &integer(self.serial),
            algorithm,
            &name(&self.issuer),
            &validity,
            &name(&self.subject),
            &self.spki,
            &extensions(&self.extensions),
        ])
    }

    /// Replaces the value of an extension.
    pub fn set_extension(&mut self, oid: &str, value: Vec<u8>) {
        for extension in &mut self.extensions {
            if extension.0 == oid {
                extension.2.clone_from(&value);
            }
        }
    }

    /// Takes an extension away.
    pub fn remove_extension(&mut self, oid: &str) {
        self.extensions.retain(|extension| extension.0 != oid);
    }
}

/// A revocation list before it is signed.
#[derive(Debug, Clone)]
pub struct CrlDraft {
    /// The issuer's common name.
    pub issuer: String,
    /// When it was made, as UTCTime.
    pub this_update: &'static str,
    /// Until when the next one is promised.
    pub next_update: &'static str,
    /// The serial numbers that are revoked.
    pub revoked: Vec<u64>,
    /// A byte of the signature is changed after signing.
    pub spoil_signature: bool,
}

impl CrlDraft {
    /// The list, signed.
    #[must_use]
    pub fn sign(&self, key: &RsaKey) -> Vec<u8> {
        self.sign_with_extensions(&[], key)
    }

    /// The list with extensions of its own, each in DER, signed.
    #[must_use]
    pub fn sign_with_extensions(&self, extensions: &[Vec<u8>], key: &RsaKey) -> Vec<u8> {
        let extensions = match extensions {
            [] => Vec::new(),
            list => tlv(0xA0, &tlv(0x30, &list.concat())),
        };
        let algorithm = rsa_pss(48);
        let revoked: Vec<Vec<u8>> = self
            .revoked
            .iter()
            .map(|serial| sequence(&[&integer(*serial), &utc_time(self.this_update)]))
            .collect();
        let revoked = match revoked.as_slice() {
            [] => Vec::new(),
            list => tlv(0x30, &list.concat()),
        };
        let body = sequence(&[
            &integer(1),
            &algorithm,
            &name(&self.issuer),
            &utc_time(self.this_update),
            &utc_time(self.next_update),
            &revoked,
            &extensions,
        ]);
        signed(&body, &algorithm, key, Salt::Len48, self.spoil_signature)
    }
}

fn signed(body: &[u8], algorithm: &[u8], key: &RsaKey, salt: Salt, spoil: bool) -> Vec<u8> {
    let mut signature = key.sign(body, salt);
    if spoil && let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
    sequence(&[body, algorithm, &bit_string(&signature)])
}

fn extensions(list: &[ExtensionDraft]) -> Vec<u8> {
    if list.is_empty() {
        return Vec::new();
    }
    let list: Vec<Vec<u8>> = list
        .iter()
        .map(|(id, critical, value)| {
            let critical = if *critical {
                tlv(0x01, &[0xFF])
            } else {
                Vec::new()
            };
            sequence(&[&oid(id), &critical, &tlv(0x04, value)])
        })
        .collect();
    tlv(0xA3, &tlv(0x30, &list.concat()))
}
