//! Credentials of units: the service manager connects, and reads one to the end of the stream
//! (`LoadCredential=`, systemd.exec(5)).

mod address;
mod refusing;
mod serve;

pub(crate) use address::Asked;
pub(crate) use serve::{crash_warning, serve_credentials};
