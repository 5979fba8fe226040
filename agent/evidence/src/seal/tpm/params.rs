//! What is kept to open the sealed object again. Whoever keeps it may change it.

use crate::seal::SealError;

/// What these params begin with.
const MAGIC: &[u8; 8] = b"tpm key1";
/// Longest private part; one of a 32-byte secret has about 160 bytes.
const MAX_PRIVATE_LEN: usize = 1024;

/// Of one sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Params {
    /// One bit a PCR of the SHA-256 bank.
    pub(crate) pcrs: u32,
    /// The storage key's name: SHA-256 and what it is of.
    pub(crate) parent: [u8; 34],
    /// The policy's digest, which has the PCRs' values in it.
    pub(crate) policy: [u8; 32],
    /// The digest that the TPM put into the public part.
    pub(crate) unique: [u8; 32],
    /// The private part, encrypted by the TPM.
    pub(crate) private: Vec<u8>,
    /// The counter's NV index.
    pub(crate) counter: Option<u32>,
}

impl Params {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.pcrs.to_be_bytes());
        bytes.extend_from_slice(&self.counter.unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&self.parent);
        bytes.extend_from_slice(&self.policy);
        bytes.extend_from_slice(&self.unique);
        bytes.extend_from_slice(&self.private);
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        Self::read(bytes).ok_or_else(|| SealError::Foreign {
            reason: "the params are not of a TPM".to_owned(),
        })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (pcrs, rest) = rest.split_first_chunk::<4>()?;
        let (counter, rest) = rest.split_first_chunk::<4>()?;
        let (parent, rest) = rest.split_first_chunk::<34>()?;
        let (policy, rest) = rest.split_first_chunk::<32>()?;
        let (unique, private) = rest.split_first_chunk::<32>()?;
        if magic != MAGIC || private.is_empty() || private.len() > MAX_PRIVATE_LEN {
            return None;
        }
        Some(Self {
            pcrs: u32::from_be_bytes(*pcrs),
            parent: *parent,
            policy: *policy,
            unique: *unique,
            private: private.to_owned(),
            counter: Some(u32::from_be_bytes(*counter)).filter(|index| *index != 0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MAX_PARAMS_LEN;

    fn params() -> Params {
        Params {
            pcrs: 0b1000_0001,
            parent: [1; 34],
            policy: [2; 32],
            unique: [3; 32],
            private: vec![4; MAX_PRIVATE_LEN],
            counter: Some(0x0180_0000),
        }
    }

    #[test]
    fn params_read_back_within_their_limit() {
        for counter in [None, Some(0x0180_0000)] {
            let params = Params {
                counter,
                ..params()
            };
            let bytes = params.to_bytes();
            assert!(bytes.len() <= MAX_PARAMS_LEN);
            assert_eq!(Params::parse(&bytes).unwrap(), params);
        }
    }

    #[test]
    fn anything_else_is_foreign() {
        let bytes = params().to_bytes();
        for len in 0..=bytes.len() - MAX_PRIVATE_LEN {
            assert!(Params::parse(&bytes[..len]).is_err());
        }
        assert!(Params::parse(&[&bytes[..], b"x"].concat()).is_err());
        assert!(Params::parse(&[b"tpm key2", &bytes[8..]].concat()).is_err());
    }
}
