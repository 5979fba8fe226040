//! The house rules, as code that can fail.
//!
//! Every rule is a pure function from what was read (a list of edges, a file's path and text) to
//! a list of findings, and stands beside a test that shows it a tree which breaks it. The
//! integration test `tests/tree.rs` reads the real tree once and wants every list empty.
//!
//! ```text
//!   tree  reads: git's file list, cargo's metadata
//!    |
//!    +-- edges      who may import whom
//!    +-- manifests  workspace lints inherited, anyhow in binaries alone
//!    +-- sources    unsafe, allow, sizes, names (over `lexer`, which blanks comments and strings)
//!    +-- papers     root files, numbered decisions, no path of the machine it was written on
//! ```
#![forbid(unsafe_code)]

pub mod edges;
pub mod lexer;
pub mod manifests;
pub mod papers;
pub mod sources;
pub mod tree;
