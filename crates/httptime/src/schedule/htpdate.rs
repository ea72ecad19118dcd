use super::{Plan, Schedule, View};
use crate::time::{LocalInstant, NANOS_PER_SECOND, Offset};
use std::time::Duration;

/// When htpdate asks: first at the local phase 2⁻ᵖ, then where its estimator says, early by half of the last round trip.
///
/// p is the number of requests allowed. The published schedule of htpdate -p, to be compared with; it belongs to the
/// estimator [`Htpdate`](crate::estimate::Htpdate).
#[derive(Debug, Clone, Copy, Default)]
pub struct Htpdate;

impl Schedule for Htpdate {
    fn name(&self) -> &'static str {
        "htpdate"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        if progress.outstanding() > 0 {
            return Plan::AwaitReply;
        }
        let (phase, early) = match (view.aim(), progress.round_trip_last()) {
            (Some(aim), Some(last)) => (Offset::ZERO.saturating_sub(aim.offset()), last / 2),
            _ => (
                Offset::from_nanos(NANOS_PER_SECOND >> view.limits().requests().min(30)),
                Duration::ZERO,
            ),
        };
        Plan::SendAt(next_at(view, phase.saturating_sub(early.into())))
    }
}

/// When the local wall clock's sub-second next shows `phase`.
fn next_at(view: &View<'_>, phase: Offset) -> LocalInstant {
    let earliest = view.earliest();
    let wall = view.progress().tie().wall_at(earliest).as_unix_nanos();
    let wait =
        (phase.as_nanos().saturating_sub(wall % NANOS_PER_SECOND)).rem_euclid(NANOS_PER_SECOND);
    earliest.saturating_add(Duration::from_nanos(wait.unsigned_abs()))
}
