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

use crate::progress::Progress;
use crate::schedule::View;
use crate::time::{LocalInstant, duration_to_nanos};

/// The checks of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    wanted: u32,
    /// Whether the schedule keeps a gap between requests.
    has_gaps: bool,
    sent: SentChecks,
    /// When the latest one before a flip was due: for half a second a separate connection is
    /// available.
    last_before_flip: Option<LocalInstant>,
}

/// The number of sent checks of each kind.
#[derive(Debug, Clone, Copy, Default)]
struct SentChecks {
    before: u32,
    after: u32,
    anywhere: u32,
}

/// A planned check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) at: LocalInstant,
    /// If it is sent later than this, its response may not be predictable.
    pub(crate) latest: LocalInstant,
    pub(crate) connection: CheckConnection,
    side: Side,
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
enum Side {
    /// Just before the flip.
    Before,
    /// Just after it.
    After,
    /// Anywhere in the second.
    Anywhere,
}

impl Checks {
    /// For a measurement with this limit of requests. With a gap between them, each check costs
    /// seconds and takes no request's place at the flip, so more are possible.
    pub(crate) fn for_limits(requests: u32, min_interval: Duration) -> Self {
        let requests_per_check =
            if min_interval.is_zero() { REQUESTS_PER_CHECK } else { REQUESTS_PER_CHECK_WITH_GAPS };
        let wanted = if requests < MIN_REQUESTS {
            0
        } else {
            (requests / requests_per_check).clamp(MIN_CHECKS, MAX_CHECKS)
        };
        Self { wanted, has_gaps: !min_interval.is_zero(), ..Self::none() }
    }

    /// The same if the offset is expected: few requests will be aimed, and these are checks of the
    /// expectation themselves.
    pub(crate) fn for_expected_offset(requests: u32) -> Self {
        Self { wanted: if requests < MIN_REQUESTS { 0 } else { MIN_CHECKS }, ..Self::none() }
    }

    pub(crate) fn none() -> Self {
        Self { wanted: 0, has_gaps: false, sent: SentChecks::default(), last_before_flip: None }
    }

    /// The number of checks that are still to be sent.
    pub(crate) const fn remaining(&self) -> u32 {
        self.wanted.saturating_sub(self.sent())
    }

    const fn sent(&self) -> u32 {
        let SentChecks { before, after, anywhere } = self.sent;
        before + after + anywhere
    }

    /// Records that a planned check was sent.
    pub(crate) const fn record_sent(&mut self, check: &Check) {
        match check.side {
            Side::Before => {
                self.sent.before += 1;
                self.last_before_flip = Some(check.at);
            }
            Side::After => self.sent.after += 1,
            Side::Anywhere => self.sent.anywhere += 1,
        }
    }

    /// Whether a measurement may end early, because its target is reached or more requests would
    /// not help.
    pub(crate) const fn has_enough(&self) -> bool {
        self.sent() >= self.wanted || self.sent() >= MIN_CHECKS
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
            && self.is_pair_open()
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
            let after = self.check(Side::After, view, from, has_own_connection)?;
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
        let checks =
            possible.filter_map(|(side, _)| self.check(side, view, from, has_own_connection));
        checks.filter(fits).min_by_key(|check| check.at)
    }

    const fn is_pair_open(&self) -> bool {
        self.sent.before > self.sent.after
    }

    /// The number of checks left on each side.
    fn remaining_by_side(&self) -> [(Side, u32); 3] {
        let anywhere = self.wanted / 7;
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
    /// gaps: then checks are few, and each must be decisive.
    const fn is_aimed(&self, side: Side) -> bool {
        let sent = match side {
            Side::Before => self.sent.before,
            Side::After => self.sent.after,
            Side::Anywhere => return false,
        };
        !self.has_gaps && sent % 3 == 2
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
        requests >= 800 + 200 * sent / wanted || seconds >= 400 + 500 * sent / wanted
    }

    /// The first check on this side that can be sent from this time on; `None` while the
    /// uncertainty is too large.
    fn check(
        &self,
        side: Side,
        view: &View<'_>,
        from: LocalInstant,
        has_own_connection: bool,
    ) -> Option<Check> {
        let progress = view.progress();
        let unknown = progress.flip_interval()?;
        if unknown.width() > MAX_UNCERTAINTY {
            return None;
        }
        let mut near = progress.decisive_distance(from)?;
        let mut flip = unknown.midpoint();
        if self.is_aimed(side) {
            let belief = view.aim()?;
            near = near.min(belief.stddev() / 2);
            flip = belief.offset();
        }
        let after =
            |distance: Duration, from| progress.aim(flip.saturating_sub(distance.into()), from);
        let (at, latest, connection) = match side {
            Side::Before => {
                // A wait often ends a little late.
                let slack = (near / 8).min(MAX_LATENESS);
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
        Some(Check { at, latest, connection, side })
    }
}

/// A part of `room` that differs between measurements.
fn part_of(progress: &Progress, room: Duration) -> Duration {
    let begun = progress.first_sent().map_or(0, LocalInstant::as_nanos).unsigned_abs();
    let phase = begun.wrapping_mul(GOLDEN_RATIO_64) >> 44;
    Duration::from_nanos((duration_to_nanos(room).unsigned_abs() >> 20) * phase)
}

/// One of this number of requests is a check.
const REQUESTS_PER_CHECK: u32 = 4;
const REQUESTS_PER_CHECK_WITH_GAPS: u32 = 3;
/// At least three on each side of the flip, and at most a third of the requests. A smaller
/// measurement has no checks: each of its requests is needed to halve the uncertainty.
const MIN_CHECKS: u32 = 6;
const MIN_REQUESTS: u32 = 3 * MIN_CHECKS;
const MAX_CHECKS: u32 = 12;
/// With a larger uncertainty no response can be predicted.
const MAX_UNCERTAINTY: Duration = QUARTER_SECOND;
const QUARTER_SECOND: Duration = Duration::from_millis(250);
const MAX_LATENESS: Duration = Duration::from_micros(100);
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
        let wanted = |requests, min_interval| Checks::for_limits(requests, min_interval).wanted;
        let shares = [1, 12, 17, 18, 24, 32, 48, 1000].map(|it| wanted(it, Duration::ZERO));
        assert_eq!(shares, [0, 0, 0, 6, 6, 8, 12, 12]);
        assert_eq!(wanted(24, Duration::from_secs(1)), 8);
    }

    #[test]
    fn a_pair_lies_on_both_sides_of_the_flip_and_apart_from_the_request_in_its_middle() {
        let (mut progress, estimator) = known();
        let config = Config::default();
        let mut checks = Checks::for_limits(24, Duration::ZERO);
        let plan = |checks: &Checks, progress: &Progress, now| {
            let view = View::new(now, progress, &estimator, config.limits());
            checks.plan(&view, Scheduled::Nothing, Duration::ZERO)
        };
        // The flip is stamped at 2.4 s; a request takes 5 ms to the server.
        let before = plan(&checks, &progress, at(2_000_000)).expect("a check");
        assert_eq!((before.side, before.connection), (Side::Before, CheckConnection::Fresh));
        assert!(before.at < at(2_395_000) && before.at > at(2_370_000), "{before:?}");
        checks.record_sent(&before);
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
        let mut checks = Checks::for_limits(24, min_interval);
        let mut sides = Vec::new();
        let mut last = at(1_396_000);
        while let Some(check) = {
            let view = View::new(last, &progress, &estimator, config.limits());
            checks.plan(&view, Scheduled::Nothing, min_interval)
        } {
            assert!(check.at.saturating_since(last) >= min_interval, "{check:?} after {last:?}");
            checks.record_sent(&check);
            progress.sent_check(check.at);
            progress.lost();
            last = check.at;
            sides.push(check.side);
        }
        use Side::{After, Anywhere, Before};
        assert_eq!(sides, [Before, Before, After, After, Before, After, Before, Anywhere]);
    }
}
