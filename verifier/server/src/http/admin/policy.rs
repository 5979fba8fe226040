//! Policies and reference values that the store keeps, over HTTP.

use super::super::body::read_body;
use super::super::fault::{Fault, FaultKind};
use super::super::resource::store_fault;
use super::{Acting, expected, namespace_of, observe, permit};
use crate::admin::{Access, Role, Scope};
use crate::documents::Form;
use crate::error_chain::chain;
use crate::policy_set::{DocumentName, Fresh, Kept, MAX_DOCUMENT_LEN, PolicySet, PolicySetError};
use crate::policy_watch::{self, Changed, PolicyWatch, UnderWay};
use crate::service::Service;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::json;
use std::sync::Arc;

pub(super) const POLICIES: &str = "/kbs/v0/nitride/policies";
pub(super) const VALUES: &str = "/kbs/v0/nitride/reference-values";
const PREFIX: &str = "/kbs/v0/nitride/";
const RETRY_AFTER_SECS: u64 = 5;

/// What is asked for, and what it takes.
struct Asked<'a> {
    /// `None` where the path names no document; who is no admin is not told.
    name: Option<DocumentName>,
    /// For the audit, which has the role beside it.
    what: &'a str,
    role: Role,
}

impl<'a> Asked<'a> {
    /// By the request's own target, undecoded: no character of a name needs an escape.
    fn of(uri: &'a Uri) -> Self {
        let path = uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let what = path.split_once('/').map_or("", |(_, what)| what);
        let is_values = uri.path().starts_with(VALUES);
        let role = match is_values {
            true => Role::ReferenceValues,
            false => Role::Policies,
        };
        let name = DocumentName::parse(path).filter(|name| name.is_values() == is_values);
        Self { name, what, role }
    }

    fn scope(&self) -> Scope<'_> {
        match &self.name {
            Some(DocumentName::Tenant(repository)) => Scope::Namespace(repository),
            _ => Scope::All,
        }
    }

    fn name(self) -> Result<DocumentName, Fault> {
        let detail = "the path names no document; write policies/attestation, policies/resource, \
                      policies/appraisal, policies/tenant/REPOSITORY, reference-values/attestation or \
                      reference-values/named";
        self.name
            .ok_or_else(|| Fault::new(FaultKind::NotFound, detail))
    }
}

/// The names of the documents that are in force here, of one repository or of all.
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let asked = Asked::of(request.uri());
    let namespace = match asked.role {
        Role::Policies => namespace_of(request.uri())?,
        _ => None,
    };
    let scope = namespace.as_deref().map_or(Scope::All, Scope::Namespace);
    let asking = (request.headers(), request.extensions());
    permit(
        &service,
        asking,
        (asked.role, Access::Read),
        scope,
        asked.what,
    )
    .await?;
    let set = in_force(watch_of(&service)?)?;
    let is_asked = |name: &DocumentName| match (&namespace, name) {
        (None, name) => name.is_values() == (asked.role == Role::ReferenceValues),
        (Some(own), DocumentName::Tenant(repository)) => own == repository,
        (Some(_), _) => false,
    };
    let documents = set.documents().filter(|(name, _)| is_asked(name));
    let documents: Vec<_> = documents
        .map(|(name, kept)| {
            json!({ "name": name.to_string(), "version": kept.version().number(),
                "form": kept.form(), "sha256": kept.sha256() })
        })
        .collect();
    Ok(observe::answer(
        &json!({ "set": set.serial, "documents": documents }),
    ))
}

/// A document as it was put.
pub(super) async fn read(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let asked = Asked::of(request.uri());
    let asking = (request.headers(), request.extensions());
    let wanted = (asked.role, Access::Read);
    permit(&service, asking, wanted, asked.scope(), asked.what).await?;
    let set = in_force(watch_of(&service)?)?;
    let name = asked.name()?;
    let kept = set
        .document(&name)
        .ok_or_else(|| refuse(&PolicySetError::NoSuch { name }))?;
    let content_type = HeaderValue::from_static(kept.form().content_type());
    let head = [(CONTENT_TYPE, content_type), (ETAG, tag_of(kept)?)];
    Ok((head, kept.text.to_string()).into_response())
}

pub(super) async fn write(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let asked = Asked::of(&head.uri);
    let asking = (&head.headers, &head.extensions);
    let wanted = (asked.role, Access::Write);
    let acting = permit(&service, asking, wanted, asked.scope(), asked.what).await?;
    let watch = watch_of(&service)?;
    let name = asked.name()?;
    let form = form_of(&head.headers, &name)?;
    let expected = expected(&head.headers)?;
    let _under_way = admit(watch, &acting)?;
    let body = read_body(body, MAX_DOCUMENT_LEN, service.limits.body_timeout).await?;
    let text = std::str::from_utf8(&body).map_err(|_| {
        let detail = "the document is not UTF-8";
        Fault::new(FaultKind::PolicyRefused, detail)
    })?;
    let fresh = Fresh::draw(form, text).map_err(|error| Fault::internal(&error))?;
    let changed = policy_watch::change(&service, watch, &name, Some(&fresh), expected).await;
    let changed = changed.map_err(|error| refuse(&error))?;
    let version = changed.version;
    let tag = [(ETAG, format!("\"{version}\""))];
    let stored = format!("stored as version {version}");
    let (answer, reason) = told(&changed, &stored);
    let reason = format!("{reason}, SHA-256 {}", fresh.sha256());
    Ok(acting.done((tag, answer).into_response(), &reason))
}

/// Removes what need not be there: a tenant is decided by the service's policy then.
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Fault> {
    let asked = Asked::of(request.uri());
    let asking = (request.headers(), request.extensions());
    let wanted = (asked.role, Access::Write);
    let acting = permit(&service, asking, wanted, asked.scope(), asked.what).await?;
    let watch = watch_of(&service)?;
    let name = asked.name()?;
    if matches!(name, DocumentName::Attestation | DocumentName::Resource) {
        let detail = "this policy is needed; put another in its place";
        return Err(Fault::new(FaultKind::MethodNotAllowed, detail));
    }
    let expected = expected(request.headers())?;
    let _under_way = admit(watch, &acting)?;
    let changed = policy_watch::change(&service, watch, &name, None, expected).await;
    let changed = changed.map_err(|error| refuse(&error))?;
    let (answer, reason) = told(&changed, "deleted");
    Ok(acting.done(answer, &reason))
}

/// A place among the changes that are under way. Before the body is read: what waits has it in memory.
fn admit(watch: &PolicyWatch, acting: &Acting) -> Result<UnderWay, Fault> {
    let detail = "too many changes of policies are under way; try again when they have ended";
    let under_way = watch.changes.admit(acting.permitted.admin());
    under_way.ok_or_else(|| Fault::not_now(detail, RETRY_AFTER_SECS))
}

/// The answer of a change that is stored, and what the audit has of it. Why it is not in force here is the
/// operator's affair.
fn told(changed: &Changed, stored: &str) -> (Response, String) {
    match &changed.objection {
        None => (StatusCode::OK.into_response(), stored.to_owned()),
        Some(error) => {
            let text = format!("{stored}, and not in force here yet");
            let reason = format!("{text}: {}", chain(error));
            ((StatusCode::ACCEPTED, text + "\n").into_response(), reason)
        }
    }
}

fn watch_of(service: &Service) -> Result<&PolicyWatch, Fault> {
    let detail =
        "the policies of this service are files; see source of [policies] in its configuration";
    let files = || Fault::new(FaultKind::NotFound, detail);
    service.policy_watch.as_ref().ok_or_else(files)
}

fn in_force(watch: &PolicyWatch) -> Result<Arc<PolicySet>, Fault> {
    let detail = "the store has not told the policies yet";
    let unknown = || Fault::new(FaultKind::StoreError, detail);
    watch.in_force().ok_or_else(unknown)
}

fn tag_of(kept: &Kept) -> Result<HeaderValue, Fault> {
    let tag = HeaderValue::try_from(format!("\"{}\"", kept.version()));
    tag.map_err(|error| Fault::internal(&error))
}

/// How the document is written, as its sender says.
fn form_of(headers: &HeaderMap, name: &DocumentName) -> Result<Form, Fault> {
    let said = headers
        .get(CONTENT_TYPE)
        .and_then(|said| said.to_str().ok());
    let essence = said.map(|said| said.split(';').next().unwrap_or_default().trim());
    let forms = [Form::Toml, Form::Rego, Form::Json].into_iter();
    let taken: Vec<Form> = forms.filter(|form| name.takes(*form)).collect();
    let form = taken
        .iter()
        .find(|form| essence.is_some_and(|said| said.eq_ignore_ascii_case(form.content_type())));
    form.copied().ok_or_else(|| {
        let types: Vec<&str> = taken.iter().map(|form| form.content_type()).collect();
        let types = types.join(" or ");
        let detail = format!("say by Content-Type how {name} is written: {types}");
        Fault::new(FaultKind::InvalidRequest, detail)
    })
}

/// Whoever writes a policy is told what is wrong with it; what is the store's affair is not his.
fn refuse(error: &PolicySetError) -> Fault {
    match error {
        PolicySetError::Policy(_) | PolicySetError::Missing(_) | PolicySetError::Full => {
            Fault::of(FaultKind::PolicyRefused, error)
        }
        PolicySetError::Conflict { .. } => Fault::of(FaultKind::Conflict, error),
        PolicySetError::NoSuch { .. } => Fault::of(FaultKind::NotFound, error),
        PolicySetError::Store(error) => store_fault(error),
        _ => {
            let detail = "the policies cannot be changed now";
            Fault::not_now(detail, RETRY_AFTER_SECS).because(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Version;

    #[test]
    fn what_is_stored_and_not_in_force_is_not_told_as_in_force() {
        let of = |objection| Changed {
            version: Version::new(3),
            objection,
        };
        let (answer, reason) = told(&of(None), "stored as version 3");
        assert_eq!(
            (answer.status(), reason.as_str()),
            (StatusCode::OK, "stored as version 3")
        );
        let (answer, reason) = told(&of(Some(PolicySetError::Full)), "stored as version 3");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert!(reason.starts_with("stored as version 3, and not in force here yet: there is no"));
    }
}
