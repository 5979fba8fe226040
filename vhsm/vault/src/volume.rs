use crate::access::{Grant, Wanted};
use crate::keys::Noted;
use crate::refusal::Stop;
use crate::{Now, Refusal, Vault, Want};
use nitride_kbs::disk::DiskExpectation;
use nitride_protocol::KeyName;
use nitride_secmem::SecretBuf;
use thiserror::Error;

/// Why a volume did not get its passphrase.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum VolumeRefusal {
    /// The key has to be fetched, or the VM approved, first: hold the connection and ask
    /// [`Vault::want`].
    #[error("the volume's key is not there yet")]
    Want(Want),
    /// No key names this volume in `release-to`.
    #[error("no key is released to the volume")]
    Denied,
    /// The key is there, or could be, and may not be released.
    #[error("the volume's key may not be released")]
    Refused(#[source] Refusal),
}

/// A volume's passphrase.
#[derive(Debug)]
pub struct ForVolume {
    /// The passphrase.
    pub secret: SecretBuf,
    /// Which version of the key it is.
    pub version: u32,
    /// Whether the release has itself changed what [`Vault::seal_changes`] counts.
    pub has_changed: bool,
}

impl From<Refusal> for VolumeRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stop> for VolumeRefusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::Refused(refusal),
            Stop::Wanting(want) => Self::Want(want),
        }
    }
}

impl Vault {
    /// The `secret` of the one key whose `release-to` names `volume`, for the disk-key socket.
    ///
    /// The daemon answers for who is connected there (uid 0, by the kernel's word); the key's own
    /// policy and what travels with the key both have to name the volume. `disk` is what was said
    /// there of the disk that the volume is on; a key that is for certain disks goes to these alone.
    ///
    /// # Errors
    /// [`VolumeRefusal`].
    pub fn release_to_volume(
        &self,
        volume: &str,
        disk: Option<&DiskExpectation>,
        now: Now,
    ) -> Result<ForVolume, VolumeRefusal> {
        let policy = self.policy();
        let noted = Noted::default();
        let grant = Grant::for_volume(&policy, self, (volume, disk), &noted)?
            .ok_or(VolumeRefusal::Denied)?;
        self.hand_out(&grant, &noted, now)
    }

    /// The `secret` named `key`, for the credential that the service manager loads for `unit`.
    ///
    /// The daemon answers for who is connected there: root, in the cgroup of that unit, and for a
    /// credential of which the configuration says that it is this key. The key's own policy and
    /// what travels with the key both have to name the unit.
    ///
    /// # Errors
    /// [`VolumeRefusal`].
    pub fn release_to_unit(
        &self,
        key: KeyName<'_>,
        unit: &str,
        now: Now,
    ) -> Result<ForVolume, VolumeRefusal> {
        let policy = self.policy();
        let noted = Noted::default();
        let grant = Grant::for_credential(&policy, self, (key.as_str(), unit), &noted)?
            .ok_or(VolumeRefusal::Denied)?;
        self.hand_out(&grant, &noted, now)
    }

    fn hand_out(
        &self,
        grant: &Grant<'_>,
        noted: &Noted,
        now: Now,
    ) -> Result<ForVolume, VolumeRefusal> {
        let key = grant.present_key(self, now)?;
        Ok(grant.use_key(self, key, Wanted::Newest, now, |access| {
            Ok(ForVolume {
                secret: SecretBuf::copy_of(access.record().expose())?,
                version: access.version().number,
                has_changed: noted.has_changed(),
            })
        })?)
    }
}
