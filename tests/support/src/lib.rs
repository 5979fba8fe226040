//! The harness of the demo, the end-to-end tests and the benchmark: the real binaries, started
//! as an operator would start them, in a folder that goes away.
//!
//! ```text
//!  tests ──► World ──► Program (vhsmd, nitride-quote, nitride-agent, nitride-provisiond)
//!    │         │          └── logs in files, readiness by NOTIFY_SOCKET, dies with the harness
//!    │         ├── Pki, Owner        keys and certificates
//!    │         ├── Relay             TLS between agent and service, or its replicas in turn: records,
//!    │         │                     and can meddle
//!    │         └── Replica           further processes of the service
//!    └──► Courier                    the agent's side in the test's own hands: it can lie
//! ```
//!
//! Nothing here waits by sleeping: a program is ready when it says so, and every wait has an end.
#![forbid(unsafe_code)]

pub mod asker;
pub mod bao;
pub mod binaries;
pub mod courier;
pub mod credential;
pub mod cryptsetup;
pub mod descriptor_store;
pub mod draw;
pub mod folder;
pub mod forge;
pub mod guest;
pub mod http;
pub mod initrd;
pub mod notify;
pub mod openbao;
pub mod owner;
pub mod pki;
pub mod plan;
pub mod program;
pub mod python;
pub mod relay;
pub mod replica;
pub mod rules;
pub mod scan;
pub mod softhsm;
pub mod swtpm;
pub mod tls;
pub mod unit;
pub mod world;
