use crate::audit::{FolderError, Unaudited};
use crate::config::{Boot, Config, ConfigError, load_policy};
use crate::credential;
use crate::ending::Ending;
use crate::event::Event;
use crate::executable::ProgramReader;
use crate::log_budget::LogBudget;
use crate::phase;
use crate::refusals::RecentRefusals;
use crate::rounds::Waiting;
use crate::seal::{NotSealed, Seal, Stake, credentials_folder};
use crate::serve::{Attesting, Ceilings, Link, Quota};
use crate::store::{Arenas, Keeping, growth_warning};
use crate::watch::Watch;
use nitride_ipc::clock;
use nitride_ipc::peer::CgroupRoot;
use nitride_protocol::Status;
use nitride_protocol::application::SealStatus;
use nitride_secmem::Backing;
use nitride_vault::backup::Recipient;
use nitride_vault::policy::PolicyFault;
use nitride_vault::{Now, Outcome, StatusRequest, Surroundings, Vault};
use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, Semaphore};

/// What all threads of the process share.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The core.
    pub(crate) vault: Vault,
    /// What is recorded and counted.
    pub(crate) watch: Arc<Watch>,
    /// Who waits for a round.
    pub(crate) waiting: Waiting,
    /// Opens peers' programs, where the policy at the start asked about them.
    pub(crate) programs: Option<ProgramReader>,
    /// Who was refused what lately.
    pub(crate) refusals: RecentRefusals,
    /// What peers have used.
    pub(crate) quota: Arc<Quota>,
    /// Places of those who ask nitride-quote: it serves no more at a time, and a helper that does
    /// not answer holds no more threads.
    pub(crate) evidence_seats: Arc<Semaphore>,
    /// Who waits for evidence without a round.
    pub(crate) attesting: Attesting,
    /// Processors that the process may use.
    pub(crate) processors: usize,
    /// Whether the next process finds the keys.
    pub(crate) keeping: Keeping,
    /// Records of the earlier process that are no keys, and why.
    not_recovered: Vec<String>,
    /// That the records cannot grow as configured.
    growth_warning: Option<String>,
    /// Who may read backups.
    pub(crate) recipients: Vec<Recipient>,
    /// What brings keys back after a reboot, where there is one.
    pub(crate) seal: Option<Seal>,
    /// As JSON, where there are any.
    pub(crate) init_data: Option<String>,
    /// As it was at the start.
    pub(crate) config: Config,
    /// Where units are found; `None` where there is no cgroup2.
    pub(crate) cgroups: Option<CgroupRoot>,
    log_budget: LogBudget,
    config_path: PathBuf,
    backing: Backing,
    generation: AtomicU64,
    reloading: Mutex<()>,
    /// Whether the last reload was refused.
    reload_failed: AtomicBool,
    has_faulted: AtomicBool,
    agent_connected: AtomicBool,
    stopping: AtomicBool,
    /// How it ends, where nobody told it to stop.
    pub(crate) ending: Ending,
    /// Rung when what `systemctl status` shows has changed.
    pub(crate) status_bell: Notify,
    next_link: AtomicU64,
    links: Mutex<HashMap<u64, Weak<Link>>>,
}

/// Why the vault could not be set up, or its policy not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// A file has a fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The vault does not take it.
    #[error("the vault does not take the policy")]
    Fault(#[from] PolicyFault),
    /// The thread that opens peers' programs cannot be started.
    #[error("start the thread that opens programs")]
    Programs(#[source] std::io::Error),
    /// The audit cannot be written.
    #[error("begin the audit")]
    Audit(#[from] FolderError),
    /// There would be no entry of it.
    #[error(transparent)]
    Unaudited(#[from] Unaudited),
}

/// The generation of the policy that is read at the start.
const FIRST_GENERATION: u64 = 1;
/// Which part of the heap arena the buffers of busy connections may take: an eighth.
const KEPT_SHARE: usize = 8;
/// Connections to nitride-quote at a time; it takes more, for those that have not quite ended.
const EVIDENCE_SEATS: usize = 4;

impl Daemon {
    /// Reads the policy and makes an empty vault under it.
    pub(crate) fn new(
        config_path: PathBuf,
        config: Config,
        arenas: impl Into<Arenas>,
    ) -> Result<Arc<Self>, PolicyError> {
        let Arenas {
            backing,
            keeping,
            recovered,
        } = arenas.into();
        let lock_limit = nitride_ipc::process::lock_limit().unwrap_or_default();
        let policy = load_policy(&config, FIRST_GENERATION)?;
        let recipients = config.recipients.iter().map(|file| file.read());
        let recipients = recipients.collect::<Result<_, _>>()?;
        let programs = match policy.asks_about_programs() {
            true => Some(ProgramReader::start().map_err(PolicyError::Programs)?),
            false => None,
        };
        let boot = config.boot.as_ref();
        let init_data = boot.map_or(Ok(None), Boot::read_init_data)?;
        let limits = &config.limits;
        let quota = Quota::new(Ceilings {
            connections: limits.connections,
            connections_per_uid: limits.connections_per_uid,
            parked_per_uid: limits.parked_per_uid,
            buffer_len_per_uid: limits.buffer_len_per_uid,
            shared_len_per_uid: limits.shared_len_per_uid,
            kept_len: config.arena_sizes.heap_len / KEPT_SHARE,
        });
        let watch = Arc::new(Watch::open(&config)?);
        watch.began(FIRST_GENERATION, &policy.digest, Self::now());
        let (vault, recovery) = Vault::new(policy, limits.of_vault(), recovered)?;
        if let Some(measure) = phase::measure(&config) {
            vault.set_measure(measure);
        }
        Ok(Arc::new(Self {
            vault,
            keeping,
            not_recovered: recovery.refused,
            growth_warning: growth_warning(config.arena_sizes, lock_limit),
            waiting: Waiting::new(Arc::clone(&watch)),
            watch,
            programs,
            refusals: RecentRefusals::default(),
            quota,
            evidence_seats: Arc::new(Semaphore::new(EVIDENCE_SEATS)),
            attesting: Attesting::default(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            cgroups: CgroupRoot::find().ok(),
            recipients,
            seal: config
                .seal
                .as_ref()
                .map(|seal| Seal::new(&config, seal, credentials_folder())),
            init_data,
            config,
            log_budget: LogBudget::default(),
            config_path,
            backing,
            generation: AtomicU64::new(FIRST_GENERATION),
            reloading: Mutex::default(),
            reload_failed: AtomicBool::new(false),
            has_faulted: AtomicBool::new(false),
            agent_connected: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            ending: Ending::default(),
            status_bell: Notify::new(),
            next_link: AtomicU64::new(1),
            links: Mutex::default(),
        }))
    }

    /// Logs what the user `uid` has brought about and can repeat at will, within its share of the
    /// log; `None` is a peer that could not be identified.
    pub(crate) fn log_of(&self, uid: Option<u32>, event: &Event<'_>) {
        if self.log_budget.spend(uid, clock::boot_ms()) {
            event.emit();
        }
    }

    /// The same, of the agent.
    pub(crate) fn log_of_agent(&self, event: &Event<'_>) {
        self.log_of(self.config.agent.as_ref().map(|agent| agent.uid), event);
    }

    /// Says how much of that was left out since it was last said.
    pub(crate) fn log_left_out(&self) {
        for (uid, count) in self.log_budget.collect(clock::boot_ms()) {
            Event::LinesLeftOut { uid, count }.emit();
        }
    }

    /// The moment, as the vault takes it.
    pub(crate) fn now() -> Now {
        Self::now_at(clock::boot_ns())
    }

    /// The moment of a reading of the boot clock, which the request's latency is counted from too.
    pub(crate) fn now_at(boot_ns: u64) -> Now {
        Now {
            boot_ms: clock::ms_of(boot_ns),
            // Before 1970 is a clock that was never set: the vault calls that unknown.
            wall_secs: u64::try_from(clock::wall_secs()).unwrap_or(0),
        }
    }

    /// Where `vhsmd.toml` is.
    pub(crate) fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// The generation of the policy in force.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Reads configuration and policy again, and puts the policy in force as a whole or not at
    /// all. What is fixed until a restart stays as it was. Gives the generation then in force.
    /// `by` is who asked, if it was asked over a socket, and the request's id.
    pub(crate) fn reload(&self, by: Option<(&Link, u32)>) -> Result<u64, PolicyError> {
        // One at a time, so that the newest files win.
        let _one = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let reserved = self.watch.audit.set_aside(1)?;
        let done = self.try_reload();
        self.reload_failed.store(done.is_err(), Ordering::Release);
        let told = match &done {
            Ok(taken) => Ok(*taken),
            Err(error) => {
                Event::ReloadRefused { error }.emit();
                Err(error as &dyn Error)
            }
        };
        self.watch.reloaded(by, told, reserved);
        Ok(done?.0)
    }

    /// Gives the generation and its digest.
    fn try_reload(&self) -> Result<(u64, [u8; 32]), PolicyError> {
        let config = Config::load(&self.config_path)?;
        let generation = self.generation() + 1;
        // What is sealed is judged by the seal that there is until a restart.
        let judged = Config {
            seal: self.config.seal.clone(),
            ..config.clone()
        };
        let policy = load_policy(&judged, generation)?;
        let digest = policy.digest;
        self.vault.replace_policy(policy, Self::now())?;
        if let Some(seal) = &self.seal {
            seal.note_policy();
        }
        // After the policy: who sees the new generation is judged by it.
        self.generation.store(generation, Ordering::Release);
        Event::Reloaded {
            generation,
            digest: &digest,
        }
        .emit();
        for text in &self.vault.plaintext_warnings() {
            Event::Warning { text }.emit();
        }
        if !config.is_same_but_for_policy(&self.config) {
            Event::RestartNeeded.emit();
        }
        self.prefetch();
        Ok((generation, digest))
    }

    /// Has missing keys fetched that the policy wants before anybody asks, if anybody can fetch.
    pub(crate) fn prefetch(&self) {
        if self.agent_is_connected() {
            self.vault
                .prefetch(Self::now(), &mut crate::randomness::SystemDraw);
            self.waiting.order_bell.notify_one();
        }
    }

    /// Has leases renewed whose time has come, if anybody can fetch.
    pub(crate) fn renew_leases(&self) {
        if self.agent_is_connected() {
            self.vault
                .renew_leases(Self::now(), &mut crate::randomness::SystemDraw);
        }
    }

    /// Whether the agent is there.
    pub(crate) fn agent_is_connected(&self) -> bool {
        self.agent_connected.load(Ordering::Acquire)
    }

    /// Notes that the agent has come or gone.
    pub(crate) fn set_agent_connected(&self, connected: bool) {
        self.agent_connected.store(connected, Ordering::Release);
        self.status_bell.notify_one();
    }

    /// What a request learns that may not, or no longer, wait.
    pub(crate) fn waited_in_vain(&self) -> Status {
        if self.agent_is_connected() {
            Status::TimedOut
        } else {
            Status::AgentAbsent
        }
    }

    /// Whether nothing new is begun any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Lets nothing new begin, answers everyone who waits, and lets each connection end after the
    /// request that it is at.
    pub(crate) fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
        self.vault.abandon_all(
            Self::now(),
            nitride_vault::rounds::RoundFailure::ShuttingDown,
        );
        self.waiting.drain(Status::ShuttingDown);
        for link in self.living_links() {
            link.connection().shutdown_read();
        }
    }

    /// Before an answer leaves: has what it rests on sealed, as [`Seal::settle`] says.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub(crate) fn settle_seal(
        &self,
        before: u64,
        stake: impl FnOnce(bool) -> Stake,
    ) -> Result<(), NotSealed> {
        match &self.seal {
            Some(seal) => seal.settle(self, before, stake),
            None => Ok(()),
        }
    }

    /// Ends what is left of the connections, and gives their number.
    pub(crate) fn cut_connections(&self) -> usize {
        let left = self.living_links();
        for link in &left {
            link.connection().shutdown();
        }
        left.len()
    }

    /// A number for a new connection.
    pub(crate) fn next_link_number(&self) -> u64 {
        self.next_link.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a connection, so that it can be ended.
    pub(crate) fn note_link(&self, link: &Arc<Link>) {
        self.links().insert(link.number, Arc::downgrade(link));
        // Stopping may have begun between the accept and here, and not have seen this one.
        if self.is_stopping() {
            link.connection().shutdown_read();
        }
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget_link(&self, link: &Link) {
        self.links().remove(&link.number);
        if link.has_parked() {
            self.waiting.forget_connection(link.number);
        }
    }

    /// Answers `status`.
    pub(crate) fn write_status(&self, request: &StatusRequest, reply: &mut [u8]) -> Outcome {
        let warnings = self.warnings();
        let warnings: Vec<&str> = warnings.iter().map(String::as_str).collect();
        let seal = self.seal.as_ref().map(Seal::how);
        let around = Surroundings {
            are_records_kept: self.keeping == Keeping::Kept,
            arena_kind: self.backing.as_str(),
            connections: self.quota.connections() as u64,
            parked: self.waiting.len() as u64,
            agent_connected: self.agent_is_connected(),
            tee: self
                .config
                .evidence
                .as_ref()
                .map_or("none", |from| &from.tee),
            warnings: &warnings,
            seal: seal.as_ref().map(|seal| SealStatus {
                state: seal.state(),
                platform: seal.platform.as_str(),
                generation: seal.generation,
                keys: seal.keys,
                left_out: seal.left_out.as_deref(),
                because: seal.because.as_deref(),
            }),
        };
        self.vault
            .write_status(request, &around, Self::now(), reply)
    }

    /// Notes that a thread has ended by a fault of ours. What it held the lock of refuses from then
    /// on; the rest goes on.
    pub(crate) fn note_fault(&self) {
        self.has_faulted.store(true, Ordering::Release);
    }

    /// Whether the last reload was refused.
    pub(crate) fn last_reload_failed(&self) -> bool {
        self.reload_failed.load(Ordering::Acquire)
    }

    /// What weakens a guarantee here, for people.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let sample = |evidence: &crate::config::Evidence| evidence.tee == "sample";
        if self.config.evidence.as_ref().is_some_and(sample) {
            warnings.push("evidence is simulated: it proves nothing".to_owned());
        }
        if let Keeping::Ends(reason) = self.keeping {
            let which = match &self.seal {
                Some(_) => "every key that is not sealed ends",
                None => "every key ends",
            };
            warnings.push(format!("{which} with this process: {reason}"));
        }
        warnings.extend(self.not_recovered.iter().cloned());
        warnings.extend(self.growth_warning.clone());
        warnings.extend(credential::crash_warning(&self.config).map(str::to_owned));
        if self.backing == Backing::Locked {
            warnings.push(
                "the arenas are locked memory, which root and the kernel can read".to_owned(),
            );
        }
        if self.cgroups.is_none() {
            warnings.push("no cgroup2 is mounted: rules that name a unit match nobody".to_owned());
        }
        if self.has_faulted.load(Ordering::Acquire) {
            warnings.push(
                "a thread has ended by a fault of vhsmd: see the log, and report it".to_owned(),
            );
        }
        warnings.extend(self.watch.audit.warning().map(str::to_owned));
        if let (Some(seal), Some(settings)) = (&self.seal, &self.config.seal) {
            warnings.extend(seal.how().warnings(settings.provisioned.is_some()));
        }
        if self.last_reload_failed() {
            warnings.push(
                "the last reload was refused and the policy before it is in force: see the log"
                    .to_owned(),
            );
        }
        warnings
    }

    fn living_links(&self) -> Vec<Arc<Link>> {
        self.links().values().filter_map(Weak::upgrade).collect()
    }

    fn links(&self) -> MutexGuard<'_, HashMap<u64, Weak<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
