use crate::http::{HttpAnswer, TransportFault};
use nitride_kbs::messages::parse_error_information;
use nitride_kbs::resource::ResourcePath;
use nitride_protocol::agent::FailureClass;
use nitride_protocol::limits::MAX_REASON_LEN;

/// What the vault is told about something that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One resource, or `None` for all that the round has not delivered.
    pub resource: Option<String>,
    /// What kind of failure.
    pub class: FailureClass,
    /// Why, for the operator's log: printable, at most [`MAX_REASON_LEN`] bytes.
    pub reason: String,
    /// When the service asks to be tried again, in milliseconds; 0 is unsaid.
    pub retry_after_ms: u32,
}

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Auth,
    Attest,
    Fetch,
    Login,
    Read,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Attest => "attest",
            Self::Fetch => "resource",
            Self::Login => "login",
            Self::Read => "secret",
        }
    }
}

/// One request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) class: FailureClass,
    pub(crate) reason: String,
    pub(crate) retry_after_ms: Option<u64>,
    /// The version of the protocol that the service wants in the place of ours, if it is spoken here.
    pub(crate) spoken_version: Option<String>,
    remedy: Remedy,
}

/// What a fault allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The same endpoint may do better later.
    Again,
    /// This endpoint will not, in this round; another one may.
    Elsewhere,
    /// The service has spoken.
    None,
}

impl Fault {
    /// An answer that is well-formed HTTP and no KBS message.
    pub(crate) fn protocol(action: Action, what: &str) -> Self {
        Self::new(FailureClass::Protocol, action, what)
    }

    pub(crate) fn transport(action: Action, fault: TransportFault) -> Self {
        let class = match fault {
            // A peer that shows no certificate of the pinned CA is not the service: that the real
            // one was not reached is all that can be said.
            TransportFault::Unreachable | TransportFault::NotTrusted => FailureClass::Unreachable,
            TransportFault::TimedOut => FailureClass::TimedOut,
            TransportFault::TooLarge | TransportFault::NotHttp => FailureClass::Protocol,
        };
        Self::new(class, action, &fault.to_string())
    }

    /// Judges an answer whose status is not 200. Trustee says 401 for nearly everything, so the
    /// error's own type counts first; ours says 404 for a missing resource.
    pub(crate) fn answer(action: Action, answer: &HttpAnswer) -> Self {
        let status = answer.status;
        let information = parse_error_information(&answer.body).ok();
        let variant = information.as_ref().map_or("", |found| found.variant());
        let class = match status {
            429 | 500..=599 => FailureClass::Unreachable,
            408 => FailureClass::TimedOut,
            400..=499 => refusal_class(action, status, variant),
            _ => FailureClass::Protocol,
        };
        let what = match &information {
            Some(found) => format!("HTTP {status} {variant}: {}", found.detail),
            None => format!("HTTP {status}"),
        };
        let fault = Self::new(class, action, &what);
        let wants_other = information
            .as_ref()
            .filter(|_| variant == OTHER_VERSION)
            .and_then(|found| found.spoken_version());
        Self {
            spoken_version: wants_other.map(str::to_owned),
            retry_after_ms: answer.retry_after_secs.map(|secs| u64::from(secs) * 1000),
            // A session that is over does not come back, and a round has one challenge: the next
            // round may do better, and so may a replica that still knows this one.
            remedy: if variant == SESSION_OVER {
                Remedy::Elsewhere
            } else {
                fault.remedy
            },
            ..fault
        }
    }

    /// The same fault, with what the service says of when to come back.
    #[cfg(feature = "openbao")]
    pub(crate) fn again_after(self, secs: Option<u32>) -> Self {
        Self {
            retry_after_ms: secs.map(|secs| u64::from(secs) * 1000),
            ..self
        }
    }

    pub(crate) fn remedy(&self) -> Remedy {
        self.remedy
    }

    /// What the vault is told.
    pub(crate) fn into_failure(self, resource: Option<&ResourcePath>) -> Failure {
        let retry_after_ms = self.retry_after_ms.unwrap_or(0);
        Failure {
            resource: resource.map(ToString::to_string),
            class: self.class,
            reason: self.reason,
            retry_after_ms: u32::try_from(retry_after_ms).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn new(class: FailureClass, action: Action, what: &str) -> Self {
        Self {
            class,
            reason: printable(&format!("{}: {what}", action.as_str())),
            retry_after_ms: None,
            spoken_version: None,
            remedy: match class {
                FailureClass::Unreachable | FailureClass::TimedOut => Remedy::Again,
                FailureClass::Protocol => Remedy::Elsewhere,
                FailureClass::Refused | FailureClass::NotFound => Remedy::None,
            },
        }
    }
}

/// Our service's error type for a challenge that has aged or that it does not know: no verdict.
const SESSION_OVER: &str = "SessionError";

/// Our service's error type for a version that it does not speak.
const OTHER_VERSION: &str = "ProtocolVersion";

/// The longest run of token characters that is shown. A service that repeats the token that it was
/// sent must not get it into our log.
const MAX_WORD_LEN: usize = 48;

/// A refusal's class by the error type that the service gave, or by the status where that is no
/// type of the protocol.
fn refusal_class(action: Action, status: u16, variant: &str) -> FailureClass {
    match (action, variant) {
        (_, SESSION_OVER) => FailureClass::TimedOut,
        // Trustee's plugins have one error; for the resource plugin it means a missing file.
        (Action::Fetch, "PluginInternalError" | "ResourceNotFound") => FailureClass::NotFound,
        (Action::Fetch, "InvalidRequestPath") => FailureClass::NotFound,
        (
            _,
            "PolicyDeny" | "PolicyEngineError" | "AttestationError" | "TokenNotFound"
            | "TokenVerifierError",
        ) => FailureClass::Refused,
        _ => match (action, status) {
            (_, 401 | 403) => FailureClass::Refused,
            (Action::Fetch, 404 | 410) => FailureClass::NotFound,
            _ => FailureClass::Protocol,
        },
    }
}

/// A service's words go into a log that a person reads on a terminal.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len().min(MAX_REASON_LEN));
    let mut word_len = 0;
    for character in text.chars() {
        let shown = if character == ' ' || character.is_ascii_graphic() {
            character
        } else {
            '?'
        };
        let in_token = shown.is_ascii_alphanumeric() || "-_.+=".contains(shown);
        word_len = if in_token { word_len + 1 } else { 0 };
        if printable.len() == MAX_REASON_LEN {
            break;
        }
        match word_len {
            0..=MAX_WORD_LEN => printable.push(shown),
            // One sign for all that is left out.
            _ if word_len == MAX_WORD_LEN + 1 => printable.push('*'),
            _ => {}
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_kbs::messages::ErrorInformation;
    use proptest::prelude::*;

    fn class(action: Action, status: u16, variant: &str) -> FailureClass {
        let body = ErrorInformation::new(variant, "because").to_json();
        let answer = HttpAnswer {
            status,
            body: body.into_bytes(),
            ..HttpAnswer::default()
        };
        Fault::answer(action, &answer).class
    }

    #[test]
    fn trustees_one_status_is_told_apart_by_its_type() {
        use FailureClass::{NotFound, Refused};
        assert_eq!(class(Action::Fetch, 401, "PluginInternalError"), NotFound);
        assert_eq!(class(Action::Fetch, 401, "PolicyDeny"), Refused);
        assert_eq!(class(Action::Fetch, 403, "PolicyDeny"), Refused);
        assert_eq!(class(Action::Fetch, 401, "TokenNotFound"), Refused);
        assert_eq!(class(Action::Attest, 401, "AttestationError"), Refused);
    }

    #[test]
    fn our_missing_resource_is_not_found() {
        let answer = HttpAnswer {
            status: 404,
            ..HttpAnswer::default()
        };
        assert_eq!(
            Fault::answer(Action::Fetch, &answer).class,
            FailureClass::NotFound
        );
        assert_eq!(
            Fault::answer(Action::Auth, &answer).class,
            FailureClass::Protocol,
            "no KBS at this URL"
        );
    }

    #[test]
    fn a_busy_or_broken_service_may_be_asked_again() {
        for status in [429, 500, 502, 503] {
            let answer = HttpAnswer {
                status,
                retry_after_secs: Some(3),
                ..HttpAnswer::default()
            };
            let fault = Fault::answer(Action::Auth, &answer);
            assert_eq!(fault.class, FailureClass::Unreachable);
            assert_eq!(fault.remedy(), Remedy::Again);
            assert_eq!(fault.retry_after_ms, Some(3000));
        }
    }

    #[test]
    fn a_redirect_is_not_followed() {
        let fault = class(Action::Fetch, 302, "");
        assert_eq!(fault, FailureClass::Protocol);
    }

    #[test]
    fn a_services_words_cannot_forge_log_lines() {
        let body = ErrorInformation::new("PolicyDeny", "no\n\u{1b}[31mroot: all is well").to_json();
        let answer = HttpAnswer {
            status: 401,
            body: body.into_bytes(),
            ..HttpAnswer::default()
        };
        let fault = Fault::answer(Action::Fetch, &answer);
        assert_eq!(
            fault.reason,
            "resource: HTTP 401 PolicyDeny: no??[31mroot: all is well"
        );
    }

    #[test]
    fn a_session_that_is_over_is_no_verdict() {
        for action in [Action::Attest, Action::Fetch] {
            let body = ErrorInformation::new("SessionError", "the challenge has expired").to_json();
            let answer = HttpAnswer {
                status: 401,
                body: body.into_bytes(),
                ..HttpAnswer::default()
            };
            let fault = Fault::answer(action, &answer);
            assert_eq!(fault.class, FailureClass::TimedOut);
            assert_eq!(fault.remedy(), Remedy::Elsewhere);
        }
    }

    #[test]
    fn a_token_that_the_service_repeats_is_not_shown() {
        let token = "eyJhbGciOiJFUzI1NiJ9.".repeat(20);
        let body = ErrorInformation::new("TokenVerifierError", &format!("got {token} here"));
        let answer = HttpAnswer {
            status: 401,
            body: body.to_json().into_bytes(),
            ..HttpAnswer::default()
        };
        assert_eq!(
            Fault::answer(Action::Fetch, &answer).reason,
            format!(
                "resource: HTTP 401 TokenVerifierError: got {}* here",
                &token[..MAX_WORD_LEN]
            )
        );
    }

    proptest! {
        #[test]
        fn a_reason_is_bounded_and_printable(text in "\\PC*", status: u16) {
            let body = ErrorInformation::new("X", &text).to_json().into_bytes();
            let answer = HttpAnswer { status, body, ..HttpAnswer::default() };
            let reason = Fault::answer(Action::Auth, &answer).reason;
            prop_assert!(reason.len() <= MAX_REASON_LEN);
            prop_assert!(reason.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }
}
