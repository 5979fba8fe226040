use crate::quote::QuoteFault;
use nitride_ipc::trusted_file::TrustError;
use nitride_protocol::{KeyNameBuf, Status};
use nitride_secmem::ArenaFull;
use nitride_vault::seal::{LadderFault, Platform, SealFault};
use std::io;
use std::path::PathBuf;

/// Why the seal is not open, or a file was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    /// The folder cannot be made, opened or locked.
    #[error("the seal's folder {path} cannot be used")]
    Folder {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Somebody else may write there.
    #[error("the seal's folder {path} is not trusted")]
    FolderNotTrusted {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        error: TrustError,
    },
    /// Another process writes there.
    #[error("the seal's folder {path} is another vhsmd's")]
    Taken {
        /// Its path.
        path: PathBuf,
    },
    /// A file is there and cannot be read.
    #[error("the sealed file {path} cannot be read")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It is longer than any that was written.
    #[error("the sealed file {path} has {len} bytes, more than any sealed file")]
    TooLong {
        /// Its path.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// The disk is full, or broken, or may not be written.
    #[error("the sealed file cannot be written")]
    Write(#[source] io::Error),
    /// The unit hands no credentials over.
    #[error("the credential {name} is not there: the unit has no credentials")]
    NoCredentials {
        /// What was looked for.
        name: String,
    },
    /// It hands over others, or one that others may write.
    #[error("the credential {name} cannot be taken")]
    Credential {
        /// What was looked for.
        name: String,
        /// Why.
        #[source]
        error: TrustError,
    },
    /// Everybody on this machine may read it.
    #[error("the credential {name} can be read by everybody")]
    CredentialIsPublic {
        /// Which.
        name: String,
    },
    /// It is no key.
    #[error("the credential {name} has {len} bytes and not 32 to 4096")]
    CredentialLen {
        /// Which.
        name: String,
        /// Its length, or the first one that is too much.
        len: usize,
    },
    /// No `[evidence]`, and so no nitride-quote.
    #[error("no nitride-quote is configured")]
    NoHelper,
    /// nitride-quote did not give the platform's part, or did not count.
    #[error("the platform {} does not answer for the seal", .platform.as_str())]
    Platform {
        /// Which.
        platform: Platform,
        /// Why.
        #[source]
        fault: QuoteFault,
    },
    /// The file names another platform than the configuration.
    #[error("the sealed file is of the platform {}, and {} is configured", .found.as_str(), .configured.as_str())]
    OtherPlatform {
        /// What the file says.
        found: Platform,
        /// What `[seal]` says.
        configured: Platform,
    },
    /// The file names another provisioned part than the configuration.
    #[error(
        "the sealed file takes {} as its provisioned part, and {} is configured",
        named(.found), named(.configured)
    )]
    OtherProvisioned {
        /// What the file says.
        found: Option<KeyNameBuf>,
        /// What `[seal]` says.
        configured: Option<KeyNameBuf>,
    },
    /// The file was written without a counter.
    #[error("the sealed file was written without a counter, and one is configured")]
    NotCounted,
    /// The file was written under a counter.
    #[error("the sealed file is counted, and no counter is configured")]
    Counted,
    /// Where one has to be, there is none.
    #[error("there is no sealed file, and must-exist says that there has to be one")]
    Missing,
    /// It was put back.
    #[error("the sealed file is none that counts: the counter is at {counter}")]
    PutBack {
        /// Where it is.
        counter: u64,
    },
    /// The counter is another one, or somebody else counts.
    #[error("{what}")]
    Counter {
        /// What it did.
        what: String,
        /// Whether somebody else counts.
        is_outrun: bool,
    },
    /// The vault does not take the file, or does not make one.
    #[error(transparent)]
    Vault(#[from] SealFault),
    /// No room for the platform's part.
    #[error(transparent)]
    ArenaFull(#[from] ArenaFull),
    /// Everything was wiped.
    #[error("everything was wiped")]
    Wiped,
    /// Nothing is sealed before the file that is there is open.
    #[error("the seal is not open")]
    NotOpen,
}

impl From<LadderFault<Self>> for SealError {
    fn from(fault: LadderFault<Self>) -> Self {
        match fault {
            LadderFault::Shelf(error) => error,
            fault => Self::Counter {
                what: fault.to_string(),
                is_outrun: matches!(fault, LadderFault::Moved { .. }),
            },
        }
    }
}

fn named(name: &Option<KeyNameBuf>) -> &str {
    name.as_ref().map_or("none", KeyNameBuf::as_str)
}

impl SealError {
    /// Whether it may come right without anybody: something is not there yet.
    pub(super) fn is_wait(&self) -> bool {
        match self {
            Self::Vault(SealFault::WaitsFor(_)) => true,
            Self::Platform { fault, .. } => match fault {
                QuoteFault::Refused { status } => {
                    matches!(status, Status::EvidenceUnavailable | Status::TimedOut)
                }
                QuoteFault::Unreachable(_)
                | QuoteFault::Ask(_)
                | QuoteFault::Answer(_)
                | QuoteFault::HungUp => true,
                QuoteFault::Encode(_) | QuoteFault::Malformed(_) | QuoteFault::OtherAnswer => false,
            },
            _ => false,
        }
    }

    /// Whether the platform finds that it never made what it was asked by.
    pub(super) fn is_foreign(&self) -> bool {
        let foreign = Status::PlatformForeign;
        matches!(self, Self::Platform { fault: QuoteFault::Refused { status }, .. } if *status == foreign)
    }

    /// What an administrator can do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Folder { .. } => {
                "make it a folder of vhsmd's user with mode 0700 and restart vhsmd, or state another one in [seal]"
            }
            Self::FolderNotTrusted { .. } => "let nobody but vhsmd's user write there",
            Self::Taken { .. } => "state another one in [seal], or stop the other vhsmd",
            Self::Unreadable { .. } => "mend the disk or the file's mode",
            Self::TooLong { .. } => RIGHT_FILE,
            Self::Write(_) => "make room on its disk and let vhsmd write there",
            Self::NoCredentials { .. } | Self::Credential { .. } => {
                "give the unit LoadCredentialEncrypted= with this name and restart vhsmd"
            }
            Self::CredentialIsPublic { .. } => "let vhsmd's user alone read it",
            Self::CredentialLen { .. } => "make one of 32 random bytes and restart vhsmd",
            Self::NoHelper => "state its socket in [evidence]",
            Self::Platform { fault, .. } => remedy_of(fault),
            Self::OtherPlatform { .. } | Self::OtherProvisioned { .. } => {
                "configure what it was sealed with; to begin anew move it away, or under a counter vhsm wipe"
            }
            Self::NotCounted | Self::Counted => {
                "configure counter as it was when the file was written; to change it take a backup, \
                 vhsm wipe, and restore"
            }
            Self::Missing => {
                "put the newest file back; to begin anew, without its keys, remove must-exist"
            }
            Self::PutBack { .. } => {
                "put the newest file back; if there is none, its keys are lost: vhsm wipe begins anew"
            }
            Self::Counter {
                is_outrun: true, ..
            } => {
                "another copy of this machine runs, or a restored one did: take a backup now, \
                 before this one ends, and keep the other"
            }
            Self::Counter { .. } => "put the TPM of this machine back",
            Self::Vault(fault) => remedy_of_vault(fault),
            Self::ArenaFull(_) => "raise arena.heap",
            Self::Wiped => "restart vhsmd",
            Self::NotOpen => "see why in the status",
        }
    }
}

const RIGHT_FILE: &str =
    "put the right file there; to begin anew move it away, or under a counter vhsm wipe";

fn remedy_of(fault: &QuoteFault) -> &'static str {
    let QuoteFault::Refused { status } = fault else {
        return "see that nitride-quote.socket is active and lets vhsmd's user in";
    };
    match status {
        Status::PlatformAbsent => {
            "give nitride-quote a [seal] with this platform, and the machine its device"
        }
        Status::PlatformChanged => {
            "put pcrs, counter-index, vmpl and min-tcb of nitride-quote as they were (its log says \
             which), or start what was started when the file was written"
        }
        Status::PlatformForeign => RIGHT_FILE,
        Status::CounterLost => {
            "put the file of this counter back; if there is none, its keys are lost: vhsm wipe begins anew"
        }
        _ => "see nitride-quote's log",
    }
}

fn remedy_of_vault(fault: &SealFault) -> &'static str {
    match fault {
        SealFault::WaitsFor(_) => "nothing, if the agent and the service are there",
        SealFault::OlderMemory { .. } => {
            "end all copies but one and reboot that one, which brings what the file has"
        }
        _ => RIGHT_FILE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: Status) -> SealError {
        SealError::Platform {
            platform: Platform::Tpm,
            fault: QuoteFault::Refused { status },
        }
    }

    fn of_ladder(fault: LadderFault<SealError>) -> &'static str {
        SealError::from(fault).remedy()
    }

    #[test]
    fn no_remedy_under_a_counter_ends_what_it_is_to_save() {
        // Once the file is away, nitride-quote makes no counter beside the one that it has.
        for fault in [
            SealError::NotCounted,
            SealError::Counted,
            SealError::Missing,
            SealError::PutBack { counter: 9 },
            refused(Status::PlatformChanged),
            refused(Status::CounterLost),
        ] {
            let remedy = fault.remedy();
            assert!(!remedy.contains("away"), "{fault}: {remedy}");
        }
        for fault in [SealError::NotCounted, SealError::Counted] {
            assert!(fault.remedy().contains("backup, vhsm wipe, and restore"));
        }
        let changed = refused(Status::PlatformChanged);
        for key in ["pcrs", "counter-index", "vmpl", "min-tcb"] {
            assert!(changed.remedy().contains(key), "{key}");
        }
    }

    #[test]
    fn a_machine_that_was_outrun_is_told_to_save_what_is_in_memory() {
        let (expected, found) = (3, 9);
        let remedy = of_ladder(LadderFault::Moved { expected, found });
        assert!(remedy.contains("take a backup now"), "{remedy}");
        let (from, to) = (9, 3);
        let remedy = of_ladder(LadderFault::WentBack { from, to });
        assert!(remedy.contains("TPM") && !remedy.contains("copy"));
    }
}
