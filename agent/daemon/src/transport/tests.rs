//! Real TCP and TLS on loopback, against servers that do one thing.

use super::{Failed, Transport};
use crate::config::{ClientIdentity, Endpoint, Login, LoginMethod, OpenBao, Service, Tls};
use nitride_courier::{EndpointId, HttpAnswer, HttpRequest, Method, Secrets, TransportFault};
use nitride_openbao::Kv;
use nitride_openbao::answer::Encoding;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A CA with a folder for what the agent reads.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
            ca,
        }
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A client certificate, its key readable with `mode`.
    fn client(&self, mode: u32) -> ClientIdentity {
        let (certificate, key) = self.issue();
        let write = |name: &str, text: String| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let key = write("client.key", key.serialize_pem());
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        ClientIdentity {
            cert: write("client.pem", certificate.pem()),
            key,
        }
    }

    /// What a server of this authority needs; `of_clients` is the CA that clients must have.
    fn acceptor(&self, of_clients: Option<&Self>) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (certificate, key) = self.issue();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match of_clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.ca.der().clone()).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = vec![certificate.der().clone()];
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}

/// Answers every connection with `answer` and closes it.
async fn serve(tls: Option<TlsAcceptor>, answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                None => say(stream, &answer).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        say(stream, &answer).await;
                    }
                }
            }
        }
    });
    address
}

async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

fn ok(body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{body}").into_bytes()
}

fn transport(url: String, tls: Option<Tls>) -> Transport {
    let service = service(url, tls);
    Transport::of_service(&service).unwrap().remove(0)
}

fn service(url: String, tls: Option<Tls>) -> Service {
    Service {
        name: "main".to_owned(),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        endpoints: vec![Endpoint {
            plain: url.starts_with("http:"),
            url,
            priority: 0,
        }],
        tls,
        openbao: None,
    }
}

fn trusting(ca: &Path, client: Option<ClientIdentity>) -> Option<Tls> {
    let ca = ca.to_owned();
    Some(Tls { ca, client })
}

async fn fetch(transport: &Transport) -> Result<HttpAnswer, TransportFault> {
    ask(transport).await.map_err(|failed| failed.fault)
}

async fn ask(transport: &Transport) -> Result<HttpAnswer, Failed> {
    let request = HttpRequest {
        endpoint: EndpointId(0),
        method: Method::Get,
        path: "/kbs/v0/resource/a/b/c".to_owned(),
        headers: vec![("cookie", "a=b".to_owned())],
        body: Vec::new(),
        max_answer_len: 100,
    };
    transport.send(request).await
}

async fn fetch_plain(answer: &[u8]) -> Result<HttpAnswer, TransportFault> {
    let address = serve(None, answer.to_vec()).await;
    fetch(&transport(format!("http://{address}"), None)).await
}

#[tokio::test]
async fn a_server_of_the_pinned_ca_is_asked() {
    let authority = Authority::new();
    let address = serve(Some(authority.acceptor(None)), ok("hello")).await;
    let tls = trusting(&authority.ca_path(), None);
    let answer = fetch(&transport(format!("https://{address}"), tls))
        .await
        .unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
}

#[tokio::test]
async fn a_server_of_another_ca_is_not_trusted() {
    let authority = Authority::new();
    let address = serve(Some(Authority::new().acceptor(None)), ok("hello")).await;
    let tls = trusting(&authority.ca_path(), None);
    let answer = fetch(&transport(format!("https://{address}"), tls)).await;
    assert_eq!(answer, Err(TransportFault::NotTrusted));
}

#[tokio::test]
async fn a_server_under_another_name_is_not_trusted() {
    let authority = Authority::new();
    let address = serve(Some(authority.acceptor(None)), ok("hello")).await;
    let tls = trusting(&authority.ca_path(), None);
    let url = format!("https://localhost:{}", address.port());
    let answer = fetch(&transport(url, tls)).await;
    assert_eq!(answer, Err(TransportFault::NotTrusted));
}

/// Whether each of two connections, one after the other, resumed what was before.
async fn resumed(openbao: Option<OpenBao>) -> [bool; 2] {
    let authority = Authority::new();
    let acceptor = authority.acceptor(None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut resumed = [false; 2];
        for resumed in &mut resumed {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.unwrap();
            let kind = stream.get_ref().1.handshake_kind().unwrap();
            *resumed = kind == HandshakeKind::Resumed;
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            say(stream, answer).await;
        }
        resumed
    });
    let service = Service {
        openbao,
        ..service(url, trusting(&authority.ca_path(), None))
    };
    let transport = Transport::of_service(&service).unwrap().remove(0);
    for _ in 0..2 {
        assert_eq!(fetch(&transport).await.unwrap().status, 200);
    }
    served.await.unwrap()
}

#[tokio::test]
async fn no_session_with_a_node_whose_secrets_are_read_is_kept_to_resume_it() {
    let bao = OpenBao {
        secrets: Secrets {
            kv: Kv::new("secret", "machines").unwrap(),
            field: "value".to_owned(),
            encoding: Encoding::Base64,
        },
        login: Login {
            mount: "cert".to_owned(),
            method: LoginMethod::Certificate {
                role: "vm".to_owned(),
            },
        },
    };
    assert_eq!(resumed(None).await, [false, true]);
    assert_eq!(resumed(Some(bao)).await, [false, false]);
}

/// A server that shows this certificate, and why the agent does not take it, with `ca` pinned.
async fn refused(shown: &rcgen::Certificate, key: &KeyPair, ca: &rcgen::Certificate) -> String {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let server = builder.with_single_cert(vec![shown.der().clone()], key);
    let address = serve(
        Some(TlsAcceptor::from(Arc::new(server.unwrap()))),
        ok("hello"),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    let answer = ask(&transport(
        format!("https://{address}"),
        trusting(&path, None),
    ))
    .await;
    let failed = answer.unwrap_err();
    assert_eq!(failed.fault, TransportFault::NotTrusted, "{}", failed.cause);
    failed.cause
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_named_with_its_remedy() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let other = Authority::new();
    let told = refused(&certificate, &key, &other.ca).await;
    assert!(told.contains("pin the CA that issued it"), "{told}");

    let with = |change: fn(&mut CertificateParams)| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &authority.issuer).unwrap(), key)
    };
    let (shown, key) = with(|params| params.subject_alt_names.clear());
    let told = refused(&shown, &key, &authority.ca).await;
    assert!(told.contains("write one of its names in `url`"), "{told}");
    let (shown, key) = with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let told = refused(&shown, &key, &authority.ca).await;
    assert!(
        told.contains("has expired, or this machine's clock"),
        "{told}"
    );
    let (shown, key) = with(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1));
    let told = refused(&shown, &key, &authority.ca).await;
    assert!(told.contains("this machine's clock is behind"), "{told}");

    // The CA's certificate in the place of the service's.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let told = refused(&own, &key, &own).await;
    assert!(
        told.contains("have the CA issue one for the service's name"),
        "{told}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_the_clear() {
    let authority = Authority::new();
    let address = serve(None, ok("hello")).await;
    let tls = trusting(&authority.ca_path(), None);
    let answer = fetch(&transport(format!("https://{address}"), tls)).await;
    assert_eq!(answer, Err(TransportFault::NotTrusted));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let address = serve(Some(servers.acceptor(Some(&clients))), ok("hello")).await;
    let url = format!("https://{address}");
    let with = trusting(&servers.ca_path(), Some(clients.client(0o600)));
    assert!(fetch(&transport(url.clone(), with)).await.is_ok());
    let without = trusting(&servers.ca_path(), None);
    assert!(fetch(&transport(url, without)).await.is_err());
}

#[test]
fn a_client_key_that_everybody_may_read_is_refused() {
    let authority = Authority::new();
    let tls = trusting(&authority.ca_path(), Some(authority.client(0o604)));
    let error = crate::tls::client_config(&tls.unwrap()).unwrap_err();
    assert!(error.to_string().contains("may be read by everybody"));
}

#[test]
fn a_ca_file_that_everybody_can_write_is_refused() {
    let authority = Authority::new();
    let tls = trusting(&authority.ca_path(), None).unwrap();
    assert!(crate::tls::client_config(&tls).is_ok());
    let everybody = std::fs::Permissions::from_mode(0o646);
    std::fs::set_permissions(&tls.ca, everybody).unwrap();
    let error = crate::tls::client_config(&tls).unwrap_err();
    assert!(error.to_string().contains("may be written by everybody"));
}

#[test]
fn a_ca_file_without_a_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, "hello").unwrap();
    let error = crate::tls::client_config(&trusting(&ca, None).unwrap()).unwrap_err();
    assert!(error.to_string().contains("ca.pem is no PEM file"));
}

#[tokio::test]
async fn cookies_and_the_time_to_wait_are_read() {
    let answer = fetch_plain(
        b"HTTP/1.1 503 Busy\r\nset-cookie: a=b; Path=/\r\nset-cookie: c=d\r\n\
          retry-after: 7\r\ncontent-length: 0\r\n\r\n",
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.set_cookies, ["a=b; Path=/", "c=d"]);
    assert_eq!(answer.retry_after_secs, Some(7));
}

#[tokio::test]
async fn a_longer_answer_than_allowed_is_not_read() {
    let announced = fetch_plain(&ok(&"x".repeat(101))).await;
    assert_eq!(announced, Err(TransportFault::TooLarge));
    let unannounced = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 5000]].concat();
    assert_eq!(
        fetch_plain(&unannounced).await,
        Err(TransportFault::TooLarge)
    );
    assert!(fetch_plain(&ok(&"x".repeat(100))).await.is_ok());
}

#[tokio::test]
async fn what_is_not_http_is_told_apart() {
    let answer = fetch_plain(b"SSH-2.0-hello\r\n").await;
    assert_eq!(answer, Err(TransportFault::NotHttp));
}

#[tokio::test]
async fn a_connection_that_breaks_is_unreachable() {
    assert_eq!(fetch_plain(b"").await, Err(TransportFault::Unreachable));
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhel";
    assert_eq!(fetch_plain(cut).await, Err(TransportFault::Unreachable));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = fetch(&transport(format!("http://{address}"), None)).await;
    assert_eq!(answer, Err(TransportFault::Unreachable));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let answer = fetch_plain(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(answer.await.unwrap().status, 302);
}
