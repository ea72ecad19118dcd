//! Measures with plain sockets of your own. Retries, deadlines, stale connections, proxies and the choice among several
//! servers come with the sessions: this program moves bytes and reads the clock.
//!
//! `[PROXY=URL] cargo run -p httptime-examples --example own_io -- URL...`
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use httptime::net::{now, tie};
use httptime::session::{Action, ConnectionId};
use httptime::survey::{Sessions, Targets};
use socket2::{Domain, Socket, Type};

/// A socket, and whether its connection is open.
type Slot = Option<(TcpStream, bool)>;

fn main() -> Result<(), Box<dyn Error>> {
    let builder = Targets::builder().servers(env::args().skip(1));
    let targets = match env::var("PROXY") {
        Ok(proxy) => builder.proxy(proxy).build()?,
        Err(_) => builder.build()?,
    };
    let mut sessions = targets.sessions(tie());
    let mut slots: Vec<Slot> = (0..sessions.connections()).map(|_| None).collect();
    loop {
        match sessions.poll(now()) {
            Action::Resolve { server } => {
                let hop = sessions.sessions()[server].target().hop();
                let addresses = (hop.host(), hop.port()).to_socket_addrs();
                sessions.resolved(server, addresses.map(Iterator::collect), now());
            }
            Action::Open { conn, address } => match connect(address) {
                Ok(socket) => slots[conn.index()] = Some((socket, false)),
                Err(error) => sessions.failed(conn, error, now()),
            },
            Action::Transmit { conn } => {
                // What has come is reported first; then the session decides again.
                if !look(&mut sessions, conn, &mut slots[conn.index()]) {
                    write(&mut sessions, conn, &mut slots[conn.index()]);
                }
            }
            Action::Close { conn } => slots[conn.index()] = None,
            // A larger program would wait in poll or epoll.
            Action::Wait { until, .. } => {
                let conns = (0..slots.len()).map(ConnectionId::from_index);
                for conn in conns {
                    look(&mut sessions, conn, &mut slots[conn.index()]);
                }
                std::thread::sleep(until.saturating_since(now()).min(Duration::from_micros(20)));
            }
            _ => break,
        }
    }
    let measurement = sessions.finish(tie()).into_combined()?;
    println!("measured {:.6} s, bounds {:.6}", measurement.offset(), measurement.bounds());
    Ok(())
}

/// Begins to connect; [`look`] sees how it ends.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_in_progress(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Reports what has happened to a connection; returns whether anything had.
fn look(sessions: &mut Sessions, conn: ConnectionId, slot: &mut Slot) -> bool {
    let Some((socket, is_open)) = slot else { return false };
    let mut space = [0; 4096];
    let count = match socket.take_error() {
        Ok(None) if !*is_open && socket.peer_addr().is_err() => return false,
        Ok(None) if !*is_open => {
            *is_open = true;
            sessions.opened(conn, now());
            return true;
        }
        Ok(None) => socket.read(&mut space),
        Ok(Some(error)) | Err(error) => Err(error),
    };
    match count {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            sessions.writable(conn);
            return false;
        }
        Ok(count @ 1..) => sessions.received(conn, &space[..count], now()),
        Ok(_) => {
            *slot = None;
            sessions.closed(conn, now());
        }
        Err(error) => {
            *slot = None;
            sessions.failed(conn, error, now());
        }
    }
    true
}

/// Writes once. The time is taken before.
fn write(sessions: &mut Sessions, conn: ConnectionId, slot: &mut Slot) {
    let Some((socket, _)) = slot else { return };
    let at = now();
    match socket.write(sessions.output(conn)) {
        Ok(count) => sessions.sent(conn, count, at),
        Err(error) if error.kind() == ErrorKind::WouldBlock => sessions.sent(conn, 0, at),
        Err(error) => {
            *slot = None;
            sessions.failed(conn, error, now());
        }
    }
}
