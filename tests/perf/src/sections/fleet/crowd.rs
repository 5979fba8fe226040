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
/// How long it keeps a connection that it needs no more.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
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
    /// A handshake and the resource; the connection is kept as an agent does, in case there is more.
    Boot,
}

/// All that machines of one kind have in common.
pub(super) struct Crowd<'a> {
    pub(super) kind: &'a Kind,
    pub(super) service: &'a Service,
    pub(super) service_pid: Pid,
    pub(super) identities: &'a [Identity],
    /// What they ask for, one after the other.
    pub(super) resources: &'a [&'a str],
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
        let (mut faults, mut open, mut looked) = (0, 0, begun);
        let mut events = [EpollEvent::empty(); 256];
        while booted.own.len() + faults < self.identities.len() {
            while open < at_once
                && let Some((number, identity)) = waiting.next()
            {
                guests.push(Some(Box::new(self.guest(&epoll, number, identity)?)));
                open += 1;
            }
            let mut end = |guests: &mut [Option<Box<Guest<'_>>>], number: usize, why: &str| {
                let Some(guest) = guests.get_mut(number).and_then(Option::take) else {
                    return;
                };
                open -= 1;
                if guest.step != Step::Keep {
                    faults += 1;
                    if faults <= FAULTS_TOLD {
                        eprintln!("machine {number}, at {:?}: {why}", guest.step);
                    }
                }
                guest.wire.close();
            };
            let count = epoll.wait(&mut events, LOOK_MS)?;
            for event in events.iter().take(count) {
                let number = usize::try_from(event.data())?;
                let Some(Some(guest)) = guests.get_mut(number) else {
                    continue;
                };
                match guest.turn(self.kind, Errand::Boot) {
                    Ok(Done { read: None, .. }) => {}
                    Ok(Done { read: Some(_), .. }) => {
                        booted.own.push(guest.begun.elapsed());
                        booted.ended[number] = Some(begun.elapsed());
                    }
                    Err(error) => end(&mut guests, number, &format!("{error:#}")),
                }
            }
            if looked.elapsed() < Duration::from_millis(u64::from(LOOK_MS)) {
                continue;
            }
            looked = Instant::now();
            let is_late = begun.elapsed() > ROUND_TIMEOUT;
            for number in 0..guests.len() {
                let ends = guests[number].as_ref().is_some_and(|guest| {
                    let since = guest.asked.elapsed();
                    match guest.step {
                        Step::Keep => since > KEEP_ALIVE,
                        _ => is_late || since > REQUEST_TIMEOUT,
                    }
                });
                if ends {
                    end(&mut guests, number, "no answer in time");
                }
            }
            if is_late {
                break;
            }
        }
        booted.busy = Busy::of(self.service_pid)?.since(before);
        Ok(booted)
    }

    fn guest<'a>(
        &'a self,
        epoll: &Epoll,
        number: u32,
        identity: &'a Identity,
    ) -> Result<Guest<'a>> {
        // 127.1.0.0 and on: the whole of 127.0.0.0/8 is this machine.
        let source = Ipv4Addr::from_bits(0x7F01_0000 + number);
        let place = usize::try_from(number)? % self.resources.len().max(1);
        let resource = self.resources.get(place);
        let mut guest = Guest {
            wire: Wire::connect(source, self.service)?,
            identity,
            resource: resource.context("no resource")?,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Auth,
    Attest,
    Get,
    /// It has what it wanted.
    Keep,
}

struct Guest<'a> {
    wire: Wire,
    identity: &'a Identity,
    resource: &'a str,
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
        let answer = self.wire.answer()?;
        let Some(answer) = answer.filter(|_| self.step != Step::Keep) else {
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
                    let request = get(self.resource, answer.member("token")?);
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
                } else {
                    (self.step, self.asked) = (Step::Keep, Instant::now());
                }
            }
            Step::Keep => {}
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
