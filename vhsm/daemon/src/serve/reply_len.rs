//! How long a reply can become, so that it is made in place and nothing larger is taken.

use nitride_protocol::application::{Batch, BatchItem, List, Random};
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

/// The longest signature of all types, in bytes: that of ML-DSA-65.
const LONGEST_SIGNATURE_LEN: usize = 3309;
/// The longest RSA modulus, in bytes.
const LONGEST_RSA_LEN: usize = 512;

/// What the answers to the items of a batch may take together. Signatures and ciphertexts are no
/// secrets; with anything else among them the whole reply is.
fn batch_len(params: &Reader<'_>) -> ReplyLen {
    let Ok(batch) = Batch::decode_last(params.clone()) else {
        return ReplyLen::Secret(FRAME_LEN);
    };
    let (mut len, mut is_secret) = (FRAME_LEN, false);
    for item in &batch.items {
        len += FRAME_LEN;
        match item {
            BatchItem::Sign(_) => len += LONGEST_SIGNATURE_LEN,
            BatchItem::Encrypt(encrypt) => {
                len += FRAME_LEN + encrypt.plaintext.len().max(LONGEST_RSA_LEN);
            }
            BatchItem::PublicKey(_) => len += MAX_PUBLIC_KEY_LEN,
            BatchItem::Verify(_) | BatchItem::VerifyMac(_) => {}
            BatchItem::Mac(_) => (len, is_secret) = (len + 128, true),
            BatchItem::Decrypt(decrypt) => {
                (len, is_secret) = (len + decrypt.ciphertext.len(), true);
            }
            BatchItem::Random(random) => {
                (len, is_secret) = (len + (random.len as usize).min(MAX_RANDOM_LEN), true);
            }
        }
    }
    let len = len.min(MAX_PACKET_LEN);
    if is_secret {
        ReplyLen::Secret(len)
    } else {
        ReplyLen::Public(len)
    }
}

/// What the reply to `operation` with `params` may take, for a packet of `packet_len` bytes.
pub(crate) fn reply_len(operation: u16, params: &Reader<'_>, packet_len: usize) -> ReplyLen {
    use Operation as Op;
    let secret = |len| ReplyLen::Secret(FRAME_LEN + len);
    match Operation::from_wire(operation) {
        // No longer than what was sent, but for the header, nonce and tag that are added; under an
        // RSA key it is as long as the modulus. No cipher puts plaintext where ciphertext goes.
        Some(Op::Encrypt) => {
            ReplyLen::Public(FRAME_LEN + FRAME_LEN + packet_len.max(LONGEST_RSA_LEN))
        }
        Some(Op::Decrypt) => secret(packet_len + FRAME_LEN),
        Some(Op::Random) => {
            let asked = Random::decode_last(params.clone()).map_or(0, |random| random.len);
            secret((asked as usize).min(MAX_RANDOM_LEN))
        }
        Some(Op::Release) => secret(MAX_SECRET_LEN),
        // A tag may become somebody's key; it fits the buffer that a connection has of its own.
        Some(Op::Mac) => secret(128),
        Some(Op::Sign) => ReplyLen::Public(FRAME_LEN + LONGEST_SIGNATURE_LEN),
        Some(Op::Batch) => batch_len(params),
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
            | Op::Restore
            | Op::EndPhase,
        )
        | None => secret(FRAME_LEN),
        Some(Op::Wrap) => ReplyLen::Public(FRAME_LEN + MAX_WRAPPED_LEN),
        Some(Op::Encapsulate) => ReplyLen::Public(FRAME_LEN + MAX_ENCAPSULATED_LEN),
        Some(Op::Attest | Op::Backup) => ReplyLen::Public(MAX_PACKET_LEN),
        Some(Op::CheckPolicy | Op::Explain | Op::Why) => {
            ReplyLen::Public(FRAME_LEN + MAX_REASONS_LEN * (MAX_REASON_LEN + FRAME_LEN))
        }
    }
}
