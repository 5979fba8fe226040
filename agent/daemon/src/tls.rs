//! Whom to trust: the pinned CA, and nobody that the system trusts.

use crate::config::{ClientIdentity, Tls};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest PEM file in bytes.
const MAX_PEM_LEN: u64 = 1 << 20;

/// Why TLS cannot be set up as configured.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("cannot read {}", .path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: the file is larger than {MAX_PEM_LEN} bytes", .path.display())]
    TooLarge { path: PathBuf },
    #[error("{} is no PEM file with a {what}", .path.display())]
    Pem {
        path: PathBuf,
        what: &'static str,
        source: pem::Error,
    },
    #[error("{} has a certificate that cannot be a trust anchor", .path.display())]
    Anchor {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("{} may be read by everybody: take that right away", .path.display())]
    KeyForEverybody { path: PathBuf },
    #[error("{} may be written by everybody: take that right away", .path.display())]
    EverybodyWrites { path: PathBuf },
    #[error("cannot use {} as client certificate", .path.display())]
    Client {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The configuration of one service's connections.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|source| TlsError::Anchor {
            path: tls.ca.clone(),
            source,
        })?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots);
    match &tls.client {
        None => Ok(builder.with_no_client_auth()),
        Some(ClientIdentity { cert, key }) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|source| TlsError::Client {
                path: cert.clone(),
                source,
            }),
    }
}

/// At least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (text, _) = read(path)?;
    let malformed = |source| TlsError::Pem {
        path: path.to_owned(),
        what: "certificate",
        source,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(malformed)?;
    match found.is_empty() {
        true => Err(malformed(pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_secret(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
        source,
    })
}

/// A file that is for nobody but its owner and its group.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let (text, mode) = read(path)?;
    let text = Zeroizing::new(text);
    match mode & 0o007 {
        0 => Ok(text),
        _ => Err(TlsError::KeyForEverybody {
            path: path.to_owned(),
        }),
    }
}

/// A file that not everybody can write, and its mode.
fn read(path: &Path) -> Result<(Vec<u8>, u32), TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(TlsError::EverybodyWrites {
            path: path.to_owned(),
        });
    }
    file.take(MAX_PEM_LEN + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    match text.len() as u64 > MAX_PEM_LEN {
        true => Err(TlsError::TooLarge {
            path: path.to_owned(),
        }),
        false => Ok((text, mode)),
    }
}
