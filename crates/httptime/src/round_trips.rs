use std::fmt;

use crate::time::nanos_to_f64;

/// Statistics of the round trips of a measurement: the round trip without queueing, and the mean
/// queueing, in nanoseconds. It stores up to [`MAX_ROUND_TRIPS`] round trips; the caller decides
/// which.
#[derive(Clone)]
pub(crate) struct RoundTrips {
    ascending: [f64; MAX_ROUND_TRIPS],
    len: usize,
    /// The shortest of all, including those that were replaced since.
    shortest: f64,
}

impl fmt::Debug for RoundTrips {
    /// Only the number of round trips: formatting floats would make small programs larger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundTrips").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The [`RoundTrips`] of the latest exchanges, and the shortest of all.
#[derive(Clone)]
pub(crate) struct LatestRoundTrips {
    trips: RoundTrips,
    /// In order of arrival; from `oldest` on once there are [`MAX_ROUND_TRIPS`].
    latest: [f64; MAX_ROUND_TRIPS],
    oldest: usize,
}

impl fmt::Debug for LatestRoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trips.fmt(f)
    }
}

impl LatestRoundTrips {
    pub(crate) const fn new() -> Self {
        Self { trips: RoundTrips::new(), latest: [0.0; MAX_ROUND_TRIPS], oldest: 0 }
    }

    /// Adds a round trip. If there is no room, it replaces the oldest.
    pub(crate) fn insert(&mut self, nanos: i64) {
        let round_trip = nanos_to_f64(nanos.max(1));
        let place = &mut self.latest[self.oldest];
        if self.trips.len == MAX_ROUND_TRIPS {
            self.trips.replace(*place, round_trip);
        } else {
            self.trips.insert(round_trip);
        }
        *place = round_trip;
        self.oldest = (self.oldest + 1) % MAX_ROUND_TRIPS;
    }

    pub(crate) const fn trips(&self) -> &RoundTrips {
        &self.trips
    }
}

impl RoundTrips {
    pub(crate) const fn new() -> Self {
        Self { ascending: [0.0; MAX_ROUND_TRIPS], len: 0, shortest: f64::INFINITY }
    }

    /// Replaces a round trip that was added before.
    pub(crate) fn replace(&mut self, old: f64, new: f64) {
        let rank = self.ascending().partition_point(|round_trip| *round_trip < old);
        self.remove_rank(rank.min(self.len - 1));
        self.insert(new);
    }

    /// Adds a round trip if there is room.
    pub(crate) fn insert(&mut self, round_trip: f64) {
        let rank = self.ascending().partition_point(|other| *other <= round_trip);
        self.ascending.copy_within(rank..self.len, rank + 1);
        self.ascending[rank] = round_trip;
        self.len += 1;
        self.shortest = self.shortest.min(round_trip);
    }

    fn remove_rank(&mut self, rank: usize) {
        self.ascending.copy_within(rank + 1..self.len, rank);
        self.len -= 1;
    }

    pub(crate) fn ascending(&self) -> &[f64] {
        &self.ascending[..self.len]
    }

    pub(crate) fn shortest(&self) -> f64 {
        if self.len == 0 { 0.0 } else { self.shortest }
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.len / 2;
        match self.ascending() {
            [] => 0.0,
            sorted if self.len % 2 == 1 => sorted[middle],
            sorted => 0.5 * (sorted[middle - 1] + sorted[middle]),
        }
    }

    /// The mean queueing q per direction. A round trip's excess over the base is Gamma(2, q). Its
    /// median minus the expected minimum of n is 1.678 q − 1.25 q / √n (fitted, within 5 % for n ≥
    /// 3). With fewer round trips the value is a rough estimate.
    pub(crate) fn queueing(&self) -> f64 {
        let shortest = self.shortest();
        let longest = self.ascending().last().copied().unwrap_or(0.0);
        let queueing = if self.len < 3 {
            0.25 * (longest - shortest) + 0.1 * shortest
        } else {
            (self.median() - shortest) / (1.678 - 1.25 / self.sqrt_len())
        };
        queueing.max(CLOCK_RESOLUTION_NS)
    }

    /// The expected excess of the shortest round trip over one without queueing: 1.25 q / √n.
    pub(crate) fn shortest_excess(&self) -> f64 {
        (1.25 * self.queueing() / self.sqrt_len()).min(0.5 * self.shortest())
    }

    pub(crate) fn sqrt_len(&self) -> f64 {
        usize_to_f64(self.len).sqrt().max(1.0)
    }
}

/// A small count as a float.
pub(crate) fn usize_to_f64(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The integer part of a small number; 0 for a negative one.
pub(crate) fn f64_to_usize(number: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float to integer conversion saturates"
    )]
    {
        number as usize
    }
}

/// The finest useful resolution of a clock reading, in nanoseconds.
pub(crate) const CLOCK_RESOLUTION_NS: f64 = 200.0;
/// The number of stored round trips.
pub(crate) const MAX_ROUND_TRIPS: usize = 64;
