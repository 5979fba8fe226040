//! What authentic evidence must contain, computed by the verifier and never taken from the guest.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What authentic evidence must contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What binds challenge and key (`nitride_kbs::report_data`).
    pub report_data: ReportData,
    /// The digest of the init-data that came with the evidence, if any did: the hardware must have
    /// measured it at launch for it to be believed.
    pub init_data: Option<InitDataDigest>,
}

impl Expected {
    /// `report_data` and no init-data.
    #[must_use]
    pub fn of(report_data: impl Into<ReportData>) -> Self {
        Self {
            report_data: report_data.into(),
            init_data: None,
        }
    }
}

/// Up to 64 bytes that a report must carry; what its field has beyond them must be zero.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportData(Vec<u8>);

/// More bytes than any report carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("report data of {len} bytes, a report carries at most {max}", max = ReportData::MAX_LEN)]
pub struct ReportDataTooLong {
    /// The bytes given.
    pub len: usize,
}

impl ReportData {
    /// The widest field of any TEE.
    pub const MAX_LEN: usize = 64;

    /// Takes up to [`Self::MAX_LEN`] bytes.
    ///
    /// # Errors
    ///
    /// [`ReportDataTooLong`].
    pub fn new(bytes: &[u8]) -> Result<Self, ReportDataTooLong> {
        if bytes.len() > Self::MAX_LEN {
            return Err(ReportDataTooLong { len: bytes.len() });
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes as given, without padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `field` has these bytes and zeros after them, in time that does not depend on where
    /// they differ.
    #[must_use]
    pub fn fills(&self, field: &[u8]) -> bool {
        let Some((stated, rest)) = field.split_at_checked(self.0.len()) else {
            return false;
        };
        let rest_is_zero = rest.iter().fold(0u8, |all, byte| all | byte).ct_eq(&0);
        bool::from(stated.ct_eq(&self.0) & rest_is_zero)
    }
}

impl From<[u8; 48]> for ReportData {
    fn from(bytes: [u8; 48]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<[u8; 64]> for ReportData {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes.to_vec())
    }
}

impl fmt::Debug for ReportData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportData({})", base16ct::lower::encode_string(&self.0))
    }
}

impl From<DeviceNonce> for ReportData {
    fn from(nonce: DeviceNonce) -> Self {
        Self(nonce.0.to_vec())
    }
}

/// What the report of a further device must carry. SPDM gives it 32 bytes, and the hash that binds
/// challenge and key has 48: the first 32 of them, as the KBS protocol's other speakers take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNonce([u8; 32]);

impl DeviceNonce {
    /// Of `nitride_kbs::report_data::device_report_data`.
    #[must_use]
    pub fn of(report_data: &[u8; 48]) -> Self {
        let mut nonce = [0; 32];
        for (to, from) in nonce.iter_mut().zip(report_data) {
            *to = *from;
        }
        Self(nonce)
    }
}

/// The digest of init-data by the algorithm that it names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitDataDigest(Vec<u8>);

/// Init-data that has no digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InitDataFault {
    /// Only TOML is known.
    #[error("init-data of format {0:?}; only \"toml\" is known")]
    Format(String),
    /// Not the form.
    #[error("init-data is not of its form: {0}")]
    Form(String),
    /// Another version.
    #[error("init-data of version {0:?}; only \"0.1.0\" is known")]
    Version(String),
    /// Another hash.
    #[error("init-data names the algorithm {0:?}; use sha256, sha384 or sha512")]
    Algorithm(String),
}

/// The form that the KBS protocol gives init-data. What stands in `data` is the guest's business.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InitDataForm {
    version: String,
    algorithm: String,
    #[serde(rename = "data")]
    _data: BTreeMap<String, String>,
}

impl InitDataDigest {
    /// Hashes `body` as it stands, by the algorithm that it names.
    ///
    /// # Errors
    ///
    /// [`InitDataFault`].
    pub fn of(format: &str, body: &str) -> Result<Self, InitDataFault> {
        if format != "toml" {
            return Err(InitDataFault::Format(format.to_owned()));
        }
        let form: InitDataForm = toml::from_str(body)
            .map_err(|error| InitDataFault::Form(error.message().replace('\n', ", ")))?;
        if form.version != "0.1.0" {
            return Err(InitDataFault::Version(form.version));
        }
        let algorithm = match form.algorithm.as_str() {
            "sha256" => &SHA256,
            "sha384" => &SHA384,
            "sha512" => &SHA512,
            _ => return Err(InitDataFault::Algorithm(form.algorithm)),
        };
        Ok(Self(digest(algorithm, body.as_bytes()).as_ref().to_vec()))
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `field` is this digest, with zeros after it where the field is wider. A digest that
    /// is wider than the field never fits: half a digest is another promise.
    #[must_use]
    pub fn fills(&self, field: &[u8]) -> bool {
        ReportData(self.0.clone()).fills(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_data_fills_a_field_only_with_zeros_behind_it() {
        let data = ReportData::new(&[7; 48]).unwrap();
        let mut field = [0; 64];
        field[..48].fill(7);
        assert!(data.fills(&field));
        assert!(data.fills(&field[..48]));
        assert!(!data.fills(&field[..47]));
        field[63] = 1;
        assert!(!data.fills(&field));
        field[63] = 0;
        field[0] = 6;
        assert!(!data.fills(&field));
        assert_eq!(
            ReportData::new(&[0; 65]),
            Err(ReportDataTooLong { len: 65 })
        );
    }

    #[test]
    fn a_device_binds_the_first_32_bytes_of_its_report_data() {
        let hash: [u8; 48] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let nonce = ReportData::from(DeviceNonce::of(&hash));
        assert_eq!(nonce.as_bytes(), &hash[..32]);
    }

    #[test]
    fn init_data_is_hashed_as_it_says() {
        let body = |algorithm: &str| {
            format!("version = \"0.1.0\"\nalgorithm = \"{algorithm}\"\n[data]\na = \"b\"\n")
        };
        for (algorithm, len) in [("sha256", 32), ("sha384", 48), ("sha512", 64)] {
            let digest = InitDataDigest::of("toml", &body(algorithm)).unwrap();
            assert_eq!(digest.as_bytes().len(), len);
            assert!(digest.fills(&[digest.as_bytes(), &[0; 3]].concat()));
            assert!(!digest.fills(&digest.as_bytes()[1..]));
        }
        assert!(matches!(
            InitDataDigest::of("toml", &body("sm3")),
            Err(InitDataFault::Algorithm(_))
        ));
        assert!(matches!(
            InitDataDigest::of("json", "{}"),
            Err(InitDataFault::Format(_))
        ));
        assert!(matches!(
            InitDataDigest::of("toml", "version = 1"),
            Err(InitDataFault::Form(_))
        ));
        let other = body("sha256").replace("0.1.0", "0.2.0");
        assert!(matches!(
            InitDataDigest::of("toml", &other),
            Err(InitDataFault::Version(_))
        ));
    }
}
