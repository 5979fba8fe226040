//! What may be wrong with SEV-SNP evidence: one defect each, and the check that has to find it.

mod appraisal;
mod authenticity;

use super::Draft;

/// One thing that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// What is wrong, as the vector is called.
    pub name: &'static str,
    /// The check that fails, and no other.
    pub check: &'static str,
    make: fn() -> Draft,
}

impl Defect {
    /// The draft that has it.
    #[must_use]
    pub fn draft(&self) -> Draft {
        (self.make)()
    }
}

/// A good draft, changed.
const fn defect(check: &'static str, name: &'static str, make: fn() -> Draft) -> Defect {
    Defect { name, check, make }
}

fn changed(change: impl FnOnce(&mut Draft)) -> Draft {
    let mut draft = Draft::good();
    change(&mut draft);
    draft
}

/// Every defect, by the number of its check: authenticity, then what the policy does not want.
pub const DEFECTS: [&[Defect]; 2] = [authenticity::DEFECTS, appraisal::DEFECTS];
