//! The admin socket: what changes which keys there are. The messages it shares with the
//! application socket (`hello describe list enable disable status`) are defined there.

pub mod destroy;
pub mod import;
pub mod reload;

use crate::{Operation, OperationSet};

pub use destroy::Destroy;
pub use import::{Import, Imported};
pub use reload::{Reload, Reloaded};

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
]);
