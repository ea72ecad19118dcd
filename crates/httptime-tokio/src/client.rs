use std::io;
use std::net::{IpAddr, SocketAddr};

use httptime::session::Security;
use httptime::survey::{Survey, Targets, TargetsBuilder};
use httptime::{Config, Error, Measurement, Method, Url};

use crate::resolve::Resolver;
use crate::running::RunningSurvey;
use crate::socket::SocketOptions;

/// Measures one server or several. Never changes a clock.
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
    /// Adds a server: [`TargetsBuilder::server`].
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

    /// Makes the proxy open a tunnel (`CONNECT`) [default: false]: [`TargetsBuilder::tunnel`].
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

    /// The value of `User-Agent` [default: `httptime/VERSION`]: [`TargetsBuilder::user_agent`].
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

    /// The function that resolves host and port [default: the system's resolver]. It is not called
    /// for a host that is an address.
    ///
    /// Its future is dropped with the measurement. The system's resolver cannot be stopped: it runs
    /// in tokio's blocking pool ([`lookup_host`](tokio::net::lookup_host)), and a runtime that
    /// shuts down waits for it, unless with
    /// [`shutdown_background`](tokio::runtime::Runtime::shutdown_background).
    #[must_use]
    pub fn resolver<F>(mut self, lookup: impl Fn(String, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Resolver::new(move |host, port| Box::pin(lookup(host, port)));
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
        Ok(Client { targets, sockets: self.sockets, resolver: self.resolver })
    }
}

impl Client {
    /// A client without a server yet.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The same servers and proxy with other settings.
    ///
    /// # Errors
    /// As [`Targets::with_config`].
    pub fn with_config(mut self, config: Config) -> Result<Self, Error> {
        self.targets = self.targets.with_config(config)?;
        Ok(self)
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.targets.config()
    }

    /// The URLs of the servers, in the order of the builder.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.targets.urls()
    }

    /// Measures. With several servers, returns the result of their majority.
    ///
    /// Resolving the names may take one [`timeout`](httptime::Limits::timeout). The rest takes at
    /// most that timeout plus [`duration`](httptime::Limits::duration). Dropping the future stops
    /// it at once.
    ///
    /// # Errors
    /// Any [`Error`] except those about settings.
    pub async fn measure(&self) -> Result<Measurement, Error> {
        self.survey().await.into_combined()
    }

    /// Measures all servers, and selects among them; otherwise as [`measure`](Self::measure).
    pub async fn survey(&self) -> Survey {
        let mut running = self.start();
        while running.next().await.is_some() {}
        running.finish()
    }

    /// Starts a survey and returns it, so that its events can be read.
    pub fn start(&self) -> RunningSurvey {
        let options = SocketOptions {
            kernel_timestamps: self.config().timestamping().should_ask_kernel(),
            ..self.sockets.clone()
        };
        let sessions = self.targets.sessions(httptime::net::cross_timestamp());
        RunningSurvey::new(sessions, options, self.resolver.clone())
    }
}
