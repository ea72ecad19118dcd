use std::time::Duration;

use fastrand::Rng;

/// A network path: a fixed delay split over two ways, exponential queueing on each, and retransmissions.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    base: Duration,
    forward_share: f64,
    queueing: Duration,
    loss: f64,
}

impl Path {
    /// A path with this round trip when nothing queues, in milliseconds, and this mean queueing on each way.
    #[must_use]
    pub fn symmetric_ms(round_trip: f64, queueing: f64) -> Self {
        let base = Duration::from_secs_f64(round_trip / 1e3);
        Self {
            base,
            forward_share: 0.5,
            queueing: Duration::from_secs_f64(queueing / 1e3),
            loss: 0.0,
        }
    }

    /// The share of the fixed delay that lies on the way to the server; a half is symmetric.
    #[must_use]
    pub const fn forward_share(mut self, share: f64) -> Self {
        self.forward_share = share;
        self
    }

    /// The probability that a segment is lost; TCP sends it again 200 ms later (Linux's least retransmission timeout).
    #[must_use]
    pub const fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// The delays of one exchange: to the server, and back.
    pub fn draw(&self, random: &mut Rng) -> (Duration, Duration) {
        let there = self.base.mul_f64(self.forward_share);
        let mut way = |fixed: Duration| {
            let queued = self.queueing.mul_f64(-(1.0 - random.f64()).ln());
            let lost = if random.f64() < self.loss { RETRANSMISSION } else { Duration::ZERO };
            fixed + queued + lost
        };
        (way(there), way(self.base.saturating_sub(there)))
    }
}

const RETRANSMISSION: Duration = Duration::from_millis(200);
