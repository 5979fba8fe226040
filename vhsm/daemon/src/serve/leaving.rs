//! Closing what a peer may have made slow to close.
//!
//! A packet that nobody has taken may carry descriptors (a socket that lingers, a file whose file
//! system is the peer's own program), and whoever closes the connection closes those, however long
//! that takes. The thread that accepts, a worker of many connections and the one that wakes who
//! waits must not be held up by it.

use nitride_ipc::Connection;
use std::thread;

/// Stack of a thread that only closes, in bytes.
const STACK_LEN: usize = 64 * 1024;

/// Ends a connection that is about to be dropped, on a thread of its own where that may take long;
/// `held` is dropped when it is over.
pub(super) fn leave(connection: &Connection, held: impl Send + 'static) {
    // Nothing comes any more, so what is not there now never will be.
    connection.shutdown();
    if let Ok(false) = connection.has_unread() {
        return;
    }
    // While the thread has this one, ours is not the last.
    let Ok(connection) = connection.try_clone() else {
        return;
    };
    let _ = thread::Builder::new()
        .name("leaving".to_owned())
        .stack_size(STACK_LEN)
        .spawn(move || {
            nitride_secmem::block_signals_on_this_thread();
            let _ = connection.discard_all();
            drop((connection, held));
        });
}
