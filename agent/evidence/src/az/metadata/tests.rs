use super::*;
use nix::sys::socket::{Backlog, bind, listen};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// How the stand-in for the service answers each connection in turn; the last one again and again.
#[derive(Clone)]
enum Does {
    Says(String),
    Drips(&'static str),
    Hangs,
    HangsUp,
}

/// A stand-in for the service, which keeps what it was asked.
struct StandIn {
    folder: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    fn new(plan: &[Does]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("imds")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let plan = plan.to_vec();
        std::thread::spawn(move || {
            for count in 0.. {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                let does = plan.get(count).or(plan.last()).unwrap().clone();
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || serve(stream, &does, &heard));
            }
        });
        Self { folder, asked }
    }

    fn saying(status: &str, body: &str) -> Self {
        Self::new(&[says(status, body)])
    }

    fn client(&self, patience_ms: u64) -> Metadata {
        Metadata {
            socket: self.folder.path().join("imds"),
            patience: Duration::from_millis(patience_ms),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// When nobody gives up who asks here.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn says(status: &str, body: &str) -> Does {
    let len = body.len();
    Does::Says(format!(
        "HTTP/1.1 {status}\r\nServer: x\r\nContent-Length: {len}\r\n\r\n{body}"
    ))
}

fn serve(mut stream: UnixStream, does: &Does, heard: &Mutex<Vec<String>>) {
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut part) {
        asked.extend(&part[..len]);
        let text = String::from_utf8_lossy(&asked);
        let is_whole = text.ends_with("\r\n\r\n") || text.ends_with('}');
        if is_whole {
            break;
        }
    }
    let text = String::from_utf8_lossy(&asked).into_owned();
    heard.lock().unwrap().push(text);
    match does {
        Does::Says(text) => {
            let _ = stream.write_all(text.as_bytes());
        }
        Does::Drips(text) => {
            for byte in text.bytes().cycle() {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                sleep(Duration::from_millis(20));
            }
        }
        Does::Hangs => sleep(Duration::from_secs(60)),
        Does::HangsUp => {}
    }
}

/// `0x30` and three bytes more, as a certificate would be written.
const CERTIFICATION: &str = r#"{"vcekCert":"-----BEGIN CERTIFICATE-----\nMAEC\nAw==\n-----END CERTIFICATE-----\n","tcbm":"DB18000000000004","certificateChain":"","cacheControl":"86400"}"#;

#[test]
fn the_certificate_is_asked_for_as_the_service_wants_it() {
    let service = StandIn::saying("200 OK", CERTIFICATION);
    assert_eq!(service.client(5000).vcek(later()).unwrap(), [0x30, 1, 2, 3]);
    let asked = service.asked();
    assert!(asked[0].starts_with("GET /metadata/THIM/amd/certification HTTP/1.1\r\n"));
    assert!(asked[0].contains("\r\nMetadata: true\r\n"));
    assert!(asked[0].contains("\r\nHost: 169.254.169.254\r\n"));
}

#[test]
fn a_quote_is_asked_for_by_its_report() {
    for quote in ["_-8B", "_-8=", "_-8"] {
        let service = StandIn::saying("200 OK", &format!("{{\"quote\":\"{quote}\"}}"));
        let said = service.client(5000).td_quote(&[0xfb; 4], later()).unwrap();
        assert_eq!(said[..2], [0xff, 0xef]);
        let asked = service.asked();
        assert!(asked[0].starts_with("POST /acc/tdquote HTTP/1.1\r\n"));
        assert!(asked[0].contains("\r\nMetadata: true\r\n"));
        assert!(asked[0].contains("\r\nContent-Length: 19\r\n"));
        assert!(asked[0].ends_with("\r\n\r\n{\"report\":\"-_v7-w\"}"));
    }
}

#[test]
fn a_service_that_is_throttled_or_away_is_asked_again() {
    for first in [
        says("429 Too Many Requests", ""),
        says("503 Busy", ""),
        says("410 Gone", ""),
        Does::HangsUp,
    ] {
        let service = StandIn::new(&[first, says("200 OK", CERTIFICATION)]);
        assert!(service.client(5000).vcek(later()).is_ok());
    }
}

#[test]
fn a_service_that_stays_throttled_is_given_up_in_time() {
    let service = StandIn::saying("429 Too Many Requests", "");
    let began = Instant::now();
    let error = service.client(1200).vcek(later()).unwrap_err();
    assert!(matches!(error, MetadataError::Refused(429)), "{error}");
    assert!(began.elapsed() < Duration::from_millis(1200));
    assert_eq!(service.asked().len(), 2);
}

#[test]
fn a_refusal_is_final() {
    for status in [400, 403, 404] {
        let service = StandIn::saying(&format!("{status} No"), "{}");
        let error = service.client(5000).vcek(later()).unwrap_err();
        assert!(matches!(error, MetadataError::Refused(s) if s == status));
        assert_eq!(service.asked().len(), 1);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n";
    let service = StandIn::new(&[
        Does::Says(elsewhere.to_owned()),
        says("200 OK", CERTIFICATION),
    ]);
    let error = service.client(5000).vcek(later()).unwrap_err();
    assert!(matches!(error, MetadataError::Redirect(302)), "{error}");
    assert_eq!(service.asked().len(), 1);
}

#[test]
fn a_service_that_is_silent_or_slow_is_given_up_in_time() {
    for does in [Does::Hangs, Does::Drips("HTTP/1.1 200 OK\r\na: b\r\n")] {
        let service = StandIn::new(&[does]);
        let began = Instant::now();
        let error = service.client(300).vcek(later()).unwrap_err();
        assert!(
            matches!(error, MetadataError::Silent | MetadataError::Http(_)),
            "{error}"
        );
        assert!(began.elapsed() < Duration::from_secs(5));
        let error = service.client(0).vcek(later()).unwrap_err();
        assert!(matches!(error, MetadataError::Silent), "{error}");
    }
}

#[test]
fn an_answer_that_does_not_end_is_cut_short() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{}",
        "a".repeat(200_000)
    );
    let service = StandIn::new(&[Does::Says(endless)]);
    let error = service.client(5000).vcek(later()).unwrap_err();
    assert!(matches!(error, MetadataError::Long), "{error}");
}

#[test]
fn garbage_is_named() {
    let ssh = StandIn::new(&[Does::Says("SSH-2.0-OpenSSH_9.2\r\n".to_owned())]);
    let error = ssh.client(5000).vcek(later()).unwrap_err();
    assert!(
        matches!(error, MetadataError::Http(HttpError::StatusLine)),
        "{error}"
    );
    let twice = CERTIFICATION.replace("\"tcbm\"", "\"vcekCert\"");
    let broken = CERTIFICATION.replace("MAEC", "MAE");
    let no_certificate = CERTIFICATION.replace("MAEC", "AAEC");
    let pem = "-----BEGIN CERTIFICATE-----\\nMAEC\\nAw==\\n-----END CERTIFICATE-----\\n";
    let two = CERTIFICATION.replace(pem, &format!("{pem}{pem}"));
    for body in [
        "",
        "[]",
        "{}",
        "{\"vcekCert\":7}",
        &twice,
        &broken,
        &no_certificate,
        &two,
    ] {
        let service = StandIn::saying("200 OK", body);
        let error = service.client(5000).vcek(later()).unwrap_err();
        assert!(matches!(error, MetadataError::Form(_)), "{body}: {error}");
    }
    let long = format!(
        "{{\"quote\":\"{}\"}}",
        "A".repeat(4 * MAX_QUOTE_LEN / 3 + 4)
    );
    for body in ["{\"quote\":\"\"}", "{\"quote\":\"+\"}", "null", &long] {
        let service = StandIn::saying("200 OK", body);
        let error = service.client(5000).td_quote(&[1], later()).unwrap_err();
        assert!(matches!(error, MetadataError::Form(_)), "{body}: {error}");
    }
}

#[test]
fn who_is_not_there_is_named_with_the_remedy() {
    let service = StandIn::saying("200 OK", CERTIFICATION);
    let mut client = service.client(5000);
    client.socket = service.folder.path().join("nobody");
    let error = client.vcek(later()).unwrap_err().to_string();
    assert!(
        error.contains("nobody") && error.contains("nitride-imds.socket"),
        "{error}"
    );
}

#[test]
fn whoever_asks_is_waited_for_no_longer_than_they_wait() {
    let service = StandIn::new(&[Does::Hangs]);
    let began = Instant::now();
    let by = began + Duration::from_millis(300);
    let error = service.client(30_000).vcek(by).unwrap_err();
    assert!(matches!(error, MetadataError::Silent), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_queue_that_is_full_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imds");
    let kind = SockType::Stream;
    let full = socket(AddressFamily::Unix, kind, SockFlag::empty(), None).unwrap();
    let address = UnixAddr::new(&path).unwrap();
    bind(full.as_raw_fd(), &address).unwrap();
    listen(&full, Backlog::new(0).unwrap()).unwrap();
    // Nobody accepts: the one place is taken by this.
    let _waits = UnixStream::connect(&path).unwrap();
    let client = Metadata {
        socket: path,
        patience: Duration::from_millis(300),
    };
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send((client.look(), client.vcek(later()))));
    let (looked, asked) = tells
        .recv_timeout(Duration::from_secs(10))
        .expect("it waits for ever");
    assert!(matches!(looked, Err(MetadataError::Silent)));
    assert!(matches!(asked, Err(MetadataError::Silent)));
}
