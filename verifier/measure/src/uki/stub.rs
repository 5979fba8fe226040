//! Which sections a systemd-stub measures, by its version, which it says in `.sdmagic`.

use super::{UkiFault, only};
use crate::pe::PeImage;

/// In the order of measuring, whatever the order in the file (systemd's `unified_sections`); since
/// which version. A signature for PCR 11 (`.pcrsig`) cannot be in it.
const MEASURED: &[(&str, u32)] = &[
    (".linux", 252),
    (".osrel", 252),
    (".cmdline", 252),
    (".initrd", 252),
    (".ucode", 256),
    (".splash", 252),
    (".dtb", 252),
    (".uname", 254),
    (".sbat", 254),
    (".pcrpkey", 252),
];
/// Sections of which the boot chooses, if it looks at them at all.
const CHOSEN: &[&str] = &[".profile", ".dtbauto", ".hwids", ".efifw"];

/// `#### LoaderInfo: systemd-stub 254.5-1 ####`, with zeros after.
const MAGIC_BEGINS: &str = "#### LoaderInfo: systemd-stub ";
const MAGIC_ENDS: &str = " ####";

/// A stub of a known version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stub {
    version: u32,
}

impl Stub {
    pub(super) fn of(image: &PeImage<'_>) -> Result<Self, UkiFault> {
        let section = only(image, ".sdmagic")?.ok_or(UkiFault::NoSection(".sdmagic"))?;
        let text = section
            .in_file
            .get(..section.memory_len.min(section.in_file.len()));
        let text = text.and_then(|bytes| str::from_utf8(bytes).ok());
        let text = text.ok_or(UkiFault::Stub)?.trim_end_matches('\0');
        let version = text.strip_prefix(MAGIC_BEGINS);
        let version = version.and_then(|text| text.strip_suffix(MAGIC_ENDS));
        Self::parse(version.ok_or(UkiFault::Stub)?)
    }

    /// The number that a version begins with.
    fn parse(version: &str) -> Result<Self, UkiFault> {
        let end = version.find(|c: char| !c.is_ascii_digit());
        let digits = end.and_then(|end| version.get(..end)).unwrap_or(version);
        let version = digits.parse().map_err(|_| UkiFault::Stub)?;
        // What 253 measures beyond 252 is not known here.
        match version {
            252 | 254.. => Ok(Self { version }),
            _ => Err(UkiFault::Stub),
        }
    }

    pub(super) fn measured(self) -> impl Iterator<Item = &'static str> {
        let known = MEASURED
            .iter()
            .filter(move |(_, since)| *since <= self.version);
        known.map(|(name, _)| *name)
    }

    /// Whatever the version: an older stub that does not know them is not worth the difference.
    pub(super) fn refuse_choices(self, image: &PeImage<'_>) -> Result<(), UkiFault> {
        for &name in CHOSEN {
            if only(image, name)?.is_some() {
                return Err(UkiFault::Chosen(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        for (text, version) in [
            ("252.39-1~deb12u2", 252),
            ("254", 254),
            ("257~rc1", 257),
            ("255.4-1ubuntu8", 255),
        ] {
            assert_eq!(Stub::parse(text), Ok(Stub { version }), "{text}");
        }
        for bad in ["", "v254", "253.1", "251", "99999999999", " 254", "-1"] {
            assert_eq!(Stub::parse(bad), Err(UkiFault::Stub), "{bad}");
        }
    }

    #[test]
    fn an_older_stub_measures_less() {
        let names: Vec<&str> = Stub { version: 252 }.measured().collect();
        let seven = [
            ".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".pcrpkey",
        ];
        assert_eq!(names, seven);
        assert_eq!(Stub { version: 256 }.measured().count(), 10);
    }
}
