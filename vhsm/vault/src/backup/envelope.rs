//! How a part of a backup is sealed to a recipient: a fresh key pair for each, one agreement, one
//! key, one message.
//!
//! ```text
//! part    [head, AES-256-GCM( images, aad = head )]
//! head    [1, kem, SHA-256 of the recipient's SPKI, ephemeral, backup, number, is-last]
//! key     HKDF-SHA256( ECDH( ephemeral, recipient ), salt = that digest,
//!                      info = "nitride backup v1\0" || head )      the nonce is zero
//! ```
//!
//! Whoever knows the recipient's public key can make such a part: it says who may read, and not who
//! wrote. So nothing that is restored may do more than what its administrator could import.

use super::BackupFault;
use nitride_protocol::{DecodeError, EncodeError, Reader, Writer};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, CryptoError, Curve, Ec, HashAlgorithm, KeyAlgorithm, NONCE_LEN,
    TAG_LEN, X25519, hkdf, parse_spki, sha256,
};

/// The format that is written, and the only one that is read.
const FORMAT: u64 = 1;
const INFO: &[u8] = b"nitride backup v1\0";
/// Of the head, encoded.
const MAX_HEAD_LEN: usize = 256;
/// What a part has besides its images: head, tag, and the lengths of both.
pub(super) const OVERHEAD_LEN: usize = MAX_HEAD_LEN + TAG_LEN + 16;

/// The public key that a backup is sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Public {
    P256([u8; 65]),
    X25519([u8; 32]),
}

/// The same, and its name in heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipientKey {
    public: Public,
    digest: [u8; 32],
}

/// Half of an agreement that is never seen outside.
pub(super) enum Private {
    P256(Ec),
    X25519(X25519),
}

/// What stands before the sealed images, in the clear and authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) recipient: [u8; 32],
    ephemeral: Vec<u8>,
    pub(super) backup: [u8; 16],
    pub(super) number: u32,
    pub(super) is_last: bool,
}

impl RecipientKey {
    /// The key in a DER `SubjectPublicKeyInfo`: P-256 or X25519; `None` for anything else.
    #[must_use]
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let found = parse_spki(der)?;
        let public = match found.algorithm {
            KeyAlgorithm::Ec(Curve::P256) => Public::P256(found.key.try_into().ok()?),
            KeyAlgorithm::X25519 => Public::X25519(found.key.try_into().ok()?),
            _ => return None,
        };
        let digest = sha256(&[der]);
        Some(Self { public, digest })
    }

    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    pub(super) fn is_half_of(&self, private: &Private) -> bool {
        match (self.public, private) {
            (Public::P256(point), Private::P256(key)) => key.public_point().as_bytes() == point,
            (Public::X25519(public), Private::X25519(key)) => key.public() == public,
            _ => false,
        }
    }

    fn kem(&self) -> u64 {
        match self.public {
            Public::P256(_) => 1,
            Public::X25519(_) => 2,
        }
    }

    /// A key pair for one part: its public half and what is shared with the recipient.
    fn agree(&self) -> Result<(Vec<u8>, SecretBuf), CryptoError> {
        match &self.public {
            Public::P256(point) => {
                let pair = Ec::generate(Curve::P256)?;
                let shared = pair.ecdh(point)?;
                Ok((pair.public_point().as_bytes().to_vec(), shared))
            }
            Public::X25519(public) => {
                let pair = X25519::generate()?;
                let shared = pair.agree(public)?;
                Ok((pair.public().to_vec(), shared))
            }
        }
    }

    /// Seals `images`, which lie in the arena, as a part.
    pub(super) fn seal(
        &self,
        (backup, number, is_last): ([u8; 16], u32, bool),
        images: &[u8],
    ) -> Result<Vec<u8>, BackupFault> {
        let (ephemeral, shared) = self.agree()?;
        let head = Head {
            recipient: self.digest,
            ephemeral,
            backup,
            number,
            is_last,
        };
        let mut room = [0; MAX_HEAD_LEN];
        let mut writer = Writer::new(&mut room);
        head.write(self.kem(), &mut writer)?;
        let len = writer.position();
        let head = room.get(..len).unwrap_or_default();
        let key = part_key(&shared, &self.digest, head)?;
        let mut sealed = vec![0; images.len() + TAG_LEN];
        key.seal(&[0; NONCE_LEN], &[head], images, &mut sealed)?;
        let mut part = vec![0; images.len() + OVERHEAD_LEN];
        let mut writer = Writer::new(&mut part);
        writer.array(2)?;
        writer.bytes(head)?;
        writer.bytes(&sealed)?;
        let len = writer.position();
        part.truncate(len);
        Ok(part)
    }
}

/// A part that is read, and not opened.
pub(super) struct SealedPart<'p> {
    pub(super) head: Head,
    encoded_head: &'p [u8],
    sealed: &'p [u8],
}

impl<'p> SealedPart<'p> {
    pub(super) fn parse(part: &'p [u8]) -> Result<Self, BackupFault> {
        let mut reader = Reader::new(part);
        reader.array_of(2)?;
        let (encoded_head, sealed) = (reader.bytes()?, reader.bytes()?);
        reader.finish()?;
        Ok(Self {
            head: Head::read(encoded_head)?,
            encoded_head,
            sealed,
        })
    }

    /// The images, in the arena.
    pub(super) fn open(&self, private: &Private) -> Result<SecretBuf, BackupFault> {
        let ephemeral = self.head.ephemeral.as_slice();
        let shared = match private {
            Private::P256(key) => key.ecdh(ephemeral),
            Private::X25519(key) => match ephemeral.try_into() {
                Ok(ephemeral) => key.agree(ephemeral),
                Err(_) => Err(CryptoError::InvalidPoint),
            },
        };
        let shared = shared.map_err(genuine)?;
        let key = part_key(&shared, &self.head.recipient, self.encoded_head)?;
        let len = self.sealed.len().checked_sub(TAG_LEN);
        let mut images = SecretBuf::with_len(len.ok_or(BackupFault::NotGenuine)?)?;
        key.open(
            &[0; NONCE_LEN],
            &[self.encoded_head],
            self.sealed,
            images.expose_mut(),
        )
        .map_err(genuine)?;
        Ok(images)
    }
}

/// What was not made for this key, or was changed, is one fault: which of the two is not known.
fn genuine(error: CryptoError) -> BackupFault {
    match error {
        CryptoError::ArenaFull => error.into(),
        _ => BackupFault::NotGenuine,
    }
}

fn part_key(shared: &SecretBuf, recipient: &[u8; 32], head: &[u8]) -> Result<AeadKey, CryptoError> {
    let info = [INFO, head].concat();
    let key = hkdf(HashAlgorithm::Sha256, shared.expose(), recipient, &info, 32)?;
    AeadKey::new(AeadAlgorithm::Aes256Gcm, key.expose())
}

impl Head {
    fn write(&self, kem: u64, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(7)?;
        writer.u64(FORMAT)?;
        writer.u64(kem)?;
        writer.bytes(&self.recipient)?;
        writer.bytes(&self.ephemeral)?;
        writer.bytes(&self.backup)?;
        writer.u64(self.number.into())?;
        writer.bool(self.is_last)
    }

    fn read(encoded: &[u8]) -> Result<Self, BackupFault> {
        let mut reader = Reader::new(encoded);
        let fields = reader.array()?;
        let format = reader.u64()?;
        // Before anything else: another format may have any fields.
        if format != FORMAT {
            return Err(BackupFault::UnknownFormat { format });
        }
        let at = reader.position();
        let kem = reader.u64()?;
        let recipient = *reader.byte_array("recipient")?;
        let ephemeral = reader.bytes()?;
        let expected_len = match kem {
            1 => 65,
            2 => 32,
            _ => 0,
        };
        if fields != 7 || ephemeral.len() != expected_len {
            let field = "kem";
            return Err(DecodeError::OutOfRange { at, field }.into());
        }
        let head = Self {
            recipient,
            ephemeral: ephemeral.to_vec(),
            backup: *reader.byte_array("backup")?,
            number: reader.u32("number")?,
            is_last: reader.bool()?,
        };
        reader.finish()?;
        Ok(head)
    }
}
