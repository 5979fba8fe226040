//! What goes wrong in one request.

use std::time::Duration;

/// A fault of one request, from its folder's making on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The data is not stored when its file is closed (EBUSY), of which close() says nothing.
    NotStored,
    /// Another process writes to the request before the blobs are read.
    WrittenBefore,
    /// Another process writes to the request after they were read.
    WrittenAfter,
    /// The provider does not answer for so long, and nobody else is served meanwhile.
    Stall(Duration),
    /// There is a report of no bytes.
    EmptyOutblob,
    /// The report covers other data, under the right generation.
    StaleOutblob,
    /// The report is longer than anybody's.
    LongOutblob,
    /// The provider refuses with this errno.
    Refused(i32),
    /// The end of the certificates is missing.
    TruncatedAuxblob,
}
