//! Measures with its own plain sockets. Retries, deadlines, stale connections, proxies and the
//! selection among several servers are part of the sessions: this program only moves bytes and
//! reads the clock.
//!
//! `[PROXY=URL] cargo run -p httptime-examples --example own_io -- URL...`
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use httptime::net::{cross_timestamp, now};
use httptime::session::{Action, ConnectionId};
use httptime::survey::{Sessions, Targets};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// A socket, and whether its connection is established.
type Slot = Option<(TcpStream, bool)>;

fn main() -> Result<(), Box<dyn Error>> {
    let builder = Targets::builder().servers(env::args().skip(1));
    let builder = env::var("PROXY").iter().fold(builder, |it, proxy| it.proxy(proxy));
    let mut sessions = builder.build()?.sessions(cross_timestamp());
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
                let slot = &mut slots[conn.index()];
                // Received data is reported first.
                look(&mut sessions, conn, slot);
                let (at, Some((socket, _))) = (now(), &mut *slot) else { continue };
                match socket.write(sessions.output(conn)) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => {
                        *slot = None;
                        sessions.failed(conn, error, now());
                    }
                    written => sessions.sent(conn, written.unwrap_or(0), at),
                }
            }
            Action::Close { conn } => slots[conn.index()] = None,
            // A larger program would wait in poll or epoll.
            Action::Wait { until, .. } => {
                let conns = (0..slots.len()).map(ConnectionId::from_index);
                conns.for_each(|conn| look(&mut sessions, conn, &mut slots[conn.index()]));
                std::thread::sleep(until.saturating_since(now()).min(Duration::from_micros(20)));
            }
            _ => break,
        }
    }
    println!("measured {:.6}", sessions.finish(cross_timestamp()).into_combined()?);
    Ok(())
}

/// Starts to connect; [`look`] reports the result.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Reports what has happened to a connection.
fn look(sessions: &mut Sessions, conn: ConnectionId, slot: &mut Slot) {
    let Some((socket, is_open)) = slot else { return };
    let mut space = [0; 4096];
    let read = match socket.take_error() {
        Ok(None) if !*is_open && socket.peer_addr().is_err() => return,
        Ok(None) if !std::mem::replace(is_open, true) => return sessions.opened(conn, now()),
        Ok(None) => socket.read(&mut space),
        Ok(Some(error)) | Err(error) => Err(error),
    };
    match read {
        Ok(count @ 1..) => return sessions.received(conn, &space[..count], now()),
        Ok(_) => sessions.closed(conn, now()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return sessions.writable(conn),
        Err(error) => sessions.failed(conn, error, now()),
    }
    *slot = None;
}
