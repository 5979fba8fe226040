//! Against stand-ins on loopback that do one thing each.

use super::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MAX_LEN: usize = 100;

/// Answers the first connections with `answers`, one each, and all after them with the last; counts.
async fn stand_in(answers: &[&str]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let answers: Vec<String> = answers.iter().map(|a| (*a).to_owned()).collect();
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let at = counted.fetch_add(1, Ordering::SeqCst);
            let answer = answers[at.min(answers.len() - 1)].clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, count)
}

fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_millis(500),
        max_wait: Duration::from_secs(5),
        attempts: 3,
        gap: Duration::ZERO,
    }
}

/// The OS's roots need not be there in tests: a CA that vouches for nobody here.
fn asker(limits: Limits) -> Asker {
    let tls = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(rustls::RootCertStore::empty())
    .with_no_client_auth();
    Asker::of_tls(tls, limits)
}

async fn ask(answers: &[&str], limits: Limits) -> (Result<Vec<u8>, String>, usize) {
    let (address, count) = stand_in(answers).await;
    let asked = asker(limits)
        .ask(&format!("http://{address}/a?b=c"), MAX_LEN)
        .await;
    let asked = asked.map(|answer| answer.body);
    (
        asked.map_err(|obstacle| obstacle.to_string()),
        count.load(Ordering::SeqCst),
    )
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn an_answer_is_taken_as_it_came() {
    assert_eq!(ask(&[OK], limits()).await, (Ok(b"hi".to_vec()), 1));
}

#[tokio::test]
async fn a_busy_service_is_asked_again_when_it_says() {
    let busy = "HTTP/1.1 429 Too Many\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    let begun = Instant::now();
    assert_eq!(ask(&[busy, OK], limits()).await, (Ok(b"hi".to_vec()), 2));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_service_that_wants_too_much_patience_is_not_asked_again() {
    for secs in ["6", "18446744073709551615"] {
        let busy = format!("HTTP/1.1 503 Busy\r\nretry-after: {secs}\r\ncontent-length: 0\r\n\r\n");
        let (asked, count) = ask(&[busy.as_str(), OK], limits()).await;
        let told = asked.unwrap_err();
        assert!(told.contains("is busy") && told.contains("later"), "{told}");
        assert_eq!(count, 1);
    }
}

#[tokio::test]
async fn a_service_that_is_always_busy_is_asked_no_more_often_than_allowed() {
    let busy = "HTTP/1.1 429 Too Many\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
    let (asked, count) = ask(&[busy], limits()).await;
    assert!(asked.is_err());
    assert_eq!(count, 3);
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_once() {
    let absent = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (asked, count) = ask(&[absent, OK], limits()).await;
    assert!(asked.unwrap_err().contains("404"));
    assert_eq!(count, 1);
    let moved = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n";
    let (asked, count) = ask(&[moved, OK], limits()).await;
    assert!(asked.unwrap_err().contains("302"));
    assert_eq!(count, 1);
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let once = Limits {
        attempts: 1,
        ..limits()
    };
    for garbage in [
        "SSH-2.0-hello\r\n",
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    ] {
        let (asked, _) = ask(&[garbage], once).await;
        assert!(
            asked.unwrap_err().contains("cannot be asked"),
            "{garbage:?}"
        );
    }
}

#[tokio::test]
async fn more_than_is_wanted_is_not_read() {
    let body = "x".repeat(MAX_LEN + 1);
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n{body}");
    let unannounced = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    for answer in [announced, unannounced] {
        let (asked, count) = ask(&[answer.as_str()], limits()).await;
        assert!(asked.unwrap_err().contains("more than 100 bytes"));
        assert_eq!(count, 1);
    }
    // Less than hyper would take by itself.
    let header = "x".repeat(4 * MAX_HEAD_LEN);
    let long_head = format!("HTTP/1.1 200 OK\r\na: {header}\r\ncontent-length: 2\r\n\r\nhi");
    let (asked, _) = ask(&[long_head.as_str()], limits()).await;
    let told = asked.unwrap_err();
    assert!(told.contains("cannot be asked"), "{told}");
}

/// Accepts, and then says nothing, or one byte now and then.
async fn drip(bytes: &'static [u8], every: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                for byte in bytes.iter().cycle() {
                    sleep(every).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_service_that_is_slow_or_silent_ends_at_its_time() {
    let patient = Limits {
        attempts: 1,
        ..limits()
    };
    for every in [Duration::from_millis(50), Duration::from_secs(3600)] {
        let address = drip(b"HTTP/1.1 200 OK\r\n", every).await;
        let begun = Instant::now();
        let asked = asker(patient)
            .ask(&format!("http://{address}/"), MAX_LEN)
            .await;
        let told = asked.unwrap_err().to_string();
        assert!(told.contains("did not answer within"), "{told}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn nobody_listening_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let once = Limits {
        attempts: 1,
        ..limits()
    };
    let asked = asker(once)
        .ask(&format!("http://{address}/"), MAX_LEN)
        .await;
    assert!(asked.unwrap_err().to_string().contains("cannot be asked"));
}

#[tokio::test]
async fn requests_keep_their_distance() {
    let (address, _) = stand_in(&[OK]).await;
    let gap = Duration::from_millis(200);
    let mut asker = asker(Limits { gap, ..limits() });
    let begun = Instant::now();
    for _ in 0..3 {
        asker
            .ask(&format!("http://{address}/"), MAX_LEN)
            .await
            .unwrap();
    }
    assert!(begun.elapsed() >= gap * 2);
}

#[test]
fn in_the_clear_is_for_loopback_alone() {
    for good in [
        "https://kdsintf.amd.com/vcek/v1/Milan/crl",
        "http://127.0.0.1:1/",
        "http://[::1]:1/",
    ] {
        assert!(safe_uri(good).is_ok(), "{good}");
    }
    for bad in [
        "http://kdsintf.amd.com/",
        "http://localhost/",
        "ftp://127.0.0.1/",
        "/vcek",
        "https:///a",
        "hello there",
    ] {
        assert!(safe_uri(bad).is_err(), "{bad}");
    }
}
