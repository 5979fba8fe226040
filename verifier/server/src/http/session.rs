//! The session's cookie, and the token in it.
//!
//! Stateless, so that any replica serves any step: after `auth` the cookie is a MAC over the nonce
//! (32 hex digits), which `attest` wants to see with that nonce; after `attest` it is the token
//! itself, if it is short enough for a cookie. Every client may send the token as
//! `Authorization: Bearer` instead, and one whose token is long must; what no header has room for
//! goes in a body (`super::resource_by_token`).

use super::fault::{Fault, FaultKind};
use crate::challenge::CHALLENGE_TTL_SECS;
use crate::token::TOKEN_TTL_SECS;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderValue};

const NAME: &str = "kbs-session-id";
/// Clients drop cookies above 4096 bytes, name and attributes included.
const MAX_TOKEN_COOKIE_LEN: usize = 3800;

/// The cookie for a session that is to attest.
pub(super) fn challenge_cookie(session: &str, plain_http: bool) -> Option<HeaderValue> {
    cookie(session, CHALLENGE_TTL_SECS, plain_http)
}

/// The cookie for a session that has attested; `None` when the token is too long for one.
pub(super) fn token_cookie(token: &str, plain_http: bool) -> Option<HeaderValue> {
    (token.len() <= MAX_TOKEN_COOKIE_LEN)
        .then(|| cookie(token, TOKEN_TTL_SECS, plain_http))
        .flatten()
}

fn cookie(value: &str, max_age_secs: u64, plain_http: bool) -> Option<HeaderValue> {
    let secure = if plain_http { "" } else { "; Secure" };
    let text = format!(
        "{NAME}={value}; Path=/kbs/v0; Max-Age={max_age_secs}; HttpOnly; SameSite=Strict{secure}"
    );
    // Hexadecimal digits and base64url are a header's value, always.
    HeaderValue::try_from(text).ok()
}

/// The session's cookie. Two of them are none: which one counts would be anybody's guess.
pub(super) fn session(headers: &HeaderMap) -> Result<&str, Fault> {
    let mut found = None;
    for header in headers.get_all(COOKIE) {
        let text = header.to_str().map_err(|_| malformed("cookie"))?;
        for pair in text.split(';') {
            if let Some((name, value)) = pair.trim().split_once('=')
                && name == NAME
                && found.replace(value).is_some()
            {
                return Err(Fault::new(
                    FaultKind::SessionError,
                    "there are two session cookies",
                ));
            }
        }
    }
    found.ok_or_else(|| {
        Fault::new(
            FaultKind::SessionError,
            "there is no session cookie; begin with auth",
        )
    })
}

/// The token that a request brings: as Bearer, else in the session's cookie.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, Fault> {
    if let Some(token) = bearer(headers)? {
        return Ok(token);
    }
    let value = session(headers).map_err(|fault| match fault.kind() {
        FaultKind::SessionError => Fault::new(
            FaultKind::TokenVerifierError,
            "there is no token; attest first",
        ),
        _ => fault,
    })?;
    if value.contains('.') {
        Ok(value)
    } else {
        let detail = "this session has not attested, or its token came too long for a cookie: send it \
                      as Authorization: Bearer, or to resource-by-token";
        Err(Fault::new(FaultKind::TokenVerifierError, detail))
    }
}

/// What `Authorization: Bearer` says.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = all.next() else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_| malformed("authorization"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && all.next().is_none() => {
            Ok(Some(token.trim()))
        }
        _ => Err(malformed("authorization")),
    }
}

fn malformed(header: &str) -> Fault {
    Fault::new(
        FaultKind::InvalidRequest,
        format!("{header} header is malformed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    fn headers(all: &[(HeaderName, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let found = headers(&[(COOKIE, "a=b; kbs-session-id=0a; c=d"), (COOKIE, "e=f")]);
        assert_eq!(session(&found).unwrap(), "0a");
        for cookies in [
            &[][..],
            &["a=b"],
            &["kbs-session-id"],
            &["xkbs-session-id=1"],
        ] {
            let cookies: Vec<_> = cookies.iter().map(|cookie| (COOKIE, *cookie)).collect();
            assert!(session(&headers(&cookies)).is_err());
        }
    }

    #[test]
    fn two_sessions_are_none() {
        for cookies in [
            &[(COOKIE, "kbs-session-id=0a; kbs-session-id=0a")][..],
            &[(COOKIE, "kbs-session-id=0a"), (COOKIE, "kbs-session-id=0b")],
        ] {
            assert!(session(&headers(cookies)).is_err());
        }
    }

    #[test]
    fn a_bearer_token_comes_before_the_cookie() {
        let both = headers(&[
            (COOKIE, "kbs-session-id=a.b.c"),
            (AUTHORIZATION, "Bearer d.e.f"),
        ]);
        assert_eq!(token(&both).unwrap(), "d.e.f");
        let cookie = headers(&[(COOKIE, "kbs-session-id=a.b.c")]);
        assert_eq!(token(&cookie).unwrap(), "a.b.c");
        let unattested = headers(&[(COOKIE, "kbs-session-id=0a0b")]);
        assert_eq!(
            token(&unattested).unwrap_err().kind(),
            FaultKind::TokenVerifierError
        );
    }

    #[test]
    fn an_authorization_that_is_no_bearer_token_is_malformed() {
        for value in ["Basic abc", "Bearer", ""] {
            let fault = token(&headers(&[(AUTHORIZATION, value)])).unwrap_err();
            assert_eq!(fault.kind(), FaultKind::InvalidRequest);
        }
    }

    #[test]
    fn a_long_token_gets_no_cookie() {
        assert!(token_cookie(&"a".repeat(MAX_TOKEN_COOKIE_LEN), false).is_some());
        assert!(token_cookie(&"a".repeat(MAX_TOKEN_COOKIE_LEN + 1), false).is_none());
    }
}
