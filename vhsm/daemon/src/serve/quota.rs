//! What one uid may use, counted where it is used and given back by `Drop`.

use nitride_protocol::limits::MAX_PACKET_LEN;
use nitride_vault::Socket;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Connections that the admin socket has beyond all ceilings, so that whoever uses the applications'
/// up does not keep an administrator from taking a key or a rule away.
const ADMIN_RESERVE: usize = 16;

/// The most that may be used at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceilings {
    /// Connections of everybody.
    pub(crate) connections: usize,
    /// Connections of one uid.
    pub(crate) connections_per_uid: usize,
    /// Waiting requests of one uid.
    pub(crate) parked_per_uid: usize,
    /// Bytes of packets and replies of one uid, beyond the buffers that every connection has.
    pub(crate) buffer_len_per_uid: usize,
    /// Bytes of memory that one uid shares with vhsmd.
    pub(crate) shared_len_per_uid: u64,
    /// Bytes of buffers that connections keep beyond the small ones that every connection has; one
    /// uid has half of it.
    pub(crate) kept_len: usize,
}

impl Ceilings {
    /// How many buffers that any packet fits may be lent at once.
    fn loans(&self) -> usize {
        self.kept_len / MAX_PACKET_LEN
    }
}

/// A ceiling was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuotaExceeded {
    /// There are as many connections as there may be.
    #[error("there are as many connections as there may be")]
    Connections,
    /// The user has as many connections as it may have.
    #[error("the user has as many connections as it may have")]
    ConnectionsOfUser,
    /// The user has as many waiting requests as it may have.
    #[error("the user has as many waiting requests as it may have")]
    ParkedOfUser,
    /// The user's packets and replies take as much memory as they may.
    #[error("the packets of the user take as much memory as they may")]
    BuffersOfUser,
    /// The user shares as much memory as it may.
    #[error("the user shares as much memory as it may")]
    SharedOfUser,
}

/// Counts the use of all uids.
#[derive(Debug)]
pub(crate) struct Quota {
    ceilings: Ceilings,
    connections: AtomicUsize,
    kept_len: Arc<AtomicUsize>,
    lent: Arc<AtomicUsize>,
    accounts: Mutex<HashMap<u32, Weak<Account>>>,
}

/// Counts the use of one uid; it lives as long as anything that it counts.
#[derive(Debug)]
pub(crate) struct Account {
    ceilings: Ceilings,
    connections: AtomicUsize,
    parked: AtomicUsize,
    buffer_len: AtomicUsize,
    shared_len: AtomicU64,
    kept_len: AtomicUsize,
    kept_len_of_all: Arc<AtomicUsize>,
    lent_to_all: Arc<AtomicUsize>,
}

impl Quota {
    /// Nothing used yet.
    pub(crate) fn new(ceilings: Ceilings) -> Arc<Self> {
        Arc::new(Self {
            ceilings,
            connections: AtomicUsize::new(0),
            kept_len: Arc::default(),
            lent: Arc::default(),
            accounts: Mutex::default(),
        })
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Room for one more connection of `uid` to `socket`.
    pub(crate) fn connect(
        self: &Arc<Self>,
        uid: u32,
        socket: Socket,
    ) -> Result<ConnectionSlot, QuotaExceeded> {
        let reserve = match socket {
            Socket::Application => 0,
            Socket::Admin => ADMIN_RESERVE,
        };
        let account = self.account(uid);
        let most_of_user = self.ceilings.connections_per_uid + reserve;
        raise(&account.connections, 1, most_of_user).ok_or(QuotaExceeded::ConnectionsOfUser)?;
        if raise(&self.connections, 1, self.ceilings.connections + reserve).is_none() {
            account.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(QuotaExceeded::Connections);
        }
        Ok(ConnectionSlot {
            quota: Arc::clone(self),
            account,
        })
    }

    fn account(&self, uid: u32) -> Arc<Account> {
        let mut accounts = self.accounts();
        if let Some(account) = accounts.get(&uid).and_then(Weak::upgrade) {
            return account;
        }
        // A uid that comes back finds its account as long as anything of it is left; what is left
        // of none is swept here, so that uids which were here once leave nothing behind.
        accounts.retain(|_, account| account.strong_count() > 0);
        let account = Arc::new(Account {
            ceilings: self.ceilings,
            connections: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            buffer_len: AtomicUsize::new(0),
            shared_len: AtomicU64::new(0),
            kept_len: AtomicUsize::new(0),
            kept_len_of_all: Arc::clone(&self.kept_len),
            lent_to_all: Arc::clone(&self.lent),
        });
        accounts.insert(uid, Arc::downgrade(&account));
        account
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<u32, Weak<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Room for one more waiting request.
    pub(crate) fn park(self: &Arc<Self>) -> Result<ParkedSlot, QuotaExceeded> {
        raise(&self.parked, 1, self.ceilings.parked_per_uid).ok_or(QuotaExceeded::ParkedOfUser)?;
        Ok(ParkedSlot {
            account: Arc::clone(self),
        })
    }

    /// Room for `len` more bytes of packets and replies.
    pub(crate) fn charge(self: &Arc<Self>, len: usize) -> Result<BufferCharge, QuotaExceeded> {
        raise(&self.buffer_len, len, self.ceilings.buffer_len_per_uid)
            .ok_or(QuotaExceeded::BuffersOfUser)?;
        Ok(BufferCharge {
            account: Arc::clone(self),
            len,
        })
    }

    /// Room for `len` more bytes of shared memory.
    pub(crate) fn share(self: &Arc<Self>, len: u64) -> Result<SharedCharge, QuotaExceeded> {
        let most = self.ceilings.shared_len_per_uid;
        let fits = |used: u64| used.checked_add(len).filter(|sum| *sum <= most);
        self.shared_len
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| QuotaExceeded::SharedOfUser)?;
        Ok(SharedCharge {
            account: Arc::clone(self),
            len,
        })
    }

    /// Room for a buffer that any packet fits, for a busy connection, if there is any. All together
    /// take as much as all buffers that are kept.
    pub(crate) fn lend(&self) -> Option<LentSlot> {
        raise(&self.lent_to_all, 1, self.ceilings.loans())?;
        Some(LentSlot {
            lent: Arc::clone(&self.lent_to_all),
        })
    }

    /// Whether, with so many connections open, one may be kept from a loan by another's.
    pub(crate) fn are_loans_scarce(&self, connections: usize) -> bool {
        connections > self.ceilings.loans()
    }

    /// Room to keep a buffer of `len` bytes, if there is any; without, things are slower, no more.
    pub(crate) fn keep(self: &Arc<Self>, len: usize) -> Option<KeptSlot> {
        raise(&self.kept_len, len, self.ceilings.kept_len / 2)?;
        if raise(&self.kept_len_of_all, len, self.ceilings.kept_len).is_none() {
            self.kept_len.fetch_sub(len, Ordering::Relaxed);
            return None;
        }
        Some(KeptSlot {
            account: Arc::clone(self),
            len,
        })
    }
}

/// Adds `more` unless that is more than `max`.
fn raise(count: &AtomicUsize, more: usize, max: usize) -> Option<()> {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| *sum <= max)
        })
        .ok()
        .map(drop)
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    quota: Arc<Quota>,
    account: Arc<Account>,
}

impl ConnectionSlot {
    /// The account of the connection's uid.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.quota.connections.fetch_sub(1, Ordering::Relaxed);
        self.account.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One waiting request, until it is dropped.
#[derive(Debug)]
pub(crate) struct ParkedSlot {
    account: Arc<Account>,
}

impl Drop for ParkedSlot {
    fn drop(&mut self) {
        self.account.parked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Some bytes, until it is dropped.
#[derive(Debug)]
pub(crate) struct BufferCharge {
    account: Arc<Account>,
    len: usize,
}

impl Drop for BufferCharge {
    fn drop(&mut self) {
        self.account
            .buffer_len
            .fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// Some shared memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct SharedCharge {
    account: Arc<Account>,
    len: u64,
}

impl Drop for SharedCharge {
    fn drop(&mut self) {
        self.account
            .shared_len
            .fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// A buffer that any packet fits, lent until this is dropped.
#[derive(Debug)]
pub(crate) struct LentSlot {
    lent: Arc<AtomicUsize>,
}

impl Drop for LentSlot {
    fn drop(&mut self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A buffer that is kept, until it is dropped.
#[derive(Debug)]
pub(crate) struct KeptSlot {
    account: Arc<Account>,
    len: usize,
}

impl Drop for KeptSlot {
    fn drop(&mut self) {
        let account = &self.account;
        account.kept_len.fetch_sub(self.len, Ordering::Relaxed);
        account
            .kept_len_of_all
            .fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Arc<Quota> {
        Quota::new(Ceilings {
            connections: 3,
            connections_per_uid: 2,
            parked_per_uid: 1,
            buffer_len_per_uid: 100,
            shared_len_per_uid: 100,
            kept_len: 100,
        })
    }

    fn connect(quota: &Arc<Quota>, uid: u32) -> Result<ConnectionSlot, QuotaExceeded> {
        quota.connect(uid, Socket::Application)
    }

    #[test]
    fn administrators_come_in_when_all_is_taken() {
        let quota = quota();
        let _taken = [connect(&quota, 1), connect(&quota, 1), connect(&quota, 2)];
        assert!(connect(&quota, 3).is_err());
        // Of a user of its own, and of one that has its share already.
        let _other = quota.connect(0, Socket::Admin).unwrap();
        let _same = quota.connect(1, Socket::Admin).unwrap();
        let reserve = (2..ADMIN_RESERVE).map(|_| quota.connect(0, Socket::Admin).unwrap());
        let _reserve: Vec<_> = reserve.collect();
        assert!(quota.connect(0, Socket::Admin).is_err());
    }

    #[test]
    fn one_uid_cannot_take_the_connections_of_another() {
        let quota = quota();
        let _one = connect(&quota, 1).unwrap();
        let _two = connect(&quota, 1).unwrap();
        assert_eq!(
            connect(&quota, 1).unwrap_err(),
            QuotaExceeded::ConnectionsOfUser
        );
        let _other = connect(&quota, 2).unwrap();
        assert_eq!(connect(&quota, 2).unwrap_err(), QuotaExceeded::Connections);
        assert_eq!(quota.connections(), 3);
    }

    #[test]
    fn what_ends_is_given_back() {
        let quota = quota();
        for _ in 0..10 {
            let _one = connect(&quota, 1).unwrap();
            let _two = connect(&quota, 1).unwrap();
            assert!(connect(&quota, 1).is_err());
        }
        assert_eq!(quota.connections(), 0);
    }

    #[test]
    fn reconnecting_does_not_forget_what_still_waits() {
        let quota = quota();
        let slot = connect(&quota, 1).unwrap();
        let waiting = slot.account().park().unwrap();
        drop(slot);
        let slot = connect(&quota, 1).unwrap();
        assert!(slot.account().park().is_err());
        drop(waiting);
        assert!(slot.account().park().is_ok());
    }

    #[test]
    fn accounts_of_uids_that_left_are_swept() {
        let quota = quota();
        for uid in 0..1000 {
            drop(connect(&quota, uid).unwrap());
        }
        assert!(quota.accounts().len() <= 1);
    }

    #[test]
    fn buffers_are_counted_in_bytes() {
        let quota = quota();
        let slot = connect(&quota, 1).unwrap();
        let account = slot.account();
        let most = account.charge(90).unwrap();
        assert!(account.charge(11).is_err());
        assert!(account.charge(10).is_ok());
        assert!(account.charge(usize::MAX).is_err());
        drop(most);
        assert!(account.charge(100).is_ok());
    }

    #[test]
    fn loans_are_scarce_once_there_are_more_connections_than_they_are() {
        for loans in 0..3 {
            let quota = Quota::new(Ceilings {
                kept_len: loans * MAX_PACKET_LEN,
                ..quota().ceilings
            });
            let slot = connect(&quota, 1).unwrap();
            let account = slot.account();
            assert!(!account.are_loans_scarce(loans));
            assert!(account.are_loans_scarce(loans + 1));
            let lent: Vec<_> = std::iter::from_fn(|| account.lend()).collect();
            assert_eq!(lent.len(), loans);
        }
    }

    #[test]
    fn one_uid_keeps_half_of_what_may_be_kept() {
        let quota = quota();
        let (one, other) = (connect(&quota, 1).unwrap(), connect(&quota, 2).unwrap());
        let kept = one.account().keep(50).unwrap();
        assert!(one.account().keep(1).is_none());
        let _also = other.account().keep(50).unwrap();
        let third = connect(&quota, 3).unwrap();
        assert!(third.account().keep(1).is_none());
        drop(kept);
        assert!(third.account().keep(1).is_some());
    }
}
