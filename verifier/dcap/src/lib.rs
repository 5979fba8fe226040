//! Scratch.
#![forbid(unsafe_code)]
use dcap_qvl as _;
