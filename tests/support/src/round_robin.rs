//! A balancer in front of replicas: it ends TLS, and sends each request to the next replica that
//! answers, whatever connection it came on and whoever answered the one before.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use rustls::ServerConfig;

use crate::http::HttpMessage;
use crate::pki::Identity;
use crate::tls::{self, ServiceConnection, Upstream};

/// What looks at a request before it goes on, and may take its time.
type Watcher = Box<dyn FnMut(&HttpMessage) + Send>;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// By which replica, counted from 0.
    pub replica: usize,
    /// Its first line.
    pub request: String,
    /// The status of the answer.
    pub status: u16,
}

struct Shared {
    replicas: Vec<Upstream>,
    next: Mutex<usize>,
    watcher: Mutex<Watcher>,
    served: Mutex<Vec<Served>>,
    ended: AtomicBool,
}

/// A running balancer. Dropped, it listens no more.
pub struct RoundRobin {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl std::fmt::Debug for RoundRobin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoundRobin")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl RoundRobin {
    /// Listens on a port of the loopback's choosing.
    ///
    /// # Errors
    /// When it cannot listen or the certificate cannot be used.
    pub fn start(identity: &Identity, replicas: Vec<Upstream>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("name the balancer's port")?;
        let config = tls::server_config(identity)?;
        let shared = Arc::new(Shared {
            replicas,
            next: Mutex::new(0),
            watcher: Mutex::new(Box::new(|_| ())),
            served: Mutex::new(Vec::new()),
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
                    // A connection that breaks is what a network does.
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

    /// Shows every request to `watcher` before it goes on.
    pub fn watch(&self, watcher: impl FnMut(&HttpMessage) + Send + 'static) {
        *lock(&self.shared.watcher) = Box::new(watcher);
    }

    /// Every request that a replica has answered.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        lock(&self.shared.served).clone()
    }
}

impl Drop for RoundRobin {
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
    while let Some(request) = HttpMessage::read(&mut client)? {
        if shared.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        (lock(&shared.watcher))(&request);
        let response = shared.pass_on(&request);
        response.write(client.get_mut())?;
    }
    Ok(())
}

impl Shared {
    /// To the next replica, and past those that do not take the connection: nobody has seen the
    /// request then. What breaks later is not sent again.
    fn pass_on(&self, request: &HttpMessage) -> HttpMessage {
        for _ in &self.replicas {
            let replica = {
                let mut next = lock(&self.next);
                *next = (*next + 1) % self.replicas.len();
                *next
            };
            let Ok(mut connection) = ServiceConnection::open(&self.replicas[replica]) else {
                continue;
            };
            let Ok(response) = connection.call(request) else {
                return HttpMessage::response(502, b"");
            };
            lock(&self.served).push(Served {
                replica,
                request: request.first_line.clone(),
                status: response.status(),
            });
            return response;
        }
        HttpMessage::response(503, b"")
    }
}
