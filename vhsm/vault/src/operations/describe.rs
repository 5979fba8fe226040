use super::Call;
use crate::access::Grant;
use crate::keys::{Body, Lease, OwnPolicy};
use crate::permissions::{state_allows, uses_of};
use crate::policy::{KeyRule, Source};
use crate::refusal::Stop;
use crate::{Now, Outcome, Refusal, Session, Vault};
use nitride_protocol::application::{Describe, Description, VersionInfo};
use nitride_protocol::{KeyState, Message, Operation, OperationSet, Origin, Reader};

pub(super) fn describe(
    vault: &Vault,
    session: &mut Session,
    params: Reader<'_>,
    call: Call<'_>,
) -> Result<Outcome, Stop> {
    let Describe { key: name } = Describe::decode_last(params)?;
    let grant = Grant::new(session, vault, Operation::Describe, name)?;
    let rule = grant.rule().map(|rule| &**rule);
    let now = call.now;
    if let Some(key) = grant.key() {
        let body = key.read()?;
        state_allows(Operation::Describe, body.state)?;
        return call.answer(&of_body(&body, rule, now));
    }
    grant.may_be_absent(vault)?;
    let pending = rule.and_then(of_rule).ok_or(Refusal::KeyNotFound)?;
    call.answer(&pending)
}

fn of_body<'b>(body: &'b Body, rule: Option<&'b KeyRule>, now: Now) -> Description<'b> {
    let newest = body.versions.last();
    let own = newest.map(|version| body.effective(version));
    let said = match (own, rule) {
        (Some(own), Some(rule)) => own.narrowed_by(&OwnPolicy::of_rule(rule)),
        (Some(own), None) => own,
        (None, _) => OwnPolicy::of(OperationSet::EMPTY),
    };
    let own_gate = body.versions.last().and_then(|version| {
        let mut gates = body.layers(version).flat_map(|layer| &layer.gates);
        gates.next().map(String::as_str)
    });
    Description {
        key_type: body.key_type,
        state: body.shown_state(rule, now),
        origin: body.origin,
        origin_uri: body.origin_uri.as_deref(),
        operations: said.operations,
        gate: rule.and_then(|rule| rule.gate.as_deref()).or(own_gate),
        created_secs: body.created_secs,
        lease_secs_left: newest
            .and_then(|version| Lease::of(body, version, rule).left_ms(version, now))
            .map(|left_ms| left_ms / 1000),
        min_version: said.min_version.unwrap_or(1),
        max_uses: said.max_uses,
        uses_left: said
            .max_uses
            .map(|max_uses| max_uses.saturating_sub(body.uses_taken())),
        not_before: said.not_before,
        not_after: said.not_after,
        wrappable_by: newest
            .map(|version| body.wrappable_by(version, rule))
            .unwrap_or_default(),
        versions: body
            .versions
            .iter()
            .map(|version| VersionInfo {
                version: version.number,
                state: version.state,
                uses: version.uses(),
                plaintext_courier: version.was_in_clear,
            })
            .collect(),
    }
}

/// A key that is stated and will come at its first use.
fn of_rule(rule: &KeyRule) -> Option<Description<'_>> {
    let origin = match rule.source {
        Source::Generate => Origin::Generated,
        Source::Kbs { .. } => Origin::Provisioned,
        Source::Local => return None,
    };
    Some(Description {
        key_type: rule.key_type,
        state: KeyState::Pending,
        origin,
        origin_uri: None,
        operations: (rule.operations.with_implied()).intersection(uses_of(rule.key_type)),
        gate: rule.gate.as_deref(),
        created_secs: 0,
        lease_secs_left: None,
        min_version: 1,
        max_uses: None,
        uses_left: None,
        not_before: None,
        not_after: None,
        wrappable_by: Vec::new(),
        versions: Vec::new(),
    })
}
