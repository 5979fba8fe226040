//! Admins whom a client certificate names, under a pinned authority.

use super::AdminError;
use crate::config::CertificateSettings;
use crate::tls::{self, TlsError};
use nitride_verify::Budget;
use nitride_verify::x509::Certificate;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The chain that a client proved to have the key of, its own certificate first. Under which authority
/// is not said by it.
#[derive(Debug, Clone)]
pub(crate) struct ClientChain(Arc<[CertificateDer<'static>]>);

/// Which of an authority's certificates is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CertificateIdentity {
    /// The one with this SHA-256 over its DER.
    Sha256([u8; 32]),
    /// Each whose alternative names have this DNS name, in these letters; upper case is no other.
    Dns(String),
}

/// Whose certificate it has to be, and which one.
pub(super) struct CertificateRule {
    verifier: Arc<dyn ClientCertVerifier>,
    identity: CertificateIdentity,
}

impl ClientChain {
    /// `None` without a certificate.
    pub(crate) fn new(chain: Option<&[CertificateDer<'static>]>) -> Option<Self> {
        let chain = chain.filter(|chain| !chain.is_empty())?;
        Some(Self(chain.to_vec().into()))
    }

    /// SHA-256 over the DER of the client's own certificate.
    #[cfg(test)]
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0[0]).into()
    }
}

impl CertificateRule {
    pub(super) fn load(admin: &str, settings: &CertificateSettings) -> Result<Self, AdminError> {
        let path = &settings.ca;
        let verifier = tls::client_verifier(std::slice::from_ref(path), true).map_err(
            |source: TlsError| AdminError::Authority {
                path: path.clone(),
                admin: admin.to_owned(),
                source: source.into(),
            },
        )?;
        Ok(Self {
            verifier,
            identity: settings.identity.clone(),
        })
    }

    /// Whether the chain is of this rule's authority, in time, and of the identity that is wanted. That
    /// the client has the key was proven in the handshake.
    pub(super) fn check(&self, chain: &ClientChain, now_secs: u64) -> Result<(), String> {
        let (own, between) = chain.0.split_first().ok_or("no client certificate")?;
        let is_meant = match &self.identity {
            CertificateIdentity::Sha256(digest) => Sha256::digest(own).as_slice() == digest,
            CertificateIdentity::Dns(name) => is_of_name(own, name),
        };
        if !is_meant {
            return Err("another client certificate".to_owned());
        }
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_secs));
        let verified = self.verifier.verify_client_cert(own, between, now);
        verified.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Exactly: an asterisk in a certificate stands for servers' names, and no admin is meant by it.
fn is_of_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let certificate = Certificate::parse(certificate, &mut Budget::for_one_round());
    let names = certificate.map(|certificate| certificate.dns_names());
    let names = names.unwrap_or_default();
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

impl fmt::Debug for CertificateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRule")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
