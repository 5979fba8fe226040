//! A relay between the agent and a service, with a certificate that the agent trusts: it records
//! every exchange in the clear, and it can meddle, as a hostile network with a stolen
//! certificate, or a hostile service, could. Before several replicas of a service it is a balancer:
//! each request goes to the next replica that takes the connection, whatever connection it came on
//! and whoever answered the one before.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use rustls::ServerConfig;

use crate::http::HttpMessage;
use crate::pki::Identity;
use crate::tls::{self, ServiceConnection, Upstream};

/// One request and what answered it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// As it arrived.
    pub request: HttpMessage,
    /// As it left.
    pub response: HttpMessage,
    /// Which replica answered, counted from 0; none if the relay did.
    pub replica: Option<usize>,
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
    replicas: Mutex<Vec<Upstream>>,
    turn: AtomicUsize,
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
    /// Listens on a port of the loopback's choosing, before one service or before its replicas.
    ///
    /// # Errors
    /// When it cannot listen or the certificate cannot be used.
    pub fn start(identity: &Identity, replicas: Vec<Upstream>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("name the relay's port")?;
        let config = tls::server_config(identity)?;
        let shared = Arc::new(Shared {
            replicas: Mutex::new(replicas),
            turn: AtomicUsize::new(0),
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

    /// Sends what comes from now on to another service, or to other replicas.
    pub fn redirect(&self, replicas: Vec<Upstream>) {
        *lock(&self.shared.replicas) = replicas;
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
    let mut kept = None;
    while let Some(request) = HttpMessage::read(&mut client)? {
        if shared.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut forwarded = request.clone();
        let fate = lock(&shared.meddler).request(&mut forwarded);
        let (replica, response) = match fate {
            Fate::Answer(response) => (None, response),
            Fate::Drop => return Ok(()),
            Fate::Stall => {
                // Holds the connection until the other side gives up.
                let _ = HttpMessage::read(&mut client);
                return Ok(());
            }
            Fate::Forward => {
                let (replica, mut response) = shared.pass_on(&forwarded, &mut kept)?;
                lock(&shared.meddler).response(&forwarded, &mut response);
                (Some(replica), response)
            }
        };
        lock(&shared.exchanges).push(Exchange {
            request,
            response: response.clone(),
            replica,
        });
        response.write(client.get_mut())?;
    }
    Ok(())
}

impl Shared {
    /// To the next replica, and past those that do not take the connection: nobody has seen the
    /// request then. What breaks later is not sent again. A service that is alone keeps its
    /// connection.
    fn pass_on(
        &self,
        request: &HttpMessage,
        kept: &mut Option<ServiceConnection>,
    ) -> Result<(usize, HttpMessage)> {
        if let Some(connection) = kept {
            return Ok((0, connection.call(request)?));
        }
        let replicas = lock(&self.replicas).clone();
        for _ in &replicas {
            let turn = self.turn.fetch_add(1, Ordering::SeqCst) % replicas.len();
            let Ok(mut connection) = ServiceConnection::open(&replicas[turn]) else {
                continue;
            };
            let response = connection.call(request)?;
            if replicas.len() == 1 {
                *kept = Some(connection);
            }
            return Ok((turn, response));
        }
        bail!("no replica takes the connection")
    }
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
        let relay = Relay::start(&pki.server()?, vec![nobody])?;
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
        forwarding.redirect(vec![to_answering]);
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

    #[test]
    fn replicas_take_turns_and_one_that_is_not_there_is_passed_over() -> Result<()> {
        let (one, to_one) = relay_to_nobody()?;
        let (two, to_two) = relay_to_nobody()?;
        for relay in [&one, &two] {
            relay.meddle(OnRequest(|_: &mut HttpMessage| {
                Fate::Answer(HttpMessage::response(200, b""))
            }));
        }
        let nobody = Upstream {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            ca_pem: None,
        };
        let (balancer, to_balancer) = relay_to_nobody()?;
        balancer.redirect(vec![to_one, nobody, to_two]);
        let mut client = ServiceConnection::open(&to_balancer)?;
        for _ in 0..4 {
            client.call(&HttpMessage::request("GET", "/", b""))?;
        }
        let exchanges = balancer.exchanges();
        let answered: Vec<_> = exchanges.iter().map(|one| one.replica).collect();
        assert_eq!(answered, [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!((one.count("GET", "/"), two.count("GET", "/")), (2, 2));
        Ok(())
    }
}
