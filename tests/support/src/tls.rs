//! TLS at both ends of a test: a client that pins a CA, and a server.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

use crate::http::HttpMessage;
use crate::pki::Identity;

/// How long either end waits for the other.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A bidirectional stream, plain or TLS.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// How to reach a service.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// The CA that it is pinned to; plain HTTP without.
    pub ca_pem: Option<String>,
}

impl Upstream {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens or the CA cannot be read.
    pub fn connect(&self) -> Result<BufReader<Box<dyn Wire>>> {
        let tcp = TcpStream::connect_timeout(&self.address, TIMEOUT)
            .with_context(|| format!("connect to {}", self.address))?;
        bound(&tcp)?;
        let wire: Box<dyn Wire> = match &self.ca_pem {
            None => Box::new(tcp),
            Some(ca_pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(ca_pem)? {
                    roots.add(certificate).context("trust the CA")?;
                }
                let config =
                    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                        .with_safe_default_protocol_versions()
                        .context("choose TLS versions")?
                        .with_root_certificates(roots)
                        .with_no_client_auth();
                let name = ServerName::try_from("localhost").context("name the server")?;
                let connection = ClientConnection::new(Arc::new(config), name)
                    .context("start a TLS connection")?;
                Box::new(StreamOwned::new(connection, tcp))
            }
        };
        Ok(BufReader::new(wire))
    }
}

/// One kept-alive connection to a service, as a client of the tests.
pub struct ServiceConnection {
    wire: BufReader<Box<dyn Wire>>,
}

impl std::fmt::Debug for ServiceConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceConnection").finish_non_exhaustive()
    }
}

impl ServiceConnection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(upstream: &Upstream) -> Result<Self> {
        Ok(Self {
            wire: upstream.connect()?,
        })
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    /// When the connection ends first.
    pub fn call(&mut self, request: &HttpMessage) -> Result<HttpMessage> {
        request.write(self.wire.get_mut())?;
        HttpMessage::read(&mut self.wire)?.context("the service closed without an answer")
    }
}

/// The server's side, from PEM.
///
/// # Errors
/// When the certificate or key cannot be read.
pub fn server_config(identity: &Identity) -> Result<Arc<ServerConfig>> {
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
        .context("read the server's key")?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(certificates(&identity.certificate_pem)?, key)
        .context("use the server's certificate")?;
    Ok(Arc::new(config))
}

/// Wraps an accepted connection.
///
/// # Errors
/// When TLS cannot be started.
pub fn accept(config: &Arc<ServerConfig>, tcp: TcpStream) -> Result<BufReader<Box<dyn Wire>>> {
    bound(&tcp)?;
    let connection = ServerConnection::new(Arc::clone(config)).context("start TLS")?;
    Ok(BufReader::new(Box::new(StreamOwned::new(connection, tcp))))
}

fn bound(tcp: &TcpStream) -> Result<()> {
    tcp.set_read_timeout(Some(TIMEOUT)).context("bound reads")?;
    tcp.set_write_timeout(Some(TIMEOUT))
        .context("bound writes")?;
    tcp.set_nodelay(true).context("send at once")
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("read certificates")
}
