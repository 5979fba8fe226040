//! Evidence out of files, one kind a file. Only its container is read here; whether it is well
//! formed, and whether any of it is true, is for the core to say, check by check.

mod gpu;
mod kbs;
mod snp;
mod tdx;

use crate::arguments::Evidence;
use nitride_collateral::{Files, Obstacle};
use nitride_verify::{Allegation, Tee, UnverifiedEvidence};

/// Evidence as it came.
#[derive(Debug)]
pub(crate) enum Given {
    /// In a JSON form of the KBS protocol.
    Kbs {
        tee: Tee,
        primary: String,
        additional: String,
    },
    /// Raw.
    Raw(Allegation),
}

impl Given {
    /// Reads the files that the command line names.
    pub(crate) fn read(evidence: &Evidence, files: &mut Files) -> Result<Self, Obstacle> {
        match evidence {
            Evidence::Snp(arguments) => snp::read(arguments, files).map(Self::Raw),
            Evidence::Tdx(arguments) => tdx::read(arguments, files).map(Self::Raw),
            Evidence::Gpu(arguments) => gpu::read(arguments, files).map(Self::Raw),
            Evidence::Kbs(arguments) => kbs::read(arguments, files),
        }
    }

    pub(crate) fn tee(&self) -> Tee {
        match self {
            Self::Kbs { tee, .. } => *tee,
            Self::Raw(allegation) => allegation.tee(),
        }
    }

    /// The KBS form; raw evidence is handed back.
    pub(crate) fn as_kbs(&self) -> Result<UnverifiedEvidence<'_>, &Allegation> {
        match self {
            Self::Kbs {
                tee,
                primary,
                additional,
            } => Ok(UnverifiedEvidence {
                tee: *tee,
                primary,
                additional,
            }),
            Self::Raw(allegation) => Err(allegation),
        }
    }
}
