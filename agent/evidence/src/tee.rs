use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A kind of evidence, named as in the KBS protocol's `tee` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tee {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
    /// A vTPM of its own.
    Tpm,
    /// AMD SEV-SNP behind Azure's paravisor and vTPM.
    AzSnpVtpm,
    /// Intel TDX behind Azure's paravisor and vTPM.
    AzTdxVtpm,
    /// NVIDIA's devices, which are beside a machine and none themselves: `tee` names no such.
    Nvidia,
    /// No hardware: proves nothing.
    Sample,
}

impl Tee {
    /// Every kind that a machine is, in the order in which they are listed to a person.
    pub const ALL: &'static [Self] = &[
        Self::Snp,
        Self::Tdx,
        Self::Tpm,
        Self::AzSnpVtpm,
        Self::AzTdxVtpm,
        Self::Sample,
    ];

    /// The name on the wire and in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snp => "snp",
            Self::Tdx => "tdx",
            Self::Tpm => "tpm",
            Self::AzSnpVtpm => "az-snp-vtpm",
            Self::AzTdxVtpm => "az-tdx-vtpm",
            Self::Nvidia => "nvidia",
            Self::Sample => "sample",
        }
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A name that is no kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no such TEE: one of snp, tdx, tpm, az-snp-vtpm, az-tdx-vtpm, sample is expected")]
pub struct UnknownTee;

impl FromStr for Tee {
    type Err = UnknownTee;

    fn from_str(name: &str) -> Result<Self, UnknownTee> {
        Self::ALL
            .iter()
            .copied()
            .find(|tee| tee.as_str() == name)
            .ok_or(UnknownTee)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_stands_in_the_error() {
        let listed = UnknownTee.to_string();
        for tee in Tee::ALL {
            assert_eq!(tee.as_str().parse(), Ok(*tee));
            assert!(listed.contains(tee.as_str()));
        }
        assert_eq!("SNP".parse::<Tee>(), Err(UnknownTee));
    }
}
