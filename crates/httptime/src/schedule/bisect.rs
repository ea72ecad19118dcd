use super::{Plan, Schedule, View};

/// Aims each request so that it is stamped as the server's second begins, if the offset lies in the middle of what is
/// still unknown.
///
/// Halves the unknown with each request, half a second apart on average, until it is as narrow as the shortest round
/// trip. Beyond that nothing more can be *proved*: no `Date` shows how a round trip splits into its two ways.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bisect;

impl Schedule for Bisect {
    fn name(&self) -> &'static str {
        "bisect"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        if progress.outstanding() > 0 {
            return Plan::AwaitReply;
        }
        let (Some(unknown), Some(shortest)) = (progress.unknown(), progress.round_trip_min())
        else {
            return Plan::SendAt(view.earliest());
        };
        // An eighth more than the round trip: the last part would cost as many requests as all before it.
        if unknown.width() <= shortest + shortest / 8 {
            return Plan::Enough;
        }
        Plan::SendAt(progress.aim(unknown.midpoint(), view.earliest()))
    }
}
