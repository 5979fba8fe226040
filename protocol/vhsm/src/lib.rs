//! Wire messages of vhsmd's sockets: shapes, limits and status codes. No I/O, no state.
//!
//! Every socket is `SOCK_SEQPACKET`, and one packet is one message:
//!
//! ```text
//! request  [id, operation, params]        id: uint32, chosen by the caller, echoed in the reply
//! reply    [id, status,    result]        a refusal's result is the empty array
//! ```
//!
//! `params` and `result` are arrays of a fixed length for each operation, written in the one
//! spelling that [`nitride_cbor`] accepts. The CDDL beside this crate (`cddl/`) is the definition,
//! one rule a message under the operation's own word; each message has one file here and golden
//! bytes in `golden/`. Ids let a caller have several requests under way on one connection.
//!
//! | socket      | who listens   | who asks            | module          |
//! |-------------|---------------|---------------------|-----------------|
//! | application | vhsmd         | applications        | [`application`] |
//! | admin       | vhsmd         | administrators      | [`admin`]       |
//! | agent       | vhsmd         | nitride-agent alone | [`agent`]       |
//! | quote       | nitride-quote | vhsmd alone         | [`quote`]       |
//!
//! Every decoder is total: any bytes give a message or a named error, without a panic, in memory
//! bounded by [`limits`]. Messages borrow from the packet, so that a secret stays in the buffer it
//! arrived in; the operations of the hot path (`sign`, `encrypt`, `mac` and their inverses)
//! allocate nothing. A message that carries secret bytes shows their length alone in `Debug`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod agent;
pub mod application;
pub mod audit;
pub mod encryption_scheme;
mod field;
pub mod frame;
pub mod key;
pub mod key_policy;
pub mod limits;
pub mod material_format;
mod message;
pub mod names;
pub mod operation;
pub mod quote;
pub mod sign_scheme;
pub mod status;

#[cfg(test)]
mod tests;

pub use encryption_scheme::{EncryptionScheme, UnknownEncryptionScheme};
pub use frame::{
    ReplyHead, RequestError, RequestHead, open_reply, open_request, refusal_of, write_refusal,
    write_reply, write_reply_with, write_request,
};
pub use key::{KeyState, KeyType, Origin, UnknownKeyType};
pub use key_policy::{KeyPolicy, Rate};
pub use material_format::{MaterialFormat, UnknownMaterialFormat};
pub use message::{Call, Empty, Message};
pub use names::{KeyName, KeyNameBuf, NameError};
pub use nitride_cbor::{DecodeError, EncodeError, Reader, Writer};
pub use operation::{Operation, OperationSet, OperationSetIter, UnknownOperation};
pub use sign_scheme::{SignScheme, UnknownSignScheme};
pub use status::Status;

/// The protocol's version that this crate speaks.
pub const VERSION: u16 = 1;
