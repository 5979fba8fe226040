//! Strict CBOR (RFC 8949) for hostile input: one encoding per value, borrowed, bounded.
//!
//! `minicbor` writes the items. Reading is this room's own: `minicbor` accepts integers and lengths
//! in longer forms than needed, indefinite lengths, and bytes after the item, where a signed or
//! pinned message must have exactly one spelling. [`Reader`] refuses all three (RFC 8949, 4.2.1 "core
//! deterministic encoding", for the types used here), and a test compares what it reads with what
//! `minicbor` does.
//!
//! ```text
//! bytes ──Reader──> typed fields, borrowed from the packet      no allocation, no recursion
//! fields ──Writer─> a slice that the caller owns                so secrets stay where they are
//! ```
//!
//! There is no `skip` and no generic value: a message reads the fields that it has, in order, so
//! depth and work are bounded by the message's own definition.
#![forbid(unsafe_code)]

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, EncodeError};
pub use reader::Reader;
pub use writer::{Writer, encode_to_vec};
