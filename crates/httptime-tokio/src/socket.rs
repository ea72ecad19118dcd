use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use httptime::net::{SocketTimestamps, now};
use httptime::session::Arrival;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

/// Options of the sockets.
#[derive(Debug, Clone, Default)]
pub(crate) struct SocketOptions {
    pub(crate) source: Option<IpAddr>,
    pub(crate) interface: Option<String>,
    /// Whether to enable kernel timestamps.
    pub(crate) kernel_timestamps: bool,
}

/// An open TCP connection and its kernel timestamps.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    timestamps: Option<SocketTimestamps>,
}

impl Socket {
    pub(crate) async fn connect(address: SocketAddr, options: SocketOptions) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_nodelay(true)?;
        if let Some(interface) = &options.interface {
            bind_interface(&socket, interface)?;
        }
        if let Some(source) = options.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        // Without kernel timestamps the times of the process are used.
        let wanted = options.kernel_timestamps;
        let timestamps = wanted.then(|| SocketTimestamps::enable(&stream).ok()).flatten();
        Ok(Self { stream, timestamps })
    }

    /// Ready when there is data to read. The kernel's reports about writes do not make it ready:
    /// they are taken from the socket when data is read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    /// Reads once; `None` if there was nothing to read.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let Self { stream, timestamps } = self;
        let count = match timestamps {
            Some(timestamps) => {
                stream.try_io(Interest::READABLE, || timestamps.read(&*stream, space))
            }
            None => stream.try_read(space),
        };
        match count {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            count => count.map(Some),
        }
    }

    /// The arrival of the bytes that were just read.
    pub(crate) fn arrival(&mut self) -> Arrival {
        let at = now();
        let kernel = self.timestamps.as_mut().map(|timestamps| timestamps.times(&self.stream));
        Arrival::new(at, kernel)
    }

    /// Writes as much as fits. Writing nothing is not an error.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self.stream.try_write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            count => count?,
        };
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.wrote(&self.stream, count, bytes.len());
        }
        Ok(count)
    }
}

#[cfg(target_os = "linux")]
fn bind_interface(socket: &TcpSocket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_interface(_: &TcpSocket, _: &str) -> io::Result<()> {
    Err(io::Error::new(ErrorKind::Unsupported, "an interface can be chosen on Linux only"))
}
