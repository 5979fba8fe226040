use super::{ConfigError, Document};
use nitride_protocol::{KeyName, KeyNameBuf};
use nitride_vault::seal::Platform;
use serde::Deserialize;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// Where sealed keys are kept over a reboot, and what opens them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealSettings {
    /// The folder of the sealed file.
    pub(crate) folder: PathBuf,
    /// Whose part of the sealing key it is.
    pub(crate) platform: Platform,
    /// The systemd credential that is that part; for [`Platform::Credential`].
    pub(crate) credential: Option<String>,
    /// The provisioned key that is the other part.
    pub(crate) provisioned: Option<KeyNameBuf>,
    /// Whether the TPM counts the files, so that an older one is not taken.
    pub(crate) counter: bool,
    /// Whether a start without a sealed file is a fault, and not the first one.
    pub(crate) must_exist: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawSeal {
    folder: Option<Spanned<PathBuf>>,
    platform: Spanned<String>,
    credential: Option<Spanned<String>>,
    provisioned: Option<Spanned<String>>,
    counter: Option<Spanned<bool>>,
    #[serde(default)]
    must_exist: bool,
    #[serde(default)]
    danger_simulated: bool,
}

const DEFAULT_FOLDER: &str = "/var/lib/vhsm/seal";

impl RawSeal {
    /// `has_helper`: whether `[evidence]` says where nitride-quote is.
    pub(super) fn validate(
        self,
        document: &Document,
        has_helper: bool,
    ) -> Result<SealSettings, ConfigError> {
        let platform = self.platform(document, has_helper)?;
        let counter = match &self.counter {
            Some(counter) if *counter.get_ref() && platform != Platform::Tpm => {
                return Err(document.fault(
                    counter.span(),
                    format_args!("the platform {} has no counter", platform.as_str()),
                    "remove counter, or take platform = \"tpm\"",
                ));
            }
            counter => counter.as_ref().is_some_and(|counter| *counter.get_ref()),
        };
        Ok(SealSettings {
            credential: self.credential(document, platform)?,
            provisioned: match &self.provisioned {
                None => None,
                Some(name) => Some(provisioned(document, name)?),
            },
            folder: match self.folder {
                None => PathBuf::from(DEFAULT_FOLDER),
                Some(folder) if folder.get_ref().is_absolute() => folder.into_inner(),
                Some(folder) => {
                    return Err(document.fault(
                        folder.span(),
                        "the seal's folder is not an absolute path",
                        "write it from the root, as in \"/var/lib/vhsm/seal\"",
                    ));
                }
            },
            platform,
            counter,
            must_exist: self.must_exist,
        })
    }

    fn platform(&self, document: &Document, has_helper: bool) -> Result<Platform, ConfigError> {
        let at = || self.platform.span();
        let platform: Platform = self.platform.get_ref().parse().map_err(|_| {
            document.fault(
                at(),
                format_args!("{:?} is not a platform", self.platform.get_ref()),
                "write \"credential\", \"tpm\", \"snp\" or, for a trial, \"sample\"",
            )
        })?;
        let is_sample = platform == Platform::Sample;
        if is_sample && !self.danger_simulated {
            return Err(document.fault(
                at(),
                "the sample platform's key is no secret: whoever has the file reads it",
                "name what this machine has, or for a trial add danger-simulated = true",
            ));
        }
        if !is_sample && self.danger_simulated {
            return Err(document.fault(
                at(),
                format_args!(
                    "the platform {} is not simulated, but danger-simulated says so",
                    platform.as_str()
                ),
                "remove danger-simulated",
            ));
        }
        if platform != Platform::Credential && !has_helper {
            return Err(document.fault(
                at(),
                format_args!(
                    "the platform {} is nitride-quote's to ask",
                    platform.as_str()
                ),
                "state its socket in [evidence], or take platform = \"credential\"",
            ));
        }
        Ok(platform)
    }

    fn credential(
        &self,
        document: &Document,
        platform: Platform,
    ) -> Result<Option<String>, ConfigError> {
        let fault =
            |at: Range<usize>, reason: &str, remedy: &str| Err(document.fault(at, reason, remedy));
        match (&self.credential, platform) {
            (None, Platform::Credential) => fault(
                self.platform.span(),
                "it is not said which credential it is",
                "add credential = \"NAME\", as LoadCredentialEncrypted= of the unit names it",
            ),
            (None, _) => Ok(None),
            (Some(name), Platform::Credential) if is_plain(name.get_ref()) => {
                Ok(Some(name.get_ref().clone()))
            }
            (Some(name), Platform::Credential) => fault(
                name.span(),
                "it is not the name of a credential",
                "write the name alone, of letters, digits, '_', '-' and '.'",
            ),
            (Some(name), _) => fault(
                name.span(),
                "the platform takes no credential",
                "remove credential, or take platform = \"credential\"",
            ),
        }
    }
}

/// The name of a file in the folder of credentials, and of no other folder.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (1..=255).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

fn provisioned(document: &Document, name: &Spanned<String>) -> Result<KeyNameBuf, ConfigError> {
    match KeyName::parse(name.get_ref()) {
        Ok(name) => Ok(name.to_owned()),
        Err(error) => Err(document.fault(
            name.span(),
            format_args!("{:?} is not the name of a key: {error}", name.get_ref()),
            "name a key of the policy whose source is a service",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(text: &str) -> Result<SealSettings, String> {
        let document = Document::of(Path::new("/etc/vhsmd.toml"), text.to_owned());
        let raw: RawSeal = document.parse().map_err(|error| error.to_string())?;
        raw.validate(&document, !text.contains("no helper"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_weakens_nothing() {
        let found = settings("platform = \"tpm\"").unwrap();
        assert_eq!(found.folder, Path::new("/var/lib/vhsm/seal"));
        assert_eq!((found.credential, found.provisioned), (None, None));
        assert!(!found.counter && !found.must_exist);
        let found = settings(
            "platform = \"tpm\"\ncounter = true\nprovisioned = \"a/b\"\nmust-exist = true",
        )
        .unwrap();
        assert!(found.counter && found.must_exist && found.provisioned.is_some());
        let found = settings("platform = \"credential\"\ncredential = \"seal.key\"").unwrap();
        assert_eq!(found.credential.as_deref(), Some("seal.key"));
        assert!(settings("platform = \"sample\"\ndanger-simulated = true").is_ok());
    }

    #[test]
    fn faults_name_line_reason_and_remedy() {
        let credential = "platform = \"credential\"\ncredential = ";
        for (text, line, reason, remedy) in [
            (
                "folder = \"seal\"\nplatform = \"snp\"",
                1,
                "not an absolute",
                "from the root",
            ),
            ("platform = \"sgx\"", 1, "not a platform", "\"tpm\""),
            ("platform = \"sample\"", 1, "no secret", "danger-simulated"),
            (
                "platform = \"snp\"\ndanger-simulated = true",
                1,
                "not simulated",
                "remove",
            ),
            (
                "platform = \"tpm\" # no helper",
                1,
                "nitride-quote's",
                "[evidence]",
            ),
            (
                "platform = \"snp\"\ncounter = true",
                2,
                "has no counter",
                "tpm",
            ),
            (
                "platform = \"credential\"",
                1,
                "which credential",
                "LoadCredentialEncrypted=",
            ),
            (
                &format!("{credential}\"../shadow\""),
                2,
                "not the name",
                "name alone",
            ),
            (
                &format!("{credential}\"\""),
                2,
                "not the name",
                "name alone",
            ),
            (
                &format!("{credential}\".\""),
                2,
                "not the name",
                "name alone",
            ),
            (
                "platform = \"tpm\"\ncredential = \"a\"",
                2,
                "takes no credential",
                "remove",
            ),
            (
                "platform = \"tpm\"\nprovisioned = \"/a\"",
                2,
                "not the name of a key",
                "service",
            ),
            ("folder = \"/s\"", 1, "missing field `platform`", "add it"),
            (
                "platform = \"tpm\"\nsize = 5",
                2,
                "unknown field",
                "remove it",
            ),
        ] {
            let error = settings(text).unwrap_err();
            let place = format!("/etc/vhsmd.toml:{line}: ");
            assert!(error.contains(&place), "{error}");
            assert!(error.contains(reason) && error.contains(remedy), "{error}");
        }
    }
}
