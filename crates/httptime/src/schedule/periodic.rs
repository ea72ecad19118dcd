use std::time::Duration;

use super::{Plan, Schedule, View};

/// Sends requests at equal intervals that fill most of the time limit.
///
/// It is for comparison, and for servers that need an even load. The remaining uncertainty is about
/// a second divided by the number of requests. For intervals of more than a second the fraction is
/// a power of the golden ratio: requests then come at all phases of the second, each in the largest
/// gap between the others (Weyl's sequence). With a round number they would repeat the same few
/// phases.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no state")]
pub struct Periodic;

impl Schedule for Periodic {
    fn name(&self) -> &'static str {
        "periodic"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        let limits = view.limits();
        let distance = interval_over_all_phases(limits.duration() / limits.requests());
        Plan::SendAt(
            view.progress()
                .last_sent()
                .map_or(view.earliest(), |last| last.saturating_add(distance).max(view.earliest())),
        )
    }
}

/// The largest such interval that is at most `most`.
fn interval_over_all_phases(most: Duration) -> Duration {
    let mut phase = GOLDEN_RATIO;
    while phase > most.max(MIN_INTERVAL) {
        phase = phase.mul_f64(GOLDEN_RATIO.as_secs_f64());
    }
    phase + Duration::from_secs(most.saturating_sub(phase).as_secs())
}

/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_micros(1);
/// The golden ratio, of a second.
const GOLDEN_RATIO: Duration = Duration::from_nanos(618_033_989);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_no_longer_than_asked_and_never_a_round_part_of_a_second() {
        for (most_ms, distance_ms) in
            [(3000, 2618), (2000, 1618), (1000, 618), (500, 381), (250, 236), (0, 0)]
        {
            let distance = interval_over_all_phases(Duration::from_millis(most_ms));
            assert_eq!(distance.as_millis(), distance_ms, "{most_ms}");
        }
    }
}
