use std::time::Duration;

use super::bisect::{self, Bisect};
use super::{Plan, Schedule, View};
use crate::time::{Interval, LocalInstant, Offset};

/// Sends several requests around one flip, evenly over the remaining uncertainty, and then again
/// over what remains.
///
/// n requests around a flip divide the uncertainty by n + 1 in one second. Bisection needs as many
/// requests and `log₂(n + 1)` seconds. So this schedule costs requests and saves seconds. When the
/// uncertainty is as small as a round trip, or when the requests would queue behind each other, it
/// bisects.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    sweep: Sweep,
}

impl Schedule for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        self.sweep.confirm_sent(progress.scheduled());
        let known = progress.remaining_uncertainty().zip(progress.round_trip_base());
        let window = known.and_then(|(unknown, base)| narrowed_by_base(unknown, base));
        if let Some(window) = window.filter(|_| !bisect::is_enough(view)) {
            let aim = |offset, from| progress.aim(offset, from);
            let requests = |_, width| requests_in_window(view, width, 1).min(REQUESTS);
            let plan = self.sweep.plan(view, &aim, window, view.earliest(), 1, requests);
            if let Some(plan) = plan {
                return plan;
            }
        }
        self.sweep.abort();
        Bisect.plan(view)
    }
}

/// The remaining interval if each direction takes at least half of the base round trip: both ends
/// move inwards by that.
pub(super) fn narrowed_by_base(unknown: Interval, base: Duration) -> Option<Interval> {
    let half = Offset::from(base / 2);
    Interval::new(unknown.lower().saturating_add(half), unknown.upper().saturating_sub(half))
}

/// The number of requests that this many connections can carry during the window.
pub(super) fn requests_in_window(view: &View<'_>, width: Duration, connections: u32) -> u32 {
    let progress = view.progress();
    let turns = |each: Duration| {
        let turns = width.as_nanos() / each.as_nanos().max(1);
        u32::try_from(turns).unwrap_or(u32::MAX)
    };
    let kept = turns(progress.round_trip_median().unwrap_or_default());
    let reopened = progress.reopening_interval().map_or(u32::MAX, turns);
    let requests_in_window = kept.saturating_mul(connections).min(reopened);
    requests_in_window.max(connections)
}

/// Requests around successive flips.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sweep {
    /// The flip of the requests so far, and the flip for which the next one is planned.
    current: Flip,
    planned: Flip,
    requests: u32,
}

/// One boundary of the server's second and the requests around it.
#[derive(Debug, Clone, Copy, Default)]
struct Flip {
    /// The start of the window in which the flip can be; `None` if no sweep is running.
    opens: Option<LocalInstant>,
    number: u32,
    /// The interval between requests.
    spacing: Duration,
}

impl Sweep {
    /// Confirms a plan once its request has left, and then returns true. A plan whose request did
    /// not leave is dropped.
    pub(super) fn confirm_sent(&mut self, requests: u32) -> bool {
        let left = requests > self.requests;
        if left {
            self.requests = requests;
            self.current = self.planned;
        }
        left
    }

    /// The next request is not part of the sweep: ends a running sweep.
    pub(super) fn abort(&mut self) {
        self.planned = Flip { opens: None, ..self.current };
    }

    /// The next request of the sweep through `window`, or the first of a new one; `None` if there
    /// would be fewer than two. `requests` returns their number from the previous flips and the
    /// width of the window. `aim` returns when to send so that the stamp is on a flip.
    pub(super) fn plan(
        &mut self,
        view: &View<'_>,
        aim: &dyn Fn(Offset, LocalInstant) -> LocalInstant,
        window: Interval,
        from: LocalInstant,
        connections: u32,
        requests: impl FnOnce(u32, Duration) -> u32,
    ) -> Option<Plan> {
        let progress = view.progress();
        if progress.scheduled_in_flight() >= connections {
            return Some(Plan::AwaitReply);
        }
        let width = window.width().min(ALMOST_A_SECOND);
        let opens = aim(window.upper(), from.saturating_sub(width));
        let mut flip = self.current;
        if flip.opens.is_none_or(|at| opens > at.saturating_add(HALF_A_SECOND)) {
            let number = requests(flip.number, width);
            if number < 2 {
                return None;
            }
            let spacing = width / (number + 1);
            flip = Flip { opens: Some(opens), number: flip.number + 1, spacing };
        }
        let lead = if flip.number == 1 { flip.spacing / 2 } else { flip.spacing };
        let after = progress.last_sent().map_or(from, |last| last.saturating_add(flip.spacing));
        self.planned = flip;
        let at = opens.saturating_add(lead).max(after).max(from);
        if at <= opens.saturating_add(width) {
            return Some(Plan::SendAt(at));
        }
        if progress.scheduled_in_flight() > 0 {
            return Some(Plan::AwaitReply);
        }
        // This flip is finished.
        Some(Plan::SendAt(opens.saturating_add(SECOND).max(from)))
    }
}

/// The number of requests around each flip.
const REQUESTS: u32 = 6;
const SECOND: Duration = Duration::from_secs(1);
pub(super) const HALF_A_SECOND: Duration = Duration::from_millis(500);
const ALMOST_A_SECOND: Duration = Duration::from_nanos(999_999_999);
