use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Canceller;
use crate::error::{Error, IoError, Phase};
use crate::{Family, Url};

/// A name on its way to addresses.
///
/// The system's resolver blocks for as long as it likes, so it runs on a thread of its own. When the deadline passes
/// first, that thread is left behind, and ends when the resolver lets it.
#[derive(Debug)]
pub(crate) struct Resolving {
    host: String,
    family: Family,
    answer: Arc<Mailbox>,
}

impl Resolving {
    pub(crate) fn start(url: &Url, family: Family) -> Self {
        let (host, port) = (url.host().to_owned(), url.port());
        let answer = Arc::new(Mailbox::default());
        if let Ok(address) = host.parse::<IpAddr>() {
            answer.put(Ok(vec![SocketAddr::new(address, port)]));
        } else {
            let name = host.clone();
            let sender = Arc::clone(&answer);
            let lookup = move || {
                let addresses = (name.as_str(), port).to_socket_addrs();
                sender.put(addresses.map(Iterator::collect).map_err(IoError::from));
            };
            if let Err(error) = thread::Builder::new().name("resolve".into()).spawn(lookup) {
                answer.put(Err(error.into()));
            }
        }
        Self { host, family, answer }
    }

    /// The addresses, in the resolver's order, at least one.
    pub(crate) fn wait(
        self,
        remaining: Duration,
        timeout: Duration,
        canceller: Option<&Canceller>,
    ) -> Result<Vec<SocketAddr>, Error> {
        let fail = |source| Error::Resolve { host: self.host.clone(), source };
        let Some(answer) = self.receive(remaining, canceller)? else {
            return Err(Error::Timeout { phase: Phase::Resolve, after: timeout });
        };
        let mut addresses = answer.map_err(fail)?;
        addresses.retain(|address| match self.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        });
        if addresses.is_empty() {
            let reason = match self.family {
                Family::Any => "it has no address",
                Family::V4 => "it has no IPv4 address",
                Family::V6 => "it has no IPv6 address",
            };
            return Err(fail(io::Error::new(ErrorKind::NotFound, reason).into()));
        }
        Ok(addresses)
    }

    /// Waits for the resolver, and for the canceller a slice at a time: it may be used in a signal handler, which can
    /// wake nobody but who polls.
    fn receive(
        &self,
        remaining: Duration,
        canceller: Option<&Canceller>,
    ) -> Result<Option<Answer>, Error> {
        let begun = Instant::now();
        loop {
            if canceller.is_some_and(Canceller::is_cancelled) {
                return Err(Error::Cancelled);
            }
            let left = remaining.saturating_sub(begun.elapsed());
            let slice = if canceller.is_some() { left.min(SLICE) } else { left };
            let answer = self.answer.take(slice);
            if answer.is_some() || slice == left {
                return Ok(answer);
            }
        }
    }
}

type Answer = Result<Vec<SocketAddr>, IoError>;

/// Where the resolver's thread leaves its answer, for one who may have stopped waiting.
#[derive(Debug, Default)]
struct Mailbox {
    answer: Mutex<Option<Answer>>,
    came: Condvar,
}

impl Mailbox {
    fn put(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.came.notify_one();
    }

    fn take(&self, patience: Duration) -> Option<Answer> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.came.wait_timeout_while(answer, patience, |answer| answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

/// How long a cancellation may go unnoticed.
const SLICE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(url: &str, family: Family) -> Result<Vec<SocketAddr>, Error> {
        let timeout = Duration::from_secs(5);
        Resolving::start(&Url::parse(url)?, family).wait(timeout, timeout, None)
    }

    #[test]
    fn literals_need_no_resolver() -> Result<(), Error> {
        assert_eq!(
            resolve("http://127.0.0.1:81/", Family::Any)?,
            ["127.0.0.1:81".parse().unwrap()]
        );
        assert_eq!(resolve("http://[::1]:81/", Family::V6)?, ["[::1]:81".parse().unwrap()]);
        Ok(())
    }

    #[test]
    fn the_other_family_is_an_error_that_names_it() {
        let error = resolve("http://127.0.0.1/", Family::V6).expect_err("IPv4 only").to_string();
        assert!(error.contains("no IPv6 address"), "{error}");
    }

    #[test]
    fn a_numeric_zone_becomes_the_scope() -> Result<(), Error> {
        let addresses = resolve("http://[fe80::1%251]:81/", Family::Any)?;
        assert!(matches!(addresses[..], [SocketAddr::V6(v6)] if v6.scope_id() == 1));
        Ok(())
    }

    #[test]
    fn waiting_for_a_resolver_that_says_nothing_can_be_cancelled() {
        let answer = Arc::new(Mailbox::default());
        let resolving = Resolving { host: "nowhere".into(), family: Family::Any, answer };
        let canceller = Canceller::new().expect("two descriptors");
        let begun = Instant::now();
        let minute = Duration::from_secs(60);
        let result = thread::scope(|scope| {
            let waiting = scope.spawn(|| resolving.wait(minute, minute, Some(&canceller)));
            thread::sleep(Duration::from_millis(30));
            canceller.cancel();
            waiting.join().expect("no panic")
        });
        assert_eq!(result, Err(Error::Cancelled));
        assert!(begun.elapsed() < Duration::from_millis(130), "{:?}", begun.elapsed());
    }
}
