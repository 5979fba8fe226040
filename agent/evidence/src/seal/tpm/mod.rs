//! A TPM 2.0: a random secret sealed under its storage key and bound to PCRs, and a counter.
//!
//! ```text
//! sealed ── TPM2_Unseal, PolicyPCR ──┐
//!                                    ├─ HKDF ─> platform part   given to vhsmd
//! witness ─ TPM2_HMAC,   PolicyPCR ──┘      └─> the counter's authorization, never given away
//! ```
//!
//! The *sealed* object keeps what only these params open. The *witness* is a primary HMAC key whose
//! policy is the same PCRs: it says that the secret was made in this very state. Without it another
//! system that is started on this machine could seal a secret of its own choosing under our PCRs,
//! which are no secret, and so give the vault a file full of keys that it knows.

mod conversation;
mod counter;
mod object;
mod params;
mod settings;

use crate::seal::derive::derived;
use crate::seal::{Again, Made, Platform, PlatformSecret, SealError};
use conversation::Conversation;
use params::Params;

pub use settings::{InvalidTpm, MAX_PCRS_LEN, TpmSettings};

/// The TPM that is configured. It is opened anew for each call and left without a trace of ours.
#[derive(Debug)]
pub(crate) struct Tpm {
    settings: TpmSettings,
}

/// What the TPM gave: everything else is derived from it.
struct Opened {
    sealed: PlatformSecret,
    witness: PlatformSecret,
}

impl Opened {
    fn platform_part(&self) -> PlatformSecret {
        self.derived(b"tpm platform part")
    }

    fn counter_auth(&self) -> PlatformSecret {
        self.derived(b"tpm counter")
    }

    fn derived(&self, purpose: &[u8]) -> PlatformSecret {
        derived(&[self.sealed.expose(), self.witness.expose()], &[purpose])
    }
}

impl Tpm {
    pub(crate) fn new(settings: TpmSettings) -> Self {
        Self { settings }
    }

    fn open(&self, params: &Params) -> Result<(Conversation, Opened), SealError> {
        // Whoever keeps the params must not choose to what they are bound.
        if params.pcrs != self.settings.pcrs() {
            return Err(SealError::Changed {
                reason: "it was bound to other PCRs than `pcrs` names".to_owned(),
            });
        }
        // Nor by what counter they count: a wipe removes the one that is configured.
        if params.counter != self.settings.counter_index() {
            return Err(SealError::Changed {
                reason: format!(
                    "it counts at {}, and `counter-index` names {}",
                    index_word(params.counter),
                    index_word(self.settings.counter_index())
                ),
            });
        }
        let mut tpm = Conversation::open(&self.settings, Some(&params.parent))?;
        let sealed = tpm.unseal(params)?;
        let witness = tpm.witness(params)?;
        Ok((tpm, Opened { sealed, witness }))
    }
}

impl Platform for Tpm {
    fn name(&self) -> &'static str {
        "tpm"
    }

    fn make(&mut self) -> Result<Made, SealError> {
        let mut tpm = Conversation::open(&self.settings, None)?;
        if let Some(index) = self.settings.counter_index() {
            tpm.refuse_a_counter_at(index)?;
        }
        let bound = tpm.pcr_policy(self.settings.pcrs())?;
        let random = tpm.random()?;
        let (private, unique) = tpm.seal(&random, bound.policy)?;
        let params = Params {
            pcrs: self.settings.pcrs(),
            parent: tpm.storage_name(),
            policy: bound.policy,
            unique,
            private,
            counter: self.settings.counter_index(),
        };
        let opened = Opened {
            sealed: random,
            witness: tpm.witness(&params)?,
        };
        if let Some(index) = params.counter {
            tpm.define_counter(index, &opened.counter_auth())?;
        }
        let warnings = bound.unextended.iter().map(|pcr| {
            format!("PCR {pcr} was never extended: it binds the secret to nothing that was started")
        });
        Ok(Made {
            secret: opened.platform_part(),
            params: params.to_bytes(),
            warnings: warnings.collect(),
        })
    }

    fn again(&mut self, params: &[u8]) -> Result<Again, SealError> {
        let (_, opened) = self.open(&Params::parse(params)?)?;
        Ok(Again {
            secret: opened.platform_part(),
            outdated: None,
        })
    }

    fn counter(&mut self, params: &[u8], increment: bool) -> Result<u64, SealError> {
        let params = Params::parse(params)?;
        let Some(index) = params.counter else {
            return Err(SealError::CounterLost {
                reason: "none was configured when the secret was made".to_owned(),
            });
        };
        let (mut tpm, opened) = self.open(&params)?;
        tpm.count(index, &opened.counter_auth(), increment)
    }

    fn forget(&mut self, params: &[u8]) -> Result<(), SealError> {
        let configured = self.settings.counter_index();
        let named = match params {
            [] => Ok(None),
            params => Params::parse(params).map(|params| params.counter),
        };
        let other = named.as_ref().ok().copied().flatten();
        let other = other.filter(|index| configured != Some(*index));
        if configured.or(other).is_some() {
            let mut tpm = Conversation::open(&self.settings, None)?;
            // Each, whatever becomes of the one before it.
            let removed = [configured, other].map(|index| match index {
                Some(index) => tpm.undefine_counter(index),
                None => Ok(()),
            });
            removed.into_iter().collect::<Result<(), _>>()?;
        }
        named.map(drop)
    }

    fn unmake(&mut self, params: &[u8]) -> Result<(), SealError> {
        let params = Params::parse(params)?;
        let Some(index) = params.counter else {
            return Ok(());
        };
        let (mut tpm, opened) = self.open(&params)?;
        // Whoever made another one meanwhile keeps it: its authorization is not ours.
        tpm.count(index, &opened.counter_auth(), false)?;
        tpm.undefine_counter(index)
    }
}

fn index_word(index: Option<u32>) -> String {
    index.map_or_else(
        || "no index".to_owned(),
        |index| format!("index {index:#x}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn secret(byte: u8) -> PlatformSecret {
        let Ok(secret) = PlatformSecret::filled(|bytes| {
            *bytes = [byte; 32];
            Ok::<_, Infallible>(())
        });
        secret
    }

    fn opened(sealed: u8, witness: u8) -> Opened {
        Opened {
            sealed: secret(sealed),
            witness: secret(witness),
        }
    }

    /// Somebody else's system can seal what it knows under our PCRs, which are no secret: it does
    /// not know what the witness says.
    #[test]
    fn who_knows_what_was_sealed_does_not_know_the_platform_part() {
        let part = opened(1, 1).platform_part();
        assert_ne!(part.expose(), opened(1, 2).platform_part().expose());
        assert_ne!(part.expose(), opened(2, 1).platform_part().expose());
        assert_eq!(part.expose(), opened(1, 1).platform_part().expose());
    }

    #[test]
    fn who_has_the_platform_part_cannot_step_the_counter() {
        let opened = opened(1, 1);
        assert_ne!(
            opened.platform_part().expose(),
            opened.counter_auth().expose()
        );
    }
}
