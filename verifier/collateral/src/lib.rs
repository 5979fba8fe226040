//! What vendors publish about their hardware: AMD's certificates and revocation lists, Intel's TCB
//! information, identities and revocation lists. Fetched over HTTP, kept in a folder with the time
//! of fetching, and read from there.
//!
//! ```text
//!  AMD's KDS ──┐                    ┌─ amd/milan/  ─┐
//!  Intel's PCS ┼─ Fetch ── atomic ─▶│  amd/genoa/   ├─ Shelf ──▶ nitride_verify::Collateral
//!  or a PCCS ──┘  (bounded)         └─ intel/       │
//!                                      bundle.json ─┘
//! ```
//!
//! Principles:
//!
//! - **The network is not trusted, and neither is the folder**, but for the time of fetching, which is
//!   the folder's word and bounds the age of AMD's lists. All else that decides is signed by the
//!   vendors and verified in each judgement, under pinned roots. TLS is for who sees what is asked,
//!   and against whoever would send the list of last year.
//! - **A judgement fetches nothing.** Fetching is a step of its own, so that a vendor's service that
//!   is slow, busy or hostile delays no guest, and what was judged by can be told afterwards.
//! - **Everything is bounded**: each answer's length, each request's time, how often a service is
//!   asked, how long it may make us wait.
//! - **What is there stays until something better is.** An answer is looked at before it replaces
//!   anything: AMD's and Intel's are verified under the pinned roots. It replaces whole or not at all;
//!   revocation lists, TCB information and identities never by older ones.
//! - **A list is as old as its fetching**, which stands in a file beside it: the time of the file
//!   itself is that of the last copy.
#![forbid(unsafe_code)]

mod bundle;
mod fetch;
mod files;
mod obstacle;
mod obtained;
pub mod pki;
mod shelf;
mod write;

pub use fetch::{AmdWanted, Done, Fetch, IntelWanted, Limits, PckCa, Services, Trust};
pub use files::Files;
pub use obstacle::{Obstacle, told};
pub use shelf::Shelf;
