use crate::Peer;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// To whom a `secret` leaves the vault. The text form, in an envelope, is `unit:NAME`, `uid:N` or
/// `volume:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReleaseTo {
    /// A peer in this system unit, by `release`, and the unit's credential.
    Unit(String),
    /// A peer of this user, by `release`.
    Uid(u32),
    /// The disk-key socket of this volume, and no peer.
    Volume(String),
}

/// Why a text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("release-to is not unit:NAME, uid:NUMBER or volume:NAME")]
pub struct ReleaseToError;

impl ReleaseTo {
    /// Whether it names `peer`; a volume names none.
    pub fn is_peer(&self, peer: &Peer) -> bool {
        match self {
            Self::Unit(unit) => peer.unit.as_ref() == Some(unit),
            Self::Uid(uid) => *uid == peer.uid,
            Self::Volume(_) => false,
        }
    }

    /// Whether it names the system unit `unit`.
    pub fn is_unit(&self, unit: &str) -> bool {
        matches!(self, Self::Unit(named) if named == unit)
    }

    /// Whether it names `volume`.
    pub fn is_volume(&self, volume: &str) -> bool {
        matches!(self, Self::Volume(named) if named == volume)
    }
}

impl FromStr for ReleaseTo {
    type Err = ReleaseToError;

    fn from_str(text: &str) -> Result<Self, ReleaseToError> {
        match text.split_once(':') {
            Some(("unit", name)) if !name.is_empty() => Ok(Self::Unit(name.into())),
            Some(("volume", name)) if !name.is_empty() => Ok(Self::Volume(name.into())),
            // One spelling a number: no sign, no leading zero.
            Some(("uid", number)) => match number.parse::<u32>() {
                Ok(uid) if uid.to_string() == number => Ok(Self::Uid(uid)),
                _ => Err(ReleaseToError),
            },
            _ => Err(ReleaseToError),
        }
    }
}

impl fmt::Display for ReleaseTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(name) => write!(f, "unit:{name}"),
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Volume(name) => write!(f, "volume:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_prints_as_it_was_written() {
        for text in ["unit:web.service", "uid:0", "uid:1000", "volume:root"] {
            assert_eq!(text.parse::<ReleaseTo>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_names_nobody() {
        for text in [
            "",
            "unit",
            "unit:",
            "volume:",
            "uid:",
            "uid:-1",
            "uid:+1",
            "uid:01",
            "gid:1",
            "*",
            "uid:4294967296",
        ] {
            assert_eq!(text.parse::<ReleaseTo>(), Err(ReleaseToError), "{text}");
        }
    }
}
