use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Resolves a host and a port to addresses: the system's resolver, or the caller's.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<LookupFn>);

type LookupFn = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl Resolver {
    pub(crate) fn new(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(lookup))
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Running look-ups of names.
///
/// A resolver can block for any time, so each look-up runs in a separate thread. If it is no longer
/// needed, the thread continues until the resolver returns.
#[derive(Debug, Default)]
pub(super) struct PendingLookups {
    answers: Arc<Mutex<Vec<LookupResult>>>,
    /// One byte in it for each answer.
    wake: Option<(UnixStream, UnixStream)>,
}

#[derive(Debug)]
pub(super) struct LookupResult {
    pub(super) server: usize,
    pub(super) addresses: io::Result<Vec<SocketAddr>>,
}

impl PendingLookups {
    /// Starts a look-up.
    pub(super) fn start(
        &mut self,
        server: usize,
        host: &str,
        port: u16,
        resolver: &Resolver,
    ) -> io::Result<()> {
        let (sender, _) = match &mut self.wake {
            Some(wake) => wake,
            none => none.insert(pair()?),
        };
        let sender = sender.try_clone()?;
        let (host, resolver) = (host.to_owned(), resolver.clone());
        let answers = Arc::clone(&self.answers);
        let lookup = move || {
            let addresses = (resolver.0)(&host, port);
            let answer = LookupResult { server, addresses };
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            // It can only fail when nobody waits any more, or when the buffer is full, which also
            // wakes the other end.
            let _ = rustix::io::write(&sender, &[1]);
        };
        thread::Builder::new().name("resolve".into()).spawn(lookup).map(drop)
    }

    /// The next finished look-up.
    pub(super) fn take(&self) -> Option<LookupResult> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Readable when a look-up has finished.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(|(_, receiver)| receiver.as_fd())
    }

    /// Consumes the readiness.
    pub(super) fn clear_readiness(&self) {
        if let Some((_, receiver)) = &self.wake {
            let _ = rustix::io::read(receiver, &mut [0; 64]);
        }
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (sender, receiver) = UnixStream::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((sender, receiver))
}
