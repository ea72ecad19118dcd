//! How many independent servers agree on a result.

use std::net::IpAddr;

/// How many of the configured servers agree on a result, where servers that may be one machine
/// count as one.
///
/// Servers that were reached at the same address, and servers behind the same proxy, have one vote:
/// a single machine can answer for all of them. An `https` server behind a proxy has its own vote
/// if its certificate was checked, because the proxy cannot answer for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers with other sources of an offset create it")]
pub struct Agreement {
    /// The independent servers that agree with the result within their bounds.
    pub agreeing: usize,
    /// The independent servers among the configured ones. A server that was not reached counts.
    pub independent: usize,
    /// The configured servers.
    pub configured: usize,
}

/// Who answers for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Responder {
    /// The machine at this address.
    Address(IpAddr),
    /// The proxy with this host and port.
    Proxy(String),
    /// The server itself, which no other one can stand for; or nobody knows, because it was not
    /// reached.
    Itself,
}

impl Agreement {
    /// One server of one.
    pub const SINGLE: Self = Self { agreeing: 1, independent: 1, configured: 1 };

    /// Counts servers that are independent of each other.
    #[must_use]
    pub const fn of_independent(agreeing: usize, configured: usize) -> Self {
        Self { agreeing, independent: configured, configured }
    }

    /// Counts the configured servers: who answered for each, and whether it agrees.
    pub(crate) fn count(servers: &[(Responder, bool)]) -> Self {
        let all = servers.iter().map(|(responder, _)| responder);
        let agreeing = servers.iter().filter(|(_, agrees)| *agrees).map(|(responder, _)| responder);
        Self {
            agreeing: different(agreeing),
            independent: different(all),
            configured: servers.len(),
        }
    }
}

/// How many different ones there are.
fn different<'a>(responders: impl Iterator<Item = &'a Responder>) -> usize {
    let mut seen: Vec<&Responder> = Vec::new();
    for responder in responders {
        if *responder == Responder::Itself || !seen.contains(&responder) {
            seen.push(responder);
        }
    }
    seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_with_one_address_or_one_proxy_have_one_vote() {
        let at = |last| Responder::Address(IpAddr::from([192, 0, 2, last]));
        let proxy = |name: &str| Responder::Proxy(name.to_owned());
        let itself = || Responder::Itself;
        let table = [
            (vec![(at(1), true)], (1, 1, 1)),
            (vec![(at(1), true), (at(2), true), (at(3), true)], (3, 3, 3)),
            (vec![(at(1), true), (at(2), false), (itself(), false)], (1, 3, 3)),
            (vec![(at(1), true), (at(1), true), (at(2), true)], (2, 2, 3)),
            (vec![(at(1), true), (at(1), false), (at(2), true)], (2, 2, 3)),
            (vec![(proxy("a:1"), true), (proxy("a:1"), true), (proxy("a:1"), true)], (1, 1, 3)),
            (vec![(proxy("a:1"), true), (itself(), true), (itself(), true)], (3, 3, 3)),
        ];
        for (servers, (agreeing, independent, configured)) in table {
            let expected = Agreement { agreeing, independent, configured };
            assert_eq!(Agreement::count(&servers), expected, "{servers:?}");
        }
    }
}
