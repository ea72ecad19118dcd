//! What to examine: the servers of the command line, or those of the configuration.

use httptime::Url;
use httptime::{Error, Scheme};
use toml::Table;

use super::place::Place;
use crate::args::Doctor;
use crate::https::HttpsOptions;
use crate::measure_options::{Given, MeasureOptions, Misuse, Servers, Via};
use crate::server_arg::ServerArg;

/// The servers of the command line, otherwise those of `httptime.toml`. `None`: there are none.
///
/// # Errors
/// If the options or the configuration cannot be used.
pub(super) fn servers(doctor: &Doctor, place: &Place) -> Option<Result<Servers, Misuse>> {
    let given = of_command_line(doctor);
    if !given.urls.is_empty() {
        return Some(Ok(given));
    }
    let configuration = place.text(CONFIGURATION)?;
    Some(from_file(&configuration, given))
}

/// The servers of the command line, which may name none.
pub(super) fn of_command_line(doctor: &Doctor) -> Servers {
    let Doctor { urls, route, https, .. } = doctor;
    Servers {
        urls: urls.clone(),
        min_servers: None,
        measure_options: MeasureOptions::default(),
        route: route.clone(),
        https: https.clone(),
    }
}

/// The servers, the proxy and the certificates of a configuration. Other keys do not matter here.
fn from_file(text: &str, mut given: Servers) -> Result<Servers, Misuse> {
    let refuse = |reason: String| Misuse::of(Error::InvalidConfig { reason }, Given::File);
    // The parser's message can contain a password: `run --check` has a better one.
    let table: Table = text
        .parse()
        .map_err(|_| refuse(format!("/{CONFIGURATION} is no TOML; try httptime run --check")))?;
    let text = |key: &str| table.get(key).and_then(|it| it.as_str()).map(str::to_owned);
    let urls = table.get("servers").and_then(|it| it.as_array()).into_iter().flatten();
    given.urls = urls.filter_map(|it| Some(ServerArg::from(it.as_str()?.to_owned()))).collect();
    if given.route.proxy.is_none() {
        given.route.proxy = text("proxy").map(ServerArg::from);
        given.route.tunnel |= table.get("tunnel").and_then(|it| it.as_bool()).unwrap_or(false);
    }
    if let (Some(https), true) = (table.get("https"), given.https == HttpsOptions::default()) {
        given.https = https
            .clone()
            .try_into()
            .map_err(|_| refuse(format!("https in /{CONFIGURATION} is wrong; try run --check")))?;
    }
    Ok(given)
}

/// The same options for one other server.
pub(super) fn alone(servers: &Servers, url: &Url) -> Servers {
    Servers {
        urls: vec![ServerArg::from(url.to_string())],
        min_servers: None,
        measure_options: MeasureOptions::default(),
        route: servers.route.clone(),
        https: servers.https.clone(),
    }
}

/// The same server by `https` in place of `http`, or the reverse, if it has the default port.
pub(super) fn by_other_scheme(url: &Url) -> Option<Url> {
    let other = match url.scheme() {
        Scheme::Http => "https",
        _ => "http",
    };
    let text = url.to_string();
    let (_, rest) = text.split_once("://").filter(|_| url.port() == url.scheme().default_port())?;
    Url::parse(&format!("{other}://{rest}")).ok()
}

/// The command that corrects the clock by these servers. A proxy of the environment is written out:
/// a service does not have the variable.
pub(super) fn sync_command(urls: &[Url], via: Option<&Via>) -> String {
    let urls: Vec<String> = urls.iter().map(Url::to_string).collect();
    let proxy = via.map_or(String::new(), |via| {
        let tunnel = if via.is_tunnel() && !urls.iter().all(|url| url.starts_with("https:")) {
            "-p "
        } else {
            ""
        };
        let note = if via.proxy.credentials().is_some() { "USER:PASSWORD@" } else { "" };
        format!("-x {} {tunnel}", via.proxy.to_string().replacen("://", &format!("://{note}"), 1))
    });
    format!("httptime sync {proxy}{}", urls.join(" "))
}

const CONFIGURATION: &str = "etc/httptime/httptime.toml";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure_options::ProxySource;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn the_other_scheme_is_tried_on_its_default_port_only() {
        let other = |text| by_other_scheme(&url(text)).map(|url| url.to_string());
        assert_eq!(other("http://a.example/x"), Some("https://a.example/x".into()));
        assert_eq!(other("https://a.example/"), Some("http://a.example/".into()));
        assert_eq!(other("http://a.example:8080/"), None);
    }

    #[test]
    fn the_command_names_the_proxy_and_never_its_password() {
        let servers = [url("http://a.example/"), url("http://b.example/")];
        assert_eq!(
            sync_command(&servers, None),
            "httptime sync http://a.example/ http://b.example/"
        );
        let via = |proxy, tunnel| Via::new(url(proxy), ProxySource::Variable("http_proxy"), tunnel);
        assert_eq!(
            sync_command(&servers[..1], Some(&via("http://user:hunter2@p:8888/", true))),
            "httptime sync -x http://USER:PASSWORD@p:8888/ -p http://a.example/"
        );
    }
}
