//! The blocking client: [sessions](crate::session) driven by this machine's sockets and clocks.

use std::io;
use std::net::{IpAddr, SocketAddr};

use log::{Level, log};

use crate::config::Config;
use crate::error::Error;
use crate::estimate::Estimate;
use crate::measurement::Measurement;
use crate::method::Method;
use crate::net::{Canceller, Driver, Resolver, SocketOptions, cross_timestamp};
use crate::progress::Progress;
use crate::session::{Event, Session};
use crate::survey::{Survey, Targets, TargetsBuilder};
use crate::url::Url;

/// Measures one server or several over plain HTTP, blocking until it is done. Never touches a clock.
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
    /// One more server to ask. With several, the majority decides ([`select`](crate::select)), so each may be named once
    /// only.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.targets = self.targets.server(url);
        self
    }

    /// More servers to ask.
    #[must_use]
    pub fn servers(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.targets = self.targets.servers(urls);
        self
    }

    /// Goes through an HTTP proxy, `http://[user:password@]host[:port]`. The environment is not looked at.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.targets = self.targets.proxy(url);
        self
    }

    /// Has the proxy open a tunnel (`CONNECT`) instead of forwarding requests in absolute form. Then no cache on the
    /// proxy can answer for the server.
    #[must_use]
    pub fn tunnel(mut self, tunnel: bool) -> Self {
        self.targets = self.targets.tunnel(tunnel);
        self
    }

    /// By which method the servers are asked [default: `auto`, `HEAD` or else `GET`].
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.targets = self.targets.method(method);
        self
    }

    /// What requests say in `User-Agent`, to the proxy too; empty for nothing [default: `httptime/VERSION`].
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

    /// The network interface of every connection, by name [default: the system's choice]. Linux only; elsewhere connections
    /// fail.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.sockets.interface = Some(name.into());
        self
    }

    /// Turns host and port into addresses [default: the system's resolver]. It is called on a thread of its own, and may block:
    /// nobody waits longer than [`timeout`](crate::limits::Limits::timeout). Not called for a host that is an address.
    #[must_use]
    pub fn resolver(
        mut self,
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        self.resolver = Resolver::new(lookup);
        self
    }

    /// How to measure.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.targets = self.targets.config(config);
        self
    }

    /// Checks the URLs.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] for the first that cannot be used, [`Error::InvalidConfig`] for too many servers, for one that is
    /// named twice (host and port; the path does not matter), and for a `User-Agent` that cannot be sent.
    pub fn build(self) -> Result<Client, Error> {
        let targets = self.targets.build()?;
        let config = targets.config().clone();
        Ok(Client { targets, sockets: self.sockets, resolver: self.resolver, config })
    }
}

/// Something that happened while a measurement goes on.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    server: usize,
    event: &'a Event,
    session: &'a Session,
}

impl<'a> Update<'a> {
    /// Which server, counted from 0 in the order of the builder.
    #[must_use]
    pub const fn server(&self) -> usize {
        self.server
    }

    /// What happened.
    #[must_use]
    pub const fn event(&self) -> &'a Event {
        self.event
    }

    /// What has been learnt from this server so far.
    #[must_use]
    pub const fn progress(&self) -> &'a Progress {
        self.session.progress()
    }

    /// The estimate so far. Computed anew by each call.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        self.session.estimate()
    }
}

impl Client {
    /// A client for the server at `url`: `http://host[:port][/path]`.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            targets: Targets::builder().server(url),
            sockets: SocketOptions::default(),
            resolver: Resolver::default(),
        }
    }

    /// The same servers by the same ways, measured otherwise.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How it measures.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The servers, in the order of the builder.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.targets.urls()
    }

    /// Measures. With several servers, the answer of their majority.
    ///
    /// # Errors
    /// Any of [`Error`] but those about settings.
    pub fn measure(&self) -> Result<Measurement, Error> {
        self.survey(|_| {}).into_combined()
    }

    /// Measures every server, in turns on this thread, and selects among them. `watch` is called for each event.
    ///
    /// The first request leaves when the name is resolved, for which there is one
    /// [`timeout`](crate::limits::Limits::timeout). After that it takes no longer than that timeout and
    /// [`duration`](crate::limits::Limits::duration) together.
    pub fn survey(&self, watch: impl FnMut(Update<'_>)) -> Survey {
        self.survey_unless(None, watch)
    }

    /// As [`survey`](Self::survey), and ends at once when `canceller` asks for it: with
    /// [`cancel`](Canceller::cancel) every server that is not done by then has failed with [`Error::Cancelled`], and so
    /// has the whole; with [`finish`](Canceller::finish) what was measured counts.
    pub fn survey_until(&self, canceller: &Canceller, watch: impl FnMut(Update<'_>)) -> Survey {
        self.survey_unless(Some(canceller), watch)
    }

    fn survey_unless(
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
            note(server, &event);
            watch(Update { server, event: &event, session: &sessions.sessions()[server] });
        });
        sessions.finish(cross_timestamp())
    }
}

/// Writes an event to the log.
fn note(server: usize, event: &Event) {
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
