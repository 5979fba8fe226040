//! X.509 as attestation needs it: bounded parsing of certificates and revocation lists, and their
//! signatures over the bytes as they came. Building chains is each platform's own business, since
//! each has another shape.

mod certificate;
mod crl;
mod ec_key;
mod memo;
mod pem;
mod rsa_key;
mod signature;

pub use certificate::{Certificate, CertificateFault};
pub use crl::{Crl, CrlFault};
pub use ec_key::p256_spki;
pub use memo::ChainMemo;
pub use rsa_key::rsa_spki;
pub use signature::{PublicKey, SignatureAlgorithm, SignatureFault};

pub(crate) use pem::split_pem;

use der::{Encode, Reader, SliceReader};
use x509_cert::time::Time;

/// The three parts of everything that X.509 signs (RFC 5280, 4.1.1), as they came.
struct Signed<'a> {
    /// What is signed, with its header.
    body: &'a [u8],
    /// The algorithm, with its header.
    algorithm: &'a [u8],
}

impl<'a> Signed<'a> {
    fn split(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut outer = SliceReader::new(der)?;
        let signed = outer.sequence(|inner| {
            let body = inner.tlv_bytes()?;
            let algorithm = inner.tlv_bytes()?;
            inner.tlv_bytes()?;
            Ok::<_, der::Error>(Self { body, algorithm })
        })?;
        outer.finish()?;
        Ok(signed)
    }
}

fn unix_secs(time: Time) -> u64 {
    time.to_unix_duration().as_secs()
}

/// A name in DER, for comparison: two names are the same here if they are written the same.
fn name_der(name: &x509_cert::name::Name) -> Result<Vec<u8>, der::Error> {
    name.to_der()
}
