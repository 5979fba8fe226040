//! TLS as the service offers it: certificate and key from PEM files, clients optionally pinned.

use crate::config::TlsPaths;
use crate::key_file::{KeyFileError, read_secret};
use rustls::server::WebPkiClientVerifier;
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
    ClientCa {
        path: PathBuf,
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    #[error("use certificate {} with its key", certificate.display())]
    Rejected {
        certificate: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// Loads certificate chain and key; with a client CA, every client needs a certificate of it.
pub(crate) fn load(paths: &TlsPaths) -> Result<Arc<ServerConfig>, TlsError> {
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
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(rejected)?;
    let builder = match &paths.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(rejected)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|source| TlsError::ClientCa {
                    path: path.clone(),
                    source,
                })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(rejected)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
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
