//! The NTP servers that the configurations of this machine name.

use serde::Serialize;

use crate::doctor::place::Place;

/// A server, and the file that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) file: String,
}

/// The servers of chrony, ntpd, ntpsec, openntpd, ntpd-rs and systemd-timesyncd, each once.
pub(crate) fn servers(place: &Place) -> Vec<Server> {
    let mut files: Vec<(String, String)> = Vec::new();
    for file in [
        "etc/chrony.conf",
        "etc/chrony/chrony.conf",
        "etc/ntp.conf",
        "etc/ntpsec/ntp.conf",
        "etc/ntpd.conf",
        "etc/openntpd/ntpd.conf",
        "etc/systemd/timesyncd.conf",
        "etc/ntpd-rs/ntp.toml",
    ] {
        files.extend(place.text(file).map(|text| (file.to_owned(), text)));
    }
    for directory in ["etc/chrony/conf.d", "etc/chrony/sources.d", "etc/systemd/timesyncd.conf.d"] {
        files.extend(place.texts(directory));
    }
    let mut all: Vec<Server> = Vec::new();
    for (file, text) in files {
        let named = match &file {
            file if file.ends_with(".toml") => in_toml(&text),
            file if file.contains("timesyncd") => in_timesyncd(&text),
            _ => text.lines().filter_map(in_line).collect(),
        };
        for (host, port) in named {
            if !all.iter().any(|server| server.host == host && server.port == port) {
                all.push(Server { host, port, file: format!("/{file}") });
            }
        }
    }
    all.truncate(MAX_SERVERS);
    all
}

/// A line of `chrony.conf`, `ntp.conf` or `ntpd.conf`.
fn in_line(line: &str) -> Option<(String, u16)> {
    let mut words = line.split_whitespace();
    let is_server = |word: &str| ["server", "servers", "pool", "peer"].contains(&word);
    words.next().filter(|word| is_server(word))?;
    let host = words.by_ref().find(|word| !["-4", "-6"].contains(word))?;
    let port = words.skip_while(|word| *word != "port").nth(1).and_then(|port| port.parse().ok());
    // A reference clock of ntpd has an address of this form.
    (!host.starts_with("127.127.")).then(|| (host.to_owned(), port.unwrap_or(NTP_PORT)))
}

/// `NTP=` and, without it, `FallbackNTP=`.
fn in_timesyncd(text: &str) -> Vec<(String, u16)> {
    let of = |key: &str| -> Vec<(String, u16)> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        let names = lines.flat_map(str::split_whitespace);
        names.map(|name| (name.to_owned(), NTP_PORT)).collect()
    };
    match of("NTP=") {
        none if none.is_empty() => of("FallbackNTP="),
        named => named,
    }
}

/// `address` in each `[[source]]` of ntpd-rs.
fn in_toml(text: &str) -> Vec<(String, u16)> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let sources = table.get("source").and_then(|sources| sources.as_array());
    let addresses = sources.into_iter().flatten().filter_map(|source| source.get("address"));
    let texts = addresses.filter_map(|address| address.as_str());
    texts
        .map(|text| match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let host = host.trim_matches(['[', ']']).to_owned();
                (host, port.parse().unwrap_or(NTP_PORT))
            }
            _ => (text.to_owned(), NTP_PORT),
        })
        .collect()
}

const NTP_PORT: u16 = 123;
const MAX_SERVERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_server_and_its_port() {
        let named = |line| in_line(line);
        assert_eq!(
            named("pool 2.debian.pool.ntp.org iburst"),
            Some(("2.debian.pool.ntp.org".into(), 123))
        );
        assert_eq!(named("server -4 a.example port 1123 iburst"), Some(("a.example".into(), 1123)));
        assert_eq!(named("servers pool.ntp.org"), Some(("pool.ntp.org".into(), 123)));
        for other in ["# server a.example", "server", "server 127.127.1.0", "driftfile /x", ""] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn timesyncd_and_ntpd_rs_have_forms_of_their_own() {
        let of = in_timesyncd("[Time]\nNTP=a.example b.example\nFallbackNTP=c.example\n");
        assert_eq!(of, [("a.example".to_owned(), 123), ("b.example".to_owned(), 123)]);
        let of = in_timesyncd("[Time]\n#NTP=\nFallbackNTP=c.example\n");
        assert_eq!(of, [("c.example".to_owned(), 123)]);
        let text = "[[source]]\nmode = \"pool\"\naddress = \"a.example\"\n[[source]]\naddress = \
                    \"[2001:db8::1]:1123\"\n";
        assert_eq!(
            in_toml(text),
            [("a.example".to_owned(), 123), ("2001:db8::1".to_owned(), 1123)]
        );
    }
}
