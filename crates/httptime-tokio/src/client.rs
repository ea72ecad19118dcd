use std::io;
use std::net::{IpAddr, SocketAddr};

use httptime::survey::{Survey, Targets, TargetsBuilder};
use httptime::{Config, Error, Measurement, Method, Url};

use crate::resolve::Resolver;
use crate::running::RunningSurvey;
use crate::socket::SocketOptions;

/// Measures one server or several. Never touches a clock.
#[derive(Debug, Clone)]
pub struct Client {
    targets: Targets,
    sockets: SocketOptions,
    resolver: Resolver,
}

/// Builds a [`Client`].
#[derive(Debug, Clone, Default)]
pub struct ClientBuilder {
    targets: TargetsBuilder,
    sockets: SocketOptions,
    resolver: Resolver,
}

impl ClientBuilder {
    /// One more server: [`TargetsBuilder::server`].
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.targets = self.targets.server(url);
        self
    }

    /// More servers.
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

    /// Has the proxy open a tunnel (`CONNECT`) [default: false]: [`TargetsBuilder::tunnel`].
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

    /// What requests say in `User-Agent` [default: `httptime/VERSION`]: [`TargetsBuilder::user_agent`].
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

    /// Turns host and port into addresses [default: the system's resolver]. Not called for a host that is an address.
    ///
    /// The future is dropped with the measurement. The system's resolver cannot be stopped, though: it runs on tokio's blocking
    /// pool ([`lookup_host`](tokio::net::lookup_host)), and a runtime that shuts down waits for it, unless by
    /// [`shutdown_background`](tokio::runtime::Runtime::shutdown_background).
    #[must_use]
    pub fn resolver<F>(mut self, lookup: impl Fn(String, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Resolver::new(move |host, port| Box::pin(lookup(host, port)));
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
    /// As [`TargetsBuilder::build`].
    pub fn build(self) -> Result<Client, Error> {
        let targets = self.targets.build()?;
        Ok(Client { targets, sockets: self.sockets, resolver: self.resolver })
    }
}

impl Client {
    /// A client without a server yet.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same servers by the same ways, measured differently.
    ///
    /// # Errors
    /// As [`Targets::with_config`].
    pub fn with_config(mut self, config: Config) -> Result<Self, Error> {
        self.targets = self.targets.with_config(config)?;
        Ok(self)
    }

    /// How it measures.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.targets.config()
    }

    /// The servers, in the order of the builder.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.targets.urls()
    }

    /// Measures. With several servers, the answer of their majority.
    ///
    /// It takes no longer than [`timeout`](httptime::Limits::timeout) for the names, and then that timeout and
    /// [`duration`](httptime::Limits::duration) together. Dropping the future ends it at once.
    ///
    /// # Errors
    /// Any of [`Error`] but those about settings.
    pub async fn measure(&self) -> Result<Measurement, Error> {
        self.survey().await.into_combined()
    }

    /// Measures every server, and selects among them; otherwise as [`measure`](Self::measure).
    pub async fn survey(&self) -> Survey {
        let mut running = self.start();
        while running.next().await.is_some() {}
        running.finish()
    }

    /// Starts a survey whose events are wanted.
    pub fn start(&self) -> RunningSurvey {
        let options = SocketOptions {
            kernel_timestamps: self.config().timestamping().should_ask_kernel(),
            ..self.sockets.clone()
        };
        let sessions = self.targets.sessions(httptime::net::cross_timestamp());
        RunningSurvey::new(sessions, options, self.resolver.clone())
    }
}
