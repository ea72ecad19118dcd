use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use log::debug;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use super::clock;
use super::system::{BorrowedFd, as_fd};
use super::timestamps::SocketTimestamps;
use crate::session::Arrival;

/// Options of the sockets.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketOptions {
    /// The local address of every connection.
    pub(crate) source: Option<IpAddr>,
    /// The network interface of every connection.
    pub(crate) interface: Option<String>,
    /// Whether to enable kernel timestamps.
    pub(crate) kernel_timestamps: bool,
}

/// A non-blocking TCP connection and its kernel timestamps.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    timestamps: Option<SocketTimestamps>,
    is_connecting: bool,
}

impl Socket {
    /// Starts to connect.
    pub(super) fn connect(address: SocketAddr, options: &SocketOptions) -> io::Result<Self> {
        let socket =
            RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(interface) = &options.interface {
            bind_interface(&socket, interface)?;
        }
        if let Some(source) = options.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&address.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        Ok(Self { stream: socket.into(), timestamps: None, is_connecting: true })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        as_fd(&self.stream)
    }

    pub(super) const fn is_connecting(&self) -> bool {
        self.is_connecting
    }

    /// Call this when the socket is writable: the connection is open, or it failed.
    pub(super) fn connected(&mut self, options: &SocketOptions) -> io::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.is_connecting = false;
        if options.kernel_timestamps {
            match SocketTimestamps::enable(&self.stream) {
                Ok(timestamps) => self.timestamps = Some(timestamps),
                Err(error) => debug!("no kernel timestamps: {error}"),
            }
        }
        Ok(())
    }

    /// Reads once; `None` if there was nothing to read.
    pub(super) fn read(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let count = match &mut self.timestamps {
            Some(timestamps) => timestamps.read(&self.stream, space),
            None => read(&mut self.stream, space),
        };
        match count {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            count => count.map(Some),
        }
    }

    /// The arrival of the bytes that were just read.
    pub(super) fn arrival(&mut self) -> Arrival {
        let at = clock::now();
        let kernel = self.timestamps.as_mut().map(|timestamps| timestamps.times(&self.stream));
        Arrival::new(at, kernel)
    }

    /// Writes as much as fits. Writing nothing is not an error.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = loop {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                count => break count?,
            }
        };
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.wrote(&self.stream, count, bytes.len());
        }
        Ok(count)
    }
}

fn read(stream: &mut TcpStream, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(space) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            count => return count,
        }
    }
}

#[cfg(target_os = "linux")]
fn bind_interface(socket: &RawSocket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_interface(_: &RawSocket, _: &str) -> io::Result<()> {
    Err(io::Error::new(ErrorKind::Unsupported, "an interface can be chosen on Linux only"))
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}
