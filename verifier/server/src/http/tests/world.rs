//! A running service and a guest, for the tests beside this file.

use crate::admin::{Access, Admins, Grant, Namespaces, Role};
use crate::audit::Audit;
use crate::clock::Clock;
use crate::config::{AdminSettings, AdminWay, Limits, PolicySource, ThrottleLimits};
use crate::entropy::KernelEntropy;
use crate::generated::Generation;
use crate::http::router;
use crate::judgement::Judgement;
use crate::jwe::opening;
use crate::key_file::draw_p256;
use crate::listen;
use crate::policies::Policies;
use crate::policy_watch::{self, PolicyWatch};
use crate::revocation::{self, Entry, Kind};
use crate::service::{Current, Service};
use crate::store::memory::MemoryStore;
use crate::store::{Expected, Place, Resource, Store};
use crate::tee_keys::TeeKeys;
use crate::throttle::Throttle;
use crate::token::tests::{NOW_SECS, issuer_with};
use crate::token_key::SigningAlgorithm;
use crate::token_key::tests::key;
use crate::watch::Watch;
use crate::webhook::Webhooks;
use crate::witness::WitnessSettings;
use base64ct::{Base64, Encoding};
use nitride_collateral::Shelf;
use nitride_kbs::messages::{
    Attestation, ErrorInformation, Request, parse_attestation_response, parse_challenge,
    parse_error_information,
};
use nitride_kbs::report_data::report_data;
use nitride_kbs::resource::ResourcePath;
use nitride_kbs::tee_key::TeePublicKey;
use nitride_verify::AttestationPolicy;
use nitride_verify::x509::ChainMemo;
use p256::SecretKey;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(super) const SECRET: &[u8] = b"what the vault is to have";
pub(super) const PATH: &str = "demo/key/one";
/// What opens `demo/**` to evidence of svn 1.
pub(super) const RULES: &str = "version = 1\n[[rule]]\nname = \"demo\"\nresources = [\"demo/**\"]\n\
    status = \"affirming\"\ntee = [\"sample\"]\ndanger-allow-simulated = true\n\
    danger-allow-debug = false\nclaims = { \"sample.svn\" = [\"1\"] }\n";
pub(super) const ADMIN: &str = "the-admin-s-token";

/// Longer than every time-out of the service, so that a test can tell the two apart.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// What tests vary.
pub(super) struct Plan {
    pub(super) accept_sample: bool,
    pub(super) throttle: ThrottleLimits,
    pub(super) attest_throttle: ThrottleLimits,
    pub(super) limits: Limits,
    pub(super) store: Arc<dyn Store>,
    pub(super) has_admin: bool,
    /// The number of its challenge key: replicas have the same.
    pub(super) challenge_key: u8,
    pub(super) algorithm: SigningAlgorithm,
    pub(super) audit: Audit,
    pub(super) tee_keys: TeeKeys,
    /// The text of a `generate.toml`; then machines of svn 2 are wanted, too.
    pub(super) generate: Option<String>,
    pub(super) witness: Option<WitnessSettings>,
    /// Whether its policies are those of the store.
    pub(super) follows_store: bool,
    /// Beside the one of resources, each with its roles and namespaces; its token is its name.
    pub(super) admins: Vec<(&'static str, &'static [Role], Namespaces)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            accept_sample: true,
            throttle: ThrottleLimits {
                requests_per_second: 1000,
                burst: 1000,
            },
            attest_throttle: ThrottleLimits {
                requests_per_second: 1000,
                burst: 1000,
            },
            limits: Limits {
                connections: 64,
                connections_per_source: 64,
                header_timeout: Duration::from_secs(10),
                body_timeout: Duration::from_secs(10),
                connection_lifetime: Duration::from_secs(60),
                drain: Duration::from_secs(1),
            },
            store: Arc::new(MemoryStore::default()),
            has_admin: true,
            challenge_key: 1,
            algorithm: SigningAlgorithm::Es256,
            audit: Audit::none(),
            tee_keys: TeeKeys::all(),
            generate: None,
            witness: None,
            follows_store: false,
            admins: Vec::new(),
        }
    }
}

/// A service that listens, and the hand of its clock.
pub(super) struct World {
    pub(super) service: Arc<Service>,
    address: SocketAddr,
    clock: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    runtime: Runtime,
}

impl World {
    pub(super) fn start() -> Self {
        Self::of(Plan::default())
    }

    pub(super) fn of(plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let clock = Arc::new(AtomicU64::new(NOW_SECS));
        let service = Arc::new(service(plan, Clock::Manual(clock.clone())));
        let (stop, stopping) = watch::channel(false);
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(listen::serve(
                listener,
                service.clone(),
                router(service.clone()),
                stopping,
            ));
            address
        });
        Self {
            service,
            address,
            clock,
            stop,
            runtime,
        }
    }

    pub(super) fn put(&self, path: &str, resource: &[u8]) {
        let place = Place::from(&ResourcePath::parse(path).unwrap());
        let resource = Resource::new(resource.to_vec());
        let writing = self.service.store.write(&place, resource, Expected::Any);
        self.runtime.block_on(writing).unwrap();
    }

    pub(super) fn revoke(&self, kind: Kind, what: &str) {
        let entry = Entry {
            kind,
            what: what.to_owned(),
            since_secs: NOW_SECS,
            reason: String::new(),
        };
        let store = self.service.store.as_ref();
        let added = self.runtime.block_on(revocation::add(store, entry));
        assert!(added.unwrap());
    }

    /// Looks for policies in the store, as the service does every two seconds.
    pub(super) fn look(&self) {
        let policies = self.service.policy_watch.as_ref().unwrap();
        self.runtime
            .block_on(policy_watch::look(&self.service, policies));
    }

    /// The same, if it ends in time.
    pub(super) fn look_within(&self, limit: Duration) {
        let policies = self.service.policy_watch.as_ref().unwrap();
        self.runtime.block_on(async {
            let looking = policy_watch::look(&self.service, policies);
            tokio::time::timeout(limit, looking).await.unwrap();
        });
    }

    /// Asks the store itself, past the service.
    pub(super) fn store<T>(&self, asking: impl Future<Output = T>) -> T {
        self.runtime.block_on(asking)
    }

    pub(super) fn turn_clock(&self, secs: u64) {
        self.clock.fetch_add(secs, Ordering::SeqCst);
    }

    pub(super) fn stop(&self) {
        self.stop.send(true).unwrap();
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream
    }

    /// A connection from another loopback address than everybody's.
    pub(super) fn connect_from(&self, address: &str) -> TcpStream {
        let connecting = async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            let from = SocketAddr::new(address.parse().unwrap(), 0);
            socket.bind(from).unwrap();
            socket.connect(self.address).await.unwrap()
        };
        let stream = self.runtime.block_on(connecting).into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, request: &HttpRequest<'_>) -> Answer {
        self.ask_over(self.connect(), request)
    }

    pub(super) fn ask_over(&self, mut stream: TcpStream, request: &HttpRequest<'_>) -> Answer {
        // The service may answer and close before it has read everything.
        let _ = stream.write_all(&request.to_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer::parse(&bytes)
    }

    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(&HttpRequest {
            method: "GET",
            path,
            headers,
            body: b"",
        })
    }

    pub(super) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ask(&HttpRequest {
            method: "POST",
            path,
            headers,
            body,
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// The service that serves nobody yet.
pub(super) fn service(plan: Plan, clock: Clock) -> Service {
    let admin = |name: &str, token: &str, roles: &[Role], namespaces: &Namespaces| AdminSettings {
        name: name.to_owned(),
        way: AdminWay::Token(Sha256::digest(token.as_bytes()).into()),
        grants: roles
            .iter()
            .map(|role| Grant {
                role: *role,
                access: Access::Write,
            })
            .collect(),
        namespaces: namespaces.clone(),
    };
    let of_the_test = admin("of the test", ADMIN, &[Role::Resources], &Namespaces::All);
    let mut admins = if plan.has_admin {
        vec![of_the_test]
    } else {
        vec![]
    };
    let others = plan.admins.iter();
    admins.extend(others.map(|(name, roles, of)| admin(name, name, roles, of)));
    let judgement = Some(judgement(&plan).into()).filter(|_| !plan.follows_store);
    let generation = plan.generate.as_deref().map(Generation::of_text);
    let mut service = Service::of_parts(
        clock,
        plan.store,
        Throttle::new(plan.throttle),
        Throttle::new(plan.attest_throttle),
        plan.limits,
        Current {
            judgement,
            generation: generation.map(Arc::new),
            issuer: issuer_with(vec![key(plan.algorithm)]).into(),
            challenges: crate::challenge::tests::keys(&[plan.challenge_key]).into(),
            tee_keys: plan.tee_keys.clone(),
            shelf: Shelf::default().into(),
            memo: ChainMemo::new().into(),
            tls: None,
            admins: Admins::load(&admins).unwrap().into(),
        },
    );
    service.watch = Watch::new(plan.audit, Webhooks::default());
    service.witness = plan.witness;
    if plan.follows_store {
        service.policy_watch = PolicyWatch::of(&PolicySource::Store { at_least: 0 });
    }
    service
}

fn judgement(plan: &Plan) -> Judgement {
    let accept_sample = plan.accept_sample;
    let svns = match plan.generate {
        Some(_) => "[\"1\", \"2\"]",
        None => "[\"1\"]",
    };
    let attestation = format!(
        "version = 1\ndanger-accept-sample = {accept_sample}\ndanger-test-anchors = []\n[sample]\nsvn = {svns}\n"
    );
    let rules = RULES.replace("[\"1\"]", svns);
    Judgement {
        attestation_policy: AttestationPolicy::parse(&attestation, "attestation.toml").unwrap(),
        policies: Policies::of_rules(&rules),
        appraisal: None,
        digest: [0; 32],
    }
}

pub(super) struct HttpRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl HttpRequest<'_> {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.method,
            self.path,
            self.body.len()
        );
        for (name, value) in self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        [head.as_bytes(), b"\r\n", self.body].concat()
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// `status` 0 is no answer.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(end) = end else {
            return Self {
                status: 0,
                headers: Vec::new(),
                body: Vec::new(),
            };
        };
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The cookie that the answer sets, as a `Cookie` header.
    pub(super) fn cookie(&self) -> Option<String> {
        self.header("set-cookie")?
            .split(';')
            .next()
            .map(str::to_owned)
    }

    pub(super) fn error(&self) -> ErrorInformation {
        assert_eq!(self.header("content-type"), Some("application/json"));
        parse_error_information(&self.body).unwrap()
    }

    /// Status and error type in one, as tests state them.
    #[track_caller]
    pub(super) fn assert_refused(&self, status: u16, variant: &str) {
        let error = self.error();
        assert_eq!(
            (self.status, error.variant()),
            (status, variant),
            "{}",
            error.detail
        );
        assert!(
            !error.detail.is_empty() && error.detail.len() < 200,
            "{}",
            error.detail
        );
        assert_eq!(self.header("nitride-request-id").unwrap().len(), 16);
    }
}

/// A guest with a TEE key and sample evidence.
pub(super) struct Guest {
    pub(super) key: SecretKey,
    pub(super) nonce: String,
    pub(super) cookie: String,
}

impl Guest {
    /// A guest that has a challenge.
    pub(super) fn challenged(world: &World) -> Self {
        let answer = world.post(
            "/kbs/v0/auth",
            &[],
            Request::new("sample").to_json().as_bytes(),
        );
        assert_eq!(answer.status, 200);
        Self {
            key: draw_p256(&mut KernelEntropy).unwrap(),
            nonce: parse_challenge(&answer.body).unwrap().nonce,
            cookie: answer.cookie().unwrap(),
        }
    }

    /// The attest request for evidence of `svn`.
    pub(super) fn attestation(&self, svn: &str) -> Attestation {
        self.attestation_of(&opening::public(&self.key), svn)
    }

    /// The same for any key.
    pub(super) fn attestation_of(&self, key: &TeePublicKey, svn: &str) -> Attestation {
        let report_data = Base64::encode_string(&report_data(&self.nonce, key, ""));
        let evidence = serde_json::json!({ "svn": svn, "report_data": report_data }).to_string();
        Attestation::compose(&self.nonce, &key.to_jwk_json(), &evidence, "", None).unwrap()
    }

    pub(super) fn attest(&self, world: &World, svn: &str) -> Answer {
        self.send(world, &self.attestation(svn))
    }

    pub(super) fn send(&self, world: &World, attestation: &Attestation) -> Answer {
        let cookie = [("Cookie", self.cookie.as_str())];
        world.post("/kbs/v0/attest", &cookie, attestation.to_json().as_bytes())
    }

    /// Attests and gives the token.
    pub(super) fn token(&self, world: &World, svn: &str) -> String {
        let answer = self.attest(world, svn);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        parse_attestation_response(&answer.body).unwrap().token
    }

    pub(super) fn open(&self, answer: &Answer) -> Option<Vec<u8>> {
        opening::open(&answer.body, &self.key)
    }
}

/// Asks for a resource with a Bearer token.
pub(super) fn fetch(world: &World, path: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    world.get(
        &format!("/kbs/v0/resource/{path}"),
        &[("Authorization", &bearer)],
    )
}
