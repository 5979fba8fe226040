use std::fmt;
use zeroize::Zeroizing;

/// Length of a platform's part of the sealing key.
pub const PLATFORM_SECRET_LEN: usize = 32;

/// A platform's part of the sealing key: in one place, erased when dropped.
pub struct PlatformSecret(Box<Zeroizing<[u8; PLATFORM_SECRET_LEN]>>);

impl PlatformSecret {
    /// All zeroes, for `fill` to write in place.
    pub(crate) fn filled<E>(
        fill: impl FnOnce(&mut [u8; PLATFORM_SECRET_LEN]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut secret = Box::new(Zeroizing::new([0; PLATFORM_SECRET_LEN]));
        fill(&mut secret)?;
        Ok(Self(secret))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; PLATFORM_SECRET_LEN] {
        &self.0
    }
}

impl fmt::Debug for PlatformSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlatformSecret(<32 bytes>)")
    }
}
