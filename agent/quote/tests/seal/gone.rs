//! A caller that is killed while what it asked for waits for the device.

use crate::interposer::{Hold, Interposer, NV_READ, PATIENCE};
use crate::process::Helper;
use crate::swtpm::{Swtpm, spawned};
use nitride_ipc::Connection;
use nitride_protocol::quote::{CounterRequest, ForgetRequest};
use nitride_protocol::{Call, Message, write_request};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where the other process finds the socket, and the packet that it sends.
const SOCKET: &str = "NITRIDE_QUOTE_TEST_SOCKET";
const PACKET: &str = "NITRIDE_QUOTE_TEST_PACKET";

/// The other process: it asks, and waits to be killed. Without a socket it is not wanted.
#[test]
fn what_another_process_asks() {
    let (Some(socket), Some(packet)) = (std::env::var_os(SOCKET), std::env::var_os(PACKET)) else {
        return;
    };
    let connection = Connection::connect(Path::new(&socket)).unwrap();
    connection.send(&std::fs::read(packet).unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

struct Asker(Child);

impl Asker {
    fn start<'a, R: Call + Message<'a>>(helper: &Helper, request: &R) -> Self {
        let mut packet = vec![0; 8192];
        let len = write_request(&mut packet, 1, R::OPERATION, request).unwrap();
        let path = helper.socket().with_extension("packet");
        std::fs::write(&path, &packet[..len]).unwrap();
        let child = spawned(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "gone::what_another_process_asks"])
                .env(SOCKET, helper.socket())
                .env(PACKET, path)
                .stdout(Stdio::null()),
        )
        .unwrap();
        Self(child)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_that_a_caller_asked_for_is_done_once_it_has_gone() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    let (hold, holder) = Hold::new();
    let interposer = Interposer::holding(&tpm, NV_READ, hold);
    let lines = interposer.lines(&tpm, &tpm.lines_with_counter());
    let helper = Helper::start("tpm", &lines);
    let made = helper.make().unwrap();
    let before = helper.counter(&made.params, false).unwrap();
    holder.want.send(()).unwrap();
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| helper.counter(&made.params, false));
        holder.held.recv_timeout(PATIENCE).unwrap();
        let (platform, params) = ("tpm", &made.params[..]);
        let forget = ForgetRequest { platform, params };
        let step = CounterRequest {
            platform,
            params,
            increment: true,
        };
        let askers = [Asker::start(&helper, &step), Asker::start(&helper, &forget)];
        let deadline = Instant::now() + Duration::from_secs(20);
        while helper.served() < 3 {
            assert!(Instant::now() < deadline, "nobody asks");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Until both stand in the queue.
        std::thread::sleep(Duration::from_millis(300));
        drop(askers);
        drop(holder.release);
        assert_eq!(under_way.join().unwrap(), Ok(before));
    });
    // It would have come after what they asked for.
    assert_eq!(helper.counter(&made.params, false), Ok(before));
    assert!(helper.log().contains("the caller has gone"));
}
