use std::time::Duration;

use super::{Plan, Schedule, View};

/// Aims each request so that it is stamped when the server's second begins, if the offset is the
/// middle of the remaining uncertainty.
///
/// Each request halves the uncertainty and takes half a second on average. The proof ends when the
/// uncertainty is as small as the shortest round trip: no `Date` shows how a round trip divides
/// into forward and return path. If these are equal, an estimate can be more precise. So this
/// schedule continues until the uncertainty is smaller than the scheduling delays of most machines.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no state")]
pub struct Bisect;

impl Schedule for Bisect {
    fn name(&self) -> &'static str {
        "bisect"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        if progress.scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        let Some(unknown) = progress.remaining_uncertainty() else {
            return Plan::SendAt(view.earliest());
        };
        if is_enough(view) {
            return Plan::Enough;
        }
        Plan::SendAt(progress.aim(unknown.midpoint(), view.earliest()))
    }
}

/// Whether the uncertainty is at most the shortest round trip.
pub(super) fn is_enough(view: &View<'_>) -> bool {
    let progress = view.progress();
    let known = progress.remaining_uncertainty().zip(progress.round_trip_min());
    known.is_some_and(|(unknown, shortest)| unknown.width() <= shortest + MIN_WIDTH)
}

/// Smaller than the scheduling delays of most machines.
const MIN_WIDTH: Duration = Duration::from_micros(40);
