//! Schedules: decide when the next request leaves.
//!
//! One request returns at most one bit: did the server's second begin before or after the stamp?
//! The cost of a bit is a request and time; a [`Schedule`] chooses between them. Only the phase
//! within the second matters, so a request can be aimed at any second.
//!
//! | name | what it does |
//! |---|---|
//! | [`periodic`](Periodic) | sends at equal intervals over the whole time, whatever the responses |
//! | [`bisect`](Bisect) | aims each request at the middle of the remaining uncertainty |
//! | [`scan`](Scan) | sends several requests around one flip, evenly over the remaining uncertainty, and repeats with the rest |
//! | [`htpdate`](Htpdate) | the published schedule of htpdate -p, for the estimator of that name |
//! | [`adaptive`](Adaptive) | aims according to the estimator's distribution, several requests per second if that saves time |

use std::fmt;
use std::time::Duration;

mod adaptive;
mod bisect;
mod htpdate;
mod periodic;
mod scan;

pub use self::adaptive::{Adaptive, AdaptiveTuning};
pub use self::bisect::Bisect;
pub use self::htpdate::Htpdate;
pub use self::periodic::Periodic;
pub use self::scan::Scan;
pub use crate::checks::CheckTuning;

use crate::estimate::{Estimate, Estimator};
use crate::limits::Limits;
use crate::names::by_name;
use crate::progress::Progress;
use crate::time::{Interval, LocalInstant};

/// The decision of a schedule.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Send a request at this instant, or at once if it has passed.
    SendAt(LocalInstant),
    /// Wait for the response to a request.
    AwaitReply,
    /// More requests would not help.
    Enough,
}

/// The data from which a schedule decides.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    earliest: LocalInstant,
    progress: &'a Progress,
    estimator: &'a dyn Estimator,
    limits: &'a Limits,
    expected: Option<Interval>,
}

impl<'a> View<'a> {
    /// A view for a schedule that can send at `earliest`, within `limits`. There is no expected
    /// interval.
    #[must_use]
    pub const fn new(
        earliest: LocalInstant,
        progress: &'a Progress,
        estimator: &'a dyn Estimator,
        limits: &'a Limits,
    ) -> Self {
        Self { earliest, progress, estimator, limits, expected: None }
    }

    /// The same view with an expected interval of the offset.
    #[must_use]
    pub const fn with_expected(self, expected: Option<Interval>) -> Self {
        Self { expected, ..self }
    }

    /// The earliest instant at which a request can leave: now, or when a connection will be open.
    #[must_use]
    pub const fn earliest(&self) -> LocalInstant {
        self.earliest
    }

    /// The requests and the evidence so far.
    #[must_use]
    pub const fn progress(&self) -> &'a Progress {
        self.progress
    }

    /// The estimate so far. An estimator may compute it at each call.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        self.estimator.estimate()
    }

    /// The estimate at which to aim the next request: cheap to compute and possibly coarser.
    #[must_use]
    pub fn aim(&self) -> Option<Estimate> {
        self.estimator.aim()
    }

    /// The limits of the measurement.
    #[must_use]
    pub const fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// The interval in which the offset is expected. It is not evidence.
    #[must_use]
    pub const fn expected(&self) -> Option<Interval> {
        self.expected
    }
}

/// Decides when requests leave.
///
/// Implementations read no clock and use no random numbers. They need not check the limits: the
/// measurement does. A custom schedule can be tested with a [`View`] that the test creates:
///
/// ```
/// use std::time::Duration;
///
/// use httptime::estimate::{Estimator, Midpoint};
/// use httptime::Progress;
/// use httptime::schedule::{Plan, Schedule, View};
/// use httptime::server::Lag;
/// use httptime::{CrossTimestamp, Config, Exchange, LocalInstant, Observation, Timestamp};
///
/// /// One request a second, and the next only once the last is answered.
/// #[derive(Debug)]
/// struct EverySecond;
///
/// impl Schedule for EverySecond {
///     fn name(&self) -> &'static str {
///         "every_second"
///     }
///
///     fn plan(&mut self, view: &View<'_>) -> Plan {
///         if view.progress().scheduled_in_flight() > 0 {
///             return Plan::AwaitReply;
///         }
///         let last = view.progress().last_sent();
///         let next = last.map(|last| last.saturating_add(Duration::from_secs(1)));
///         Plan::SendAt(next.map_or(view.earliest(), |next| next.max(view.earliest())))
///     }
/// }
///
/// let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
/// let wall = Timestamp::from_unix_seconds(1_795_392_000).unwrap();
/// let cross_timestamp = CrossTimestamp::new(at(0), wall, Duration::ZERO);
/// let (config, mut estimator) = (Config::default(), Midpoint::default());
/// let mut progress = Progress::new(cross_timestamp, config.drift_ppm());
///
/// let plan = EverySecond.plan(&View::new(at(7), &progress, &estimator, config.limits()));
/// assert_eq!(plan, Plan::SendAt(at(7)));
///
/// progress.sent(at(7));
/// let plan = EverySecond.plan(&View::new(at(8), &progress, &estimator, config.limits()));
/// assert_eq!(plan, Plan::AwaitReply);
///
/// let exchange = Exchange::from_parts_unchecked(at(7), at(17), wall);
/// let observation = Observation::new(cross_timestamp, &exchange, Lag::stated(Duration::ZERO))?;
/// progress.absorb(&observation)?;
/// estimator.absorb(&observation);
/// let plan = EverySecond.plan(&View::new(at(17), &progress, &estimator, config.limits()));
/// assert_eq!(plan, Plan::SendAt(at(1007)));
/// # Ok::<(), httptime::Error>(())
/// ```
pub trait Schedule: fmt::Debug + Send + Sync {
    /// The name with which users select it.
    fn name(&self) -> &'static str;

    /// Decides on the next request. Called again after a request has left, after a response or a
    /// failure, and when a request missed its instant.
    fn plan(&mut self, view: &View<'_>) -> Plan;

    /// The minimum time between two requests. The checks that a measurement adds also observe it.
    fn min_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// How many of a measurement's requests are checks, and when they are sent.
    fn check_tuning(&self) -> CheckTuning {
        CheckTuning::DEFAULT
    }

    /// Whether to reschedule a request that would leave late by `late`. The default is yes if the
    /// delay exceeds the uncertainty of the offset, one standard deviation.
    fn is_missed(&self, view: &View<'_>, late: Duration) -> bool {
        is_off_target(view, late)
    }
}

fn is_off_target(view: &View<'_>, late: Duration) -> bool {
    late > TYPICAL_LATENESS && view.aim().is_some_and(|belief| late > belief.stddev())
}

/// The delay of a timer that occurs on any machine.
const TYPICAL_LATENESS: Duration = Duration::from_micros(100);

/// The library's schedules, by name.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ScheduleKind {
    /// [`Periodic`]
    Periodic,
    /// [`Bisect`]
    Bisect,
    /// [`Scan`]
    Scan,
    /// [`Htpdate`]
    Htpdate,
    /// [`Adaptive`], with the default [`Profile`]
    #[default]
    Adaptive,
}

impl ScheduleKind {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Periodic, Self::Bisect, Self::Scan, Self::Htpdate, Self::Adaptive];

    /// The name, which [`FromStr`](std::str::FromStr) accepts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Bisect => "bisect",
            Self::Scan => "scan",
            Self::Htpdate => "htpdate",
            Self::Adaptive => "adaptive",
        }
    }

    /// A new schedule of this kind.
    #[must_use]
    pub fn build(self) -> Box<dyn Schedule> {
        match self {
            Self::Periodic => Box::new(Periodic),
            Self::Bisect => Box::new(Bisect),
            Self::Scan => Box::new(Scan::default()),
            Self::Htpdate => Box::new(Htpdate),
            Self::Adaptive => Box::new(Adaptive::default()),
        }
    }
}

by_name!(ScheduleKind, "schedule");

/// What a measurement spends: requests or seconds.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Profile {
    /// At most one request per second and 24 in total, 8 of them checks.
    Polite,
    /// At most 48 requests and about ten seconds, on one connection. Up to 12 of the requests are
    /// checks, which use another connection. Ten seconds allow about 30 requests.
    #[default]
    Balanced,
    /// At most 64 requests and six seconds, with up to four requests and a check in flight at once.
    /// Up to 12 of the requests are checks.
    Fast,
}

impl Profile {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Polite, Self::Balanced, Self::Fast];

    /// The name, which [`FromStr`](std::str::FromStr) accepts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polite => "polite",
            Self::Balanced => "balanced",
            Self::Fast => "fast",
        }
    }

    /// The limit of requests to one server.
    #[must_use]
    pub const fn requests(self) -> u32 {
        match self {
            Self::Polite => 24,
            Self::Balanced => 48,
            Self::Fast => 64,
        }
    }

    /// The time from the first request until the last one may be sent.
    #[must_use]
    pub const fn duration(self) -> Duration {
        match self {
            Self::Polite => Duration::from_secs(40),
            Self::Balanced => Duration::from_millis(10_500),
            Self::Fast => Duration::from_secs(6),
        }
    }
}

by_name!(Profile, "profile");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn kinds_and_profiles_are_shown_as_they_are_read() -> Result<(), Error> {
        for kind in ScheduleKind::ALL {
            assert_eq!(kind.to_string().parse::<ScheduleKind>()?, *kind);
            assert_eq!(kind.build().name(), kind.name());
        }
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse::<Profile>()?, *profile);
        }
        assert_eq!(format!("{:>10}", Profile::Fast), "      fast");
        Ok(())
    }
}
