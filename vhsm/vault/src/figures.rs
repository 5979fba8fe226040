use crate::{Now, Vault};
use nitride_secmem::{Usage, usage};

/// How the vault is, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Keys; `None` where the table cannot be read.
    pub keys: Option<usize>,
    /// The arenas.
    pub usage: Usage,
    /// Bytes of the heap arena that expanded keys take.
    pub expanded_len: usize,
    /// Bytes that they may take.
    pub expanded_max_len: usize,
    /// Each gate, and the age of its approval in milliseconds where one counts.
    pub gates: Vec<(String, Option<u64>)>,
}

impl Vault {
    /// How it is now. Nothing here names a key.
    pub fn figures(&self, now: Now) -> Figures {
        let policy = self.policy();
        let gates = policy.set().gates.iter();
        Figures {
            keys: self.keys.count().ok(),
            usage: usage(),
            expanded_len: self.keys.expanded.kept_len(),
            expanded_max_len: self.keys.expanded.budget_len(),
            gates: gates
                .map(|gate| (gate.name.clone(), self.gates.age_ms(gate, now)))
                .collect(),
        }
    }
}
