//! How much of each thing a policy may state. What is looked through at a peer's first request, or
//! named in a reply, is bounded here; what it takes to read the files is bounded by who reads them.

/// Rules.
pub const RULES: usize = 4096;
/// Key rules.
pub const KEYS: usize = 65_536;
/// Gates.
pub const GATES: usize = 256;
/// Name patterns of one rule.
pub const PATTERNS: usize = 1024;
/// Peers of one rule, or administrators.
pub const PEERS: usize = 256;
/// To how many one secret is released.
pub const RECIPIENTS: usize = 64;
/// Signers of one key.
pub const SIGNERS: usize = 16;
/// Signers that have a list: all of theirs may be in one round, beside what it is for.
pub const LISTED_SIGNERS: usize = 16;
/// Wrapping keys of one key; as many as the protocol's messages carry.
pub const WRAPPING_KEYS: usize = 8;
/// Services of one key.
pub const SERVICES: usize = 8;
