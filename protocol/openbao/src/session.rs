//! A token's life as a machine: when it is used, made longer, had anew, and when nobody asks, so that a
//! login that is refused does not become a storm of them. Time is an argument, in milliseconds of any
//! clock that does not go back.

/// After a refusal nobody logs in for so long, and twice as long after each further one,
const FIRST_PAUSE_MS: u64 = 1000;
/// up to this.
const LAST_PAUSE_MS: u64 = 60_000;
/// A token is taken to end so much before it does: the answer was some time under way.
const MARGIN_MS: u64 = 2000;

/// What to do before a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send it.
    Use,
    /// Have the token's lease made longer, and send it whatever comes of that.
    Renew,
    /// Log in first.
    Login,
    /// Nobody logs in before this moment: the last attempts were refused.
    NotBefore(u64),
}

/// The state of one login, shared by all requests under it.
#[derive(Clone, Debug, Default)]
pub struct Session {
    life: Option<Life>,
    /// How often in a row it was refused, and until when nobody asks.
    refusals: u32,
    paused_until_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    /// `None`: without an end.
    ends_ms: Option<u64>,
    renew_ms: Option<u64>,
}

impl Session {
    /// What to do now.
    #[must_use]
    pub fn step(&self, now_ms: u64) -> Step {
        match self.life {
            Some(life) if life.ends_ms.is_none_or(|ends| now_ms < ends) => {
                match life.renew_ms.is_some_and(|renew| now_ms >= renew) {
                    true => Step::Renew,
                    false => Step::Use,
                }
            }
            _ if now_ms < self.paused_until_ms => Step::NotBefore(self.paused_until_ms),
            _ => Step::Login,
        }
    }

    /// There is a token, asked for at `asked_ms`: by a login, or the same by a renewal.
    pub fn granted(&mut self, asked_ms: u64, lease_secs: u64, renewable: bool) {
        let lease_ms = lease_secs.saturating_mul(1000);
        let is_endless = lease_secs == 0;
        self.life = Some(Life {
            ends_ms: (!is_endless).then(|| {
                asked_ms.saturating_add(lease_ms.saturating_sub(MARGIN_MS.min(lease_ms / 4)))
            }),
            renew_ms: (renewable && !is_endless).then(|| asked_ms.saturating_add(lease_ms / 2)),
        });
    }

    /// A renewal came to nothing: the token is used to its end, and then had anew.
    pub fn not_renewed(&mut self) {
        if let Some(life) = &mut self.life {
            life.renew_ms = None;
        }
    }

    /// A login was refused, or a request under a token that it gave: it is gone, and what comes next
    /// waits longer each time.
    pub fn refused(&mut self, now_ms: u64) {
        self.life = None;
        let pause = FIRST_PAUSE_MS
            .saturating_mul(1 << self.refusals.min(16))
            .min(LAST_PAUSE_MS);
        // The first refusal after something was served is what a token's end looks like: at once.
        if self.refusals > 0 {
            self.paused_until_ms = now_ms.saturating_add(pause);
        }
        self.refusals = self.refusals.saturating_add(1);
    }

    /// A request was answered under the token.
    pub fn served(&mut self) {
        self.refusals = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_then_renewed_then_had_anew() {
        let mut session = Session::default();
        assert_eq!(session.step(0), Step::Login);
        session.granted(0, 100, true);
        assert_eq!(session.step(49_999), Step::Use);
        assert_eq!(session.step(50_000), Step::Renew);
        session.granted(50_000, 100, true);
        assert_eq!(session.step(60_000), Step::Use);
        assert_eq!(session.step(100_000), Step::Renew);
        session.not_renewed();
        assert_eq!(session.step(100_001), Step::Use);
        assert_eq!(session.step(148_000), Step::Login);
    }

    #[test]
    fn a_token_without_end_is_used_for_ever_and_a_short_one_is_used_at_all() {
        let mut session = Session::default();
        session.granted(0, 0, false);
        assert_eq!(session.step(u64::MAX), Step::Use);
        session.granted(0, 1, false);
        assert_eq!(session.step(700), Step::Use);
        assert_eq!(session.step(750), Step::Login);
        session.granted(0, u64::MAX, true);
        assert_eq!(session.step(1 << 40), Step::Use);
    }

    #[test]
    fn one_refusal_is_tried_again_at_once_and_further_ones_wait() {
        let mut session = Session::default();
        session.granted(0, 100, true);
        session.served();
        session.refused(10);
        assert_eq!(session.step(10), Step::Login);
        session.refused(10);
        assert_eq!(session.step(10), Step::NotBefore(2010));
        assert_eq!(session.step(2010), Step::Login);
        for _ in 0..100 {
            session.refused(5000);
        }
        assert_eq!(session.step(5000), Step::NotBefore(65_000));
        session.granted(70_000, 100, true);
        session.served();
        session.refused(70_001);
        assert_eq!(session.step(70_001), Step::Login);
    }

    #[test]
    fn logins_that_give_tokens_which_serve_nothing_are_no_storm() {
        let mut session = Session::default();
        let mut logins = 0;
        for now_ms in 0..60_000 {
            if session.step(now_ms) == Step::Login {
                logins += 1;
                session.granted(now_ms, 100, true);
                session.refused(now_ms);
            }
        }
        assert!(logins <= 8, "{logins}");
    }
}
