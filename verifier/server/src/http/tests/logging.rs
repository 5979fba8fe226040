//! What the log says, and what it never does.

use super::world::{ADMIN, Guest, PATH, Plan, SECRET, service};
use crate::clock::Clock;
use crate::entropy::KernelEntropy;
use crate::http::{Source, router};
use crate::key_file::draw_p256;
use axum::body::Body;
use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use nitride_kbs::messages::{parse_attestation_response, parse_challenge};
use std::cell::RefCell;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::{Arc, Once};
use tower_service::Service as _;
use tracing_subscriber::filter::LevelFilter;

const AUTH: &str = r#"{"version":"0.4.0","tee":"sample","extra-params":""}"#;

thread_local! {
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged on a thread for that thread. One subscriber serves all tests: those that
/// come and go beside each other turn each other's events off.
struct ThreadLog;

impl Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log_by_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(|| ThreadLog)
            .with_ansi(false)
            .init();
    });
}

struct Reply {
    status: StatusCode,
    cookie: Option<String>,
    body: Vec<u8>,
}

/// A service on this thread alone, so that its log, down to the last detail, can be read.
struct Logged {
    runtime: tokio::runtime::Runtime,
    router: axum::Router,
}

impl Logged {
    fn start() -> Self {
        log_by_thread();
        // Tests may follow each other on one thread.
        WRITTEN.take();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            router: router(Arc::new(service(Plan::default(), Clock::system()))),
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .extension(Source(Ipv4Addr::LOCALHOST.into()))
            .body(Body::from(body.to_vec()))
            .unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().call(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let cookie = parts.headers.get(SET_COOKIE);
            let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
            Reply {
                status: parts.status,
                cookie: cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned()),
                body: body.collect().await.unwrap().to_bytes().to_vec(),
            }
        })
    }

    /// All that this thread has logged.
    fn text(&self) -> String {
        String::from_utf8(WRITTEN.with_borrow(Vec::clone)).unwrap()
    }
}

#[test]
fn decisions_are_logged_and_nothing_that_opens_anything_is() {
    let logged = Logged::start();
    let resource = format!("/kbs/v0/resource/{PATH}");
    let bearer = |token: &str| format!("Bearer {token}");

    let stored = logged.ask(
        "POST",
        &resource,
        &[(AUTHORIZATION.as_str(), &bearer(ADMIN))],
        SECRET,
    );
    assert_eq!(stored.status, StatusCode::OK);
    let challenged = logged.ask("POST", "/kbs/v0/auth", &[], AUTH.as_bytes());
    let guest = Guest {
        key: draw_p256(&mut KernelEntropy).unwrap(),
        nonce: parse_challenge(&challenged.body).unwrap().nonce,
        cookie: challenged.cookie.unwrap(),
    };
    let attestation = guest.attestation("1").to_json();
    let attested = logged.ask(
        "POST",
        "/kbs/v0/attest",
        &[(COOKIE.as_str(), &guest.cookie)],
        attestation.as_bytes(),
    );
    let token = parse_attestation_response(&attested.body).unwrap().token;
    let released = logged.ask(
        "GET",
        &resource,
        &[(COOKIE.as_str(), &attested.cookie.unwrap())],
        b"",
    );
    assert_eq!(released.status, StatusCode::OK);

    // Credentials that are refused are no less secret: they may be good elsewhere.
    let near = bearer("wrong-but-near");
    let wrong = [(AUTHORIZATION.as_str(), near.as_str())];
    logged.ask("POST", &resource, &wrong, SECRET);
    logged.ask("GET", &resource, &wrong, b"");
    logged.ask("GET", &resource, &[(COOKIE.as_str(), &guest.cookie)], b"");
    let cut = &token[..token.len() - 4];
    logged.ask(
        "GET",
        &resource,
        &[(AUTHORIZATION.as_str(), &bearer(cut))],
        b"",
    );
    let swapped = [(
        COOKIE.as_str(),
        "kbs-session-id=00112233445566778899aabbccddeeff",
    )];
    logged.ask("POST", "/kbs/v0/attest", &swapped, attestation.as_bytes());

    let text = logged.text();
    for decision in [
        "administered",
        "challenged",
        "attested",
        "released",
        "refused",
    ] {
        assert!(
            text.contains(&format!("decision=\"{decision}\"")),
            "{decision}: {text}"
        );
    }
    let session = guest.cookie.split_once('=').unwrap().1;
    let secrets = [
        std::str::from_utf8(SECRET).unwrap(),
        ADMIN,
        "wrong-but-near",
        "00112233445566778899aabbccddeeff",
        session,
        &guest.nonce,
        cut,
    ];
    for secret in secrets.into_iter().chain(token.split('.')) {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn a_request_cannot_write_lines_of_its_own_or_long_ones() {
    let logged = Logged::start();
    let hostile = r"\n2030-01-01T00:00:00Z  INFO request: released \u001b[2J \u202e é";
    for body in [
        format!(r#"{{"version":"{hostile}","tee":"sample","extra-params":""}}"#),
        format!(r#"{{"version":"0.4.0","tee":"{hostile}","extra-params":""}}"#),
        format!(r#"{{"version":"0.4.0","{hostile}":1,"tee":"sample","extra-params":""}}"#),
        format!(r#"{{"version":["{}"]}}"#, hostile.repeat(40)),
    ] {
        let reply = logged.ask("POST", "/kbs/v0/auth", &[], body.as_bytes());
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
    let long = "A".repeat(20_000);
    logged.ask(&long, &format!("/kbs/v0/{long}"), &[], b"");
    let text = logged.text();
    assert_eq!(text.lines().count(), 5, "{text}");
    for line in text.lines() {
        assert!(
            line.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{line:?}"
        );
        assert!(line.len() < 2000, "{} bytes", line.len());
    }
}
