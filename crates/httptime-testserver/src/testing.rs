//! A plain client for the tests of this crate.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use httptime::Timestamp;
use httptime_sim::loopback::{Head, HeadReader};

pub(crate) const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: server.test\r\n\r\n";

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    reader: HeadReader,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        Self { stream, reader: HeadReader::default() }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("an open connection");
    }

    pub(crate) fn head(&mut self) -> Head {
        self.reader.next(&self.stream).expect("an open connection").expect("a head")
    }

    pub(crate) fn ask(&mut self) -> Head {
        self.send(HEAD);
        self.head()
    }

    /// The bytes until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.reader).into_rest();
        self.stream.read_to_end(&mut bytes).expect("an orderly end");
        bytes
    }

    pub(crate) fn exactly(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.reader).into_rest();
        let held = bytes.len();
        bytes.resize(held.max(n), 0);
        self.stream.read_exact(&mut bytes[held..]).expect("so many bytes");
        bytes
    }

    /// The bytes that one system call reads.
    pub(crate) fn segment(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let n = self.stream.read(&mut bytes).expect("an open connection");
        bytes.truncate(n);
        bytes
    }
}

pub(crate) fn seconds(date: &str) -> i64 {
    let date = httpdate::parse_http_date(date).expect("a date");
    Timestamp::from_system_time(date).expect("in range").as_unix_nanos() / 1_000_000_000
}

pub(crate) fn date(head: &Head) -> i64 {
    seconds(head.field("date").expect("a Date"))
}

pub(crate) fn host_now() -> Timestamp {
    Timestamp::from_system_time(SystemTime::now()).expect("in range")
}

/// In a separate thread, so that a drop that hangs does not hang the test.
pub(crate) fn drop_promptly(service: impl Send + 'static) {
    let (done, dropped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(service);
        let _ = done.send(());
    });
    dropped.recv_timeout(Duration::from_secs(1)).expect("a prompt end");
}

pub(crate) fn wait_for(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the wait timed out");
        std::thread::sleep(Duration::from_micros(200));
    }
}
