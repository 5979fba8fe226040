//! Tests across all messages.
