//! The seal over a vault, a folder and a platform that stands in for one.

mod begun;
mod settled;
mod stand_in;
mod wiped;

use super::{Seal, Stake};
use crate::config::{Config, Document, Evidence, SealSettings};
use crate::daemon::Daemon;
use crate::randomness::SystemDraw;
use nitride_protocol::application::{Generate, Hello};
use nitride_protocol::{Call, KeyName, KeyType, Status, open_reply, open_request, write_request};
use nitride_vault::seal::{Generation, Head, Platform};
use nitride_vault::{Outcome, Peer, Socket};
use stand_in::StandIn;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;

/// A vault whose one key is to be sealed, and what it is sealed with.
struct Machine {
    folder: TempDir,
    daemon: Arc<Daemon>,
    platform: StandIn,
    settings: SealSettings,
}

const POLICY: &str = r#"
[[key]]
name = "sealed"
type = "aes-256-gcm"
source = "local"
operations = ["encrypt"]
seal = true

[[rule]]
name = "make"
keys = ["**"]
peers = [{ uid = 7 }]
operations = ["generate"]
"#;

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        fs::create_dir(&policy).unwrap();
        fs::write(policy.join("test.toml"), POLICY).unwrap();
        let platform = StandIn::start(&folder.path().join("quote"));
        let text = format!(
            "policy-dir = {policy:?}\n[arena]\nrecords = \"1MiB\"\nheap = \"1MiB\"\n\
             [seal]\nplatform = \"sample\"\ndanger-simulated = true\nfolder = {:?}\n\
             [evidence]\ntee = \"sample\"\ndanger-simulated = true\nquote-socket = {:?}\n",
            folder.path().join("unused"),
            folder.path().join("quote"),
        );
        let path = folder.path().join("vhsmd.toml");
        fs::write(&path, &text).unwrap();
        let config = Config::of(&Document::of(&path, text)).unwrap();
        set_arenas_up();
        let daemon = Daemon::new(path, config, nitride_secmem::Backing::Locked).unwrap();
        let settings = SealSettings {
            folder: folder.path().join("seal"),
            platform: Platform::Tpm,
            credential: None,
            provisioned: None,
            counter: true,
            must_exist: false,
        };
        Self {
            folder,
            daemon,
            platform,
            settings,
        }
    }

    /// A seal that nobody has begun yet; what one before it kept has to be gone.
    fn seal(&self) -> Seal {
        let config = Config {
            evidence: Some(Evidence {
                tee: "sample".into(),
                devices: None,
                quote_socket: self.folder.path().join("quote"),
                timeout: Duration::from_secs(60),
            }),
            ..self.daemon.config.clone()
        };
        Seal::new(&config, &self.settings, None)
    }

    fn begun(&self, has_records: bool) -> Seal {
        let seal = self.seal();
        seal.begin(&self.daemon, has_records);
        seal
    }

    /// One that has written: from then on each write takes one step.
    fn begun_certain(&self) -> Seal {
        let seal = self.begun(false);
        self.change();
        seal.tick(&self.daemon);
        seal
    }

    /// Makes the key; nothing waits for the file.
    fn make_key(&self) {
        let peer = Peer {
            uid: 7,
            gid: 7,
            groups: Vec::new(),
            pid: 7,
            unit: None,
            cgroup: None,
            executable_digest: None,
            per_message: false,
        };
        let mut session = self.daemon.vault.session(peer, Socket::Application);
        let mut ask = |packet: &[u8]| {
            let (head, params) = open_request(packet).unwrap();
            let (now, mut reply) = (Daemon::now(), [0; 256]);
            let vault = &self.daemon.vault;
            let outcome =
                vault.perform(&mut session, head, params, now, &mut SystemDraw, &mut reply);
            let Outcome::Reply(len) = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(open_reply(&reply[..len]).unwrap().0.status, Status::Ok);
        };
        let mut packet = [0; 256];
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            client: "test",
            wait_ms: 0,
            attaches: false,
        };
        let len = write_request(&mut packet, 1, Hello::OPERATION, &hello).unwrap();
        ask(&packet[..len]);
        let generate = Generate {
            key: KeyName::parse("sealed").unwrap(),
            key_type: KeyType::Aes256Gcm,
            operations: None,
            wrappable_by: Vec::new(),
        };
        let len = write_request(&mut packet, 2, Generate::OPERATION, &generate).unwrap();
        ask(&packet[..len]);
    }

    /// Changes what the file is to have.
    fn change(&self) {
        // A policy may speak of other keys than the one before.
        self.daemon.reload(None).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.settings.folder.join(name)
    }

    /// What the file says of itself.
    fn head(&self) -> Head {
        let file = fs::read(self.path("vault.sealed")).unwrap();
        Head::parse(&file).unwrap().0
    }

    fn generation(&self) -> Generation {
        self.head().generation
    }

    /// From here on, until it is undone, no file can be written.
    fn obstruct(&self) {
        fs::create_dir_all(self.path("vault.sealed.half/in-the-way")).unwrap();
    }

    fn clear(&self) {
        fs::remove_dir_all(self.path("vault.sealed.half")).unwrap();
    }

    /// Lets others write to the folder, or no more.
    fn set_mode(&self, mode: u32) {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(&self.settings.folder, permissions).unwrap();
    }
}

/// Once a process.
pub(super) fn set_arenas_up() {
    let sizes = nitride_secmem::ArenaSizes {
        records_len: 1 << 20,
        records_max_len: 1 << 20,
        heap_len: 1 << 20,
    };
    // Another test of this process may have been first.
    let _ = nitride_secmem::install(sizes, nitride_secmem::BackingChoice::Best, Vec::new());
}

impl Seal {
    /// Whether an answer of this stake may leave, when its request has changed nothing.
    fn lets_out(&self, daemon: &Daemon, stake: Stake) -> bool {
        let before = daemon.vault.seal_changes();
        self.settle(daemon, before, |_| stake).is_ok()
    }

    fn state_name(&self) -> &'static str {
        self.how().state()
    }
}
