use nitride_protocol::KeyNameBuf;

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
}

/// Proof that the peer may read the status; made by [`crate::Vault::perform`] alone.
#[derive(Debug)]
pub struct StatusRequest {
    pub(crate) id: u32,
}
