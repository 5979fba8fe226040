//! OpenBao or Vault read by the agent itself: a login, one read a resource, and the token given back.
//!
//! The one part of this room that is not blind. It is entered for orders alone that say so, and what
//! it reads is held for one question to the vault.

use crate::effect::{Effect, Question};
use crate::endpoints::{EndpointId, Endpoints};
use crate::fault::{Action, Fault};
use crate::http::{HttpAnswer, HttpRequest, Method};
use crate::order::Order;
use crate::round::Round;
use crate::stage::Phase;
use nitride_openbao::answer::{self, AnswerError, Class, Encoding};
use nitride_openbao::{Kv, KvError, Request, TOKEN_HEADER, Token};
use nitride_protocol::agent::FailureClass;
use nitride_protocol::limits::MAX_PLAINTEXT_LEN;

/// Greatest answer to a login or to its end, in bytes: a token, and what its policies are called.
const MAX_LOGIN_ANSWER_LEN: usize = 65_536;
/// Greatest answer that a secret comes in, in bytes: the longest resource in base64, and other fields.
const MAX_SECRET_ANSWER_LEN: usize = 2 * MAX_PLAINTEXT_LEN;

/// Where secrets lie, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The engine and the folder in it; below that a resource lies under its own path.
    pub kv: Kv,
    /// The field of a secret that is the resource.
    pub field: String,
    /// How it holds bytes.
    pub encoding: Encoding,
}

/// What a round that reads them begins with.
pub(crate) struct Direct {
    /// A secret itself, and wiped when the token has come.
    login: Request,
    shelf: Shelf,
}

/// Where the resources of one order lie.
struct Shelf {
    /// In the order's order.
    requests: Vec<Request>,
    field: String,
    encoding: Encoding,
}

/// A token, for as long as the round.
pub(crate) struct LoggedIn {
    token: Token,
    shelf: Shelf,
    /// The node that answered last.
    at: EndpointId,
}

impl Round {
    /// Begins a round in which the resources are read here, as an order in the clear wants: `login` at one
    /// of the endpoints, which are nodes of one OpenBao or Vault, and then each of them among `secrets`.
    ///
    /// # Errors
    /// Where a resource's path is none of an engine.
    pub fn begin_in_clear(
        order: Order,
        (login, secrets): (Request, &Secrets),
        endpoints: &mut Endpoints,
        now_ms: u64,
        draw: u64,
    ) -> Result<(Self, Effect), KvError> {
        let direct = Direct::new(login, secrets, &order)?;
        let first = Phase::Login(direct);
        Ok(Self::begin_with(order, first, endpoints, now_ms, draw))
    }
}

impl Direct {
    /// Every resource has its place before anybody is asked for one.
    fn new(login: Request, secrets: &Secrets, order: &Order) -> Result<Self, KvError> {
        let resources = order.resources.iter();
        let requests = resources.map(|path| secrets.kv.read(path.as_str()));
        Ok(Self {
            login,
            shelf: Shelf {
                requests: requests.collect::<Result<_, _>>()?,
                field: secrets.field.clone(),
                encoding: secrets.encoding,
            },
        })
    }

    pub(crate) fn request(&self, endpoint: EndpointId) -> HttpRequest {
        let max_answer_len = MAX_LOGIN_ANSWER_LEN;
        to_http(&self.login, None, endpoint, max_answer_len)
    }

    /// The token that a login gave.
    pub(crate) fn read_login(&self, answer: &HttpAnswer) -> Result<Token, Fault> {
        match Class::of(answer.status) {
            Class::Done => {}
            // What a login says no to is the role or its secret.
            Class::Refused => return Err(refusal(Action::Login, Class::Denied, answer)),
            class => return Err(refusal(Action::Login, class, answer)),
        }
        let login = answer::logged_in(&answer.body);
        let login = login.map_err(|error| Fault::protocol(Action::Login, &error.to_string()))?;
        Ok(login.token)
    }

    pub(crate) fn logged_in(self, token: Token, at: EndpointId) -> LoggedIn {
        LoggedIn {
            token,
            shelf: self.shelf,
            at,
        }
    }
}

impl LoggedIn {
    /// The request for the order's resource of this index.
    pub(crate) fn request(&self, index: usize, endpoint: EndpointId) -> HttpRequest {
        let max_answer_len = MAX_SECRET_ANSWER_LEN;
        match self.shelf.requests.get(index) {
            Some(request) => to_http(request, Some(&self.token), endpoint, max_answer_len),
            // There is one for each resource, and no more are asked for.
            None => self.revocation(),
        }
    }

    /// Gives the token back where it was last taken.
    pub(crate) fn revocation(&self) -> HttpRequest {
        let request = Request::revoke_self();
        let max_answer_len = MAX_LOGIN_ANSWER_LEN;
        to_http(&request, Some(&self.token), self.at, max_answer_len)
    }

    /// The question that hands over what this answer brought, given at `at`.
    pub(crate) fn take(
        &mut self,
        resource: String,
        answer: &HttpAnswer,
        at: EndpointId,
    ) -> Result<Question, Fault> {
        self.at = at;
        // Every node would say the same of this one, and another resource may be as it should.
        let unfit = |what: &str| Fault::new(FailureClass::Refused, Action::Read, what);
        match Class::of(answer.status) {
            Class::Done | Class::NotFound => {}
            class => return Err(refusal(Action::Read, class, answer)),
        }
        let (field, encoding) = (&self.shelf.field, self.shelf.encoding);
        let read = answer::field(answer.status, &answer.body, field, encoding);
        let Some(read) = read.map_err(|error| unread(&error))? else {
            let class = FailureClass::NotFound;
            return Err(Fault::new(class, Action::Read, "there is no such secret"));
        };
        if read.bytes.len() > MAX_PLAINTEXT_LEN {
            return Err(unfit(&format!(
                "the secret is longer than {MAX_PLAINTEXT_LEN} bytes"
            )));
        }
        Ok(Question::Plaintext {
            resource,
            version: u32::try_from(read.version)
                .map_err(|_| unfit("the secret has more versions than there are numbers"))?,
            lease_secs: read.lease_secs,
            material: read.bytes,
        })
    }
}

/// What is wrong with the secret itself is the service's word about it; what is no answer at all is not.
fn unread(error: &AnswerError) -> Fault {
    match error {
        AnswerError::NoField { .. }
        | AnswerError::NotBase64 { .. }
        | AnswerError::LeaseMalformed
        | AnswerError::NoVersion => {
            Fault::new(FailureClass::Refused, Action::Read, &error.to_string())
        }
        // With the service's words, which are not shown.
        AnswerError::NoSuchPath { .. } => {
            Fault::protocol(Action::Read, "HTTP 404: there is no such engine or method")
        }
        _ => Fault::protocol(Action::Read, &error.to_string()),
    }
}

/// The status alone: what the service says may repeat what it was sent, and a secret-id or a token of its
/// own form is as short as any word.
fn refusal(action: Action, class: Class, answer: &HttpAnswer) -> Fault {
    let class = match class {
        Class::Elsewhere => FailureClass::Unreachable,
        Class::Denied => FailureClass::Refused,
        Class::Done | Class::NotFound | Class::Refused => FailureClass::Protocol,
    };
    let what = format!("HTTP {}", answer.status);
    Fault::new(class, action, &what).again_after(answer.retry_after_secs)
}

fn to_http(
    request: &Request,
    token: Option<&Token>,
    endpoint: EndpointId,
    max_answer_len: usize,
) -> HttpRequest {
    let token = token.map(|token| (TOKEN_HEADER, token.expose().to_owned()));
    let json = ("content-type", "application/json".to_owned());
    HttpRequest {
        endpoint,
        method: match request.method {
            nitride_openbao::Method::Get => Method::Get,
            nitride_openbao::Method::Post => Method::Post,
        },
        path: request.path.clone(),
        headers: [json].into_iter().chain(token).collect(),
        body: request.body.to_vec(),
        max_answer_len,
    }
}
