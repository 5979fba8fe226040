//! The disk-key sockets: systemd-cryptsetup connects, and reads a passphrase to the end of the
//! stream (crypttab(5)). nitride-unlock says first which disk the volume is on.

mod address;
mod serve;
mod statement;

pub(crate) use serve::serve_volume;
