//! A TPM in software, and what others than nitride-quote do with it.

use crate::process::is_root;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tss_esapi::Context;
use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::NvIndexType;
use tss_esapi::handles::{
    AuthHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, PcrHandle, PersistentTpmHandle,
    TpmHandle,
};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth, Provision};
use tss_esapi::structures::{Auth, Digest, DigestValues, NvPublicBuilder, Public};
use tss_esapi::tcti_ldr::TctiNameConf;

pub(crate) const INDEX: u32 = 0x0180_0123;
/// Where machines are prepared with a storage key.
pub(crate) const STORAGE_KEY: u32 = 0x8100_0001;

/// libtss2 does not mark its connections to be closed in children, and a TPM in software waits for one to be
/// closed before it serves the next: nobody starts a program while somebody here speaks to a TPM.
static SPEAKING: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    SPEAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program, which inherits no connection to a TPM.
pub(crate) fn spawned(command: &mut Command) -> std::io::Result<Child> {
    let _alone = alone();
    command.spawn()
}

pub(crate) struct Swtpm {
    state: TempDir,
    port: u16,
    child: Child,
}

impl Swtpm {
    /// `None`, and says so, without the rights of root: the helper locks its memory.
    pub(crate) fn start() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let state = tempfile::tempdir().unwrap();
        for _ in 0..50 {
            let port = free_pair();
            if let Some(child) = started(&state, port) {
                return Some(Self { state, port, child });
            }
        }
        panic!("swtpm does not start: apt-get install swtpm");
    }

    /// Ends it and starts it again, as a machine does that boots.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let deadline = Instant::now() + Duration::from_secs(20);
        self.child = loop {
            if let Some(child) = started(&self.state, self.port) {
                break child;
            }
            assert!(Instant::now() < deadline, "swtpm does not start again");
        };
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The lines of `[seal]`, bound to PCR 16, which a test may reset, and PCR 4.
    pub(crate) fn lines(&self) -> String {
        format!("tcti = \"{}\"\npcrs = [4, 16]", self.tcti())
    }

    pub(crate) fn lines_with_counter(&self) -> String {
        format!("{}\ncounter-index = {INDEX:#x}", self.lines())
    }

    pub(crate) fn lines_with_other_counter(&self) -> String {
        format!("{}\ncounter-index = {:#x}", self.lines(), INDEX + 1)
    }

    fn context(&self) -> Context {
        Context::new(TctiNameConf::from_str(&self.tcti()).unwrap()).unwrap()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Context) -> tss_esapi::Result<T>) -> T {
        let _alone = alone();
        self.context()
            .execute_with_nullauth_session::<_, _, tss_esapi::Error>(act)
            .unwrap()
    }

    /// Measures something into PCR 16.
    pub(crate) fn extend(&self) {
        let mut values = DigestValues::new();
        let digest = Digest::try_from([7; 32].as_slice()).unwrap();
        values.set(HashingAlgorithm::Sha256, digest);
        self.with(|context| context.pcr_extend(PcrHandle::Pcr16, values));
    }

    /// PCR 16 as after a boot.
    pub(crate) fn reset(&self) {
        self.with(|context| context.pcr_reset(PcrHandle::Pcr16));
    }

    /// What a person does at the firmware's prompt.
    pub(crate) fn clear(&self) {
        self.with(|context| context.clear(AuthHandle::Lockout));
    }

    /// Somebody removes the counter.
    pub(crate) fn undefine(&self) {
        self.with(|context| {
            let index = index_of(context)?;
            context.nv_undefine_space(Provision::Owner, index)
        });
    }

    /// Somebody removes the counter and makes one that looks the same, and steps it.
    pub(crate) fn redefine(&self) {
        self.with(|context| {
            let index = index_of(context)?;
            let (public, _) = context.nv_read_public(index)?;
            context.nv_undefine_space(Provision::Owner, index)?;
            let attributes = NvIndexAttributesBuilder::new()
                .with_nv_index_type(NvIndexType::Counter)
                .with_auth_write(true)
                .with_auth_read(true)
                .with_owner_read(true)
                .with_no_da(true)
                .build()?;
            let again = NvPublicBuilder::new()
                .with_nv_index(NvIndexTpmHandle::new(INDEX)?)
                .with_index_name_algorithm(HashingAlgorithm::Sha256)
                .with_index_attributes(attributes)
                .with_index_auth_policy(public.authorization_policy().clone())
                .with_data_area_size(8)
                .build()?;
            let auth = Auth::try_from([9; 32].as_slice())?;
            let index = context.nv_define_space(Provision::Owner, Some(auth), again)?;
            context.nv_increment(NvAuth::NvIndex(index), index)
        });
    }

    /// Somebody keeps eight bytes of theirs at our index.
    pub(crate) fn occupy(&self) {
        self.with(|context| {
            let attributes = NvIndexAttributesBuilder::new()
                .with_owner_read(true)
                .with_owner_write(true)
                .build()?;
            let public = NvPublicBuilder::new()
                .with_nv_index(NvIndexTpmHandle::new(INDEX)?)
                .with_index_name_algorithm(HashingAlgorithm::Sha256)
                .with_index_attributes(attributes)
                .with_data_area_size(8)
                .build()?;
            context.nv_define_space(Provision::Owner, None, public)
        });
    }

    /// Keeps a storage key where machines are prepared with one.
    pub(crate) fn keep_storage_key(&self, public: Public) {
        self.keep_at(STORAGE_KEY, public);
    }

    /// Keeps a primary key of the owner's hierarchy at a handle.
    pub(crate) fn keep_at(&self, handle: u32, public: Public) {
        self.with(|context| {
            let made = context.create_primary(Hierarchy::Owner, public, None, None, None, None)?;
            let handle = PersistentTpmHandle::new(handle)?;
            context.evict_control(
                Provision::Owner,
                made.key_handle.into(),
                Persistent::Persistent(handle),
            )
        });
    }

    /// How many transient objects and sessions there are.
    pub(crate) fn handles_left(&self) -> usize {
        use tss_esapi::constants::CapabilityType;
        use tss_esapi::structures::CapabilityData;
        let _alone = alone();
        let mut context = self.context();
        let mut left = 0;
        for first in [0x0200_0000, 0x0300_0000, 0x8000_0000] {
            let (data, _) = context
                .get_capability(CapabilityType::Handles, first, 64)
                .unwrap();
            if let CapabilityData::Handles(handles) = data {
                left += handles.len();
            }
        }
        left
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn index_of(context: &mut Context) -> tss_esapi::Result<NvIndexHandle> {
    let handle = TpmHandle::NvIndex(NvIndexTpmHandle::new(INDEX)?);
    let handle: ObjectHandle =
        context.execute_without_session(|context| context.tr_from_tpm_public(handle))?;
    Ok(handle.into())
}

/// Two ports in a row that nobody has: commands, and control.
pub(crate) fn free_pair() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

fn started(state: &TempDir, port: u16) -> Option<Child> {
    let child = spawned(
        Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.path().display()))
            .arg("--server")
            .arg(format!("type=tcp,port={port}"))
            .arg("--ctrl")
            .arg(format!("type=tcp,port={}", port + 1))
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let mut child = child.unwrap_or_else(|error| panic!("swtpm: {error}: apt-get install swtpm"));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port + 1)).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
