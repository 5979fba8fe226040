//! Where packets and replies stand: in the arena, since both may hold a secret.
//!
//! The heap arena is small (3 MiB in the smallest deployment) and 1,000 connections must fit beside
//! the keys. So a connection keeps two small buffers, taken when it first speaks. One that says
//! more at a time keeps a larger one, as long as all that are kept so stay within their share of
//! the arena; what is larger still, or finds that share taken, is allocated for the one request,
//! charged to the user, and given back before the next packet is waited for. The busiest are lent
//! one that any packet fits (`loan`), as many at a time as another such share of the arena holds.

use super::quota::{Account, BufferCharge, KeptSlot, LentSlot, QuotaExceeded};
use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_secmem::{ArenaFull, SecretBuf};
use std::cell::Cell;
use std::sync::Arc;

/// Length of each of a connection's two own buffers, in bytes: together 1 KiB a connection. A sign
/// request over a message of 400 bytes fits, and so does its reply.
const OWN_LEN: usize = 512;

/// The longest buffer that is kept, in bytes.
const MAX_KEPT_LEN: usize = 8 * 1024;

/// Bytes for replies without a secret that each thread keeps: a signature of any type fits.
const PUBLIC_LEN: usize = 4096;

thread_local! {
    /// Zeroed once and not for every reply, which would cost more than making most of them.
    static PUBLIC: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Gives `work` so many bytes of ordinary memory, whose former content is of another reply without
/// a secret.
pub(super) fn with_public<R>(len: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    if len > PUBLIC_LEN {
        return work(&mut vec![0; len]);
    }
    let mut room = PUBLIC.take();
    room.resize(PUBLIC_LEN, 0);
    let result = work(room.get_mut(..len).unwrap_or_default());
    PUBLIC.set(room);
    result
}

/// Why there is no room for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// The arena is full.
    #[error(transparent)]
    Arena(#[from] ArenaFull),
    /// The user has its share already.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
}

/// A place in the arena that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Place {
    own: Option<SecretBuf>,
    // After the buffer, as with a charge.
    kept: Option<KeptSlot>,
    large: Option<ChargedBuf>,
    lent: Option<LentBuf>,
}

/// A buffer that any packet fits. While a place has it, everything is written there.
#[derive(Debug)]
struct LentBuf {
    buf: SecretBuf,
    // After the buffer, as with a charge.
    _slot: LentSlot,
}

/// A buffer of one request, charged to the user.
#[derive(Debug)]
pub(crate) struct ChargedBuf {
    buf: SecretBuf,
    // After the buffer: memory is given back before the charge.
    _charge: BufferCharge,
}

impl ChargedBuf {
    /// `len` zero bytes.
    pub(crate) fn with_len(len: usize, account: &Arc<Account>) -> Result<Self, NoRoom> {
        let charge = account.charge(len)?;
        Ok(Self {
            buf: SecretBuf::with_len(len)?,
            _charge: charge,
        })
    }

    /// The bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        self.buf.expose()
    }

    /// The bytes, to be written in place.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        self.buf.expose_mut()
    }
}

impl Place {
    /// `len` bytes to write, whose former content does not matter.
    pub(crate) fn room(&mut self, len: usize, account: &Arc<Account>) -> Result<&mut [u8], NoRoom> {
        if self.lent.is_some() {
            let room = self.borrowed().and_then(|lent| lent.get_mut(..len));
            return room.ok_or(NoRoom::Arena(ArenaFull));
        }
        if self.own.as_ref().is_none_or(|own| own.len() < len) {
            if len > OWN_LEN && !self.grow(len, account) {
                let large = self.large.insert(ChargedBuf::with_len(len, account)?);
                return Ok(large.expose_mut());
            }
            if self.own.is_none() {
                self.own = Some(SecretBuf::with_len(OWN_LEN)?);
            }
        }
        let own = self.own.as_mut().map(SecretBuf::expose_mut);
        own.and_then(|own| own.get_mut(..len))
            .ok_or(NoRoom::Arena(ArenaFull))
    }

    /// Borrows a buffer that any packet fits, if there is one.
    pub(crate) fn borrow(&mut self, account: &Account) -> bool {
        let Some(slot) = account.lend() else {
            return false;
        };
        self.lent = SecretBuf::with_len(MAX_PACKET_LEN)
            .ok()
            .map(|buf| LentBuf { buf, _slot: slot });
        self.lent.is_some()
    }

    /// All of the borrowed buffer.
    pub(crate) fn borrowed(&mut self) -> Option<&mut [u8]> {
        self.lent.as_mut().map(|lent| lent.buf.expose_mut())
    }

    /// Gives the borrowed buffer back.
    pub(crate) fn end_loan(&mut self) {
        self.lent = None;
    }

    /// Makes the own buffer long enough for `len` bytes, if that may be kept.
    fn grow(&mut self, len: usize, account: &Arc<Account>) -> bool {
        let len = len.next_power_of_two();
        if len > MAX_KEPT_LEN {
            return false;
        }
        // The old one first, which holds nothing by now: the share is for what is there at a time.
        self.own = None;
        self.kept = None;
        let Some(slot) = account.keep(len) else {
            return false;
        };
        self.own = SecretBuf::with_len(len).ok();
        self.kept = self.own.as_ref().map(|_| slot);
        self.own.is_some()
    }

    /// The first `len` bytes of what was written last.
    pub(crate) fn written(&self, len: usize) -> &[u8] {
        let whole = match (&self.lent, &self.large, &self.own) {
            (Some(lent), _, _) => lent.buf.expose(),
            (None, Some(large), _) => large.expose(),
            (None, None, Some(own)) => own.expose(),
            (None, None, None) => &[],
        };
        &whole[..len.min(whole.len())]
    }

    /// Forgets what was written: the first `len` bytes of the own or the borrowed buffer are zeroed,
    /// a large one is given back.
    pub(crate) fn clear(&mut self, len: usize) {
        if let Some(lent) = &mut self.lent {
            let written = len.min(lent.buf.len());
            lent.buf.expose_mut()[..written].fill(0);
        } else if self.large.take().is_none()
            && let Some(own) = &mut self.own
        {
            let written = len.min(own.len());
            own.expose_mut()[..written].fill(0);
        }
    }

    /// Gives the own buffer back, of a connection that says nothing for now.
    pub(crate) fn give_back(&mut self) {
        self.own = None;
        self.kept = None;
        self.lent = None;
    }

    /// Moves the first `len` bytes out, for a request that will wait.
    pub(crate) fn take(
        &mut self,
        len: usize,
        account: &Arc<Account>,
    ) -> Result<ChargedBuf, NoRoom> {
        match self.large.take() {
            Some(large) => Ok(large),
            None => {
                let mut copy = ChargedBuf::with_len(len, account)?;
                copy.expose_mut().copy_from_slice(self.written(len));
                Ok(copy)
            }
        }
    }
}
