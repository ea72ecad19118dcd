//! How far the clocks of two servers are apart, from two measurements with the same local clock.
//!
//! ```text
//! skew = θ(server) − θ(reference)
//! lower(server) − upper(reference)  ≤  skew  ≤  upper(server) − lower(reference)
//! ```
//!
//! Both bounds are first aged to the later of the two measurements, by the drift allowance.

use crate::error::Error;
use crate::estimate::Estimate;
use crate::evidence::Evidence;
use crate::measurement::Measurement;
use crate::select::check_same_clock;
use crate::time::{Interval, Offset};

/// One server's clock − another's: positive when the first one is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    estimate: Estimate,
    bounds: Interval,
}

impl Difference {
    /// The best single value and its standard deviation.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// The bounds: they contain the true difference if the assumptions of both measurements hold.
    #[must_use]
    pub const fn bounds(&self) -> Interval {
        self.bounds
    }

    /// Whether the difference is proved to be larger than `limit`, in either direction.
    #[must_use]
    pub fn is_beyond(&self, limit: Offset) -> bool {
        self.bounds.lower() > limit || self.bounds.upper() < Offset::ZERO.saturating_sub(limit)
    }
}

impl From<&Measurement> for Difference {
    /// From the local clock.
    fn from(measurement: &Measurement) -> Self {
        Self { estimate: measurement.estimate, bounds: measurement.bounds }
    }
}

impl Measurement {
    /// The clock of this server − that of `reference`. Each of the two clocks may drift from the
    /// local one by its drift allowance between the two measurements.
    ///
    /// # Errors
    /// [`Error::ClockMismatch`] if the measurements did not use the same local clock, or if it was
    /// set in between.
    pub fn difference(&self, reference: &Self) -> Result<Difference, Error> {
        check_same_clock(self, reference)?;
        let at = self.at.max(reference.at);
        let aged = |it: &Self| {
            let evidence = Evidence::from(it.bounds);
            evidence.aged(at.saturating_since(it.at), it.assumptions.drift_ppm).hull()
        };
        let (server, reference_bounds) = (aged(self), aged(reference));
        let bounds = Interval::between(
            server.lower().saturating_sub(reference_bounds.upper()),
            server.upper().saturating_sub(reference_bounds.lower()),
        );
        let (one, other) = (self.estimate, reference.estimate);
        let variance = one.stddev().as_secs_f64().powi(2) + other.stddev().as_secs_f64().powi(2);
        let stddev = std::time::Duration::try_from_secs_f64(variance.sqrt()).unwrap_or_default();
        let offset = one.offset().saturating_sub(other.offset());
        Ok(Difference { estimate: Estimate::new(offset, stddev).within(bounds), bounds })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::measurement::{Assumptions, EndReason};
    use crate::server::Lag;
    use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

    const MS: i64 = 1_000_000;

    fn measurement(at_ms: i64, offset_ms: i64, lower_ms: i64, upper_ms: i64) -> Measurement {
        let at = LocalInstant::from_nanos(at_ms * MS);
        let ms = |ms: i64| Offset::from_nanos(ms * MS);
        let begin = LocalInstant::from_nanos(0);
        Measurement {
            estimate: Estimate::new(ms(offset_ms), Duration::from_millis(3)),
            bounds: Interval::between(ms(lower_ms), ms(upper_ms)),
            requests: 12,
            observations: 12,
            checks: 0,
            date_advanced: true,
            stamp: None,
            sent_by_kernel: 0,
            received_by_kernel: 0,
            started: begin,
            at,
            begun: CrossTimestamp::new(begin, Timestamp::from_unix_nanos(0), Duration::ZERO),
            round_trip_min: Duration::from_millis(1),
            round_trip_quartile: Duration::from_millis(1),
            assumptions: Assumptions {
                lag: Lag::stated(Duration::ZERO),
                drift_ppm: 1000,
                min_servers: 1,
                certificates: None,
                proxy_certificates: None,
            },
            agreement: crate::Agreement::SINGLE,
            server: None,
            method: None,
            http_status: None,
            retry_after: None,
            end_reason: EndReason::Enough,
        }
    }

    #[test]
    fn bounds_add_up_and_age_to_the_later_measurement() -> Result<(), Error> {
        let (server, reference) = (measurement(9_000, 50, 40, 60), measurement(4_000, 7, 5, 10));
        let ms = |ms: i64| Offset::from_nanos(ms * MS);
        // The reference is 5 s old: 1000 ppm are 5 ms.
        let skew = server.difference(&reference)?;
        assert_eq!(skew.bounds(), Interval::between(ms(40 - 15), ms(60)));
        assert_eq!(skew.estimate().offset(), ms(43));
        let stddev = skew.estimate().stddev().as_secs_f64();
        assert!((stddev - 0.003 * 2.0_f64.sqrt()).abs() < 1e-8, "{stddev}");
        // The other way round it is the same with the other sign.
        let back = reference.difference(&server)?;
        assert_eq!(back.bounds(), Interval::between(ms(-60), ms(-25)));
        Ok(())
    }

    #[test]
    fn only_a_difference_that_the_bounds_prove_is_beyond_a_limit() {
        let ms = |ms: i64| Offset::from_nanos(ms * MS);
        let ahead = Difference::from(&measurement(1, 50, 40, 60));
        assert!(ahead.is_beyond(ms(39)) && !ahead.is_beyond(ms(40)));
        let behind = Difference::from(&measurement(1, -50, -60, -40));
        assert!(behind.is_beyond(ms(39)) && !behind.is_beyond(ms(40)));
        assert!(!Difference::from(&measurement(1, 50, -1, 2000)).is_beyond(ms(10)));
    }

    #[test]
    fn a_local_clock_that_was_set_in_between_is_an_error() {
        let one = measurement(1, 0, -1, 1);
        let later = LocalInstant::from_nanos(1000 * MS);
        let wall = Timestamp::from_unix_nanos(9000 * MS);
        let begun = CrossTimestamp::new(later, wall, Duration::ZERO);
        let other = Measurement { begun, ..measurement(2000, 0, -1, 1) };
        assert!(matches!(one.difference(&other), Err(Error::ClockMismatch { .. })));
    }
}
