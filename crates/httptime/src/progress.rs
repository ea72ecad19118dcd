//! The requests and the evidence of a measurement so far.

use std::time::Duration;

use crate::error::Error;
use crate::evidence::{AgedEvidence, Evidence, drift};
use crate::observation::Observation;
use crate::round_trips::LatestRoundTrips;
use crate::server::{Lag, SMALL_LAG};
use crate::stamp::Stamp;
use crate::time::{
    CrossTimestamp, Interval, LocalInstant, Offset, Timestamp, duration_to_nanos, f64_to_nanos,
    nanos_to_duration,
};

/// The requests and the evidence of a measurement so far. A [`Schedule`](crate::schedule::Schedule)
/// decides from it, and a program can show it during the measurement.
#[derive(Debug, Clone)]
pub struct Progress {
    cross_timestamp: CrossTimestamp,
    drift_ppm: u32,
    requests: u32,
    checks: u32,
    /// The time at which the check in flight left.
    check_sent: Option<LocalInstant>,
    scheduled_in_flight: u32,
    observations: u32,
    first_sent: Option<LocalInstant>,
    last_sent: Option<LocalInstant>,
    observed: Option<Observed>,
    round_trips: LatestRoundTrips,
    handovers: LatestRoundTrips,
    reopening: Option<Reopening>,
}

/// The cost of connections that are closed after each response.
#[derive(Debug, Clone, Copy)]
struct Reopening {
    opening_time: Duration,
    sockets: u32,
}

/// The evidence of the observations so far.
#[derive(Debug, Clone, Copy)]
struct Observed {
    /// With the lag and the drift allowance: the bounds.
    bounds: AgedEvidence,
    /// Without the lag: where the `Date` can flip.
    flip_interval: AgedEvidence,
    /// The same, with a drift of at most [`TYPICAL_DRIFT_PPM`]: where to aim.
    remaining: AgedEvidence,
    lag: Lag,
    shortest: Duration,
    last: Duration,
}

impl Progress {
    /// The start of a measurement. `cross_timestamp`: the local clocks at the beginning;
    /// `drift_ppm`: the drift allowance.
    ///
    /// [`Measure`](crate::Measure) contains one. Create your own to test a
    /// [`Schedule`](crate::schedule::Schedule).
    #[must_use]
    pub const fn new(cross_timestamp: CrossTimestamp, drift_ppm: u32) -> Self {
        Self {
            cross_timestamp,
            drift_ppm,
            requests: 0,
            checks: 0,
            check_sent: None,
            scheduled_in_flight: 0,
            observations: 0,
            first_sent: None,
            last_sent: None,
            observed: None,
            round_trips: LatestRoundTrips::new(),
            handovers: LatestRoundTrips::new(),
            reopening: None,
        }
    }

    /// The local clocks at the beginning.
    #[must_use]
    pub const fn cross_timestamp(&self) -> CrossTimestamp {
        self.cross_timestamp
    }

    /// Requests sent, with or without a response.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// How many of the [`requests`](Self::requests) were checks, which are not part of a schedule.
    #[must_use]
    pub const fn checks(&self) -> u32 {
        self.checks
    }

    /// How many of the [`requests`](Self::requests) were part of the schedule.
    #[must_use]
    pub const fn scheduled(&self) -> u32 {
        self.requests - self.checks
    }

    /// Requests of the schedule that are in flight.
    #[must_use]
    pub const fn scheduled_in_flight(&self) -> u32 {
        self.scheduled_in_flight
    }

    /// Requests in flight, including a check.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.scheduled_in_flight + self.check_sent.is_some() as u32
    }

    pub(crate) const fn has_check_in_flight(&self) -> bool {
        self.check_sent.is_some()
    }

    /// Responses used.
    #[must_use]
    pub const fn observations(&self) -> u32 {
        self.observations
    }

    /// The time at which the first request left.
    #[must_use]
    pub const fn first_sent(&self) -> Option<LocalInstant> {
        self.first_sent
    }

    /// The time at which the latest request left.
    #[must_use]
    pub const fn last_sent(&self) -> Option<LocalInstant> {
        self.last_sent
    }

    /// The time at which the latest observation was received: the instant to which bounds and
    /// estimate refer.
    #[must_use]
    pub fn at(&self) -> Option<LocalInstant> {
        self.observed.map(|observed| observed.bounds.at())
    }

    /// The bounds so far. `None` before the first observation, and if observations contradict each
    /// other (which ends the measurement).
    #[must_use]
    pub fn bounds(&self) -> Option<Interval> {
        self.observed?.bounds.evidence().interval()
    }

    /// The remaining uncertainty of the offset, for aiming: the bounds for a server without lag and
    /// for clocks that drift by at most [`TYPICAL_DRIFT_PPM`]. If a variable lag or a larger drift
    /// makes observations contradict each other: the width of the contradiction.
    #[must_use]
    pub fn remaining_uncertainty(&self) -> Option<Interval> {
        Some(self.observed?.remaining.evidence().hull())
    }

    /// The size of a contradiction between responses that the bounds do not show.
    ///
    /// If the forward path always takes at least f, and the return path at least b, the responses
    /// leave an uncertainty of at least f + b. If less remains, a variable lag, another clock or a
    /// faster drift is the cause. Stamps at any phase contradict each other by themselves, so there
    /// only the ends count.
    fn contradiction(&self, latest: &Observation) -> Option<Duration> {
        let observed = self.observed?;
        let width = observed.flip_interval.evidence().width();
        // The ends are strict: only a variable lag explains that they contradict each other.
        let overlap = Offset::ZERO.saturating_sub(width);
        if overlap > Offset::from(observed.lag.variation()) {
            return Some(overlap.abs());
        }
        if latest.is_stamped() {
            return None;
        }
        let short = Offset::from(self.steady_base()?).saturating_sub(width);
        let unexplained = short.saturating_sub(self.explained_width()?.into());
        (unexplained > Offset::ZERO).then(|| short.abs())
    }

    /// The [`round_trip_base`](Self::round_trip_base), if the round trips show that the path has
    /// one: a quarter of them are only a little longer than the shortest.
    fn steady_base(&self) -> Option<Duration> {
        let trips = self.round_trips.trips();
        let quarter = *trips.ascending().get(trips.ascending().len() / 4)?;
        let is_steady = quarter - trips.shortest() <= 0.5 * trips.shortest();
        (is_steady && self.observations >= MIN_STEADY_OBSERVATIONS)
            .then(|| self.round_trip_base())
            .flatten()
    }

    /// How much the lag and the path reduce a round trip without queueing.
    fn explained_width(&self) -> Option<Duration> {
        let lag = self.observed?.lag.variation();
        Some(lag + self.round_trip_base()? / 8 + self.queueing()? + CLOCK_READING_ALLOWANCE)
    }

    /// The offsets at which the `Date` can flip, with the drift allowance of the bounds. If
    /// responses contradict each other: the width of the contradiction.
    pub(crate) fn flip_interval(&self) -> Option<Interval> {
        Some(self.observed?.flip_interval.evidence().hull())
    }

    /// The offsets within the [`decisive_distance`](Self::decisive_distance).
    pub(crate) fn undecided(&self, at: LocalInstant) -> Option<Interval> {
        let distance: Offset = self.decisive_distance(at)?.into();
        let middle = self.flip_interval()?.midpoint();
        Interval::new(middle.saturating_sub(distance), middle.saturating_add(distance))
    }

    /// The distance from the middle of the [`flip_interval`](Self::flip_interval) at which a
    /// response that puts the flip on the other side contradicts it. If the limit of the lag is so
    /// large that no response does, the distance without the lag.
    pub(crate) fn decisive_distance(&self, from: LocalInstant) -> Option<Duration> {
        let observed = self.observed?;
        let lag = observed.lag.variation();
        // The next flip is up to a second later.
        let age = from.saturating_since(observed.flip_interval.at()) + Duration::from_secs(1);
        let drift = drift(age, self.drift_ppm).abs();
        let explained_width = self.explained_width()?;
        let explained_width =
            if lag > SMALL_LAG { explained_width.saturating_sub(lag) } else { explained_width };
        // Half of the remaining width after one round trip is subtracted.
        let width = self.observed?.flip_interval.evidence().width();
        let left = width.saturating_sub(self.round_trip_base()?.into()).max(Offset::ZERO);
        Some(explained_width + left.abs() / 2 + drift + self.queueing()? * 3)
    }

    /// The largest limit of the lag in the bounds.
    #[must_use]
    pub fn lag(&self) -> Option<Lag> {
        self.observed.map(|observed| observed.lag)
    }

    /// The shortest round trip.
    #[must_use]
    pub fn round_trip_min(&self) -> Option<Duration> {
        self.observed.map(|observed| observed.shortest)
    }

    /// The latest round trip.
    #[must_use]
    pub fn round_trip_last(&self) -> Option<Duration> {
        self.observed.map(|observed| observed.last)
    }

    /// The median of the latest 64 round trips.
    #[must_use]
    pub fn round_trip_median(&self) -> Option<Duration> {
        self.observed.map(|_| duration(self.round_trips.trips().median()))
    }

    /// The round trip that three quarters of the latest 64 do not exceed.
    #[must_use]
    pub fn round_trip_quartile(&self) -> Option<Duration> {
        let ascending = self.round_trips.trips().ascending();
        Some(duration(*ascending.get((3 * ascending.len()).div_ceil(4).checked_sub(1)?)?))
    }

    /// The minimum time between two requests that each need a new connection; `None` while
    /// connections stay open.
    #[must_use]
    pub fn reopening_interval(&self) -> Option<Duration> {
        let Reopening { opening_time, sockets } = self.reopening?;
        Some(self.round_trip_median()?.saturating_add(opening_time) / sockets.max(1))
    }

    /// Reports that each request needs a new connection: opening one `takes` this long, and up to
    /// `sockets` are in use at once, including those that are opening.
    pub fn set_reopening(&mut self, opening_time: Duration, sockets: u32) {
        self.reopening = Some(Reopening { opening_time, sockets });
    }

    /// Reports that connections stay open.
    pub fn clear_reopening(&mut self) {
        self.reopening = None;
    }

    /// The estimated round trip without queueing: a little less than the shortest one.
    #[must_use]
    pub fn round_trip_base(&self) -> Option<Duration> {
        self.observed.map(|observed| {
            observed.shortest.saturating_sub(duration(self.round_trips.trips().shortest_excess()))
        })
    }

    /// The mean queueing per direction, from the spread of the latest 64 round trips: their jitter.
    /// A few outliers do not affect it.
    #[must_use]
    pub fn queueing(&self) -> Option<Duration> {
        self.observed.map(|_| duration(self.round_trips.trips().queueing()))
    }

    /// When to send, at or after `earliest`, so that the request is stamped when a second of the
    /// server begins. It assumes that the offset is `offset`, that the forward path takes half of
    /// the shortest round trip, and that the system needs its usual time to send.
    #[must_use]
    pub fn aim(&self, offset: Offset, earliest: LocalInstant) -> LocalInstant {
        self.next_server_second(offset.saturating_add(self.forward_way()), earliest)
    }

    /// The same for the next change of a stamp of this form. A rounded stamp changes in the middle
    /// of a quantum.
    pub(crate) fn aim_at_change(
        &self,
        offset: Offset,
        stamp: Stamp,
        earliest: LocalInstant,
    ) -> LocalInstant {
        let quantum = stamp.quantum();
        let shift = if stamp.is_rounded() { quantum / 2 } else { Duration::ZERO };
        let offset = offset.saturating_add(self.forward_way()).saturating_add(shift.into());
        self.next_change(offset, quantum, earliest)
    }

    /// The beginning of a second of the server, at or after `earliest`, if the offset is `offset`.
    #[must_use]
    pub fn next_server_second(&self, offset: Offset, earliest: LocalInstant) -> LocalInstant {
        self.next_change(offset, Duration::from_secs(1), earliest)
    }

    /// The `Date` of the response to a request that leaves at this time, if the offset is `offset`.
    pub(crate) fn predicted_date(&self, offset: Offset, sent: LocalInstant) -> Timestamp {
        let offset = offset.saturating_add(self.forward_way());
        self.cross_timestamp.wall_at(sent).saturating_add(offset).floor_to_second()
    }

    /// Whether the request that was passed to the system at `handed_over` is the check in flight.
    pub(crate) fn is_check(&self, handed_over: LocalInstant) -> bool {
        self.check_sent == Some(handed_over)
    }

    /// From when a request is passed to the system until the server has it, if nothing queues.
    fn forward_way(&self) -> Offset {
        let half = duration_to_nanos(self.round_trip_min().unwrap_or_default() / 2);
        Offset::from_nanos(half.saturating_add(f64_to_nanos(self.handovers.trips().median())))
    }

    fn next_change(
        &self,
        offset: Offset,
        quantum: Duration,
        earliest: LocalInstant,
    ) -> LocalInstant {
        let quantum = duration_to_nanos(quantum).max(1);
        let server = self.cross_timestamp.wall_at(earliest).saturating_add(offset).as_unix_nanos();
        let wait = (quantum - server.rem_euclid(quantum)) % quantum;
        earliest.saturating_add(Duration::from_nanos(wait.unsigned_abs()))
    }

    /// Reports that a check left at this instant: a request whose response can be predicted.
    ///
    /// One at a time: while it is in flight, another one counts as a request of the schedule.
    pub fn sent_check(&mut self, at: LocalInstant) {
        if self.check_sent.is_some() {
            self.sent(at);
            return;
        }
        self.check_sent = Some(at);
        self.checks += 1;
        self.record_sent(at);
    }

    /// Reports that a request left at this instant.
    pub fn sent(&mut self, at: LocalInstant) {
        self.scheduled_in_flight += 1;
        self.record_sent(at);
    }

    fn record_sent(&mut self, at: LocalInstant) {
        self.requests += 1;
        self.first_sent = self.first_sent.or(Some(at));
        self.last_sent = self.last_sent.max(Some(at));
    }

    /// Reports that the response to the check in flight will not arrive.
    pub fn check_lost(&mut self) {
        self.check_sent = None;
    }

    /// Reports that the response to a request will not arrive.
    pub fn lost(&mut self) {
        if self.scheduled_in_flight == 0 {
            self.check_sent = None;
        }
        self.scheduled_in_flight = self.scheduled_in_flight.saturating_sub(1);
    }

    /// Adds the evidence of a response.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if it contradicts the earlier observations.
    pub fn absorb(&mut self, observation: &Observation) -> Result<(), Error> {
        self.answered(observation.sent().saturating_sub(observation.handover()));
        self.add_evidence(observation)
    }

    /// Records that the request that was passed to the system at `handed_over` is answered.
    pub(crate) fn answered(&mut self, handed_over: LocalInstant) {
        if self.is_check(handed_over) {
            self.check_sent = None;
        } else {
            self.lost();
        }
    }

    /// The bounds that a response proves by itself.
    pub(crate) fn proved_by(&self, observation: &Observation) -> AgedEvidence {
        let at = observation.received();
        // The server may have read its clock as early as the request left.
        let elapsed = at.saturating_since(observation.sent());
        let bounds = Evidence::from(observation.bounds()).aged(elapsed, self.drift_ppm);
        AgedEvidence::new(bounds, at, self.drift_ppm)
    }

    /// Forgets the evidence of all responses, but not the requests.
    pub(crate) fn forget_evidence(&mut self) {
        self.observations = 0;
        self.observed = None;
        self.round_trips = LatestRoundTrips::new();
        self.handovers = LatestRoundTrips::new();
    }

    /// The part of [`absorb`](Self::absorb) that does not count requests.
    pub(crate) fn add_evidence(&mut self, observation: &Observation) -> Result<(), Error> {
        self.observations += 1;
        let round_trip = observation.round_trip();
        self.round_trips.insert(duration_to_nanos(round_trip));
        if !observation.handover().is_zero() {
            self.handovers.insert(duration_to_nanos(observation.handover()));
        }
        let at = observation.received();
        let (drift_ppm, typical_ppm) = (self.drift_ppm, self.drift_ppm.min(TYPICAL_DRIFT_PPM));
        let bounds = self.proved_by(observation);
        // The server may have read its clock as early as the request left.
        let elapsed = at.saturating_since(observation.sent());
        let without_lag = Evidence::new(observation.lower(), observation.upper_without_lag());
        let flip_interval = without_lag.aged(elapsed, drift_ppm);
        let remaining = without_lag.aged(elapsed, typical_ppm);
        let lag = observation.lag();
        let observed = self.observed.get_or_insert(Observed {
            bounds,
            flip_interval: AgedEvidence::new(flip_interval, at, drift_ppm),
            remaining: AgedEvidence::new(remaining, at, typical_ppm),
            lag,
            shortest: round_trip,
            last: round_trip,
        });
        observed.bounds.narrow(bounds.evidence(), at);
        observed.flip_interval.narrow(flip_interval, at);
        observed.remaining.narrow(remaining, at);
        observed.lag = observed.lag.max(lag);
        observed.shortest = observed.shortest.min(round_trip);
        observed.last = round_trip;
        let width = observed.bounds.evidence().width();
        if width < Offset::ZERO {
            return Err(Error::Inconsistent { gap: width.abs() });
        }
        self.contradiction(observation).map_or(Ok(()), |gap| Err(Error::Inconsistent { gap }))
    }
}

fn duration(nanos: f64) -> Duration {
    nanos_to_duration(f64_to_nanos(nanos))
}

/// The part of the remaining uncertainty that is due to reading the clocks and to busy hosts.
const CLOCK_READING_ALLOWANCE: Duration = Duration::from_micros(20);
/// The number of round trips from which the path can be characterised.
const MIN_STEADY_OBSERVATIONS: u32 = 8;
/// The usual limit of the frequency difference of two clocks, in parts per million: the frequency
/// tolerance PHI of RFC 5905, section 7.2.
pub const TYPICAL_DRIFT_PPM: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Exchange;
    use crate::time::{NANOS_PER_SECOND, Timestamp};

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
        // The stamp may be older by a full round trip: 100 ns of drift in addition to the round
        // trip itself.
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
        // Three different ones each time, so that the stored ones affect the median.
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
