//! End-to-end tests of the real binaries: one file a theme in `tests/`, over `nitride-support`.
#![forbid(unsafe_code)]

pub mod known;
pub mod three;
