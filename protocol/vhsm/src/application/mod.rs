//! The application socket: what programs do with keys.

pub mod agree;
pub mod attest;
pub mod audit_head;
pub mod batch;
pub mod child;
pub mod decapsulate;
pub mod decrypt;
pub mod decrypt_buffer;
pub mod derive;
pub mod describe;
pub mod disable;
pub mod enable;
pub mod encapsulate;
pub mod encrypt;
pub mod encrypt_buffer;
pub mod generate;
pub mod hello;
pub mod list;
pub mod mac;
pub mod public_key;
pub mod random;
pub mod register_buffer;
pub mod release;
pub mod sign;
pub mod status;
pub mod unwrap;
pub mod verify;
pub mod verify_mac;
pub mod window;
pub mod wrap;

use crate::{Operation, OperationSet};

pub use agree::Agree;
pub use attest::{Attest, Attested};
pub use audit_head::{AuditHead, Head};
pub use batch::{Batch, BatchAnswer, BatchItem, Batched};
pub use child::{Child, ChildMade};
pub use decapsulate::Decapsulate;
pub use decrypt::{Decrypt, Plaintext};
pub use decrypt_buffer::DecryptBuffer;
pub use derive::Derive;
pub use describe::{Describe, Description, VersionInfo};
pub use disable::Disable;
pub use enable::Enable;
pub use encapsulate::{Encapsulate, Encapsulated};
pub use encrypt::{Ciphertext, Encrypt};
pub use encrypt_buffer::EncryptBuffer;
pub use generate::{Generate, Generated};
pub use hello::{Hello, Welcome};
pub use list::{List, ListEntry, Listing};
pub use mac::{Mac, Tag};
pub use public_key::{PublicKey, PublicKeyDer};
pub use random::{Random, RandomBytes};
pub use register_buffer::{RegisterBuffer, Registered};
pub use release::{Release, Released};
pub use sign::{Sign, Signature};
pub use status::{
    GateStatus, SIGNER_LISTS_FEATURE, SealStatus, SignerStatus, StatusRequest, VaultStatus,
};
pub use unwrap::{Unwrap, Unwrapped};
pub use verify::Verify;
pub use verify_mac::VerifyMac;
pub use window::{BufferDone, Window};
pub use wrap::{Wrap, Wrapped};

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
    Operation::Wrap,
    Operation::Unwrap,
    Operation::Derive,
    Operation::Agree,
    Operation::Encapsulate,
    Operation::Decapsulate,
    Operation::Attest,
    Operation::AuditHead,
    Operation::Batch,
    Operation::RegisterBuffer,
    Operation::EncryptBuffer,
    Operation::DecryptBuffer,
]);
