use nitride_ipc::{Connection, Listener};
use nitride_protocol::quote::{
    CounterReply, CounterRequest, ForgetRequest, PlatformKeyReply, PlatformKeyRequest,
};
use nitride_protocol::{Call, Empty, Message, Status, open_request, write_refusal, write_reply};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

/// What nitride-quote would do, and what it was asked for.
#[derive(Debug, Default)]
pub(super) struct State {
    /// How many parts were made.
    pub(super) made: u8,
    /// The counter's value.
    pub(super) value: u64,
    /// Whether steps wait.
    pub(super) is_held: bool,
    /// Steps that wait, or waited.
    pub(super) asked: u64,
    /// Whether it is neither read nor stepped.
    pub(super) has_no_counter: bool,
    /// Whether it is not removed.
    pub(super) keeps_its_counter: bool,
    /// Whether a part that was made before is told to be old.
    pub(super) is_updated: bool,
    /// By what was to be forgotten.
    pub(super) forgotten: Vec<Vec<u8>>,
}

/// A nitride-quote in this process.
#[derive(Debug, Clone)]
pub(super) struct StandIn(Arc<(Mutex<State>, Condvar)>);

impl StandIn {
    pub(super) fn start(socket: &Path) -> Self {
        let listener = Listener::bind(socket, 0o600).unwrap();
        let stand_in = Self(Arc::default());
        let serving = stand_in.clone();
        // Until the process ends.
        thread::spawn(move || {
            while let Ok(connection) = listener.accept() {
                let serving = serving.clone();
                thread::spawn(move || serving.answer(&connection));
            }
        });
        stand_in
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// Changes how it is; whoever waits looks again.
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    /// Until so many steps were asked for.
    pub(super) fn wait_for_steps(&self, steps: u64) {
        let asked = self
            .0
            .1
            .wait_while(self.state(), |state| state.asked < steps);
        drop(asked.unwrap());
    }

    fn answer(&self, connection: &Connection) {
        let mut packet = vec![0; 10_000];
        let Ok(Some(len)) = connection.recv(&mut packet) else {
            return;
        };
        let (head, params) = open_request(&packet[..len]).unwrap();
        let mut reply = vec![0; 10_000];
        let len = match head.operation {
            PlatformKeyRequest::OPERATION => {
                let asked = PlatformKeyRequest::decode_last(params).unwrap();
                let mut state = self.state();
                if asked.params.is_empty() {
                    state.made += 1;
                    state.value = state.value.max(100);
                }
                let number = asked.params.first().copied().unwrap_or(state.made);
                let answer = PlatformKeyReply {
                    secret: &[number; 32],
                    params: &[number],
                    is_old: state.is_updated && number < state.made.max(2),
                };
                write_reply(&mut reply, head.id, Status::Ok, &answer)
            }
            CounterRequest::OPERATION => {
                let asked = CounterRequest::decode_last(params).unwrap();
                let mut state = self.state();
                if asked.increment {
                    state.asked += 1;
                    self.0.1.notify_all();
                    state = self.0.1.wait_while(state, |state| state.is_held).unwrap();
                    state.value += u64::from(!state.has_no_counter);
                }
                let value = state.value;
                match state.has_no_counter {
                    true => write_refusal(&mut reply, head.id, Status::PlatformAbsent),
                    false => write_reply(&mut reply, head.id, Status::Ok, &CounterReply { value }),
                }
            }
            _ => {
                let asked = ForgetRequest::decode_last(params).unwrap();
                let mut state = self.state();
                state.forgotten.push(asked.params.to_vec());
                match state.keeps_its_counter {
                    true => write_refusal(&mut reply, head.id, Status::PlatformAbsent),
                    false => write_reply(&mut reply, head.id, Status::Ok, &Empty),
                }
            }
        };
        let _ = connection.send(&reply[..len.unwrap()]);
    }
}
