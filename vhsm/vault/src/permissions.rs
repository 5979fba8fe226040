//! Which operation, on which socket, in which state of the key, for which types: all on one screen.
//! What has no row, no socket, no state or no type there is not done.

use crate::{Refusal, Socket};
use Authority::{Administrator, Anybody, Nobody, Rule};
use Key::{Lifecycle, New, Nothing, Use};
use nitride_protocol::KeyState::{Destroyed, Disabled, Enabled, Pending};
use nitride_protocol::KeyType::{
    Aes128Gcm, Aes256Gcm, Aes256GcmSiv, Aes256Kwp, ChaCha20Poly1305, EcP256, EcP384, EcP521,
    Ed25519, HmacSha256, HmacSha384, HmacSha512, MlDsa65, MlKem768, Rsa2048, Rsa3072, Rsa4096,
    Secret, X25519,
};
use nitride_protocol::{KeyState, KeyType, Operation, OperationSet};

/// Who may, on one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Not on this socket.
    Nobody,
    /// Whoever could connect.
    Anybody,
    /// Peers to whom a rule grants it on the key's name; without a key, on anything.
    Rule,
    /// Peers that the policy calls administrators.
    Administrator,
}

/// What it has to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// None is named.
    Nothing,
    /// Makes one; the key rule decides on type and operations.
    New,
    /// Shows or changes the state of one; the key's own policy has no say.
    Lifecycle(&'static [KeyState]),
    /// Uses material: the key's own policy, validity, lease and gate are asked, and the key is
    /// fetched or made if it is missing. The state is always enabled.
    Use(&'static [KeyType]),
}

const ALL_STATES: &[KeyState] = &[Pending, Enabled, Disabled, Destroyed];
const PRESENT: &[KeyState] = &[Enabled, Disabled];
const SIGNING: &[KeyType] = &[
    EcP256, EcP384, EcP521, Ed25519, Rsa2048, Rsa3072, Rsa4096, MlDsa65,
];
const PUBLIC: &[KeyType] = &[
    EcP256, EcP384, EcP521, Ed25519, X25519, Rsa2048, Rsa3072, Rsa4096, MlDsa65, MlKem768,
];
const SEALING: &[KeyType] = &[
    Aes128Gcm,
    Aes256Gcm,
    Aes256GcmSiv,
    ChaCha20Poly1305,
    Rsa2048,
    Rsa3072,
    Rsa4096,
];
/// The chunked format wants keys of 256 bits.
const BULK: &[KeyType] = &[Aes256Gcm, Aes256GcmSiv, ChaCha20Poly1305];
const TAGGING: &[KeyType] = &[HmacSha256, HmacSha384, HmacSha512];
const DERIVING: &[KeyType] = &[HmacSha256, HmacSha384, HmacSha512, Secret];
const AGREEING: &[KeyType] = &[EcP256, EcP384, EcP521, X25519];
const ENCAPSULATING: &[KeyType] = &[MlKem768];
const WRAPPING: &[KeyType] = &[Aes256Kwp];
const RELEASED: &[KeyType] = &[Secret];

#[rustfmt::skip]
const TABLE: [(Operation, Authority, Authority, Key); 40] = [
    // operation                application  admin          key: states, or types
    (Operation::Hello,          Anybody,     Anybody,       Nothing),
    (Operation::Generate,       Rule,        Nobody,        New),
    (Operation::Import,         Nobody,      Administrator, New),
    (Operation::Describe,       Rule,        Administrator, Lifecycle(ALL_STATES)),
    (Operation::List,           Rule,        Administrator, Nothing),
    (Operation::PublicKey,      Rule,        Nobody,        Use(PUBLIC)),
    (Operation::Sign,           Rule,        Nobody,        Use(SIGNING)),
    (Operation::Verify,         Rule,        Nobody,        Use(SIGNING)),
    (Operation::Encrypt,        Rule,        Nobody,        Use(SEALING)),
    (Operation::Decrypt,        Rule,        Nobody,        Use(SEALING)),
    (Operation::Mac,            Rule,        Nobody,        Use(TAGGING)),
    (Operation::VerifyMac,      Rule,        Nobody,        Use(TAGGING)),
    (Operation::Random,         Rule,        Nobody,        Nothing),
    (Operation::Release,        Rule,        Nobody,        Use(RELEASED)),
    (Operation::Enable,         Rule,        Administrator, Lifecycle(PRESENT)),
    (Operation::Disable,        Rule,        Administrator, Lifecycle(PRESENT)),
    (Operation::Destroy,        Nobody,      Administrator, Lifecycle(PRESENT)),
    (Operation::Status,         Rule,        Administrator, Nothing),
    (Operation::Reload,         Nobody,      Administrator, Nothing),
    (Operation::Wrap,           Rule,        Nobody,        Use(WRAPPING)),
    (Operation::Unwrap,         Rule,        Nobody,        Use(WRAPPING)),
    (Operation::Derive,         Rule,        Nobody,        Use(DERIVING)),
    (Operation::Agree,          Rule,        Nobody,        Use(AGREEING)),
    (Operation::Encapsulate,    Rule,        Nobody,        Use(ENCAPSULATING)),
    (Operation::Decapsulate,    Rule,        Nobody,        Use(ENCAPSULATING)),
    (Operation::Rotate,         Nobody,      Administrator, Lifecycle(PRESENT)),
    (Operation::SetPolicy,      Nobody,      Administrator, Lifecycle(PRESENT)),
    (Operation::Attest,         Rule,        Nobody,        Nothing),
    (Operation::AuditHead,      Rule,        Administrator, Nothing),
    (Operation::Batch,          Anybody,     Nobody,        Nothing),
    (Operation::RegisterBuffer, Anybody,     Nobody,        Nothing),
    (Operation::EncryptBuffer,  Rule,        Nobody,        Use(BULK)),
    (Operation::DecryptBuffer,  Rule,        Nobody,        Use(BULK)),
    (Operation::CheckPolicy,    Nobody,      Administrator, Nothing),
    (Operation::Explain,        Nobody,      Administrator, Nothing),
    (Operation::Why,            Nobody,      Administrator, Nothing),
    (Operation::Wipe,           Nobody,      Administrator, Nothing),
    (Operation::Backup,         Nobody,      Administrator, Nothing),
    (Operation::Restore,        Nobody,      Administrator, Nothing),
    (Operation::EndPhase,       Nobody,      Administrator, Nothing),
];

/// Who may do `operation` on `socket`, and what it has to do with a key.
pub(crate) fn row(operation: Operation, socket: Socket) -> Option<(Authority, Key)> {
    let (_, application, admin, key) = TABLE.iter().find(|row| row.0 == operation)?;
    let authority = match socket {
        Socket::Application => *application,
        Socket::Admin => *admin,
    };
    (authority != Nobody).then_some((authority, *key))
}

/// What `operation` has to do with a key.
pub(crate) fn concerns(operation: Operation) -> Option<Key> {
    TABLE.iter().find(|row| row.0 == operation).map(|row| row.3)
}

/// Whether keys of `key_type` can do `operation`.
pub(crate) fn type_allows(operation: Operation, key_type: KeyType) -> Result<(), Refusal> {
    let key = TABLE.iter().find(|row| row.0 == operation).map(|row| row.3);
    match key {
        Some(Lifecycle(_) | New) => Ok(()),
        Some(Use(types)) if types.contains(&key_type) => Ok(()),
        _ => Err(Refusal::WrongKeyType {
            key_type,
            operation,
        }),
    }
}

/// What keys of `key_type` are used for: what their own policies have a say in.
pub(crate) fn uses_of(key_type: KeyType) -> OperationSet {
    let can = |key: &Key| matches!(key, Use(types) if types.contains(&key_type));
    let rows = TABLE.iter().filter(|row| can(&row.3));
    rows.map(|row| row.0).collect()
}

/// Whether `operation` is done on a key, or a version, in `state`.
pub(crate) fn state_allows(operation: Operation, state: KeyState) -> Result<(), Refusal> {
    let states = match TABLE.iter().find(|row| row.0 == operation).map(|row| row.3) {
        Some(Lifecycle(states)) => states,
        Some(Use(_)) => &[Enabled],
        _ => &[],
    };
    match state {
        state if states.contains(&state) => Ok(()),
        Disabled => Err(Refusal::KeyDisabled),
        Destroyed => Err(Refusal::KeyDestroyed),
        Pending | Enabled => Err(Refusal::KeyNotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_protocol::{admin, application};

    #[test]
    fn every_operation_has_one_row() {
        for operation in Operation::ALL {
            let rows = TABLE.iter().filter(|row| row.0 == operation).count();
            assert_eq!(rows, 1, "{operation}");
        }
    }

    #[test]
    fn the_sockets_take_what_the_protocol_says_they_take() {
        for operation in Operation::ALL {
            for (socket, taken) in [
                (Socket::Application, application::OPERATIONS),
                (Socket::Admin, admin::OPERATIONS),
            ] {
                assert_eq!(
                    row(operation, socket).is_some(),
                    taken.contains(operation),
                    "{operation} on {socket:?}"
                );
            }
        }
    }

    #[test]
    fn the_types_can_do_what_the_protocol_says_they_can() {
        for operation in Operation::ALL {
            if let Some((_, Use(types))) = row(operation, Socket::Application) {
                for key_type in KeyType::ALL {
                    assert_eq!(
                        types.contains(&key_type),
                        key_type.operations().contains(operation),
                        "{operation} by {key_type}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_used_unless_it_is_enabled() {
        for operation in Operation::ALL {
            if let Some((_, Use(_))) = row(operation, Socket::Application) {
                assert!(state_allows(operation, Enabled).is_ok());
                for state in [Pending, Disabled, Destroyed] {
                    assert!(state_allows(operation, state).is_err());
                }
            }
        }
    }
}
