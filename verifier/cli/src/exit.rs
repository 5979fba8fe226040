//! Exit statuses: what a script can act on.

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Accepted,
    Refused,
    NotJudged,
}

/// The last words of `--help`.
pub(crate) const TABLE: &str = "Exit status:
  0  accepted: every check passed, does not apply, or is waived by the policy. Also of a guest that
     the policy lets be debugged or moved (status warning), and of one under a test anchor
     (simulated): genuine, in --json, is what none of these is
  1  refused: a check failed
  2  could not judge: a file, the policy, the command line, or collateral that is missing, also a
     certificate that the evidence left out: whoever made the evidence chooses between 1 and 2, so
     that a script takes nothing but 0 for an acceptance";

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Refused => 1,
            Self::NotJudged => 2,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::NotJudged => "not-judged",
        }
    }
}
