//! The layer of TLS does not panic on any bytes. It passes on no plaintext before the handshake is
//! complete, and after an error it is not open. The bytes are those of a server, changed by the
//! input: random bytes alone would not reach far into a handshake.
#![no_main]

#[path = "input.rs"]
#[expect(dead_code, reason = "shared with other targets")]
mod input;

use std::sync::LazyLock;

use httptime::session::Security as _;
use httptime::{Peer, Timestamp};
use httptime_testserver::tls::{Authority, Credentials, Version, server_config};
use httptime_tls::TlsConfig;
use input::Input;
use libfuzzer_sys::fuzz_target;
use rustls::ServerConnection;

const NAME: &str = "a.example";

static CREDENTIALS: LazyLock<(Authority, Credentials)> = LazyLock::new(|| {
    let root = Authority::root("Test Root");
    let credentials = root.issue(&[NAME]);
    (root, credentials)
});

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (root, credentials) = &*CREDENTIALS;
    let builder = match input.byte() % 3 {
        0 => TlsConfig::builder().insecure(true),
        1 => TlsConfig::builder().pin(credentials.pin()),
        _ => TlsConfig::builder().cacert_pem(root.pem()),
    };
    let tls = builder.build().expect("settings");
    let mut security = tls.peer(Peer::Server, NAME).expect("a name");
    let local = Timestamp::from_unix_nanos(input.nanos());
    let mut layer = security.layer(local).expect("a layer");
    let version = if input.byte() % 2 == 0 { Version::Tls12 } else { Version::Tls13 };
    let mut server = ServerConnection::new(server_config(credentials, version, None)).expect("it");

    let (mut wire, mut plaintext) = (Vec::new(), Vec::new());
    layer.start(&mut wire).expect("a first flight");
    // A handshake has up to three flights of the server.
    for _ in 0..4 {
        let mut unread = &wire[..];
        while !unread.is_empty() {
            server.read_tls(&mut unread).expect("memory");
            let _ = server.process_new_packets();
        }
        wire.clear();
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).expect("memory");
        }
        for _ in 0..input.byte() % 4 {
            let (kind, at) = (input.byte(), usize::from(input.u16()));
            let at = at % (flight.len() + 1);
            match kind % 3 {
                0 if at < flight.len() => flight[at] ^= input.byte(),
                1 => flight.truncate(at),
                _ => flight.insert(at, input.byte()),
            }
        }
        let chunk = usize::from(input.byte()) + 1;
        for part in flight.chunks(chunk) {
            if layer.receive(part, &mut plaintext, &mut wire).is_err() {
                let _ = layer.cut_off();
                return;
            }
            assert!(plaintext.is_empty(), "the server sends none");
        }
    }
    let _ = (layer.cut_off(), layer.has_ended(), security.judge(local, local));
    if layer.is_open() {
        layer.send(b"HEAD / HTTP/1.1\r\n\r\n", &mut wire).expect("it is open");
    }
});
