//! The list of `no_proxy`: which servers are reached directly.
//!
//! The rules are those of curl 7.86 and later: names with their subdomains, addresses, and networks
//! (`10.0.0.0/8`, `fd00::/8`). An entry with a port exempts that port only.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether a `no_proxy` list contains the server. Entries are separated by commas or spaces. `*`
/// alone contains every server.
///
/// An entry with a network contains addresses only: the name of a server is not resolved for it.
pub(crate) fn is_listed(list: &str, host: &str, port: u16) -> bool {
    if list.trim() == "*" {
        return true;
    }
    let host = without_dot(unbracketed(host)).to_ascii_lowercase();
    let address = address(&host);
    let entries = list.split(|c: char| c == ',' || c.is_ascii_whitespace());
    entries.filter(|entry| !entry.is_empty()).any(|entry| {
        let (entry, only) = without_port(entry);
        only.is_none_or(|only| only == port)
            && match address {
                Some(address) => contains_address(entry, address),
                None => contains_name(entry, &host),
            }
    })
}

fn contains_address(entry: &str, address: IpAddr) -> bool {
    let entry = unbracketed(entry);
    match entry.split_once('/') {
        Some((network, bits)) => format!("{}/{bits}", unbracketed(network))
            .parse::<IpNet>()
            .is_ok_and(|network| network.contains(&address)),
        None => self::address(without_dot(entry)).is_some_and(|entry| entry == address),
    }
}

/// An address without its zone id, which names an interface of this machine and not a server.
fn address(host: &str) -> Option<IpAddr> {
    host.split('%').next()?.parse().ok()
}

fn contains_name(entry: &str, host: &str) -> bool {
    let entry = without_dot(entry.strip_prefix('.').unwrap_or(entry)).to_ascii_lowercase();
    !entry.is_empty()
        && host.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An entry, and the port after it if it has one. An IPv6 address needs brackets before a port.
fn without_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The dot at the end of a complete name changes nothing.
fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_exempts_itself_and_its_subdomains_only() {
        for (list, host) in [
            ("a.example", "a.example"),
            ("a.example", "b.a.example"),
            ("x, .EXAMPLE", "A.example"),
            ("example.", "a.example"),
            ("example", "a.example."),
            ("x\ta.example", "a.example"),
        ] {
            assert!(is_listed(list, host, 80), "{list}: {host}");
        }
        for (list, host) in [
            ("ample", "a.example"),
            ("b.example", "example"),
            ("a.example", "b.a.examples"),
            ("", "a"),
            (",", "a"),
            (".", "a"),
            ("10.0.0.0/8", "a.example"),
        ] {
            assert!(!is_listed(list, host, 80), "{list}: {host}");
        }
    }

    #[test]
    fn everything_is_exempt_only_by_an_asterisk_that_stands_alone() {
        assert!(is_listed(" * ", "anything", 80) && is_listed("*", "192.0.2.1", 80));
        assert!(!is_listed("a,*", "b", 80) && !is_listed("*.example", "a.example", 80));
    }

    #[test]
    fn a_network_exempts_its_addresses() {
        for (list, host) in [
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.1.2.3/8", "10.9.9.9"),
            ("192.168.1.0/24,10.0.0.0/8", "192.168.1.7"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("fd00::/8", "[fd12:3456::1]"),
            ("[fd00::]/8", "fd12:3456::1"),
            ("2001:db8::/33", "2001:db8:7fff::1"),
        ] {
            assert!(is_listed(list, host, 80), "{list}: {host}");
        }
        for (list, host) in [
            ("10.0.0.0/8", "11.0.0.1"),
            ("192.0.2.0/25", "192.0.2.128"),
            ("192.0.2.0/33", "192.0.2.0"),
            ("192.0.2.0/", "192.0.2.0"),
            ("fd00::/8", "10.0.0.1"),
            ("0.0.0.0/0", "::1"),
            ("2001:db8::/33", "2001:db8:8000::1"),
        ] {
            assert!(!is_listed(list, host, 80), "{list}: {host}");
        }
    }

    #[test]
    fn an_address_exempts_itself_in_every_notation() {
        assert!(is_listed("127.0.0.1,[::1]", "::1", 80));
        assert!(is_listed("2001:DB8:0:0::1", "[2001:db8::1]", 80));
        assert!(is_listed("fe80::1", "fe80::1%eth0", 80));
        assert!(!is_listed("0.0.2.1", "192.0.2.1", 80));
        assert!(!is_listed("2.1", "192.0.2.1", 80));
    }

    #[test]
    fn a_port_limits_an_entry_to_that_port() {
        for entry in ["a.example:8080", "192.0.2.1:8080", "[2001:db8::1]:8080", "192.0.2.0/24:8080"]
        {
            let host = match entry.split_once(':') {
                Some(("[2001", _)) => "2001:db8::1",
                Some(("192.0.2.0/24", _)) => "192.0.2.9",
                Some((host, _)) => host,
                None => entry,
            };
            assert!(is_listed(entry, host, 8080), "{entry}");
            assert!(!is_listed(entry, host, 80), "{entry}");
        }
    }
}
