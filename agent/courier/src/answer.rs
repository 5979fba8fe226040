//! What the service's answers say, or the fault that they are.

use crate::cookies::Cookies;
use crate::fault::{Action, Fault};
use crate::http::HttpAnswer;
use nitride_kbs::jwe::Jwe;
use nitride_kbs::messages::{parse_attestation_response, parse_challenge};
use nitride_kbs::tee_key::TeeKeyForm;
use nitride_protocol::limits::MAX_LABEL_LEN;

/// What `auth` gave.
pub(crate) struct Challenged {
    pub(crate) nonce: String,
    pub(crate) hash: Option<String>,
    pub(crate) tee_keys: Vec<TeeKeyForm>,
    pub(crate) witnesses_audit_head: bool,
    pub(crate) takes_token_in_body: bool,
    pub(crate) cookies: Cookies,
}

pub(crate) fn read_challenge(answer: &HttpAnswer) -> Result<Challenged, Fault> {
    let body = body_of(Action::Auth, answer)?;
    let fault = |what: &dyn ToString| Fault::protocol(Action::Auth, &what.to_string());
    let challenge = parse_challenge(body).map_err(|error| fault(&error))?;
    let hash = challenge.selected_hash();
    if hash.is_some_and(|hash| !is_label(hash)) {
        return Err(fault(&"the selected hash has no usable name"));
    }
    let mut cookies = Cookies::default();
    cookies
        .store(&answer.set_cookies)
        .map_err(|error| fault(&error))?;
    Ok(Challenged {
        hash: hash.map(ToOwned::to_owned),
        tee_keys: challenge.tee_keys(),
        witnesses_audit_head: challenge.witnesses_audit_head(),
        takes_token_in_body: challenge.takes_token_in_body(),
        nonce: challenge.nonce,
        cookies,
    })
}

/// The token that `attest` gave; a cookie that came with it joins the session.
pub(crate) fn read_token(answer: &HttpAnswer, cookies: &mut Cookies) -> Result<String, Fault> {
    let body = body_of(Action::Attest, answer)?;
    let fault = |what: &dyn ToString| Fault::protocol(Action::Attest, &what.to_string());
    let token = parse_attestation_response(body)
        .map_err(|error| fault(&error))?
        .token;
    // A JWT is base64url and dots (RFC 7515, 7.1); anything else could break out of a header.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !token.bytes().all(allowed) {
        return Err(fault(&"the token is no JWT"));
    }
    cookies
        .store(&answer.set_cookies)
        .map_err(|error| fault(&error))?;
    Ok(token)
}

/// The resource, as it came. It is looked at only so that a page of some proxy's is not taken for
/// one, which the vault would have to refuse for good.
pub(crate) fn read_resource(answer: HttpAnswer) -> Result<Vec<u8>, Fault> {
    let body = body_of(Action::Fetch, &answer)?;
    Jwe::parse(body).map_err(|error| Fault::protocol(Action::Fetch, &error.to_string()))?;
    Ok(answer.body)
}

/// The vault's protocol takes the name as a label; one that is none would cost the round.
fn is_label(hash: &str) -> bool {
    !hash.is_empty() && hash.len() <= MAX_LABEL_LEN && hash.bytes().all(|b| b.is_ascii_graphic())
}

fn body_of(action: Action, answer: &HttpAnswer) -> Result<&[u8], Fault> {
    match answer.status {
        200 => Ok(&answer.body),
        _ => Err(Fault::answer(action, answer)),
    }
}
