//! Which of the files counts, and opening it.

use super::fault::SealError;
use super::folder::Name;
use super::platform::Part;
use super::shown::{State, told};
use super::write::Writing;
use super::{FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Opened, Seal, Work};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::randomness::SystemDraw;
use nitride_protocol::Status;
use nitride_secmem::SecretBuf;
use nitride_vault::audit::{self, AuditKind};
use nitride_vault::seal::{Generation, Head, Ladder, MIN_PART_LEN, Sealing};
use std::io;
use std::sync::atomic::Ordering;

/// What an opening came to.
struct Brought {
    keys: u64,
    /// Whether there was no file.
    is_anew: bool,
}

impl Seal {
    /// Tries to open it, if it is time.
    pub(super) fn try_to_open(&self, daemon: &Daemon) {
        let mut work = self.work();
        let now_ms = Daemon::now().boot_ms;
        if work.is_wiped || work.opened.is_some() || now_ms < work.next_try_ms {
            return;
        }
        match self.open(&mut work, daemon) {
            Ok(Brought { keys, is_anew }) => {
                self.take_up_update(&mut work, daemon);
                let opened = work.opened.as_ref();
                let generation = opened.map_or(0, |opened| opened.generation);
                {
                    let mut shown = self.shown();
                    shown.set_open(generation);
                    shown.keys = shown.keys.max(keys);
                }
                self.refresh_later();
                let is_durable = self.settings.counter;
                self.let_in(|| daemon.vault.set_sealing(Sealing::Open { is_durable }));
                drop(work);
                if is_anew {
                    self.tell_anew(daemon);
                }
                self.tell_open(daemon, keys, generation);
                // What outlived the process, or what the file has and is not to have.
                self.write_what_is_due(daemon);
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

    fn open(&self, work: &mut Work, daemon: &Daemon) -> Result<Brought, SealError> {
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
                let (keys, is_anew) = (0, true);
                return Ok(Brought { keys, is_anew });
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
            Some(head) => {
                let keys = self.open_one(work, daemon, (name, &head), ladder)?;
                let is_anew = false;
                Ok(Brought { keys, is_anew })
            }
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
        let now = Daemon::now();
        let keys = daemon
            .vault
            .unseal(head, &keys, &file, now, &mut SystemDraw)?;
        // Of what changed before, and of what this has found, nothing is in the file but by a write.
        work.opened = Some(Opened {
            part,
            ladder,
            generation: head.generation.0,
        });
        Ok(keys)
    }

    /// There is no file yet. The first one is written before anything is let in: a counter without
    /// a file would close the seal for good.
    fn begin_anew(&self, work: &mut Work, daemon: &Daemon) -> Result<(), SealError> {
        if self.settings.must_exist {
            return Err(SealError::Missing);
        }
        let is_made = matches!(&work.asked, Some((params, _)) if params.is_empty());
        if !is_made {
            self.expect_everything_else(work, daemon)?;
        }
        let part = self.part(work, &[])?;
        match self.write_first(work, &part, daemon) {
            Ok(covered) => {
                let ladder = match self.settings.counter {
                    true => Ladder::with_counter(),
                    false => Ladder::without_counter(),
                };
                work.opened = Some(Opened {
                    part,
                    ladder,
                    generation: covered.generation.0,
                });
                self.is_due.store(false, Ordering::Release);
                self.note_written(covered);
                Ok(())
            }
            Err(error) => {
                // Not made anew at each try.
                work.asked = Some((Vec::new(), part));
                Err(error)
            }
        }
    }

    /// Before a counter is made for it: whatever else the first file takes is there.
    fn expect_everything_else(&self, work: &Work, daemon: &Daemon) -> Result<(), SealError> {
        work.folder.try_to_write()?;
        let part = Part {
            secret: SecretBuf::with_len(MIN_PART_LEN)?,
            params: Vec::new(),
            is_old: false,
        };
        let head = self.head(&part, Generation::NONE)?;
        daemon.vault.sealing_key(&head, &part.secret)?;
        Ok(())
    }

    /// Where the platform was updated since: from the next file on, what it was opens nothing. If
    /// that cannot be had now, what there is goes on until the next start.
    fn take_up_update(&self, work: &mut Work, daemon: &Daemon) {
        let Some(opened) = work.opened.as_mut().filter(|opened| opened.part.is_old) else {
            return;
        };
        match self.source.part(&[]) {
            Ok(part) => {
                opened.part = part;
                self.is_due.store(true, Ordering::Release);
            }
            Err(error) => {
                let because = told(&error);
                let what = "the sealed file stays bound to what the platform was before its update";
                self.tell(daemon, what, &because);
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

    /// What was sealed before, if anything was, does not come back: nobody may fail to see it.
    fn tell_anew(&self, daemon: &Daemon) {
        let what = "the seal begins anew";
        let because = "no sealed file was there; if one should have been, its keys and what was \
                       destroyed in it are unknown: put it back, and state must-exist in [seal]";
        self.tell(daemon, what, because);
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
        self.tell(daemon, what, &because);
    }

    pub(super) fn tell(&self, daemon: &Daemon, what: &str, because: &str) {
        Event::SealFailed { what, because }.emit();
        let reason = format!("{what}: {because}");
        let event = audit::Event {
            status: Status::SealUnavailable,
            ..audit::Event::own(AuditKind::Lifecycle, &reason)
        };
        daemon.watch.audit.note(&event, Daemon::now());
        daemon.status_bell.notify_one();
    }
}
