//! The TEEs by their KBS names.

use std::fmt;

/// A trusted execution environment whose evidence this crate judges, by its KBS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tee {
    /// The stand-in without hardware. It proves nothing.
    Sample,
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
    /// A TPM 2.0 alone.
    Tpm,
    /// SEV-SNP below Azure's vTPM.
    AzSnpVtpm,
    /// TDX below Azure's vTPM.
    AzTdxVtpm,
    /// An NVIDIA GPU.
    Nvidia,
}

impl Tee {
    /// Every TEE that is judged.
    pub const ALL: &[Self] = &[
        Self::Sample,
        Self::Snp,
        Self::Tdx,
        Self::Tpm,
        Self::AzSnpVtpm,
        Self::AzTdxVtpm,
        Self::Nvidia,
    ];

    /// Finds a TEE by its KBS name; `None` when its evidence is not judged here.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tee| tee.as_str() == name)
    }

    /// The KBS name, as in `auth` and in the token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Snp => "snp",
            Self::Tdx => "tdx",
            Self::Tpm => "tpm",
            Self::AzSnpVtpm => "az-snp-vtpm",
            Self::AzTdxVtpm => "az-tdx-vtpm",
            Self::Nvidia => "nvidia",
        }
    }
}

impl fmt::Display for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
