//! Estimators: compute one best offset from the observations.
//!
//! An [`Estimator`] returns the most likely offset and its standard deviation. It does not compute
//! the bounds, within which the offset *must* lie: these are in [`Progress`](crate::Progress), so
//! that no estimator can make them wrong.
//!
//! | name | model | its error |
//! |---|---|---|
//! | [`last_date`](LastDate) | none: what `date -s "$(curl -sI …)"` does | up to a second, plus the return path |
//! | [`midpoint`](Midpoint) | Cristian 1989 on the best single exchange | up to half a second |
//! | [`htpdate`](Htpdate) | htpdate's bisection: one bit per exchange, never corrected | where queueing inverted a bit |
//! | [`intersection`](Intersection) | Marzullo: the middle of the intervals' intersection | up to half a round trip |
//! | [`symmetric`](Symmetric) | the same; each direction takes at least half of the shortest round trip | half of the difference of forward and return path |
//! | [`posterior`](Posterior) | the likelihood of each offset, given how round trips split | half of the difference of forward and return path |

use std::fmt;
use std::time::Duration;

mod edges;
mod htpdate;
mod intersection;
mod last_date;
mod midpoint;
mod posterior;
mod symmetric;

pub use self::htpdate::Htpdate;
pub use self::intersection::Intersection;
pub use self::last_date::LastDate;
pub use self::midpoint::Midpoint;
pub use self::posterior::{Posterior, PosteriorTuning};
pub use self::symmetric::Symmetric;

use crate::names::by_name;
use crate::observation::Observation;
use crate::time::{Interval, Offset, write_seconds};

/// The best single offset, at the instant of the last observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    offset: Offset,
    stddev: Duration,
}

impl Estimate {
    /// An offset and the standard deviation of its error.
    #[must_use]
    pub const fn new(offset: Offset, stddev: Duration) -> Self {
        Self { offset, stddev }
    }

    /// The offset.
    #[must_use]
    pub const fn offset(self) -> Offset {
        self.offset
    }

    /// The standard deviation of the offset's error, if the server's lag is small and the forward
    /// and return paths are equal: 68 % of errors are within it, 95 % within twice of it. It is not
    /// a bound.
    #[must_use]
    pub const fn stddev(self) -> Duration {
        self.stddev
    }

    /// The estimate limited to `bounds`. They also limit the standard deviation: it is at most that
    /// of an error that is uniform up to the farther bound.
    pub(crate) fn within(self, bounds: Interval) -> Self {
        let offset = bounds.clamp(self.offset);
        let below = offset.saturating_sub(bounds.lower()).abs();
        let above = bounds.upper().saturating_sub(offset).abs();
        let most = uniform_half_width(2 * below.max(above));
        Self::new(offset, self.stddev.min(most))
    }
}

impl fmt::Display for Estimate {
    /// Offset and standard deviation in seconds [default precision: 9 digits]:
    /// `+38.116012 s, stddev 0.000030 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.offset.fmt(f)?;
        f.write_str(" s, stddev ")?;
        write_seconds(f, self.stddev)?;
        f.write_str(" s")
    }
}

/// Computes an estimate from observations in the order in which they were made.
///
/// Implementations read no clock and use no random numbers: the same observations give the same
/// estimate.
pub trait Estimator: fmt::Debug + Send + Sync {
    /// The name with which users select it.
    fn name(&self) -> &'static str;

    /// Adds an observation.
    fn absorb(&mut self, observation: &Observation);

    /// The estimate from all observations so far; `None` before the first.
    fn estimate(&self) -> Option<Estimate>;

    /// The estimate at which the next request is aimed: as [`estimate`](Self::estimate), but cheap,
    /// because it is called after each request and response. It may be coarser.
    fn aim(&self) -> Option<Estimate> {
        self.estimate()
    }
}

/// The library's estimators, by name.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum EstimatorKind {
    /// [`LastDate`]
    LastDate,
    /// [`Midpoint`]
    Midpoint,
    /// [`Htpdate`]
    Htpdate,
    /// [`Intersection`]
    Intersection,
    /// [`Symmetric`]
    Symmetric,
    /// [`Posterior`]
    #[default]
    Posterior,
}

impl EstimatorKind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::LastDate,
        Self::Midpoint,
        Self::Htpdate,
        Self::Intersection,
        Self::Symmetric,
        Self::Posterior,
    ];

    /// The name, which [`FromStr`](std::str::FromStr) accepts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastDate => "last_date",
            Self::Midpoint => "midpoint",
            Self::Htpdate => "htpdate",
            Self::Intersection => "intersection",
            Self::Symmetric => "symmetric",
            Self::Posterior => "posterior",
        }
    }

    /// A new estimator of this kind.
    #[must_use]
    pub fn build(self) -> Box<dyn Estimator> {
        match self {
            Self::LastDate => Box::new(LastDate::default()),
            Self::Midpoint => Box::new(Midpoint::default()),
            Self::Htpdate => Box::new(Htpdate::default()),
            Self::Intersection => Box::new(Intersection::default()),
            Self::Symmetric => Box::new(Symmetric::default()),
            Self::Posterior => Box::new(Posterior::default()),
        }
    }
}

by_name!(EstimatorKind, "estimator");

/// Half of the width that contains 68.27 % of a uniform distribution of this width, as much as ±1 σ
/// of a normal distribution. (The standard deviation proper, width / √12, contains 58 %. Twice of
/// either contains everything.)
pub(crate) fn uniform_half_width(width: Duration) -> Duration {
    width.mul_f64(0.6827 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::observation::Exchange;
    use crate::server::Lag;
    use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

    #[test]
    fn an_estimate_is_shown_with_its_unit_and_to_the_digits_asked_for() {
        let estimate = Estimate::new(Offset::from_nanos(-5_012_345), Duration::from_nanos(30_400));
        assert_eq!(estimate.to_string(), "-0.005012345 s, stddev 0.000030400 s");
        assert_eq!(format!("{estimate:.6}"), "-0.005012 s, stddev 0.000030 s");
    }

    #[test]
    fn kinds_are_shown_as_they_are_read() -> Result<(), Error> {
        for kind in EstimatorKind::ALL {
            assert_eq!(kind.to_string().parse::<EstimatorKind>()?, *kind);
            assert_eq!(kind.build().name(), kind.name());
        }
        Ok(())
    }

    #[test]
    fn every_estimator_saturates_at_the_ends_of_the_range() {
        for kind in EstimatorKind::ALL {
            let mut estimator = kind.build();
            assert_eq!(estimator.estimate(), None, "{kind:?}");
            for wall in [i64::MIN, 0, i64::MAX] {
                let cross_timestamp = CrossTimestamp::new(
                    LocalInstant::from_nanos(0),
                    Timestamp::from_unix_nanos(wall),
                    Duration::ZERO,
                );
                for (sent, received) in [(0, 1), (i64::MIN, i64::MAX), (i64::MAX, i64::MAX)] {
                    for date in [-9_000_000_000, 0, 9_000_000_000] {
                        let date = Timestamp::from_unix_seconds(date).expect("in range");
                        let exchange = Exchange::from_parts_unchecked(
                            LocalInstant::from_nanos(sent),
                            LocalInstant::from_nanos(received),
                            date,
                        );
                        let lag = Lag::stated(Duration::ZERO);
                        let observation =
                            Observation::new(cross_timestamp, &exchange, lag).expect("in order");
                        estimator.absorb(&observation);
                        assert!(estimator.estimate().is_some(), "{kind:?}");
                        assert!(estimator.aim().is_some(), "{kind:?}");
                    }
                }
            }
        }
    }
}
