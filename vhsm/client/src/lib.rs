//! Typed calls to vhsmd.
//!
//! ```text
//! Client           blocking, one request at a time            applications, the command line
//! AsyncClient      tokio, any number under way, shareable     servers
//! AgentConnection  tokio, the agent socket                    nitride-agent alone
//! ```
//!
//! All three say `hello` on connecting and hold each call to a deadline: the time that vhsmd may
//! let the request wait for a round ([`Options::wait`]) and a grace for everything else
//! ([`Options::grace`]). A call that timed out has not failed on the other side; its reply is
//! thrown away when it comes, so the connection stays usable.
//!
//! What comes back secret (`release`, `decrypt`, `random`) is in [`zeroize::Zeroizing`] memory, and
//! the buffers it passed are erased. A client has no locked arena, so such bytes can still reach
//! swap or a core dump of the application: that is the application's to prevent.
//!
//! The application and the admin socket share one client; which verbs a socket has is vhsmd's
//! answer (`unknown-operation`).
#![forbid(unsafe_code)]

mod agent;
mod async_client;
mod buffer;
mod calls;
mod calls_of_keys;
mod channel;
mod client;
mod error;
mod options;
mod public_key;
mod replies;
mod replies_of_keys;

#[cfg(test)]
mod tests;

pub use agent::{AgentConnection, Evidence, PlaintextResource, RoundOrder};
pub use async_client::AsyncClient;
pub use buffer::{Buffer, Span};
pub use client::Client;
pub use error::ClientError;
pub use nitride_protocol::admin::Protection;
pub use options::{Options, Server};
pub use public_key::{Curve, PublicHalf, PublicKeyFault};
pub use replies::{
    Description, GateStatus, KeyVersion, ListEntry, Listing, PublicKey, Released, SealStatus,
    Signature, SignerStatus, Tag, VaultStatus,
};
pub use replies_of_keys::{
    Answer, Attested, AuditHead, BackupPart, Encapsulated, Explained, Wrapped,
};
