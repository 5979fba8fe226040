use super::{ConfigError, Document, quantity};
use nitride_protocol::{KeyName, KeyNameBuf};
use nix::unistd::User;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// A volume whose passphrase is served to systemd-cryptsetup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskKey {
    /// The volume, as the client's address names it.
    pub(crate) volume: String,
    /// Where to listen; `None` where systemd hands the socket over as `disk-<volume>`.
    pub(crate) socket: Option<PathBuf>,
    /// The `secret` that the policy releases to this volume.
    pub(crate) key: KeyNameBuf,
    /// For how long a connection is held open while the key is fetched.
    pub(crate) timeout: Duration,
    /// Users that may ask: root and [`OPENER`], unless a test says otherwise.
    pub(crate) allowed_uids: Vec<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawDiskKey {
    volume: Spanned<String>,
    socket: Option<PathBuf>,
    key: Spanned<String>,
    timeout: Option<Spanned<String>>,
    allowed_uids: Option<Spanned<Vec<u32>>>,
}

/// The user of nitride-unlock@.service.
const OPENER: &str = "nitride-unlock";
/// What systemd waits for a device by default is shorter; its unit is restarted then and asks again.
const DEFAULT_TIMEOUT_MS: u64 = 300_000;

impl RawDiskKey {
    pub(super) fn validate(self, document: &Document) -> Result<DiskKey, ConfigError> {
        let volume = self.volume.get_ref();
        // As dm-crypt names are: no slash, since the client's address is split at slashes.
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.+#:=@".contains(c);
        if volume.is_empty() || volume.len() > 127 || !volume.chars().all(plain) {
            return Err(document.fault(
                self.volume.span(),
                format_args!("{volume:?} is not the name of a volume"),
                "write the name as in crypttab, without a path",
            ));
        }
        let key = KeyName::parse(self.key.get_ref()).map_err(|error| {
            document.fault(
                self.key.span(),
                format_args!("{:?} is not the name of a key: {error}", self.key.get_ref()),
                "name a key of the policy",
            )
        })?;
        let timeout_ms = match &self.timeout {
            None => DEFAULT_TIMEOUT_MS,
            Some(text) => duration(document, text)?,
        };
        let allowed_uids = match self.allowed_uids {
            None => openers(|name| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))),
            Some(uids) if uids.get_ref().is_empty() => {
                return Err(document.fault(
                    uids.span(),
                    "nobody is allowed to ask",
                    format_args!("leave it out for root and {OPENER}, or name a uid"),
                ));
            }
            Some(uids) => uids.into_inner(),
        };
        Ok(DiskKey {
            key: key.to_owned(),
            volume: self.volume.into_inner(),
            socket: self.socket,
            timeout: Duration::from_millis(timeout_ms),
            allowed_uids,
        })
    }
}

/// Who opens volumes: root, and the user of nitride-unlock@.service where there is one. Without an answer
/// from the account database it is root alone, and the other is refused by its number.
fn openers(uid_of: impl FnOnce(&str) -> nix::Result<Option<u32>>) -> Vec<u32> {
    let opener = uid_of(OPENER).ok().flatten();
    [0].into_iter().chain(opener).collect()
}

/// A duration of at least a millisecond, in milliseconds.
pub(super) fn duration(document: &Document, text: &Spanned<String>) -> Result<u64, ConfigError> {
    quantity::duration_ms(text.get_ref())
        .filter(|ms| *ms > 0)
        .ok_or_else(|| {
            document.fault(
                text.span(),
                format_args!("{:?} is not a duration", text.get_ref()),
                "write a number above zero with ms, s, m, h or d, as in \"10m\"",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn root_and_the_opener_of_volumes_may_ask() {
        let known = |name: &str| Ok((name == "nitride-unlock").then_some(990));
        assert_eq!(openers(known), [0, 990]);
        assert_eq!(openers(|_| Ok(None)), [0]);
        assert_eq!(openers(|_| Err(Errno::EIO)), [0]);
    }
}
