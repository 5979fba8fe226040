//! Many simulated machines in one thread, each of which does its next step when its answer is there.

use super::kind::{Identity, Kind, get};
use super::wire::{Service, Wire};
use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Before anything counts: connections, caches, and the service's memory of chains.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long nothing may happen before deadlines are looked at.
const LOOK_MS: u16 = 20;
/// What nitride-agent gives a request, its connection included, by default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// What vhsmd gives a round.
pub(super) const ROUND_TIMEOUT: Duration = Duration::from_secs(30);
/// How many faults are told in words.
const FAULTS_TOLD: usize = 3;

/// What a machine is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// A handshake after the other.
    Handshakes,
    /// A handshake, then the resource again and again.
    Reads,
    /// A handshake, the resource, and away.
    Boot,
}

/// All that machines of one kind have in common.
pub(super) struct Crowd<'a> {
    pub(super) kind: &'a Kind,
    pub(super) service: &'a Service,
    pub(super) service_pid: Pid,
    pub(super) identities: &'a [Identity],
}

/// What a time of one errand was.
pub(super) struct Rate {
    /// Of each, sorted.
    pub(super) took: Vec<Duration>,
    /// In which they were done.
    pub(super) span: Duration,
    pub(super) busy: Busy,
}

/// What a fleet's boot was.
pub(super) struct Booted {
    /// From the moment that all wanted to boot, in the order in which they began; `None` for whom
    /// something failed.
    pub(super) ended: Vec<Option<Duration>>,
    /// From the beginning of its own connection, of those that got what they wanted.
    pub(super) own: Vec<Duration>,
    pub(super) busy: Busy,
}

/// The time of processors that the two sides had.
#[derive(Clone, Copy)]
pub(super) struct Busy {
    pub(super) client: Duration,
    pub(super) service: Duration,
}

impl Busy {
    fn of(service: Pid) -> Result<Self> {
        Ok(Self {
            client: ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?.into(),
            service: clock_getcpuclockid(service)?.now()?.into(),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            client: self.client.saturating_sub(before.client),
            service: self.service.saturating_sub(before.service),
        }
    }
}

impl Crowd<'_> {
    /// So many machines do one errand for so long.
    pub(super) fn repeat(&self, errand: Errand, count: u32, span: Duration) -> Result<Rate> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut guests = Vec::new();
        for (number, identity) in (0..count).zip(self.identities.iter().cycle()) {
            guests.push(self.guest(&epoll, number, identity)?);
        }
        let warm = Instant::now() + WARM_UP;
        let mut begun: Option<(Instant, Busy)> = None;
        let mut took = Vec::new();
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let count = epoll.wait(&mut events, LOOK_MS)?;
            for event in events.iter().take(count) {
                let guest = guests.get_mut(usize::try_from(event.data())?);
                let guest = guest.context("a machine of this number")?;
                let done = guest.turn(self.kind, errand)?;
                took.extend(match errand {
                    Errand::Handshakes => done.handshake,
                    Errand::Reads | Errand::Boot => done.read,
                });
            }
            match begun {
                None if Instant::now() > warm => {
                    begun = Some((Instant::now(), Busy::of(self.service_pid)?));
                    took.clear();
                }
                Some((since, before)) if since.elapsed() >= span => {
                    let busy = Busy::of(self.service_pid)?.since(before);
                    let span = since.elapsed();
                    guests.into_iter().for_each(|guest| guest.wire.close());
                    took.sort();
                    return Ok(Rate { took, span, busy });
                }
                _ => {}
            }
        }
    }

    /// As many machines as there are identities boot at once. Of their connections, `at_once` are
    /// open at a time; the time of those that wait for their turn runs all the same.
    pub(super) fn boot(&self, at_once: usize) -> Result<Booted> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let before = Busy::of(self.service_pid)?;
        let begun = Instant::now();
        let mut waiting = (0_u32..).zip(self.identities);
        let mut guests: Vec<Option<Box<Guest<'_>>>> = Vec::new();
        let mut booted = Booted {
            ended: vec![None; self.identities.len()],
            own: Vec::new(),
            busy: before,
        };
        let mut faults = 0;
        let mut open = 0;
        let mut looked = begun;
        let mut events = [EpollEvent::empty(); 256];
        loop {
            while open < at_once
                && let Some((number, identity)) = waiting.next()
            {
                guests.push(Some(Box::new(self.guest(&epoll, number, identity)?)));
                open += 1;
            }
            if open == 0 {
                booted.busy = Busy::of(self.service_pid)?.since(before);
                return Ok(booted);
            }
            let mut fail = |number: usize, error: &anyhow::Error| {
                faults += 1;
                if faults <= FAULTS_TOLD {
                    eprintln!("machine {number}: {error:#}");
                }
            };
            let count = epoll.wait(&mut events, LOOK_MS)?;
            for event in events.iter().take(count) {
                let number = usize::try_from(event.data())?;
                let Some(place) = guests.get_mut(number) else {
                    continue;
                };
                let Some(guest) = place else { continue };
                match guest.turn(self.kind, Errand::Boot) {
                    Ok(Done { read: None, .. }) => continue,
                    Ok(Done { read: Some(_), .. }) => {
                        booted.own.push(guest.begun.elapsed());
                        booted.ended[number] = Some(begun.elapsed());
                    }
                    Err(error) => fail(number, &error),
                }
                open -= 1;
                if let Some(guest) = place.take() {
                    guest.wire.close();
                }
            }
            if looked.elapsed() > Duration::from_millis(u64::from(LOOK_MS)) {
                looked = Instant::now();
                let is_late = begun.elapsed() > ROUND_TIMEOUT;
                for (number, place) in guests.iter_mut().enumerate() {
                    let late = place
                        .as_ref()
                        .filter(|guest| is_late || guest.asked.elapsed() > REQUEST_TIMEOUT);
                    if let Some(guest) = late {
                        let step = guest.step;
                        fail(
                            number,
                            &anyhow::anyhow!("{step:?} was not answered in time"),
                        );
                        open -= 1;
                        *place = None;
                    }
                }
            }
        }
    }

    fn guest<'a>(
        &'a self,
        epoll: &Epoll,
        number: u32,
        identity: &'a Identity,
    ) -> Result<Guest<'a>> {
        // 127.1.0.0 and on: the whole of 127.0.0.0/8 is this machine.
        let source = Ipv4Addr::from_bits(0x7F01_0000 + number);
        let mut guest = Guest {
            wire: Wire::connect(source, self.service)?,
            identity,
            step: Step::Auth,
            begun: Instant::now(),
            asked: Instant::now(),
            handshake: Duration::ZERO,
            read: Vec::new(),
        };
        guest.wire.ask(self.kind.auth())?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(&guest.wire, EpollEvent::new(interest, number.into()))?;
        Ok(guest)
    }

    /// One machine by itself; what it got.
    pub(super) fn opened(&self) -> Result<Vec<u8>> {
        let identity = self.identities.first().context("no identity")?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut guest = self.guest(&epoll, 0, identity)?;
        let mut events = [EpollEvent::empty(); 1];
        while guest.begun.elapsed() < REQUEST_TIMEOUT {
            epoll.wait(&mut events, LOOK_MS)?;
            if guest.turn(self.kind, Errand::Boot)?.read.is_some() {
                let answer = guest.wire.answer()?.context("an answer")?;
                return identity.open(answer.body);
            }
        }
        anyhow::bail!("{:?} was not answered in time", guest.step)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Auth,
    Attest,
    Get,
}

struct Guest<'a> {
    wire: Wire,
    identity: &'a Identity,
    /// What it waits for the answer of.
    step: Step,
    begun: Instant,
    /// When it began to wait.
    asked: Instant,
    /// Of the two requests of a handshake; what it takes to make evidence is the chip's.
    handshake: Duration,
    /// The request for the resource.
    read: Vec<u8>,
}

/// What one answer completed.
#[derive(Default)]
struct Done {
    handshake: Option<Duration>,
    read: Option<Duration>,
}

impl Guest<'_> {
    /// Takes what has come, and asks the next when an answer is whole.
    fn turn(&mut self, kind: &Kind, errand: Errand) -> Result<Done> {
        self.wire.advance()?;
        let Some(answer) = self.wire.answer()? else {
            return Ok(Done::default());
        };
        let answer = answer.accepted()?;
        let took = self.asked.elapsed();
        let mut done = Done::default();
        match self.step {
            Step::Auth => {
                self.handshake = took;
                let request = kind.attest(self.identity, answer)?;
                self.ask(Step::Attest, &request)?;
            }
            Step::Attest => {
                done.handshake = Some(self.handshake + took);
                if errand == Errand::Handshakes {
                    self.ask(Step::Auth, kind.auth())?;
                } else {
                    let request = get(answer.member("token")?);
                    self.ask(Step::Get, &request)?;
                    self.read = request;
                }
            }
            Step::Get => {
                answer.member("ciphertext")?;
                done.read = Some(took);
                if errand == Errand::Reads {
                    let request = std::mem::take(&mut self.read);
                    self.ask(Step::Get, &request)?;
                    self.read = request;
                }
            }
        }
        Ok(done)
    }

    fn ask(&mut self, step: Step, request: &[u8]) -> Result<()> {
        self.step = step;
        self.asked = Instant::now();
        // Without a look at what comes: that is announced, and only once.
        self.wire.ask(request)
    }
}
