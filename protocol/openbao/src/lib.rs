//! What OpenBao (or Vault) is asked and what it answers: secrets of a KV version 2 engine with
//! check-and-set, logins by AppRole, JWT and TLS certificate, and the life of the token that they
//! give. No I/O, no clock: whoever has a connection sends a [`Request`] and reads the answer here.
//!
//! ```text
//!   Kv ── read, write, destroy, list ──▶ Request ──▶ (the shell: TLS, time-outs) ──▶ status, body
//!   Session ── use, renew, login, wait               answer::{read, written, keys, …} ◀──┘
//! ```
//!
//! Principles:
//! - **An answer is an allegation.** It is bounded by its reader, read into one type with named errors,
//!   and whatever it says about bytes is for the caller to verify, who sealed them.
//! - **"There is none" is a statement of the engine**, never of a route, a proxy or a login that went
//!   wrong: each of those answers 404 too, and is told apart.
//! - **A token is a secret**, in a type that is wiped and prints nothing.
#![forbid(unsafe_code)]

pub mod answer;
mod kv;
mod login;
mod session;

pub use kv::{Kv, KvError, MAX_SEALED_LEN};
pub use login::{Login, Token};
pub use session::{Session, Step};

use std::fmt;
use zeroize::Zeroizing;

/// The header that carries the token.
pub const TOKEN_HEADER: &str = "X-Vault-Token";

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads, and lists with `list=true`.
    Get,
    /// Writes.
    Post,
}

/// One request; the body of a login is a secret.
pub struct Request {
    /// How it is sent.
    pub method: Method,
    /// From `/v1` on, with its query.
    pub path: String,
    /// JSON; empty for none.
    pub body: Zeroizing<Vec<u8>>,
}

impl Request {
    fn get(path: String) -> Self {
        Self {
            method: Method::Get,
            path,
            body: Zeroizing::default(),
        }
    }

    fn post(path: String, body: Vec<u8>) -> Self {
        Self {
            method: Method::Post,
            path,
            body: Zeroizing::new(body),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
