//! Decides what to do with a clock after a measurement. Pure: a dry run calls the same function.

use std::fmt;
use std::time::Duration;

use httptime::build_day;
use httptime::{
    Agreement, CertificateCheck, Interval, LocalInstant, Measurement, Offset, Span, Timestamp,
};
use thiserror::Error;

/// The input of a decision: a finished measurement, or any other source of an offset with bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers create it, and a new field is a new decision for them"
)]
pub struct Reading {
    /// The best single offset: server clock − local clock, positive when the local clock is slow.
    pub offset: Offset,
    /// Its standard deviation. Not a bound.
    pub stddev: Duration,
    /// The bounds: they contain the true offset if the assumptions of the measurement are true.
    pub bounds: Interval,
    /// The limit of the server's lag (Λ), which no measurement can observe.
    pub lag: Duration,
    /// Whether the server's `Date` was seen to advance. If not, the server's clock may be stopped.
    pub date_advanced: bool,
    /// The instant to which offset and bounds refer.
    pub at: LocalInstant,
    /// The local clock at that instant.
    pub local_time: Timestamp,
    /// Whether certificates were valid only by the time that was measured with them. A clock is not
    /// marked as synchronised by such a reading, but by another one, whose certificates the
    /// corrected clock has judged.
    pub is_unconfirmed: bool,
    /// How many of the configured servers agree on it.
    pub agreement: Agreement,
}

impl From<&Measurement> for Reading {
    fn from(measurement: &Measurement) -> Self {
        let assumptions = measurement.assumptions();
        Self {
            offset: measurement.offset(),
            stddev: measurement.stddev(),
            bounds: measurement.bounds(),
            lag: assumptions.lag(),
            date_advanced: measurement.has_date_advanced(),
            at: measurement.at(),
            local_time: measurement.local_time(),
            agreement: measurement.agreement(),
            is_unconfirmed: [assumptions.certificates(), assumptions.proxy_certificates()]
                .iter()
                .any(|check| matches!(check, Some(CertificateCheck::ServerTime { .. }))),
        }
    }
}

/// The earlier corrections, as far as a [`Policy`] needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "callers create it, and a new field is a new decision for them"
)]
pub struct History {
    /// Whether the clock has been corrected since the start, and since the machine last slept or
    /// its clock was set by someone else. Until then the start-up limits apply.
    pub settled: bool,
    /// The size of a step at the start to a saved time, by which the clock left a time that may
    /// have been right. Until the clock is settled, a correction back by as much only undoes that
    /// step: the saved time was a hint.
    pub hinted: Duration,
    /// The sum of the sizes of all steps since the start.
    pub stepped: Duration,
    /// The time until the next decision, which is the time for a slew. `None` if there is no next
    /// decision.
    pub horizon: Option<Duration>,
}

/// The decision.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the measurement does not show a significant error.
    Leave,
    /// Slew the clock by this much; positive: forward.
    Slew(Offset),
    /// Step the clock by this much; positive: forward.
    Step(Offset),
    /// Nothing, and an operator should look at it.
    Refuse(Refusal),
}

/// The reason why a clock that seems wrong is not corrected.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The server's `Date` was not seen to advance.
    #[error(
        "the server's Date was not seen to advance: its clock may be stopped, or a cache may \
         answer; allow at least 2 requests and 2 s"
    )]
    DateNotAdvanced,
    /// The bounds are wider than the error that would be corrected.
    #[error("{}", too_wide(*error, *width))]
    BoundsTooWide {
        /// The width of the bounds.
        width: Duration,
        /// The estimated error.
        error: Duration,
    },
    /// The clock would show a time before the floor.
    #[error(
        "the server's clock shows {server}, before the earliest time allowed ({floor}); \
         correct the server's clock or use another server"
    )]
    BeforeFloor {
        /// The time to set.
        server: Timestamp,
        /// The earliest accepted time.
        floor: Timestamp,
    },
    /// The correction exceeds the limit for one correction in this direction.
    #[error("{}{missing}", too_far(*by, *limit, *direction))]
    TooFar {
        /// The correction.
        by: Offset,
        /// The limit.
        limit: Duration,
        /// The kind of the limit.
        direction: Direction,
        /// What a correction beyond the limit would need.
        missing: Missing,
    },
    /// The sum of the steps since the start would exceed its limit.
    #[error(
        "would step the clock by {by:.3} s after steps of {} in total; max_accumulated is {}",
        Span::new(*stepped),
        Span::new(*limit)
    )]
    Accumulated {
        /// The correction.
        by: Offset,
        /// The sum of the steps so far.
        stepped: Duration,
        /// The limit of the sum.
        limit: Duration,
    },
}

/// What a correction beyond its limit would need, and does not have.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// More servers that agree.
    Servers {
        /// How many agree.
        agreement: Agreement,
        /// How many independent servers must agree. `None`: there are only one or two, and no
        /// number of them is enough.
        needed: Option<usize>,
    },
    /// A step: only a step may exceed a limit, and this correction would be slewed.
    Step,
    /// A measurement: a saved time alone may not exceed a limit.
    Measurement,
}

impl fmt::Display for Missing {
    /// The text follows the limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Servers { agreement, needed } = *self else { return Ok(()) };
        let Agreement { agreeing, independent, configured } = agreement;
        f.write_str("; ")?;
        if independent < configured {
            write!(f, "the {configured} servers share addresses or a proxy and count as ")?;
            write!(f, "{independent}; ")?;
        }
        match needed {
            None if configured == 1 => f.write_str("one server alone may not exceed it: ")?,
            None if independent == configured => f.write_str("two servers may not exceed it: ")?,
            None => {}
            Some(needed) => {
                let verb = if agreeing == 1 { "agrees" } else { "agree" };
                write!(f, "{agreeing} of {independent} servers {verb}, and {needed} must, to ")?;
                return f.write_str("exceed it; repair the others");
            }
        }
        f.write_str("name three independent servers, or set trust_single")
    }
}

/// The limit that applies to a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a policy has these four limits")]
pub enum Direction {
    /// Forward, after the first correction.
    Forward,
    /// Backward, after the first correction.
    Backward,
    /// Forward, first correction since the start.
    StartupForward,
    /// Backward, first correction since the start.
    StartupBackward,
}

impl Direction {
    /// The name of the limit, as the configuration of `httptime run` has it:
    /// `max_startup_backward`.
    #[must_use]
    pub const fn limit_name(self) -> &'static str {
        match self {
            Self::Forward => "max_forward",
            Self::Backward => "max_backward",
            Self::StartupForward => "max_startup_forward",
            Self::StartupBackward => "max_startup_backward",
        }
    }
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

impl Refusal {
    /// The stable name of the refusal: lower case, words joined by `_`. Names are never reused for
    /// something else.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::DateNotAdvanced => "date_not_advanced",
            Self::BoundsTooWide { .. } => "bounds_too_wide",
            Self::BeforeFloor { .. } => "before_floor",
            Self::TooFar { .. } => "too_far",
            Self::Accumulated { .. } => "accumulated",
        }
    }
}

/// Both in the same unit, to the digit in which they differ: the reader compares them.
fn too_wide(error: Duration, width: Duration) -> String {
    let digits = digits(error, width);
    let (error, width) = (seconds(error, digits), seconds(width, digits));
    format!(
        "error {error} s is smaller than the uncertainty ({width} s); set lag or use a nearer \
         server"
    )
}

fn too_far(by: Offset, limit: Duration, direction: Direction) -> String {
    let way = if by < Offset::ZERO { "back" } else { "forward" };
    let digits = digits(by.abs(), limit);
    let trimmed = |duration| {
        let text = seconds(duration, digits);
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    };
    format!(
        "would set the clock {way} {} s; {} is {} s",
        trimmed(by.abs()),
        direction.limit_name(),
        trimmed(limit)
    )
}

/// How many decimals of seconds show three digits of the smaller one, and tell the two apart.
fn digits(one: Duration, other: Duration) -> usize {
    let smaller = [one, other].into_iter().filter(|duration| !duration.is_zero()).min();
    let nanos = smaller.unwrap_or_default().as_nanos();
    let three = (0..9).find(|digits| nanos >= 10_u128.pow(11 - digits)).unwrap_or(9);
    let shown = |digits: &usize| seconds(one, *digits) != seconds(other, *digits);
    let enough = usize::try_from(three).unwrap_or(9);
    (enough..9).find(shown).unwrap_or(9)
}

fn seconds(duration: Duration, digits: usize) -> String {
    format!("{:.digits$}", Offset::from(duration)).trim_start_matches('+').to_owned()
}

/// What a correction must be able to rely on.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Evidence {
    /// The bounds: only an error that they prove is corrected.
    #[default]
    Bounds,
    /// The estimate, as in an NTP client: the forward and return paths are assumed to be equal. An
    /// error is slewed if it exceeds two standard deviations plus the limit of the lag. Only an
    /// error that the bounds prove is stepped.
    Estimate,
}

/// The rules for correcting a clock.
///
/// | rule | default | source |
/// |---|---|---|
/// | step threshold: larger errors are stepped, smaller ones slewed | 128 ms | ntpd |
/// | forward, backward: a larger correction is refused | 1000 s | ntpd's panic threshold; `single-step-panic-threshold` of ntpd-rs |
/// | the same for the first correction since the start | 1800 s | `startup-step-panic-threshold` of ntpd-rs, whose forward limit is infinite |
/// | a saved time at the start: forward, without a measurement | unlimited | |
/// | quorum: as many independent servers may exceed these limits | a majority, of three or more | |
/// | trust single: one or two servers may exceed these limits | no | |
/// | accumulated: sum of the steps since the start | unlimited | `accumulated-step-panic-threshold` of ntpd-rs |
/// | floor: no earlier time is set | day of the build | the `Date` of a server whose clock was never set |
/// | slew rate | 500 ppm | `adjtime` on Linux; chrony lowers it there with `maxslewrate` |
///
/// A reading that a quorum of servers agrees on may exceed the limits of one correction, in either
/// direction: a machine that wakes far in the future or in the past recovers by itself, and one
/// lying server cannot use that. It must be proved by its bounds, and it is stepped. A correction
/// that would be slewed, the accumulated limit and the floor have no such exception.
///
/// Independently of the settings, a clock is not corrected in these cases: the `Date` was not seen
/// to advance; zero is within the bounds; the bounds are wider than the error. In the last case an
/// error that would be stepped is a refusal: the operator should state the server's lag, or use a
/// nearer server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    step_threshold: Option<Duration>,
    forward: Option<Duration>,
    backward: Option<Duration>,
    startup_forward: Option<Duration>,
    startup_backward: Option<Duration>,
    saved_forward: Option<Duration>,
    accumulated: Option<Duration>,
    quorum: Option<usize>,
    trust_single: bool,
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
            startup_forward: Some(Duration::from_secs(1800)),
            startup_backward: Some(Duration::from_secs(1800)),
            // It is no claim of a server, and the first measurement can undo it.
            saved_forward: None,
            accumulated: None,
            quorum: None,
            trust_single: false,
            floor: build_day(),
            slew_ppm: MAX_SLEW_PPM,
            evidence: Evidence::Bounds,
        }
    }
}

/// The settings. A limit of `None` is no limit.
impl Policy {
    /// The step threshold: larger errors are stepped. `None`: every error is slewed, however long
    /// it takes.
    #[must_use]
    pub const fn step_threshold(mut self, threshold: Option<Duration>) -> Self {
        self.step_threshold = threshold;
        self
    }

    /// The limit of one forward correction.
    #[must_use]
    pub const fn max_forward(mut self, limit: Option<Duration>) -> Self {
        self.forward = limit;
        self
    }

    /// The limit of one backward correction.
    #[must_use]
    pub const fn max_backward(mut self, limit: Option<Duration>) -> Self {
        self.backward = limit;
        self
    }

    /// The limit of the first forward correction since the start.
    #[must_use]
    pub const fn max_startup_forward(mut self, limit: Option<Duration>) -> Self {
        self.startup_forward = limit;
        self
    }

    /// The limit of a step to the time of a saved state.
    #[must_use]
    pub const fn max_saved_forward(mut self, limit: Option<Duration>) -> Self {
        self.saved_forward = limit;
        self
    }

    /// The limit of the first backward correction since the start.
    #[must_use]
    pub const fn max_startup_backward(mut self, limit: Option<Duration>) -> Self {
        self.startup_backward = limit;
        self
    }

    /// The limit of the sum of all steps since the start, in both directions.
    #[must_use]
    pub const fn max_accumulated(mut self, limit: Option<Duration>) -> Self {
        self.accumulated = limit;
        self
    }

    /// How many independent servers must agree for a step beyond the limits. `None`: a majority of
    /// the configured ones, if these are three or more.
    #[must_use]
    pub const fn quorum(mut self, servers: Option<usize>) -> Self {
        self.quorum = servers;
        self
    }

    /// Whether a step may exceed the limits if there are only one or two independent servers. For
    /// servers that are always right, or where nothing else can correct the clock: a server that
    /// lies can then set any time that is not before the floor.
    #[must_use]
    pub const fn trust_single(mut self, trust: bool) -> Self {
        self.trust_single = trust;
        self
    }

    /// The floor: no earlier time is set.
    #[must_use]
    pub const fn floor(mut self, floor: Timestamp) -> Self {
        self.floor = floor;
        self
    }

    /// The limit of the average slew rate in parts per million, at most 500, which is the kernel's
    /// rate.
    #[must_use]
    pub fn slew_ppm(mut self, ppm: u32) -> Self {
        self.slew_ppm = ppm.clamp(1, MAX_SLEW_PPM);
        self
    }

    /// The evidence that a correction requires.
    #[must_use]
    pub const fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence = evidence;
        self
    }
}

impl Policy {
    /// Decides what to do with a clock that has this `history`.
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
        let uncertainty = reading.stddev.saturating_mul(2).saturating_add(reading.lag);
        let estimated = self.evidence == Evidence::Estimate && error > uncertainty;
        if !(proved || estimated) {
            let refusal = Refusal::BoundsTooWide { width, error };
            return if wrong && !small { Action::Refuse(refusal) } else { Action::Leave };
        }
        let is_stepped = proved && !small;
        if let Some(refusal) = self.check_limits(reading, history, small, is_stepped) {
            return Action::Refuse(refusal);
        }
        let slewed = Action::Slew(self.limit_to_slew_rate(by, history.horizon));
        if is_stepped { Action::Step(by) } else { slewed }
    }

    fn check_limits(
        &self,
        reading: &Reading,
        history: &History,
        small: bool,
        is_stepped: bool,
    ) -> Option<Refusal> {
        let by = reading.offset;
        let server = reading.local_time.saturating_add(by);
        if server < self.floor {
            return Some(Refusal::BeforeFloor { server, floor: self.floor });
        }
        let missing = match is_stepped {
            true => self.missing_servers(reading.agreement),
            false => Some(Missing::Step),
        };
        self.check_direction_limit(by, history, missing)
            .or_else(|| self.check_accumulated(by, history, small))
    }

    /// The reason why the clock is not stepped forward by this much to a saved time.
    pub(crate) fn check_saved_time(&self, by: Offset, history: &History) -> Option<Refusal> {
        let refusal = |limit| Refusal::TooFar {
            by,
            limit,
            direction: Direction::StartupForward,
            missing: Missing::Measurement,
        };
        let limit = self.saved_forward.filter(|limit| by.abs() > *limit);
        limit.map(refusal).or_else(|| self.check_accumulated(by, history, false))
    }

    /// Whether this is not before the earliest time that is set.
    pub(crate) fn is_plausible(&self, time: Timestamp) -> bool {
        time >= self.floor
    }

    /// How many of so many independent servers must agree for a step beyond the limits. `None`: no
    /// number of them is enough.
    #[must_use]
    pub fn votes_needed(&self, independent: usize) -> Option<usize> {
        match (self.quorum, independent) {
            (_, 0..=2) if self.trust_single => Some(1),
            (Some(quorum), _) => Some(quorum),
            (None, 0..=2) => None,
            (None, independent) => Some(independent / 2 + 1),
        }
    }

    /// What is missing for a step beyond the limits.
    fn missing_servers(&self, agreement: Agreement) -> Option<Missing> {
        let needed = self.votes_needed(agreement.independent);
        let is_enough = needed.is_some_and(|needed| agreement.agreeing >= needed);
        (!is_enough).then_some(Missing::Servers { agreement, needed })
    }

    /// `missing`: what a correction beyond the limit would need.
    fn check_direction_limit(
        &self,
        by: Offset,
        history: &History,
        missing: Option<Missing>,
    ) -> Option<Refusal> {
        let (limit, direction) = match (by >= Offset::ZERO, history.settled) {
            (true, true) => (self.forward, Direction::Forward),
            (false, true) => (self.backward, Direction::Backward),
            (true, false) => (self.startup_forward, Direction::StartupForward),
            (false, false) => (self.startup_backward, Direction::StartupBackward),
        };
        let size = match direction {
            Direction::StartupBackward => by.abs().saturating_sub(history.hinted),
            _ => by.abs(),
        };
        let limit = limit.filter(|limit| size > *limit)?;
        Some(Refusal::TooFar { by, limit, direction, missing: missing? })
    }

    /// `small`: the correction would not be stepped.
    fn check_accumulated(&self, by: Offset, history: &History, small: bool) -> Option<Refusal> {
        let stepped = history.stepped;
        let exceeded = |limit: &Duration| !small && stepped.saturating_add(by.abs()) > *limit;
        let limit = self.accumulated.filter(exceeded)?;
        Some(Refusal::Accumulated { by, stepped, limit })
    }

    /// The part of a correction that the slew rate permits until the next decision.
    fn limit_to_slew_rate(&self, by: Offset, horizon: Option<Duration>) -> Offset {
        let Some(horizon) = horizon else { return by };
        let most = Offset::from(horizon.saturating_mul(self.slew_ppm) / 1_000_000);
        by.clamp(Offset::ZERO.saturating_sub(most), most)
    }
}

/// The rate of `adjtime` on Linux (`MAX_TICKADJ`).
const MAX_SLEW_PPM: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const S: i64 = 1_000_000_000;

    /// Bounds at a distance of `radius` on either side of `offset`, in nanoseconds; a minute after
    /// the build.
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
            is_unconfirmed: false,
            agreement: Agreement::SINGLE,
        }
    }

    /// The same, on which this many of this many servers agree.
    fn agreed(offset: i64, agreeing: usize, configured: usize) -> Reading {
        let agreement = Agreement::of_independent(agreeing, configured);
        Reading { agreement, ..reading(offset, MS) }
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn nanos(nanos: i64) -> Offset {
        Offset::from_nanos(nanos)
    }

    const SETTLED: History =
        History { settled: true, hinted: Duration::ZERO, stepped: Duration::ZERO, horizon: None };
    const ALONE: Missing = Missing::Servers { agreement: Agreement::SINGLE, needed: None };

    fn missing(agreeing: usize, configured: usize, needed: usize) -> Missing {
        let agreement = Agreement::of_independent(agreeing, configured);
        Missing::Servers { agreement, needed: Some(needed) }
    }

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
        let too_far = |by, limit, direction, missing| {
            let limit = Duration::from_secs(limit);
            Action::Refuse(Refusal::TooFar { by: nanos(by), limit, direction, missing })
        };
        let far = |by, limit, direction| too_far(by, limit, direction, ALONE);
        let far_slewed = |by, limit, direction| too_far(by, limit, direction, Missing::Step);
        let years = |years: i64| years * 365 * 86_400 * S;
        let trusting = || policy().trust_single(true);
        let hinted = |hinted| History { hinted: Duration::from_secs(hinted), ..fresh };
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
        let frozen = |offset| Reading { date_advanced: false, ..reading(offset, MS) };
        let not_advanced = Action::Refuse(Refusal::DateNotAdvanced);
        let table = [
            ("a Date that stands still", policy(), frozen(5 * S), SETTLED, not_advanced),
            (
                "a Date that stands still, and zero is possible",
                policy(),
                frozen(0),
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
            ("start-up, forward", policy(), reading(1800 * S, MS), fresh, step(1800 * S)),
            (
                "start-up, too far forward",
                policy(),
                reading(years(56), MS),
                fresh,
                far(years(56), 1800, StartupForward),
            ),
            (
                "start-up, forward, trusted",
                trusting(),
                reading(years(56), MS),
                fresh,
                step(years(56)),
            ),
            (
                "start-up, forward, unlimited",
                policy().max_startup_forward(None),
                reading(years(56), MS),
                fresh,
                step(years(56)),
            ),
            (
                "quorum, start-up from 1970",
                policy(),
                agreed(years(56), 2, 3),
                fresh,
                step(years(56)),
            ),
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
                agreed(1001 * S, 3, 3),
                SETTLED,
                far_slewed(1001 * S, 1000, Forward),
            ),
            ("quorum, 2 of 3, forward", policy(), agreed(years(1), 2, 3), SETTLED, step(years(1))),
            ("quorum, backward", policy(), agreed(-1801 * S, 2, 3), SETTLED, step(-1801 * S)),
            ("quorum, start-up", policy(), agreed(-years(43), 3, 3), fresh, step(-years(43))),
            (
                "quorum, start-up forward",
                policy().max_startup_forward(seconds(7)),
                agreed(8 * S, 2, 3),
                fresh,
                step(8 * S),
            ),
            (
                "no quorum, 1 of 3",
                policy(),
                agreed(-1801 * S, 1, 3),
                fresh,
                too_far(-1801 * S, 1800, StartupBackward, missing(1, 3, 2)),
            ),
            (
                "no quorum, 2 of 4",
                policy(),
                agreed(1001 * S, 2, 4),
                SETTLED,
                too_far(1001 * S, 1000, Forward, missing(2, 4, 3)),
            ),
            (
                "a larger quorum",
                policy().quorum(Some(3)),
                agreed(1001 * S, 2, 3),
                SETTLED,
                too_far(1001 * S, 1000, Forward, missing(2, 3, 3)),
            ),
            (
                "a quorum of two servers, if it is stated",
                policy().quorum(Some(2)),
                agreed(1001 * S, 2, 2),
                SETTLED,
                step(1001 * S),
            ),
            ("one server trusted", trusting(), reading(-1801 * S, MS), fresh, step(-1801 * S)),
            ("two servers trusted", trusting(), agreed(1001 * S, 2, 2), SETTLED, step(1001 * S)),
            (
                "three servers are not trusted alone",
                trusting(),
                agreed(1001 * S, 1, 3),
                SETTLED,
                too_far(1001 * S, 1000, Forward, missing(1, 3, 2)),
            ),
            (
                "no quorum before the floor",
                policy(),
                Reading { agreement: Agreement::of_independent(3, 3), ..early },
                fresh,
                before,
            ),
            (
                "no quorum for what is not proved",
                policy(),
                Reading { bounds: reading(9 * S, 20 * S).bounds, ..agreed(5000 * S, 3, 3) },
                fresh,
                Action::Leave,
            ),
            (
                "no quorum beyond the accumulated limit",
                policy().max_accumulated(seconds(10)),
                agreed(5 * S, 3, 3),
                stepped(6),
                accumulated,
            ),
            (
                "a saved time undone",
                policy(),
                reading(-years(1), MS),
                hinted(31_536_000),
                step(-years(1)),
            ),
            (
                "further back than the saved time led",
                policy(),
                reading(-5000 * S, MS),
                hinted(3000),
                far(-5000 * S, 1800, StartupBackward),
            ),
            (
                "a saved time is no excuse once the clock is settled",
                policy(),
                reading(-5000 * S, MS),
                History { settled: true, ..hinted(5000) },
                far(-5000 * S, 1000, Backward),
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
                "custom floor",
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
                "estimate, within its uncertainty",
                estimating(),
                reading(3 * MS, 10 * MS),
                SETTLED,
                Action::Leave,
            ),
            (
                "estimate, beyond its uncertainty",
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
                "estimate, too wide and uncertain",
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
                far_slewed(9 * MS, 0, Forward),
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
        assert_eq!(
            said,
            "would set the clock back 1801 s; max_startup_backward is 1800 s; one server alone may \
             not exceed it: name three independent servers, or set trust_single"
        );
        let agreement =
            |agreeing, independent, configured| Agreement { agreeing, independent, configured };
        for (agreement, needed, said) in [
            (
                agreement(2, 2, 2),
                None,
                "; two servers may not exceed it: name three independent servers, or set \
                 trust_single",
            ),
            (
                agreement(1, 1, 3),
                None,
                "; the 3 servers share addresses or a proxy and count as 1; name three \
                 independent servers, or set trust_single",
            ),
            (
                agreement(1, 3, 3),
                Some(2),
                "; 1 of 3 servers agrees, and 2 must, to exceed it; repair the others",
            ),
            (
                agreement(2, 4, 5),
                Some(3),
                "; the 5 servers share addresses or a proxy and count as 4; 2 of 4 servers agree, \
                 and 3 must, to exceed it; repair the others",
            ),
        ] {
            assert_eq!(Missing::Servers { agreement, needed }.to_string(), said);
        }
        let (width, error) =
            (Duration::from_nanos(1_020_471_976), Duration::from_nanos(300_067_197));
        assert_eq!(
            Refusal::BoundsTooWide { width, error }.to_string(),
            "error 0.300 s is smaller than the uncertainty (1.020 s); set lag or use a nearer \
             server"
        );
        for (by, limit, said) in [
            (7_199_969_354_000, 1_800_000_000_000, "forward 7200 s; max_forward is 1800 s"),
            (7_200_040_000_000, 7_200_000_000_000, "forward 7200.04 s; max_forward is 7200 s"),
            (5_250_000_000, 128_000_000, "forward 5.25 s; max_forward is 0.128 s"),
            (9_000_000, 0, "forward 0.009 s; max_forward is 0 s"),
        ] {
            let (by, limit) = (nanos(by), Duration::from_nanos(limit));
            let (direction, missing) = (Direction::Forward, Missing::Step);
            let refusal = Refusal::TooFar { by, limit, direction, missing };
            assert_eq!(refusal.to_string(), format!("would set the clock {said}"));
        }
    }
}
