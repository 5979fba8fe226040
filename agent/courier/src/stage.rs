//! How far a round has come: each stage has what the one before it earned, and nothing else.

use crate::cookies::Cookies;
use crate::direct::{Direct, LoggedIn};
use crate::endpoints::EndpointId;
use crate::fault::Action;
use crate::http::{
    HttpRequest, MAX_ATTEST_ANSWER_LEN, MAX_AUTH_ANSWER_LEN, MAX_RESOURCE_ANSWER_LEN, Method,
};
use crate::order::Order;
use nitride_kbs::audit_head::AuditHead;
use nitride_kbs::messages::{Attestation, InitData};
use nitride_kbs::resource::ResourcePath;
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

impl Opened {
    /// Takes what the vault gave for the challenge: public key, evidence of the machine and of devices
    /// beside it, what the machine was started with, and the head of the audit that the evidence binds.
    pub(crate) fn prepare(
        self,
        [tee_pubkey, primary, additional]: [&str; 3],
        init_data: Option<&str>,
        audit_head: Option<AuditHead>,
    ) -> Result<Prepared, String> {
        let init_data = init_data.map(serde_json::from_str::<InitData>).transpose();
        let init_data = init_data.map_err(|error| error.to_string())?;
        let composed =
            Attestation::compose(&self.nonce, tee_pubkey, primary, additional, init_data);
        let attestation = composed.map_err(|error| error.to_string())?;
        Ok(Prepared {
            home: self.home,
            cookies: self.cookies,
            body: attestation
                .with_audit_head(audit_head)
                .to_json()
                .into_bytes(),
            takes_token_in_body: self.takes_token_in_body,
        })
    }
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
}

/// Resources are fetched, one after another.
pub(crate) struct Fetching {
    pub(crate) by: By,
    /// Index of the resource that comes next.
    pub(crate) next: usize,
}

/// What the service was shown, and gives resources for.
pub(crate) enum By {
    Kbs(Attested),
    OpenBao(LoggedIn),
}

/// What is asked of the service next.
pub(crate) enum Phase {
    Auth,
    Attest(Prepared),
    #[cfg_attr(
        not(feature = "openbao"),
        expect(dead_code, reason = "no round begins with it in such a build")
    )]
    Login(Direct),
    Fetch(Fetching),
}

impl Phase {
    pub(crate) fn action(&self) -> Action {
        match self {
            Self::Auth => Action::Auth,
            Self::Attest(_) => Action::Attest,
            Self::Login(_) => Action::Login,
            Self::Fetch(fetching) => match fetching.by {
                By::Kbs(_) => Action::Fetch,
                By::OpenBao(_) => Action::Read,
            },
        }
    }

    /// The endpoint that gave the challenge: whatever session there is, it is there.
    pub(crate) fn home(&self) -> Option<EndpointId> {
        match self {
            Self::Auth | Self::Login(_) => None,
            Self::Attest(prepared) => Some(prepared.home),
            Self::Fetch(fetching) => match &fetching.by {
                By::Kbs(attested) => Some(attested.home),
                // A token is every node's.
                By::OpenBao(_) => None,
            },
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
            Self::Login(direct) => direct.request(endpoint),
            Self::Fetch(Fetching { by, next }) => match by {
                By::Kbs(attested) => attested.request(order.resources.get(*next), endpoint),
                By::OpenBao(logged_in) => logged_in.request(*next, endpoint),
            },
        }
    }
}

impl Attested {
    /// Begins with the first resource.
    pub(crate) fn fetching(self) -> Fetching {
        Fetching {
            by: By::Kbs(self),
            next: 0,
        }
    }

    fn request(&self, resource: Option<&ResourcePath>, endpoint: EndpointId) -> HttpRequest {
        let path = |under: &str| match resource {
            Some(resource) => format!("{under}/{resource}"),
            None => String::new(),
        };
        match self.token_goes_in_body() {
            true => HttpRequest {
                endpoint,
                method: Method::Post,
                path: path("/kbs/v0/resource-by-token"),
                headers: vec![json()],
                body: messages::AttestationResponse {
                    token: self.token.clone(),
                }
                .to_json()
                .into_bytes(),
                max_answer_len: MAX_RESOURCE_ANSWER_LEN,
            },
            false => HttpRequest {
                endpoint,
                method: Method::Get,
                path: path("/kbs/v0/resource"),
                headers: session(&self.cookies)
                    .into_iter()
                    .chain(bearer(&self.token))
                    .collect(),
                body: Vec::new(),
                max_answer_len: MAX_RESOURCE_ANSWER_LEN,
            },
        }
    }

    fn token_goes_in_body(&self) -> bool {
        self.takes_token_in_body && self.token.len() > MAX_BEARER_LEN
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
