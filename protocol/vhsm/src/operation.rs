//! Operations of the application and the admin socket, and sets of them.

use crate::field;
use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// An operation of the application and the admin socket, under its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Operation {
    /// Agree on a version, and say how long requests may wait.
    Hello = 0,
    /// Have the vault draw a new key.
    Generate = 1,
    /// Give the vault a key's material.
    Import = 2,
    /// Read what a key is and which versions it has.
    Describe = 3,
    /// Read the names of keys.
    List = 4,
    /// Read a key's public half.
    PublicKey = 5,
    /// Sign.
    Sign = 6,
    /// Check a signature.
    Verify = 7,
    /// Encrypt.
    Encrypt = 8,
    /// Decrypt.
    Decrypt = 9,
    /// Make a message authentication code.
    Mac = 10,
    /// Check a message authentication code.
    VerifyMac = 11,
    /// Draw random bytes.
    Random = 12,
    /// Read a `secret` key's bytes.
    Release = 13,
    /// Make a key or a version usable again.
    Enable = 14,
    /// Make a key or a version unusable until it is enabled.
    Disable = 15,
    /// Erase a key's or a version's material for good.
    Destroy = 16,
    /// Read how the vault is.
    Status = 17,
    /// Read the policy anew.
    Reload = 18,
    /// Encrypt a key under another one that wraps.
    Wrap = 19,
    /// Make a key of what `wrap` gave.
    Unwrap = 20,
    /// Make a key of another one.
    Derive = 21,
    /// Make a key of a Diffie-Hellman agreement.
    Agree = 22,
    /// Make a key of a fresh shared secret under a key's public half.
    Encapsulate = 23,
    /// Make a key of the shared secret in a ciphertext.
    Decapsulate = 24,
    /// Add a version to a key.
    Rotate = 25,
    /// Change a key's own policy.
    SetPolicy = 26,
    /// Read fresh evidence of the TEE.
    Attest = 27,
    /// Read the newest entry of the audit's chain.
    AuditHead = 28,
    /// Do several operations in one packet.
    Batch = 29,
    /// Share memory for the operations on buffers.
    RegisterBuffer = 30,
    /// Encrypt shared memory.
    EncryptBuffer = 31,
    /// Decrypt shared memory.
    DecryptBuffer = 32,
    /// Read what is wrong with a policy file.
    CheckPolicy = 33,
    /// Read why a peer would be allowed an operation, or not.
    Explain = 34,
    /// Read why a request was refused.
    Why = 35,
    /// Erase every key for good.
    Wipe = 36,
    /// Read a part of the keys, sealed to a pinned recipient.
    Backup = 37,
    /// Give back a part of a backup.
    Restore = 38,
    /// Leave the phase of the boot that this process belongs to.
    EndPhase = 39,
}

/// A text that names no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown operation")]
pub struct UnknownOperation;

impl Operation {
    /// Every operation, at the index of its number.
    pub const ALL: [Self; 40] = [
        Self::Hello,
        Self::Generate,
        Self::Import,
        Self::Describe,
        Self::List,
        Self::PublicKey,
        Self::Sign,
        Self::Verify,
        Self::Encrypt,
        Self::Decrypt,
        Self::Mac,
        Self::VerifyMac,
        Self::Random,
        Self::Release,
        Self::Enable,
        Self::Disable,
        Self::Destroy,
        Self::Status,
        Self::Reload,
        Self::Wrap,
        Self::Unwrap,
        Self::Derive,
        Self::Agree,
        Self::Encapsulate,
        Self::Decapsulate,
        Self::Rotate,
        Self::SetPolicy,
        Self::Attest,
        Self::AuditHead,
        Self::Batch,
        Self::RegisterBuffer,
        Self::EncryptBuffer,
        Self::DecryptBuffer,
        Self::CheckPolicy,
        Self::Explain,
        Self::Why,
        Self::Wipe,
        Self::Backup,
        Self::Restore,
        Self::EndPhase,
    ];

    /// The operation's verb: the same word in CDDL, policy, command line and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Generate => "generate",
            Self::Import => "import",
            Self::Describe => "describe",
            Self::List => "list",
            Self::PublicKey => "public-key",
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Mac => "mac",
            Self::VerifyMac => "verify-mac",
            Self::Random => "random",
            Self::Release => "release",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Destroy => "destroy",
            Self::Status => "status",
            Self::Reload => "reload",
            Self::Wrap => "wrap",
            Self::Unwrap => "unwrap",
            Self::Derive => "derive",
            Self::Agree => "agree",
            Self::Encapsulate => "encapsulate",
            Self::Decapsulate => "decapsulate",
            Self::Rotate => "rotate",
            Self::SetPolicy => "set-policy",
            Self::Attest => "attest",
            Self::AuditHead => "audit-head",
            Self::Batch => "batch",
            Self::RegisterBuffer => "register-buffer",
            Self::EncryptBuffer => "encrypt-buffer",
            Self::DecryptBuffer => "decrypt-buffer",
            Self::CheckPolicy => "check-policy",
            Self::Explain => "explain",
            Self::Why => "why",
            Self::Wipe => "wipe",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::EndPhase => "end-phase",
        }
    }

    /// The operation's number on the wire.
    pub const fn to_wire(self) -> u16 {
        self as u16
    }

    /// The operation with this number.
    pub fn from_wire(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.as_str() == text)
            .ok_or(UnknownOperation)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of operations. On the wire it is an array of their verbs, ordered by number, each once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OperationSet(u64);

impl OperationSet {
    /// No operation.
    pub const EMPTY: Self = Self(0);
    /// Every operation.
    pub const ALL: Self = Self::of(&Operation::ALL);

    /// The set of these operations.
    pub const fn of(operations: &[Operation]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = operations;
        while let [first, tail @ ..] = rest {
            set = set.with(*first);
            rest = tail;
        }
        set
    }

    /// Whether the operation is in the set.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & bit(operation) != 0
    }

    /// What is in either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether everything in this set is in the other too.
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether no operation is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set with the operation added.
    pub const fn with(self, operation: Operation) -> Self {
        Self(self.0 | bit(operation))
    }

    /// Adds the operation.
    pub const fn insert(&mut self, operation: Operation) {
        *self = self.with(operation);
    }

    /// The set with what its operations imply: whoever may encrypt or decrypt may do it in shared
    /// memory too. It is the same verb on more data, and one message either way.
    pub const fn with_implied(self) -> Self {
        let mut set = self;
        if set.contains(Operation::Encrypt) {
            set.insert(Operation::EncryptBuffer);
        }
        if set.contains(Operation::Decrypt) {
            set.insert(Operation::DecryptBuffer);
        }
        set
    }

    /// The operations in the order of their numbers.
    pub const fn iter(self) -> OperationSetIter {
        OperationSetIter {
            set: self,
            next_wire: 0,
        }
    }

    /// Reads a set. A verb that is unknown, out of order or repeated is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const FIELD: &str = "operations";
        let len = reader.array_up_to(Operation::ALL.len(), FIELD)?;
        let mut set = Self::EMPTY;
        let mut next_wire = 0;
        for _ in 0..len {
            let at = reader.position();
            let operation = field::text(reader, crate::limits::MAX_LABEL_LEN, FIELD)?
                .parse::<Operation>()
                .ok()
                .filter(|operation| operation.to_wire() >= next_wire)
                .ok_or(DecodeError::OutOfRange { at, field: FIELD })?;
            next_wire = operation.to_wire() + 1;
            set.insert(operation);
        }
        Ok(set)
    }

    /// Writes the set.
    pub fn write(self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.array(self.iter().count())?;
        self.iter()
            .try_for_each(|operation| writer.text(operation.as_str()))
    }
}

const fn bit(operation: Operation) -> u64 {
    1 << operation.to_wire()
}

impl fmt::Debug for OperationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Operation::as_str))
            .finish()
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        operations.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl IntoIterator for OperationSet {
    type Item = Operation;
    type IntoIter = OperationSetIter;

    fn into_iter(self) -> OperationSetIter {
        self.iter()
    }
}

/// The operations of a set in the order of their numbers.
#[derive(Debug, Clone)]
pub struct OperationSetIter {
    set: OperationSet,
    next_wire: u16,
}

impl Iterator for OperationSetIter {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        loop {
            let operation = Operation::from_wire(self.next_wire)?;
            self.next_wire += 1;
            if self.set.contains(operation) {
                return Some(operation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_cbor::encode_to_vec;

    #[test]
    fn every_operation_stands_at_its_number() {
        for (number, operation) in (0..).zip(Operation::ALL) {
            assert_eq!(operation.to_wire(), number);
            assert_eq!(Operation::from_wire(number), Some(operation));
            assert_eq!(operation.as_str().parse(), Ok(operation));
        }
        assert_eq!(Operation::from_wire(40), None);
        assert_eq!(Operation::from_wire(u16::MAX), None);
    }

    #[test]
    fn a_set_has_one_spelling() {
        let spell = |verbs: &[&str]| {
            encode_to_vec(256, |writer| {
                field::write_list(writer, verbs, |writer, verb| writer.text(verb))
            })
            .unwrap()
        };
        let read = |bytes: &[u8]| OperationSet::read(&mut Reader::new(bytes));
        assert_eq!(
            read(&spell(&["sign", "verify"])),
            Ok(OperationSet::of(&[Operation::Verify, Operation::Sign]))
        );
        for (verbs, at) in [
            (&["verify", "sign"][..], 8),
            (&["sign", "sign"], 6),
            (&["signs"], 1),
            (&["Sign"], 1),
        ] {
            assert_eq!(
                read(&spell(verbs)),
                Err(DecodeError::OutOfRange {
                    at,
                    field: "operations"
                })
            );
        }
    }

    #[test]
    fn sets_follow_the_rules_of_sets() {
        let both = OperationSet::of(&[Operation::Sign, Operation::Verify]);
        let sign = OperationSet::of(&[Operation::Sign]);
        assert!(sign.is_subset_of(both) && !both.is_subset_of(sign));
        assert_eq!(both.intersection(sign), sign);
        assert_eq!(OperationSet::ALL.iter().count(), Operation::ALL.len());
        assert!(OperationSet::EMPTY.is_empty() && OperationSet::EMPTY.is_subset_of(sign));
    }
}
