//! How far a round has come: each stage has what the one before it earned, and nothing else.

use crate::cookies::Cookies;
use crate::endpoints::EndpointId;
use crate::fault::Action;
use crate::http::{
    HttpRequest, MAX_ATTEST_ANSWER_LEN, MAX_AUTH_ANSWER_LEN, MAX_RESOURCE_ANSWER_LEN, Method,
};
use crate::order::Order;
use nitride_kbs::{messages, wanted};

/// Longest token that is sent as a header as well; servers bound their headers, and a token of
/// many devices exceeds that. It goes in a body then to a service that takes it there; of another
/// one the session's cookie has to be enough.
const MAX_BEARER_LEN: usize = 16_384;

/// A challenge was given.
pub(crate) struct Opened {
    pub(crate) home: EndpointId,
    pub(crate) cookies: Cookies,
    pub(crate) nonce: String,
    pub(crate) takes_token_in_body: bool,
}

/// The vault answered the challenge.
pub(crate) struct Prepared {
    pub(crate) home: EndpointId,
    pub(crate) cookies: Cookies,
    /// The attest request, as JSON.
    pub(crate) body: Vec<u8>,
    pub(crate) takes_token_in_body: bool,
}

/// The service gave a token.
pub(crate) struct Attested {
    pub(crate) home: EndpointId,
    pub(crate) cookies: Cookies,
    pub(crate) token: String,
    pub(crate) takes_token_in_body: bool,
    /// Index of the resource that comes next.
    pub(crate) next: usize,
}

/// What is asked of the service next.
pub(crate) enum Phase {
    Auth,
    Attest(Prepared),
    Fetch(Attested),
}

impl Phase {
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Auth => Action::Auth,
            Self::Attest(_) => Action::Attest,
            Self::Fetch(_) => Action::Fetch,
        }
    }

    /// The endpoint that gave the challenge: whatever session there is, it is there.
    pub(crate) fn home(&self) -> Option<EndpointId> {
        match self {
            Self::Auth => None,
            Self::Attest(prepared) => Some(prepared.home),
            Self::Fetch(attested) => Some(attested.home),
        }
    }

    /// `version` is what the protocol is asked for in.
    pub(crate) fn request(
        &self,
        order: &Order,
        version: &str,
        endpoint: EndpointId,
    ) -> HttpRequest {
        match self {
            Self::Auth => HttpRequest {
                endpoint,
                method: Method::Post,
                path: "/kbs/v0/auth".to_owned(),
                headers: vec![json()],
                body: messages::Request::of_version(version, &order.tee)
                    .to_json()
                    .into_bytes(),
                max_answer_len: MAX_AUTH_ANSWER_LEN,
            },
            Self::Attest(prepared) => HttpRequest {
                endpoint,
                method: Method::Post,
                path: "/kbs/v0/attest".to_owned(),
                headers: [json()]
                    .into_iter()
                    .chain(session(&prepared.cookies))
                    .chain(wanted(order))
                    .collect(),
                body: prepared.body.clone(),
                max_answer_len: MAX_ATTEST_ANSWER_LEN,
            },
            Self::Fetch(attested) if attested.token_goes_in_body() => HttpRequest {
                endpoint,
                method: Method::Post,
                path: attested.path(order, "/kbs/v0/resource-by-token"),
                headers: vec![json()],
                body: messages::AttestationResponse {
                    token: attested.token.clone(),
                }
                .to_json()
                .into_bytes(),
                max_answer_len: MAX_RESOURCE_ANSWER_LEN,
            },
            Self::Fetch(attested) => HttpRequest {
                endpoint,
                method: Method::Get,
                path: attested.path(order, "/kbs/v0/resource"),
                headers: session(&attested.cookies)
                    .into_iter()
                    .chain(bearer(&attested.token))
                    .collect(),
                body: Vec::new(),
                max_answer_len: MAX_RESOURCE_ANSWER_LEN,
            },
        }
    }
}

impl Attested {
    fn token_goes_in_body(&self) -> bool {
        self.takes_token_in_body && self.token.len() > MAX_BEARER_LEN
    }

    /// Of the resource that comes next.
    fn path(&self, order: &Order, under: &str) -> String {
        match order.resources.get(self.next) {
            Some(resource) => format!("{under}/{resource}"),
            None => String::new(),
        }
    }
}

fn json() -> (&'static str, String) {
    ("content-type", "application/json".to_owned())
}

fn session(cookies: &Cookies) -> Option<(&'static str, String)> {
    cookies.header().map(|value| ("cookie", value))
}

/// For what the token is to be, and for nothing else; others than ours pass over it. A round that names
/// too much for a header asks for a token without limits, as every round did before.
fn wanted(order: &Order) -> Option<(&'static str, String)> {
    wanted::write(&order.resources).map(|names| (wanted::HEADER, names))
}

/// A server that lost the session, or never had it, can still know the token.
fn bearer(token: &str) -> Option<(&'static str, String)> {
    (token.len() <= MAX_BEARER_LEN).then(|| ("authorization", format!("Bearer {token}")))
}
