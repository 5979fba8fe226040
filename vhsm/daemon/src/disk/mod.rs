//! The disk-key sockets: systemd-cryptsetup connects, and reads a passphrase to the end of the
//! stream (crypttab(5)).

mod address;
mod serve;

pub(crate) use serve::serve_volume;
