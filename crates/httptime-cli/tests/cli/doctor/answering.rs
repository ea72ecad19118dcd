//! A server of NTP on port 123 and one of DNS on port 53, in a namespace of the test.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Stops when it is dropped.
pub(super) struct Answering {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    fn start(port: u16, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", port)).expect("a port of the namespace");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stopped.load(Ordering::SeqCst) {
                let Ok((size, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = answer(&buffer[..size]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// An NTP server of stratum 1 with this machine's time.
pub(super) fn ntp() -> Answering {
    Answering::start(123, |request| {
        let client_transmitted = request.get(40..48)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let seconds = since_1970.as_secs() + 2_208_988_800;
        let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
        let now = ((seconds << 32) | fraction).to_be_bytes();
        let mut reply = vec![0; 48];
        (reply[0], reply[1]) = (0x24, 1);
        reply[24..32].copy_from_slice(client_transmitted);
        reply[32..40].copy_from_slice(&now);
        reply[40..48].copy_from_slice(&now);
        Some(reply)
    })
}

/// A nameserver that knows `blocked.example` as 0.0.0.0, and no other name.
pub(super) fn dns() -> Answering {
    Answering::start(53, |request| {
        // RFC 1035, section 4: a header of 12 bytes, the labels of the name, type and class.
        let name_bytes = request.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
        let question = request.get(12..12 + name_bytes + 4)?;
        let is_known = question.starts_with(b"\x07blocked\x07example\0");
        let is_ipv4 = question[name_bytes..name_bytes + 2] == [0, 1];
        let answers = u8::from(is_known && is_ipv4);
        let code = if is_known { 0 } else { 3 };
        let mut reply = request.get(..2)?.to_vec();
        reply.extend([0x85, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0]);
        reply.extend(question);
        if answers > 0 {
            // The name is that of the question; type A, class IN, 60 s, 4 bytes.
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 0, 0, 0, 0]);
        }
        Some(reply)
    })
}
