//! The admin socket: what changes which keys there are. The messages it shares with the
//! application socket (`hello describe list enable disable status`) are defined there.

pub mod backup;
pub mod check_policy;
pub mod destroy;
pub mod end_phase;
pub mod explain;
pub mod import;
pub mod protection;
pub mod reload;
pub mod restore;
pub mod rotate;
pub mod set_policy;
pub mod why;
pub mod wipe;

use crate::{Operation, OperationSet};

pub use backup::{BackedUp, Backup};
pub use check_policy::{CheckPolicy, PolicyChecked};
pub use destroy::Destroy;
pub use end_phase::{EndPhase, PhaseEnded};
pub use explain::{Explain, Explained, PeerClaim};
pub use import::{Import, Imported};
pub use protection::{Protection, UnknownProtection};
pub use reload::{Reload, Reloaded};
pub use restore::{Restore, Restored};
pub use rotate::{Rotate, Rotated};
pub use set_policy::SetPolicy;
pub use why::{Reasons, Why};
pub use wipe::Wipe;

/// What this socket accepts; anything else is `unknown-operation`.
pub const OPERATIONS: OperationSet = OperationSet::of(&[
    Operation::Hello,
    Operation::Import,
    Operation::Describe,
    Operation::List,
    Operation::Enable,
    Operation::Disable,
    Operation::Destroy,
    Operation::Status,
    Operation::Reload,
    Operation::Rotate,
    Operation::SetPolicy,
    Operation::AuditHead,
    Operation::CheckPolicy,
    Operation::Explain,
    Operation::Why,
    Operation::Wipe,
    Operation::Backup,
    Operation::Restore,
    Operation::EndPhase,
]);
