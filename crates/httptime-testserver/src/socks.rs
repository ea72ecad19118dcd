//! A small SOCKS5 proxy for tests. It reaches loopback addresses only.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use httptime_sim::loopback::{Connection, ConnectionEnd, Handler, Service};

use crate::proxy::copy;

/// A running SOCKS5 proxy on a loopback port (RFC 1928, RFC 1929).
///
/// Every destination leads to one origin server.
#[derive(Debug)]
pub struct LoopbackSocks {
    service: Service<Socks>,
}

impl LoopbackSocks {
    /// Starts to listen on a free port. Connections lead to `origin`. With `login`, this user name
    /// and password are required.
    ///
    /// # Errors
    /// When the system assigns no port or thread.
    pub fn start(origin: SocketAddr, login: Option<(&str, &str)>) -> io::Result<Self> {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let socks = Socks { origin, login, tunnels: AtomicUsize::new(0) };
        Ok(Self { service: Service::start(false, socks)? })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Tunnels opened so far.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.service.handler().tunnels.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Socks {
    origin: SocketAddr,
    login: Option<(String, String)>,
    tunnels: AtomicUsize,
}

impl Handler for Socks {
    fn serve(&self, connection: &Connection<'_>) -> io::Result<ConnectionEnd> {
        let client = connection.stream();
        let [version, count] = read(client)?;
        let methods = read_vec(client, count)?;
        let wanted = if self.login.is_some() { 2 } else { 0 };
        if version != 5 || !methods.contains(&wanted) {
            connection.send(&[5, 0xff])?;
            return Ok(ConnectionEnd::Close);
        }
        connection.send(&[5, wanted])?;
        if let Some((user, password)) = &self.login {
            let [_, length] = read(client)?;
            let given_user = read_vec(client, length)?;
            let [length] = read(client)?;
            let given = (given_user, read_vec(client, length)?);
            let is_right = given == (user.clone().into_bytes(), password.clone().into_bytes());
            connection.send(&[1, u8::from(!is_right)])?;
            if !is_right {
                return Ok(ConnectionEnd::Close);
            }
        }
        let [_, command, _, kind] = read(client)?;
        match kind {
            1 => drop(read::<4>(client)?),
            4 => drop(read::<16>(client)?),
            _ => {
                let [length] = read(client)?;
                read_vec(client, length)?;
            }
        }
        let [_, _] = read(client)?;
        let origin = (command == 1).then(|| connection.stop().connect(self.origin).ok()).flatten();
        let Some(origin) = origin else {
            connection.send(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])?;
            return Ok(ConnectionEnd::Close);
        };
        self.tunnels.fetch_add(1, Ordering::SeqCst);
        connection.send(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])?;
        thread::scope(|scope| {
            scope.spawn(|| copy(client, &origin));
            copy(&origin, client);
        });
        Ok(ConnectionEnd::Close)
    }
}

fn read<const N: usize>(mut stream: &TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_vec(mut stream: &TcpStream, length: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
