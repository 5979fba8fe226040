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

/// Bytes of a reason, so that it fits a line of the status with what stands before it.
const MAX_BECAUSE_LEN: usize = 400;

/// The reason and the remedy, on one line. What is too long loses the end of the reason: a path is
/// as long as somebody likes.
pub(crate) fn told(error: &SealError) -> String {
    let remedy = error.remedy();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut reason: String = Chain(error).to_string().chars().map(plain).collect();
    while reason.len() + remedy.len() > MAX_BECAUSE_LEN {
        reason.pop();
    }
    format!("{reason}; {remedy}")
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
        let because = told(error);
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

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::limits::MAX_REASON_LEN;
    use std::path::PathBuf;

    #[test]
    fn a_reason_is_a_line_that_the_status_takes_and_keeps_its_remedy() {
        let error = SealError::Taken {
            path: PathBuf::from("a\nb".repeat(4000)),
        };
        let mut shown = Shown::new(Platform::Snp);
        for state in [State::Open, State::Waits, State::Closed] {
            let because = shown.set(state, &error).unwrap();
            assert!(because.ends_with(error.remedy()));
            let warnings = shown.warnings(false);
            assert_eq!(warnings.len(), 2);
            for line in warnings.iter().chain([&because]) {
                assert!(
                    line.len() <= MAX_REASON_LEN && !line.contains('\n'),
                    "{line}"
                );
            }
        }
        assert_eq!(shown.set(State::Closed, &error), None, "said once");
        assert!(shown.set_open(5) && !shown.set_open(6));
    }

    #[test]
    fn what_weakens_the_key_is_said_and_what_strengthens_it_is_not() {
        let warned = |platform, has_provisioned| Shown::new(platform).warnings(has_provisioned);
        assert!(warned(Platform::Snp, false)[0].contains("every VM of this image"));
        assert!(warned(Platform::Sample, true)[0].contains("simulated"));
        assert!(warned(Platform::Snp, true).is_empty());
        assert!(warned(Platform::Tpm, false).is_empty());
        assert!(warned(Platform::Credential, false).is_empty());
    }
}
