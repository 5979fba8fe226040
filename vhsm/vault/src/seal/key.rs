use super::stream::Chunks;
use super::{Head, SealFault};
use nitride_secmem::SecretBuf;
use nitride_secmem::crypto::{AeadAlgorithm, AeadKey, HashAlgorithm, hkdf};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

const INFO: &[u8] = b"nitride seal v1\0";
/// Bytes of the platform's part, at least.
pub const MIN_PART_LEN: usize = 32;

/// The key of one file, in the arena. That of a new head seals once; that of a head that was read
/// opens, and never seals: what it sealed would repeat the nonces of the file that is there.
pub struct SealingKey {
    pub(super) key: AeadKey,
    digest: [u8; 32],
    may_seal: AtomicBool,
}

impl SealingKey {
    pub(super) fn derive(
        head: &Head,
        platform_part: &[u8],
        provisioned_part: Option<&[u8]>,
    ) -> Result<Self, SealFault> {
        let len = platform_part.len();
        if len < MIN_PART_LEN {
            return Err(SealFault::ShortPart { len });
        }
        let parts = [Some(platform_part), provisioned_part];
        let parts = || parts.iter().flatten();
        let mut mixed = SecretBuf::with_len(parts().map(|part| 4 + part.len()).sum())?;
        let mut rest = mixed.expose_mut();
        for part in parts() {
            // A length beyond this does not fit the arena either.
            let len = u32::try_from(part.len()).map_err(|_| SealFault::TooLong)?;
            for bytes in [&len.to_be_bytes(), *part] {
                let (place, left) = rest.split_at_mut_checked(bytes.len()).ok_or(SHORT)?;
                place.copy_from_slice(bytes);
                rest = left;
            }
        }
        let digest = head.digest()?;
        let info = [INFO, &digest].concat();
        let key = hkdf(
            HashAlgorithm::Sha256,
            mixed.expose(),
            &head.salt,
            &info,
            AeadAlgorithm::Aes256Gcm.key_len(),
        )?;
        Ok(Self {
            key: AeadKey::new(AeadAlgorithm::Aes256Gcm, key.expose())?,
            digest,
            may_seal: AtomicBool::new(head.is_new()),
        })
    }

    /// A genuine file of whatever items: for whoever tries the decoder.
    ///
    /// # Errors
    /// As [`crate::Vault::seal`].
    pub fn seal_anything(&self, head: &Head, items: &[u8]) -> Result<Vec<u8>, SealFault> {
        self.spend(head)?;
        let mut chunks = Chunks::new(head, self)?;
        chunks.push(items)?;
        chunks.finish()
    }

    /// Whether it is that of `head`; gives what is authenticated with each chunk.
    pub(super) fn of(&self, head: &Head) -> Result<[u8; 32], SealFault> {
        if self.digest != head.digest()? {
            return Err(SealFault::OtherHead);
        }
        Ok(self.digest)
    }

    /// Takes the one time that it may seal.
    pub(super) fn spend(&self, head: &Head) -> Result<(), SealFault> {
        self.of(head)?;
        match self.may_seal.swap(false, Ordering::SeqCst) {
            true => Ok(()),
            false => Err(SealFault::KeySpent),
        }
    }
}

/// The buffer has exactly the parts' length.
const SHORT: SealFault = SealFault::Inconsistent {
    what: "the length of the parts",
};

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(redacted)")
    }
}
