//! A listener, a thread for each of its connections, and a way to stop them all at once.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// The work on each connection.
pub trait Handler: fmt::Debug + Send + Sync + 'static {
    /// Serves one connection until it is to be closed.
    ///
    /// # Errors
    /// Any error also closes the connection.
    fn serve(&self, connection: &Connection<'_>) -> io::Result<ConnectionEnd>;
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a TCP connection ends with FIN or RST")]
pub enum ConnectionEnd {
    /// With a FIN.
    Close,
    /// With a RST.
    Reset,
}

/// A running service. Dropping it closes every socket and joins every thread.
#[derive(Debug)]
pub struct Service<H> {
    shared: Arc<Shared<H>>,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl<H: Handler> Service<H> {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When the system assigns no port or thread.
    pub fn start(ipv6: bool, handler: H) -> io::Result<Self> {
        Self::start_on(0, ipv6, handler)
    }

    /// Listens on a loopback port; 0 is any free port.
    ///
    /// # Errors
    /// When the system assigns no port or thread.
    pub fn start_on(port: u16, ipv6: bool, handler: H) -> io::Result<Self> {
        let listener = Arc::new(if ipv6 {
            TcpListener::bind((Ipv6Addr::LOCALHOST, port))?
        } else {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port))?
        });
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler,
            stop: Stop::default(),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let acceptor =
            thread::Builder::new().name(format!("loopback-{}", address.port())).spawn({
                let (shared, listener) = (Arc::clone(&shared), Arc::clone(&listener));
                move || accept_all(&shared, &listener)
            })?;
        Ok(Self { shared, listener, address, acceptor: Some(acceptor) })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handler of the connections.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open now. A connection that the service closes is not counted from just
    /// before its client can see the end.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Returns a function that tests whether a thread of this service still runs or its listener is
    /// still open. The function remains valid after the service is dropped, so that a test can
    /// check the drop.
    pub fn running_probe(&self) -> impl Fn() -> bool + use<H> {
        let (shared, listener) = (Arc::downgrade(&self.shared), Arc::downgrade(&self.listener));
        move || shared.strong_count() > 0 || listener.strong_count() > 0
    }
}

impl<H> Drop for Service<H> {
    fn drop(&mut self) {
        self.shared.stop.stop();
        // Linux wakes a blocked `accept` when its socket is shut down, which needs no file
        // descriptor. On other systems a last connection wakes it.
        let _ = SockRef::from(&*self.listener).shutdown(Shutdown::Both);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

#[derive(Debug)]
struct Shared<H> {
    handler: H,
    stop: Stop,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// One accepted connection, for its handler.
#[derive(Debug)]
pub struct Connection<'a> {
    stream: Arc<TcpStream>,
    stop: &'a Stop,
}

impl Connection<'_> {
    /// The connection's socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The signal that the service stops.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        self.stop
    }

    /// Writes all bytes, in one system call if they fit into the socket's buffer.
    ///
    /// # Errors
    /// When the connection is closed or the service stops.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// Sends nothing and reads until the client closes or the service stops.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn hold(&self) -> io::Result<ConnectionEnd> {
        let mut ignored = [0; 4096];
        while self.stream().read(&mut ignored)? > 0 {}
        Ok(ConnectionEnd::Close)
    }
}

/// Tells every thread of a service to stop, wherever it waits: the condition variable wakes a
/// pause, and the shutdown of its socket wakes a read or write.
#[derive(Debug, Default)]
pub struct Stop {
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    streams: Vec<Weak<TcpStream>>,
}

impl Stop {
    /// Registers a stream, which is then shut down with the service. Only a weak reference is kept:
    /// the thread that uses the stream closes it.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] when the service stops.
    pub fn adopt(&self, stream: TcpStream) -> io::Result<Arc<TcpStream>> {
        let stream = Arc::new(stream);
        let mut state = self.lock();
        if state.stopped {
            return Err(stopping());
        }
        state.streams.retain(|stream| stream.strong_count() > 0);
        state.streams.push(Arc::downgrade(&stream));
        Ok(stream)
    }

    /// Connects to `address` and registers the stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] when the service stops first,
    /// [`io::ErrorKind::TimedOut`] after half a minute, or the error of the system.
    pub fn connect(&self, address: SocketAddr) -> io::Result<Arc<TcpStream>> {
        let begun = Instant::now();
        while begun.elapsed() < CONNECT_TIMEOUT {
            self.check()?;
            // In short attempts, because a connect that hangs cannot be interrupted.
            match TcpStream::connect_timeout(&address, CONNECT_SLICE) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return self.adopt(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Sleeps until `deadline`, to within some microseconds. `None`: until the service stops.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] when the service stops first.
    pub fn sleep_until(&self, deadline: Option<Instant>) -> io::Result<()> {
        let mut state = self.lock();
        while !state.stopped {
            state = match deadline {
                None => self.stopped.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let Some(asleep) = left.checked_sub(SPIN).filter(|asleep| !asleep.is_zero())
                    else {
                        drop(state);
                        while Instant::now() < deadline {
                            std::hint::spin_loop();
                        }
                        return Ok(());
                    };
                    self.stopped
                        .wait_timeout(state, asleep)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        Err(stopping())
    }

    /// Returns an error if the service has stopped.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`].
    pub fn check(&self) -> io::Result<()> {
        if self.lock().stopped { Err(stopping()) } else { Ok(()) }
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for stream in state.streams.drain(..).filter_map(|stream| stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.stopped.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopping() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the loopback service stops")
}

fn accept_all<H: Handler>(shared: &Arc<Shared<H>>, listener: &TcpListener) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while shared.stop.check().is_ok() {
        let Ok((stream, _)) = listener.accept() else {
            // For example when there are no free file descriptors, which can be temporary.
            let _ = shared.stop.sleep_until(Instant::now().checked_add(RETRY));
            continue;
        };
        let Ok(stream) = shared.stop.adopt(stream) else {
            break;
        };
        let _ = stream.set_nodelay(true);
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        threads.retain(|thread| !thread.is_finished());
        let spawned = thread::Builder::new().name("loopback-connection".to_owned()).spawn({
            let shared = Arc::clone(shared);
            move || serve(&shared, stream)
        });
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(_) => {
                shared.open.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve<H: Handler>(shared: &Shared<H>, stream: Arc<TcpStream>) {
    let connection = Connection { stream, stop: &shared.stop };
    let ending = shared.handler.serve(&connection).unwrap_or(ConnectionEnd::Close);
    // The counter changes before the FIN is sent: a client that sees the end also sees the new
    // count.
    shared.open.fetch_sub(1, Ordering::SeqCst);
    let mut stream = connection.stream();
    match ending {
        ConnectionEnd::Reset => {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        ConnectionEnd::Close => {
            // Closing a socket with unread bytes would send a RST, which can overtake the response.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.set_nonblocking(true);
            let mut ignored = [0; 4096];
            for _ in 0..256 {
                if !stream.read(&mut ignored).is_ok_and(|n| n > 0) {
                    break;
                }
            }
        }
    }
}

/// The last part of a sleep is a busy wait: a timer is late by about 60 µs, more on a busy machine.
const SPIN: Duration = Duration::from_micros(200);

/// The wait after a failed `accept`.
const RETRY: Duration = Duration::from_millis(5);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Also the longest time that stopping can take.
const CONNECT_SLICE: Duration = Duration::from_millis(20);
