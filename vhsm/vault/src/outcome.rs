use crate::BulkRequest;
use crate::audit::Chain;
use nitride_protocol::audit::head_report;
use nitride_protocol::{KeyNameBuf, Operation};
use nitride_secmem::crypto::sha384;

/// What stands before the caller's data. A round hashes an object of JSON, which begins otherwise.
const ATTEST_LABEL: &[u8] = b"nitride attest v1\0";

/// What [`crate::Vault::perform`] came to.
#[derive(Debug)]
pub enum Outcome {
    /// The reply stands in this many bytes of the buffer; [`crate::Session::refusal`] says why it
    /// is a refusal, if it is one.
    Reply(usize),
    /// Nothing was done yet: keep the request, ask [`crate::Vault::want`], perform it again when
    /// that has settled. Access was decided, but for what is missing.
    Park(Want),
    /// `reload` was asked by an administrator: read the files, replace the policy, answer.
    Reload,
    /// `status` was asked by somebody who may: answer by [`crate::Vault::write_status`].
    Status(StatusRequest),
    /// `attest` was asked by somebody who may: collect evidence over the report data, answer.
    Attest(AttestCall),
    /// Shared memory is to be encrypted or decrypted: find it, then [`crate::Vault::start_bulk`].
    Bulk(BulkRequest),
    /// What the daemon alone can do was asked by somebody who may: decode the params, do it,
    /// answer.
    Daemon(DaemonCall),
    /// The buffer is too small even for a refusal: close the connection.
    Close,
}

/// What a parked request waits for; equal wants are served by one round.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Want {
    /// A provisioned key that is missing, or whose lease has run out.
    Key {
        /// Its name.
        name: KeyNameBuf,
    },
    /// An approval of the VM.
    Gate {
        /// The gate's name.
        name: String,
    },
    /// The list of a signer's keys; nobody waits for it alone.
    Signers {
        /// The signer's name.
        name: String,
    },
}

/// Proof that the peer may have evidence collected, and what over; made by
/// [`crate::Vault::perform`] alone.
#[derive(Debug)]
pub struct AttestCall {
    pub(crate) id: u32,
    pub(crate) data: Vec<u8>,
    pub(crate) binds_head: bool,
}

impl AttestCall {
    /// The request's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the head of the audit is part of the report data.
    pub fn binds_head(&self) -> bool {
        self.binds_head
    }

    /// SHA-384 over a fixed label and the caller's data, so that it is never a round's; with `head`
    /// in it under another label, if that was asked for.
    pub fn report_data(&self, head: &Chain) -> [u8; 48] {
        match self.binds_head {
            true => head_report(head.sequence(), head.digest(), &self.data, sha384),
            false => sha384(&[ATTEST_LABEL, &self.data]),
        }
    }
}

/// Proof that the peer may do what the daemon alone can; made by [`crate::Vault::perform`] alone.
#[derive(Debug)]
pub struct DaemonCall {
    pub(crate) id: u32,
    pub(crate) operation: Operation,
}

impl DaemonCall {
    /// The request's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What was asked.
    pub fn operation(&self) -> Operation {
        self.operation
    }
}

/// Proof that the peer may read the status; made by [`crate::Vault::perform`] alone.
#[derive(Debug)]
pub struct StatusRequest {
    pub(crate) id: u32,
    pub(crate) also_signers: bool,
}
