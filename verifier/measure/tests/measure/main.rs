//! Images that the tests make, and what is measured of them.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "tests say what is wrong by panicking")]

mod bounds;
mod images;
mod real;
mod snp;
mod tdx;
mod uki;
