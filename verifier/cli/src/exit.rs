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
  0  accepted: every check passed, does not apply, or is waived by the policy
  1  refused: a check failed
  2  could not judge: a file, the policy, the command line, or collateral that is missing";

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
