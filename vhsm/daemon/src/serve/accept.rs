use super::conversation::Conversation;
use super::leaving::leave;
use super::link::Link;
use super::perform::REFUSAL_LEN;
use super::shard::{self, Shards};
use crate::daemon::Daemon;
use crate::event::Event;
use crate::stop::{StopSignal, Wait};
use nitride_ipc::message::ask_for_senders;
use nitride_ipc::peer::resolve;
use nitride_ipc::{AcceptError, Connection, Listener};
use nitride_protocol::{Status, write_refusal};
use nitride_vault::Socket;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Stack of a connection's thread, in bytes: address space, of which what is touched is memory.
/// Calls into AWS-LC run on stacks of their own; our frames, in a build without optimisation, take
/// less than 64 KiB.
const STACK_LEN: usize = 256 * 1024;

/// How long an answer may wait for the peer to read the ones before.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Before the next try after the process or the system had no room for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop`, and gives each its thread, or a place among others.
pub(crate) fn accept_all(
    daemon: &Arc<Daemon>,
    listener: &Listener,
    socket: Socket,
    name: &'static str,
    (shards, stop): (&Shards, &StopSignal),
) {
    // Connections inherit it. Without it, the first packet of one may have no sender, and is refused
    // where a rule asks for that. A socket that was handed over should have had it from the start
    // (PassCredentials=), for who has connected before this.
    let _ = ask_for_senders(listener, true);
    while stop.wait_for(listener.as_fd()) == Wait::Ready {
        match listener.accept() {
            Ok(connection) => admit(daemon, connection, socket, name, shards),
            Err(AcceptError::Closed) => return,
            Err(error) => {
                Event::NotAccepting {
                    socket: name,
                    error: &error,
                }
                .emit();
                thread::sleep(EXHAUSTED_PAUSE);
            }
        }
    }
}

/// Finds out who it is, and whether there is room.
fn admit(
    daemon: &Arc<Daemon>,
    connection: Connection,
    socket: Socket,
    name: &'static str,
    shards: &Shards,
) {
    let identity = match resolve(&connection, daemon.cgroups.as_ref()) {
        Ok(identity) => identity,
        Err(error) => {
            let socket = name;
            let error = &error;
            daemon.log_of(None, &Event::TurnedAway { socket, error });
            return leave(&connection, ());
        }
    };
    let slot = match daemon.quota.connect(identity.uid, socket) {
        Ok(slot) => slot,
        Err(error) => {
            let peer = &identity;
            daemon.log_of(Some(peer.uid), &Event::NoRoom { peer, error });
            turn_away(&connection);
            return leave(&connection, ());
        }
    };
    let thread = shards.thread();
    let write_timeout = match thread {
        Some(_) => WRITE_TIMEOUT,
        None => shard::WRITE_TIMEOUT,
    };
    if let Err(error) = connection.set_write_timeout(Some(write_timeout)) {
        let socket = name;
        let error = &error;
        daemon.log_of(Some(identity.uid), &Event::TurnedAway { socket, error });
        return leave(&connection, slot);
    }
    let number = daemon.next_link_number();
    let link = Arc::new(Link::new(number, socket, connection, identity, slot));
    daemon.note_link(&link);
    Event::Connected { link: &link }.emit();
    let conversation = Conversation::new(Arc::clone(daemon), Arc::clone(&link));
    let served = match thread {
        Some(slot) => run_alone(conversation, slot),
        None => shards.seat(conversation),
    };
    if let Err(error) = served {
        Event::NotAccepting {
            socket: name,
            error: &error,
        }
        .emit();
        turn_away(link.connection());
        daemon.forget_link(&link);
    }
}

/// Serves a connection on a thread of its own, which holds `held` as long.
pub(super) fn run_alone(conversation: Conversation, held: impl Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(format!("peer-{}", conversation.link().number))
        .stack_size(STACK_LEN)
        .spawn(move || {
            let _held = held;
            nitride_secmem::block_signals_on_this_thread();
            conversation.run();
        })
        .map(drop)
}

/// The one packet that a connection gets for which there is no room.
fn turn_away(connection: &Connection) {
    let mut refusal = [0; REFUSAL_LEN];
    if let Ok(len) = write_refusal(&mut refusal, 0, Status::QuotaExceeded) {
        // Who does not read it sees the end of the connection.
        let _ = connection.try_send(refusal.get(..len).unwrap_or_default());
    }
}
