use thiserror::Error;

/// Why bytes are not the message that was expected. `at` is the offset of the item's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ends inside an item.
    #[error("input ends inside the item at byte {at}")]
    Truncated {
        /// Offset of the item.
        at: usize,
    },
    /// Another type of item stands where `expected` belongs.
    #[error("item at byte {at} is not {expected}")]
    WrongType {
        /// Offset of the item.
        at: usize,
        /// The type that belongs there, with its article.
        expected: &'static str,
    },
    /// An integer or a length takes more bytes than it needs.
    #[error("item at byte {at} is not in its shortest form")]
    NotShortest {
        /// Offset of the item.
        at: usize,
    },
    /// An indefinite length, or a reserved form of the initial byte.
    #[error("item at byte {at} has an indefinite or reserved length")]
    Indefinite {
        /// Offset of the item.
        at: usize,
    },
    /// A text string that is not UTF-8.
    #[error("text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Offset of the item.
        at: usize,
    },
    /// An array or a map has another number of entries than its definition.
    #[error("array or map at byte {at} has {found} entries, not {expected}")]
    WrongLength {
        /// Offset of the item.
        at: usize,
        /// Entries that the definition has.
        expected: u64,
        /// Entries that were announced.
        found: u64,
    },
    /// A value is well-formed and outside what its field allows.
    #[error("{field} at byte {at} is out of range")]
    OutOfRange {
        /// Offset of the item.
        at: usize,
        /// The field's name in the CDDL.
        field: &'static str,
    },
    /// Bytes follow the item.
    #[error("bytes follow the message at byte {at}")]
    TrailingBytes {
        /// Offset of the first byte too many.
        at: usize,
    },
}

/// Why a message could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The message is larger than the buffer it was to go into.
    #[error("message does not fit into a buffer of {capacity} bytes")]
    BufferFull {
        /// The buffer's size in bytes.
        capacity: usize,
    },
}
