//! What admins ask for, under one table:
//!
//! ```text
//!   method       path                                role              access  of
//!   POST DELETE  /kbs/v0/resource/r/t/t              resources         write   r
//!   GET          /kbs/v0/nitride/resources           resources         read    all, or ?namespace=r
//!   GET          …/policies                          policies          read    all, or ?namespace=r
//!   GET          …/policies/tenant/r                 policies          read    r
//!   PUT DELETE   …/policies/tenant/r                 policies          write   r
//!   GET          …/policies/{attestation,resource,…} policies          read    all
//!   PUT DELETE   …/policies/{attestation,resource,…} policies          write   all
//!   GET          …/reference-values[/…]              reference-values  read    all
//!   PUT DELETE   …/reference-values/…                reference-values  write   all
//!   GET          …/revocations                       revocations       read    all
//!   POST         …/revocations, …/revocations/lift   revocations       write   all
//!   GET          …/audit-head, …/status              audit             read    all
//! ```
//!
//! Every write may say what it expects to find, so that of two admins who saw the same version one is
//! refused: `If-None-Match: *` is nothing, `If-Match: "3"` the version that an answer's `ETag` gave.
//!
//! An act has its entry in the audit before it is done, and another with how it ended, a failure too. Each
//! names the admin.

mod observe;
mod policy;
mod resource;
mod revocation;

use super::decision::Decided;
use super::fault::{Fault, FaultKind};
use super::session::bearer;
use crate::acts::Actor;
use crate::admin::{Access, ClientChain, Credentials, NotPermitted, Permitted, Role, Scope};
use crate::audit::entry::{Event, Kind};
use crate::service::Service;
use crate::store::{Expected, Version};
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{Extensions, HeaderMap, Uri};
use nitride_kbs::resource::ResourcePath;
pub(super) use resource::{delete, write};
use std::sync::Arc;

/// The paths that are for admins alone.
pub(super) fn router() -> Router<Arc<Service>> {
    Router::new()
        .route("/kbs/v0/nitride/resources", get(observe::resources))
        .route("/kbs/v0/nitride/audit-head", get(observe::audit_head))
        .route("/kbs/v0/nitride/status", get(observe::status))
        .merge(documents(policy::POLICIES))
        .merge(documents(policy::VALUES))
        .route(
            revocation::REVOCATIONS,
            get(revocation::list).post(revocation::add),
        )
        .route(revocation::LIFT, post(revocation::lift))
}

fn documents(under: &str) -> Router<Arc<Service>> {
    let each = get(policy::read).put(policy::write).delete(policy::delete);
    Router::new()
        .route(under, get(policy::list))
        .route(&format!("{under}/{{*name}}"), each)
}

/// The repository that a list is asked of; all of them without a query.
fn namespace_of(uri: &Uri) -> Result<Option<String>, Fault> {
    let Some(query) = uri.query() else {
        return Ok(None);
    };
    let name = query.strip_prefix("namespace=");
    let name = name.filter(|name| ResourcePath::parse(&format!("{name}/t/t")).is_ok());
    let detail = "the query is not namespace= and a repository";
    let wrong = || Fault::new(FaultKind::InvalidRequest, detail);
    Ok(Some(name.ok_or_else(wrong)?.to_owned()))
}

/// Leave to do `what`, which the audit knows of by now. Asked for before anything else of the request
/// is looked at, its body least of all.
async fn permit(
    service: &Service,
    (headers, extensions): (&HeaderMap, &Extensions),
    wanted: (Role, Access),
    scope: Scope<'_>,
    what: &str,
) -> Result<Acting, Fault> {
    let credentials = Credentials {
        bearer: bearer(headers)?,
        chain: extensions.get::<ClientChain>(),
    };
    let now_secs = service.clock.wall_secs();
    let permitted = service
        .current()
        .admins
        .permit(credentials, wanted, scope, now_secs);
    // Also who is refused, or fails later, is named where he is known.
    let known = match &permitted {
        Ok(permitted) => Some(permitted.admin()),
        Err(NotPermitted::Forbidden { admin, .. }) => Some(admin.as_str()),
        Err(_) => None,
    };
    if let (Some(admin), Some(actor)) = (known, extensions.get::<Actor>()) {
        actor.is(admin);
    }
    let permitted = permitted.map_err(|error| refuse(&error))?;
    let acting = Acting {
        what: format!("{} {what}", verb(wanted)),
        permitted,
    };
    if wanted.1 == Access::Write {
        let begins = Event {
            outcome: "asked".into(),
            ..acting.event()
        };
        let recorded = service.watch.record(&begins, now_secs).await;
        recorded.map_err(|error| Fault::internal(&error))?;
    }
    Ok(acting)
}

/// Who is refused learns what he lacks; what each entry says against him is for the log.
fn refuse(error: &NotPermitted) -> Fault {
    let kind = match error {
        NotPermitted::Forbidden { .. } => FaultKind::AdminForbidden,
        _ => FaultKind::AdminAuthError,
    };
    Fault::new(kind, error.to_string()).because(error)
}

fn verb((role, access): (Role, Access)) -> String {
    match access {
        Access::Read => format!("read {}", role.as_str()),
        Access::Write => format!("write {}", role.as_str()),
    }
}

/// What a write expects to find, from its head.
fn expected(headers: &HeaderMap) -> Result<Expected, Fault> {
    let one = |name: HeaderName| {
        let mut all = headers.get_all(&name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(value.as_bytes())),
            _ => Err(malformed()),
        }
    };
    match (one(IF_MATCH)?, one(IF_NONE_MATCH)?) {
        (None, None) => Ok(Expected::Any),
        (None, Some(b"*")) => Ok(Expected::Absent),
        (Some(tag), None) => {
            let number = tag
                .strip_prefix(b"\"")
                .and_then(|tag| tag.strip_suffix(b"\""));
            let number = number.and_then(|number| std::str::from_utf8(number).ok());
            let number = number.and_then(|number| number.parse().ok());
            let number = number.filter(|number| tag == format!("\"{number}\"").as_bytes());
            number
                .map(|number| Expected::Version(Version::new(number)))
                .ok_or_else(malformed)
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> Fault {
    let detail = "say what is expected by If-None-Match: * or by If-Match: and one quoted version";
    Fault::new(FaultKind::InvalidRequest, detail)
}

/// An act that is under way.
#[derive(Debug)]
struct Acting {
    permitted: Permitted,
    what: String,
}

impl Acting {
    /// The answer, which leaves once the audit has that it was done.
    fn done(&self, mut answer: Response, reason: &str) -> Response {
        let event = Event {
            reason: reason.to_owned().into(),
            ..self.event()
        };
        tracing::info!(
            decision = "administered",
            admin = self.permitted.admin(),
            what = self.what,
            reason
        );
        answer.extensions_mut().insert(Decided::of(vec![event]));
        answer
    }

    fn event(&self) -> Event<'static> {
        Event {
            who: format!("admin:{}", self.permitted.admin()).into(),
            what: self.what.clone().into(),
            ..Event::own(Kind::Admin, "")
        }
    }
}
