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
        let nearly_full = [
            ("records", usage.records_used, usage.records_size),
            ("heap", usage.heap_used, usage.heap_size),
        ]
        .into_iter()
        .filter(|(_, used, size)| *size > 0 && *used > size / 10 * 9)
        .map(|(arena, ..)| format!("the {arena} arena is more than nine tenths full"));
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
        Ok(nearly_full
            .chain(own)
            .chain(simulated)
            .chain(unsigned)
            .collect())
    }
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
