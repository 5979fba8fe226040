//! Who may ask: one uid, and one unit where that is configured.

use nitride_ipc::Connection;
use nitride_ipc::peer::{CgroupError, CgroupRoot, IdentityError, PeerIdentity, resolve};
use thiserror::Error;

/// The one caller, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) unit: Option<String>,
}

/// Why a connection is not served.
#[derive(Debug, Error)]
pub(crate) enum NotServed {
    #[error("cannot tell who is calling")]
    Unidentified(#[from] IdentityError),
    #[error("uid {found} is not the caller")]
    ForeignUid { found: u32 },
    #[error("unit {} is not the caller", found.as_deref().unwrap_or("none"))]
    ForeignUnit { found: Option<String> },
    #[error("the caller has gone")]
    Gone,
}

/// Decides who is served.
#[derive(Debug)]
pub(crate) struct Gate {
    caller: Caller,
    cgroups: Option<CgroupRoot>,
}

/// A caller that was let in. Only [`Gate::admit`] makes one.
#[derive(Debug)]
pub(crate) struct Admitted(PeerIdentity);

impl Gate {
    /// Where a unit is configured and units cannot be told apart, nobody could ever be let in:
    /// that is an error now.
    pub(crate) fn new(caller: Caller) -> Result<Self, CgroupError> {
        let cgroups = match caller.unit {
            Some(_) => Some(CgroupRoot::find()?),
            None => None,
        };
        Ok(Self { caller, cgroups })
    }

    pub(crate) fn admit(&self, connection: &Connection) -> Result<Admitted, NotServed> {
        let peer = resolve(connection, self.cgroups.as_ref())?;
        if peer.uid != self.caller.uid {
            return Err(NotServed::ForeignUid { found: peer.uid });
        }
        if self.caller.unit.is_some() && self.caller.unit != peer.unit {
            return Err(NotServed::ForeignUnit { found: peer.unit });
        }
        Ok(Admitted(peer))
    }
}

impl Admitted {
    /// Asked again before evidence leaves: a connection outlives the process that opened it when
    /// that passed it on.
    pub(crate) fn recheck(&self) -> Result<(), NotServed> {
        match self.0.still_alive() {
            true => Ok(()),
            false => Err(NotServed::Gone),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nitride_ipc::Listener;
    use nix::unistd::getuid;

    /// A connection from this very process.
    fn own_connection() -> (Connection, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = Listener::bind(&path, 0o600).unwrap();
        let client = Connection::connect(&path).unwrap();
        (listener.accept().unwrap(), client)
    }

    fn admit(uid: u32, unit: Option<&str>) -> Result<Admitted, NotServed> {
        let unit = unit.map(ToOwned::to_owned);
        let gate = Gate::new(Caller { uid, unit }).unwrap();
        let (served, _client) = own_connection();
        gate.admit(&served)
    }

    #[test]
    fn the_configured_uid_is_served() {
        let admitted = admit(getuid().as_raw(), None).unwrap();
        assert_eq!(admitted.pid(), std::process::id());
        assert!(admitted.recheck().is_ok());
    }

    #[test]
    fn another_uid_is_not_served_not_even_root() {
        let other = getuid().as_raw() + 1;
        assert!(matches!(
            admit(other, None),
            Err(NotServed::ForeignUid { .. })
        ));
    }

    #[test]
    fn the_right_uid_outside_the_configured_unit_is_not_served() {
        assert!(matches!(
            admit(getuid().as_raw(), Some("vhsmd-of-a-test.service")),
            Err(NotServed::ForeignUnit { .. })
        ));
    }
}
