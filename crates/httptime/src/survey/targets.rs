use std::sync::Arc;

use super::{Sessions, check};
use crate::config::Config;
use crate::error::Error;
use crate::method::Method;
use crate::select::Quorum;
use crate::session::{Security, Session, Target};
use crate::time::CrossTimestamp;
use crate::url::Url;

/// Servers, the route to them, and the settings: checked once, used for any number of surveys.
///
/// The checks of a caller's settings are here, once for every driver.
///
/// ```
/// use httptime::Config;
/// use httptime::survey::Targets;
///
/// let targets = Targets::builder()
///     .servers(["http://192.0.2.1/", "http://192.0.2.2/", "http://192.0.2.3/"])
///     .proxy("http://192.0.2.128:3128/")
///     .config(Config::builder().requests(12).build()?)
///     .build()?;
/// assert_eq!(targets.urls().count(), 3);
/// # Ok::<(), httptime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Targets {
    targets: Vec<Arc<Target>>,
    config: Config,
    quorum: Quorum,
}

/// Builds [`Targets`].
#[derive(Debug, Clone, Default)]
pub struct TargetsBuilder {
    // Parsed at once, so that `Debug` shows no password.
    servers: Vec<Result<Url, Error>>,
    proxy: Option<Result<Url, Error>>,
    tunnel: bool,
    method: Method,
    user_agent: Option<String>,
    security: Option<Arc<dyn Security>>,
    config: Config,
}

impl TargetsBuilder {
    /// Adds a server: `http[s]://host[:port][/path]`. With several servers the majority decides
    /// ([`select`](crate::select)), so each may occur only once.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.servers.push(Url::parse(&url.into()));
        self
    }

    /// Adds several servers.
    #[must_use]
    pub fn servers(self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        urls.into_iter().fold(self, Self::server)
    }

    /// Uses an HTTP proxy, `http[s]://[user:password@]host[:port]` [default: none].
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(Url::parse(&url.into()));
        self
    }

    /// Makes the proxy open a tunnel (`CONNECT`) instead of forwarding requests in absolute form
    /// [default: false]. An `https` server always has a tunnel.
    #[must_use]
    pub const fn tunnel(mut self, tunnel: bool) -> Self {
        self.tunnel = tunnel;
        self
    }

    /// The method of the requests [default: `auto`: `HEAD`, and `GET` if that fails].
    #[must_use]
    pub const fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The value of `User-Agent`, also for the proxy; empty: no such field [default:
    /// `httptime/VERSION`].
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Provides TLS for `https` URLs, of servers and of the proxy [default: none]. The crate
    /// `httptime-tls` has an implementation.
    #[must_use]
    pub fn tls(mut self, security: impl Security + 'static) -> Self {
        self.security = Some(Arc::new(security));
        self
    }

    /// The settings of the measurement.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] for the first URL that is not valid. [`Error::NoHttps`] for an `https`
    /// URL without [`tls`](Self::tls). The errors of [`Target::with_user_agent`], of
    /// [`Sessions::new`] and of [`Security::peer`].
    pub fn build(self) -> Result<Targets, Error> {
        let (targets, config) = self.build_unlimited()?;
        let quorum = check(targets.iter().map(Arc::as_ref), &config)?;
        Ok(Targets { targets, config, quorum })
    }

    /// The targets and the settings, for servers that do not vote: any number of them.
    pub(crate) fn build_unlimited(self) -> Result<(Vec<Arc<Target>>, Config), Error> {
        let proxy = self.proxy.transpose()?;
        let target = |url: Result<Url, Error>| {
            let target = Target::with_optional_proxy(url?, proxy.clone(), self.tunnel)?;
            let mut target = target.with_method(self.method)?;
            if let Some(user_agent) = &self.user_agent {
                target = target.with_user_agent(user_agent)?;
            }
            if let Some(security) = &self.security {
                target = target.with_security(Arc::clone(security));
            }
            target.check_security()?;
            Ok(Arc::new(target))
        };
        let targets = self.servers.into_iter().map(target).collect::<Result<Vec<_>, Error>>()?;
        Ok((targets, self.config))
    }
}

impl Targets {
    /// No server, no proxy, the default settings.
    #[must_use]
    pub fn builder() -> TargetsBuilder {
        TargetsBuilder::default()
    }

    /// The same servers and proxy with other settings.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a [`min_servers`](Config::min_servers) that is larger than the
    /// number of servers.
    pub fn with_config(mut self, config: Config) -> Result<Self, Error> {
        self.quorum = check(self.targets.iter().map(Arc::as_ref), &config)?;
        self.config = config;
        Ok(self)
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The same targets, but the local clock judges the dates of certificates:
    /// [`Security::by_local_clock`].
    #[must_use]
    pub fn by_local_clock(mut self) -> Self {
        for target in &mut self.targets {
            Arc::make_mut(target).judge_by_local_clock();
        }
        self
    }

    /// The URLs of the servers, in the order of the builder.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.targets.iter().map(|target| target.url())
    }

    /// A session for each server. `begin`: both local clocks now.
    #[must_use]
    pub fn sessions(&self, begin: CrossTimestamp) -> Sessions {
        let targets = self.targets.iter().cloned();
        let sessions = targets.map(|target| Session::new(target, &self.config, begin)).collect();
        Sessions::with_numbers(sessions, self.quorum, self.config.drift_ppm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> TargetsBuilder {
        Targets::builder().servers(["http://192.0.2.1/", "http://192.0.2.2/"])
    }

    #[test]
    fn each_rule_of_the_builder_is_an_error_of_its_own() {
        let kind = |builder: TargetsBuilder| builder.build().err().map(|error| error.kind());
        assert_eq!(kind(builder()), None);
        assert_eq!(kind(Targets::builder()), Some("invalid_config"));
        assert_eq!(kind(builder().server("http://192.0.2.1:80/other")), Some("invalid_config"));
        assert_eq!(kind(builder().server("ftp://192.0.2.3/")), Some("invalid_url"));
        assert_eq!(kind(builder().server("http://user:secret@192.0.2.3/")), Some("invalid_url"));
        assert_eq!(kind(builder().proxy("nonsense://")), Some("invalid_url"));
        assert_eq!(kind(builder().user_agent("a\r\nX: b")), Some("invalid_config"));
        assert_eq!(kind(builder().user_agent("")), None);
    }

    #[test]
    fn a_configuration_that_the_servers_cannot_meet_is_refused_when_it_is_given()
    -> Result<(), Error> {
        let three = || Config::builder().min_servers(3).build();
        assert!(builder().config(three()?).build().is_err());
        let targets = builder().build()?;
        assert!(targets.clone().with_config(three()?).is_err());
        let targets = targets.with_config(Config::builder().min_servers(2).build()?)?;
        let begin = CrossTimestamp::new(
            crate::time::LocalInstant::from_nanos(0),
            crate::time::Timestamp::from_unix_nanos(0),
            std::time::Duration::ZERO,
        );
        let sessions = targets.sessions(begin);
        assert_eq!(sessions.quorum().min_servers(), 2);
        assert_eq!(sessions.sessions().len(), 2);
        Ok(())
    }
}
