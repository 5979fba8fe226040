//! Which of the files counts, and opening it.

use super::fault::SealError;
use super::folder::Name;
use super::platform::Part;
use super::shown::State;
use super::write::Writing;
use super::{FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Opened, Seal, Work};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use nitride_protocol::Status;
use nitride_vault::audit::{self, AuditKind};
use nitride_vault::seal::{Generation, Head, Ladder, Sealing};
use std::io;
use std::sync::atomic::Ordering;

impl Seal {
    /// Tries to open it, if it is time.
    pub(super) fn try_to_open(&self, daemon: &Daemon) {
        let mut work = self.work();
        let now_ms = Daemon::now().boot_ms;
        if work.is_wiped || work.opened.is_some() || now_ms < work.next_try_ms {
            return;
        }
        match self.open(&mut work, daemon) {
            Ok(keys) => {
                let opened = work.opened.as_ref();
                let generation = opened.map_or(0, |opened| opened.generation);
                {
                    let mut shown = self.shown();
                    shown.set_open(generation);
                    shown.keys = keys;
                }
                let is_durable = self.settings.counter;
                daemon.vault.set_sealing(Sealing::Open { is_durable });
                // From here on changes of sealed keys are let through, and wait for the file.
                self.is_open.store(true, Ordering::Release);
                drop(work);
                self.tell_open(daemon, keys, generation);
                if self.is_due.load(Ordering::Acquire) {
                    // It is said where it goes wrong.
                    let _ = self.write_for(daemon, None);
                }
            }
            Err(error) => {
                let (state, pause_ms) = match error.is_wait() {
                    true => (State::Waits, FIRST_PAUSE_MS),
                    false => (State::Closed, work.pause_ms),
                };
                work.pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
                work.next_try_ms = now_ms + pause_ms;
                drop(work);
                self.tell_fault(daemon, state, &error);
            }
        }
    }

    /// Gives how many keys it brought.
    fn open(&self, work: &mut Work, daemon: &Daemon) -> Result<u64, SealError> {
        work.folder.take()?;
        let current = self.read_head(work, Name::Current);
        // Without a counter, what has not taken over was never acknowledged.
        let next = match self.settings.counter {
            true => self.read_head(work, Name::Next),
            false => Ok(None),
        };
        let (current, next) = match (current, next) {
            (Ok(None), Ok(None)) => {
                self.begin_anew(work, daemon)?;
                return Ok(0);
            }
            (Ok(current), Ok(next)) => (current, next),
            // The other one may be the one that counts.
            (Ok(Some(current)), Err(_)) => (Some(current), None),
            (Err(_), Ok(Some(next))) => (None, Some(next)),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let heads = [current, next];
        let (which, ladder) = self.choose(work, &heads)?;
        let name = [Name::Current, Name::Next][usize::from(which)];
        let [current, next] = heads;
        match if which { next } else { current } {
            Some(head) => self.open_one(work, daemon, (name, &head), ladder),
            None => Err(SealError::NotOpen),
        }
    }

    /// Which of the two counts: whether it is the second.
    fn choose(&self, work: &Work, heads: &[Option<Head>; 2]) -> Result<(bool, Ladder), SealError> {
        let mut ladder = match self.settings.counter {
            true => Ladder::with_counter(),
            false => Ladder::without_counter(),
        };
        // Both were written by the same life, or by one that read the other's.
        let params = heads.iter().flatten().map(|head| &*head.params).next();
        let mut make = |_| Err(SealError::NotOpen);
        let params = params.unwrap_or_default();
        let mut reading = Writing::new(&work.folder, &self.source, params, &mut make);
        let generations = heads.each_ref().map(|head| {
            let head = head.as_ref()?;
            Some(head.generation)
        });
        match ladder.choose(&mut reading, generations)? {
            Some(which) => Ok((which == 1, ladder)),
            None => Err(SealError::PutBack {
                counter: reading.counter,
            }),
        }
    }

    /// What the file `name` begins with, if there is one.
    fn read_head(&self, work: &Work, name: Name) -> Result<Option<Head>, SealError> {
        let Some(bytes) = work.folder.read_head(name)? else {
            return Ok(None);
        };
        let (head, _) = Head::parse(&bytes)?;
        self.check_configured(&head)?;
        Ok(Some(head))
    }

    /// What the file says of itself has to be what is configured: one that asks for less is
    /// somebody else's.
    fn check_configured(&self, head: &Head) -> Result<(), SealError> {
        let settings = &self.settings;
        if head.platform != settings.platform {
            return Err(SealError::OtherPlatform {
                found: head.platform,
                configured: settings.platform,
            });
        }
        if head.provisioned != settings.provisioned {
            return Err(SealError::OtherProvisioned {
                found: head.provisioned.clone(),
                configured: settings.provisioned.clone(),
            });
        }
        match (settings.counter, head.generation == Generation::NONE) {
            (true, true) => Err(SealError::NotCounted),
            (false, false) => Err(SealError::Counted),
            _ => Ok(()),
        }
    }

    fn open_one(
        &self,
        work: &mut Work,
        daemon: &Daemon,
        (name, head): (Name, &Head),
        ladder: Ladder,
    ) -> Result<u64, SealError> {
        let part = self.part(work, &head.params)?;
        let keys = match daemon.vault.opening_keys(head, &part.secret) {
            Ok(keys) => keys,
            Err(fault) => {
                // Not asked for again at each try.
                work.asked = Some((head.params.clone(), part));
                return Err(fault.into());
            }
        };
        let file = work.folder.read(name)?.ok_or_else(|| {
            // It was there when its head was read.
            SealError::Write(io::ErrorKind::NotFound.into())
        })?;
        let had_changes = daemon.vault.seal_changes() != 0;
        let now = Daemon::now();
        let keys = daemon
            .vault
            .unseal(head, &keys, &file, now, &mut SystemDraw)?;
        if had_changes {
            self.is_due.store(true, Ordering::Release);
        }
        self.covered
            .store(daemon.vault.seal_changes(), Ordering::Release);
        work.opened = Some(Opened {
            part,
            ladder,
            generation: head.generation.0,
        });
        Ok(keys)
    }

    /// There is no file yet: the first one is due.
    fn begin_anew(&self, work: &mut Work, daemon: &Daemon) -> Result<(), SealError> {
        let part = self.part(work, &[])?;
        let is_ready = || {
            // That there is one says whether nitride-quote has made it.
            let ladder = match self.settings.counter {
                true => {
                    self.source.count(&part.params, false)?;
                    Ladder::with_counter()
                }
                false => Ladder::without_counter(),
            };
            let head = self.head(&part, Generation::NONE)?;
            daemon.vault.sealing_key(&head, &part.secret)?;
            Ok(ladder)
        };
        match is_ready() {
            Ok(ladder) => {
                work.opened = Some(Opened {
                    part,
                    ladder,
                    generation: 0,
                });
                self.is_due.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                // Not made anew at each try.
                work.asked = Some((Vec::new(), part));
                Err(error)
            }
        }
    }

    fn part(&self, work: &mut Work, params: &[u8]) -> Result<Part, SealError> {
        match work.asked.take() {
            Some((asked, part)) if asked == params => Ok(part),
            _ => self.source.part(params),
        }
    }

    fn tell_open(&self, daemon: &Daemon, keys: u64, generation: u64) {
        let platform = self.settings.platform.as_str();
        Event::SealOpened {
            platform,
            keys,
            generation,
        }
        .emit();
        let reason =
            format!("seal opened: platform {platform}, {keys} keys, generation {generation}");
        let event = audit::Event::own(AuditKind::Lifecycle, &reason);
        daemon.watch.audit.note(&event, Daemon::now());
        daemon.status_bell.notify_one();
    }

    /// Says it once, wherever people look.
    pub(super) fn tell_fault(&self, daemon: &Daemon, state: State, error: &SealError) {
        let Some(because) = self.shown().set(state, error) else {
            return;
        };
        let what = match state {
            State::Waits => "the seal waits",
            State::Closed => "the seal is closed",
            State::Open => "the sealed file is not written",
        };
        Event::SealFailed {
            what,
            because: &because,
        }
        .emit();
        let reason = format!("{what}: {because}");
        let event = audit::Event {
            status: Status::SealUnavailable,
            ..audit::Event::own(AuditKind::Lifecycle, &reason)
        };
        daemon.watch.audit.note(&event, Daemon::now());
        daemon.status_bell.notify_one();
    }
}
