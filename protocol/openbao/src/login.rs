//! Ways to get a token, and the token.

use crate::kv::checked;
use crate::{KvError, Request};
use serde::Serialize;
use std::fmt;
use zeroize::Zeroizing;

/// A token, wiped when dropped.
#[derive(Clone)]
pub struct Token(pub(crate) Zeroizing<String>);

/// What a login or a renewal gave.
#[derive(Debug)]
pub struct Login {
    /// The token; a renewal gives the same again.
    pub token: Token,
    /// How long it holds, in seconds; 0 is without an end.
    pub lease_secs: u64,
    /// Whether its lease can be made longer.
    pub renewable: bool,
}

impl Token {
    /// For the one header that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

#[derive(Serialize)]
struct AppRole<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}

#[derive(Serialize)]
struct Jwt<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Serialize)]
struct Certificate<'a> {
    name: &'a str,
}

impl Request {
    /// Logs in as an application's role.
    ///
    /// # Errors
    /// Where `mount` is no path.
    pub fn app_role(mount: &str, role_id: &str, secret_id: &str) -> Result<Self, KvError> {
        login(mount, &AppRole { role_id, secret_id })
    }

    /// Logs in by a JWT.
    ///
    /// # Errors
    /// Where `mount` is no path.
    pub fn jwt(mount: &str, role: &str, jwt: &str) -> Result<Self, KvError> {
        login(mount, &Jwt { role, jwt })
    }

    /// Logs in by the certificate that the connection shows.
    ///
    /// # Errors
    /// Where `mount` is no path.
    pub fn certificate(mount: &str, role: &str) -> Result<Self, KvError> {
        login(mount, &Certificate { name: role })
    }

    /// Asks about the token that the request carries, which every token may.
    #[must_use]
    pub fn look_up_self() -> Self {
        Self::get("/v1/auth/token/lookup-self".to_owned())
    }

    /// Ends the token that the request carries.
    #[must_use]
    pub fn revoke_self() -> Self {
        Self::post("/v1/auth/token/revoke-self".to_owned(), b"{}".to_vec())
    }

    /// Makes the lease of the token longer that the request carries.
    #[must_use]
    pub fn renew_self() -> Self {
        Self::post("/v1/auth/token/renew-self".to_owned(), b"{}".to_vec())
    }
}

fn login(mount: &str, body: &impl Serialize) -> Result<Request, KvError> {
    let path = format!("/v1/auth/{}/login", checked(mount)?);
    // Texts and nothing else: that becomes JSON always.
    let body = serde_json::to_vec(body).unwrap_or_default();
    Ok(Request::post(path, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_s_secret_is_escaped_and_not_printed() {
        let request = Request::app_role("approle", "id", "se\"cret").unwrap();
        assert_eq!(request.path, "/v1/auth/approle/login");
        assert_eq!(
            request.body.as_slice(),
            br#"{"role_id":"id","secret_id":"se\"cret"}"#
        );
        assert!(!format!("{request:?}").contains("cret"));
        let request = Request::jwt("jwt/team", "r", "a.b.c").unwrap();
        assert_eq!(request.path, "/v1/auth/jwt/team/login");
        assert_eq!(request.body.as_slice(), br#"{"role":"r","jwt":"a.b.c"}"#);
        let request = Request::certificate("cert", "r").unwrap();
        assert_eq!(request.body.as_slice(), br#"{"name":"r"}"#);
        assert!(Request::jwt("../sys", "r", "a").is_err());
    }
}
