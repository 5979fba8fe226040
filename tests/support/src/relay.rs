//! A relay between the agent and a service, with a certificate that the agent trusts: it records
//! every exchange in the clear, and it can meddle, as a hostile network with a stolen
//! certificate, or a hostile service, could.

use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustls::ServerConfig;

use crate::http::HttpMessage;
use crate::pki::Identity;
use crate::tls::{self, Upstream, Wire};

/// One request and what answered it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As it arrived.
    pub request: HttpMessage,
    /// As it left.
    pub response: HttpMessage,
}

/// What happens to a request.
#[derive(Debug)]
pub enum Fate {
    /// It goes to the service, as it is now.
    Forward,
    /// The relay answers in the service's place.
    Answer(HttpMessage),
    /// The connection ends without an answer.
    Drop,
    /// The connection stays open and nothing is ever said.
    Stall,
}

/// Who sits in the relay. Left as it is, it forwards everything.
pub trait Meddler: Send {
    /// Sees, and may change, a request.
    fn request(&mut self, _request: &mut HttpMessage) -> Fate {
        Fate::Forward
    }

    /// Sees, and may change, the service's response.
    fn response(&mut self, _request: &HttpMessage, _response: &mut HttpMessage) {}
}

/// Forwards everything.
#[derive(Debug)]
pub struct Honest;
impl Meddler for Honest {}

/// A meddler that is one function over requests.
pub struct OnRequest<F>(pub F);
impl<F> std::fmt::Debug for OnRequest<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnRequest")
    }
}
impl<F: FnMut(&mut HttpMessage) -> Fate + Send> Meddler for OnRequest<F> {
    fn request(&mut self, request: &mut HttpMessage) -> Fate {
        (self.0)(request)
    }
}

/// A meddler that is one function over responses.
pub struct OnResponse<F>(pub F);
impl<F> std::fmt::Debug for OnResponse<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnResponse")
    }
}
impl<F: FnMut(&HttpMessage, &mut HttpMessage) + Send> Meddler for OnResponse<F> {
    fn response(&mut self, request: &HttpMessage, response: &mut HttpMessage) {
        (self.0)(request, response);
    }
}

struct Shared {
    upstream: Mutex<Upstream>,
    meddler: Mutex<Box<dyn Meddler>>,
    exchanges: Mutex<Vec<Exchange>>,
    ended: AtomicBool,
}

/// A running relay. Dropped, it listens no more.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// Listens on a port of the loopback's choosing.
    ///
    /// # Errors
    /// When it cannot listen or the certificate cannot be used.
    pub fn start(identity: &Identity, upstream: Upstream) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("name the relay's port")?;
        let config = tls::server_config(identity)?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            meddler: Mutex::new(Box::new(Honest)),
            exchanges: Mutex::new(Vec::new()),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, config) = (Arc::clone(&serving), Arc::clone(&config));
                if let Ok(tcp) = tcp {
                    // A connection that breaks is what a network does; the log of the program
                    // under test tells how it took it.
                    std::thread::spawn(move || serve(&shared, &config, tcp));
                }
            }
        });
        Ok(Self { shared, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts somebody else into the relay.
    pub fn meddle(&self, meddler: impl Meddler + 'static) {
        *lock(&self.shared.meddler) = Box::new(meddler);
    }

    /// Sends what comes from now on to another service.
    pub fn redirect(&self, upstream: Upstream) {
        *lock(&self.shared.upstream) = upstream;
    }

    /// Everything that went through.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.exchanges).clone()
    }

    /// How many requests had this method and a path that begins so.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        lock(&self.shared.exchanges)
            .iter()
            .filter(|exchange| {
                let (had_method, had_path) = exchange.request.target();
                had_method == method && had_path.starts_with(path)
            })
            .count()
    }

    /// All bytes that went through, in both directions.
    #[must_use]
    pub fn traffic(&self) -> Vec<u8> {
        lock(&self.shared.exchanges)
            .iter()
            .flat_map(|exchange| [exchange.request.bytes(), exchange.response.bytes()].concat())
            .collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the accept, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(shared: &Shared, config: &Arc<ServerConfig>, tcp: TcpStream) -> Result<()> {
    let mut client = tls::accept(config, tcp)?;
    let mut upstream: Option<BufReader<Box<dyn Wire>>> = None;
    while let Some(request) = HttpMessage::read(&mut client)? {
        if shared.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut forwarded = request.clone();
        let fate = lock(&shared.meddler).request(&mut forwarded);
        let response = match fate {
            Fate::Answer(response) => response,
            Fate::Drop => return Ok(()),
            Fate::Stall => {
                // Holds the connection until the other side gives up.
                let _ = HttpMessage::read(&mut client);
                return Ok(());
            }
            Fate::Forward => {
                let service = match &mut upstream {
                    Some(service) => service,
                    None => upstream.insert(lock(&shared.upstream).clone().connect()?),
                };
                forwarded.write(service.get_mut())?;
                let mut response =
                    HttpMessage::read(service)?.context("the service closed without an answer")?;
                lock(&shared.meddler).response(&forwarded, &mut response);
                response
            }
        };
        lock(&shared.exchanges).push(Exchange {
            request,
            response: response.clone(),
        });
        response.write(client.get_mut())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Pki;
    use crate::tls::ServiceConnection;

    fn relay_to_nobody() -> Result<(Relay, Upstream)> {
        let pki = Pki::new("test CA")?;
        let nobody = Upstream {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            ca_pem: None,
        };
        let relay = Relay::start(&pki.server()?, nobody)?;
        let upstream = Upstream {
            address: relay.address(),
            ca_pem: Some(pki.ca_pem().to_owned()),
        };
        Ok((relay, upstream))
    }

    #[test]
    fn a_relay_answers_forwards_and_records() -> Result<()> {
        let (answering, to_answering) = relay_to_nobody()?;
        answering.meddle(OnRequest(|request: &mut HttpMessage| {
            Fate::Answer(HttpMessage::response(200, &request.body))
        }));
        let (forwarding, to_forwarding) = relay_to_nobody()?;
        forwarding.redirect(to_answering);
        forwarding.meddle(OnResponse(|_: &HttpMessage, response: &mut HttpMessage| {
            response.body.push(b'!');
        }));
        let mut client = ServiceConnection::open(&to_forwarding)?;
        for _ in 0..2 {
            let response = client.call(&HttpMessage::request("POST", "/echo", b"hello"))?;
            assert_eq!(response.body, b"hello!");
        }
        assert_eq!(forwarding.count("POST", "/echo"), 2);
        assert_eq!(answering.exchanges()[0].response.body, b"hello");
        Ok(())
    }

    #[test]
    fn a_dropped_request_ends_the_connection() -> Result<()> {
        let (relay, upstream) = relay_to_nobody()?;
        relay.meddle(OnRequest(|_: &mut HttpMessage| Fate::Drop));
        let mut client = ServiceConnection::open(&upstream)?;
        assert!(client.call(&HttpMessage::request("GET", "/", b"")).is_err());
        Ok(())
    }
}
