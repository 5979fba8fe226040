use nitride_ipc::{ConnectError, RecvError, SendError};
use nitride_protocol::{DecodeError, EncodeError, NameError, Status};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a call gave no result. `operation` is the verb that was called.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// vhsmd's socket could not be reached.
    #[error("socket {path} cannot be reached", path = path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: ConnectError,
    },
    /// The connection could not be given to tokio.
    #[error("the connection cannot be registered with the runtime")]
    Register(#[source] std::io::Error),
    /// vhsmd ended the connection before it answered.
    #[error("{operation}: vhsmd closed the connection")]
    Closed {
        /// The verb.
        operation: &'static str,
    },
    /// vhsmd answered that it will not.
    #[error("{operation} refused: {status}")]
    Refused {
        /// The verb.
        operation: &'static str,
        /// vhsmd's reason.
        status: Status,
    },
    /// No answer came within the call's deadline.
    #[error("{operation}: no answer within {} ms", after.as_millis())]
    Timeout {
        /// The verb.
        operation: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The answer is not what the protocol says.
    #[error("{operation}: the answer is not of this protocol")]
    Protocol {
        /// The verb.
        operation: &'static str,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// vhsmd chose a version that this client does not speak.
    #[error("{operation}: vhsmd chose the unknown protocol version {found}")]
    Version {
        /// The verb.
        operation: &'static str,
        /// The version that it chose.
        found: u16,
    },
    /// The request is longer than a packet.
    #[error("{operation}: the request does not fit a packet")]
    TooLong {
        /// The verb.
        operation: &'static str,
        /// What did not fit.
        #[source]
        source: EncodeError,
    },
    /// A key's name that cannot be one.
    #[error("the key cannot be named so")]
    Name(#[from] NameError),
    /// The request could not be sent.
    #[error("{operation}: the request could not be sent")]
    Send {
        /// The verb.
        operation: &'static str,
        /// What went wrong.
        #[source]
        source: SendError,
    },
    /// The answer could not be received.
    #[error("{operation}: the answer could not be received")]
    Receive {
        /// The verb.
        operation: &'static str,
        /// What went wrong.
        #[source]
        source: RecvError,
    },
    /// The request could not be sent by the runtime.
    #[error("{operation}: the request could not be sent")]
    Transport {
        /// The verb.
        operation: &'static str,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Memory to share could not be made.
    #[error("{operation}: memory to share could not be made")]
    Memory {
        /// The verb.
        operation: &'static str,
        /// What went wrong.
        #[source]
        source: nitride_ipc::memory::MemoryError,
    },
    /// The connection failed earlier, under another call.
    #[error("{operation}: the connection has failed before")]
    Unusable {
        /// The verb.
        operation: &'static str,
    },
}

impl ClientError {
    /// The status of a refusal; `None` when no answer was understood.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What whoever sees the error can do about it, as a sentence without its stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Connect { .. } => {
                "check that vhsmd runs and that the socket's path is right; where permission is denied, have your user or unit added to the group vhsm-clients"
            }
            Self::Register(_) => "call from within a tokio runtime with I/O enabled",
            Self::Closed { .. }
            | Self::Send { .. }
            | Self::Transport { .. }
            | Self::Receive { .. } => {
                "vhsmd may have restarted or reached its limit of connections: connect again, and read its log"
            }
            Self::Unusable { .. } => "connect again",
            Self::Refused {
                operation: "encrypt-buffer",
                status: Status::Denied,
            } => {
                "grant encrypt-buffer beside encrypt to this peer and key: more than 64 KiB goes through shared memory"
            }
            Self::Refused {
                operation: "decrypt-buffer",
                status: Status::Denied,
            } => {
                "grant decrypt-buffer beside decrypt to this peer and key: more than 64 KiB goes through shared memory"
            }
            Self::Refused { status, .. } => remedy_for(*status),
            Self::Timeout { .. } => {
                "allow more time to wait, or read vhsmd's log for what it waits for"
            }
            Self::Protocol { .. } | Self::Version { .. } => {
                "client and vhsmd are of different versions: install them together"
            }
            Self::Memory { .. } => "use a smaller buffer, or free memory",
            Self::TooLong { .. } => "split the data, or work on its digest",
            Self::Name(_) => {
                "names are segments of letters, digits, '_', '.' and '-' between slashes, at most 255 bytes"
            }
        }
    }
}

/// What a caller or an administrator can do about a refusal.
fn remedy_for(status: Status) -> &'static str {
    match status {
        Status::Ok => "nothing is wrong",
        Status::Malformed => {
            "check that the data is what the operation takes, as material of the key's type; if it is, client and vhsmd are of different versions"
        }
        Status::UnsupportedVersion => {
            "client and vhsmd are of different versions: install them together"
        }
        Status::UnknownOperation => {
            "this socket does not have the operation: administration has a socket of its own"
        }
        Status::TooLarge => "split the data, or work on its digest",
        Status::Denied => {
            "a rule must name this peer, key and operation, and the key's own policy must allow it: see policy.d and vhsmd's log"
        }
        Status::KeyNotFound => {
            "check the name; a key must be generated, imported or have a source in policy.d"
        }
        Status::KeyExists => {
            "choose another name: a name keeps its key, even when that is destroyed"
        }
        Status::WrongKeyType => {
            "use an operation and a scheme that the key's type has: see describe"
        }
        Status::KeyDisabled => "enable the key or the version",
        Status::KeyDestroyed => {
            "its material is gone for good, and its name stays taken: use another key"
        }
        Status::KeyExpired => "renew its lease, or correct not-before and not-after in policy.d",
        Status::KeyExhausted => "use another key: this one has protected as much as it may",
        Status::VersionNotFound => "see describe for the versions that there are",
        Status::VerificationFailed => {
            "the data is not genuine, or key, version or additional data are not those it was made with"
        }
        Status::QuotaExceeded => {
            "close connections, wait for requests under way, or raise [limits]"
        }
        Status::ArenaFull => "destroy keys, or enlarge [arena]",
        Status::DeniedByVerifier => {
            "the provisioning service does not trust this machine for this: its operator's log has the reason"
        }
        Status::ServiceUnreachable => "check the network and nitride-agent's log",
        Status::TimedOut => "allow more time to wait, or read nitride-agent's log",
        Status::AgentAbsent => "start nitride-agent, and see that it may connect",
        Status::ShuttingDown => "try again when vhsmd has started",
        Status::EvidenceUnavailable => {
            "check nitride-quote and [evidence] in vhsmd's configuration"
        }
        Status::ResourceRefused => {
            "see that the resource exists and that its signer, path, type and policy are those of policy.d: vhsmd's log has the reason"
        }
        Status::RoundNotFound => "the round has ended: take the next one",
        Status::RateLimited => "ask again later, or raise the key's rate in policy.d",
        Status::NotYetValid => "wait, or correct not-before in policy.d",
        Status::AuditUnavailable => {
            "make room where the audit is written; vhsmd's log has the reason"
        }
        Status::WrongParameters => {
            "use a scheme, a public key or a form that the key's type has: see describe"
        }
        Status::BufferNotFound => "register the buffer on this connection first",
        Status::SealUnavailable => {
            "see what vhsm status says of the seal; what was changed holds, and is sealed as soon as it can be"
        }
        Status::NotDurable => {
            "state counter = true under [seal], or seal = false at the key: an older sealed file would take it back"
        }
        Status::PlatformAbsent => {
            "see [seal] of quote.toml, the device that it names and nitride-quote's log"
        }
        Status::PlatformChanged => {
            "start what was measured when the key was sealed, or wipe and begin anew"
        }
        Status::PlatformForeign => "bring back this machine's own file, or wipe and begin anew",
        Status::CounterLost => "nothing tells a newer file from an older one: wipe and begin anew",
        Status::PolicyInvalid => "correct the policy: vhsm policy check FILE says what is wrong",
        Status::Internal => "this is a fault of vhsmd: its log has the reason",
        _ => "read vhsmd's log",
    }
}
