//! Azure's metadata service, which has what the virtual TPM has not: the certificate of the chip's key, and
//! a quote of a TDREPORT. It is the host's, and what it says is verified by whoever gets the evidence.
//!
//! It is asked over a socket of this machine: who listens there passes every byte on to
//! 169.254.169.254 and to nobody else (`nitride-imds.socket`), so that this process has no network.

use super::http::{self, Answer, HttpError};
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long all attempts at one question may take, where whoever asks has as long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Before the service is asked again, twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A quote has about five thousand bytes, a certificate with its chain seven thousand.
const MAX_ANSWER_LEN: usize = 65_536;
/// As a verifier reads.
pub(super) const MAX_QUOTE_LEN: usize = 32_768;
/// A certificate in DER.
const MAX_CERTIFICATE_LEN: usize = 8_192;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Why the metadata service gave nothing.
#[derive(Debug, Error)]
pub(super) enum MetadataError {
    #[error(
        "cannot reach Azure's metadata service by {}: {error}; enable nitride-imds.socket", .socket.display()
    )]
    Unreachable { socket: PathBuf, error: io::Error },
    #[error("Azure's metadata service did not answer in time")]
    Silent,
    #[error("the connection to Azure's metadata service failed: {0}")]
    Broken(io::Error),
    #[error("Azure's metadata service said more than {MAX_ANSWER_LEN} bytes")]
    Long,
    #[error("Azure's metadata service speaks no HTTP: {0}")]
    Http(#[from] HttpError),
    #[error("Azure's metadata service wants somebody else to be asked ({0}), who is not")]
    Redirect(u16),
    #[error("Azure's metadata service refuses with {0}")]
    Refused(u16),
    #[error("Azure's metadata service does not answer with {0}")]
    Form(&'static str),
}

impl MetadataError {
    /// Whether another attempt may go better: it is throttled, restarted, or away for a moment.
    fn passes(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(status, 410 | 429 | 500..),
            Self::Broken(_) => true,
            _ => false,
        }
    }
}

/// The service behind a socket of this machine.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) socket: PathBuf,
    pub(super) patience: Duration,
}

#[derive(Deserialize)]
struct CertificationForm {
    #[serde(rename = "vcekCert")]
    vcek: String,
}

#[derive(Serialize)]
struct ReportForm {
    report: String,
}

#[derive(Deserialize)]
struct QuoteForm {
    quote: String,
}

impl Metadata {
    /// Whether anybody listens at the socket. The service itself is not asked: it may come later.
    pub(super) fn look(&self) -> Result<(), MetadataError> {
        self.connect(Instant::now() + self.patience).map(drop)
    }

    /// The standard library's would wait for as long as the listener's queue is full.
    fn connect(&self, deadline: Instant) -> Result<UnixStream, MetadataError> {
        let unreachable = |errno: Errno| MetadataError::Unreachable {
            socket: self.socket.clone(),
            error: errno.into(),
        };
        let (family, kind) = (AddressFamily::Unix, SockType::Stream);
        let stream = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map_err(unreachable)?;
        let address = UnixAddr::new(&self.socket).map_err(unreachable)?;
        loop {
            let left = left(deadline)?.as_micros().max(1);
            let left = TimeVal::microseconds(i64::try_from(left).unwrap_or(i64::MAX));
            // The kernel counts the wait for a place in the queue as sending.
            setsockopt(&stream, sockopt::SendTimeout, &left).map_err(unreachable)?;
            match connect(stream.as_raw_fd(), &address) {
                Ok(()) => return Ok(stream.into()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(MetadataError::Silent),
                Err(errno) => return Err(unreachable(errno)),
            }
        }
    }

    /// The certificate of the chip's key, in DER, for somebody who waits until `by`.
    pub(super) fn vcek(&self, by: Instant) -> Result<Vec<u8>, MetadataError> {
        let said = self.ask("GET", "/metadata/THIM/amd/certification", "", by)?;
        let wanted = MetadataError::Form("a certificate in PEM as vcekCert");
        let Ok(form) = serde_json::from_slice::<CertificationForm>(&said) else {
            return Err(wanted);
        };
        certificate(&form.vcek).ok_or(wanted)
    }

    /// A quote over the data of a TDREPORT of this machine, likewise.
    pub(super) fn td_quote(&self, report: &[u8], by: Instant) -> Result<Vec<u8>, MetadataError> {
        let wanted = MetadataError::Form("a quote in base64url");
        let asked = ReportForm {
            report: Base64UrlUnpadded::encode_string(report),
        };
        let Ok(asked) = serde_json::to_string(&asked) else {
            return Err(wanted);
        };
        let said = self.ask("POST", "/acc/tdquote", &asked, by)?;
        let Ok(form) = serde_json::from_slice::<QuoteForm>(&said) else {
            return Err(wanted);
        };
        let quote = Base64UrlUnpadded::decode_vec(form.quote.trim_end_matches('=')).ok();
        let quote = quote.filter(|quote| (1..=MAX_QUOTE_LEN).contains(&quote.len()));
        quote.ok_or(wanted)
    }

    /// The body of an answer that is 200.
    fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        by: Instant,
    ) -> Result<Vec<u8>, MetadataError> {
        let deadline = by.min(Instant::now() + self.patience);
        let mut pause = FIRST_PAUSE;
        loop {
            let said = self.ask_once(method, path, body, deadline);
            let error = match said {
                Ok(Answer { status: 200, body }) => return Ok(body),
                Ok(Answer { status, .. }) if (300..400).contains(&status) => {
                    return Err(MetadataError::Redirect(status));
                }
                Ok(Answer { status, .. }) => MetadataError::Refused(status),
                Err(error) => error,
            };
            if !error.passes() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause);
            pause *= 2;
        }
    }

    fn ask_once(
        &self,
        method: &str,
        path: &str,
        body: &str,
        deadline: Instant,
    ) -> Result<Answer, MetadataError> {
        let mut stream = self.connect(deadline)?;
        let len = body.len();
        let mut asked = format!(
            "{method} {path} HTTP/1.1\r\nHost: 169.254.169.254\r\nMetadata: true\r\n\
             Accept: application/json\r\nConnection: close\r\n"
        );
        if !body.is_empty() {
            asked += &format!("Content-Type: application/json\r\nContent-Length: {len}\r\n");
        }
        asked += "\r\n";
        asked += body;
        stream
            .set_write_timeout(Some(left(deadline)?))
            .map_err(MetadataError::Broken)?;
        stream.write_all(asked.as_bytes()).map_err(failed)?;
        let mut came = Vec::new();
        let mut part = [0; 4096];
        loop {
            stream
                .set_read_timeout(Some(left(deadline)?))
                .map_err(MetadataError::Broken)?;
            let len = stream.read(&mut part).map_err(failed)?;
            came.extend(part.get(..len).unwrap_or_default());
            if came.len() > MAX_ANSWER_LEN {
                return Err(MetadataError::Long);
            }
            // Nothing at all is not half an answer: whoever listens there could not reach the service.
            if came.is_empty() {
                return Err(MetadataError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(answer) = http::answer(&came, len == 0)? {
                return Ok(answer);
            }
        }
    }
}

fn left(deadline: Instant) -> Result<Duration, MetadataError> {
    let left = deadline.saturating_duration_since(Instant::now());
    // Zero would be no limit.
    if left.is_zero() {
        return Err(MetadataError::Silent);
    }
    Ok(left)
}

fn failed(error: io::Error) -> MetadataError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => MetadataError::Silent,
        _ => MetadataError::Broken(error),
    }
}

/// The one certificate of a text in PEM (RFC 7468), in DER.
fn certificate(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = Base64::decode_vec(&body).ok()?;
    let is_one = der.first() == Some(&0x30) && der.len() <= MAX_CERTIFICATE_LEN;
    is_one.then_some(der)
}

#[cfg(test)]
mod tests;
