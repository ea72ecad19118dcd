//! What services say to this clock: each has a limit of its own.

use httptime::{Interval, Offset};
use serde::Serialize;

use super::finding::{Examination::Consumers, Finding, Kind};

/// A service and whether it accepts the clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Consumer {
    pub(crate) name: &'static str,
    pub(crate) limit_seconds: f64,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// The whole of the bounds is within the limit.
    Works,
    /// A part of the bounds is beyond the limit.
    Uncertain,
    /// The whole of the bounds is beyond the limit.
    Fails,
}

/// Name, limit in seconds, and what happens beyond it.
///
/// - Prometheus: the query page compares `time()` of the server with the browser's clock, and warns
///   from a difference of 30 s (2.x and 3.x; the round trip of the query is a part of it).
/// - Teleport: certificates are valid from a minute before they are issued.
/// - One-time passwords: RFC 6238 has steps of 30 s and recommends to accept one step of delay.
/// - Kerberos: RFC 4120 recommends 5 minutes (`clockskew`).
/// - AWS: 15 minutes for S3 and most services, 5 for some.
const LIMITS: &[(&str, f64, &str)] = &[
    ("Prometheus, query page", 30.0, "\"Detected N seconds time difference\""),
    ("Teleport and other new certificates", 60.0, "\"certificate is not yet valid\""),
    ("one-time passwords (TOTP)", 30.0, "codes are rejected"),
    ("Kerberos", 300.0, "\"Clock skew too great\""),
    ("AWS signatures, strict services", 300.0, "\"Signature expired\""),
    ("AWS signatures", 900.0, "\"RequestTimeTooSkewed\""),
];

pub(crate) fn gather(bounds: Interval) -> Vec<Consumer> {
    let of = |&(name, limit_seconds, _): &(&'static str, f64, &str)| Consumer {
        name,
        limit_seconds,
        state: state(bounds, limit_seconds),
    };
    LIMITS.iter().map(of).collect()
}

fn state(bounds: Interval, limit: f64) -> State {
    let (lower, upper) = (bounds.lower().as_seconds(), bounds.upper().as_seconds());
    let farthest = lower.abs().max(upper.abs());
    let nearest = match bounds.contains(Offset::ZERO) {
        true => 0.0,
        false => lower.abs().min(upper.abs()),
    };
    if farthest < limit {
        State::Works
    } else if nearest >= limit {
        State::Fails
    } else {
        State::Uncertain
    }
}

/// What the states mean: one line for those that work, one for each other.
pub(crate) fn findings(consumers: &[Consumer]) -> Vec<Finding> {
    let happens = |name: &str| LIMITS.iter().find(|it| it.0 == name).map_or("", |it| it.2);
    let mut all = Vec::new();
    let working: Vec<&str> =
        consumers.iter().filter(|it| it.state == State::Works).map(|it| it.name).collect();
    if !working.is_empty() {
        all.push(Finding::good(Consumers, format!("accept this clock: {}", working.join("; "))));
    }
    for consumer in consumers {
        let Consumer { name, limit_seconds, state } = consumer;
        let verb = match state {
            State::Works => continue,
            State::Uncertain => "may reject",
            State::Fails => "rejects",
        };
        let text =
            format!("{name}: {verb} this clock (limit {limit_seconds} s): {}", happens(name));
        all.push(Finding::warning(Consumers, Kind::ConsumerFails, text));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(lower_ms: i64, upper_ms: i64) -> Vec<State> {
        let at = |ms: i64| Offset::from_nanos(ms * 1_000_000);
        gather(Interval::between(at(lower_ms), at(upper_ms)))
            .into_iter()
            .map(|it| it.state)
            .collect()
    }

    #[test]
    fn each_limit_is_compared_with_both_ends_of_the_bounds() {
        use State::{Fails, Uncertain, Works};
        assert_eq!(states(-100, 100), [Works; 6]);
        assert_eq!(states(38_100, 38_200), [Fails, Works, Fails, Works, Works, Works]);
        assert_eq!(states(-38_200, -38_100), [Fails, Works, Fails, Works, Works, Works]);
        assert_eq!(states(-31_000, 31_000), [Uncertain, Works, Uncertain, Works, Works, Works]);
        assert_eq!(states(400_000, 402_000), [Fails, Fails, Fails, Fails, Fails, Works]);
        assert_eq!(states(29_000, 31_000), [Uncertain, Works, Uncertain, Works, Works, Works]);
        assert_eq!(states(7_200_000, 7_202_000), [Fails; 6]);
    }
}
