use super::document::{ConfigError, Document};
use nitride_kbs::messages::InitData;
use nitride_protocol::admin::Protection;
use nitride_protocol::limits::MAX_LABEL_LEN;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The longest init-data: they travel in one packet with evidence of a machine and its devices, for
/// which enough has to be left.
const MAX_INIT_DATA_LEN: usize = 32 << 10;

/// What evidence says of this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boot {
    /// The phase that this process belongs to.
    pub(crate) phase: Option<String>,
    /// The file of init-data.
    pub(crate) init_data: Option<PathBuf>,
    /// What becomes of the keys when the phase ends.
    pub(crate) across_switch_root: AcrossSwitchRoot,
}

/// What becomes of the keys when the phase ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AcrossSwitchRoot {
    /// They end, and the next phase fetches what is for it.
    #[default]
    FetchAgain,
    /// The next process finds them, unless nothing keeps its root from being changed.
    Keep,
}

impl AcrossSwitchRoot {
    /// Whether keys go on in a root that `protection` keeps from being changed.
    pub(crate) fn keeps(self, protection: Protection) -> bool {
        match protection {
            Protection::None => false,
            Protection::Integrity | Protection::Verity => self == Self::Keep,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawBoot {
    phase: Option<Spanned<String>>,
    init_data: Option<PathBuf>,
    #[serde(default)]
    across_switch_root: AcrossSwitchRoot,
}

/// The form that the KBS protocol gives init-data; what stands in `data` is for whoever booted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InitDataForm {
    version: Spanned<String>,
    algorithm: Spanned<String>,
    #[serde(rename = "data")]
    _data: BTreeMap<String, String>,
}

impl RawBoot {
    pub(super) fn validate(
        raw: Spanned<Self>,
        document: &Document,
        has_helper: bool,
    ) -> Result<Boot, ConfigError> {
        let span = raw.span();
        let raw = raw.into_inner();
        if !has_helper && (raw.phase.is_some() || raw.init_data.is_some()) {
            return Err(document.fault(
                span,
                "without [evidence] nobody measures a phase or asks for init-data",
                "add [evidence], or remove [boot]",
            ));
        }
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if let Some(phase) = &raw.phase {
            let name = phase.get_ref();
            if name.is_empty() || name.len() > MAX_LABEL_LEN || !name.chars().all(known) {
                return Err(document.fault(
                    phase.span(),
                    format_args!("{name:?} is not the name of a phase"),
                    "write it with a-z, 0-9, dot and hyphen, as in \"initrd\"",
                ));
            }
        }
        Ok(Boot {
            phase: raw.phase.map(Spanned::into_inner),
            init_data: raw.init_data,
            across_switch_root: raw.across_switch_root,
        })
    }
}

impl Boot {
    /// The init-data as they go to a service, byte for byte in JSON. Whether they are those that the
    /// machine was started with, the service says; what it could not even read is refused here.
    pub(crate) fn read_init_data(&self) -> Result<Option<String>, ConfigError> {
        self.init_data.as_deref().map(read_init_data).transpose()
    }
}

fn read_init_data(path: &Path) -> Result<String, ConfigError> {
    let document = Document::read(path)?;
    let form: InitDataForm = document.parse()?;
    if form.version.get_ref() != "0.1.0" {
        return Err(document.fault(
            form.version.span(),
            "init-data of another version",
            "write \"0.1.0\"",
        ));
    }
    if !["sha256", "sha384", "sha512"].contains(&form.algorithm.get_ref().as_str()) {
        return Err(document.fault(
            form.algorithm.span(),
            "no such hash",
            "write \"sha256\", \"sha384\" or \"sha512\"",
        ));
    }
    let init_data = InitData {
        format: "toml".to_owned(),
        body: document.text().to_owned(),
    };
    let json = init_data.to_json();
    if json.len() > MAX_INIT_DATA_LEN {
        return Err(ConfigError::of_file(
            path,
            format_args!(
                "is longer than the {MAX_INIT_DATA_LEN} bytes that go out beside evidence"
            ),
            "leave out what need not be measured",
        ));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\na = 'x\"y'\n";

    fn boot(table: &str) -> Result<Option<Boot>, String> {
        let text =
            format!("policy-dir = \"/p\"\n[arena]\nrecords = \"3MiB\"\nheap = \"3MiB\"\n{table}");
        let document = Document::of(Path::new("/etc/vhsmd.toml"), text);
        let config = crate::config::Config::of(&document);
        Ok(config.map_err(|error| error.to_string())?.boot)
    }

    #[test]
    fn a_phase_has_a_name_and_somebody_who_measures_it() {
        let evidence = "[evidence]\ntee = \"snp\"\nquote-socket = \"/q\"\n";
        let good = "[boot]\nphase = \"initrd\"\n";
        assert_eq!(boot(evidence), Ok(None));
        let read = boot(&format!("{evidence}{good}")).unwrap().unwrap();
        assert_eq!(
            (read.phase.as_deref(), read.init_data),
            (Some("initrd"), None)
        );
        assert!(
            boot(good)
                .unwrap_err()
                .contains("vhsmd.toml:5: without [evidence]")
        );
        for name in ["", "Initrd", "a b", &"a".repeat(MAX_LABEL_LEN + 1)] {
            let refused = boot(&format!("{evidence}{}", good.replace("initrd", name)));
            let refused = refused.unwrap_err();
            assert!(refused.contains("vhsmd.toml:9: "), "{refused}");
        }
    }

    fn read(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("init-data.toml");
        std::fs::write(&path, text).unwrap();
        read_init_data(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn init_data_go_out_as_they_stand() {
        let json = read(BODY).unwrap();
        let body = json.split("\"body\":").nth(1).unwrap();
        assert!(json.starts_with("{\"format\":\"toml\""), "{json}");
        assert!(body.contains("'x\\\"y'\\n"), "{body}");
    }

    #[test]
    fn init_data_that_no_service_reads_are_refused_with_their_line() {
        for (from, to, line) in [
            ("0.1.0", "0.2.0", 1),
            ("sha256", "sm3", 2),
            ("'x\"y'", "1", 4),
        ] {
            let error = read(&BODY.replace(from, to)).unwrap_err();
            let place = format!("init-data.toml:{line}: ");
            assert!(error.contains(&place), "{error}");
        }
        assert!(read(&BODY.replace("[data]", "[date]")).is_err());
        let long = BODY.replace("x\"", &"x".repeat(MAX_INIT_DATA_LEN));
        assert!(read(&long).unwrap_err().contains("longer than"));
        let missing = read_init_data(Path::new("/nonexistent/init-data.toml"));
        assert!(missing.is_err());
    }
}
