//! The configuration file: strict TOML, read once.

use crate::caller::Caller;
use nitride_evidence::Tee;
use nitride_ipc::trusted_file::{self, TrustError};
use nix::unistd::User;
use serde::Deserialize;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use toml::Spanned;

/// Longest configuration file in bytes.
const MAX_FILE_LEN: u64 = 65_536;

/// What this process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where to listen when systemd does not hand over a socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) caller: Caller,
    pub(crate) source: Source,
    pub(crate) device_timeout: Duration,
    /// After how long without a connection to exit, if systemd started us by its socket.
    pub(crate) idle_exit: Option<Duration>,
}

/// Where evidence comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Tee(Tee),
    DangerSimulated { svn: String },
}

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {}", .path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: the file cannot be trusted", .path.display())]
    Untrusted { path: PathBuf, source: TrustError },
    #[error("{}: the file is larger than {MAX_FILE_LEN} bytes", .path.display())]
    TooLarge { path: PathBuf },
    #[error("{}:{line}: {fault}", .path.display())]
    Fault {
        path: PathBuf,
        line: usize,
        fault: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    socket: Option<Spanned<PathBuf>>,
    caller: Spanned<CallerTable>,
    tee: Spanned<String>,
    sample: Option<Spanned<SampleTable>>,
    device_timeout_ms: Option<Spanned<u64>>,
    idle_exit_secs: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CallerTable {
    uid: Option<u32>,
    user: Option<Spanned<String>>,
    unit: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SampleTable {
    svn: String,
    #[serde(default)]
    danger_simulated: bool,
}

/// A fault and where in the text it is.
struct Fault {
    at: Range<usize>,
    fault: String,
}

fn fault<T>(at: Range<usize>, fault: impl Into<String>) -> Result<T, Fault> {
    let fault = fault.into();
    Err(Fault { at, fault })
}

impl Config {
    /// Reads the file at `path`.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = trusted_file::open(path).map_err(|source| ConfigError::Untrusted {
            path: path.to_owned(),
            source,
        })?;
        file.take(MAX_FILE_LEN + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MAX_FILE_LEN {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        Self::parse(&text).map_err(|Fault { at, fault }| ConfigError::Fault {
            path: path.to_owned(),
            line: text.bytes().take(at.start).filter(|b| *b == b'\n').count() + 1,
            fault,
        })
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let file: Document = toml::from_str(text).map_err(|error| Fault {
            at: error.span().unwrap_or(0..0),
            fault: error.message().to_owned(),
        })?;
        Ok(Self {
            socket: file.socket.map(absolute).transpose()?,
            caller: caller(file.caller)?,
            source: source(&file.tee, file.sample)?,
            device_timeout: Duration::from_millis(within(
                file.device_timeout_ms,
                10_000,
                100..=120_000,
            )?),
            idle_exit: match file.idle_exit_secs {
                None => None,
                some => Some(Duration::from_secs(within(some, 0, 1..=86_400)?)),
            },
        })
    }
}

fn absolute(path: Spanned<PathBuf>) -> Result<PathBuf, Fault> {
    match path.get_ref().is_absolute() {
        true => Ok(path.into_inner()),
        false => fault(path.span(), "the path is relative: write it from the root"),
    }
}

fn within(
    value: Option<Spanned<u64>>,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, Fault> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(value.into_inner()),
        Some(value) => fault(
            value.span(),
            format!(
                "the value is out of range: give {} to {}",
                range.start(),
                range.end()
            ),
        ),
    }
}

fn caller(table: Spanned<CallerTable>) -> Result<Caller, Fault> {
    let at = table.span();
    let table = table.into_inner();
    let uid = match (table.uid, table.user) {
        (Some(uid), None) => uid,
        (None, Some(user)) => match User::from_name(user.get_ref()) {
            Ok(Some(found)) => found.uid.as_raw(),
            Ok(None) => {
                return fault(
                    user.span(),
                    format!(
                        "there is no user {:?}: create it, or give `uid`",
                        user.get_ref()
                    ),
                );
            }
            Err(error) => {
                return fault(
                    user.span(),
                    format!("cannot look up user {:?}: {error}", user.get_ref()),
                );
            }
        },
        (None, None) => return fault(at, "nobody may call: give `uid` or `user`"),
        (Some(_), Some(_)) => return fault(at, "give `uid` or `user`, not both"),
    };
    let unit = match table.unit {
        Some(unit) if !unit.get_ref().ends_with(".service") => {
            return fault(
                unit.span(),
                "the unit is no service: give its full name, such as \"vhsmd.service\"",
            );
        }
        unit => unit.map(Spanned::into_inner),
    };
    Ok(Caller { uid, unit })
}

/// Simulation takes two statements, the TEE's name and its own line, and neither by default.
fn source(tee: &Spanned<String>, sample: Option<Spanned<SampleTable>>) -> Result<Source, Fault> {
    let kind: Tee = match tee.get_ref().parse() {
        Ok(kind) => kind,
        Err(error) => return fault(tee.span(), format!("{error}")),
    };
    match (kind, sample) {
        (Tee::Sample, Some(sample)) if sample.get_ref().danger_simulated => {
            Ok(Source::DangerSimulated {
                svn: sample.into_inner().svn,
            })
        }
        (Tee::Sample, Some(sample)) => fault(
            sample.span(),
            "sample evidence proves nothing: state `danger-simulated = true`, or name a real TEE",
        ),
        (Tee::Sample, None) => fault(
            tee.span(),
            "sample evidence needs a table [sample] with `svn` and `danger-simulated = true`",
        ),
        (_, Some(sample)) => fault(
            sample.span(),
            format!("[sample] has no meaning with `tee = \"{kind}\"`: remove it"),
        ),
        (_, None) => Ok(Source::Tee(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const GOOD: &str = r#"
tee = "sample"
socket = "/run/nitride/quote.sock"

[caller]
uid = 990
unit = "vhsmd.service"

[sample]
svn = "1"
danger-simulated = true
"#;

    fn refused(text: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let error = Config::load(file.path()).unwrap_err().to_string();
        let folder = file.path().parent().unwrap().display().to_string();
        let (_, located) = error.split_at(folder.len());
        located.split_once(':').unwrap().1.to_owned()
    }

    #[test]
    fn a_whole_configuration_is_read() {
        let config = Config::parse(GOOD).ok().unwrap();
        assert_eq!(config.caller.uid, 990);
        assert_eq!(config.caller.unit.as_deref(), Some("vhsmd.service"));
        assert_eq!(config.device_timeout, Duration::from_secs(10));
        assert_eq!(config.idle_exit, None);
        let svn = "1".to_owned();
        assert_eq!(config.source, Source::DangerSimulated { svn });
    }

    #[test]
    fn a_file_that_everybody_can_write_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        file.as_file().set_permissions(everybody).unwrap();
        assert!(matches!(
            Config::load(file.path()),
            Err(ConfigError::Untrusted {
                source: TrustError::EverybodyWrites,
                ..
            })
        ));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = refused(&GOOD.replace("svn", "danger-fast = 1\nsvn"));
        assert!(
            error.starts_with("10: unknown field `danger-fast`"),
            "{error}"
        );
        assert!(
            error.contains("expected `svn` or `danger-simulated`"),
            "{error}"
        );
    }

    #[test]
    fn simulation_must_be_stated() {
        let error = refused(&GOOD.replace("danger-simulated = true", ""));
        assert!(
            error.starts_with("9: sample evidence proves nothing"),
            "{error}"
        );
        let error = refused("tee = \"sample\"\n[caller]\nuid = 1\n");
        assert!(error.starts_with("1: sample evidence needs"), "{error}");
    }

    #[test]
    fn sample_settings_beside_a_real_tee_are_refused() {
        let error = refused(&GOOD.replace("\"sample\"", "\"snp\""));
        assert!(error.contains("has no meaning"), "{error}");
    }

    #[test]
    fn a_real_tee_needs_no_simulation() {
        let config = Config::parse("tee = \"tdx\"\n[caller]\nuid = 1\n")
            .ok()
            .unwrap();
        assert_eq!(config.source, Source::Tee(Tee::Tdx));
    }

    #[test]
    fn somebody_must_be_the_caller() {
        assert!(refused("tee = \"snp\"\n[caller]\n").starts_with("2: nobody may call"));
        assert!(refused("tee = \"snp\"\n").contains("missing field `caller`"));
        let error = refused("tee = \"snp\"\n[caller]\nuser = \"nobody-of-that-name\"\n");
        assert!(error.starts_with("3: there is no user"), "{error}");
    }

    #[test]
    fn a_user_is_resolved_to_its_uid() {
        let config = Config::parse("tee = \"snp\"\n[caller]\nuser = \"root\"\n");
        assert_eq!(config.ok().unwrap().caller.uid, 0);
    }

    #[test]
    fn values_out_of_range_name_the_range() {
        let error = refused(&GOOD.replace("tee =", "device-timeout-ms = 1\ntee ="));
        assert!(
            error.starts_with("2: the value is out of range: give 100 to"),
            "{error}"
        );
        let error = refused(&GOOD.replace("/run/nitride/", ""));
        assert!(error.contains("relative"), "{error}");
    }
}
