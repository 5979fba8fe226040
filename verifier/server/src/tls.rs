//! TLS as the service offers it: certificate and key from PEM files, clients optionally pinned. The files are
//! renewed by others (certbot and the like), and taken anew where they lie ([`crate::renewal`]).

use crate::config::TlsPaths;
use crate::key_file::{KeyFileError, read_secret};
use nitride_verify::Budget;
use nitride_verify::x509::{Certificate, CertificateFault};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
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
    #[error("use the authorities in {}", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("choose versions of TLS")]
    Versions(#[source] rustls::Error),
    #[error("verify certificates of clients")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("use certificate {} with its key", certificate.display())]
    Rejected {
        certificate: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// What the files were like when they were looked at; a renewal changes it, whatever it does to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<Option<FileStamp>>);

/// Device, inode, length, and when it was written. Of a link, that which it leads to.
type FileStamp = (u64, u64, u64, (i64, i64));

/// Certificate and key, as they lie in their files and as they are offered now.
#[derive(Debug)]
pub(crate) struct Offer {
    paths: TlsPaths,
    admin_cas: Vec<PathBuf>,
    /// The files as they were read last, whatever came of it.
    tried: Mutex<Stamp>,
    now: RwLock<Offered>,
}

#[derive(Debug, Clone)]
struct Offered {
    config: Arc<ServerConfig>,
    ends_secs: u64,
}

impl Offer {
    /// Reads them for the first time.
    pub(crate) fn load(paths: &TlsPaths, admin_cas: Vec<PathBuf>) -> Result<Self, TlsError> {
        // Before they are read: what is changed meanwhile is seen to be changed.
        let tried = Stamp::of(paths);
        Ok(Self {
            now: RwLock::new(Offered::load(paths, &admin_cas)?),
            paths: paths.clone(),
            admin_cas,
            tried: Mutex::new(tried),
        })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.now().config.clone()
    }

    /// When the certificate ends, in seconds since 1970.
    pub(crate) fn ends_secs(&self) -> u64 {
        self.now().ends_secs
    }

    /// What the files are like now, if that is not how they were read. Blocks on the disk.
    pub(crate) fn changed(&self) -> Option<Stamp> {
        let stamp = Stamp::of(&self.paths);
        (stamp != *self.tried()).then_some(stamp)
    }

    /// Reads them anew; a broken pair changes nothing, and is not read again as it is. Blocks on the
    /// disk.
    pub(crate) fn renew(&self, stamp: Stamp) -> Result<(), TlsError> {
        *self.tried() = stamp;
        let offered = Offered::load(&self.paths, &self.admin_cas)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = offered;
        Ok(())
    }

    fn now(&self) -> Offered {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    fn tried(&self) -> MutexGuard<'_, Stamp> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offered {
    fn load(paths: &TlsPaths, admin_cas: &[PathBuf]) -> Result<Self, TlsError> {
        Ok(Self {
            config: load(paths, admin_cas)?,
            ends_secs: ends_secs(paths)?,
        })
    }
}

impl Stamp {
    fn of(paths: &TlsPaths) -> Self {
        let files = [&paths.certificate, &paths.key].into_iter();
        let files = files.chain(&paths.client_ca);
        Self(files.map(|path| file_stamp(path)).collect())
    }
}

fn file_stamp(path: &Path) -> Option<FileStamp> {
    let found = fs::metadata(path).ok()?;
    let written = (found.mtime(), found.mtime_nsec());
    Some((found.dev(), found.ino(), found.size(), written))
}

/// Loads certificate chain and key; with a client CA, every client needs a certificate of it. Under
/// the authorities of admins a client may bring one: whether it is an admin's is found out where
/// it asks for something.
fn load(paths: &TlsPaths, admin_cas: &[PathBuf]) -> Result<Arc<ServerConfig>, TlsError> {
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

/// TLS towards others: the pinned authorities and nobody that the system trusts, and a certificate to show
/// with its key, if there is one.
pub(crate) fn client_config(
    ca: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|source| TlsError::Authority {
                path: path.to_owned(),
                source,
            })?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let pem = read_secret(key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::NoKey {
        path: key.to_owned(),
        source,
    })?;
    builder
        .with_client_auth_cert(certificates(certificate)?, key)
        .map_err(|source| TlsError::Rejected {
            certificate: certificate.to_owned(),
            source,
        })
}

/// When the service's certificate ends, in seconds since 1970.
fn ends_secs(paths: &TlsPaths) -> Result<u64, TlsError> {
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
