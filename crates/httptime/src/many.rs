//! Hundreds to thousands of servers, each measured for itself, in one thread.
//!
//! The servers do not vote: each has its own result. [`admission`] decides which one is measured
//! next, [`agenda`] which session is polled when. The driver is in `net/many.rs`.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

pub(crate) mod admission;
pub(crate) mod agenda;

use self::admission::Pace;
use crate::config::Config;
use crate::error::Error;
use crate::measurement::Measurement;
use crate::net::{ManyDriver, Resolver, SocketOptions};
use crate::session::Target;
use crate::url::Url;

/// Measures many servers in the calling thread, each for itself. Never changes a clock.
///
/// For a few servers whose majority decides, use a [`Client`](crate::Client).
///
/// A request leaves at its time to within about a tenth of a millisecond: the thread sleeps until
/// then, and does not poll the clock as a [`Client`](crate::Client) does. Kernel timestamps tell
/// when it did leave.
///
/// ```no_run
/// use std::time::Duration;
///
/// use httptime::{Client, Config};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::builder().requests(12).duration(Duration::from_secs(8)).build()?;
/// let urls = (1..=250).map(|host| format!("http://192.0.2.{host}:9100/"));
/// let client = Client::builder("http://192.0.2.251/").servers(urls).config(config).build_many()?;
/// for (url, result) in client.urls().zip(client.measure(|_, _| {})?) {
///     match result {
///         Ok(measurement) => println!("{url}: {measurement}"),
///         Err(error) => println!("{url}: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ManyClient {
    targets: Vec<Arc<Target>>,
    config: Config,
    sockets: SocketOptions,
    resolver: Resolver,
    pace: Pace,
}

impl ManyClient {
    pub(crate) const fn new(
        targets: Vec<Arc<Target>>,
        config: Config,
        sockets: SocketOptions,
        resolver: Resolver,
    ) -> Self {
        Self { targets, config, sockets, resolver, pace: Pace::DEFAULT }
    }

    /// The maximum number of servers that are measured at the same time [default: 1000; at most
    /// 16384]. Each needs up to [`MAX_CONNECTIONS`](crate::session::MAX_CONNECTIONS) file
    /// descriptors; most need one.
    #[must_use]
    pub const fn at_once(mut self, servers: NonZeroU32) -> Self {
        self.pace = self.pace.with_at_once(servers);
        self
    }

    /// How many servers are started in a second [default: 250]. Servers whose clocks agree change
    /// their `Date` at the same instant. Those that are started at different times are at different
    /// stages of their measurement then, so fewer requests compete for that instant.
    #[must_use]
    pub const fn starts_per_second(mut self, servers: NonZeroU32) -> Self {
        self.pace = self.pace.with_starts_per_second(servers);
        self
    }

    /// The URLs of the servers, in the order of the builder.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.targets.iter().map(|target| target.url())
    }

    /// Measures all servers. Calls `watch` with the number of a server, counted from 0, and its
    /// result, as soon as it is known. Returns all results in the order of the builder.
    ///
    /// # Errors
    /// When the system gives no file descriptors for waiting. The error of a server is in its
    /// result.
    pub fn measure(
        &self,
        mut watch: impl FnMut(usize, &Result<Measurement, Error>),
    ) -> io::Result<Vec<Result<Measurement, Error>>> {
        let mut results: Vec<_> =
            self.targets.iter().map(|_| Err(Error::NothingMeasured)).collect();
        let driver =
            ManyDriver::new(&self.targets, &self.config, &self.sockets, &self.resolver, self.pace)?;
        driver.run(&mut |server, result| {
            watch(server, &result);
            results[server] = result;
        })?;
        Ok(results)
    }
}
