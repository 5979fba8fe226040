use super::sockets::mode_of;
use super::{ConfigError, Document};
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Where figures are served, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricsSettings {
    /// The socket's path.
    pub(crate) socket: PathBuf,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// Users that may ask.
    pub(crate) allowed_uids: Vec<u32>,
    /// Whether uses are counted by the names of keys, too.
    pub(crate) key_names: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMetrics {
    socket: Spanned<PathBuf>,
    mode: Option<Spanned<String>>,
    allowed_uids: Option<Spanned<Vec<u32>>>,
    #[serde(default)]
    key_names: bool,
}

impl RawMetrics {
    pub(super) fn validate(self, document: &Document) -> Result<MetricsSettings, ConfigError> {
        if !self.socket.get_ref().is_absolute() {
            return Err(document.fault(
                self.socket.span(),
                "the metrics' socket is not an absolute path",
                "write it from the root, as in \"/run/vhsm/metrics.sock\"",
            ));
        }
        let mode = self
            .mode
            .map_or(Ok(0o600), |mode| mode_of(document, &mode))?;
        let allowed_uids = match self.allowed_uids {
            None => vec![0],
            Some(uids) if uids.get_ref().is_empty() => {
                return Err(document.fault(
                    uids.span(),
                    "nobody is allowed to ask",
                    "leave it out for root alone, or name a uid",
                ));
            }
            Some(uids) => uids.into_inner(),
        };
        Ok(MetricsSettings {
            socket: self.socket.into_inner(),
            mode,
            allowed_uids,
            key_names: self.key_names,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(text: &str) -> Result<MetricsSettings, String> {
        let document = Document::of(Path::new("/etc/vhsmd.toml"), text.to_owned());
        let raw: RawMetrics = document.parse().map_err(|error| error.to_string())?;
        raw.validate(&document).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_but_root_reads_them_and_no_key_is_named_unless_told() {
        let least = settings("socket = \"/m\"\n").unwrap();
        assert_eq!((least.mode, least.allowed_uids), (0o600, vec![0]));
        assert!(!least.key_names);
        let told =
            settings("socket = \"/m\"\nmode = \"0660\"\nallowed-uids = [7]\nkey-names = true\n");
        let told = told.unwrap();
        assert_eq!((told.mode, told.allowed_uids), (0o660, vec![7]));
        assert!(told.key_names);
    }

    #[test]
    fn faults_are_named() {
        for (text, reason) in [
            ("", "missing field `socket`"),
            ("socket = \"m\"", "not an absolute path"),
            ("socket = \"/m\"\nallowed-uids = []", "nobody is allowed"),
            ("socket = \"/m\"\nmode = \"9\"", "not a mode"),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
