use std::time::Duration;

use super::{Plan, Schedule, View};
use crate::time::{NANOS_PER_SECOND, Offset};

/// The request times of htpdate: first the local phase 2⁻ᵖ, then the phase of its estimator, early
/// by half of the last round trip.
///
/// p is the limit of requests. This is the published schedule of htpdate -p, for comparison. It
/// belongs to the estimator [`Htpdate`](crate::estimate::Htpdate).
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no state")]
pub struct Htpdate;

impl Schedule for Htpdate {
    fn name(&self) -> &'static str {
        "htpdate"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        if progress.scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        // First its own phase. Later requests are early by half of the last round trip, where `aim`
        // assumes half of the shortest.
        let offset = match (view.aim(), progress.round_trip_last(), progress.round_trip_min()) {
            (Some(aim), Some(last), Some(shortest)) => {
                aim.offset().saturating_add((last / 2).saturating_sub(shortest / 2).into())
            }
            _ => {
                let phase = NANOS_PER_SECOND >> view.limits().requests().min(30);
                Offset::from_nanos(-phase)
            }
        };
        Plan::SendAt(progress.aim(offset, view.earliest()))
    }

    /// htpdate sleeps and then sends, however late it is.
    fn is_missed(&self, _: &View<'_>, _: Duration) -> bool {
        false
    }
}
