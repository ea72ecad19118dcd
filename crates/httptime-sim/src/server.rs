use std::time::Duration;

use fastrand::Rng;
use httptime::{Offset, Timestamp};

/// How a simulated server comes by its `Date`.
#[derive(Debug, Clone)]
pub struct SimServer {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Lagging { least: Duration, most: Duration },
    Ticking { period: Duration, phase: Duration },
    Caching { ttl: Duration, stored: Option<Timestamp> },
}

impl SimServer {
    /// Reads its clock for every response, like nginx and Apache.
    #[must_use]
    pub const fn exact() -> Self {
        Self::lagging(Duration::ZERO, Duration::ZERO)
    }

    /// Each `Date` is late by something between `least` and `most`.
    #[must_use]
    pub const fn lagging(least: Duration, most: Duration) -> Self {
        Self { kind: Kind::Lagging { least, most } }
    }

    /// The `Date` is kept and refreshed by a timer, `phase` after each whole `period`, like actix and Envoy.
    #[must_use]
    pub const fn ticking(period: Duration, phase: Duration) -> Self {
        Self { kind: Kind::Ticking { period, phase } }
    }

    /// A caching proxy that keeps a response for `ttl` and says so with `Age`.
    #[must_use]
    pub const fn caching(ttl: Duration) -> Self {
        Self { kind: Kind::Caching { ttl, stored: None } }
    }

    /// The `Date` and `Age` of a response at `now` on the server's clock.
    pub(crate) fn respond(
        &mut self,
        now: Timestamp,
        random: &mut Rng,
    ) -> (Timestamp, Option<Duration>) {
        match &mut self.kind {
            Kind::Lagging { least, most } => {
                let lag = *least + most.saturating_sub(*least).mul_f64(random.f64());
                (whole_second(earlier(now, lag)), None)
            }
            Kind::Ticking { period, phase } => {
                let period = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX).max(1);
                let since = earlier(now, *phase).as_unix_nanos().rem_euclid(period);
                (whole_second(earlier(now, Duration::from_nanos(since.unsigned_abs()))), None)
            }
            Kind::Caching { ttl, stored } => {
                let age = |stored| Offset::between(stored, now).abs();
                let fresh = stored.filter(|stored| age(*stored) < *ttl);
                match fresh {
                    Some(stored) => {
                        (whole_second(stored), Some(Duration::from_secs(age(stored).as_secs())))
                    }
                    None => {
                        *stored = Some(now);
                        (whole_second(now), None)
                    }
                }
            }
        }
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(Offset::ZERO.saturating_sub(by.into()))
}

fn whole_second(time: Timestamp) -> Timestamp {
    let nanos = time.as_unix_nanos();
    Timestamp::from_unix_nanos(nanos - nanos.rem_euclid(1_000_000_000))
}
