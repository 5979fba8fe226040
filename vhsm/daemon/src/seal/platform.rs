use super::fault::SealError;
use crate::config::{Evidence, SealSettings};
use crate::quote::{self, QuoteFault};
use nitride_ipc::trusted_file::{self, TrustError};
use nitride_protocol::limits::{MAX_PLATFORM_PARAMS_LEN, PLATFORM_SECRET_LEN};
use nitride_protocol::quote::{
    CounterReply, CounterRequest, ForgetRequest, PlatformKeyReply, PlatformKeyRequest,
};
use nitride_protocol::{Empty, Message};
use nitride_secmem::SecretBuf;
use nitride_vault::seal::Platform;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The platform's part of the sealing key.
#[derive(Debug)]
pub(super) struct Part {
    /// In the arena.
    pub(super) secret: SecretBuf,
    /// What gives it again; no secret.
    pub(super) params: Vec<u8>,
    /// Whether the platform was updated since: a new one would be bound to what it is now.
    pub(super) is_old: bool,
}

/// Where it comes from.
#[derive(Debug)]
pub(super) struct Source {
    platform: Platform,
    /// The credential's name.
    credential: String,
    /// The folder of the unit's credentials.
    credentials: Option<PathBuf>,
    helper: Option<Evidence>,
}

const CREDENTIAL_LEN: std::ops::RangeInclusive<usize> = 32..=4096;
/// The longest answer: a secret, params and what stands around them.
const MAX_ANSWER_LEN: usize = PLATFORM_SECRET_LEN + MAX_PLATFORM_PARAMS_LEN + 256;

impl Source {
    pub(super) fn new(
        settings: &SealSettings,
        credentials: Option<PathBuf>,
        helper: Option<&Evidence>,
    ) -> Self {
        Self {
            platform: settings.platform,
            credential: settings.credential.clone().unwrap_or_default(),
            credentials,
            helper: helper.cloned(),
        }
    }

    /// The part that `params` stand for, or a new one where they are empty.
    pub(super) fn part(&self, params: &[u8]) -> Result<Part, SealError> {
        if self.platform == Platform::Credential {
            let secret = self.read_credential()?;
            return Ok(Part {
                secret,
                params: Vec::new(),
                is_old: false,
            });
        }
        let question = PlatformKeyRequest {
            platform: self.platform.as_str(),
            params,
        };
        // What the answer needs is here before anything is made: it is given once.
        let mut secret = SecretBuf::with_len(PLATFORM_SECRET_LEN)?;
        // Received straight into the arena, and zeroed there.
        let mut packet = SecretBuf::with_len(MAX_ANSWER_LEN)?;
        let result = quote::ask(self.helper()?, &question, packet.expose_mut())
            .map_err(|fault| self.fault(fault))?;
        let reply = PlatformKeyReply::decode_last(result)
            .map_err(|error| self.fault(QuoteFault::Malformed(error)))?;
        secret.expose_mut().copy_from_slice(reply.secret);
        Ok(Part {
            secret,
            params: reply.params.to_vec(),
            is_old: reply.is_old,
        })
    }

    /// The counter of these params, after one step if `step`.
    pub(super) fn count(&self, params: &[u8], step: bool) -> Result<u64, SealError> {
        let question = CounterRequest {
            platform: self.platform.as_str(),
            params,
            increment: step,
        };
        let mut packet = [0; 256];
        quote::ask(self.helper()?, &question, &mut packet)
            .and_then(|result| Ok(CounterReply::decode_last(result)?.value))
            .map_err(|fault| self.fault(fault))
    }

    /// Removes the counter that is configured, and the one that `params` count by where that is
    /// another: whatever they counted is dead.
    pub(super) fn forget(&self, params: &[u8]) -> Result<(), SealError> {
        let question = ForgetRequest {
            platform: self.platform.as_str(),
            params,
        };
        let mut packet = [0; 256];
        quote::ask(self.helper()?, &question, &mut packet)
            .and_then(|result| Ok(Empty::decode_last(result)?))
            .map_err(|fault| self.fault(fault))?;
        Ok(())
    }

    fn helper(&self) -> Result<&Evidence, SealError> {
        self.helper.as_ref().ok_or(SealError::NoHelper)
    }

    fn fault(&self, fault: QuoteFault) -> SealError {
        let platform = self.platform;
        SealError::Platform { platform, fault }
    }

    fn read_credential(&self) -> Result<SecretBuf, SealError> {
        let name = || self.credential.clone();
        let Some(folder) = &self.credentials else {
            return Err(SealError::NoCredentials { name: name() });
        };
        let untrusted = |error| SealError::Credential {
            name: name(),
            error,
        };
        let file = trusted_file::open(&folder.join(&self.credential)).map_err(untrusted)?;
        let found = file
            .metadata()
            .map_err(|error| untrusted(TrustError::Unreadable(error)))?;
        if found.mode() & 0o004 != 0 {
            return Err(SealError::CredentialIsPublic { name: name() });
        }
        let mut secret = SecretBuf::with_len(CREDENTIAL_LEN.end() + 1)?;
        let len = read_all(file, secret.expose_mut())
            .map_err(|error| untrusted(TrustError::Unreadable(error)))?;
        if !CREDENTIAL_LEN.contains(&len) {
            return Err(SealError::CredentialLen { name: name(), len });
        }
        secret.truncate(len);
        Ok(secret)
    }
}

/// Reads the file into `room`, without a buffer between, and gives how much there is of it.
fn read_all(mut file: File, room: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = room.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::super::tests::set_arenas_up;
    use super::*;
    use nitride_ipc::Listener;
    use nitride_protocol::{Status, open_request, write_refusal, write_reply};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    fn settings(platform: Platform) -> SealSettings {
        SealSettings {
            folder: "/nonexistent".into(),
            platform,
            credential: Some("seal.key".into()),
            provisioned: None,
            counter: false,
            must_exist: false,
        }
    }

    fn by_credential(folder: &Path) -> Source {
        set_arenas_up();
        let folder = Some(folder.to_owned());
        Source::new(&settings(Platform::Credential), folder, None)
    }

    #[test]
    fn a_credential_is_taken_whole_or_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let source = by_credential(folder.path());
        assert!(matches!(
            source.part(&[]),
            Err(SealError::Credential { .. })
        ));
        let put = |bytes: &[u8], mode: u32| {
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        for len in [32, 33, 4096] {
            put(&vec![7; len], 0o400);
            assert_eq!(source.part(&[]).unwrap().secret.expose(), vec![7; len]);
        }
        for len in [0, 31, 4097, 100_000] {
            put(&vec![7; len], 0o400);
            assert!(matches!(
                source.part(&[]),
                Err(SealError::CredentialLen { len: found, .. }) if found == len.min(4097)
            ));
        }
        put(&[7; 32], 0o444);
        assert!(matches!(
            source.part(&[]),
            Err(SealError::CredentialIsPublic { .. })
        ));
        put(&[7; 32], 0o602);
        assert!(matches!(
            source.part(&[]),
            Err(SealError::Credential { .. })
        ));
        let nowhere = Source::new(&settings(Platform::Credential), None, None);
        assert!(matches!(
            nowhere.part(&[]),
            Err(SealError::NoCredentials { .. })
        ));
    }

    /// Asks a helper that answers as `answer` does.
    fn ask_one<T>(
        answer: impl FnOnce(u16, &mut [u8]) -> Option<usize> + Send,
        act: impl FnOnce(&Source) -> T,
    ) -> T {
        set_arenas_up();
        let dir = tempfile::tempdir().unwrap();
        let helper = Evidence {
            tee: "sample".into(),
            devices: None,
            quote_socket: dir.path().join("quote"),
            timeout: Duration::from_secs(10),
        };
        let listener = Listener::bind(&helper.quote_socket, 0o600).unwrap();
        let source = Source::new(&settings(Platform::Tpm), None, Some(&helper));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let connection = listener.accept().unwrap();
                let mut packet = vec![0; 10_000];
                let len = connection.recv(&mut packet).unwrap().unwrap();
                let (head, _) = open_request(&packet[..len]).unwrap();
                let mut reply = vec![0; 10_000];
                if let Some(len) = answer(head.operation, &mut reply) {
                    connection.send(&reply[..len]).unwrap();
                }
            });
            act(&source)
        })
    }

    #[test]
    fn a_part_comes_with_its_params_and_a_refusal_with_its_name() {
        let part = ask_one(
            |operation, buffer| {
                assert_eq!(operation, 2);
                let reply = PlatformKeyReply {
                    secret: &[9; 32],
                    params: &[1; 4096],
                    is_old: false,
                };
                write_reply(buffer, 1, Status::Ok, &reply).ok()
            },
            |source| source.part(&[5; 4096]),
        );
        let part = part.unwrap();
        assert_eq!(part.secret.expose(), [9; 32]);
        assert_eq!(part.params, [1; 4096]);
        let counted = ask_one(
            |operation, buffer| {
                assert_eq!(operation, 3);
                write_reply(buffer, 1, Status::Ok, &CounterReply { value: 8 }).ok()
            },
            |source| source.count(&[], true),
        );
        assert_eq!(counted.unwrap(), 8);
        let refused = ask_one(
            |_, buffer| write_refusal(buffer, 1, Status::Denied).ok(),
            |source| source.part(&[]),
        );
        let refused = refused.unwrap_err();
        assert!(matches!(
            refused,
            SealError::Platform {
                fault: QuoteFault::Refused {
                    status: Status::Denied
                },
                ..
            }
        ));
        assert!(!refused.is_wait());
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        let other = ask_one(
            |_, buffer| write_reply(buffer, 2, Status::Ok, &CounterReply { value: 8 }).ok(),
            |source| source.count(&[], false),
        );
        assert!(matches!(
            other,
            Err(SealError::Platform {
                fault: QuoteFault::OtherAnswer,
                ..
            })
        ));
        let nonsense = ask_one(|_, _| Some(9), |source| source.part(&[]));
        assert!(matches!(
            nonsense,
            Err(SealError::Platform {
                fault: QuoteFault::Malformed(_),
                ..
            })
        ));
        let silent = ask_one(|_, _| None, |source| source.part(&[]));
        assert!(silent.unwrap_err().is_wait());
    }
}
