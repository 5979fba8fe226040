use super::{ConfigError, Document, quantity};
use nitride_protocol::{KeyName, KeyNameBuf};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
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
const ACCOUNTS: &str = "/etc/passwd";
/// Thousands of accounts.
const MAX_ACCOUNTS_LEN: u64 = 1 << 20;
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
            None => openers(&accounts()),
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

/// The machine's own accounts (passwd(5)), and none of a directory's: a name says nothing of who has it
/// there. Empty where they cannot be read, so that it is root alone, and others are refused by number.
fn accounts() -> String {
    let mut text = String::new();
    let file = File::open(ACCOUNTS).map(|file| file.take(MAX_ACCOUNTS_LEN));
    match file.and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

/// Who opens volumes: root, and the user of nitride-unlock@.service where there is one.
fn openers(accounts: &str) -> Vec<u32> {
    let opener = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(OPENER);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    });
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

    #[test]
    fn root_and_the_opener_of_volumes_may_ask() {
        let line = "nitride-unlock:x:990:988:Nitride opener of volumes:/:/usr/sbin/nologin\n";
        let others = "root:x:0:0:root:/root:/bin/sh\nnitride-unlocker:x:1000:1000::/:/bin/sh\n";
        assert_eq!(openers(&format!("{others}{line}")), [0, 990]);
        for none in [
            "",
            others,
            "nitride-unlock:x:\n",
            "nitride-unlock:x:-1:0::/:\n",
        ] {
            assert_eq!(openers(none), [0], "{none}");
        }
    }
}
