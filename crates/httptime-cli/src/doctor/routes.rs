//! Whether there is a way out: the default routes of both families.

use serde::Serialize;

use super::finding::{Examination::Routes, Finding, Kind};
use super::place::Place;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    pub(crate) ipv4_default: bool,
    pub(crate) ipv6_default: bool,
}

pub(crate) fn gather(place: &Place) -> Facts {
    Facts {
        ipv4_default: has_ipv4_default(&place.text("proc/net/route").unwrap_or_default()),
        ipv6_default: has_ipv6_default(&place.text("proc/net/ipv6_route").unwrap_or_default()),
    }
}

/// A line with the destination 0.0.0.0/0 that is up.
fn has_ipv4_default(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_up = fields.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        fields.get(1) == Some(&"00000000")
            && fields.get(7) == Some(&"00000000")
            && is_up.is_some_and(|flags| flags & RTF_UP != 0 && flags & RTF_REJECT == 0)
    })
}

/// A line with the destination `::/0` that is up, and not the one of the loopback interface.
fn has_ipv6_default(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let flags = fields.get(8).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        fields.first().is_some_and(|destination| destination.bytes().all(|byte| byte == b'0'))
            && fields.get(1) == Some(&"00")
            && fields.get(9).is_some_and(|interface| *interface != "lo")
            && flags.is_some_and(|flags| flags & RTF_UP != 0 && flags & RTF_REJECT == 0)
    })
}

/// What the facts mean. The verdict makes a missing route the cause if nothing could be measured.
pub(crate) fn findings(facts: Facts) -> Vec<Finding> {
    let families = match (facts.ipv4_default, facts.ipv6_default) {
        (true, true) => "default routes of IPv4 and IPv6",
        (true, false) => "a default route of IPv4, none of IPv6",
        (false, true) => "a default route of IPv6, none of IPv4",
        (false, false) => {
            let text = "no default route: only machines of the local networks can be reached";
            return vec![
                Finding::warning(Routes, Kind::NoRoute, text).run("ip route; ip -6 route"),
            ];
        }
    };
    vec![Finding::good(Routes, families)]
}

/// Linux's `include/uapi/linux/route.h`.
const RTF_UP: u32 = 1;
const RTF_REJECT: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_is_one_to_everything_that_is_up() {
        let head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n";
        let route = |destination: &str, flags: &str, mask: &str| {
            let line =
                format!("{head}eth0\t{destination}\t010200C0\t{flags}\t0\t0\t0\t{mask}\t0\n");
            has_ipv4_default(&line)
        };
        assert!(route("00000000", "0003", "00000000"));
        assert!(!route("00000000", "0002", "00000000"), "down");
        assert!(!route("00000000", "0201", "00000000"), "rejected");
        assert!(!route("000200C0", "0001", "00FFFFFF"), "a network");
        assert!(!has_ipv4_default(""));
    }

    #[test]
    fn the_loopback_interface_has_no_default_route_of_ipv6() {
        let zero = "0".repeat(32);
        let line = |flags: &str, interface: &str| {
            format!("{zero} 00 {zero} 00 {zero} 00000400 00000001 00000000 {flags} {interface}\n")
        };
        assert!(has_ipv6_default(&line("00000003", "eth0")));
        assert!(!has_ipv6_default(&line("00200200", "lo")));
        assert!(!has_ipv6_default(&line("00200200", "eth0")), "unreachable");
    }
}
