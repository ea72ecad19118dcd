use std::time::Duration;

use httptime::{Offset, Timestamp};

/// What a fleet asked of its server.
#[derive(Debug, Clone, Default)]
pub struct ServerLoad {
    requests: u64,
    connections: u64,
    dropped_connections: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    second: Peak,
    hundredth: Peak,
    max_wait: Duration,
    total_wait: Duration,
}

/// The largest number of requests in a period.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    period: i64,
    count: u64,
    max: u64,
}

impl Peak {
    fn add(&mut self, period: i64) {
        if period != self.period {
            self.close();
            self.period = period;
        }
        self.count += 1;
    }

    fn close(&mut self) {
        self.max = self.max.max(self.count);
        self.count = 0;
    }
}

impl ServerLoad {
    /// A request that arrived at `at` and whose response left at `left`.
    pub(super) fn request(&mut self, at: Timestamp, left: Timestamp) {
        let nanos = at.as_unix_nanos();
        let wait = Offset::between(at, left).abs();
        self.requests += 1;
        self.first = self.first.or(Some(at));
        self.last = Some(at);
        self.second.add(nanos.div_euclid(1_000_000_000));
        self.hundredth.add(nanos.div_euclid(10_000_000));
        self.max_wait = self.max_wait.max(wait);
        self.total_wait += wait;
    }

    pub(super) const fn connection(&mut self) {
        self.connections += 1;
    }

    pub(super) const fn drop_connection(&mut self) {
        self.dropped_connections += 1;
    }

    pub(super) fn end(&mut self) {
        self.second.close();
        self.hundredth.close();
    }

    /// Requests.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Connections that were opened.
    #[must_use]
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// How often a connection found the accept queue full.
    #[must_use]
    pub const fn dropped_connections(&self) -> u64 {
        self.dropped_connections
    }

    /// From the first request to the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let both = self.first.zip(self.last);
        both.map_or(Duration::ZERO, |(first, last)| Offset::between(first, last).abs())
    }

    /// The largest number of requests in one second of the server's clock.
    #[must_use]
    pub const fn peak_second(&self) -> u64 {
        self.second.max
    }

    /// The largest number of requests in 10 ms.
    #[must_use]
    pub const fn peak_hundredth(&self) -> u64 {
        self.hundredth.max
    }

    /// The longest time that a request was at the server.
    #[must_use]
    pub const fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// The mean of that time.
    #[must_use]
    pub fn mean_wait(&self) -> Duration {
        let requests = u32::try_from(self.requests).unwrap_or(u32::MAX).max(1);
        self.total_wait / requests
    }
}
