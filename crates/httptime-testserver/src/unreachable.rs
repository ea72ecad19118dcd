//! Addresses that accept no connection: one refuses, one never answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// A loopback address where connecting hangs, as behind a firewall that drops packets.
///
/// It is a listener that accepts nothing and whose queue is full. The system drops the SYNs of
/// further connections. A client repeats them until it times out (on Linux after two minutes).
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    /// Listens, and fills the queue until a connection hangs.
    ///
    /// # Errors
    /// When the system assigns no socket, or the queue does not fill up.
    pub fn start() -> io::Result<Self> {
        let (listener, address) = bound()?;
        listener.listen(0)?;
        let mut queued = Vec::new();
        for _ in 0..MAX_QUEUED {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            match socket.connect_timeout(&SockAddr::from(address), HANG_TIMEOUT) {
                Ok(()) => queued.push(socket),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(Self { address, _listener: listener, _queued: queued });
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("the queue of {address} took {MAX_QUEUED} connections")))
    }

    /// The address where connecting hangs.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A loopback port without a listener. It stays reserved as long as this value exists, so that no
/// other process can listen on it.
#[derive(Debug)]
pub struct RefusedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl RefusedPort {
    /// Reserves a free port.
    ///
    /// # Errors
    /// When the system assigns no socket.
    pub fn reserve() -> io::Result<Self> {
        let (socket, address) = bound()?;
        Ok(Self { address, _socket: socket })
    }

    /// The address where connecting is refused.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound() -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or_else(|| io::Error::other("the socket has no address"))?;
    Ok((socket, address))
}

/// A connection on loopback is established within the system call, in some 20 µs, or not at all.
const HANG_TIMEOUT: Duration = Duration::from_millis(40);

/// Systems queue somewhat more than `listen` asks for: Linux one more, others up to their default
/// queue.
const MAX_QUEUED: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;

    #[test]
    fn connecting_to_a_black_hole_hangs() {
        let hole = BlackHole::start().expect("a listener");
        for _ in 0..3 {
            let begun = Instant::now();
            let result = TcpStream::connect_timeout(&hole.address(), Duration::from_millis(60));
            assert_eq!(result.map_err(|e| e.kind()).unwrap_err(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() >= Duration::from_millis(60));
        }
    }

    #[test]
    fn connecting_to_a_refused_port_is_refused_at_once() {
        let port = RefusedPort::reserve().expect("a port");
        let result = TcpStream::connect_timeout(&port.address(), Duration::from_secs(5));
        assert_eq!(result.map_err(|e| e.kind()).unwrap_err(), io::ErrorKind::ConnectionRefused);
    }
}
