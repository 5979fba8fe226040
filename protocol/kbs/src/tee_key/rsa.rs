use std::fmt;

/// Least bits of a modulus: below it a key is within reach of whoever records the answer.
const MIN_MODULUS_BITS: usize = 2048;
/// Most bits of a modulus: each encryption costs its square.
const MAX_MODULUS_BITS: usize = 4096;
/// Least exponent that is taken (NIST SP 800-56B, 6.2).
const MIN_EXPONENT: u32 = 65_537;

/// An RSA key within bounds: 2048 to 4096 bits, odd, with an odd exponent of 65537 to 2^32.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RsaPublicKey {
    modulus: Box<[u8]>,
    exponent: u32,
}

impl RsaPublicKey {
    /// Takes both numbers, big-endian and without leading zeros (RFC 7518, 2 "Base64urlUInt").
    /// `None` outside the bounds.
    pub fn new(modulus: Vec<u8>, exponent: &[u8]) -> Option<Self> {
        let first = *modulus.first().filter(|first| **first != 0)?;
        let zeros = usize::try_from(first.leading_zeros()).ok()?;
        let bits = modulus.len().checked_mul(8)?.checked_sub(zeros)?;
        let is_odd = modulus.last().is_some_and(|last| last & 1 == 1);
        let exponent = small(exponent)?;
        let within = (MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&bits)
            && is_odd
            && exponent >= MIN_EXPONENT
            && exponent & 1 == 1;
        within.then(|| Self {
            modulus: modulus.into_boxed_slice(),
            exponent,
        })
    }

    /// The modulus, big-endian, without leading zeros: 256 to 512 bytes.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The exponent, big-endian, without leading zeros.
    pub fn exponent(&self) -> Vec<u8> {
        let bytes = self.exponent.to_be_bytes();
        bytes.into_iter().skip_while(|byte| *byte == 0).collect()
    }
}

fn small(bytes: &[u8]) -> Option<u32> {
    if bytes.len() > 4 || bytes.first().is_none_or(|first| *first == 0) {
        return None;
    }
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "RsaPublicKey({} bits)",
            self.modulus.len().saturating_mul(8)
        )
    }
}
