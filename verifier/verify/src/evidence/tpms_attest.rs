//! What a TPM says and signs: TPM 2.0 Library, part 2, `TPMS_ATTEST` (10.12.12) of the kind that
//! `TPM2_Quote` makes, and `TPMT_SIGNATURE` (11.3.4). Big-endian, unlike all else here.

use super::cursor::Cursor;
use thiserror::Error;

/// `TPM_GENERATED_VALUE`: with which nothing begins that a restricted key signs for others.
pub const MAGIC: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
pub const ATTEST_QUOTE: u16 = 0x8018;
/// `TPM_ALG_SHA256`.
pub const SHA256: u16 = 0x000b;
/// The PCRs of a PC client's TPM.
pub const PCR_COUNT: usize = 24;

/// A quote has less than 300 bytes with the widest nonce and a bank or two.
const MAX_ATTEST_LEN: usize = 1024;
/// More banks than any TPM has.
const MAX_SELECTIONS: u32 = 8;
pub(super) const RSASSA: u16 = 0x0014;
pub(super) const ECDSA: u16 = 0x0018;

/// A quote's statement. All of it is alleged until its signature is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteStatement<'a> {
    /// The nonce.
    pub extra_data: &'a [u8],
    /// How often the TPM was reset.
    pub reset_count: u32,
    /// How often it was restarted or resumed since.
    pub restart_count: u32,
    /// Which PCRs of which banks.
    pub selections: Vec<PcrSelection>,
    /// The digest over them.
    pub pcr_digest: &'a [u8],
}

/// Some PCRs of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcrSelection {
    /// The bank, a `TPM_ALG_ID`.
    pub hash: u16,
    /// One bit a PCR, PCR 0 lowest.
    pub pcrs: u32,
}

/// Why bytes are no quote's statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AttestMalformed {
    /// Too long.
    #[error("a TPM statement of {len} bytes; at most {MAX_ATTEST_LEN} are read")]
    TooLong {
        /// The length.
        len: usize,
    },
    /// No TPM made it.
    #[error("a TPM statement begins with {0:#010x}, not with TPM_GENERATED_VALUE")]
    Magic(u32),
    /// It states something else.
    #[error("a TPM statement is of type {0:#06x}, not a quote")]
    Type(u16),
    /// A part is not whole, or something comes after.
    #[error("a TPM quote is not of its form")]
    Form,
}

impl<'a> QuoteStatement<'a> {
    /// Reads a statement, with nothing after it.
    ///
    /// # Errors
    ///
    /// [`AttestMalformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AttestMalformed> {
        if bytes.len() > MAX_ATTEST_LEN {
            return Err(AttestMalformed::TooLong { len: bytes.len() });
        }
        let mut cursor = Cursor::new(bytes);
        let magic = be_u32(&mut cursor).ok_or(AttestMalformed::Form)?;
        if magic != MAGIC {
            return Err(AttestMalformed::Magic(magic));
        }
        let kind = be_u16(&mut cursor).ok_or(AttestMalformed::Form)?;
        if kind != ATTEST_QUOTE {
            return Err(AttestMalformed::Type(kind));
        }
        let statement = Self::body(&mut cursor).ok_or(AttestMalformed::Form)?;
        if cursor.rest().is_empty() {
            Ok(statement)
        } else {
            Err(AttestMalformed::Form)
        }
    }

    fn body(cursor: &mut Cursor<'a>) -> Option<Self> {
        // Qualified name of the signer: it names the key, which is known otherwise.
        sized(cursor)?;
        let extra_data = sized(cursor)?;
        // TPMS_CLOCK_INFO: the clock, and after two counters whether it is safe.
        cursor.take(8)?;
        let reset_count = be_u32(cursor)?;
        let restart_count = be_u32(cursor)?;
        cursor.take(1)?;
        // The TPM's firmware, a number of its maker's.
        cursor.take(8)?;
        let selections = selections(cursor)?;
        let pcr_digest = sized(cursor)?;
        Some(Self {
            extra_data,
            reset_count,
            restart_count,
            selections,
            pcr_digest,
        })
    }
}

/// `TPML_PCR_SELECTION`.
fn selections(cursor: &mut Cursor<'_>) -> Option<Vec<PcrSelection>> {
    let count = be_u32(cursor)?;
    if count > MAX_SELECTIONS {
        return None;
    }
    let mut selections = Vec::new();
    for _ in 0..count {
        let hash = be_u16(cursor)?;
        let [len] = *cursor.array::<1>()?;
        if len > 4 {
            return None;
        }
        let mut bits = [0; 4];
        let stated = cursor.take(usize::from(len))?;
        bits.get_mut(..stated.len())?.copy_from_slice(stated);
        let pcrs = u32::from_le_bytes(bits);
        selections.push(PcrSelection { hash, pcrs });
    }
    Some(selections)
}

/// A signature in one of the two schemes that attestation keys have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TpmSignature<'a> {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsassa(&'a [u8]),
    /// ECDSA over P-256 with SHA-256: r and s, 32 bytes each.
    Ecdsa([u8; 64]),
}

/// Why bytes are no signature that is known here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureMalformed {
    /// Another scheme.
    #[error("a TPM signature of scheme {0:#06x}; RSASSA and ECDSA are known")]
    Scheme(u16),
    /// Another hash.
    #[error("a TPM signature with hash {0:#06x}; SHA-256 is known")]
    Hash(u16),
    /// A part is not whole, too long, or something comes after.
    #[error("a TPM signature is not of its form")]
    Form,
}

impl<'a> TpmSignature<'a> {
    /// Reads a signature, with nothing after it.
    ///
    /// # Errors
    ///
    /// [`SignatureMalformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignatureMalformed> {
        let mut cursor = Cursor::new(bytes);
        let scheme = be_u16(&mut cursor).ok_or(SignatureMalformed::Form)?;
        if scheme != RSASSA && scheme != ECDSA {
            return Err(SignatureMalformed::Scheme(scheme));
        }
        let hash = be_u16(&mut cursor).ok_or(SignatureMalformed::Form)?;
        if hash != SHA256 {
            return Err(SignatureMalformed::Hash(hash));
        }
        let signature = if scheme == RSASSA {
            sized(&mut cursor).map(Self::Rsassa)
        } else {
            ecdsa(&mut cursor).map(Self::Ecdsa)
        };
        match signature {
            Some(signature) if cursor.rest().is_empty() => Ok(signature),
            _ => Err(SignatureMalformed::Form),
        }
    }
}

/// r and s, which a TPM may write without their leading zeros.
fn ecdsa(cursor: &mut Cursor<'_>) -> Option<[u8; 64]> {
    let mut fixed = [0; 64];
    for half in fixed.chunks_exact_mut(32) {
        let number = sized(cursor)?;
        let start = half.len().checked_sub(number.len())?;
        half.get_mut(start..)?.copy_from_slice(number);
    }
    Some(fixed)
}

pub(super) fn be_u16(cursor: &mut Cursor<'_>) -> Option<u16> {
    cursor.array().map(|bytes| u16::from_be_bytes(*bytes))
}

pub(super) fn be_u32(cursor: &mut Cursor<'_>) -> Option<u32> {
    cursor.array().map(|bytes| u32::from_be_bytes(*bytes))
}

/// `TPM2B_…`: as many bytes as the number before them says.
pub(super) fn sized<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = be_u16(cursor)?;
    cursor.take(usize::from(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quote() -> Vec<u8> {
        let mut quote = b"\xff\x54\x43\x47\x80\x18\0\x02ab\0\x03xyz".to_vec();
        quote.extend([0; 8]);
        quote.extend([0, 0, 0, 5, 0, 0, 0, 6, 1]);
        quote.extend([0; 8]);
        quote.extend([0, 0, 0, 1, 0, 11, 3, 0x11, 0, 0x80]);
        quote.extend([0, 2, 9, 9]);
        quote
    }

    #[test]
    fn a_quote_is_read_field_by_field() {
        let bytes = quote();
        let selected = PcrSelection {
            hash: SHA256,
            pcrs: 0x80_0011,
        };
        let wanted = QuoteStatement {
            extra_data: b"xyz",
            reset_count: 5,
            restart_count: 6,
            selections: vec![selected],
            pcr_digest: &[9, 9],
        };
        assert_eq!(QuoteStatement::parse(&bytes), Ok(wanted));
    }

    #[test]
    fn what_is_no_quote_is_refused_by_its_reason() {
        let mut bytes = quote();
        bytes[0] = 0;
        let refused = QuoteStatement::parse(&bytes);
        assert_eq!(refused, Err(AttestMalformed::Magic(0x0054_4347)));
        let mut bytes = quote();
        bytes[5] = 0x17;
        let refused = QuoteStatement::parse(&bytes);
        assert_eq!(refused, Err(AttestMalformed::Type(0x8017)));
        let mut bytes = quote();
        for len in 0..bytes.len() {
            let refused = QuoteStatement::parse(&bytes[..len]);
            assert_eq!(refused, Err(AttestMalformed::Form), "{len}");
        }
        bytes.push(0);
        assert_eq!(QuoteStatement::parse(&bytes), Err(AttestMalformed::Form));
        let refused = QuoteStatement::parse(&[0; 1025]);
        assert_eq!(refused, Err(AttestMalformed::TooLong { len: 1025 }));
        // Nine banks, and a selection of five bytes.
        for (at, value) in [(43, 9), (46, 5)] {
            let mut bytes = quote();
            bytes[at] = value;
            assert_eq!(QuoteStatement::parse(&bytes), Err(AttestMalformed::Form));
        }
    }

    #[test]
    fn signatures_of_both_schemes_are_read() {
        let rsa = [0, 0x14, 0, 11, 0, 2, 7, 8];
        assert_eq!(TpmSignature::parse(&rsa), Ok(TpmSignature::Rsassa(&[7, 8])));
        let mut fixed = [0; 64];
        (fixed[31], fixed[62], fixed[63]) = (7, 8, 9);
        let ecdsa = [0, 0x18, 0, 11, 0, 1, 7, 0, 2, 8, 9];
        assert_eq!(TpmSignature::parse(&ecdsa), Ok(TpmSignature::Ecdsa(fixed)));
        for (bad, fault) in [
            (&rsa[..7], SignatureMalformed::Form),
            (&[0, 0x14, 0, 11, 0, 0, 1], SignatureMalformed::Form),
            (&[0, 0x16, 0, 11], SignatureMalformed::Scheme(0x16)),
            (&[0, 0x14, 0, 4], SignatureMalformed::Hash(4)),
        ] {
            assert_eq!(TpmSignature::parse(bad), Err(fault));
        }
        let long = [&[0, 0x18, 0, 11, 0, 33][..], &[1; 33], &[0, 1, 1]].concat();
        assert_eq!(TpmSignature::parse(&long), Err(SignatureMalformed::Form));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0..60usize,
            value: u8,
        ) {
            let _ = (QuoteStatement::parse(&bytes), TpmSignature::parse(&bytes));
            let mut changed = quote();
            if let Some(byte) = changed.get_mut(at) {
                *byte = value;
            }
            let _ = QuoteStatement::parse(&changed);
            let _ = QuoteStatement::parse(&[&quote()[..6], &bytes].concat());
        }
    }
}
