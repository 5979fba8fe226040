//! Collectors: evidence about this machine over 48 bytes of report data.
//!
//! ```text
//! configuration ──Collector::open(settings, paths)──> Collector     a missing TEE is an error
//!                 Collector::danger_simulated(svn) ─> Collector     never reached by a fall-back
//! report_data ──Collector::collect──> Evidence { tee, primary_evidence, additional_evidence }
//! ```
//!
//! * A collector never chooses its TEE: it is told, and a TEE that is configured and missing is an
//!   error. Peers fall back to their sample with a warning, which turns a broken driver into a
//!   machine that proves nothing.
//! * What the kernel hands over is held against what was asked before it leaves: the data that it
//!   covers, its lengths, the host's table of certificates. Whether it proves anything is for the
//!   verifier to say.
//! * Simulation has a constructor of its own, whose name can be searched for, and says so in
//!   [`Collector::is_simulated`].
//! * What `report_data` means is not known here: the vault makes it (`SHA-384` over nonce and the
//!   round's public key), and a collector only has it covered.
//! * Sealing is the other thing that a platform does ([`seal`]): it gives a secret again in the
//!   state that it was made in. Unsafe code have `device.rs` alone, the guest device's ioctls, and
//!   `gpu/sys.rs`, the functions of NVIDIA's library.

mod collector;
mod detect;
mod device;
mod paths;
pub mod gpu;
pub mod rtmr;
mod sample;
pub mod seal;
mod settings;
mod snp;
mod tdx;
mod tee;
pub mod tpm;
mod tsm;

pub use collector::{CollectError, Collector, Evidence, OpenError, REPORT_DATA_LEN};
pub use detect::{Finding, detect};
pub use paths::KernelPaths;
pub use sample::{InvalidSvn, MAX_SVN_LEN};
pub use settings::{EventLog, Settings, SnpInterface, SnpSettings, TdxSettings};
pub use tee::{Tee, UnknownTee};
