use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

use super::system::{BorrowedFd, WakeReceiver, WakeSender, wake_pair};
use crate::survey::MAX_SERVERS;

/// Resolves a host and a port to addresses: the system's resolver, or the caller's.
#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Arc<LookupFn>,
    /// The look-ups that have not returned.
    running: Arc<AtomicUsize>,
}

type LookupFn = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl Resolver {
    pub(crate) fn new(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { lookup: Arc::new(lookup), running: Arc::default() }
    }
}

/// The system's resolver, with one count for all clients.
static SYSTEM: LazyLock<Resolver> =
    LazyLock::new(|| Resolver::new(|host, port| Ok((host, port).to_socket_addrs()?.collect())));

impl Default for Resolver {
    fn default() -> Self {
        SYSTEM.clone()
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
/// needed, the thread continues until the resolver returns. The number of such threads is limited.
#[derive(Debug, Default)]
pub(super) struct PendingLookups {
    answers: Arc<Mutex<Vec<LookupResult>>>,
    /// Each answer wakes the receiver.
    wake: Option<(WakeSender, WakeReceiver)>,
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
            none => none.insert(wake_pair()?),
        };
        let sender = sender.try_clone()?;
        let running = Running::start(&resolver.running)?;
        let (host, resolver) = (host.to_owned(), resolver.clone());
        let answers = Arc::clone(&self.answers);
        let lookup = move || {
            let addresses = (resolver.lookup)(&host, port);
            drop(running);
            let answer = LookupResult { server, addresses };
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            sender.wake();
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
            receiver.clear();
        }
    }
}

/// One of the look-ups that have not returned, until it is dropped.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn start(running: &Arc<AtomicUsize>) -> io::Result<Self> {
        let before = running.fetch_add(1, Ordering::Relaxed);
        let started = Self(Arc::clone(running));
        match before {
            ..MAX_LOOKUPS => Ok(started),
            _ => Err(io::Error::other(format!(
                "{before} earlier look-ups have not returned; check the name servers"
            ))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The maximum number of look-ups that have not returned: two surveys with all servers.
const MAX_LOOKUPS: usize = 2 * MAX_SERVERS;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_resolver_that_hangs_leaves_a_limited_number_of_threads() {
        let (release, hanging) = mpsc::channel::<()>();
        let hanging = Mutex::new(hanging);
        let resolver = Resolver::new(move |_, _| {
            let _ = hanging.lock().unwrap_or_else(PoisonError::into_inner).recv();
            Ok(Vec::new())
        });
        let start = |server| PendingLookups::default().start(server, "a", 80, &resolver);
        for server in 0..MAX_LOOKUPS {
            start(server).expect("started");
        }
        for _ in 0..2 {
            let error = start(0).expect_err("too many").to_string();
            assert_eq!(error, "32 earlier look-ups have not returned; check the name servers");
        }
        drop(release);
        let deadline = Instant::now() + Duration::from_secs(20);
        while resolver.running.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "they have returned");
            thread::sleep(Duration::from_millis(1));
        }
        start(0).expect("started again");
    }
}
