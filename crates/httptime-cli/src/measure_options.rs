//! Servers, route and settings: the options that the command line and the configuration file share.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use httptime::Client;
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::{Config, ConfigBuilder};
use httptime::{Error, Family, Method, Timestamping, Url};
use serde::Deserialize;

use crate::environment;
use crate::server_arg::ServerArg;

/// Whom to ask, which way and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// Servers to ask: `http://host[:port][/path]`, or a bare host
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<ServerArg>,

    /// How many servers must answer and agree [default: more than half of the servers]
    #[arg(long, value_name = "N")]
    pub(crate) min_servers: Option<usize>,

    #[command(flatten)]
    pub(crate) measure_options: MeasureOptions,

    #[command(flatten)]
    pub(crate) route: Route,
}

/// Which way to go to the servers.
#[derive(Debug, clap::Args)]
pub(crate) struct Route {
    /// HTTP proxy to go through: `http://[user:password@]host[:port]`; "" for none [default: the
    /// environment's]
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<ServerArg>,

    /// Have the proxy open a tunnel (CONNECT), so that none of its caches can answer
    #[arg(short = 'p', long = "proxytunnel")]
    pub(crate) tunnel: bool,

    /// What requests say in User-Agent; "" for nothing [default: httptime and its version]
    #[arg(short = 'A', long, value_name = "TEXT")]
    pub(crate) user_agent: Option<String>,

    #[command(flatten)]
    pub(crate) family: FamilyOptions,

    /// Local address of all connections [default: the system's choice]
    #[arg(long, value_name = "ADDR")]
    pub(crate) source_address: Option<IpAddr>,

    /// Network interface of all connections; Linux only [default: the system's choice]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
}

/// [`Family`] as options.
#[derive(Debug, clap::Args)]
pub(crate) struct FamilyOptions {
    /// Use IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6', long)]
    ipv6: bool,
}

/// How to measure each server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MeasureOptions {
    /// How much to spend: polite (≤ 24 requests, one a second, 40 s), balanced (≤ 48, 10.5 s) or
    /// fast (≤ 64, 6 s)
    #[arg(long, value_name = "NAME", default_value_t)]
    profile: Profile,

    /// Most requests to each server; of 18 or more up to 12 are checks [default: the profile's]
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<u32>,

    /// Longest time to go on asking, in seconds [default: the profile's]
    #[arg(short, long, value_name = "S")]
    duration: Option<Seconds>,

    /// Stop once the standard deviation is this small, in seconds [default: none]
    #[arg(short, long, value_name = "S")]
    target: Option<Seconds>,

    /// Longest wait for a name, a connection or a response, in seconds [default: 5]
    #[arg(long, value_name = "S")]
    timeout: Option<Seconds>,

    /// Which request to send: head, get, options (OPTIONS *), or auto, HEAD and where that gives no
    /// Date GET
    #[arg(long, value_name = "NAME", default_value_t)]
    method: Method,

    /// How late the server's Date may be, in seconds [default: from the response, else 2.02]
    #[arg(long, value_name = "S")]
    lag: Option<Seconds>,

    /// How fast the two clocks may come apart, in parts per million [default: 300]
    #[arg(long, value_name = "PPM")]
    drift_ppm: Option<u32>,

    /// How to estimate the offset: `last_date`, midpoint, htpdate, intersection, symmetric or
    /// posterior
    #[arg(long, value_name = "NAME", default_value_t)]
    estimator: EstimatorKind,

    /// When to send requests: periodic, bisect, scan, htpdate or adaptive
    #[arg(long, value_name = "NAME", default_value_t)]
    schedule: ScheduleKind,

    /// Whose times of requests and responses to use: kernel (Linux), user, or auto, the kernel's
    /// where it gives them
    #[arg(long, value_name = "WHO", default_value_t)]
    timestamps: Timestamping,
}

/// A length of time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Seconds(pub(crate) Duration);

impl Servers {
    /// The configuration, for further changes.
    pub(crate) fn config(&self) -> ConfigBuilder {
        let builder = self.measure_options.config().family(self.route.family.wanted());
        match self.min_servers {
            Some(servers) => builder.min_servers(servers),
            None => builder,
        }
    }

    /// The client for these servers, and the proxy that it uses, without credentials. The only
    /// place that reads the proxy from the environment.
    pub(crate) fn client(&self, config: Config) -> Result<(Client, Option<Url>), Error> {
        let urls: Vec<String> = self.urls.iter().map(ServerArg::url).collect();
        let Some((first, rest)) = urls.split_first() else {
            return Err(Error::InvalidConfig { reason: "servers names none".into() });
        };
        let mut builder = Client::builder(first)
            .servers(rest)
            .method(self.measure_options.method())
            .config(config);
        let mut via = None;
        if let Some(proxy) = proxy(self.route.proxy.as_ref(), &urls)? {
            builder = builder.proxy(proxy.url()).tunnel(self.route.tunnel);
            via = Some(Url::parse(&proxy.url())?);
        }
        if let Some(user_agent) = &self.route.user_agent {
            builder = builder.user_agent(user_agent);
        }
        if let Some(address) = self.route.source_address {
            builder = builder.source_address(address);
        }
        if let Some(interface) = &self.route.interface {
            builder = builder.interface(interface);
        }
        Ok((builder.build()?, via))
    }
}

impl MeasureOptions {
    /// The method of the requests.
    pub(crate) const fn method(&self) -> Method {
        self.method
    }

    /// The configuration, for further changes. Options that are not given have the library's
    /// defaults.
    pub(crate) fn config(&self) -> ConfigBuilder {
        let mut builder = Config::builder()
            .profile(self.profile)
            .estimator(self.estimator)
            .timestamping(self.timestamps);
        if let Some(requests) = self.requests {
            builder = builder.requests(requests);
        }
        if let Some(Seconds(duration)) = self.duration {
            builder = builder.duration(duration);
        }
        if let Some(Seconds(target)) = self.target {
            builder = builder.target(target);
        }
        if let Some(Seconds(timeout)) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(Seconds(lag)) = self.lag {
            builder = builder.lag(lag);
        }
        if let Some(ppm) = self.drift_ppm {
            builder = builder.drift_ppm(ppm);
        }
        // The profile sets its own adaptive schedule.
        match self.schedule {
            ScheduleKind::Adaptive => builder,
            kind => builder.schedule(kind),
        }
    }
}

/// The given proxy ("" for none), or that of the environment.
fn proxy(given: Option<&ServerArg>, urls: &[String]) -> Result<Option<ServerArg>, Error> {
    if let Some(given) = given {
        return Ok(Some(given.clone()).filter(|proxy| !proxy.is_empty()));
    }
    let mut proxies = urls
        .iter()
        .map(|url| Ok(environment::proxy_for(Url::parse(url)?.host())))
        .collect::<Result<Vec<_>, Error>>()?;
    let last = proxies.pop().flatten();
    if proxies.iter().any(|proxy| *proxy != last) {
        let reason = "no_proxy names some of the servers and not others; ask them in two runs";
        return Err(Error::InvalidConfig { reason: reason.into() });
    }
    Ok(last.map(ServerArg::from))
}

impl From<Family> for FamilyOptions {
    fn from(family: Family) -> Self {
        Self { ipv4: family == Family::V4, ipv6: family == Family::V6 }
    }
}

impl FamilyOptions {
    const fn wanted(&self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            _ => Family::Any,
        }
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|error| error.to_string())
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
        seconds.try_into()
    }
}
