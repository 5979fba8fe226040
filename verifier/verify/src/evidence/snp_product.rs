//! AMD's products, and what of a report depends on them.

use super::snp_report::{RawTcb, SnpReport};
use serde::Deserialize;
use std::fmt;

/// A line of processors with roots of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnpProduct {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004, 97x4 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl SnpProduct {
    /// Every product that is known.
    pub const ALL: &[Self] = &[Self::Milan, Self::Genoa, Self::Turin];

    /// The product of a family and model (AMD 56860, table 23, 0x188: both as CPUID combines
    /// them). `None` for any other.
    #[must_use]
    pub const fn of_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0F) => Some(Self::Milan),
            (0x19, 0x10..=0x1F | 0xA0..=0xAF) => Some(Self::Genoa),
            (0x1A, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// As AMD writes it in certificates and addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product that a certificate's productName extension names: `Milan`, or with its stepping
    /// `Milan-B0`.
    #[must_use]
    pub fn of_certificate(name: &str) -> Option<Self> {
        let line = name.split_once('-').map_or(name, |(line, _)| line);
        Self::ALL.iter().copied().find(|p| p.as_str() == line)
    }

    /// How much of CHIP_ID is used; the rest is zero.
    #[must_use]
    pub const fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for SnpProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Security version numbers by component.
///
/// They are compared one by one: as one number, a high microcode would make up for a low boot
/// loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tcb {
    /// The firmware of the management complex; only Turin has one.
    pub fmc: Option<u8>,
    /// The boot loader of the security processor.
    pub bootloader: u8,
    /// Its operating system.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// The lowest microcode of all cores.
    pub microcode: u8,
}

impl Tcb {
    /// Reads the bytes as this product writes them; `None` when one that is reserved is not zero.
    #[must_use]
    pub const fn read(raw: RawTcb, product: SnpProduct) -> Option<Self> {
        match (product, raw.0) {
            (
                SnpProduct::Milan | SnpProduct::Genoa,
                [bootloader, tee, 0, 0, 0, 0, snp, microcode],
            ) => Some(Self {
                fmc: None,
                bootloader,
                tee,
                snp,
                microcode,
            }),
            (SnpProduct::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => Some(Self {
                fmc: Some(fmc),
                bootloader,
                tee,
                snp,
                microcode,
            }),
            _ => None,
        }
    }

    /// The components by name, those that there are.
    pub fn components(&self) -> impl Iterator<Item = (&'static str, u8)> {
        [
            ("fmc", self.fmc),
            ("bootloader", Some(self.bootloader)),
            ("tee", Some(self.tee)),
            ("snp", Some(self.snp)),
            ("microcode", Some(self.microcode)),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
    }

    /// Whether each component is at least that of `least`.
    ///
    /// # Errors
    ///
    /// In words, the first that is not.
    pub fn at_least(&self, least: &Self) -> Result<(), String> {
        // A product without the component has it at zero.
        let (own, other) = (self.fmc.unwrap_or(0), least.fmc.unwrap_or(0));
        let components = [
            ("fmc", own, other),
            ("bootloader", self.bootloader, least.bootloader),
            ("tee", self.tee, least.tee),
            ("snp", self.snp, least.snp),
            ("microcode", self.microcode, least.microcode),
        ];
        match components.into_iter().find(|(_, own, least)| own < least) {
            Some((name, own, least)) => Err(format!("{name} is {own}, below {least}")),
            None => Ok(()),
        }
    }
}

/// The four TCB versions of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcbs {
    /// What the chip runs.
    pub current: Tcb,
    /// What the host has it sign as; the signing key is derived from it.
    pub reported: Tcb,
    /// What the host cannot go back behind.
    pub committed: Tcb,
    /// What it was when the guest was launched.
    pub launch: Tcb,
}

impl Tcbs {
    /// Reads all four as this product writes them; `None` when a reserved byte is not zero.
    #[must_use]
    pub fn read(report: &SnpReport, product: SnpProduct) -> Option<Self> {
        Some(Self {
            current: Tcb::read(report.current_tcb, product)?,
            reported: Tcb::read(report.reported_tcb, product)?,
            committed: Tcb::read(report.committed_tcb, product)?,
            launch: Tcb::read(report.launch_tcb, product)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_told_by_family_and_model() {
        for (cpuid, product) in [
            ((0x19, 0x00), Some(SnpProduct::Milan)),
            ((0x19, 0x0F), Some(SnpProduct::Milan)),
            ((0x19, 0x10), Some(SnpProduct::Genoa)),
            ((0x19, 0x1F), Some(SnpProduct::Genoa)),
            ((0x19, 0x20), None),
            ((0x19, 0xA0), Some(SnpProduct::Genoa)),
            ((0x19, 0xB0), None),
            ((0x1A, 0x00), Some(SnpProduct::Turin)),
            ((0x1A, 0x11), Some(SnpProduct::Turin)),
            ((0x1A, 0x12), None),
            ((0x17, 0x31), None),
        ] {
            assert_eq!(
                SnpProduct::of_cpuid(cpuid.0, cpuid.1),
                product,
                "{cpuid:x?}"
            );
        }
    }

    #[test]
    fn a_certificate_names_its_product_with_or_without_stepping() {
        assert_eq!(
            SnpProduct::of_certificate("Milan-B0"),
            Some(SnpProduct::Milan)
        );
        assert_eq!(SnpProduct::of_certificate("Turin"), Some(SnpProduct::Turin));
        for other in ["", "milan", "MilanB0", "Siena-B1", "-Milan"] {
            assert_eq!(SnpProduct::of_certificate(other), None, "{other}");
        }
    }

    #[test]
    fn a_high_component_does_not_make_up_for_a_low_one() {
        let tcb = |bytes| Tcb::read(RawTcb(bytes), SnpProduct::Milan).unwrap();
        let least = tcb([3, 0, 0, 0, 0, 0, 8, 115]);
        assert_eq!(least.at_least(&least), Ok(()));
        assert_eq!(tcb([4, 0, 0, 0, 0, 0, 8, 115]).at_least(&least), Ok(()));
        let told = tcb([2, 9, 0, 0, 0, 0, 9, 255]).at_least(&least);
        assert_eq!(told, Err("bootloader is 2, below 3".to_owned()));
        assert!(tcb([3, 0, 0, 0, 0, 0, 7, 255]).at_least(&least).is_err());
    }

    #[test]
    fn turin_has_a_component_more_in_another_order() {
        let raw = RawTcb([1, 2, 3, 4, 0, 0, 0, 81]);
        let tcb = Tcb::read(raw, SnpProduct::Turin).unwrap();
        let read: Vec<_> = tcb.components().collect();
        assert_eq!(
            read,
            [
                ("fmc", 1),
                ("bootloader", 2),
                ("tee", 3),
                ("snp", 4),
                ("microcode", 81)
            ]
        );
        assert_eq!(Tcb::read(raw, SnpProduct::Milan), None);
        assert_eq!(
            Tcb::read(RawTcb([0, 0, 0, 0, 1, 0, 0, 0]), SnpProduct::Turin),
            None
        );
    }
}
