//! Checks: requests whose response can be predicted, which test the assumptions of the bounds.
//!
//! A schedule aims each request into the remaining uncertainty, where every response is possible.
//! So its requests never contradict two clocks behind one name, a clock that runs too fast, or a
//! variable lag. Therefore a share of the requests is sent where the response can be predicted,
//! just before the flip and just after it:
//!
//! ```text
//!  local time ────────┬──────[ flip ]──────┬────────────▶
//!             before ─┘                    └─ after
//! ```
//!
//! The distance from the flip is the smallest at which a response that puts the flip on the other
//! side contradicts the other responses (`Progress::decisive_distance`). The smaller it is, the
//! smaller the difference between two clocks that checks detect.
//!
//! - Checks are sent in pairs around a request that is aimed at the flip, late in the measurement,
//!   when the uncertainty is small. If two servers answer in turn, the same server answers both
//!   checks of a pair, and one of them contradicts.
//! - Checks use a separate connection, which is opened again for each pair and to each address of
//!   the name in turn. So they reach the other servers behind the name, and can be in flight
//!   together with the request in their middle.
//! - If servers answer in turn and the number of requests per flip is even, the same one answers
//!   every check before a flip. Another check after the flip makes that number odd.
//! - One of three pairs is nearer, within half a standard deviation of the flip. It detects a slow
//!   change (a drift between the clocks) and narrows the distribution, as an aimed request does,
//!   from another connection.
//! - If the schedule keeps a gap between requests, so do the checks: one per flip, two before and
//!   two after.
//! - One of seven is anywhere in the second, and detects responses from a cache.
//!
//! Let a response near the flip contradict with probability p before it and 1 − p after it. (This
//! models a variable lag, or servers that are selected at random, with requests that have converged
//! between them.) Then n checks on each side miss it with probability (p (1 − p))ⁿ; for n = 3 the
//! average over p is 1/140.
//!
//! A response that does not fit contradicts the bounds. If it is within what they allow (a lag), it
//! widens the estimate.

use std::time::Duration;

use crate::error::Error;
use crate::progress::Progress;
use crate::range::check_range;
use crate::schedule::View;
use crate::time::{LocalInstant, Timestamp, duration_to_nanos};

/// How many of a measurement's requests are checks, and when they are sent. A part of
/// [`AdaptiveTuning`](crate::schedule::AdaptiveTuning), whose documentation explains the
/// sensitivities.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckTuning {
    /// One request of so many is a check. 1 to 1000.
    ///
    /// Reason: n checks on each side of the flip miss a lag that changes with probability (p (1 −
    /// p))ⁿ.
    ///
    /// Sensitivity: at 2, below 0.5 %; at 8, RMS −1.6 %, drifting median +2 %, drifting RMS −1.5 %,
    /// within one deviation 75.8 %, missed 12.1 %.
    pub requests_per_check: u32,
    /// The same if the schedule keeps a minimum interval between requests. 1 to 1000.
    ///
    /// Reason: checks cannot come in pairs around one flip there, so it needs more of them.
    ///
    /// Sensitivity: at 2, median +35.2 %, RMS +32.8 %, drifting median +14.9 %, drifting RMS
    /// +11.9 %, hidden RMS +5.8 %; at 6, median −7.8 %, RMS −8 %, drifting median −13.4 %, drifting
    /// RMS −9.9 %, hidden RMS −2.2 %, missed 11.9 %.
    pub requests_per_check_with_gaps: u32,
    /// Checks of a measurement that has any, at least; and those with which it may end early. 2 to
    /// 500.
    ///
    /// Reason: three on each side of the flip miss a lag that changes once in 140 times.
    ///
    /// Sensitivity: at 3, below 0.5 %; at 12, median +35.2 %, RMS +32.8 %, drifting median +14.9 %,
    /// drifting RMS +12 %, hidden RMS +5.8 %.
    pub min_checks: u32,
    /// Checks of a measurement, at most. At least [`min_checks`](Self::min_checks), up to 500.
    ///
    /// Reason: six on each side miss it once in 12,000 times.
    ///
    /// Sensitivity: at 6, median −8 %, RMS −9.6 %, drifting median −12.2 %, drifting RMS −11.4 %,
    /// hidden RMS −2 %, missed 12.4 %; at 24, RMS −3.6 %, drifting median −2.5 %, drifting RMS
    /// −1.5 %.
    pub max_checks: u32,
    /// A measurement with fewer requests has no checks. 2 to 1000.
    ///
    /// Reason: three times `min_checks`. Each aimed request halves the remaining uncertainty at
    /// first.
    ///
    /// Sensitivity: at 9, below 0.5 %; at 36, median −21 %, RMS −21.5 %, drifting median −32 %,
    /// drifting RMS −21.4 %, hidden RMS −6.1 %, within one deviation 73.8 %, missed 25.0 %. Every
    /// profile has 24 requests or more: at 25, `polite` has no checks.
    pub min_requests: u32,
    /// One check of so many lies anywhere in the second. 2 to 1000.
    ///
    /// Reason: one is enough to find a response that comes from a cache.
    ///
    /// Sensitivity: at 4, median −6 %, RMS −7.2 %, drifting median −16.4 %, drifting RMS −9.1 %,
    /// hidden RMS −2.1 %, within one deviation 73.7 %, missed 11.9 %; at 14, median −5 %, RMS
    /// −4.9 %, drifting median −7.8 %, drifting RMS −5.4 %, hidden RMS −1.1 %, within one deviation
    /// 73.8 %. No simulated world has the cache that such a check finds.
    pub checks_per_anywhere: u32,
    /// Of so many pairs of checks, one is aimed at the belief. 1 to 1000.
    ///
    /// Reason: an aimed check reduces the uncertainty and finds a drift between the clocks, but it
    /// is not decisive.
    ///
    /// Sensitivity: at 2, median −4.6 %, RMS −6.2 %, drifting RMS −2.7 %, missed 12.1 %; at 6,
    /// median +5.9 %, RMS +3.3 %, drifting median +1.6 %, drifting RMS +1.9 %, missed 11.5 %.
    pub pairs_per_aimed: u32,
    /// The share of the schedule's requests after which the first check is sent; the last one is
    /// sent at the end. In thousandths. 0 to 1000.
    ///
    /// Reason: the smaller the remaining uncertainty, the smaller the fault that a check finds.
    ///
    /// Sensitivity: at 400, drifting median −9.9 %, drifting RMS −13.1 %, hidden RMS −1.5 %, within
    /// one deviation 73.5 %, missed 12.0 %; at 560, median −1 %, RMS +1.3 %, drifting median
    /// −8.2 %, drifting RMS −9.8 %, hidden RMS −0.8 %, within one deviation 73.7 %, missed 11.7 %.
    pub first_at_requests: u32,
    /// The same for the time, whichever comes first. In thousandths. 0 to 1000.
    ///
    /// Reason: with `balanced` the time ends before the requests do.
    ///
    /// Sensitivity: at 200, median −1.3 %, RMS −4.3 %, drifting median −8.6 %, drifting RMS −8.9 %,
    /// hidden RMS −0.5 %, missed 12.0 %; at 800, median +2.1 %, RMS −2 %, drifting median +22.1 %,
    /// drifting RMS +8.2 %, within one deviation 76.5 %, missed 15.1 %.
    pub first_at_seconds: u32,
    /// The share of the time by which the last check is sent. In thousandths. At least
    /// [`first_at_seconds`](Self::first_at_seconds), up to 1000.
    ///
    /// Reason: the last check must have its answer before the time is up.
    ///
    /// Sensitivity: at 450, RMS +1.7 %, drifting median −16.3 %, drifting RMS −5.1 %, hidden RMS
    /// −0.5 %, within one deviation 73.3 %, missed 12.4 %; at 630, median −0.5 %, RMS +1.6 %,
    /// drifting median −17 %, drifting RMS −5.1 %, hidden RMS −0.5 %, within one deviation 73.3 %,
    /// missed 12.4 %.
    pub last_at_seconds: u32,
    /// No checks while the remaining uncertainty is larger. 1 ms to 250 ms.
    ///
    /// Reason: with a quarter of a second no answer is known beforehand.
    ///
    /// Sensitivity: at 125ms, median −1.1 %, RMS −2.9 %; at 175ms, median −1.4 %, RMS −3 %.
    pub max_uncertainty: Duration,
    /// A check before the flip may be so late. 1 µs to 10 ms.
    ///
    /// Reason: a wait often ends a little late.
    ///
    /// Sensitivity: at 50µs, drifting median +3.6 %; at 200µs, drifting median −1.2 %, missed
    /// 11.7 %.
    pub max_lateness: Duration,
}

impl CheckTuning {
    /// The values that the library uses.
    pub const DEFAULT: Self = Self {
        requests_per_check: 4,
        requests_per_check_with_gaps: 3,
        min_checks: 6,
        max_checks: 12,
        min_requests: 18,
        checks_per_anywhere: 7,
        pairs_per_aimed: 3,
        first_at_requests: 800,
        first_at_seconds: 400,
        last_at_seconds: 900,
        max_uncertainty: QUARTER_SECOND,
        max_lateness: Duration::from_micros(100),
    };

    pub(crate) fn check(&self) -> Result<(), Error> {
        let count = |name: &str, value: u32, least: u32, most: u32| {
            check_range(name, value.into(), least.into()..=most.into())
        };
        let seconds = |name: &str, value: Duration, least: f64, most: f64| {
            check_range(name, value.as_secs_f64(), least..=most)
        };
        count("requests_per_check", self.requests_per_check, 1, 1000)?;
        count("requests_per_check_with_gaps", self.requests_per_check_with_gaps, 1, 1000)?;
        count("min_checks", self.min_checks, 2, 500)?;
        count("max_checks", self.max_checks, self.min_checks, 500)?;
        count("min_requests", self.min_requests, 2, 1000)?;
        count("checks_per_anywhere", self.checks_per_anywhere, 2, 1000)?;
        count("pairs_per_aimed", self.pairs_per_aimed, 1, 1000)?;
        count("first_at_requests", self.first_at_requests, 0, 1000)?;
        count("first_at_seconds", self.first_at_seconds, 0, 1000)?;
        count("last_at_seconds", self.last_at_seconds, self.first_at_seconds, 1000)?;
        seconds("max_uncertainty", self.max_uncertainty, 1e-3, 0.25)?;
        seconds("max_lateness", self.max_lateness, 1e-6, 1e-2)
    }
}

impl Default for CheckTuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The checks of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    tuning: CheckTuning,
    wanted: u32,
    sent: SentChecks,
    /// The number of checks that were sent again.
    repeated: u32,
    /// When the latest one before a flip was due: for half a second a separate connection is
    /// available.
    last_before_flip: Option<LocalInstant>,
    /// The number of requests before that one.
    requests_before: u32,
    /// The number of sent checks that made the number of requests per flip odd.
    extra: u32,
    /// The number of connections of the schedule whose server no check has tested yet, apart from
    /// the first one.
    untested_connections: usize,
}

/// The number of sent checks of each kind.
#[derive(Debug, Clone, Copy, Default)]
struct SentChecks {
    before: u32,
    after: u32,
    anywhere: u32,
}

impl SentChecks {
    const fn on_mut(&mut self, side: Side) -> &mut u32 {
        match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
            Side::Anywhere => &mut self.anywhere,
        }
    }
}

/// A planned check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) at: LocalInstant,
    /// If it is sent later than this, its response may not be predictable.
    pub(crate) latest: LocalInstant,
    pub(crate) connection: CheckConnection,
    side: Side,
    /// Whether it only makes the number of requests per flip odd.
    is_extra: bool,
    /// The `Date` that an earlier response predicts; `None` if the flip may be on either side.
    predicted: Option<Timestamp>,
}

/// The connection of a check.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckConnection {
    /// That of the other requests.
    Shared,
    /// A separate connection, which may be in use at the same time.
    Spare,
    /// A separate connection that has carried no request: it may lead to another server behind the
    /// name.
    Fresh,
}

/// The schedule's plan.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scheduled {
    /// A request that leaves at this time.
    At(LocalInstant),
    /// Waiting for a response.
    Reply,
    /// No more requests.
    Nothing,
}

/// The place of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Just before the flip.
    Before,
    /// Just after it.
    After,
    /// Anywhere in the second.
    Anywhere,
}

impl Check {
    /// A request that tests a stamp over another connection.
    pub(crate) const fn of_stamp(at: LocalInstant) -> Self {
        let latest = at.saturating_add(QUARTER_SECOND);
        let connection = CheckConnection::Fresh;
        Self { at, latest, connection, side: Side::Anywhere, is_extra: false, predicted: None }
    }

    /// Its place.
    pub(crate) const fn side(&self) -> Side {
        self.side
    }

    /// The `Date` of the response, if it can be predicted.
    pub(crate) const fn predicted(&self) -> Option<Timestamp> {
        self.predicted
    }
}

impl Checks {
    /// For a measurement of at most so many requests. With a gap between them each check costs
    /// seconds and takes no request's place at the flip, so more are possible.
    pub(crate) fn for_limits(requests: u32, min_interval: Duration, tuning: CheckTuning) -> Self {
        let requests_per_check = if min_interval.is_zero() {
            tuning.requests_per_check
        } else {
            tuning.requests_per_check_with_gaps
        };
        let wanted = if requests < tuning.min_requests {
            0
        } else {
            (requests / requests_per_check).max(tuning.min_checks).min(tuning.max_checks)
        };
        Self { wanted, tuning, ..Self::none() }
    }

    /// The same where the offset is expected: few requests will be aimed, and they are checks of
    /// the expectation themselves.
    pub(crate) fn for_expected_offset(requests: u32, tuning: CheckTuning) -> Self {
        let wanted = if requests < tuning.min_requests { 0 } else { tuning.min_checks };
        Self { wanted, tuning, ..Self::none() }
    }

    pub(crate) fn none() -> Self {
        Self {
            tuning: CheckTuning::DEFAULT,
            wanted: 0,
            sent: SentChecks::default(),
            repeated: 0,
            last_before_flip: None,
            requests_before: 0,
            extra: 0,
            untested_connections: 0,
        }
    }

    /// Whether the measurement has checks.
    pub(crate) const fn are_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// The number of checks that are still to be sent.
    pub(crate) const fn remaining(&self) -> u32 {
        self.wanted.saturating_sub(self.sent())
    }

    const fn sent(&self) -> u32 {
        let SentChecks { before, after, anywhere } = self.sent;
        before + after + anywhere
    }

    /// Records that a planned check was sent, as the request after so many others.
    pub(crate) const fn record_sent(&mut self, check: &Check, requests: u32) {
        if check.is_extra {
            self.extra += 1;
        } else {
            *self.sent.on_mut(check.side) += 1;
        }
        if matches!(check.side, Side::Before) {
            self.last_before_flip = Some(check.at);
            self.requests_before = requests;
        }
    }

    /// The response to this check was late, and both possible responses would have fitted: the
    /// check tested nothing. While a connection is untested, another check takes its place.
    pub(crate) const fn repeat(&mut self, check: &Check) {
        if self.untested_connections == 0 || self.repeated >= self.wanted {
            return;
        }
        self.repeated += 1;
        let sent = self.sent.on_mut(check.side);
        *sent = sent.saturating_sub(1);
    }

    /// Sets the number of connections of the schedule whose server no check has tested yet.
    pub(crate) const fn set_untested_connections(&mut self, count: usize) {
        self.untested_connections = count;
    }

    /// Whether a measurement may end early, because its target is reached or more requests would
    /// not help.
    pub(crate) const fn has_enough(&self) -> bool {
        let is_tested = self.untested_connections == 0 && self.sent() >= self.tuning.min_checks;
        is_tested || self.sent() >= self.wanted
    }

    /// A check that is due and fits beside the schedule's plan. If there is no plan: the next
    /// possible check.
    pub(crate) fn plan(
        &self,
        view: &View<'_>,
        scheduled: Scheduled,
        min_interval: Duration,
    ) -> Option<Check> {
        let progress = view.progress();
        if self.remaining() == 0 || progress.has_check_in_flight() {
            return None;
        }
        let from = progress
            .last_sent()
            .map_or(view.earliest(), |last| last.saturating_add(min_interval).max(view.earliest()));
        let has_own_connection = min_interval.is_zero()
            && (self.is_pair_open() || self.is_turn_repeated(progress))
            && self
                .last_before_flip
                .is_some_and(|since| from.saturating_since(since) < QUARTER_SECOND);
        // After a check before a flip, one after it follows: if servers answer in turn, the same
        // one answers both.
        if !has_own_connection && !matches!(scheduled, Scheduled::Nothing) && !self.is_due(view) {
            return None;
        }
        if progress.scheduled_in_flight() > 0 {
            let (_, left) = self.remaining_by_side()[1];
            let after = self.check(Side::After, view, from, has_own_connection, min_interval)?;
            let is_soon = after.at.saturating_since(from) < QUARTER_SECOND;
            let is_next = match scheduled {
                Scheduled::At(next) => after.at < next,
                _ => true,
            };
            return (has_own_connection && left > 0 && is_soon && is_next).then_some(after);
        }
        let round_trip = progress.round_trip_median()?;
        // With a gap between requests, every check delays the next request. A check on a separate
        // connection may still be in flight when the next request leaves.
        let fits = |check: &Check| match scheduled {
            _ if !min_interval.is_zero() => self.is_turn_of(check.side),
            Scheduled::At(_) if check.side == Side::After && !has_own_connection => false,
            Scheduled::At(next) if check.connection == CheckConnection::Shared => {
                check.at.saturating_add(round_trip * 2) < next
            }
            Scheduled::At(next) => check.at < next,
            Scheduled::Reply => false,
            Scheduled::Nothing => true,
        };
        let possible = self.remaining_by_side().into_iter().filter(|(_, left)| *left > 0);
        let checks = possible
            .filter_map(|(side, _)| self.check(side, view, from, has_own_connection, min_interval));
        checks.filter(fits).min_by_key(|check| check.at)
    }

    /// Whether another check after this flip is needed: the number of requests since the check
    /// before it is even. If two servers answered in turn, the same one would answer every check
    /// before a flip.
    fn is_turn_repeated(&self, progress: &Progress) -> bool {
        let requests = progress.requests().saturating_sub(self.requests_before);
        requests % 2 == 0 && self.extra * 2 < self.wanted
    }

    const fn is_pair_open(&self) -> bool {
        self.sent.before > self.sent.after
    }

    /// The number of checks left on each side.
    fn remaining_by_side(&self) -> [(Side, u32); 3] {
        let anywhere = self.wanted / self.tuning.checks_per_anywhere;
        let before = (self.wanted - anywhere).div_ceil(2);
        let after = self.wanted - anywhere - before;
        [
            (Side::Before, before.saturating_sub(self.sent.before)),
            (Side::After, after.saturating_sub(self.sent.after)),
            (Side::Anywhere, if self.remaining() == 1 { anywhere - self.sent.anywhere } else { 0 }),
        ]
    }

    /// Whether this side is next, if checks are not sent in pairs: two before and two after. If
    /// servers answer in turn, each of them answers one of two.
    const fn is_turn_of(&self, side: Side) -> bool {
        match side {
            Side::Before => matches!(self.sent() % 6, 0 | 1 | 4),
            Side::After => matches!(self.sent() % 6, 2 | 3 | 5),
            Side::Anywhere => true,
        }
    }

    /// Whether the next check on this side is near the middle of the distribution. Not if there are
    /// gaps: then checks are few, and each must be decisive. Nor while a connection is untested.
    const fn is_aimed(&self, side: Side, min_interval: Duration) -> bool {
        let sent = match side {
            Side::Before => self.sent.before,
            Side::After => self.sent.after,
            Side::Anywhere => return false,
        };
        min_interval.is_zero()
            && self.untested_connections == 0
            && (sent + 1) % self.tuning.pairs_per_aimed == 0
    }

    /// Checks are sent late in the measurement, by requests or by time: the smaller the
    /// uncertainty, the more they can detect.
    fn is_due(&self, view: &View<'_>) -> bool {
        let (progress, limits) = (view.progress(), view.limits());
        let per_mille = |part: u128, whole: u128| (part * 1000).checked_div(whole).unwrap_or(1000);
        let begun = progress.first_sent().unwrap_or(view.earliest());
        let spent = view.earliest().saturating_since(begun);
        let scheduled = limits.requests().saturating_sub(progress.checks());
        let requests = per_mille(progress.scheduled().into(), scheduled.into());
        let seconds = per_mille(spent.as_nanos(), limits.duration().as_nanos());
        let sent = u128::from(self.sent());
        let wanted = u128::from(self.wanted);
        let CheckTuning { first_at_requests, first_at_seconds, last_at_seconds, .. } = self.tuning;
        let [from_requests, from_seconds, to_seconds] =
            [first_at_requests, first_at_seconds, last_at_seconds].map(u128::from);
        requests >= from_requests + (1000 - from_requests) * sent / wanted
            || seconds >= from_seconds + (to_seconds - from_seconds) * sent / wanted
    }

    /// The first check on this side that can be sent from this time on; `None` while the
    /// uncertainty is too large.
    fn check(
        &self,
        side: Side,
        view: &View<'_>,
        from: LocalInstant,
        has_own_connection: bool,
        min_interval: Duration,
    ) -> Option<Check> {
        let progress = view.progress();
        let unknown = progress.flip_interval()?;
        if unknown.width() > self.tuning.max_uncertainty {
            return None;
        }
        let mut near = progress.decisive_distance(from)?;
        let mut flip = unknown.midpoint();
        let is_aimed = self.is_aimed(side, min_interval);
        if is_aimed {
            let belief = view.aim()?;
            near = near.min(belief.stddev() / 2);
            flip = belief.offset();
        }
        let after =
            |distance: Duration, from| progress.aim(flip.saturating_sub(distance.into()), from);
        let (at, latest, connection) = match side {
            Side::Before => {
                // A wait often ends a little late.
                let slack = (near / 8).min(self.tuning.max_lateness);
                let at = progress.aim(flip.saturating_add((near + slack).into()), from);
                (at, at.saturating_add(slack), CheckConnection::Fresh)
            }
            Side::After => {
                let slack = progress.round_trip_median()? * 4 + MILLISECOND * 2;
                let at = after(near, from.saturating_sub(slack)).max(from);
                let connection = if has_own_connection {
                    CheckConnection::Spare
                } else {
                    CheckConnection::Shared
                };
                (at, at.saturating_add(QUARTER_SECOND), connection)
            }
            Side::Anywhere => {
                let room = (QUARTER_SECOND * 4).saturating_sub(near * 2);
                let at = after(near.saturating_add(part_of(progress, room)), from);
                (at, at.saturating_add(near), CheckConnection::Shared)
            }
        };
        let predicted = (!is_aimed).then(|| progress.predicted_date(unknown.midpoint(), at));
        let is_extra = side == Side::After && has_own_connection && !self.is_pair_open();
        Some(Check { at, latest, connection, side, is_extra, predicted })
    }
}

/// A part of `room` that differs between measurements.
fn part_of(progress: &Progress, room: Duration) -> Duration {
    let begun = progress.first_sent().map_or(0, LocalInstant::as_nanos).unsigned_abs();
    let phase = begun.wrapping_mul(GOLDEN_RATIO_64) >> 44;
    Duration::from_nanos((duration_to_nanos(room).unsigned_abs() >> 20) * phase)
}

const QUARTER_SECOND: Duration = Duration::from_millis(250);
const MILLISECOND: Duration = Duration::from_millis(1);
/// 2⁶⁴ divided by the golden ratio.
const GOLDEN_RATIO_64: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::estimate::{Estimator, Midpoint};
    use crate::observation::{Exchange, Observation};
    use crate::server::Lag;
    use crate::time::{CrossTimestamp, NANOS_PER_SECOND, Offset, Timestamp};

    fn at(micros: i64) -> LocalInstant {
        LocalInstant::from_nanos(micros * 1_000)
    }

    /// A server whose second begins 400 ms after ours, 10 ms away. Responses around its flips leave
    /// an uncertainty of one round trip.
    fn known() -> (Progress, Midpoint) {
        let wall = Timestamp::from_unix_nanos(1_795_392_000 * NANOS_PER_SECOND);
        let cross_timestamp = CrossTimestamp::new(at(0), wall, Duration::ZERO);
        let (mut progress, mut estimator) =
            (Progress::new(cross_timestamp, 300), Midpoint::default());
        for sent in [0, 394_000, 1_396_000] {
            let (sent, stamped) = (at(sent), at(sent + 5_000));
            let server =
                cross_timestamp.wall_at(stamped).saturating_add(Offset::from_nanos(-400_000_000));
            let date =
                Timestamp::from_unix_seconds(server.as_unix_nanos().div_euclid(NANOS_PER_SECOND));
            let received = sent.saturating_add(Duration::from_millis(10));
            let exchange = Exchange::from_parts_unchecked(sent, received, date.expect("in range"));
            let lag = Lag::stated(Duration::ZERO);
            let observation = Observation::new(cross_timestamp, &exchange, lag).expect("in order");
            progress.sent(sent);
            progress.absorb(&observation).expect("consistent");
            estimator.absorb(&observation);
        }
        (progress, estimator)
    }

    #[test]
    fn small_measurements_have_none_and_no_measurement_has_more_than_twelve() {
        let wanted = |requests, min_interval| {
            Checks::for_limits(requests, min_interval, CheckTuning::DEFAULT).wanted
        };
        let shares = [1, 12, 17, 18, 24, 32, 48, 1000].map(|it| wanted(it, Duration::ZERO));
        assert_eq!(shares, [0, 0, 0, 6, 6, 8, 12, 12]);
        assert_eq!(wanted(24, Duration::from_secs(1)), 8);
    }

    #[test]
    fn a_pair_lies_on_both_sides_of_the_flip_and_apart_from_the_request_in_its_middle() {
        let (mut progress, estimator) = known();
        let config = Config::default();
        let mut checks = Checks::for_limits(24, Duration::ZERO, CheckTuning::DEFAULT);
        let plan = |checks: &Checks, progress: &Progress, now| {
            let view = View::new(now, progress, &estimator, config.limits());
            checks.plan(&view, Scheduled::Nothing, Duration::ZERO)
        };
        // The flip is stamped at 2.4 s; a request takes 5 ms to the server.
        let before = plan(&checks, &progress, at(2_000_000)).expect("a check");
        assert_eq!((before.side, before.connection), (Side::Before, CheckConnection::Fresh));
        assert!(before.at < at(2_395_000) && before.at > at(2_370_000), "{before:?}");
        checks.record_sent(&before, 0);
        progress.sent_check(before.at);
        assert_eq!(plan(&checks, &progress, at(2_396_000)), None, "one at a time");
        progress.lost();
        progress.sent(at(2_395_000));
        let after = plan(&checks, &progress, at(2_396_000)).expect("beside the request");
        assert_eq!((after.side, after.connection), (Side::After, CheckConnection::Spare));
        assert!(after.at > at(2_395_000) && after.at < at(2_430_000), "{after:?}");
    }

    #[test]
    fn with_a_gap_between_requests_there_are_two_before_and_two_after() {
        let (mut progress, estimator) = known();
        let (config, min_interval) = (Config::default(), Duration::from_secs(1));
        let mut checks = Checks::for_limits(24, min_interval, CheckTuning::DEFAULT);
        let mut sides = Vec::new();
        let mut last = at(1_396_000);
        while let Some(check) = {
            let view = View::new(last, &progress, &estimator, config.limits());
            checks.plan(&view, Scheduled::Nothing, min_interval)
        } {
            assert!(check.at.saturating_since(last) >= min_interval, "{check:?} after {last:?}");
            checks.record_sent(&check, 0);
            progress.sent_check(check.at);
            progress.lost();
            last = check.at;
            sides.push(check.side);
        }
        use Side::{After, Anywhere, Before};
        assert_eq!(sides, [Before, Before, After, After, Before, After, Before, Anywhere]);
    }
}
