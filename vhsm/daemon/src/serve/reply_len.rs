//! How long a reply can become, so that it is made in place and nothing larger is taken.

use nitride_protocol::application::{List, Random};
use nitride_protocol::limits::{
    MAX_ENCAPSULATED_LEN, MAX_LIST_LEN, MAX_NAME_LEN, MAX_PACKET_LEN, MAX_PUBLIC_KEY_LEN,
    MAX_RANDOM_LEN, MAX_REASON_LEN, MAX_REASONS_LEN, MAX_SECRET_LEN, MAX_WRAPPED_LEN,
};
use nitride_protocol::{Message, Operation, Reader};

/// Id, status and the heads of a result's fields; also a whole refusal.
const FRAME_LEN: usize = 64;

/// What the reply to an operation may take, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyLen {
    /// It may hold a secret: at most so many bytes, in the arena.
    Secret(usize),
    /// It holds names and figures alone: at most so many bytes, in ordinary memory, which is not
    /// scarce.
    Public(usize),
}

/// What the reply to `operation` with `params` may take, for a packet of `packet_len` bytes.
pub(crate) fn reply_len(operation: u16, params: &Reader<'_>, packet_len: usize) -> ReplyLen {
    use Operation as Op;
    let secret = |len| ReplyLen::Secret(FRAME_LEN + len);
    match Operation::from_wire(operation) {
        // No longer than what was sent, but for the header, nonce and tag that are added.
        Some(Op::Encrypt | Op::Decrypt) => secret(packet_len + FRAME_LEN),
        Some(Op::Random) => {
            let asked = Random::decode_last(params.clone()).map_or(0, |random| random.len);
            secret((asked as usize).min(MAX_RANDOM_LEN))
        }
        Some(Op::Release) => secret(MAX_SECRET_LEN),
        // The types of this version sign in 72 bytes and tag in 32: what they take and give fits the
        // buffers that a connection has of its own.
        Some(Op::Sign | Op::Mac) => secret(128),
        Some(Op::List) => {
            let asked = List::decode_last(params.clone()).map_or(0, |list| list.max);
            let entries = (asked as usize).min(MAX_LIST_LEN);
            ReplyLen::Public(FRAME_LEN + entries * (MAX_NAME_LEN + FRAME_LEN))
        }
        Some(Op::Describe) => ReplyLen::Public(FRAME_LEN + 64 * 32 + 12 * MAX_NAME_LEN + 1024),
        Some(Op::PublicKey) => ReplyLen::Public(FRAME_LEN + MAX_PUBLIC_KEY_LEN),
        Some(Op::Hello) => ReplyLen::Public(4096),
        Some(
            Op::Generate
            | Op::Import
            | Op::Verify
            | Op::VerifyMac
            | Op::Enable
            | Op::Disable
            | Op::Destroy
            | Op::Status
            | Op::Reload
            | Op::Unwrap
            | Op::Derive
            | Op::Agree
            | Op::Decapsulate
            | Op::Rotate
            | Op::SetPolicy
            | Op::AuditHead
            | Op::RegisterBuffer
            | Op::EncryptBuffer
            | Op::DecryptBuffer
            | Op::Wipe
            | Op::Restore,
        )
        | None => secret(FRAME_LEN),
        Some(Op::Wrap) => ReplyLen::Public(FRAME_LEN + MAX_WRAPPED_LEN),
        Some(Op::Encapsulate) => ReplyLen::Public(FRAME_LEN + MAX_ENCAPSULATED_LEN),
        Some(Op::Batch | Op::Attest | Op::Backup) => ReplyLen::Public(MAX_PACKET_LEN),
        Some(Op::CheckPolicy | Op::Explain | Op::Why) => {
            ReplyLen::Public(FRAME_LEN + MAX_REASONS_LEN * (MAX_REASON_LEN + FRAME_LEN))
        }
    }
}
