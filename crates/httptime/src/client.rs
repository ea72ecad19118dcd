//! The blocking client: drives [sessions](crate::session) with this machine's sockets and clocks.

use std::io;
use std::net::{IpAddr, SocketAddr};

use log::{Level, log};

use crate::config::Config;
use crate::error::Error;
use crate::estimate::Estimate;
#[cfg(all(feature = "many", unix))]
use crate::many::ManyClient;
use crate::measurement::Measurement;
use crate::method::Method;
use crate::net::{Canceller, Driver, Resolver, SocketOptions, cross_timestamp};
use crate::progress::Progress;
use crate::session::{Event, Security, Session};
use crate::survey::{Survey, Targets, TargetsBuilder};
use crate::url::Url;

/// Measures one server or several, and blocks until the result exists. Never
/// changes a clock.
///
/// ```no_run
/// use httptime::Client;
///
/// let measurement = Client::builder("http://192.0.2.1/").build()?.measure()?;
/// println!("local clock is off by {} s, within {}", measurement.offset(), measurement.bounds());
/// # Ok::<(), httptime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    targets: Targets,
    sockets: SocketOptions,
    resolver: Resolver,
    config: Config,
}

/// Builds a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    targets: TargetsBuilder,
    sockets: SocketOptions,
    resolver: Resolver,
}

impl ClientBuilder {
    /// Adds a server. With several servers the majority decides ([`select`](crate::select)), so
    /// each may occur only once.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.targets = self.targets.server(url);
        self
    }

    /// Adds several servers.
    #[must_use]
    pub fn servers(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.targets = self.targets.servers(urls);
        self
    }

    /// Uses an HTTP proxy, `http[s]://[user:password@]host[:port]` [default: none; the environment
    /// is not read].
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.targets = self.targets.proxy(url);
        self
    }

    /// Makes the proxy open a tunnel (`CONNECT`) instead of forwarding requests in absolute form.
    /// Then a cache of the proxy cannot answer for the server.
    #[must_use]
    pub fn tunnel(mut self, tunnel: bool) -> Self {
        self.targets = self.targets.tunnel(tunnel);
        self
    }

    /// The method of the requests [default: `auto`: `HEAD`, and `GET` if that fails].
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.targets = self.targets.method(method);
        self
    }

    /// The value of `User-Agent`, also for the proxy; empty: no such field [default:
    /// `httptime/VERSION`].
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.targets = self.targets.user_agent(user_agent);
        self
    }

    /// The local address of every connection [default: the system's choice].
    #[must_use]
    pub const fn source_address(mut self, address: IpAddr) -> Self {
        self.sockets.source = Some(address);
        self
    }

    /// The network interface of every connection, by name [default: the system's choice]. Linux
    /// only; on other systems connections fail.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.sockets.interface = Some(name.into());
        self
    }

    /// The function that resolves host and port [default: the system's resolver]. It is called in a
    /// separate thread and may block: the measurement waits for it at most for
    /// [`timeout`](crate::limits::Limits::timeout). It is not called for a host that is an address.
    #[must_use]
    pub fn resolver(
        mut self,
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.resolver = Resolver::new(lookup);
        self
    }

    /// Provides TLS for `https` URLs [default: none]: [`TargetsBuilder::tls`].
    #[must_use]
    pub fn tls(mut self, security: impl Security + 'static) -> Self {
        self.targets = self.targets.tls(security);
        self
    }

    /// The settings of the measurement.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.targets = self.targets.config(config);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// As [`TargetsBuilder::build`].
    pub fn build(self) -> Result<Client, Error> {
        let targets = self.targets.build()?;
        let config = targets.config().clone();
        Ok(Client { targets, sockets: self.sockets, resolver: self.resolver, config })
    }

    /// As [`build`](Self::build), but for any number of servers, each measured for itself. A server
    /// may occur twice.
    ///
    /// # Errors
    /// As [`build`](Self::build), except for the rules about the number of servers.
    #[cfg(all(feature = "many", unix))]
    pub fn build_many(self) -> Result<ManyClient, Error> {
        let (targets, config) = self.targets.build_unlimited()?;
        let kernel_timestamps = config.timestamping().should_ask_kernel();
        let sockets = SocketOptions { kernel_timestamps, ..self.sockets };
        Ok(ManyClient::new(targets, config, sockets, self.resolver))
    }
}

/// An event of a running measurement.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    server: usize,
    event: &'a Event,
    session: &'a Session,
}

impl<'a> Update<'a> {
    /// The server's number, counted from 0 in the order of the builder.
    #[must_use]
    pub const fn server(&self) -> usize {
        self.server
    }

    /// The event.
    #[must_use]
    pub const fn event(&self) -> &'a Event {
        self.event
    }

    /// The evidence from this server so far.
    #[must_use]
    pub const fn progress(&self) -> &'a Progress {
        self.session.progress()
    }

    /// The estimate so far. Each call computes it again.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        self.session.estimate()
    }
}

impl Client {
    /// A client for the server at `url`: `http[s]://host[:port][/path]`.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            targets: Targets::builder().server(url),
            sockets: SocketOptions::default(),
            resolver: Resolver::default(),
        }
    }

    /// The same servers and proxy with other settings.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The same client, but the local clock judges the dates of certificates, whether or not it is
    /// known to be right. To confirm a correction: a measured time at which the certificates were
    /// valid ([`CertificateCheck::ServerTime`](crate::CertificateCheck::ServerTime)) is in the
    /// local clock now.
    #[must_use]
    pub fn by_local_clock(mut self) -> Self {
        self.targets = self.targets.by_local_clock();
        self
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The URLs of the servers, in the order of the builder.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.targets.urls()
    }

    /// Measures. With several servers, returns the result of their majority.
    ///
    /// # Errors
    /// Any [`Error`] except those about settings.
    pub fn measure(&self) -> Result<Measurement, Error> {
        self.survey(|_| {}).into_combined()
    }

    /// Measures all servers at the same time, in this thread, and selects among them. Calls `watch`
    /// for each event.
    ///
    /// Resolving the name may take one [`timeout`](crate::limits::Limits::timeout). The rest takes
    /// at most that timeout plus [`duration`](crate::limits::Limits::duration).
    pub fn survey(&self, watch: impl FnMut(Update<'_>)) -> Survey {
        self.survey_with_canceller(None, watch)
    }

    /// As [`survey`](Self::survey), but stops at once when `canceller` is used. After
    /// [`cancel`](Canceller::cancel), every server that is not done fails with
    /// [`Error::Cancelled`], and so does the survey. After [`finish`](Canceller::finish), the
    /// result is computed from the evidence so far.
    pub fn survey_until(&self, canceller: &Canceller, watch: impl FnMut(Update<'_>)) -> Survey {
        self.survey_with_canceller(Some(canceller), watch)
    }

    fn survey_with_canceller(
        &self,
        canceller: Option<&Canceller>,
        mut watch: impl FnMut(Update<'_>),
    ) -> Survey {
        let sockets = SocketOptions {
            kernel_timestamps: self.config.timestamping().should_ask_kernel(),
            ..self.sockets.clone()
        };
        let sessions = match self.targets.clone().with_config(self.config.clone()) {
            Ok(targets) => targets.sessions(cross_timestamp()),
            Err(error) => return Survey::failed(self.urls().cloned(), &self.config, &error),
        };
        let driver = Driver::new(sessions, &sockets, &self.resolver, canceller);
        let sessions = driver.run(&mut |server, event, sessions| {
            log_event(server, &event);
            watch(Update { server, event: &event, session: &sessions.sessions()[server] });
        });
        sessions.finish(cross_timestamp())
    }
}

/// Writes an event to the log.
pub(crate) fn log_event(server: usize, event: &Event) {
    let level = match event {
        Event::Lost { .. }
        | Event::Fallback { .. }
        | Event::NextAddress { .. }
        | Event::Dropped
        | Event::Ended { .. } => Level::Debug,
        _ => Level::Trace,
    };
    log!(level, "server {}: {event}", server + 1);
}
