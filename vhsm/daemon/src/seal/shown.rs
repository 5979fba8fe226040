use super::fault::SealError;
use crate::event::Chain;
use nitride_vault::seal::Platform;

/// What it is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Something is not there yet.
    Waits,
    /// What is there does not open it.
    Closed,
    /// Keys are sealed and come back.
    Open,
}

/// How the seal is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    state: State,
    /// Whose part of the key it is.
    pub(crate) platform: Platform,
    /// Up to which count the file is the newest; 0 without a counter.
    pub(crate) generation: u64,
    /// Keys in the file.
    pub(crate) keys: u64,
    /// What is not in it and could be thought to be.
    pub(crate) left_out: Option<String>,
    /// Why it is not open, or the file is behind; and what to do about it.
    pub(crate) because: Option<String>,
}

impl Shown {
    pub(super) fn new(platform: Platform) -> Self {
        Self {
            state: State::Waits,
            platform,
            generation: 0,
            keys: 0,
            left_out: None,
            because: None,
        }
    }

    /// `open`, `waits` or `closed`.
    pub(crate) fn state(&self) -> &'static str {
        match self.state {
            State::Waits => "waits",
            State::Closed => "closed",
            State::Open => "open",
        }
    }

    /// What weakens a guarantee: keys that are not there, or do not come back.
    pub(crate) fn warnings(&self, has_provisioned: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(because) = &self.because {
            warnings.push(match self.state {
                State::Open => format!(
                    "the sealed file is behind, and what it lacks does not survive a reboot: \
                     {because}"
                ),
                State::Waits => format!("the seal waits, and sealed keys are not there: {because}"),
                State::Closed => {
                    format!("the seal is closed, and sealed keys are not there: {because}")
                }
            });
        }
        warnings.extend(self.left_out.clone());
        if self.platform == Platform::Sample {
            warnings.push(
                "the seal's platform is simulated: whoever has the sealed file reads its keys"
                    .to_owned(),
            );
        }
        if self.platform == Platform::Snp && !has_provisioned {
            warnings.push(
                "every VM of this image on this chip has the same sealing key: state \
                 [seal] provisioned"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Notes why it is as it is; gives the words where they are new.
    pub(super) fn set(&mut self, state: State, error: &SealError) -> Option<String> {
        let because = format!("{}; {}", Chain(error), error.remedy());
        let is_new = self.state != state || self.because.as_ref() != Some(&because);
        self.state = state;
        self.because = Some(because.clone());
        is_new.then_some(because)
    }

    /// Notes that it is open and the file has everything; gives whether that is new.
    pub(super) fn set_open(&mut self, generation: u64) -> bool {
        let is_new = self.state != State::Open || self.because.is_some();
        self.state = State::Open;
        self.because = None;
        self.generation = generation;
        is_new
    }
}
