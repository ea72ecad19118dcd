//! Servers, route and settings: the options that the command line and the configuration file share.
#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "comments of options are the text of --help: no backticks, and brackets are optional parts"
)]

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::{Client, ClientBuilder, Config, ConfigBuilder};
use httptime::{Error, Family, Method, Peer, Phase, Timestamping, Url};
use serde::Deserialize;

use crate::environment;
use crate::https::{self, HttpsOptions};
use crate::server_arg::ServerArg;
use crate::words::without_remedy;

/// Which servers to ask, on which path and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// Server to ask: http[s]://host[:port][/path], or a bare host
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<ServerArg>,

    /// How many servers must answer and agree [default: more than half]
    ///
    /// With 1, a single server is believed when the others do not answer. Servers that answer and
    /// disagree are an error as before.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub(crate) min_servers: Option<usize>,

    #[command(flatten)]
    pub(crate) measure_options: MeasureOptions,

    #[command(flatten)]
    pub(crate) route: Route,

    #[command(flatten)]
    pub(crate) https: HttpsOptions,
}

/// On which path to reach the servers.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Route {
    /// Proxy: http[s]://[user:password@]host[:port], socks5h://…, or "" for none [default: the
    /// environment's]
    ///
    /// In a user name or password write / as %2F, ? as %3F, # as %23 and % as %25.
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<ServerArg>,

    /// Tunnel through the proxy (CONNECT), so that no cache on it can answer
    #[arg(short = 'p', long = "proxytunnel")]
    pub(crate) tunnel: bool,

    /// User-Agent of the requests; "" for none [default: httptime and its version]
    #[arg(short = 'A', long, value_name = "TEXT", hide_short_help = true)]
    pub(crate) user_agent: Option<String>,

    #[command(flatten)]
    pub(crate) family: FamilyOptions,

    /// Local address of all connections [default: chosen by the system]
    #[arg(long, value_name = "ADDR", hide_short_help = true, value_parser = address)]
    pub(crate) source_address: Option<IpAddr>,

    /// Network interface of all connections, such as eth0; Linux only [default: chosen by the
    /// system]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub(crate) interface: Option<String>,
}

/// [`Family`] as options.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FamilyOptions {
    /// Use IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6', long)]
    ipv6: bool,
}

/// How to measure each server.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MeasureOptions {
    /// How much to spend: polite (≤ 24 requests, one a second, 40 s), balanced (≤ 48, 10.5 s) or
    /// fast (≤ 64, 6 s)
    #[arg(long, value_name = "NAME", default_value_t, value_parser = named::<Profile>)]
    profile: Profile,

    /// Most requests to each server, 1 to 1000 [default: the profile's]
    ///
    /// Of 18 or more, up to 12 are checks, whose answer is known in advance. One request alone
    /// cannot show that the server's Date advances, and corrects no clock.
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    requests: Option<u32>,

    /// Send requests for this long, in seconds, up to 3600 [default: the profile's]
    #[arg(short, long, value_name = "S", allow_negative_numbers = true)]
    duration: Option<Seconds>,

    /// Stop once the standard deviation is this small, in seconds [default: none]
    #[arg(short, long, value_name = "S", allow_negative_numbers = true)]
    target: Option<Seconds>,

    /// Longest wait for a name, a connection or a response, in seconds [default: 5]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    timeout: Option<Seconds>,

    /// Which request to send: head, get, options (OPTIONS *), or auto, HEAD and where that is
    /// refused or gives no Date GET
    #[arg(
        long,
        value_name = "NAME",
        default_value_t,
        hide_short_help = true,
        value_parser = named::<Method>
    )]
    method: Method,

    /// The only HTTP status that a response may have, such as 204 for a path like /generate_204:
    /// refuses the answers of captive portals and proxies [default: any]
    #[arg(
        long,
        value_name = "CODE",
        hide_short_help = true,
        allow_negative_numbers = true,
        value_parser = whole::<u16>
    )]
    expect_status: Option<u16>,

    /// How late the server's Date may be, in seconds [default: from the response, else 2.02]
    ///
    /// A smaller lag makes the bounds narrower. They are wrong if the server is later than this.
    /// Also how late its stamp may be [default for a stamp: 0.001].
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    lag: Option<Seconds>,

    /// Header field of the stamp, the server's time in ms, µs or ns; "" ignores stamps [default:
    /// X-HTTPSTIME]
    ///
    /// With a stamp a few requests in a fraction of a second are enough. A stamp that contradicts
    /// the Date or an earlier stamp is not used: the Date is then measured.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    stamp_header: Option<String>,

    /// How fast the two clocks may drift apart, in parts per million, up to 10000 [default: 300]
    #[arg(
        long,
        value_name = "PPM",
        hide_short_help = true,
        allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    drift_ppm: Option<u32>,

    /// How to estimate the offset: last_date, midpoint, htpdate, intersection, symmetric or
    /// posterior
    #[arg(
        long,
        value_name = "NAME",
        default_value_t,
        hide_short_help = true,
        value_parser = named::<EstimatorKind>
    )]
    estimator: EstimatorKind,

    /// When to send requests: periodic, bisect, scan, htpdate or adaptive
    #[arg(
        long,
        value_name = "NAME",
        default_value_t,
        hide_short_help = true,
        value_parser = named::<ScheduleKind>
    )]
    schedule: ScheduleKind,

    /// Whose times of requests and responses to use: kernel (Linux), user, or auto, the kernel's
    /// where it gives them
    #[arg(
        long,
        value_name = "WHO",
        default_value_t,
        hide_short_help = true,
        value_parser = named::<Timestamping>
    )]
    timestamps: Timestamping,
}

/// Where the name of the proxy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxySource {
    Option,
    Configuration,
    /// An environment variable.
    Variable(&'static str),
}

/// The proxy that requests go through.
#[derive(Debug, Clone)]
pub(crate) struct Via {
    pub(crate) proxy: Url,
    pub(crate) source: ProxySource,
    /// Whether the proxy opens a tunnel to the server.
    tunnel: bool,
}

/// Settings that cannot be used. The message names the option, key or variable.
#[derive(Debug)]
pub(crate) struct Misuse {
    pub(crate) error: Error,
    by: Given,
    /// Where a URL comes from, if it is not one of the servers.
    about: Option<ProxySource>,
}

/// Who gives the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    CommandLine,
    File,
}

/// A length of time, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Seconds(pub(crate) Duration);

/// A limit in seconds; `inf`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Servers {
    /// The configuration, for further changes.
    pub(crate) fn config(&self) -> ConfigBuilder {
        let builder = self.measure_options.config().family(self.route.family.wanted());
        match self.min_servers {
            Some(servers) => builder.min_servers(servers),
            None => builder,
        }
    }

    /// The client for these servers, and the proxy that it uses, without credentials.
    pub(crate) fn client(
        &self,
        config: Config,
        by: Given,
    ) -> Result<(Client, Option<Via>), Misuse> {
        let (client, via) = self.client_of_some(config, by)?;
        let urls: Vec<Url> = client.urls().cloned().collect();
        self.https.check(&urls, via.as_ref()).map_err(|error| Misuse::of(error, by))?;
        Ok((client, via))
    }

    /// As [`client`](Self::client), where the `https` settings may be for other servers only.
    pub(crate) fn client_of_some(
        &self,
        config: Config,
        by: Given,
    ) -> Result<(Client, Option<Via>), Misuse> {
        let urls: Vec<String> = self.urls.iter().map(ServerArg::url).collect();
        let method = self.measure_options.method();
        let builder = client_builder(&urls, method, &self.route, &self.https, by)?;
        let (builder, via) = builder;
        let client = builder.config(config).build();
        Ok((client.map_err(|error| Misuse::of(error, by))?, via))
    }

    fn parsed_urls(&self) -> impl Iterator<Item = Url> {
        self.urls.iter().filter_map(|url| Url::parse(&url.url()).ok())
    }

    /// As [`ready`](Self::ready), for correcting the clock.
    pub(crate) fn ready_to_correct(
        &self,
        builder: ConfigBuilder,
        by: Given,
    ) -> Result<(Client, Option<Via>), Misuse> {
        match self.https.refusal(by).filter(|_| self.parsed_urls().any(|url| url.is_https())) {
            Some(reason) => Err(Misuse::of(Error::InvalidConfig { reason: reason.into() }, by)),
            None => self.ready(builder, by),
        }
    }

    /// As [`client`](Self::client), of a configuration that is not checked yet.
    pub(crate) fn ready(
        &self,
        builder: ConfigBuilder,
        by: Given,
    ) -> Result<(Client, Option<Via>), Misuse> {
        let config = builder.build().map_err(|error| Misuse::of(error, by))?;
        self.client(config, by)
    }
}

/// A builder for these servers, and the proxy that it uses, without credentials. The only place
/// that reads the proxy from the environment.
pub(crate) fn client_builder(
    urls: &[String],
    method: Method,
    route: &Route,
    https: &HttpsOptions,
    by: Given,
) -> Result<(ClientBuilder, Option<Via>), Misuse> {
    let misuse = |error| Misuse { error, by, about: None };
    let Some((first, rest)) = urls.split_first() else {
        let reason = "servers is empty; name at least one".into();
        return Err(misuse(Error::InvalidConfig { reason }));
    };
    route.check().map_err(misuse)?;
    let mut builder = Client::builder(first).servers(rest).method(method);
    let mut via = None;
    if let Some((proxy, source)) = proxy(route.proxy.as_ref(), urls, by).map_err(misuse)? {
        let of_proxy = |error| Misuse { error, by, about: Some(source) };
        let tunnel = route.tunnel;
        let proxy_url = Url::parse(&proxy.url()).map_err(of_proxy)?;
        let mut parsed = urls.iter().filter_map(|url| Url::parse(url).ok());
        let are_all_https = parsed.all(|url| url.is_https());
        let is_tunnelled = tunnel || proxy_url.is_socks() || are_all_https;
        via = Some(Via::new(proxy_url, source, is_tunnelled));
        builder = builder.proxy(proxy.url()).tunnel(tunnel);
    } else if route.tunnel {
        let reason = "tunnel needs a proxy, and there is none for these servers; name one, or \
                      leave this setting out";
        return Err(misuse(Error::InvalidConfig { reason: reason.into() }));
    }
    #[cfg(feature = "https")]
    {
        builder = builder.tls(https.tls().map_err(misuse)?);
    }
    #[cfg(not(feature = "https"))]
    let _ = https;
    if let Some(user_agent) = &route.user_agent {
        builder = builder.user_agent(user_agent);
    }
    if let Some(address) = route.source_address {
        builder = builder.source_address(address);
    }
    if let Some(interface) = &route.interface {
        builder = builder.interface(interface);
    }
    Ok((builder, via))
}

impl Route {
    /// Refuses what no connection can have.
    fn check(&self) -> Result<(), Error> {
        let refuse = |reason: &str| Err(Error::InvalidConfig { reason: reason.into() });
        if self.interface.as_deref() == Some("") {
            return refuse("interface is empty; name one, such as eth0, or leave it out");
        }
        match (self.source_address, self.family.wanted()) {
            (Some(IpAddr::V4(_)), Family::V6) => {
                refuse("source_address is an IPv4 address, but only IPv6 is allowed; change one")
            }
            (Some(IpAddr::V6(_)), Family::V4) => {
                refuse("source_address is an IPv6 address, but only IPv4 is allowed; change one")
            }
            _ => Ok(()),
        }
    }
}

impl Misuse {
    pub(crate) const fn of(error: Error, by: Given) -> Self {
        Self { error, by, about: None }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.about {
            write!(f, "{source}: ")?;
        }
        match &self.error {
            Error::InvalidConfig { reason } => {
                let (setting, rest) = reason.split_once(' ').unwrap_or((reason, ""));
                let named = match (self.by, setting) {
                    (Given::CommandLine, _) if https::SETTINGS.contains(&setting) => {
                        option(setting)
                    }
                    (Given::File, _) if https::SETTINGS.contains(&setting) => {
                        format!("https.{setting}")
                    }
                    (Given::CommandLine, "servers") => "the command line".to_owned(),
                    (Given::CommandLine, "tunnel") => "--proxytunnel".to_owned(),
                    (Given::CommandLine, _) if SETTINGS.contains(&setting) => option(setting),
                    (Given::File, "quorum") => "policy.quorum".to_owned(),
                    (Given::File, _) if MEASURE.contains(&setting) => format!("measure.{setting}"),
                    _ => setting.to_owned(),
                };
                match rest.rsplit_once("; set ") {
                    // What to do names the option or key too.
                    Some((what, setting)) if https::SETTINGS.contains(&setting) => match self.by {
                        Given::CommandLine => {
                            write!(f, "{named} {what}; give {}", option(setting))
                        }
                        Given::File => write!(f, "{named} {what}; set https.{setting}"),
                    },
                    _ => write!(f, "{named} {rest}"),
                }
            }
            error => error.fmt(f),
        }
    }
}

impl fmt::Display for ProxySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => f.write_str("--proxy"),
            Self::Configuration => f.write_str("proxy in the configuration"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {} (from {})", self.proxy, self.source)
    }
}

impl Via {
    pub(crate) const fn new(proxy: Url, source: ProxySource, tunnel: bool) -> Self {
        Self { proxy, source, tunnel }
    }

    /// Whether the proxy opens a tunnel, so that it cannot answer in the server's place.
    pub(crate) const fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// An error of a server that is asked through this proxy. Connections go to the proxy alone, so
    /// what happened before the first response is the proxy's failure.
    pub(crate) fn explained(&self, error: &Error) -> String {
        match error {
            Error::Resolve { .. }
            | Error::Connect { .. }
            | Error::ProxyRefused { .. }
            | Error::ProxyCredentials
            | Error::ProxyScheme { .. }
            | Error::Socks { .. }
            | Error::Tls { peer: Peer::Proxy, .. }
            | Error::Timeout { phase: Phase::Resolve | Phase::Connect | Phase::Tunnel, .. }
            | Error::Io { phase: Phase::Connect | Phase::Tunnel, .. } => {
                format!("{self} failed: {error}")
            }
            Error::Timeout { phase: Phase::Response, .. } => {
                let text = error.to_string();
                let what = without_remedy(&text);
                format!(
                    "through {self}: {what}; the proxy or the server behind it is silent: raise \
                     --timeout, or try another server or no proxy"
                )
            }
            Error::NoDate { status, .. } if *status >= 400 && !self.tunnel => format!(
                "through {self}: the response (status {status}) has no Date header, and the proxy \
                 may have made it; check the server's URL, the password of the proxy, and that \
                 the proxy reaches the server"
            ),
            Error::NotHttp { .. } if !self.tunnel => {
                let text = error.to_string();
                let what = without_remedy(&text);
                format!("{self} failed: {what}; check the port of the proxy")
            }
            _ => format!("through {self}: {error}"),
        }
    }
}

/// The name of a setting as an option.
fn option(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

/// The settings of the library that have an option of the same name.
const SETTINGS: &[&str] = &[
    "requests",
    "duration",
    "target",
    "timeout",
    "lag",
    "expect_status",
    "stamp_header",
    "drift_ppm",
    "min_servers",
    "quorum",
    "user_agent",
    "source_address",
    "interface",
];
/// Those of them that are keys of the section `[measure]`.
const MEASURE: &[&str] = &[
    "requests",
    "duration",
    "target",
    "timeout",
    "lag",
    "expect_status",
    "stamp_header",
    "drift_ppm",
];

impl MeasureOptions {
    /// The method of the requests.
    pub(crate) const fn method(&self) -> Method {
        self.method
    }

    /// As [`config`](Self::config), with other defaults for requests, time and target.
    pub(crate) fn config_with_defaults(
        &self,
        requests: u32,
        duration: Duration,
        target: Duration,
    ) -> ConfigBuilder {
        let requests = Some(self.requests.unwrap_or(requests));
        let duration = Some(self.duration.unwrap_or(Seconds(duration)));
        let target = Some(self.target.unwrap_or(Seconds(target)));
        Self { requests, duration, target, ..self.clone() }.config()
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
        if let Some(status) = self.expect_status {
            builder = builder.expect_status(status);
        }
        if let Some(name) = &self.stamp_header {
            builder = builder.stamp_header(Some(name));
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
fn proxy(
    given: Option<&ServerArg>,
    urls: &[String],
    by: Given,
) -> Result<Option<(ServerArg, ProxySource)>, Error> {
    if let Some(given) = given {
        let source = match by {
            Given::CommandLine => ProxySource::Option,
            Given::File => ProxySource::Configuration,
        };
        return Ok(Some((given.clone(), source)).filter(|(proxy, _)| !proxy.is_empty()));
    }
    let mut proxies = urls
        .iter()
        .map(|url| Ok(environment::proxy_for(&Url::parse(url)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let last = proxies.pop().flatten();
    let name = |proxy: &Option<(String, &str)>| proxy.as_ref().map(|(name, _)| name.clone());
    if proxies.iter().any(|proxy| name(proxy) != name(&last)) {
        let reason = "the environment has different proxies for these servers, or no_proxy exempts \
                      some of them; measure them separately, or set the proxy explicitly";
        return Err(Error::InvalidConfig { reason: reason.into() });
    }
    Ok(last.map(|(proxy, variable)| (ServerArg::from(proxy), ProxySource::Variable(variable))))
}

/// Checks the number of servers that may exceed the limits of the policy.
pub(crate) fn check_quorum(quorum: usize, servers: usize) -> Result<(), Error> {
    let reason = match quorum {
        0 | 1 => format!("quorum is {quorum}; allowed: 2 or more; for fewer see trust_single"),
        _ if quorum > servers => {
            format!("quorum is {quorum}; allowed: 2 to the number of servers, which is {servers}")
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidConfig { reason })
}

impl From<Family> for FamilyOptions {
    fn from(family: Family) -> Self {
        Self { ipv4: family == Family::V4, ipv6: family == Family::V6 }
    }
}

impl FamilyOptions {
    pub(crate) const fn wanted(&self) -> Family {
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
        let duration = Duration::try_from_secs_f64(seconds);
        duration
            .map(Self)
            .map_err(|_| format!("{seconds} s; allowed: a number of seconds, 0 or more"))
    }
}

impl TryFrom<f64> for Limit {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if seconds == f64::INFINITY {
            return Ok(Self(None));
        }
        Seconds::try_from(seconds).map(|seconds| Self(Some(seconds.0)))
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "inf" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|Seconds(limit)| Self(Some(limit)))
                .map_err(|error| format!("{error}, or inf: no limit")),
        }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds =
            text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds
            .map(Self)
            .ok_or_else(|| "allowed: a number of seconds, 0 or more, such as 0.5".to_owned())
    }
}

/// A whole number on the command line.
pub(crate) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "allowed: a whole number, 0 or more".to_owned())
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "allowed: an IPv4 or IPv6 address of this machine".to_owned())
}

/// One of a few names on the command line. clap names the option and the value.
fn named<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| {
        let text = format!("{error}");
        text.find("allowed: ").map_or(text.clone(), |at| text[at..].to_owned())
    })
}
