use crate::policy::Unsigned;
use crate::{Now, Outcome, Refusal, StatusRequest, Surroundings, Vault};
use nitride_protocol::application::{GateStatus, VaultStatus};
use nitride_protocol::limits::{MAX_GATES_LEN, MAX_WARNINGS_LEN};
use nitride_protocol::{Status, write_refusal, write_reply};
use nitride_secmem::{Usage, usage};

/// What the vault calls itself.
pub(super) const SERVER: &str = concat!("vhsmd ", env!("CARGO_PKG_VERSION"));

/// Warnings of one kind that are said each by itself: five kinds are less than a reply holds.
const MAX_OF_A_KIND: usize = 10;

impl Vault {
    /// Answers `status`, with what the vault knows and what the daemon adds.
    pub fn write_status(
        &self,
        request: &StatusRequest,
        around: &Surroundings<'_>,
        now: Now,
        reply: &mut [u8],
    ) -> Outcome {
        let id = request.id;
        let written = self.status(around, now, |mut status| {
            if !request.also_signers {
                status.signers = None;
            }
            Ok(write_reply(reply, id, Status::Ok, &status)?)
        });
        written
            .or_else(|refusal| write_refusal(reply, id, refusal.status()))
            .map_or(Outcome::Close, Outcome::Reply)
    }

    fn status<R>(
        &self,
        around: &Surroundings<'_>,
        now: Now,
        answer: impl FnOnce(VaultStatus<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let policy = self.policy();
        let set = policy.set();
        let usage = usage();
        let weakening = self.weakening_warnings(now);
        let own = self.own_warnings(around, &usage, now)?;
        // What weakens a promise is first: however many keys do not come, it is not left out.
        let mut warnings: Vec<&str> = weakening.iter().map(String::as_str).collect();
        warnings.extend(around.warnings);
        warnings.extend(own.iter().map(String::as_str));
        // One more than there is room for says that there are more.
        let room = (MAX_WARNINGS_LEN + 1).saturating_sub(warnings.len());
        let fetching = self.fetching_warnings(room, now);
        warnings.extend(fetching.iter().map(String::as_str));
        let gates = set.gates.iter().take(MAX_GATES_LEN);
        answer(VaultStatus {
            server: SERVER,
            arena_kind: around.arena_kind,
            records_used: in_u64(usage.records_used),
            records_size: in_u64(usage.records_size),
            heap_used: in_u64(usage.heap_used),
            heap_size: in_u64(usage.heap_size),
            keys: in_u64(self.keys.count()?),
            connections: around.connections,
            parked: around.parked,
            agent_connected: around.agent_connected,
            policy_generation: set.generation,
            policy_digest: &set.digest,
            tee: around.tee,
            gates: gates
                .map(|gate| GateStatus {
                    gate: &gate.name,
                    age_ms: self.gates.age_ms(gate, now),
                })
                .collect(),
            warnings: at_most(warnings),
            seal: around.seal,
            signers: Some(policy.lists_here().collect()),
        })
    }

    /// What the policy promises less by than it could, called what it is.
    fn weakening_warnings(&self, now: Now) -> Vec<String> {
        let policy = self.policy();
        let simulated = policy
            .set()
            .gates
            .iter()
            .filter(|gate| gate.danger_accept_simulated)
            .map(|gate| {
                format!(
                    "gate {} accepts simulated evidence, which proves nothing",
                    gate.name
                )
            });
        let unsigned = policy
            .set()
            .keys
            .iter()
            .filter(|rule| rule.unsigned == Unsigned::Accept)
            .map(|rule| format!("key {} is taken without its owner's signature", rule.name));
        let weaker = self.weaker_services().into_iter().map(|service| {
            format!(
                "service {service} offered no hybrid key in its last round: what came is secret for as \
                 long as P-256 is"
            )
        });
        let mut warnings = of_a_kind(self.plaintext_warnings().into_iter());
        warnings.extend(of_a_kind(simulated));
        warnings.extend(of_a_kind(weaker));
        warnings.extend(of_a_kind(policy.warnings_of_lists(now)));
        warnings.extend(of_a_kind(unsigned));
        warnings
    }

    /// What an operator should do something about.
    fn own_warnings(
        &self,
        around: &Surroundings<'_>,
        usage: &Usage,
        now: Now,
    ) -> Result<Vec<String>, Refusal> {
        let policy = self.policy();
        let own = self.keys.warnings(&policy, around.are_records_kept, now)?;
        Ok(filling(usage).chain(own).collect())
    }
}

/// None crowds out another kind: of many, the first, and how many more there are.
fn of_a_kind(warnings: impl Iterator<Item = String>) -> Vec<String> {
    let mut warnings: Vec<String> = warnings.collect();
    let more = warnings.len().saturating_sub(MAX_OF_A_KIND);
    if more > 0 {
        warnings.truncate(MAX_OF_A_KIND);
        warnings.push(format!(
            "and so for {more} more than the {MAX_OF_A_KIND} before"
        ));
    }
    warnings
}

/// What fills, before anything is refused for it: keys that no key rule states have three quarters.
fn filling(usage: &Usage) -> impl Iterator<Item = String> {
    let arenas = [
        ("records", usage.records_used, usage.records_size),
        ("heap", usage.heap_used, usage.heap_size),
    ];
    arenas.into_iter().filter_map(|(arena, used, size)| {
        let says = if used > size / 10 * 9 {
            "more than nine tenths full: soon nothing is made any more"
        } else if used > size / 8 * 5 {
            "more than five eighths full: past three quarters no key is made that no key rule states"
        } else {
            return None;
        };
        Some(format!("the {arena} arena is {says}; give [arena] more in vhsmd.toml"))
    })
}

/// The reply has room for so many; that some are left out is the last of them.
fn at_most(mut warnings: Vec<&str>) -> Vec<&str> {
    if warnings.len() > MAX_WARNINGS_LEN {
        warnings.truncate(MAX_WARNINGS_LEN - 1);
        warnings.push("there are more warnings than a reply holds");
    }
    warnings
}

fn in_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Source;
    use crate::tests::world::{World, kbs, key, policy};
    use nitride_protocol::KeyType;

    fn told(set: crate::policy::PolicySet, warnings: &[&str]) -> Vec<String> {
        let world = World::new(set);
        let around = Surroundings {
            are_records_kept: true,
            arena_kind: "locked",
            connections: 0,
            parked: 0,
            agent_connected: true,
            tee: "sample",
            warnings,
            seal: None,
        };
        let owned = |status: VaultStatus<'_>| {
            Ok(status
                .warnings
                .iter()
                .map(|text| (*text).to_owned())
                .collect())
        };
        world.vault.status(&around, world.now, owned).unwrap()
    }

    #[test]
    fn however_many_keys_do_not_come_what_weakens_a_promise_is_told_of() {
        let mut keys: Vec<_> = (0..100)
            .map(|number| {
                let mut rule = key(&format!("a{number}"), KeyType::EcP256, kbs("r/t/a"));
                rule.prefetch = true;
                rule
            })
            .collect();
        let mut unsigned = key("z/plain", KeyType::Secret, kbs("r/t/z"));
        unsigned.unsigned = Unsigned::Accept;
        keys.push(unsigned);
        let mut set = policy(vec![], keys);
        set.gates[0].danger_accept_simulated = true;
        let warnings = told(set, &["from the daemon"]);
        assert_eq!(warnings.len(), MAX_WARNINGS_LEN);
        assert!(warnings[0].starts_with("gate vm accepts simulated evidence"));
        assert!(warnings[1].starts_with("key z/plain is taken without"));
        assert_eq!(warnings[2], "from the daemon");
        let last = warnings.last().unwrap();
        assert_eq!(last, "there are more warnings than a reply holds");
    }

    #[test]
    fn many_of_one_kind_leave_room_for_the_others() {
        let keys = (0..100).map(|number| {
            let mut rule = key(&format!("a{number}"), KeyType::Secret, kbs("r/t/a"));
            rule.unsigned = Unsigned::Accept;
            rule
        });
        let made = key("made", KeyType::EcP256, Source::Generate);
        let keys = keys.chain([made]).collect();
        let warnings = told(policy(vec![], keys), &["from the daemon"]);
        assert_eq!(warnings.len(), MAX_OF_A_KIND + 2);
        assert_eq!(
            warnings[MAX_OF_A_KIND],
            "and so for 90 more than the 10 before"
        );
        assert_eq!(warnings[MAX_OF_A_KIND + 1], "from the daemon");
    }

    #[test]
    fn an_arena_that_fills_is_told_of_before_anything_is_refused() {
        let told = |records_used, heap_used| -> Vec<String> {
            let usage = Usage {
                records_used,
                records_size: 4096,
                heap_used,
                heap_size: 8192,
                ..Usage::default()
            };
            filling(&usage).collect()
        };
        assert!(told(2560, 5120).is_empty());
        let [records] = &told(2561, 0)[..] else {
            panic!("one arena fills");
        };
        assert!(records.contains("the records arena is more than five eighths"));
        let both = told(3690, 7380).join("\n");
        assert!(both.contains("the records arena is more than nine tenths"));
        assert!(both.contains("the heap arena is more than nine tenths"));
        assert!(both.contains("[arena]"), "{both}");
        assert!(filling(&Usage::default()).next().is_none());
    }
}
