//! The four sockets of the vault.

use nitride_protocol::admin::*;
use nitride_protocol::agent::{
    AgentOperation, AttestationResult, Challenge, Evidence, Failure, Finish, NextRound,
    PlaintextResource, Resource, RoundOrder,
};
use nitride_protocol::application::*;
use nitride_protocol::quote::{
    CounterReply, CounterRequest, EvidenceReply, EvidenceRequest, ForgetRequest,
    MeasureReleaseReply, MeasureReleaseRequest, PhaseEndReply, PhaseEndRequest, PhaseReply,
    PhaseRequest, PlatformKeyReply, PlatformKeyRequest,
};
use nitride_protocol::{
    Empty, Message, Operation, Reader, open_reply, open_request, write_reply, write_request,
};

/// Reads a message, and wants the packet back when it is written again.
fn request<'a, M: Message<'a>>(packet: &[u8], id: u32, operation: u16, params: Reader<'a>) {
    if let Ok(message) = M::decode_last(params) {
        let mut again = vec![0; packet.len()];
        let len = write_request(&mut again, id, operation, &message).expect("it was read");
        assert_eq!(
            again.get(..len),
            Some(packet),
            "a request has two spellings"
        );
    }
}

fn reply<'a, M: Message<'a>>(packet: &'a [u8]) {
    let Ok((head, result)) = open_reply(packet) else {
        return;
    };
    if let Ok(message) = M::decode_last(result) {
        let mut again = vec![0; packet.len()];
        let len = write_reply(&mut again, head.id, head.status, &message).expect("it was read");
        assert_eq!(again.get(..len), Some(packet), "a reply has two spellings");
    }
}

/// A request of the application or admin socket.
pub fn vhsm_request(packet: &[u8]) {
    let Ok((head, params)) = open_request(packet) else {
        return;
    };
    let (id, number) = (head.id, head.operation);
    let Some(operation) = Operation::from_wire(number) else {
        return;
    };
    match operation {
        Operation::Hello => request::<Hello>(packet, id, number, params),
        Operation::Generate => request::<Generate>(packet, id, number, params),
        Operation::Import => request::<Import>(packet, id, number, params),
        Operation::Describe => request::<Describe>(packet, id, number, params),
        Operation::List => request::<List>(packet, id, number, params),
        Operation::PublicKey => request::<PublicKey>(packet, id, number, params),
        Operation::Sign => request::<Sign>(packet, id, number, params),
        Operation::Verify => request::<Verify>(packet, id, number, params),
        Operation::Encrypt => request::<Encrypt>(packet, id, number, params),
        Operation::Decrypt => request::<Decrypt>(packet, id, number, params),
        Operation::Mac => request::<Mac>(packet, id, number, params),
        Operation::VerifyMac => request::<VerifyMac>(packet, id, number, params),
        Operation::Random => request::<Random>(packet, id, number, params),
        Operation::Release => request::<Release>(packet, id, number, params),
        Operation::Enable => request::<Enable>(packet, id, number, params),
        Operation::Disable => request::<Disable>(packet, id, number, params),
        Operation::Destroy => request::<Destroy>(packet, id, number, params),
        Operation::Status => request::<StatusRequest>(packet, id, number, params),
        Operation::Reload => request::<Reload>(packet, id, number, params),
        Operation::Wrap => request::<Wrap>(packet, id, number, params),
        Operation::Unwrap => request::<Unwrap>(packet, id, number, params),
        Operation::Derive => request::<Derive>(packet, id, number, params),
        Operation::Agree => request::<Agree>(packet, id, number, params),
        Operation::Encapsulate => request::<Encapsulate>(packet, id, number, params),
        Operation::Decapsulate => request::<Decapsulate>(packet, id, number, params),
        Operation::Rotate => request::<Rotate>(packet, id, number, params),
        Operation::SetPolicy => request::<SetPolicy>(packet, id, number, params),
        Operation::Attest => request::<Attest>(packet, id, number, params),
        Operation::AuditHead => request::<AuditHead>(packet, id, number, params),
        Operation::Batch => request::<Batch>(packet, id, number, params),
        Operation::RegisterBuffer => request::<RegisterBuffer>(packet, id, number, params),
        Operation::EncryptBuffer => request::<EncryptBuffer>(packet, id, number, params),
        Operation::DecryptBuffer => request::<DecryptBuffer>(packet, id, number, params),
        Operation::CheckPolicy => request::<CheckPolicy>(packet, id, number, params),
        Operation::Explain => request::<Explain>(packet, id, number, params),
        Operation::Why => request::<Why>(packet, id, number, params),
        Operation::Wipe => request::<Wipe>(packet, id, number, params),
        Operation::Backup => request::<Backup>(packet, id, number, params),
        Operation::Restore => request::<Restore>(packet, id, number, params),
        Operation::EndPhase => request::<EndPhase>(packet, id, number, params),
    }
}

/// A reply of the application or admin socket; its operation is the asker's to know, so all.
pub fn vhsm_reply(packet: &[u8]) {
    reply::<Empty>(packet);
    reply::<Welcome>(packet);
    reply::<Generated>(packet);
    reply::<Imported>(packet);
    reply::<Description>(packet);
    reply::<Listing>(packet);
    reply::<PublicKeyDer>(packet);
    reply::<Signature>(packet);
    reply::<Ciphertext>(packet);
    reply::<Plaintext>(packet);
    reply::<Tag>(packet);
    reply::<RandomBytes>(packet);
    reply::<Released>(packet);
    reply::<VaultStatus>(packet);
    reply::<Reloaded>(packet);
    reply::<Wrapped>(packet);
    reply::<Unwrapped>(packet);
    reply::<ChildMade>(packet);
    reply::<Encapsulated>(packet);
    reply::<Rotated>(packet);
    reply::<Attested>(packet);
    reply::<Head>(packet);
    reply::<Batched>(packet);
    reply::<Registered>(packet);
    reply::<BufferDone>(packet);
    reply::<PolicyChecked>(packet);
    reply::<Explained>(packet);
    reply::<Reasons>(packet);
    reply::<BackedUp>(packet);
    reply::<Restored>(packet);
    reply::<PhaseEnded>(packet);
}

/// Every message of the agent's and the quote helper's sockets, in both directions.
pub fn agent_message(packet: &[u8]) {
    reply::<RoundOrder>(packet);
    reply::<Evidence>(packet);
    reply::<EvidenceReply>(packet);
    reply::<PlatformKeyReply>(packet);
    reply::<CounterReply>(packet);
    reply::<PhaseReply>(packet);
    reply::<PhaseEndReply>(packet);
    reply::<MeasureReleaseReply>(packet);
    let Ok((head, params)) = open_request(packet) else {
        return;
    };
    let (id, number) = (head.id, head.operation);
    request::<EvidenceRequest>(packet, id, number, params.clone());
    request::<PlatformKeyRequest>(packet, id, number, params.clone());
    request::<CounterRequest>(packet, id, number, params.clone());
    request::<ForgetRequest>(packet, id, number, params.clone());
    request::<PhaseRequest>(packet, id, number, params.clone());
    request::<PhaseEndRequest>(packet, id, number, params.clone());
    request::<MeasureReleaseRequest>(packet, id, number, params.clone());
    let Some(operation) = AgentOperation::from_wire(number) else {
        return;
    };
    match operation {
        AgentOperation::Hello => request::<Hello>(packet, id, number, params),
        AgentOperation::NextRound => request::<NextRound>(packet, id, number, params),
        AgentOperation::Challenge => request::<Challenge>(packet, id, number, params),
        AgentOperation::Result => request::<AttestationResult>(packet, id, number, params),
        AgentOperation::Resource => request::<Resource>(packet, id, number, params),
        AgentOperation::Failure => request::<Failure>(packet, id, number, params),
        AgentOperation::Finish => request::<Finish>(packet, id, number, params),
        AgentOperation::Plaintext => request::<PlaintextResource<'_>>(packet, id, number, params),
    }
}
