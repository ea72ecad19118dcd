//! What may be done to a clock on the strength of a measurement. Pure: a dry run is the same function.

use std::fmt;
use std::time::Duration;

use httptime::{Interval, LocalInstant, Measurement, Offset, Timestamp};
use thiserror::Error;

/// What a decision looks at: a finished measurement, or whatever else has an offset and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers make it, and a field more is a question more to them"
)]
pub struct Reading {
    /// The best single offset: server clock − local clock, positive when the local clock is slow.
    pub offset: Offset,
    /// Its standard deviation. Not a bound.
    pub stddev: Duration,
    /// Where the offset certainly lies, if the assumptions of the measurement hold.
    pub bounds: Interval,
    /// The server's `Date` may be late by this much: what no measurement can see (Λ).
    pub lag: Duration,
    /// Whether the server's `Date` was seen to advance: if not, it may stand still.
    pub date_advanced: bool,
    /// The instant to which offset and bounds refer.
    pub at: LocalInstant,
    /// What the local clock showed at that instant.
    pub local_time: Timestamp,
}

impl From<&Measurement> for Reading {
    fn from(measurement: &Measurement) -> Self {
        Self {
            offset: measurement.offset(),
            stddev: measurement.stddev(),
            bounds: measurement.bounds(),
            lag: measurement.assumptions().lag(),
            date_advanced: measurement.has_date_advanced(),
            at: measurement.at(),
            local_time: measurement.local_time(),
        }
    }
}

/// What has been done to the clock so far, as far as a [`Policy`] has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers make it, and a field more is a question more to them"
)]
pub struct History {
    /// Whether the clock was brought right once since the start; until then the start-up limits hold.
    pub settled: bool,
    /// The sizes of all steps since the start.
    pub stepped: Duration,
    /// Until the next decision, if one comes: how long a slew has. `None` when nobody will look again.
    pub horizon: Option<Duration>,
}

/// What is to be done.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the measurement does not show that the clock is wrong by much.
    Leave,
    /// Turn the clock gradually by this much; positive: forward.
    Slew(Offset),
    /// Set the clock at once by this much; positive: forward.
    Step(Offset),
    /// Nothing, and somebody should look at it.
    Refuse(Refusal),
}

/// Why a clock that seems wrong is left alone.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The server's `Date` was not seen to advance.
    #[error(
        "the server's Date was not seen to advance: it may come from a stopped clock or a cache; allow more requests"
    )]
    DateNotAdvanced,
    /// The bounds leave more open than would be mended.
    #[error("bounds {width:?} wide cannot mend an error of {error:?}")]
    BoundsTooWide {
        /// The width of the bounds.
        width: Duration,
        /// The error as estimated.
        error: Duration,
    },
    /// The clock would show a time before the floor.
    #[error("the server's clock, {server}, is before {floor}")]
    BeforeFloor {
        /// The time to be set.
        server: Timestamp,
        /// No time before this is believed.
        floor: Timestamp,
    },
    /// More than may be corrected at once in this direction.
    #[error("{by:.6} s is more than the {direction} limit of {limit:?}")]
    TooFar {
        /// The correction.
        by: Offset,
        /// The limit for it.
        limit: Duration,
        /// Forward or backward, at the start or later.
        direction: Direction,
    },
    /// The steps since the start come to more than is allowed in all.
    #[error(
        "{by:.6} s on top of {stepped:?} already stepped is more than the accumulated limit of {limit:?}"
    )]
    Accumulated {
        /// The correction.
        by: Offset,
        /// The steps so far.
        stepped: Duration,
        /// The limit for their sum.
        limit: Duration,
    },
}

/// Which limit a correction is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a policy has these four limits")]
pub enum Direction {
    /// Forward, later than the first correction.
    Forward,
    /// Backward, later than the first correction.
    Backward,
    /// Forward, the first since the start.
    StartupForward,
    /// Backward, the first since the start.
    StartupBackward,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::StartupForward => "start-up forward",
            Self::StartupBackward => "start-up backward",
        })
    }
}

/// What a correction must be able to rely on.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Evidence {
    /// The bounds: nothing is mended that they do not prove wrong.
    #[default]
    Bounds,
    /// The estimate, as an NTP client does it: the ways there and back are taken for alike. Slews what exceeds two standard
    /// deviations and the lag allowed for. Only what the bounds prove is stepped.
    Estimate,
}

/// The rules for correcting a clock.
///
/// | rule | default | after |
/// |---|---|---|
/// | step threshold: larger errors are stepped, smaller ones slewed | 128 ms | ntpd |
/// | forward, backward: more at once is refused | 1000 s | ntpd's panic threshold; `single-step-panic-threshold` of ntpd-rs |
/// | the same for the first correction since the start | forward unlimited, backward 1800 s | `startup-step-panic-threshold` of ntpd-rs |
/// | accumulated: steps since the start, summed up | unlimited | `accumulated-step-panic-threshold` of ntpd-rs |
/// | floor: no earlier time is set | day of the build | the `Date` of a server whose clock was never set |
/// | slew rate | 500 ppm | what `adjtime` does on Linux; chrony's `maxslewrate` is what lowers it there |
///
/// And whatever the settings: nothing is done by a `Date` that was not seen to advance; no correction when zero is among the offsets that the bounds allow, and none when the bounds are
/// wider than the error. For an error that would be stepped, the latter is a refusal: somebody should state the server's lag, or
/// find one that is nearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    step_threshold: Option<Duration>,
    forward: Option<Duration>,
    backward: Option<Duration>,
    startup_forward: Option<Duration>,
    startup_backward: Option<Duration>,
    accumulated: Option<Duration>,
    floor: Timestamp,
    slew_ppm: u32,
    evidence: Evidence,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            step_threshold: Some(Duration::from_millis(128)),
            forward: Some(Duration::from_secs(1000)),
            backward: Some(Duration::from_secs(1000)),
            startup_forward: None,
            startup_backward: Some(Duration::from_secs(1800)),
            accumulated: None,
            floor: build_day(),
            slew_ppm: MAX_SLEW_PPM,
            evidence: Evidence::Bounds,
        }
    }
}

/// The settings. A limit of `None` is no limit.
impl Policy {
    /// Errors larger than this are stepped; `None`: everything is slewed, however long it takes.
    #[must_use]
    pub const fn step_threshold(mut self, threshold: Option<Duration>) -> Self {
        self.step_threshold = threshold;
        self
    }

    /// The most to correct forward at once.
    #[must_use]
    pub const fn max_forward(mut self, limit: Option<Duration>) -> Self {
        self.forward = limit;
        self
    }

    /// The most to correct backward at once.
    #[must_use]
    pub const fn max_backward(mut self, limit: Option<Duration>) -> Self {
        self.backward = limit;
        self
    }

    /// The most to correct forward for the first time since the start, and to step up to the time of a saved state.
    #[must_use]
    pub const fn max_startup_forward(mut self, limit: Option<Duration>) -> Self {
        self.startup_forward = limit;
        self
    }

    /// The most to correct backward for the first time since the start.
    #[must_use]
    pub const fn max_startup_backward(mut self, limit: Option<Duration>) -> Self {
        self.startup_backward = limit;
        self
    }

    /// The most to step in all since the start, both directions added up.
    #[must_use]
    pub const fn max_accumulated(mut self, limit: Option<Duration>) -> Self {
        self.accumulated = limit;
        self
    }

    /// No time before this is set.
    #[must_use]
    pub const fn floor(mut self, floor: Timestamp) -> Self {
        self.floor = floor;
        self
    }

    /// How fast the clock may be turned on average, in parts per million; up to 500, which is what a kernel does.
    #[must_use]
    pub fn slew_ppm(mut self, ppm: u32) -> Self {
        self.slew_ppm = ppm.clamp(1, MAX_SLEW_PPM);
        self
    }

    /// What a correction must be able to rely on.
    #[must_use]
    pub const fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }
}

impl Policy {
    /// Decides what to do about a clock that has `history`.
    #[must_use]
    pub fn decide(&self, reading: &Reading, history: &History) -> Action {
        if !reading.date_advanced {
            return Action::Refuse(Refusal::DateNotAdvanced);
        }
        let by = reading.offset;
        let error = by.abs();
        let width = reading.bounds.width();
        let small = self.step_threshold.is_none_or(|threshold| error <= threshold);
        let wrong = !reading.bounds.contains(Offset::ZERO);
        let proved = wrong && width <= error;
        let doubt = reading.stddev.saturating_mul(2).saturating_add(reading.lag);
        let estimated = self.evidence == Evidence::Estimate && error > doubt;
        if !(proved || estimated) {
            let refusal = Refusal::BoundsTooWide { width, error };
            return if wrong && !small { Action::Refuse(refusal) } else { Action::Leave };
        }
        if let Some(refusal) = self.beyond_limits(reading, history, small) {
            return Action::Refuse(refusal);
        }
        let slewed = Action::Slew(self.portion(by, history.horizon));
        if small || !proved { slewed } else { Action::Step(by) }
    }

    fn beyond_limits(&self, reading: &Reading, history: &History, small: bool) -> Option<Refusal> {
        let by = reading.offset;
        let server = reading.local_time.saturating_add(by);
        if server < self.floor {
            return Some(Refusal::BeforeFloor { server, floor: self.floor });
        }
        self.too_far(by, history, small)
    }

    /// Why a clock is not turned or set by this much, whatever says so; `small`: it would not be stepped.
    pub(crate) fn too_far(&self, by: Offset, history: &History, small: bool) -> Option<Refusal> {
        let (limit, direction) = match (by >= Offset::ZERO, history.settled) {
            (true, true) => (self.forward, Direction::Forward),
            (false, true) => (self.backward, Direction::Backward),
            (true, false) => (self.startup_forward, Direction::StartupForward),
            (false, false) => (self.startup_backward, Direction::StartupBackward),
        };
        if let Some(limit) = limit.filter(|limit| by.abs() > *limit) {
            return Some(Refusal::TooFar { by, limit, direction });
        }
        let stepped = history.stepped;
        let exceeded = |limit: &Duration| !small && stepped.saturating_add(by.abs()) > *limit;
        let limit = self.accumulated.filter(exceeded)?;
        Some(Refusal::Accumulated { by, stepped, limit })
    }

    /// As much of a correction as the slew rate allows until the next decision.
    fn portion(&self, by: Offset, horizon: Option<Duration>) -> Offset {
        let Some(horizon) = horizon else { return by };
        let most = Offset::from(horizon.saturating_mul(self.slew_ppm) / 1_000_000);
        by.clamp(Offset::ZERO.saturating_sub(most), most)
    }
}

/// Midnight, UTC, of the day on which this library was built (of `SOURCE_DATE_EPOCH`, where that was set).
#[must_use]
pub fn build_day() -> Timestamp {
    let seconds = env!("HTTPTIME_BUILD_DAY").parse().ok();
    seconds.and_then(Timestamp::from_unix_seconds).unwrap_or(Timestamp::from_unix_nanos(0))
}

/// The rate of `adjtime` on Linux (`MAX_TICKADJ`).
const MAX_SLEW_PPM: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const S: i64 = 1_000_000_000;

    /// Bounds `radius` to either side of `offset`, in nanoseconds; a minute after the build.
    fn reading(offset: i64, radius: i64) -> Reading {
        let at = |nanos| Offset::from_nanos(nanos);
        Reading {
            offset: at(offset),
            stddev: Duration::from_nanos(radius.unsigned_abs() / 10),
            bounds: Interval::between(at(offset - radius), at(offset + radius)),
            lag: Duration::from_millis(1),
            date_advanced: true,
            at: LocalInstant::from_nanos(0),
            local_time: build_day().saturating_add(at(60 * S - offset.min(0))),
        }
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn nanos(nanos: i64) -> Offset {
        Offset::from_nanos(nanos)
    }

    const SETTLED: History = History { settled: true, stepped: Duration::ZERO, horizon: None };

    /// Every branch: settings, reading, history, action.
    #[test]
    fn the_policy_table() {
        use Direction::{Backward, Forward, StartupBackward, StartupForward};
        let policy = Policy::default;
        let fresh = History::default();
        let wide = |width, error| {
            let (width, error) = (Duration::from_nanos(width), Duration::from_nanos(error));
            Action::Refuse(Refusal::BoundsTooWide { width, error })
        };
        let far = |by, limit, direction| {
            let limit = Duration::from_secs(limit);
            Action::Refuse(Refusal::TooFar { by: nanos(by), limit, direction })
        };
        let slew = |by| Action::Slew(nanos(by));
        let step = |by| Action::Step(nanos(by));
        let estimating = || policy().evidence(Evidence::Estimate);
        let horizon = |seconds| History { horizon: Some(Duration::from_secs(seconds)), ..SETTLED };
        let stepped = |seconds| History { stepped: Duration::from_secs(seconds), ..SETTLED };
        let accumulated = Action::Refuse(Refusal::Accumulated {
            by: nanos(5 * S),
            stepped: Duration::from_secs(6),
            limit: Duration::from_secs(10),
        });
        let early = Reading { local_time: Timestamp::from_unix_nanos(0), ..reading(5 * S, MS) };
        let before = Action::Refuse(Refusal::BeforeFloor {
            server: Timestamp::from_unix_nanos(5 * S),
            floor: build_day(),
        });
        let still = |offset| Reading { date_advanced: false, ..reading(offset, MS) };
        let not_advanced = Action::Refuse(Refusal::DateNotAdvanced);
        let table = [
            ("a Date that stands still", policy(), still(5 * S), SETTLED, not_advanced),
            (
                "a Date that stands still, and zero is possible",
                policy(),
                still(0),
                fresh,
                not_advanced,
            ),
            ("zero is possible", policy(), reading(MS, 2 * MS), SETTLED, Action::Leave),
            ("zero is possible, far", policy(), reading(9 * S, 10 * S), fresh, Action::Leave),
            ("zero is at the end", policy(), reading(MS, MS), SETTLED, Action::Leave),
            (
                "too wide",
                policy(),
                reading(10 * S, 6 * S),
                SETTLED,
                wide(12_000_000_000, 10_000_000_000),
            ),
            ("too wide for little", policy(), reading(10 * MS, 6 * MS), SETTLED, Action::Leave),
            ("as wide as the error", policy(), reading(10 * MS, 5 * MS), SETTLED, slew(10 * MS)),
            ("small", policy(), reading(128 * MS, MS), SETTLED, slew(128 * MS)),
            ("small, backward", policy(), reading(-128 * MS, MS), SETTLED, slew(-128 * MS)),
            (
                "above the threshold",
                policy(),
                reading(128 * MS + 1, MS),
                SETTLED,
                step(128 * MS + 1),
            ),
            ("backward", policy(), reading(-5 * S, MS), SETTLED, step(-5 * S)),
            (
                "never stepped",
                policy().step_threshold(None),
                reading(9 * S, MS),
                fresh,
                slew(9 * S),
            ),
            ("forward limit", policy(), reading(1000 * S, MS), SETTLED, step(1000 * S)),
            ("beyond it", policy(), reading(1001 * S, MS), SETTLED, far(1001 * S, 1000, Forward)),
            (
                "backward limit",
                policy(),
                reading(-1001 * S, MS),
                SETTLED,
                far(-1001 * S, 1000, Backward),
            ),
            (
                "any forward limit",
                policy().max_forward(None),
                reading(9999 * S, MS),
                SETTLED,
                step(9999 * S),
            ),
            ("start-up, forward", policy(), reading(999_999 * S, MS), fresh, step(999_999 * S)),
            ("start-up, backward", policy(), reading(-1800 * S, MS), fresh, step(-1800 * S)),
            (
                "start-up, too far",
                policy(),
                reading(-1801 * S, MS),
                fresh,
                far(-1801 * S, 1800, StartupBackward),
            ),
            (
                "start-up, forward limit",
                policy().max_startup_forward(seconds(7)),
                reading(8 * S, MS),
                fresh,
                far(8 * S, 7, StartupForward),
            ),
            (
                "limits hold for slews too",
                policy().step_threshold(None),
                reading(1001 * S, MS),
                SETTLED,
                far(1001 * S, 1000, Forward),
            ),
            (
                "accumulated",
                policy().max_accumulated(seconds(10)),
                reading(5 * S, MS),
                stepped(6),
                accumulated,
            ),
            (
                "accumulated, just",
                policy().max_accumulated(seconds(10)),
                reading(5 * S, MS),
                stepped(5),
                step(5 * S),
            ),
            (
                "slews are not summed up",
                policy().max_accumulated(seconds(1)),
                reading(5 * MS, MS),
                stepped(9),
                slew(5 * MS),
            ),
            ("before the floor", policy(), early, SETTLED, before),
            (
                "floor of one's own",
                policy().floor(Timestamp::from_unix_nanos(5 * S)),
                early,
                SETTLED,
                step(5 * S),
            ),
            ("slew rate", policy(), reading(100 * MS, MS), horizon(64), slew(32 * MS)),
            (
                "slew rate, backward",
                policy().slew_ppm(100),
                reading(-100 * MS, MS),
                horizon(64),
                slew(-6_400_000),
            ),
            ("slew rate, in time", policy(), reading(30 * MS, MS), horizon(64), slew(30 * MS)),
            (
                "estimate, within doubt",
                estimating(),
                reading(3 * MS, 10 * MS),
                SETTLED,
                Action::Leave,
            ),
            (
                "estimate, beyond doubt",
                estimating(),
                reading(3 * MS + 1, 10 * MS),
                SETTLED,
                slew(3 * MS + 1),
            ),
            ("estimate, no step on it", estimating(), reading(5 * S, 6 * S), SETTLED, slew(5 * S)),
            (
                "estimate, a step that is proved",
                estimating(),
                reading(5 * S, 2 * S),
                SETTLED,
                step(5 * S),
            ),
            (
                "estimate, too wide and in doubt",
                estimating(),
                Reading { lag: Duration::from_secs(9), ..reading(5 * S, 3 * S) },
                SETTLED,
                wide(6_000_000_000, 5_000_000_000),
            ),
            (
                "estimate, limits",
                estimating().max_forward(seconds(0)),
                reading(9 * MS, 10 * MS),
                SETTLED,
                far(9 * MS, 0, Forward),
            ),
        ];
        for (case, policy, reading, history, expected) in table {
            assert_eq!(policy.decide(&reading, &history), expected, "{case}");
        }
    }

    #[test]
    fn refusals_say_what_was_seen() {
        let far = Policy::default().decide(&reading(-1801 * S, MS), &History::default());
        let Action::Refuse(refusal) = far else { panic!("{far:?}") };
        let said = refusal.to_string();
        assert_eq!(said, "-1801.000000 s is more than the start-up backward limit of 1800s");
    }
}
