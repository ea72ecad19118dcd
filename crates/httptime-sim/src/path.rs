use std::time::Duration;

use fastrand::Rng;
use httptime::LocalInstant;

/// A network path: a fixed delay divided between the two directions, exponential queueing in each,
/// and disturbances: retransmissions, bursts that fill a buffer, and a route change.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    base: Duration,
    forward_share: f64,
    queueing: Duration,
    loss: f64,
    bursts: Option<Bursts>,
    rerouted: Option<(LocalInstant, Duration)>,
}

/// Alternating periods of empty and of full buffers, both of exponential length.
#[derive(Debug, Clone, Copy)]
struct Bursts {
    quiet: Duration,
    full: Duration,
    max: Duration,
    is_full: bool,
    until: LocalInstant,
}

impl Path {
    /// A path with this round trip without queueing and this mean queueing per direction, both in
    /// milliseconds.
    #[must_use]
    pub fn symmetric_ms(round_trip: f64, queueing: f64) -> Self {
        let base = Duration::from_secs_f64(round_trip / 1e3);
        Self {
            base,
            forward_share: 0.5,
            queueing: Duration::from_secs_f64(queueing / 1e3),
            loss: 0.0,
            bursts: None,
            rerouted: None,
        }
    }

    /// The share of the fixed delay that belongs to the forward path. 0.5 is symmetric.
    #[must_use]
    pub const fn forward_share(mut self, share: f64) -> Self {
        self.forward_share = share;
        self
    }

    /// The probability that a segment is lost. TCP sends it again 200 ms later (the minimum
    /// retransmission timeout of Linux).
    #[must_use]
    pub const fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Fills a buffer on the return path for `full` on average, after `quiet` on average, as a
    /// download does. While it is full, each response has an additional random delay of at most
    /// `most`.
    #[must_use]
    pub const fn bursts(mut self, quiet: Duration, full: Duration, max: Duration) -> Self {
        let until = LocalInstant::from_nanos(0);
        self.bursts = Some(Bursts { quiet, full, max, is_full: true, until });
        self
    }

    /// The forward path is longer by `more` from `at` on. The return path does not change.
    #[must_use]
    pub const fn rerouted(mut self, at: LocalInstant, more: Duration) -> Self {
        self.rerouted = Some((at, more));
        self
    }

    /// The mean queueing per direction.
    #[must_use]
    pub const fn queueing(&self) -> Duration {
        self.queueing
    }

    /// The delays of the next exchange, which leaves at `at`: forward path, return path.
    pub(crate) fn draw(&mut self, at: LocalInstant, random: &mut Rng) -> (Duration, Duration) {
        let there = self.base.mul_f64(self.forward_share);
        let mut way = |fixed: Duration| {
            let lost = if random.f64() < self.loss { RETRANSMISSION } else { Duration::ZERO };
            fixed + exponential(self.queueing, random) + lost
        };
        let (mut forth, mut back) = (way(there), way(self.base.saturating_sub(there)));
        if let Some((_, more)) = self.rerouted.filter(|(since, _)| at >= *since) {
            forth += more;
        }
        if let Some(bursts) = &mut self.bursts {
            back += bursts.delay(at, random);
        }
        (forth, back)
    }
}

impl Bursts {
    fn delay(&mut self, at: LocalInstant, random: &mut Rng) -> Duration {
        while self.until <= at {
            self.is_full = !self.is_full;
            let mean = if self.is_full { self.full } else { self.quiet };
            let lasts = exponential(mean, random) + Duration::from_nanos(1);
            self.until = self.until.saturating_add(lasts);
        }
        if self.is_full { self.max.mul_f64(random.f64()) } else { Duration::ZERO }
    }
}

/// A time with an exponential distribution of this mean.
pub(crate) fn exponential(mean: Duration, random: &mut Rng) -> Duration {
    mean.mul_f64(-(1.0 - random.f64()).ln())
}

const RETRANSMISSION: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn way_back_ms(path: &mut Path, at_ms: i64, random: &mut Rng) -> u128 {
        path.draw(LocalInstant::from_nanos(at_ms * 1_000_000), random).1.as_millis()
    }

    #[test]
    fn buffers_are_full_for_the_share_of_the_time_that_was_said() {
        let second = Duration::from_secs(1);
        let mut path = Path::symmetric_ms(0.0, 0.0).bursts(3 * second, second, second);
        let mut random = Rng::with_seed(1);
        let late = (0..100_000).filter(|at| way_back_ms(&mut path, *at * 100, &mut random) > 0);
        let share = late.count();
        assert!((23_000..27_000).contains(&share), "{share} of 100000");
    }

    #[test]
    fn a_new_route_is_longer_to_the_server_only() {
        let change = LocalInstant::from_nanos(5);
        let mut path = Path::symmetric_ms(2.0, 0.0).rerouted(change, Duration::from_millis(10));
        let mut random = Rng::with_seed(1);
        let ms = Duration::from_millis;
        assert_eq!(path.draw(LocalInstant::from_nanos(4), &mut random), (ms(1), ms(1)));
        assert_eq!(path.draw(change, &mut random), (ms(11), ms(1)));
    }
}
