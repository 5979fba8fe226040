//! Answers about the seal.

use super::{Answer, Asked, Desk, Devices, Refusal, chain, read, still_there, withheld, write};
use crate::caller::{Admitted, NotServed};
use nitride_evidence::seal::{PlatformSecret, SealError, Sealer};
use nitride_protocol::quote::{
    CounterReply, CounterRequest, ForgetRequest, PlatformKeyReply, PlatformKeyRequest,
};
use nitride_protocol::{Empty, Status};
use std::sync::Arc;

/// A platform's part, made or given again.
struct Part {
    secret: PlatformSecret,
    params: Vec<u8>,
    is_new: bool,
    outdated: Option<String>,
    warnings: Vec<String>,
}

impl Part {
    /// Of these params, or a new one where they are empty.
    fn ask(sealer: &mut Sealer, params: Vec<u8>) -> Result<Self, SealError> {
        if params.is_empty() {
            let made = sealer.make()?;
            return Ok(Self {
                secret: made.secret,
                params: made.params,
                is_new: true,
                outdated: None,
                warnings: made.warnings,
            });
        }
        let again = sealer.again(&params)?;
        Ok(Self {
            secret: again.secret,
            params,
            is_new: false,
            outdated: again.outdated,
            warnings: Vec::new(),
        })
    }

    /// What there was not before.
    fn made(&self) -> Option<Vec<u8>> {
        self.is_new.then(|| self.params.clone())
    }

    fn tell(&self, platform: &str) {
        for warning in &self.warnings {
            tracing::warn!(platform, "{warning}");
        }
        if let Some(outdated) = &self.outdated {
            tracing::warn!(platform, "the platform part is old: {outdated}");
        }
        tracing::info!(platform, is_new = self.is_new, "platform part given");
    }
}

impl Desk {
    pub(super) fn platform_key(&self, asked: Asked<'_>) -> Result<Answer, Refusal> {
        let wanted: PlatformKeyRequest<'_> = read(asked.params)?;
        self.expect_platform(wanted.platform)?;
        let params = wanted.params.to_owned();
        let part = self.ask_sealer_or_take_back(
            asked.by,
            move |sealer| Part::ask(sealer, params),
            |sealer, late| {
                if let Some(params) = late.made() {
                    take_back(sealer, &params);
                }
            },
        )?;
        let answer = Answer {
            len: 0,
            made: part.made(),
        };
        let written = still_there(asked.by).and_then(|()| {
            part.tell(wanted.platform);
            let result = PlatformKeyReply {
                secret: part.secret.expose(),
                params: &part.params,
                is_old: part.outdated.is_some(),
            };
            write(asked.reply, asked.id, &result)
        });
        match written {
            Ok(len) => Ok(Answer { len, ..answer }),
            Err(refusal) => {
                self.take_back(answer);
                Err(refusal)
            }
        }
    }

    pub(super) fn counter(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: CounterRequest<'_> = read(asked.params)?;
        self.expect_platform(wanted.platform)?;
        let (params, increment) = (wanted.params.to_owned(), wanted.increment);
        let value = self.ask_sealer(asked.by, move |sealer| sealer.counter(&params, increment))?;
        still_there(asked.by)?;
        tracing::debug!(value, increment, "counter");
        write(asked.reply, asked.id, &CounterReply { value })
    }

    pub(super) fn forget(&self, asked: Asked<'_>) -> Result<usize, Refusal> {
        let wanted: ForgetRequest<'_> = read(asked.params)?;
        self.expect_platform(wanted.platform)?;
        let params = wanted.params.to_owned();
        self.ask_sealer(asked.by, move |sealer| sealer.forget(&params))?;
        tracing::warn!("the counter is removed: what was sealed by it is dead");
        still_there(asked.by)?;
        write(asked.reply, asked.id, &Empty)
    }

    /// An answer did not reach whom it was for: what was made for it is of use to nobody, and its
    /// counter would be in the way of the next.
    pub(crate) fn take_back(&self, answer: Answer) {
        let Some(params) = answer.made else {
            return;
        };
        let taken_back = self.ask(move |devices| {
            if let Some(sealer) = &mut devices.sealer {
                take_back(sealer, &params);
            }
        });
        // It is logged where it went wrong.
        drop(taken_back);
    }

    /// There is no other way from one platform to another than the configuration.
    fn expect_platform(&self, wanted: &str) -> Result<(), Refusal> {
        if self.platform == Some(wanted) {
            return Ok(());
        }
        tracing::error!(
            wanted,
            configured = self.platform.unwrap_or("none"),
            "vhsmd wants another sealing platform: its [seal] and ours must name the same"
        );
        Err(Status::PlatformAbsent.into())
    }

    fn ask_sealer<R: Send + 'static>(
        &self,
        by: &Arc<Admitted>,
        call: impl FnOnce(&mut Sealer) -> Result<R, SealError> + Send + 'static,
    ) -> Result<R, Refusal> {
        self.ask_sealer_or_take_back(by, call, |_, late| drop(late))
    }

    fn ask_sealer_or_take_back<R: Send + 'static>(
        &self,
        by: &Arc<Admitted>,
        call: impl FnOnce(&mut Sealer) -> Result<R, SealError> + Send + 'static,
        take_back: impl FnOnce(&mut Sealer, R) + Send + 'static,
    ) -> Result<R, Refusal> {
        let caller = Arc::clone(by);
        // Looked at when its turn has come: nothing that a vhsmd asked for which has gone may
        // happen after what the next one asks for.
        let asked = move |devices: &mut Devices| match (caller.recheck(), &mut devices.sealer) {
            (Err(gone), _) => Outcome::Gone(gone),
            (Ok(()), None) => Outcome::NoPlatform,
            (Ok(()), Some(sealer)) => match call(sealer) {
                Ok(answer) => Outcome::Answer(answer),
                Err(error) => Outcome::Fault(error),
            },
        };
        let late = |devices: &mut Devices, late: Outcome<R>| {
            if let (Outcome::Answer(late), Some(sealer)) = (late, &mut devices.sealer) {
                take_back(sealer, late);
            }
        };
        match self.ask_device(|device| device.ask_or_take_back(asked, late))? {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Gone(gone) => Err(withheld(&gone)),
            Outcome::NoPlatform => Err(Status::PlatformAbsent.into()),
            Outcome::Fault(error) => Err(refused(&error)),
        }
    }
}

/// What became of a call in its turn.
enum Outcome<R> {
    Answer(R),
    Fault(SealError),
    NoPlatform,
    Gone(NotServed),
}

fn refused(error: &SealError) -> Refusal {
    tracing::error!(error = chain(error), "not sealed or opened");
    let status = match error {
        SealError::Absent { .. } | SealError::Faulty { .. } => Status::PlatformAbsent,
        SealError::Changed { .. } => Status::PlatformChanged,
        SealError::Foreign { .. } => Status::PlatformForeign,
        SealError::CounterLost { .. } => Status::CounterLost,
    };
    status.into()
}

fn take_back(sealer: &mut Sealer, params: &[u8]) {
    match sealer.unmake(params) {
        Ok(()) => tracing::warn!("a new platform part reached nobody: it is taken back"),
        Err(error) => tracing::error!(
            error = chain(&error),
            "a new platform part reached nobody, and cannot be taken back"
        ),
    }
}
