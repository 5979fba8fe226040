//! TLS as the service offers it: certificate and key from PEM files, clients optionally pinned.

use crate::config::TlsPaths;
use crate::key_file::{KeyFileError, read_secret};
use nitride_verify::Budget;
use nitride_verify::x509::{Certificate, CertificateFault};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why TLS cannot be offered.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("read certificates of {}", path.display())]
    Certificates {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("the first certificate of {} cannot be read", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: CertificateFault,
    },
    #[error("{} has no certificate in PEM", path.display())]
    NoCertificate { path: PathBuf },
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    #[error("{} has no private key in PEM", path.display())]
    NoKey {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("use {} for clients", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("verify certificates of clients")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("use certificate {} with its key", certificate.display())]
    Rejected {
        certificate: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// Loads certificate chain and key; with a client CA, every client needs a certificate of it. Under
/// the authorities of admins a client may bring one: whether it is an admin's is found out where
/// it asks for something.
pub(crate) fn load(paths: &TlsPaths, admin_cas: &[PathBuf]) -> Result<Arc<ServerConfig>, TlsError> {
    let rejected = |source| TlsError::Rejected {
        certificate: paths.certificate.clone(),
        source,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&paths.certificate)?;
    let pem = read_secret(&paths.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::NoKey {
        path: paths.key.clone(),
        source,
    })?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(rejected)?;
    let mut authorities = admin_cas.to_vec();
    authorities.extend(paths.client_ca.clone());
    let builder = match authorities.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder
            .with_client_cert_verifier(client_verifier(&authorities, paths.client_ca.is_some())?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(rejected)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What certificates of clients under these authorities are verified by.
pub(crate) fn client_verifier(
    authorities: &[PathBuf],
    is_mandatory: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in authorities {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|source| TlsError::Authority {
                path: path.clone(),
                source,
            })?;
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match is_mandatory {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    Ok(builder.build()?)
}

/// When the service's certificate ends, in seconds since 1970.
pub(crate) fn ends_secs(paths: &TlsPaths) -> Result<u64, TlsError> {
    let path = &paths.certificate;
    let chain = certificates(path)?;
    let none = || TlsError::NoCertificate { path: path.clone() };
    let certificate = chain.first().ok_or_else(none)?;
    let certificate = Certificate::parse(certificate, &mut Budget::for_one_round());
    let certificate = certificate.map_err(|source| TlsError::Malformed {
        path: path.clone(),
        source,
    })?;
    Ok(certificate.validity_secs().1)
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Certificates {
        path: path.to_owned(),
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}
