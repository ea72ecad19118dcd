//! Checks: requests whose answer is already known, sent to test what the bounds assume.
//!
//! A schedule aims each request into the remaining uncertainty, where every answer is possible. Two clocks behind one name, a
//! clock that runs too fast, a lag that changes: none of them contradicts such requests. So a share of the requests goes where
//! the answer is known, just before the flip and just after it:
//!
//! ```text
//!  local time ────────┬──────[ flip ]──────┬────────────▶
//!             before ─┘                    └─ after
//! ```
//!
//! How far from the flip: as near as an answer that puts the flip on the other side still contradicts the others
//! (`Progress::decisive_distance`). The nearer, the closer together the clocks may be that are found.
//!
//! - They come in pairs around a request that is aimed at the flip, late in the measurement, when little is unknown. If two
//!   servers take turns to answer, the same one answers both of a pair, and one of the two contradicts.
//! - They go over a connection of their own, opened anew for each pair and to each address of the name in turn, so that they meet
//!   the other servers behind it, and may be under way beside the request in their middle.
//! - Of three pairs, one lies nearer, within half a standard deviation of the flip: it meets what has crept out of the belief (a drift
//!   between the clocks) and narrows it, as an aimed request does, from another connection.
//! - Where the schedule keeps a gap between requests, so do they: one to a flip, two before, two after.
//! - One of seven lies anywhere in the second, and finds what comes from a cache.
//!
//! Let an answer near the flip contradict with probability p before it and 1 − p after it (a lag that changes, or servers
//! drawn at random, where the requests have converged between them). Then n on each side miss it with probability (p (1 − p))ⁿ,
//! on average over p 1/140 for n = 3.
//!
//! An answer that does not fit contradicts the bounds, or lies inside what they allow for (a lag) and widens the estimate.

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
    sent: Sent,
    /// When the latest one before a flip was to leave: for half a second there is a connection apart.
    spare: Option<LocalInstant>,
}

/// How many of each kind were sent.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    before: u32,
    after: u32,
    anywhere: u32,
}

/// A check that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) at: LocalInstant,
    /// Sent later than this, its answer may not be known.
    pub(crate) latest: LocalInstant,
    pub(crate) connection: CheckConnection,
    side: Side,
}

/// Over which connection a check is to go.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckConnection {
    /// That of the other requests.
    Shared,
    /// One apart from that of the other requests, which may be under way at the same time.
    Spare,
    /// The same, and it carried no request before: it may lead to another server behind the name.
    Fresh,
}

/// What the schedule wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scheduled {
    /// A request that leaves then.
    At(LocalInstant),
    /// A response that is under way.
    Reply,
    /// Nothing more.
    Nothing,
}

/// Where a check lies.
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
    /// For a measurement of at most so many requests. With a gap between them each check costs seconds and takes no request's
    /// place at the flip, so more are possible.
    pub(crate) fn of(requests: u32, gap: Duration) -> Self {
        let share = if gap.is_zero() { SHARE } else { SHARE_WITH_GAPS };
        let wanted =
            if requests < FEWEST_REQUESTS { 0 } else { (requests / share).clamp(FEWEST, MOST) };
        Self { wanted, has_gaps: !gap.is_zero(), ..Self::none() }
    }

    /// The same where the offset is expected: few requests will be aimed, and they are checks of the expectation themselves.
    pub(crate) fn few(requests: u32) -> Self {
        Self { wanted: if requests < FEWEST_REQUESTS { 0 } else { FEWEST }, ..Self::none() }
    }

    pub(crate) fn none() -> Self {
        Self { wanted: 0, has_gaps: false, sent: Sent::default(), spare: None }
    }

    /// How many are still to be sent.
    pub(crate) const fn left(&self) -> u32 {
        self.wanted.saturating_sub(self.sent())
    }

    const fn sent(&self) -> u32 {
        let Sent { before, after, anywhere } = self.sent;
        before + after + anywhere
    }

    /// One that was planned was sent.
    pub(crate) const fn note(&mut self, check: &Check) {
        match check.side {
            Side::Before => {
                self.sent.before += 1;
                self.spare = Some(check.at);
            }
            Side::After => self.sent.after += 1,
            Side::Anywhere => self.sent.anywhere += 1,
        }
    }

    /// Whether a measurement may end early, because its target is reached or nothing is left to gain.
    pub(crate) const fn are_enough(&self) -> bool {
        self.sent() >= self.wanted || self.sent() >= FEWEST
    }

    /// A check that fits beside what the schedule wants, if it is time for one; when that is nothing, the next one possible.
    pub(crate) fn plan(
        &self,
        view: &View<'_>,
        scheduled: Scheduled,
        gap: Duration,
    ) -> Option<Check> {
        let progress = view.progress();
        if self.left() == 0 || progress.has_check_under_way() {
            return None;
        }
        let from = progress
            .last_sent()
            .map_or(view.earliest(), |last| last.saturating_add(gap).max(view.earliest()));
        let is_apart = gap.is_zero()
            && self.is_pair_open()
            && self.spare.is_some_and(|since| from.saturating_since(since) < QUARTER_SECOND);
        // Once one was sent before a flip, one after it follows: if servers take turns, the same one answers both.
        if !is_apart && !matches!(scheduled, Scheduled::Nothing) && !self.is_time(view) {
            return None;
        }
        if progress.scheduled_in_flight() > 0 {
            let (_, left) = self.sides()[1];
            let after = self.check(Side::After, view, from, is_apart)?;
            let is_soon = after.at.saturating_since(from) < QUARTER_SECOND;
            let is_next = match scheduled {
                Scheduled::At(next) => after.at < next,
                _ => true,
            };
            return (is_apart && left > 0 && is_soon && is_next).then_some(after);
        }
        let round_trip = progress.round_trip_median()?;
        // With a gap between requests, every check makes the next request later. One on a connection apart may still be under way
        // when the next request leaves.
        let fits = |check: &Check| match scheduled {
            _ if !gap.is_zero() => self.is_turn_of(check.side),
            Scheduled::At(_) if check.side == Side::After && !is_apart => false,
            Scheduled::At(next) if check.connection == CheckConnection::Shared => {
                check.at.saturating_add(round_trip * 2) < next
            }
            Scheduled::At(next) => check.at < next,
            Scheduled::Reply => false,
            Scheduled::Nothing => true,
        };
        let possible = self.sides().into_iter().filter(|(_, left)| *left > 0);
        let checks = possible.filter_map(|(side, _)| self.check(side, view, from, is_apart));
        checks.filter(fits).min_by_key(|check| check.at)
    }

    const fn is_pair_open(&self) -> bool {
        self.sent.before > self.sent.after
    }

    /// How many are left on each side.
    fn sides(&self) -> [(Side, u32); 3] {
        let anywhere = self.wanted / 7;
        let before = (self.wanted - anywhere).div_ceil(2);
        let after = self.wanted - anywhere - before;
        [
            (Side::Before, before.saturating_sub(self.sent.before)),
            (Side::After, after.saturating_sub(self.sent.after)),
            (Side::Anywhere, if self.left() == 1 { anywhere - self.sent.anywhere } else { 0 }),
        ]
    }

    /// Which side is next where checks do not come in pairs: two before and two after. If servers take turns, each answers one of two.
    const fn is_turn_of(&self, side: Side) -> bool {
        match side {
            Side::Before => matches!(self.sent() % 6, 0 | 1 | 4),
            Side::After => matches!(self.sent() % 6, 2 | 3 | 5),
            Side::Anywhere => true,
        }
    }

    /// Whether the next one on this side is aimed at the belief. Not where there are gaps: checks are few there, and each has to
    /// be decisive.
    const fn is_aimed(&self, side: Side) -> bool {
        let sent = match side {
            Side::Before => self.sent.before,
            Side::After => self.sent.after,
            Side::Anywhere => return false,
        };
        !self.has_gaps && sent % 3 == 2
    }

    /// Checks come late in the measurement, in requests or in seconds: the less is unknown, the more they can tell.
    fn is_time(&self, view: &View<'_>) -> bool {
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

    /// The first on this side that can be sent from then on; `None` while too much is unknown.
    fn check(
        &self,
        side: Side,
        view: &View<'_>,
        from: LocalInstant,
        is_apart: bool,
    ) -> Option<Check> {
        let progress = view.progress();
        let unknown = progress.flips()?;
        if unknown.width() > MOST_UNKNOWN {
            return None;
        }
        let mut near = progress.decisive_distance(from)?;
        let mut flip = unknown.midpoint();
        if self.is_aimed(side) {
            let belief = view.aim()?;
            near = near.min(belief.stddev() / 2);
            flip = belief.offset();
        }
        let after = |away: Duration, from| progress.aim(flip.saturating_sub(away.into()), from);
        let (at, latest, connection) = match side {
            Side::Before => {
                // A wait often ends a little late.
                let slack = (near / 8).min(SLACK);
                let at = progress.aim(flip.saturating_add((near + slack).into()), from);
                (at, at.saturating_add(slack), CheckConnection::Fresh)
            }
            Side::After => {
                let slack = progress.round_trip_median()? * 4 + MILLISECOND * 2;
                let at = after(near, from.saturating_sub(slack)).max(from);
                let connection =
                    if is_apart { CheckConnection::Spare } else { CheckConnection::Shared };
                (at, at.saturating_add(QUARTER_SECOND), connection)
            }
            Side::Anywhere => {
                let room = (QUARTER_SECOND * 4).saturating_sub(near * 2);
                let at = after(near.saturating_add(share(progress, room)), from);
                (at, at.saturating_add(near), CheckConnection::Shared)
            }
        };
        Some(Check { at, latest, connection, side })
    }
}

/// A part of `room` that differs from one measurement to the next.
fn share(progress: &Progress, room: Duration) -> Duration {
    let begun = progress.first_sent().map_or(0, LocalInstant::as_nanos).unsigned_abs();
    let phase = begun.wrapping_mul(GOLDEN_64) >> 44;
    Duration::from_nanos((duration_to_nanos(room).unsigned_abs() >> 20) * phase)
}

/// One request of so many is a check.
const SHARE: u32 = 4;
const SHARE_WITH_GAPS: u32 = 3;
/// At least three on each side of the flip, and no more than a third of the requests. A measurement with less room has none to
/// spare: each request halves the remaining uncertainty.
const FEWEST: u32 = 6;
const FEWEST_REQUESTS: u32 = 3 * FEWEST;
const MOST: u32 = 12;
/// With more than this unknown, no answer is known.
const MOST_UNKNOWN: Duration = QUARTER_SECOND;
const QUARTER_SECOND: Duration = Duration::from_millis(250);
const SLACK: Duration = Duration::from_micros(100);
const MILLISECOND: Duration = Duration::from_millis(1);
/// 2⁶⁴ divided by the golden ratio.
const GOLDEN_64: u64 = 0x9e37_79b9_7f4a_7c15;

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

    /// A server whose second begins 400 ms after ours, 10 ms away; answers around its flips leave a round trip.
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
        let wanted = |requests, gap| Checks::of(requests, gap).wanted;
        let shares = [1, 12, 17, 18, 24, 32, 48, 1000].map(|it| wanted(it, Duration::ZERO));
        assert_eq!(shares, [0, 0, 0, 6, 6, 8, 12, 12]);
        assert_eq!(wanted(24, Duration::from_secs(1)), 8);
    }

    #[test]
    fn a_pair_lies_on_both_sides_of_the_flip_and_apart_from_the_request_in_its_middle() {
        let (mut progress, estimator) = known();
        let config = Config::default();
        let mut checks = Checks::of(24, Duration::ZERO);
        let plan = |checks: &Checks, progress: &Progress, now| {
            let view = View::new(now, progress, &estimator, config.limits());
            checks.plan(&view, Scheduled::Nothing, Duration::ZERO)
        };
        // The flip is stamped at 2.4 s; a request takes 5 ms to the server.
        let before = plan(&checks, &progress, at(2_000_000)).expect("a check");
        assert_eq!((before.side, before.connection), (Side::Before, CheckConnection::Fresh));
        assert!(before.at < at(2_395_000) && before.at > at(2_370_000), "{before:?}");
        checks.note(&before);
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
        let (config, gap) = (Config::default(), Duration::from_secs(1));
        let mut checks = Checks::of(24, gap);
        let mut sides = Vec::new();
        let mut last = at(1_396_000);
        while let Some(check) = {
            let view = View::new(last, &progress, &estimator, config.limits());
            checks.plan(&view, Scheduled::Nothing, gap)
        } {
            assert!(check.at.saturating_since(last) >= gap, "{check:?} after {last:?}");
            checks.note(&check);
            progress.sent_check(check.at);
            progress.lost();
            last = check.at;
            sides.push(check.side);
        }
        use Side::{After, Anywhere, Before};
        assert_eq!(sides, [Before, Before, After, After, Before, After, Before, Anywhere]);
    }
}
