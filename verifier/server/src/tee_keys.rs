//! Which forms of TEE key the service encrypts to: those that its challenges offer, and no others.

use nitride_kbs::tee_key::{TeeKeyForm, TeePublicKey};
use std::fmt;
use thiserror::Error;

/// Forms of TEE key, each once and at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TeeKeys(Vec<TeeKeyForm>);

/// A key of another form.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("this service takes no tee key of {}, but of {taken}", form.as_str())]
pub(crate) struct FormNotTaken {
    form: TeeKeyForm,
    taken: TeeKeys,
}

impl TeeKeys {
    /// Every form that there is.
    pub(crate) fn all() -> Self {
        Self(TeeKeyForm::ALL.to_vec())
    }

    /// These; `None` of none at all.
    pub(crate) fn of(forms: &[TeeKeyForm]) -> Option<Self> {
        let mut taken = TeeKeyForm::ALL.to_vec();
        taken.retain(|form| forms.contains(form));
        (!taken.is_empty()).then_some(Self(taken))
    }

    /// What a challenge offers.
    pub(crate) fn forms(&self) -> &[TeeKeyForm] {
        &self.0
    }

    /// Whether something may be encrypted to this key.
    pub(crate) fn check(&self, key: &TeePublicKey) -> Result<(), FormNotTaken> {
        let form = key.form();
        match self.0.contains(&form) {
            true => Ok(()),
            false => Err(FormNotTaken {
                form,
                taken: self.clone(),
            }),
        }
    }
}

impl fmt::Display for TeeKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|form| form.as_str()).collect();
        formatter.write_str(&names.join(", "))
    }
}
