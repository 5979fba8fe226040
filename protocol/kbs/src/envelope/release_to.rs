use std::fmt;
use thiserror::Error;

/// To whom a secret may be given: `unit:nginx.service`, `uid:1000`, `volume:root`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseTo<'a> {
    /// A systemd system unit.
    Unit(&'a str),
    /// A user.
    Uid(u32),
    /// A volume of systemd-cryptsetup.
    Volume(&'a str),
}

/// Why a text names nobody to release to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReleaseToError {
    /// It begins with neither `unit:` nor `uid:` nor `volume:`.
    #[error("release-to is none of unit:NAME, uid:NUMBER and volume:NAME")]
    UnknownKind,
    /// Nothing, a control character, a blank or a slash in the name; or no decimal number of 32
    /// bits without sign and leading zeros.
    #[error("release-to names no {kind}")]
    BadName {
        /// "unit", "uid" or "volume".
        kind: &'static str,
    },
}

impl<'a> ReleaseTo<'a> {
    /// Takes the text of an envelope.
    pub fn parse(text: &'a str) -> Result<Self, ReleaseToError> {
        let (kind, name) = text.split_once(':').ok_or(ReleaseToError::UnknownKind)?;
        let named = |kind| {
            let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
            (!name.is_empty() && name.bytes().all(fits))
                .then_some(name)
                .ok_or(ReleaseToError::BadName { kind })
        };
        match kind {
            "unit" => named("unit").map(Self::Unit),
            "volume" => named("volume").map(Self::Volume),
            "uid" => name
                .parse::<u32>()
                .ok()
                // `+7` and `007` parse, too; a uid has one spelling.
                .filter(|uid| uid.to_string() == name)
                .map(Self::Uid)
                .ok_or(ReleaseToError::BadName { kind: "uid" }),
            _ => Err(ReleaseToError::UnknownKind),
        }
    }
}

impl fmt::Display for ReleaseTo<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(name) => write!(formatter, "unit:{name}"),
            Self::Uid(uid) => write!(formatter, "uid:{uid}"),
            Self::Volume(name) => write!(formatter, "volume:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_reads_and_prints_itself() {
        for text in [
            "unit:nginx.service",
            "uid:0",
            "uid:4294967295",
            "volume:root",
        ] {
            assert_eq!(ReleaseTo::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in [
            "",
            "unit",
            "unit:",
            "uid:",
            "uid:-1",
            "uid:+7",
            "uid:007",
            "uid:4294967296",
            "user:root",
            "Unit:a",
            "unit:a b",
            "volume:a/b",
            "volume:a\n",
            "unit:ü",
        ] {
            assert!(ReleaseTo::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_reads_is_the_only_spelling(text in "(unit|uid|volume):\\PC{0,8}|\\PC{0,12}") {
            if let Ok(to) = ReleaseTo::parse(&text) {
                prop_assert_eq!(to.to_string(), text);
            }
        }
    }
}
