use crate::audit::AuditFailure;
use crate::segments::SegmentFault;
use nitride_client::{ClientError, PublicKeyFault};
use std::error::Error;
use std::path::PathBuf;
use thiserror::Error;

/// Why the program did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// vhsmd refused or did not answer.
    #[error("{}", key.as_deref().unwrap_or("vhsmd"))]
    Vhsmd {
        /// The key that it was about.
        key: Option<String>,
        /// What happened.
        #[source]
        source: ClientError,
    },
    /// Raw bytes were to go to a terminal.
    #[error("{what} would be written to a terminal")]
    Terminal {
        /// The bytes, by their name.
        what: &'static str,
    },
    /// A key's material was to be typed.
    #[error("a key's material would be read from a terminal, which shows it")]
    TypedMaterial,
    /// An input could not be read.
    #[error("{what} cannot be read from {}", place(path.as_ref(), "standard input"))]
    Read {
        /// The input, by its name.
        what: &'static str,
        /// Its file; `None` is standard input.
        path: Option<PathBuf>,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An input is longer than a request takes.
    #[error("{what} is longer than {max_len} bytes")]
    TooLong {
        /// The input, by its name.
        what: &'static str,
        /// How long it may be.
        max_len: usize,
    },
    /// The output could not be written.
    #[error("the output cannot be written to {}", place(path.as_ref(), "standard output"))]
    Write {
        /// Its file; `None` is standard output.
        path: Option<PathBuf>,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The output's path is a link, a device or a folder.
    #[error("{} is not a regular file, and would be replaced by one", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// What was given does not have the form that it should.
    #[error("{0}")]
    Form(&'static str),
    /// A public key cannot be written as asked.
    #[error("the public key cannot be written so")]
    PublicKey(#[from] PublicKeyFault),
    /// A certificate request could not be made.
    #[error("the certificate request cannot be made: {0}")]
    Csr(String),
    /// A file of segments is not genuine, or not whole.
    #[error("the file cannot be decrypted")]
    Segments(#[from] SegmentFault),
    /// A policy file has faults.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// The audit is not genuine, or not there.
    #[error("the audit is not verified")]
    Audit(#[from] AuditFailure),
}

impl Failure {
    /// The thing and the reason: the error and what caused it, on one line.
    pub(crate) fn explained(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(&format!(": {error}"));
            cause = error.source();
        }
        line
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Vhsmd { source, .. } => source.remedy(),
            Self::Terminal { .. } => {
                "use --out, a pipe, or --force-terminal if whoever sees the terminal may see it"
            }
            Self::TypedMaterial => "use --in, or a pipe",
            Self::Read { .. } => "check that the file is there and that you may read it",
            Self::TooLong { .. } => "split it, or work on its digest",
            Self::Write { .. } => {
                "check that the folder is there, has room, and that you may write to it"
            }
            Self::Form(_) => "see vhsm --help for the form that it takes",
            Self::PublicKey(_) => "use --format der, pem or jwk",
            Self::Csr(_) => {
                "ec-p256, ec-p384, ed25519 and RSA keys that may sign request certificates"
            }
            Self::Segments(_) => {
                "use the key and the additional data that it was encrypted with, and the whole file"
            }
            Self::Audit(_) => {
                "keep the files as they are and compare them with a head that was witnessed elsewhere"
            }
            Self::Faults(_) => "correct the file and check it again",
            Self::NotAFile { .. } => {
                "name a regular file or a new one, or leave --out away and redirect"
            }
        }
    }

    /// The same for programs, on one line.
    pub(crate) fn to_json(&self, exit_code: u8) -> serde_json::Value {
        let status = match self {
            Self::Vhsmd { source, .. } => source.status(),
            _ => None,
        };
        serde_json::json!({
            "error": self.explained(),
            "status": status.map(nitride_protocol::Status::as_str),
            "remedy": self.remedy(),
            "exit_code": exit_code,
        })
    }
}

fn place(path: Option<&PathBuf>, otherwise: &str) -> String {
    path.map_or_else(|| otherwise.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::Status;

    #[test]
    fn an_error_says_thing_reason_and_remedy() {
        let failure = Failure::Vhsmd {
            key: Some("app/sign".into()),
            source: ClientError::Refused {
                operation: "sign",
                status: Status::Denied,
            },
        };
        assert_eq!(failure.explained(), "app/sign: sign refused: denied");
        assert!(failure.remedy().contains("a rule must name this peer"));
        let json = failure.to_json(1);
        assert_eq!(json["status"], "denied");
        assert_eq!(json["exit_code"], 1);
    }

    #[test]
    fn the_whole_chain_is_printed() {
        let source = nitride_client::Client::connect("/nowhere/vhsm.sock").unwrap_err();
        let failure = Failure::Vhsmd { key: None, source };
        let line = failure.explained();
        assert!(line.starts_with("vhsmd: socket /nowhere/vhsm.sock cannot be reached: "));
        assert!(line.contains("ENOENT"), "{line}");
    }
}
