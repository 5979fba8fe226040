//! An engine in the test's own hands, which can lie. What a real one does, tests/e2e/tests/openbao shows.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// What the engine does with a request that it has understood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Honest,
    /// Does it, and hangs up without a word.
    LoseAnswers,
    /// Does nothing, and says so.
    StandBy,
    /// Does nothing, and says nothing.
    Silent,
    /// Says much more than was asked.
    Endless,
}

pub(super) struct State {
    /// Versions of each secret, from the first; `None` was deleted.
    pub(super) secrets: BTreeMap<String, Vec<Option<String>>>,
    /// What is answered in a secret's place, whatever there is.
    pub(super) lies: BTreeMap<String, Value>,
    pub(super) moods: Vec<Mood>,
    pub(super) logins: usize,
    pub(super) login_is_refused: bool,
    pub(super) good_tokens: BTreeSet<String>,
    pub(super) forbidden: bool,
}

#[derive(Clone)]
pub(super) struct Engine {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Engine {
    pub(super) fn start() -> Self {
        let state = State {
            secrets: BTreeMap::new(),
            lies: BTreeMap::new(),
            moods: Vec::new(),
            logins: 0,
            login_is_refused: false,
            good_tokens: BTreeSet::new(),
            forbidden: false,
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let engine = Self {
            state: Arc::new(Mutex::new(state)),
            address: listener.local_addr().unwrap(),
        };
        let serving = engine.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let engine = serving.clone();
                thread::spawn(move || while engine.serve_one(&stream) {});
            }
        });
        engine
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The moods of the next requests, logins not counted; then it is honest.
    pub(super) fn feel(&self, moods: &[Mood]) {
        self.state().moods = moods.iter().rev().copied().collect();
    }

    fn serve_one(&self, stream: &TcpStream) -> bool {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (mut len, mut token) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let Some((name, value)) = header.trim_end().split_once(": ") else {
                break;
            };
            match name.to_lowercase().as_str() {
                "content-length" => len = value.parse().unwrap(),
                "x-vault-token" => token = value.to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).unwrap();
        let mood = match target.starts_with("/v1/auth/") {
            true => Mood::Honest,
            false => self.state().moods.pop().unwrap_or(Mood::Honest),
        };
        let (status, answer) = match mood {
            Mood::StandBy => (503, json!({ "errors": ["node is standing by"] })),
            Mood::Silent => {
                thread::sleep(std::time::Duration::from_secs(30));
                return false;
            }
            Mood::Endless => (200, Value::String("x".repeat(3 << 20))),
            Mood::Honest | Mood::LoseAnswers => self.answer(method, target, &token, &body),
        };
        if mood == Mood::LoseAnswers {
            return false;
        }
        let answer = answer.to_string();
        let mut stream = stream;
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream
            .write_all(format!("{head}{answer}").as_bytes())
            .is_ok()
    }

    fn answer(&self, method: &str, target: &str, token: &str, body: &[u8]) -> (u16, Value) {
        let mut state = self.state();
        if target == "/v1/auth/approle/login" {
            if state.login_is_refused {
                return (400, json!({ "errors": ["invalid secret id"] }));
            }
            state.logins += 1;
            let token = format!("token-{}", state.logins);
            state.good_tokens.insert(token.clone());
            let auth = json!({ "client_token": token, "lease_duration": 3600, "renewable": true });
            return (200, json!({ "auth": auth }));
        }
        if !state.good_tokens.contains(token) {
            return (403, json!({ "errors": ["permission denied"] }));
        }
        if target == "/v1/auth/token/lookup-self" {
            return (200, json!({ "data": {} }));
        }
        if state.forbidden {
            return (403, json!({ "errors": ["permission denied"] }));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some(name) = path.strip_prefix("/v1/secret/data/nitride/") {
            if let Some(lie) = state.lies.get(name) {
                return (200, lie.clone());
            }
            let secrets = state.secrets.entry(name.to_owned()).or_default();
            if method == "POST" {
                let body: Value = serde_json::from_slice(body).unwrap();
                if body["options"]["cas"] != secrets.len() {
                    return (400, json!({ "errors": ["check-and-set did not match"] }));
                }
                secrets.push(Some(body["data"]["sealed"].as_str().unwrap().to_owned()));
                return (200, json!({ "data": { "version": secrets.len() } }));
            }
            let version = query.strip_prefix("version=");
            let version = version.map_or(secrets.len(), |number| number.parse().unwrap());
            return match version.checked_sub(1).and_then(|index| secrets.get(index)) {
                None => (404, json!({ "errors": [] })),
                Some(None) => (404, secret(version, Value::Null)),
                Some(Some(sealed)) => (200, secret(version, json!({ "sealed": sealed }))),
            };
        }
        if let Some(name) = path.strip_prefix("/v1/secret/destroy/nitride/") {
            let body: Value = serde_json::from_slice(body).unwrap();
            let secrets = state.secrets.get_mut(name).unwrap();
            for version in body["versions"].as_array().unwrap() {
                let index = usize::try_from(version.as_u64().unwrap()).unwrap() - 1;
                secrets[index] = None;
            }
            return (204, Value::Null);
        }
        let folder = path.strip_prefix("/v1/secret/metadata/nitride/").unwrap();
        let folder = format!("{folder}/");
        let below = state
            .secrets
            .iter()
            .filter(|(_, versions)| !versions.is_empty());
        let keys: BTreeSet<String> = below
            .filter_map(|(name, _)| name.strip_prefix(&folder))
            .map(|rest| match rest.split_once('/') {
                Some((first, _)) => format!("{first}/"),
                None => rest.to_owned(),
            })
            .collect();
        match keys.is_empty() {
            true => (404, json!({ "errors": [] })),
            false => (200, json!({ "data": { "keys": keys } })),
        }
    }
}

pub(super) fn secret(version: usize, data: Value) -> Value {
    json!({ "data": { "data": data, "metadata": { "version": version } } })
}
