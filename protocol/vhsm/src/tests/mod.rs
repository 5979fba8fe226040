//! Tests across all messages: golden bytes, properties, and the CDDL against the code.

mod also;
mod audit;
mod cddl;
mod cddl_against_code;
mod golden;
mod golden_keys;
mod hostile;
mod parts;
mod properties;
mod properties_of_keys;

use crate::{DecodeError, Message, Reader, admin, agent, application, quote};
use std::path::Path;

/// A message of either direction, by its rule in the CDDL.
pub(super) struct Shape {
    pub(super) rule: &'static str,
    /// Reads the message as the last item and writes it again.
    pub(super) spell: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

fn spell<'a, M: Message<'a>>(bytes: &'a [u8]) -> Result<Vec<u8>, DecodeError> {
    let message = M::decode_last(Reader::new(bytes))?;
    Ok(encoded(&message))
}

pub(super) fn encoded<'a, M: Message<'a>>(message: &M) -> Vec<u8> {
    nitride_cbor::encode_to_vec(crate::limits::MAX_PACKET_LEN * 4, |writer| {
        message.encode(writer)
    })
    .unwrap()
}

macro_rules! shapes {
    ($($rule:literal => $message:ty, $reply:ty;)*) => {
        /// Every message of every socket.
        pub(super) const SHAPES: &[Shape] = &[
            $(
                Shape { rule: $rule, spell: |bytes| spell::<$message>(bytes) },
                Shape { rule: concat!($rule, "-reply"), spell: |bytes| spell::<$reply>(bytes) },
            )*
        ];
    };
}

shapes! {
    "hello" => application::Hello<'_>, application::Welcome<'_>;
    "generate" => application::Generate<'_>, application::Generated;
    "import" => admin::Import<'_>, admin::Imported;
    "describe" => application::Describe<'_>, application::Description<'_>;
    "list" => application::List<'_>, application::Listing<'_>;
    "public-key" => application::PublicKey<'_>, application::PublicKeyDer<'_>;
    "sign" => application::Sign<'_>, application::Signature<'_>;
    "verify" => application::Verify<'_>, crate::Empty;
    "encrypt" => application::Encrypt<'_>, application::Ciphertext<'_>;
    "decrypt" => application::Decrypt<'_>, application::Plaintext<'_>;
    "mac" => application::Mac<'_>, application::Tag<'_>;
    "verify-mac" => application::VerifyMac<'_>, crate::Empty;
    "random" => application::Random, application::RandomBytes<'_>;
    "release" => application::Release<'_>, application::Released<'_>;
    "enable" => application::Enable<'_>, crate::Empty;
    "disable" => application::Disable<'_>, crate::Empty;
    "destroy" => admin::Destroy<'_>, crate::Empty;
    "status" => application::StatusRequest, application::VaultStatus<'_>;
    "reload" => admin::Reload, admin::Reloaded;
    "wrap" => application::Wrap<'_>, application::Wrapped<'_>;
    "unwrap" => application::Unwrap<'_>, application::Unwrapped;
    "derive" => application::Derive<'_>, application::ChildMade;
    "agree" => application::Agree<'_>, application::ChildMade;
    "encapsulate" => application::Encapsulate<'_>, application::Encapsulated<'_>;
    "decapsulate" => application::Decapsulate<'_>, application::ChildMade;
    "rotate" => admin::Rotate<'_>, admin::Rotated;
    "set-policy" => admin::SetPolicy<'_>, crate::Empty;
    "attest" => application::Attest<'_>, application::Attested<'_>;
    "audit-head" => application::AuditHead, application::Head<'_>;
    "batch" => application::Batch<'_>, application::Batched<'_>;
    "register-buffer" => application::RegisterBuffer, application::Registered;
    "encrypt-buffer" => application::EncryptBuffer<'_>, application::BufferDone;
    "decrypt-buffer" => application::DecryptBuffer<'_>, application::BufferDone;
    "check-policy" => admin::CheckPolicy<'_>, admin::PolicyChecked<'_>;
    "explain" => admin::Explain<'_>, admin::Explained<'_>;
    "why" => admin::Why, admin::Reasons<'_>;
    "wipe" => admin::Wipe, crate::Empty;
    "backup" => admin::Backup<'_>, admin::BackedUp<'_>;
    "restore" => admin::Restore<'_>, admin::Restored;
    "end-phase" => admin::EndPhase, admin::PhaseEnded;
    "next-round" => agent::NextRound, agent::RoundOrder<'_>;
    "challenge" => agent::Challenge<'_>, agent::Evidence<'_>;
    "result" => agent::AttestationResult<'_>, crate::Empty;
    "resource" => agent::Resource<'_>, crate::Empty;
    "failure" => agent::Failure<'_>, crate::Empty;
    "finish" => agent::Finish, crate::Empty;
    "plaintext" => agent::PlaintextResource<'_>, crate::Empty;
    "evidence" => quote::EvidenceRequest<'_>, quote::EvidenceReply<'_>;
    "platform-key" => quote::PlatformKeyRequest<'_>, quote::PlatformKeyReply<'_>;
    "counter" => quote::CounterRequest<'_>, quote::CounterReply;
    "forget" => quote::ForgetRequest<'_>, crate::Empty;
    "phase" => quote::PhaseRequest<'_>, quote::PhaseReply;
    "phase-end" => quote::PhaseEndRequest<'_>, quote::PhaseEndReply;
    "measure-release" => quote::MeasureReleaseRequest<'_>, quote::MeasureReleaseReply;
}

/// The text of a file of this crate.
pub(super) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// The bytes of a golden file: hex digits over several lines.
pub(super) fn golden_bytes(name: &str) -> Vec<u8> {
    bytes_of_hex(&file(&format!("golden/{name}.hex")))
}

pub(super) fn bytes_of_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| c.to_digit(16).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

/// The params or result of a golden packet, without the packet's head.
pub(super) fn golden_message(rule: &str) -> Vec<u8> {
    let name = match rule.strip_suffix("-reply") {
        Some(verb) => format!("{verb}.reply"),
        None => format!("{rule}.request"),
    };
    let packet = golden_bytes(&name);
    let mut reader = Reader::new(&packet);
    reader.array_of(3).unwrap();
    reader.u32("id").unwrap();
    reader.u16("number").unwrap();
    packet[reader.position()..].to_vec()
}
