//! From the command line to a client.

use std::time::Duration;

use httptime::client::Client;
use httptime::config::Config;
use httptime::net::tie;
use httptime::{ClockTie, Error, Family, Measurement, Url};

use crate::args::Servers;
use crate::environment;
use crate::written::Written;

/// The client that the command line asks for.
pub(crate) fn client(servers: &Servers, config: &Config) -> Result<Client, Error> {
    let urls: Vec<String> = servers.urls.iter().map(Written::url).collect();
    let (first, rest) = urls.split_first().expect("clap asks for one");
    let mut builder = Client::builder(first).config(config.clone()).tunnel(servers.proxytunnel);
    for url in rest {
        builder = builder.server(url);
    }
    if let Some(proxy) = proxy(servers.proxy.as_ref(), &urls)? {
        builder = builder.proxy(proxy.url());
    }
    let family = match (servers.ipv4, servers.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    builder.family(family).timestamping(servers.measuring.timestamps).build()
}

/// Whether the wall clock is still the one that was measured.
///
/// # Errors
/// [`Error::ClockStepped`] when somebody has set it since.
pub(crate) fn still_shown(measurement: &Measurement) -> Result<(), Error> {
    let measured = ClockTie::new(measurement.at(), measurement.local_time(), Duration::ZERO);
    let now = tie();
    let elapsed = now.instant().saturating_since(measured.instant());
    let allowed = TURNED + now.uncertainty() + elapsed / 2000;
    let by = measured.stepped_by(now);
    if by.abs() > allowed { Err(Error::ClockStepped { by }) } else { Ok(()) }
}

/// The proxy that is asked for ("" for none), else that of the environment.
pub(crate) fn proxy(given: Option<&Written>, urls: &[String]) -> Result<Option<Written>, Error> {
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
    Ok(last.map(Written::from))
}

/// What the wall clock may differ from the monotonic one without having been set.
const TURNED: Duration = Duration::from_millis(1);
