//! What a measurement has sent and learnt so far.

use std::time::Duration;

use crate::error::Error;
use crate::evidence::{AgedEvidence, Evidence, drift};
use crate::observation::Observation;
use crate::round_trips::LatestRoundTrips;
use crate::server::{Lag, SMALL_LAG};
use crate::time::{
    CrossTimestamp, Interval, LocalInstant, NANOS_PER_SECOND, Offset, duration_to_nanos,
    f64_to_nanos, nanos_to_duration,
};

/// What a measurement has sent and learnt so far: what a [`Schedule`](crate::schedule::Schedule) decides from, and
/// what a program can show while it waits.
#[derive(Debug, Clone)]
pub struct Progress {
    cross_timestamp: CrossTimestamp,
    drift_ppm: u32,
    requests: u32,
    checks: u32,
    /// When the check left that is under way.
    check_sent: Option<LocalInstant>,
    outstanding: u32,
    observations: u32,
    first_sent: Option<LocalInstant>,
    last_sent: Option<LocalInstant>,
    known: Option<Known>,
    round_trips: LatestRoundTrips,
    handovers: LatestRoundTrips,
    reopening: Option<Reopening>,
}

/// What it takes that connections are closed after each response.
#[derive(Debug, Clone, Copy)]
struct Reopening {
    takes: Duration,
    sockets: u32,
}

/// What the observations so far have shown.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// With the lag, and the drift allowance: the bounds.
    bounds: AgedEvidence,
    /// Without the lag: where the `Date` may flip.
    flips: AgedEvidence,
    /// The same, with a drift of no more than [`TYPICAL_DRIFT_PPM`]: where to aim.
    remaining: AgedEvidence,
    lag: Lag,
    shortest: Duration,
    last: Duration,
}

impl Progress {
    /// Of a measurement that begins with the local clocks as `cross_timestamp` has them, and allows for `drift_ppm` between the clocks.
    ///
    /// [`Measure`](crate::Measure) keeps one; make your own to test a [`Schedule`](crate::schedule::Schedule).
    #[must_use]
    pub const fn new(cross_timestamp: CrossTimestamp, drift_ppm: u32) -> Self {
        Self {
            cross_timestamp,
            drift_ppm,
            requests: 0,
            checks: 0,
            check_sent: None,
            outstanding: 0,
            observations: 0,
            first_sent: None,
            last_sent: None,
            known: None,
            round_trips: LatestRoundTrips::new(),
            handovers: LatestRoundTrips::new(),
            reopening: None,
        }
    }

    /// How the local clocks stood at the beginning.
    #[must_use]
    pub const fn cross_timestamp(&self) -> CrossTimestamp {
        self.cross_timestamp
    }

    /// Requests sent, answered or not.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// How many of the [`requests`](Self::requests) were checks, which no schedule asked for.
    #[must_use]
    pub const fn checks(&self) -> u32 {
        self.checks
    }

    /// How many of the [`requests`](Self::requests) the schedule asked for.
    #[must_use]
    pub const fn scheduled(&self) -> u32 {
        self.requests - self.checks
    }

    /// Requests under way that the schedule asked for.
    #[must_use]
    pub const fn scheduled_in_flight(&self) -> u32 {
        self.outstanding
    }

    /// Requests under way, a check included.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.outstanding + self.check_sent.is_some() as u32
    }

    pub(crate) const fn has_check_under_way(&self) -> bool {
        self.check_sent.is_some()
    }

    /// Responses that proved something.
    #[must_use]
    pub const fn observations(&self) -> u32 {
        self.observations
    }

    /// When the first request left.
    #[must_use]
    pub const fn first_sent(&self) -> Option<LocalInstant> {
        self.first_sent
    }

    /// When the latest request left.
    #[must_use]
    pub const fn last_sent(&self) -> Option<LocalInstant> {
        self.last_sent
    }

    /// When the latest observation was received: the instant to which bounds and estimate refer.
    #[must_use]
    pub fn at(&self) -> Option<LocalInstant> {
        self.known.map(|known| known.bounds.at())
    }

    /// The bounds so far. `None` before the first observation, and when observations contradict each other (which
    /// ends the measurement).
    #[must_use]
    pub fn bounds(&self) -> Option<Interval> {
        self.known?.bounds.evidence().interval()
    }

    /// Where the offset may still be, as far as aiming goes: the bounds as they would be for a server without lag and
    /// clocks that come apart by no more than [`TYPICAL_DRIFT_PPM`]. When a lag that changes, or more drift, makes
    /// observations contradict each other, the width of the contradiction.
    #[must_use]
    pub fn remaining_uncertainty(&self) -> Option<Interval> {
        Some(self.known?.remaining.evidence().hull())
    }

    /// By how much responses contradict each other that the bounds do not show to.
    ///
    /// If the forward path never takes less than f, and the return path never less than b, no answers leave less than f + b of the
    /// offset. What is short of that, a lag that changes, another clock or a faster drift has taken away.
    fn contradiction(&self) -> Option<Duration> {
        let known = self.known?;
        let width = known.flips.evidence().width();
        // The ends are strict: only a lag that changes explains that they contradict each other.
        let by_itself = Offset::ZERO.saturating_sub(width);
        if by_itself > Offset::from(known.lag.variation()) {
            return Some(by_itself.abs());
        }
        let short = Offset::from(self.steady_base()?).saturating_sub(width);
        let beyond = short.saturating_sub(self.explained()?.into());
        (beyond > Offset::ZERO).then(|| short.abs())
    }

    /// [`round_trip_base`](Self::round_trip_base), where the round trips show that the path has one: a quarter of them are little
    /// longer than the shortest.
    fn steady_base(&self) -> Option<Duration> {
        let trips = self.round_trips.trips();
        let quarter = *trips.ascending().get(trips.ascending().len() / 4)?;
        let is_steady = quarter - trips.shortest() <= 0.5 * trips.shortest();
        (is_steady && self.observations >= STEADY).then(|| self.round_trip_base()).flatten()
    }

    /// How much the lag and the path take from a round trip without queueing.
    fn explained(&self) -> Option<Duration> {
        let lag = self.known?.lag.variation();
        Some(lag + self.round_trip_base()? / 8 + self.queueing()? + UNEXPLAINED)
    }

    /// The offsets at which the `Date` may flip, with the drift that the bounds allow for. When responses contradict each other, the
    /// width of the contradiction.
    pub(crate) fn flips(&self) -> Option<Interval> {
        Some(self.known?.flips.evidence().hull())
    }

    /// How far from the middle of the [`flips`](Self::flips) a response must be stamped to contradict it, if it puts the flip on the
    /// other side. Where the lag allowed for is so large that no response does that, without the lag.
    pub(crate) fn decisive_distance(&self, from: LocalInstant) -> Option<Duration> {
        let known = self.known?;
        let lag = known.lag.variation();
        // A second passes until the next flip.
        let age = from.saturating_since(known.flips.at()) + Duration::from_secs(1);
        let drift = drift(age, self.drift_ppm).abs();
        let explained = self.explained()?;
        let explained = if lag > SMALL_LAG { explained.saturating_sub(lag) } else { explained };
        // Half of what is left when a round trip is taken off.
        let width = self.known?.flips.evidence().width();
        let left = width.saturating_sub(self.round_trip_base()?.into()).max(Offset::ZERO);
        Some(explained + left.abs() / 2 + drift + self.queueing()? * 7 / 2)
    }

    /// The largest lag allowed for in the bounds.
    #[must_use]
    pub fn lag(&self) -> Option<Lag> {
        self.known.map(|known| known.lag)
    }

    /// The shortest round trip.
    #[must_use]
    pub fn round_trip_min(&self) -> Option<Duration> {
        self.known.map(|known| known.shortest)
    }

    /// The latest round trip.
    #[must_use]
    pub fn round_trip_last(&self) -> Option<Duration> {
        self.known.map(|known| known.last)
    }

    /// The median of the latest 64 round trips.
    #[must_use]
    pub fn round_trip_median(&self) -> Option<Duration> {
        self.known.map(|_| duration(self.round_trips.trips().median()))
    }

    /// The least time between two requests that each need a new connection; `None` while connections stay open.
    #[must_use]
    pub fn reopening_interval(&self) -> Option<Duration> {
        let Reopening { takes, sockets } = self.reopening?;
        Some(self.round_trip_median()?.saturating_add(takes) / sockets.max(1))
    }

    /// Each request needs a new connection: opening one `takes` so long, and up to so many `sockets` are in use at once,
    /// those that are opening included.
    pub fn set_reopening(&mut self, takes: Duration, sockets: u32) {
        self.reopening = Some(Reopening { takes, sockets });
    }

    /// Connections stay open.
    pub fn clear_reopening(&mut self) {
        self.reopening = None;
    }

    /// How long a round trip is thought to take when nothing queues: a little less than the shortest one seen.
    #[must_use]
    pub fn round_trip_base(&self) -> Option<Duration> {
        self.known
            .map(|known| known.shortest.saturating_sub(duration(self.round_trips.trips().excess())))
    }

    /// The mean queueing on each of the two ways, from how far the latest 64 round trips spread: their jitter. Robust against a
    /// few that are far out.
    #[must_use]
    pub fn queueing(&self) -> Option<Duration> {
        self.known.map(|_| duration(self.round_trips.trips().queueing()))
    }

    /// When to send, at or after `earliest`, so that the request is stamped just as a second of the server begins, if
    /// the offset is `offset` and the way there takes half the shortest round trip, after the system has taken as long to
    /// send it as it mostly did.
    #[must_use]
    pub fn aim(&self, offset: Offset, earliest: LocalInstant) -> LocalInstant {
        let way = duration_to_nanos(self.round_trip_min().unwrap_or_default() / 2)
            .saturating_add(f64_to_nanos(self.handovers.trips().median()));
        self.next_server_second(offset.saturating_add(Offset::from_nanos(way)), earliest)
    }

    /// When a second of the server begins, at or after `earliest`, if the offset is `offset`.
    #[must_use]
    pub fn next_server_second(&self, offset: Offset, earliest: LocalInstant) -> LocalInstant {
        let server = self.cross_timestamp.wall_at(earliest).saturating_add(offset).as_unix_nanos();
        let wait = (NANOS_PER_SECOND - server.rem_euclid(NANOS_PER_SECOND)) % NANOS_PER_SECOND;
        earliest.saturating_add(Duration::from_nanos(wait.unsigned_abs()))
    }

    /// A check left at this instant: a request whose answer is known already.
    ///
    /// One at a time: while it is under way, another one counts as a request of the schedule.
    pub fn sent_check(&mut self, at: LocalInstant) {
        if self.check_sent.is_some() {
            self.sent(at);
            return;
        }
        self.check_sent = Some(at);
        self.checks += 1;
        self.left(at);
    }

    /// A request left at this instant.
    pub fn sent(&mut self, at: LocalInstant) {
        self.outstanding += 1;
        self.left(at);
    }

    fn left(&mut self, at: LocalInstant) {
        self.requests += 1;
        self.first_sent = self.first_sent.or(Some(at));
        self.last_sent = self.last_sent.max(Some(at));
    }

    /// The answer to the check that is under way will not come.
    pub fn lost_check(&mut self) {
        self.check_sent = None;
    }

    /// The answer to a request will not come.
    pub fn lost(&mut self) {
        if self.outstanding == 0 {
            self.check_sent = None;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// The answer to a request came: intersects with what it proves.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] when it contradicts the observations before it.
    pub fn absorb(&mut self, observation: &Observation) -> Result<(), Error> {
        let handed_over = observation.sent().saturating_sub(observation.handover());
        if self.check_sent == Some(handed_over) {
            self.check_sent = None;
        } else {
            self.lost();
        }
        self.observations += 1;
        let round_trip = observation.round_trip();
        self.round_trips.insert(duration_to_nanos(round_trip));
        if !observation.handover().is_zero() {
            self.handovers.insert(duration_to_nanos(observation.handover()));
        }
        let at = observation.received();
        let (drift_ppm, typical_ppm) = (self.drift_ppm, self.drift_ppm.min(TYPICAL_DRIFT_PPM));
        // The stamp may be a round trip older than the reception.
        let bounds = Evidence::from(observation.bounds()).aged(round_trip, drift_ppm);
        let without_lag = Evidence::new(observation.lower(), observation.upper_without_lag());
        let flips = without_lag.aged(round_trip, drift_ppm);
        let remaining = without_lag.aged(round_trip, typical_ppm);
        let lag = observation.lag();
        let known = self.known.get_or_insert(Known {
            bounds: AgedEvidence::new(bounds, at, drift_ppm),
            flips: AgedEvidence::new(flips, at, drift_ppm),
            remaining: AgedEvidence::new(remaining, at, typical_ppm),
            lag,
            shortest: round_trip,
            last: round_trip,
        });
        known.bounds.narrow(bounds, at);
        known.flips.narrow(flips, at);
        known.remaining.narrow(remaining, at);
        known.lag = known.lag.max(lag);
        known.shortest = known.shortest.min(round_trip);
        known.last = round_trip;
        let width = known.bounds.evidence().width();
        if width < Offset::ZERO {
            return Err(Error::Inconsistent { gap: width.abs() });
        }
        self.contradiction().map_or(Ok(()), |gap| Err(Error::Inconsistent { gap }))
    }
}

fn duration(nanos: f64) -> Duration {
    nanos_to_duration(f64_to_nanos(nanos))
}

/// What the reading of clocks, and hosts that are busy, take from the remaining uncertainty.
const UNEXPLAINED: Duration = Duration::from_micros(20);
/// Round trips that show what the path is like.
const STEADY: u32 = 8;
/// How fast two clocks usually come apart, in parts per million: the frequency tolerance PHI of RFC 5905, section 7.2.
pub const TYPICAL_DRIFT_PPM: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Exchange;
    use crate::time::Timestamp;

    fn progress(round_trip_ns: i64) -> Progress {
        let wall = Timestamp::from_unix_nanos(5_250_000_000);
        let cross_timestamp =
            CrossTimestamp::new(LocalInstant::from_nanos(0), wall, Duration::ZERO);
        let mut progress = Progress::new(cross_timestamp, 100);
        let (sent, received) =
            (LocalInstant::from_nanos(0), LocalInstant::from_nanos(round_trip_ns));
        let date = Timestamp::from_unix_seconds(5).expect("in range");
        let exchange = Exchange::from_parts_unchecked(sent, received, date);
        let observation = Observation::new(cross_timestamp, &exchange, Lag::stated(Duration::ZERO))
            .expect("in order");
        progress.absorb(&observation).expect("consistent");
        progress
    }

    #[test]
    fn the_aim_has_the_stamp_fall_on_a_second_of_the_server() {
        let progress = progress(20_000_000);
        for (offset, earliest) in
            [(0, 0), (300_000_000, 0), (-38_116_000_000, 77), (7, 739_999_993)]
        {
            let earliest = LocalInstant::from_nanos(earliest);
            let sent = progress.aim(Offset::from_nanos(offset), earliest);
            let wait = sent.saturating_since(earliest);
            let stamped = 5_250_000_000 + sent.as_nanos() + 10_000_000 + offset;
            assert_eq!(stamped.rem_euclid(NANOS_PER_SECOND), 0, "{offset}");
            assert!(sent >= earliest && wait < Duration::from_secs(1), "{offset}");
        }
    }

    #[test]
    fn the_aim_makes_up_for_what_the_system_takes_to_send() {
        let mut progress = progress(20_000_000);
        let at = LocalInstant::from_nanos;
        let without = progress.aim(Offset::ZERO, at(30_000_000));
        for (handed_over, took) in
            [(30_000_000, 40_000), (60_000_000, 50_000_000), (120_000_000, 30_000)]
        {
            let exchange = Exchange::from_parts_unchecked(
                at(handed_over),
                at(handed_over + 80_000_000),
                Timestamp::from_unix_nanos(5_000_000_000),
            )
            .with_kernel_timestamps(Some(at(handed_over + took)), None);
            let lag = Lag::stated(Duration::ZERO);
            let observation =
                Observation::new(progress.cross_timestamp(), &exchange, lag).expect("in order");
            progress.absorb(&observation).expect("consistent");
        }
        let with = progress.aim(Offset::ZERO, at(30_000_000));
        assert_eq!(without.saturating_since(with), Duration::from_nanos(40_000));
    }

    #[test]
    fn bounds_are_as_old_as_the_round_trip() {
        let bounds = progress(1_000_000).bounds().expect("bounds");
        // The stamp may be the whole round trip old: 100 ns of drift on top of the round trip itself.
        assert_eq!(bounds.width(), Duration::from_nanos(1_001_000_000 + 200));
    }

    #[test]
    fn the_median_is_that_of_the_latest_64_and_the_shortest_that_of_all() {
        let mut progress = progress(7_000_000);
        let mut ask = |number: i64, round_trip_ns: i64| {
            let (sent, wall) = (number * NANOS_PER_SECOND, 5 + number);
            let exchange = Exchange::from_parts_unchecked(
                LocalInstant::from_nanos(sent),
                LocalInstant::from_nanos(sent + round_trip_ns),
                Timestamp::from_unix_seconds(wall).expect("in range"),
            );
            let lag = Lag::stated(Duration::ZERO);
            let observation =
                Observation::new(progress.cross_timestamp(), &exchange, lag).expect("in order");
            progress.absorb(&observation).expect("consistent");
            progress.round_trip_median().expect("observed")
        };
        // Three different ones each time, so that no one in the middle can hide what is kept.
        let varied = |number: i64| number % 3 * 1_000_000;
        for number in 1..=100 {
            ask(number, 10_000_000 + varied(number));
        }
        let mut median = Duration::ZERO;
        for number in 101..=164 {
            median = ask(number, 50_000_000 + varied(number));
        }
        assert_eq!(median, Duration::from_millis(51));
        let base = progress.round_trip_base().expect("observed");
        assert!(base <= Duration::from_millis(7), "{base:?}");
        assert_eq!(progress.round_trip_min(), Some(Duration::from_millis(7)));
    }
}
