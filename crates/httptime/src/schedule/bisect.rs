use std::time::Duration;

use super::{Plan, Schedule, View};

/// Aims each request so that it is stamped as the server's second begins, if the offset lies in the middle of what is
/// still unknown.
///
/// Halves the unknown with each request, half a second apart on average. What can be *proved* ends when the unknown is as
/// narrow as the shortest round trip: no `Date` shows how a round trip splits into its two ways. What can be estimated,
/// if the ways are alike, goes on below that; this goes on until the rest is finer than the scheduling
/// of most machines.
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

/// Whether what is unknown is as narrow as the shortest round trip.
pub(super) fn is_enough(view: &View<'_>) -> bool {
    let progress = view.progress();
    let known = progress.remaining_uncertainty().zip(progress.round_trip_min());
    known.is_some_and(|(unknown, shortest)| unknown.width() <= shortest + FINE)
}

/// Finer than the scheduling of most machines.
const FINE: Duration = Duration::from_micros(40);
