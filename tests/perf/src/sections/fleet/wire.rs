//! A simulated machine's connection: HTTP/1.1 over TLS, which never waits.

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

/// Longer than any answer here is.
const MAX_ANSWER_LEN: usize = 64 * 1024;

/// Where the service is, and how it is spoken to.
pub(super) struct Service {
    pub(super) address: SocketAddrV4,
    pub(super) tls: Arc<ClientConfig>,
}

/// One connection, for one request after another.
pub(super) struct Wire {
    tcp: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
}

/// A whole answer.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) head: &'a str,
    pub(super) body: &'a str,
}

impl Service {
    /// With this certificate, as it is in the file.
    pub(super) fn new(address: SocketAddrV4, certificate_pem: &str) -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pinned = Pinned {
            certificate: CertificateDer::from_pem_slice(certificate_pem.as_bytes())?.into_owned(),
            provider: Arc::clone(&provider),
        };
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        // A machine that boots has no tickets.
        tls.resumption = Resumption::disabled();
        Ok(Self {
            address,
            tls: Arc::new(tls),
        })
    }
}

impl Wire {
    /// Begins to connect, from a source address of its own: what the service counts by source is
    /// then each machine's.
    pub(super) fn connect(source: Ipv4Addr, service: &Service) -> Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let tcp = socket(AddressFamily::Inet, SockType::Stream, flags, None)
            .context("open a socket; 4,100 open files are needed")?;
        bind(
            tcp.as_raw_fd(),
            &SockaddrIn::from(SocketAddrV4::new(source, 0)),
        )
        .with_context(|| format!("bind to {source}"))?;
        match connect(tcp.as_raw_fd(), &SockaddrIn::from(service.address)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(error) => return Err(error).context("connect"),
        }
        let tcp = TcpStream::from(tcp);
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        Ok(Self {
            tcp,
            tls: ClientConnection::new(Arc::clone(&service.tls), name)?,
            received: Vec::new(),
        })
    }

    /// Sends a request as far as that goes without waiting; the answer before it is forgotten.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.received.clear();
        self.tls.writer().write_all(request)?;
        self.write()
    }

    /// Goes as far as it goes without waiting.
    pub(super) fn advance(&mut self) -> Result<()> {
        self.write()?;
        loop {
            match self.tls.read_tls(&mut self.tcp) {
                Ok(0) => bail!("the service has closed the connection"),
                Ok(_) => {}
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error).context("receive"),
            }
            let len = self.tls.process_new_packets()?.plaintext_bytes_to_read();
            let before = self.received.len();
            ensure!(before + len <= MAX_ANSWER_LEN, "an answer is too long");
            self.received.resize(before + len, 0);
            self.tls
                .reader()
                .read_exact(self.received.get_mut(before..).unwrap_or_default())?;
        }
        // The end of a handshake is ours to say, and requests have waited for it.
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error).context("send"),
            }
        }
        Ok(())
    }

    /// The answer, once all of it is here.
    pub(super) fn answer(&self) -> Result<Option<Answer<'_>>> {
        let text = std::str::from_utf8(&self.received)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Ok(None);
        };
        let len = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().ok())?
        });
        let len = len.context("an answer states no length")?;
        ensure!(body.len() <= len, "an answer is longer than it states");
        Ok((body.len() == len).then_some(Answer { head, body }))
    }

    /// Says that it ends.
    pub(super) fn close(mut self) {
        self.tls.send_close_notify();
        // Who has its secret does not care.
        let _ = self.write();
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl<'a> Answer<'a> {
    /// Refuses every answer but a success.
    pub(super) fn accepted(self) -> Result<Self> {
        ensure!(
            self.head.starts_with("HTTP/1.1 200 "),
            "the service answers {} {}",
            self.head.lines().next().unwrap_or_default(),
            self.body
        );
        Ok(self)
    }

    /// A string of its JSON that has no escapes.
    pub(super) fn member(&self, name: &str) -> Result<&'a str> {
        let value = self.body.split_once(&format!("\"{name}\":\""));
        let value = value.and_then(|(_, rest)| rest.split_once('"'));
        value
            .map(|(value, _)| value)
            .with_context(|| format!("{name} is not in {}", self.body))
    }

    /// The session's cookie, with its name.
    pub(super) fn cookie(&self) -> Result<&'a str> {
        let from = self.head.find("kbs-session-id=").context("no cookie")?;
        let rest = self.head.get(from..).unwrap_or_default();
        Ok(rest.split([';', '\r']).next().unwrap_or_default())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected
    )
}

/// Takes the one certificate and verifies no signature: a fleet's machines do that on processors of
/// their own, and these here are the service's.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
