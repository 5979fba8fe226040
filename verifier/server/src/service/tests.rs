//! Setting up and reloading from files, TLS included.

use super::*;
use crate::challenge::Issued;
use crate::entropy::KernelEntropy;
use crate::generated::tests::DISKS;
use crate::http::router;
use crate::key_file::{generate_signing_key, write_secret};
use crate::key_ring::rotate;
use crate::listen;
use crate::serve::{reload, reload_aside};
use nitride_verify::Tee;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::watch;

const ATTESTATION: &str =
    "version = 1\ndanger-accept-sample = true\ndanger-test-anchors = []\n[sample]\nsvn = [\"1\"]\n";

struct Folder {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    fn make() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = Self {
            folder: tempfile::tempdir().unwrap(),
            ca,
        };
        for name in ["store.key", "challenge.key"] {
            Key32::draw(&mut KernelEntropy)
                .unwrap()
                .write(&folder.at(name))
                .unwrap();
        }
        let (token, public) = (folder.at("token.pem"), folder.at("token.pub"));
        generate_signing_key(&token, &public, &mut KernelEntropy).unwrap();
        folder.write("ca.pem", &folder.ca.pem());
        folder.issue("server");
        folder.write("attestation.toml", ATTESTATION);
        folder.write("resource.toml", "version = 1\n");
        folder.configure("");
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// Certificate and key for localhost, `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        let _ = fs::remove_file(self.at(&format!("{name}.key")));
        write_secret(
            &self.at(&format!("{name}.key")),
            key.serialize_pem().as_bytes(),
        )
        .unwrap();
    }

    /// `more` goes into `[tls]`, the last table.
    fn configure(&self, more: &str) {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nstore = \"store\"\nstore-key = \"store.key\"\n\
             challenge-key = \"challenge.key\"\ntoken-key = \"token.pem\"\nissuer = \"i\"\n\
             audience = \"a\"\npolicy-id = \"p\"\nattestation-policy = \"attestation.toml\"\n\
             resource-policy = \"resource.toml\"\n[tls]\ncertificate = \"server.pem\"\n\
             key = \"server.key\"\n{more}"
        );
        self.write("provisiond.toml", &text);
    }

    fn config(&self) -> Config {
        Config::load(&self.at("provisiond.toml")).unwrap()
    }

    fn open(&self) -> Result<Service, SetUpError> {
        Service::open(&self.config(), Clock::system(), Webhooks::default())
    }

    /// Asks for /healthz over TLS; the first line of the answer.
    fn ask(&self, address: SocketAddr, with_certificate: bool) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.at("ca.pem")).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if with_certificate {
            let chain = vec![CertificateDer::from_pem_file(self.at("client.pem")).unwrap()];
            let key = PrivateKeyDer::from_pem_file(self.at("client.key")).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(config.into(), name).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        match answer.lines().next() {
            Some(line) => Ok(line.to_owned()),
            None => Err(read
                .err()
                .unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// Serves on loopback while `work` runs.
fn serving(service: Service, work: impl FnOnce(SocketAddr, &Service)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = Arc::new(service);
    let (stop, stopping) = watch::channel(false);
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(service.clone());
        tokio::spawn(listen::serve(listener, service.clone(), router, stopping));
        address
    });
    work(address, &service);
    stop.send(true).unwrap();
}

#[test]
fn it_serves_over_tls_and_plain_bytes_get_nothing() {
    let folder = Folder::make();
    serving(folder.open().unwrap(), |address, _| {
        assert_eq!(folder.ask(address, false).unwrap(), "HTTP/1.1 200 OK");
        let mut plain = TcpStream::connect(address).unwrap();
        plain
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"));
    });
}

#[test]
fn a_handshake_that_does_not_come_ends_the_connection() {
    let folder = Folder::make();
    folder.configure("[limits]\nheader-timeout-secs = 1\n");
    serving(folder.open().unwrap(), |address, _| {
        let mut silent = TcpStream::connect(address).unwrap();
        silent
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    });
}

#[test]
fn with_a_client_ca_every_client_needs_its_certificate() {
    let folder = Folder::make();
    folder.issue("client");
    folder.configure("client-ca = \"ca.pem\"\n");
    serving(folder.open().unwrap(), |address, _| {
        assert!(folder.ask(address, false).is_err());
        assert_eq!(folder.ask(address, true).unwrap(), "HTTP/1.1 200 OK");
    });
}

#[test]
fn a_reload_takes_new_policies_and_certificates() {
    let folder = Folder::make();
    serving(folder.open().unwrap(), |address, service| {
        let before = service.current();
        folder.issue("server");
        folder.write("attestation.toml", &ATTESTATION.replace("\"1\"", "\"2\""));
        service.reload(&folder.config()).unwrap();
        let after = service.current();
        let [before, after] = [before, after].map(|current| current.judgement.clone().unwrap());
        assert_eq!(after.attestation_policy.sample_svn().unwrap().value, ["2"]);
        assert_ne!(before.digest, after.digest);
        assert_eq!(folder.ask(address, false).unwrap(), "HTTP/1.1 200 OK");
    });
}

#[test]
fn a_reload_with_any_mistake_changes_nothing() {
    let folder = Folder::make();
    let service = folder.open().unwrap();
    let before = service.current();
    folder.write("attestation.toml", &ATTESTATION.replace("\"1\"", "\"2\""));
    let good = fs::read_to_string(folder.at("resource.toml")).unwrap();
    for (name, text) in [("resource.toml", "version = 9\n"), ("server.pem", "")] {
        folder.write(name, text);
        assert!(service.reload(&folder.config()).is_err(), "{name}");
        assert!(Arc::ptr_eq(&before, &service.current()), "{name}");
        folder.write("resource.toml", &good);
    }
}

#[test]
fn a_policy_that_wants_collateral_does_not_start_without_it() {
    for (policy, word) in [
        (
            include_str!("../../../../examples/config/service/attestation-snp.toml"),
            "revocation list for Milan",
        ),
        (
            include_str!("../../../../examples/config/service/attestation-tdx.toml"),
            "Intel's collateral",
        ),
    ] {
        let folder = Folder::make();
        folder.write("attestation.toml", policy);
        let error = folder.open().unwrap_err();
        assert!(matches!(error, SetUpError::Missing(_)), "{error}");
        let missing = std::error::Error::source(&error).unwrap().to_string();
        assert!(missing.contains(word), "{missing}");
    }
}

#[test]
fn a_reload_takes_collateral_whole_or_not_at_all() {
    let folder = Folder::make();
    let text = fs::read_to_string(folder.at("provisiond.toml")).unwrap();
    folder.write(
        "provisiond.toml",
        &format!("collateral = \"collateral\"\n{text}"),
    );
    let error = folder.open().unwrap_err();
    assert!(matches!(error, SetUpError::Collateral(_)), "{error}");
    fs::create_dir_all(folder.at("collateral/intel")).unwrap();
    let service = folder.open().unwrap();
    let before = service.current();
    folder.write("collateral/intel/README", "what");
    let error = service.reload(&folder.config()).unwrap_err();
    assert!(matches!(error, SetUpError::Collateral(_)), "{error}");
    assert!(Arc::ptr_eq(&before, &service.current()));
    fs::remove_file(folder.at("collateral/intel/README")).unwrap();
    service.reload(&folder.config()).unwrap();
    assert!(!Arc::ptr_eq(&before, &service.current()));
}

#[test]
fn a_reload_takes_a_rotated_folder_of_keys_and_keeps_what_was_issued() {
    let folder = Folder::make();
    let keys = folder.at("challenge");
    let mut make = |path: &Path| Key32::draw(&mut KernelEntropy)?.write(path);
    let mut turn = || rotate(&keys, 0, SystemTime::now(), &mut make).unwrap();
    turn();
    let text = fs::read_to_string(folder.at("provisiond.toml")).unwrap();
    folder.write(
        "provisiond.toml",
        &text.replace("\"challenge.key\"", "\"challenge\""),
    );
    let (here, there) = (folder.open().unwrap(), folder.open().unwrap());
    let issue = |service: &Service| {
        let current = service.current();
        let issued = current
            .challenges
            .issue(Tee::Sample, 1000, &mut KernelEntropy);
        issued.unwrap()
    };
    let takes = |service: &Service, issued: &Issued| {
        let current = service.current();
        current
            .challenges
            .verify(&issued.nonce, &issued.session, 1000)
            .is_ok()
    };
    let before = issue(&here);
    turn();
    here.reload(&folder.config()).unwrap();
    // One replica has rotated, the other not yet.
    let after = issue(&here);
    assert!(takes(&here, &before) && takes(&here, &after));
    assert!(takes(&there, &before) && takes(&there, &after));
    assert!(takes(&here, &issue(&there)));
    for _ in 0..2 {
        turn();
        here.reload(&folder.config()).unwrap();
    }
    assert!(!takes(&here, &before));
    folder.write("challenge/stranger", "");
    let error = here.reload(&folder.config()).unwrap_err();
    assert!(matches!(error, SetUpError::Keys(_)), "{error}");
}

#[test]
fn the_store_s_key_is_none_of_the_challenges_wherever_it_hides() {
    let folder = Folder::make();
    let text = fs::read_to_string(folder.at("provisiond.toml")).unwrap();
    let several = "[\"challenge.key\", \"other.key\"]";
    folder.write(
        "provisiond.toml",
        &text.replace("\"challenge.key\"", several),
    );
    let other = Key32::draw(&mut KernelEntropy).unwrap();
    other.write(&folder.at("other.key")).unwrap();
    let service = folder.open().unwrap();
    fs::copy(folder.at("store.key"), folder.at("other.key")).unwrap();
    let error = service.reload(&folder.config()).unwrap_err();
    assert!(matches!(error, SetUpError::OneKeyTwice), "{error}");
}

#[test]
fn what_is_generated_is_signed_by_a_key_that_signs_no_tokens() {
    let folder = Folder::make();
    let text = fs::read_to_string(folder.at("provisiond.toml")).unwrap();
    let text = format!("{text}\n[policies]\ngenerate = \"generate.toml\"\n");
    folder.write("provisiond.toml", &text);
    let signed_by = |key: &str| {
        let text = DISKS.replace("generate.key", key);
        folder.write("generate.toml", &text);
    };
    let (private, public) = (folder.at("own.pem"), folder.at("own.pub"));
    generate_signing_key(&private, &public, &mut KernelEntropy).unwrap();
    signed_by("own.pem");
    let service = folder.open().unwrap();
    let before = service.current();
    for (key, told) in [
        ("token.pem", "token-key"),
        ("store.key", "P-256"),
        ("none", "none"),
    ] {
        signed_by(key);
        let error = service.reload(&folder.config()).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert!(Arc::ptr_eq(&before, &service.current()));
    }
    // Another text is another digest, which the log has.
    folder.write(
        "generate.toml",
        &DISKS
            .replace("generate.key", "own.pem")
            .replace("600", "60"),
    );
    let after = service.reload(&folder.config()).unwrap();
    assert_ne!(before.digest(), after.digest());
}

#[test]
fn what_only_a_restart_can_change_changes_nothing() {
    let folder = Folder::make();
    let running = folder.config();
    let service = folder.open().unwrap();
    let before = service.current();
    let path = folder.at("provisiond.toml");
    folder.configure("[limits]\nconnections = 7\n");
    let error = reload(&path, &running, &service).unwrap_err();
    assert!(matches!(error, SetUpError::NeedsRestart { .. }), "{error}");
    assert!(Arc::ptr_eq(&before, &service.current()));
    folder.configure("");
    assert!(reload(&path, &running, &service).is_ok());
    assert!(!Arc::ptr_eq(&before, &service.current()));
}

#[test]
fn a_reload_holds_no_thread_of_the_executor_up() {
    let folder = Folder::make();
    let (running, service) = (Arc::new(folder.config()), Arc::new(folder.open().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        // The one thread for what blocks is taken, so that a reload waits, and the executor does not.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || released.recv());
        let path = folder.at("provisiond.toml");
        let mut reloading = Box::pin(reload_aside(path, running, service));
        let short = Duration::from_millis(100);
        assert!(tokio::time::timeout(short, &mut reloading).await.is_err());
        drop(release);
        assert!(taken.await.unwrap().is_err());
        reloading.await.unwrap();
    });
}

#[test]
fn keys_and_certificates_that_do_not_fit_are_named() {
    let folder = Folder::make();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let key = fs::read_to_string(folder.at("server.key")).unwrap();
    let certificate = fs::read_to_string(folder.at("server.pem")).unwrap();
    let error_with = |name: &str, text: &str| {
        folder.write(name, text);
        let error = folder.open().unwrap_err();
        folder.write("server.key", &key);
        folder.write("server.pem", &certificate);
        error
    };
    let tls = |error| match error {
        SetUpError::Tls(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(
        tls(error_with("server.key", &other)),
        TlsError::Rejected { .. }
    ));
    assert!(matches!(
        tls(error_with("server.key", "")),
        TlsError::NoKey { .. }
    ));
    assert!(matches!(
        tls(error_with("server.pem", "")),
        TlsError::NoCertificate { .. }
    ));
    assert!(matches!(
        tls(error_with("server.pem", "-----BEGIN CERTIFICATE-----\n")),
        TlsError::Certificates { .. }
    ));
    let challenge_key = fs::read(folder.at("challenge.key")).unwrap();
    fs::copy(folder.at("store.key"), folder.at("challenge.key")).unwrap();
    assert!(matches!(folder.open(), Err(SetUpError::OneKeyTwice)));
    fs::write(folder.at("challenge.key"), challenge_key).unwrap();
    folder.write("token.pem", "");
    assert!(matches!(folder.open(), Err(SetUpError::Keys(_))));
    let _ = fs::remove_file(folder.at("challenge.key"));
    assert!(matches!(
        folder.open(),
        Err(SetUpError::Keys(KeyRingError::File(
            KeyFileError::Unreadable { .. }
        )))
    ));
}
