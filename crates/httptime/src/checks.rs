//! Checks: requests whose answer is already known, sent to test what the bounds assume.
//!
//! A schedule aims each request into the remaining uncertainty, where every answer is possible. Two clocks behind one name, a
//! clock that runs too fast, a lag that changes: none of them contradicts such requests. So a fifth of the requests goes where
//! the answer is known:
//!
//! ```text
//!  local time ──────────────────┬───────[ flip ]───────┬───────────────────▶
//!             before: received ─┘  T − u      T − l    └─ sent: after
//! ```
//!
//! T is the instant at which the server's second begins if the offset is zero, [l, u] the remaining uncertainty of the offset. A
//! check before the flip is received before it can come, one after it is sent when it has come. Four of five keep as close to the
//! flip as the round trip allows, on both sides in turn: that finds clocks that are little apart. The fifth lies anywhere in the
//! second, and finds what comes from a cache or a clock that stands still. Most go over a connection of their own, to meet the other
//! servers behind the name.
//!
//! Let an answer near the flip contradict with probability p before it and 1 − p after it (a lag that changes, or two clocks
//! asked at random, where the requests have converged between them). Two checks on each side then miss it with probability
//! p² (1 − p)², which is at most 1/16, and 1/30 on average over p.
//!
//! An answer that does not fit contradicts the bounds, or lies inside what they allow for (a lag) and widens the estimate.

use std::time::Duration;

use crate::progress::Progress;
use crate::schedule::View;
use crate::time::{LocalInstant, Offset, duration_to_nanos};

/// The checks of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    wanted: u32,
}

/// A check that is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) at: LocalInstant,
    /// Sent later than this, its answer may not be known.
    pub(crate) latest: LocalInstant,
    pub(crate) wants_new_connection: bool,
}

impl Checks {
    /// For a measurement of at most so many requests.
    pub(crate) const fn of(requests: u32) -> Self {
        let wanted = if requests / SHARE > FEWEST { requests / SHARE } else { FEWEST };
        Self { wanted: if requests < FEWEST_REQUESTS { 0 } else { wanted } }
    }

    pub(crate) const fn none() -> Self {
        Self { wanted: 0 }
    }

    /// How many are still to be sent.
    pub(crate) const fn left(&self, progress: &Progress) -> u32 {
        self.wanted.saturating_sub(progress.checks())
    }

    /// How many are to be sent before a measurement ends early, because its target is reached or nothing is left to gain.
    pub(crate) fn are_enough(&self, progress: &Progress) -> bool {
        progress.checks() >= self.wanted.min(FEWEST)
    }

    /// A check that fits before the request that the schedule wants to leave at `next`, if it is time for one; with no such request,
    /// the next one possible.
    pub(crate) fn plan(
        &self,
        view: &View<'_>,
        next: Option<LocalInstant>,
        gap: Duration,
    ) -> Option<Check> {
        let progress = view.progress();
        if self.left(progress) == 0 || progress.under_way() > 0 {
            return None;
        }
        if next.is_some() && !self.is_time(view) {
            return None;
        }
        let from = progress.last_sent().map_or(view.earliest(), |last| {
            last.saturating_add(gap).max(view.earliest())
        });
        let check = Kind::of(progress.checks()).check(progress, from)?;
        // With a gap between requests, every check makes the next request later. One that has a connection of its own may still be
        // under way when the next request leaves.
        let taken = if check.wants_new_connection {
            Duration::ZERO
        } else {
            progress.round_trip_median()? * 2
        };
        let fits = |next| check.at.saturating_add(taken) < next;
        (!gap.is_zero() || next.is_none_or(fits)).then_some(check)
    }

    /// Checks are spread over the last three fifths of the measurement, in requests or in seconds: by then there is something to check.
    fn is_time(&self, view: &View<'_>) -> bool {
        let (progress, limits) = (view.progress(), view.limits());
        let per_mille = |part: u128, whole: u128| (part * 1000).checked_div(whole).unwrap_or(1000);
        let spent = progress.first_sent().map_or(Duration::ZERO, |first| view.earliest().saturating_since(first));
        let scheduled = limits.requests().saturating_sub(progress.checks());
        let requests = per_mille(progress.scheduled().into(), scheduled.into());
        let seconds = per_mille(spent.as_nanos(), limits.duration().as_nanos());
        let due = 400 + u128::from(600 * progress.checks() / self.wanted);
        requests.max(seconds) >= due
    }
}

/// Where a check lies.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Just before the flip, on a connection of its own.
    Before,
    /// Just after it.
    After { wants_new_connection: bool },
    /// Anywhere in the second.
    Anywhere { number: u32 },
}

impl Kind {
    const fn of(number: u32) -> Self {
        match number % 5 {
            0 | 2 => Self::Before,
            1 => Self::After { wants_new_connection: false },
            3 => Self::After { wants_new_connection: true },
            _ => Self::Anywhere { number },
        }
    }

    /// The first that can be sent from then on; `None` while too much is unknown.
    fn check(self, progress: &Progress, from: LocalInstant) -> Option<Check> {
        let unknown = progress.known_flip()?;
        if unknown.width() > MOST_UNKNOWN {
            return None;
        }
        // Mostly it takes no longer than this.
        let round_trip = progress.round_trip_median()?.mul_f64(1.25) + progress.queueing()?;
        let near = (round_trip / 8).saturating_add(unknown.width() / 4).saturating_add(GRAIN);
        let after = |away: Duration, from| {
            progress.second_begins(unknown.lower().saturating_sub(away.into()), from)
        };
        Some(match self {
            Self::Before => {
                let ahead = Offset::from(round_trip.saturating_add(near));
                let at = progress.second_begins(unknown.upper().saturating_add(ahead), from);
                Check { at, latest: at.saturating_add(near), wants_new_connection: true }
            }
            Self::After { wants_new_connection } => {
                // The connection takes a round trip to open, and there is time for that only once the flip's own request is answered.
                let opening = if wants_new_connection { round_trip * 2 + MILLISECOND } else { Duration::ZERO };
                let slack = round_trip * 3 + MILLISECOND;
                let at = after(near, from.saturating_sub(slack)).max(from).saturating_add(opening);
                Check { at, latest: at.saturating_add(QUARTER_SECOND), wants_new_connection }
            }
            Self::Anywhere { number } => {
                let room = (HALF_A_SECOND * 2).saturating_sub(round_trip + unknown.width() + near * 2);
                let away = near.saturating_add(share(progress, number, room));
                let at = after(away, from);
                Check { at, latest: at.saturating_add(near), wants_new_connection: false }
            }
        })
    }
}

/// A part of `room`: Weyl's sequence, begun at a phase that differs from one measurement to the next.
fn share(progress: &Progress, number: u32, room: Duration) -> Duration {
    let begun = progress.first_sent().map_or(0, LocalInstant::as_nanos).unsigned_abs();
    let phase = begun.wrapping_add(u64::from(number)).wrapping_mul(GOLDEN_64) >> 44;
    Duration::from_nanos((duration_to_nanos(room).unsigned_abs() >> 20) * phase)
}

/// One request of so many is a check.
const SHARE: u32 = 5;
/// At least two on each side of the flip.
const FEWEST: u32 = 4;
/// A measurement of fewer requests has none to spare: each halves the remaining uncertainty.
const FEWEST_REQUESTS: u32 = 16;
/// With more than this unknown, no answer is known.
const MOST_UNKNOWN: Duration = QUARTER_SECOND;
const QUARTER_SECOND: Duration = Duration::from_millis(250);
const HALF_A_SECOND: Duration = Duration::from_millis(500);
const MILLISECOND: Duration = Duration::from_millis(1);
/// What a clock can be read to, and a little more.
const GRAIN: Duration = Duration::from_micros(20);
/// 2⁶⁴ divided by the golden ratio.
const GOLDEN_64: u64 = 0x9e37_79b9_7f4a_7c15;
