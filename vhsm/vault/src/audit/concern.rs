use nitride_protocol::{Operation, Status};

/// How an operation is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Not at all, unless it is denied: it shows what is there, or draws random bytes.
    Nothing,
    /// Added up by key, peer and second.
    Use,
    /// Each of its items as an operation of its own.
    Batch,
    /// One entry: a key comes to be, is changed, leaves under another, or goes.
    Lifecycle,
    /// One entry: plaintext of a key leaves the vault.
    Release,
    /// One entry, by whoever replaces the policy.
    Policy,
}

impl Concern {
    /// How `operation` is recorded.
    pub const fn of(operation: Operation) -> Self {
        match operation {
            Operation::Hello
            | Operation::Describe
            | Operation::List
            | Operation::PublicKey
            | Operation::Random
            | Operation::Status
            | Operation::AuditHead
            | Operation::RegisterBuffer
            | Operation::CheckPolicy
            | Operation::Explain
            | Operation::Why => Self::Nothing,
            Operation::Sign
            | Operation::Verify
            | Operation::Encrypt
            | Operation::Decrypt
            | Operation::Mac
            | Operation::VerifyMac
            | Operation::EncryptBuffer
            | Operation::DecryptBuffer
            | Operation::Attest => Self::Use,
            Operation::Batch => Self::Batch,
            Operation::Generate
            | Operation::Import
            | Operation::Enable
            | Operation::Disable
            | Operation::Destroy
            | Operation::Wrap
            | Operation::Unwrap
            | Operation::Derive
            | Operation::Agree
            | Operation::Encapsulate
            | Operation::Decapsulate
            | Operation::Rotate
            | Operation::SetPolicy
            | Operation::Wipe
            | Operation::Backup
            | Operation::Restore
            | Operation::EndPhase => Self::Lifecycle,
            Operation::Release => Self::Release,
            Operation::Reload => Self::Policy,
        }
    }

    /// Whether it is recorded by an entry of its own, for which there has to be room before.
    pub const fn is_entry(self) -> bool {
        matches!(self, Self::Lifecycle | Self::Release | Self::Policy)
    }

    /// Whether it is added up, which takes room too.
    pub const fn is_added_up(self) -> bool {
        matches!(self, Self::Use | Self::Batch)
    }
}

/// Whether a request that ended so was denied: by the rules, by the key's own policy, by a limit on
/// how often, or by the verifier. Everything else that fails is the outcome of a use or an act.
pub const fn is_denial(status: Status) -> bool {
    matches!(
        status,
        Status::Denied
            | Status::DeniedByVerifier
            | Status::QuotaExceeded
            | Status::RateLimited
            | Status::KeyDisabled
            | Status::KeyExpired
            | Status::KeyExhausted
            | Status::NotYetValid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_key_or_lets_a_secret_out_has_an_entry_of_its_own() {
        for operation in Operation::ALL {
            let changes = matches!(
                operation.as_str(),
                "generate"
                    | "import"
                    | "enable"
                    | "disable"
                    | "destroy"
                    | "release"
                    | "reload"
                    | "wrap"
                    | "unwrap"
                    | "derive"
                    | "agree"
                    | "encapsulate"
                    | "decapsulate"
                    | "rotate"
                    | "set-policy"
                    | "wipe"
                    | "backup"
                    | "restore"
                    | "end-phase"
            );
            assert_eq!(Concern::of(operation).is_entry(), changes, "{operation}");
        }
    }

    #[test]
    fn what_works_with_key_material_is_recorded_in_some_way() {
        for operation in Operation::ALL {
            let shows = matches!(
                operation.as_str(),
                "hello"
                    | "describe"
                    | "list"
                    | "public-key"
                    | "random"
                    | "status"
                    | "audit-head"
                    | "register-buffer"
                    | "check-policy"
                    | "explain"
                    | "why"
            );
            assert_eq!(
                Concern::of(operation) == Concern::Nothing,
                shows,
                "{operation}"
            );
        }
    }
}
