//! The application socket: what programs do with keys.

pub mod decrypt;
pub mod describe;
pub mod disable;
pub mod enable;
pub mod encrypt;
pub mod generate;
pub mod hello;
pub mod list;
pub mod mac;
pub mod public_key;
pub mod random;
pub mod release;
pub mod sign;
pub mod status;
pub mod verify;
pub mod verify_mac;

use crate::{Operation, OperationSet};

pub use decrypt::{Decrypt, Plaintext};
pub use describe::{Describe, Description, VersionInfo};
pub use disable::Disable;
pub use enable::Enable;
pub use encrypt::{Ciphertext, Encrypt};
pub use generate::{Generate, Generated};
pub use hello::{Hello, Welcome};
pub use list::{List, ListEntry, Listing};
pub use mac::{Mac, Tag};
pub use public_key::{PublicKey, PublicKeyDer};
pub use random::{Random, RandomBytes};
pub use release::{Release, Released};
pub use sign::{Sign, Signature};
pub use status::{GateStatus, StatusRequest, VaultStatus};
pub use verify::Verify;
pub use verify_mac::VerifyMac;

/// What this socket accepts; anything else is `unknown-operation`.
pub const OPERATIONS: OperationSet = OperationSet::of(&[
    Operation::Hello,
    Operation::Generate,
    Operation::Describe,
    Operation::List,
    Operation::PublicKey,
    Operation::Sign,
    Operation::Verify,
    Operation::Encrypt,
    Operation::Decrypt,
    Operation::Mac,
    Operation::VerifyMac,
    Operation::Random,
    Operation::Release,
    Operation::Enable,
    Operation::Disable,
    Operation::Status,
]);
