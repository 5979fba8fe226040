//! Judges TDX quotes against Intel's collateral: checks 4, 5 and 9 to 12 of TDX, by `dcap-qvl` under
//! an explicit policy, for [`nitride_verify`], which does without that library and what it links.
//!
//! ```text
//!  IntelCollateral ── by FMSPC ──▶ dcap-qvl ── claims ──┐
//!   (data: signed lists)              │ error           ├─ equal? ─▶ TcbFacts
//!                                     ▼                 │
//!                            a check by name   TCB level, matched here as well
//! ```
//!
//! Principles:
//!
//! - **Nothing is trusted for having been given.** Every list is signed under the root that the
//!   verifier pins; what is fetched, cached or bundled is only ever too old or for another platform.
//! - **Statuses are judged by the verifier's policy.** `dcap-qvl` accepts an out-of-date platform
//!   unless told otherwise; here it only says what the platform's status is, and that it is not revoked.
//! - **Attributes of the trust domain are judged by the verifier's policy too.** `dcap-qvl` refuses a
//!   trust domain without SEPT_VE_DISABLE, as Azure's are. That is its last step, so that such a
//!   refusal says that everything before it held; what it then does not hand out, the TCB level, is
//!   matched here.
//! - **One cryptographic library.** Its two backends are left out; AWS-LC verifies.
#![forbid(unsafe_code)]

mod blame;
mod collateral;
pub mod crypto;
mod judge;
mod levels;
mod platform;
mod signed;

pub use collateral::{CollateralFault, IntelCollateral, PcsAnswers, PlatformCollateral};
pub use judge::SIGNATURES_OF_THE_LIBRARY;
pub use signed::Distrust;
