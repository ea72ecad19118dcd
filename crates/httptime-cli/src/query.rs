use httptime::Error;
use httptime::client::{Client, Survey};
use httptime::config::Config;
use httptime::net::{Family, Url};

use crate::args::{Output, Query};
use crate::bar::Bar;
use crate::{MEASURED, NOT_MEASURED, USAGE, environment, report};

pub(crate) fn run(query: &Query) -> u8 {
    let (client, config) = match client(query) {
        Ok(ready) => ready,
        Err(error) => {
            report::failure(&error, &query.output);
            return USAGE;
        }
    };
    let survey = survey(&client, &config, &query.output);
    match report::survey(&survey, &config, &query.output) {
        true => MEASURED,
        false => NOT_MEASURED,
    }
}

/// Measures, showing how it goes on a terminal or under `--verbose`.
pub(crate) fn survey(client: &Client, config: &Config, output: &Output) -> Survey {
    let mut bar = Bar::new(config.limits(), output);
    let survey = client.survey(|update| bar.show(&update));
    bar.clear();
    survey
}

fn client(query: &Query) -> Result<(Client, Config), Error> {
    let config = query.measuring.config()?;
    let urls: Vec<String> = query.urls.iter().map(|url| with_scheme(url)).collect();
    let (first, rest) = urls.split_first().expect("clap asks for one");
    let mut builder = Client::builder(first).config(config.clone()).tunnel(query.proxytunnel);
    for url in rest {
        builder = builder.server(url);
    }
    if let Some(proxy) = proxy(query, &urls)? {
        builder = builder.proxy(with_scheme(&proxy));
    }
    let family = match (query.ipv4, query.ipv6) {
        (true, _) => Family::V4,
        (_, true) => Family::V6,
        _ => Family::Any,
    };
    Ok((builder.family(family).build()?, config))
}

/// The proxy of the command line, else that of the environment.
fn proxy(query: &Query, urls: &[String]) -> Result<Option<String>, Error> {
    if let Some(given) = &query.proxy {
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
    Ok(last)
}

fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}
