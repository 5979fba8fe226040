//! Why something is, or would be, allowed or not: the decision that a request gets, with nothing
//! used up, and what each part of the policy had to say.

use crate::access::{Grant, KeylessGrant};
use crate::permissions::{self, Authority, Key};
use crate::policy::{ActivePolicy, Asked, KeyRule, Rule, Source};
use crate::refusal::Stop;
use crate::{Now, Peer, Refusal, Socket, Vault, Want};
use nitride_protocol::{KeyName, Operation};

/// Rules that are told of one by one.
const MAX_RULES: usize = 16;

/// The answer to "may this peer do that, and why".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether nothing forbids it. It may still have to wait for a round, which is told then.
    pub allowed: bool,
    /// What had a say, the decision first.
    pub because: Vec<String>,
}

impl Vault {
    /// What some rule wants to know of `peer` that is not known of it by its connection alone.
    pub fn asks_about(&self, peer: &Peer) -> Asked {
        self.policy().asks_about(peer)
    }

    /// Whether `peer` would be allowed `operation` on the key `name` now, and why: the rules, the
    /// key rule, what travels with the key, and the gate. Nothing is made, fetched or counted.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the keys cannot be reached.
    pub fn explain(
        &self,
        peer: &Peer,
        operation: Operation,
        name: KeyName<'_>,
        now: Now,
    ) -> Result<Explanation, Refusal> {
        let policy = self.policy();
        let socket = match permissions::row(operation, Socket::Application) {
            Some(_) => Socket::Application,
            None => Socket::Admin,
        };
        let verdict = self.verdict(peer, operation, name, socket, now);
        if let Err(Stop::Refused(internal @ Refusal::Internal { .. })) = verdict {
            return Err(internal);
        }
        let mut because = vec![told(&verdict)];
        let row = permissions::row(operation, socket);
        match row {
            Some((Authority::Rule, key)) => {
                tell_rules(&policy, peer, operation, name, key, &mut because);
            }
            Some((Authority::Administrator, _)) => because.push(match policy.is_admin(peer) {
                true => "the peer is an administrator".into(),
                false => {
                    "the admin socket alone takes it, and no admin entry is about the peer".into()
                }
            }),
            Some((Authority::Anybody, _)) => because.push("whoever can connect may".into()),
            Some((Authority::Nobody, _)) | None => {}
        }
        if let Some((_, Key::Use(_) | Key::New)) = row {
            match policy.key_rule(name.as_str()) {
                Some(rule) => tell_key_rule(self, &policy, rule, operation, now, &mut because),
                None => because.push("no key rule speaks of the key: its own terms count".into()),
            }
        }
        Ok(Explanation {
            allowed: !matches!(verdict, Err(Stop::Refused(_))),
            because,
        })
    }

    /// What a request would come to, as far as access decides it.
    fn verdict(
        &self,
        peer: &Peer,
        operation: Operation,
        name: KeyName<'_>,
        socket: Socket,
        now: Now,
    ) -> Result<(), Stop> {
        let mut session = self.session(peer.clone(), socket);
        if let Some((_, Key::Nothing)) = permissions::row(operation, socket) {
            return Ok(KeylessGrant::new(&session, operation).map(drop)?);
        }
        Grant::new(&mut session, self, operation, name)?.examine(self, now)
    }
}

fn told(verdict: &Result<(), Stop>) -> String {
    match verdict {
        Ok(()) => "allowed".into(),
        Err(Stop::Refused(refusal)) => format!("refused: {refusal}"),
        Err(Stop::Wanting(Want::Key { name })) => {
            format!("allowed, once key {name} is here: it is missing or its lease has run out")
        }
        Err(Stop::Wanting(Want::Gate { name })) => {
            format!("allowed, once gate {name} is approved: a round proves this machine first")
        }
        Err(Stop::Wanting(Want::Signers { name })) => {
            format!("allowed, once the list of signer {name} is here")
        }
    }
}

/// What the rules say: those that grant it first, then those that nearly do.
fn tell_rules(
    policy: &ActivePolicy,
    peer: &Peer,
    operation: Operation,
    name: KeyName<'_>,
    key: Key,
    because: &mut Vec<String>,
) {
    let is_about =
        |rule: &&Rule| key == Key::Nothing || rule.keys.iter().any(|pattern| pattern.matches(name));
    let mut told: Vec<(u8, String)> = Vec::new();
    for rule in policy.set().rules.iter().filter(is_about) {
        let unmet = rule.unmet(peer);
        let grants = rule.operations.with_implied().contains(operation);
        let called = &rule.name;
        told.push(match (grants, unmet) {
            (true, None) => (0, format!("rule {called} grants {operation} to the peer")),
            (true, Some(unmet)) => (
                1,
                format!("rule {called} grants {operation}, but not to the peer: {unmet}"),
            ),
            (false, None) => (
                2,
                format!("rule {called} is about the peer, and does not grant {operation}"),
            ),
            (false, Some(_)) => continue,
        });
    }
    // Stable: rules of one kind stay in the order of the files.
    told.sort_by_key(|(kind, _)| *kind);
    if told.is_empty() {
        because.push(format!(
            "no rule is about {operation} there, or about the peer"
        ));
    }
    let left_out = told.len().saturating_sub(MAX_RULES);
    because.extend(told.into_iter().take(MAX_RULES).map(|(_, text)| text));
    if left_out > 0 {
        because.push(format!("{left_out} rules more are about it"));
    }
}

/// What the key's own policy says, condition by condition.
fn tell_key_rule(
    vault: &Vault,
    policy: &ActivePolicy,
    rule: &KeyRule,
    operation: Operation,
    now: Now,
    because: &mut Vec<String>,
) {
    let mut tell = |text: String| because.push(format!("key rule: {text}"));
    let allows = match rule.operations.with_implied().contains(operation) {
        true => "allows",
        false => "does not allow",
    };
    tell(format!("it {allows} {operation} by type {}", rule.key_type));
    tell(match &rule.source {
        Source::Generate => "the key is made here at first use".into(),
        Source::Local => "the key is made or brought by request".into(),
        Source::Kbs { services, path } => {
            let services = services.join(", or else ");
            format!("the key comes from service {services}: {path}")
        }
    });
    if operation == Operation::Release {
        let to: Vec<String> = rule.release_to.iter().map(ToString::to_string).collect();
        tell(match to.is_empty() {
            true => "it is released to nobody".into(),
            false => format!("it is released to {}", to.join(", ")),
        });
    }
    if let Some(first) = rule.not_before {
        tell(format!(
            "not before second {first}; now is {}",
            now.wall_secs
        ));
    }
    if let Some(last) = rule.not_after {
        tell(format!("not after second {last}; now is {}", now.wall_secs));
    }
    if let Some(uses) = rule.max_uses {
        tell(format!("{uses} uses in its life"));
    }
    if let Some(rate) = rule.rate {
        tell(format!(
            "{} uses in {} s of each peer",
            rate.uses, rate.per_secs
        ));
    }
    if let Some(version) = rule.min_version {
        tell(format!("no version below {version}"));
    }
    if let Some(name) = &rule.gate {
        let gate = policy.gate_rule(name);
        let is_open = gate.is_some_and(|gate| vault.gates.approved(gate, now));
        let is = if is_open { "is" } else { "is not" };
        tell(format!("gate {name} has to be approved, and {is}"));
    }
}
