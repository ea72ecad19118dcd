//! The resolver: how long it takes, whether it answers, and whether the addresses can be right.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::deadline;
use super::finding::{Examination::Dns, Finding, Kind};
use super::place::Place;

/// What was read and asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) nameservers: Vec<String>,
    /// Whether systemd-resolved checks signatures (DNSSEC), as its configuration says.
    pub(crate) checks_signatures: bool,
    pub(crate) lookups: Vec<Lookup>,
}

/// One name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Lookup {
    pub(crate) host: String,
    pub(crate) seconds: f64,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub(crate) enum Outcome {
    Addresses { addresses: Vec<IpAddr> },
    Failed { reason: String, is_temporary: bool },
    Silent,
}

/// `hosts`: names, and addresses, which are left out.
pub(crate) fn gather(place: &Place, hosts: Vec<String>) -> Facts {
    let names = hosts.into_iter().filter(|host| !is_address(host)).take(MAX_NAMES).collect();
    let lookups = deadline::each(names, LIMIT, |host: &String| {
        let begun = Instant::now();
        let outcome = match (host.as_str(), 0).to_socket_addrs() {
            Ok(found) => {
                let mut addresses: Vec<IpAddr> = found.map(|it: SocketAddr| it.ip()).collect();
                addresses.dedup();
                Outcome::Addresses { addresses }
            }
            Err(error) => failed(&error),
        };
        Lookup { host: host.clone(), seconds: begun.elapsed().as_secs_f64(), outcome }
    });
    let silent = |host| Lookup { host, seconds: LIMIT.as_secs_f64(), outcome: Outcome::Silent };
    Facts {
        nameservers: nameservers(&place.text("etc/resolv.conf").unwrap_or_default()),
        checks_signatures: checks_signatures(
            &place.text("etc/systemd/resolved.conf").unwrap_or_default(),
        ),
        lookups: lookups
            .into_iter()
            .map(|(host, lookup)| lookup.unwrap_or_else(|| silent(host)))
            .collect(),
    }
}

fn is_address(host: &str) -> bool {
    host.split('%').next().is_some_and(|host| host.parse::<IpAddr>().is_ok())
}

fn failed(error: &std::io::Error) -> Outcome {
    let text = httptime::IoError::from(error).to_string();
    let reason = text.replace("failed to lookup address information: ", "");
    // EAI_AGAIN, which has no kind of its own.
    let is_temporary = reason.to_ascii_lowercase().contains("temporary failure");
    Outcome::Failed { reason: reason.to_lowercase(), is_temporary }
}

fn nameservers(resolv_conf: &str) -> Vec<String> {
    let lines = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

fn checks_signatures(resolved_conf: &str) -> bool {
    let mut values = resolved_conf.lines().filter_map(|line| line.trim().strip_prefix("DNSSEC="));
    values.next_back().is_some_and(|value| ["yes", "true", "1"].contains(&value.trim()))
}

/// What the facts mean.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let servers = match &facts.nameservers[..] {
        [] if cfg!(not(unix)) => "the system's nameservers".to_owned(),
        [] => "no nameserver in /etc/resolv.conf".to_owned(),
        some => format!("nameserver {}", some.join(", ")),
    };
    if facts.lookups.is_empty() {
        return vec![Finding::note(Dns, format!("no name had to be looked up ({servers})"))];
    }
    let mut all: Vec<Finding> = facts.lookups.iter().map(|it| finding(it, &servers)).collect();
    if facts.checks_signatures {
        all.push(Finding::note(
            Dns,
            "systemd-resolved checks signatures (DNSSEC=yes): with a wrong clock every signed name \
             fails; use addresses until the clock is correct",
        ));
    }
    all
}

fn finding(lookup: &Lookup, servers: &str) -> Finding {
    let Lookup { host, seconds, outcome } = lookup;
    match outcome {
        Outcome::Silent => Finding::fault(
            Dns,
            Kind::ResolverSilent,
            format!("{host}: the resolver gave no answer within {seconds:.0} s ({servers})"),
        )
        .run(look_up(host))
        .run("httptime query http://ADDRESS/      # an address in place of the name"),
        // The resolver has given up by itself after its own timeouts.
        Outcome::Failed { reason, .. } if *seconds >= SLOW_SECONDS => Finding::fault(
            Dns,
            Kind::ResolverSilent,
            format!("{host}: the resolver failed after {seconds:.1} s: {reason} ({servers})"),
        )
        .run(look_up(host)),
        Outcome::Failed { reason, is_temporary } => {
            let why = match is_temporary {
                true => "the nameserver refuses or fails; with DNSSEC a wrong clock is enough",
                false => {
                    "the name does not exist for this nameserver: wrong nameserver or spelling"
                }
            };
            Finding::fault(Dns, Kind::DnsWrong, format!("{host}: {reason}: {why} ({servers})"))
                .run(look_up(host))
        }
        Outcome::Addresses { addresses } => {
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let shown = shown.join(", ");
            if addresses.iter().all(|address| is_wrong(host, *address)) {
                return Finding::fault(
                    Dns,
                    Kind::DnsWrong,
                    format!(
                        "{host}: {shown} is no address of another machine: the nameserver \
                         blocks the name, or /etc/hosts has it ({servers})"
                    ),
                )
                .run(format!("getent hosts {host}; cat /etc/hosts /etc/resolv.conf"));
            }
            let text = format!("{host}: {shown} after {seconds:.2} s");
            match *seconds >= SLOW_SECONDS {
                true => Finding::warning(
                    Dns,
                    Kind::ResolverSilent,
                    format!("{text}: a nameserver does not answer ({servers})"),
                ),
                false => Finding::good(Dns, text),
            }
        }
    }
}

/// The command that looks a name up as programs do, and shows whom it asks.
pub(super) fn look_up(host: &str) -> String {
    format!("getent hosts {host}; cat /etc/resolv.conf")
}

/// Whether an address cannot be another machine's. Filters answer with such addresses. A name
/// without a dot and `localhost` may lead to this machine.
fn is_wrong(host: &str, address: IpAddr) -> bool {
    let is_local = host.ends_with("localhost") || !host.trim_end_matches('.').contains('.');
    address.is_unspecified() || (address.is_loopback() && !is_local)
}

const MAX_NAMES: usize = 8;
/// The resolver of the C library waits 5 s for each nameserver, twice.
const LIMIT: Duration = Duration::from_secs(12);
const SLOW_SECONDS: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn of(host: &str, seconds: f64, outcome: Outcome) -> (Severity, Kind) {
        let lookup = Lookup { host: host.into(), seconds, outcome };
        let facts = Facts { lookups: vec![lookup], ..Facts::default() };
        let all = findings(&facts);
        (all[0].severity, all[0].kind)
    }

    fn addresses(addresses: &[&str]) -> Outcome {
        let addresses = addresses.iter().map(|it| it.parse().expect("an address")).collect();
        Outcome::Addresses { addresses }
    }

    #[test]
    fn a_resolver_that_hangs_is_silent_whether_it_gives_up_or_not() {
        let silent = (Severity::Fault, Kind::ResolverSilent);
        assert_eq!(of("a.example", 12.0, Outcome::Silent), silent);
        let gave_up = Outcome::Failed { reason: "temporary failure".into(), is_temporary: true };
        assert_eq!(of("a.example", 10.0, gave_up.clone()), silent);
        assert_eq!(of("a.example", 0.1, gave_up), (Severity::Fault, Kind::DnsWrong));
        let slow = of("a.example", 5.0, addresses(&["192.0.2.1"]));
        assert_eq!(slow, (Severity::Warning, Kind::ResolverSilent));
    }

    #[test]
    fn an_address_of_this_machine_is_wrong_for_a_name_with_a_domain() {
        for sink in [&["0.0.0.0"][..], &["::"], &["127.0.0.1", "::1"]] {
            assert_eq!(of("a.example", 0.1, addresses(sink)), (Severity::Fault, Kind::DnsWrong));
        }
        for (host, good) in [
            ("a.example", &["192.0.2.1"][..]),
            ("a.example", &["127.0.0.1", "192.0.2.1"]),
            ("localhost", &["127.0.0.1"]),
            ("this-machine", &["127.0.1.1"]),
        ] {
            assert_eq!(of(host, 0.1, addresses(good)).0, Severity::Good, "{host}");
        }
    }

    #[test]
    fn nameservers_and_dnssec_are_read_from_their_files() {
        let text =
            "# nameserver 1.1.1.1\nsearch example\nnameserver 192.0.2.53\nnameserver ::1 # x\n";
        assert_eq!(nameservers(text), ["192.0.2.53", "::1"]);
        assert!(checks_signatures("[Resolve]\n#DNSSEC=no\nDNSSEC=yes\n"));
        assert!(!checks_signatures("[Resolve]\nDNSSEC=allow-downgrade\n"));
    }
}
