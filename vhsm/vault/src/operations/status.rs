use crate::policy::Unsigned;
use crate::{Now, Outcome, Refusal, StatusRequest, Surroundings, Vault};
use nitride_protocol::application::{GateStatus, VaultStatus};
use nitride_protocol::limits::{MAX_GATES_LEN, MAX_WARNINGS_LEN};
use nitride_protocol::{Status, write_refusal, write_reply};
use nitride_secmem::{Usage, usage};

/// What the vault calls itself.
pub(super) const SERVER: &str = concat!("vhsmd ", env!("CARGO_PKG_VERSION"));

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
        let written = self.status(around, now, |status| {
            Ok(write_reply(reply, id, Status::Ok, status)?)
        });
        written
            .or_else(|refusal| write_refusal(reply, id, refusal.status()))
            .map_or(Outcome::Close, Outcome::Reply)
    }

    fn status<R>(
        &self,
        around: &Surroundings<'_>,
        now: Now,
        answer: impl FnOnce(&VaultStatus<'_>) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let policy = self.policy();
        let set = policy.set();
        let usage = usage();
        let own = self.own_warnings(around, &usage, now)?;
        let warnings: Vec<&str> = around
            .warnings
            .iter()
            .copied()
            .chain(own.iter().map(String::as_str))
            .collect();
        let gates = set.gates.iter().take(MAX_GATES_LEN);
        answer(&VaultStatus {
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
        })
    }

    /// What an operator should know, called what it is.
    fn own_warnings(
        &self,
        around: &Surroundings<'_>,
        usage: &Usage,
        now: Now,
    ) -> Result<Vec<String>, Refusal> {
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
        let own = self.keys.warnings(&policy, around.are_records_kept, now)?;
        Ok(filling(usage)
            .chain(self.fetching_warnings(now))
            .chain(own)
            .chain(simulated)
            .chain(unsigned)
            .chain(policy.warnings_of_lists(now))
            .collect())
    }
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
