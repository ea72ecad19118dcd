//! Named worlds for comparisons. The name describes the behaviour.
//!
//! ```
//! use httptime::Config;
//! use httptime_sim::worlds;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let wan = worlds::named("wan").ok_or("no such world")?;
//! let config = Config::builder().lag(wan.stated_lag()).build()?;
//! let outcome = wan.world(7).measure(&config, 7);
//! assert!(outcome.result?.bounds().contains(outcome.truth));
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use fastrand::Rng;
use httptime::{LocalInstant, Offset, Timestamp};

use crate::{
    Path, SimBalance, SimClient, SimClock, SimConnections, SimHost, SimServer, SimWorker, World,
};

/// A kind of world. A seed selects one world of this kind.
#[derive(Debug, Clone, Copy)]
pub struct NamedWorld {
    name: &'static str,
    description: &'static str,
    assumptions: Assumptions,
    stated_lag: Duration,
    is_comparison: bool,
    build: fn(SimClock, &mut Rng) -> World,
}

/// Whether the assumptions of a measurement are true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there are only three cases: all, some or none of the assumptions hold"
)]
pub enum Assumptions {
    /// The assumptions of the bounds are true, and so are those of the standard deviation: the
    /// forward and return paths are equal without queueing, and the lag is small.
    AllHold,
    /// The assumptions of the bounds are true. The error of the estimate is larger than its
    /// standard deviation indicates, because the forward and return paths differ or the lag is not
    /// small. The error is mostly the same in every exchange, so it cannot be observed.
    BoundsHold,
    /// An assumption of the bounds is false.
    Violated,
}

/// All worlds. First the worlds in which estimators and schedules are compared: plain ones, those
/// with a hidden error, and those in which an assumption is broken. Then the worlds with faulty
/// servers.
pub const ALL: &[NamedWorld] = &[
    plain("lan", "0.2 ms, queueing 0.05 ms", |clock, _| idle(clock, 0.2, 0.05)),
    plain("metro", "2 ms, queueing 0.3 ms", |clock, _| idle(clock, 2.0, 0.3)),
    plain("regional", "20 ms, queueing 2 ms", |clock, _| idle(clock, 20.0, 2.0)),
    plain("wan", "100 ms, queueing 5 ms", |clock, _| idle(clock, 100.0, 5.0)),
    plain("satellite-quiet", "200 ms, queueing 1 ms", |clock, _| idle(clock, 200.0, 1.0)),
    plain("wan-jittery", "200 ms, queueing 20 ms", |clock, _| idle(clock, 200.0, 20.0)),
    plain(
        "bufferbloat",
        "20 ms, queueing 1 ms; a fifth of the time up to 200 ms more",
        |clock, _| {
            let path = Path::symmetric_ms(20.0, 1.0).bursts(
                Duration::from_secs(2),
                Duration::from_millis(500),
                Duration::from_millis(200),
            );
            World::new(clock, path, SimServer::exact())
        },
    ),
    plain(
        "lossy",
        "20 ms, queueing 2 ms; each path loses 1 %, sent again after 200 ms",
        |clock, _| World::new(clock, Path::symmetric_ms(20.0, 2.0).loss(0.01), SimServer::exact()),
    ),
    plain("drifting", "2 ms, queueing 0.3 ms; clocks 50 ppm apart", |clock, random| {
        let ppb = if random.bool() { 50_000 } else { -50_000 };
        idle(clock.drifting_ppb(ppb), 2.0, 0.3)
    }),
    plain("overloaded", "0.2 ms, queueing 0.05 ms; three wake-ups in ten 3 ms late", |clock, _| {
        let client = SimClient::overloaded(0.3, Duration::from_millis(3));
        idle(clock, 0.2, 0.05).with_client(client)
    }),
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        stated_lag: Duration::from_millis(5),
        ..plain("lag-varying", "2 ms, queueing 0.3 ms; Date 0-4 ms late, 5 stated", |clock, _| {
            let server = SimServer::lagging(Duration::ZERO, Duration::from_millis(4));
            World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
        })
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        stated_lag: Duration::from_millis(5),
        ..plain(
            "lag-tick",
            "2 ms, queueing 0.3 ms; Date up to a 4 ms tick late, 5 stated",
            |clock, random| lagging(clock, random, Duration::from_millis(4)),
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        ..plain("asymmetric", "20 ms, queueing 2 ms; 60 % of it on the forward path", |clock, _| {
            let path = Path::symmetric_ms(20.0, 2.0).forward_share(0.6);
            World::new(clock, path, SimServer::exact())
        })
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        ..plain(
            "route-change",
            "20 ms, queueing 2 ms; forward path 10 ms longer after 4 s",
            |clock, _| {
                let at = LocalInstant::from_nanos(4_000_000_000);
                let path = Path::symmetric_ms(20.0, 2.0).rerouted(at, Duration::from_millis(10));
                World::new(clock, path, SimServer::exact())
            },
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        stated_lag: Duration::from_millis(1_020),
        ..plain(
            "lag-cached",
            "2 ms, queueing 0.3 ms; Date kept for 1 s, 1.02 stated",
            |clock, random| lagging(clock, random, Duration::from_secs(1)),
        )
    },
    NamedWorld {
        assumptions: Assumptions::Violated,
        ..plain(
            "lag-understated",
            "2 ms, queueing 0.3 ms; Date 0-25 ms late, none stated",
            |clock, _| {
                let server = SimServer::lagging(Duration::ZERO, Duration::from_millis(25));
                World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
            },
        )
    },
    NamedWorld {
        assumptions: Assumptions::Violated,
        ..plain(
            "lag-constant",
            "2 ms, queueing 0.3 ms; Date 25 ms late, none stated",
            |clock, _| {
                let lag = Duration::from_millis(25);
                World::new(clock, Path::symmetric_ms(2.0, 0.3), SimServer::lagging(lag, lag))
            },
        )
    },
    faulty(
        "two-clocks-5ms",
        "2 ms, queueing 0.3 ms; two clocks 5 ms apart, by request in turn",
        |clock, random| two_clocks(clock, random, 5, SimBalance::RoundRobin),
    ),
    faulty(
        "two-clocks-50ms",
        "2 ms, queueing 0.3 ms; two clocks 50 ms apart, by request in turn",
        |clock, random| two_clocks(clock, random, 50, SimBalance::RoundRobin),
    ),
    faulty(
        "two-clocks-400ms",
        "2 ms, queueing 0.3 ms; two clocks 400 ms apart, by request in turn",
        |clock, random| two_clocks(clock, random, 400, SimBalance::RoundRobin),
    ),
    faulty(
        "two-clocks-random-5ms",
        "2 ms, queueing 0.3 ms; two clocks 5 ms apart, drawn by request",
        |clock, random| two_clocks(clock, random, 5, SimBalance::Random),
    ),
    faulty(
        "two-clocks-random-50ms",
        "2 ms, queueing 0.3 ms; two clocks 50 ms apart, drawn by request",
        |clock, random| two_clocks(clock, random, 50, SimBalance::Random),
    ),
    faulty(
        "two-clocks-random-400ms",
        "2 ms, queueing 0.3 ms; two clocks 400 ms apart, drawn by request",
        |clock, random| two_clocks(clock, random, 400, SimBalance::Random),
    ),
    faulty(
        "balanced-50ms",
        "2 ms, queueing 0.3 ms; two clocks 50 ms apart, by connection; closes after 1 to 100",
        |clock, random| {
            let balance =
                if random.bool() { SimBalance::Connections } else { SimBalance::RandomConnections };
            two_clocks(clock, random, 50, balance).with_connections(reconnecting(random))
        },
    ),
    faulty(
        "two-addresses-50ms",
        "2 ms, queueing 0.3 ms; two addresses, with clocks 50 ms apart; closes after 1 to 100",
        |clock, random| {
            let hosts = vec![SimHost::Server, SimHost::Server];
            two_clocks(clock, random, 50, SimBalance::Addresses)
                .with_connections(reconnecting(random).named(hosts, Some(Duration::ZERO)))
        },
    ),
    faulty(
        "server-drift-300",
        "0.2 ms, queueing 0.05 ms; clocks 300 ppm apart",
        |clock, random| drifting(clock, random, 300),
    ),
    faulty(
        "server-drift-1000",
        "0.2 ms, queueing 0.05 ms; clocks 1000 ppm apart",
        |clock, random| drifting(clock, random, 1_000),
    ),
    faulty(
        "server-drift-5000",
        "0.2 ms, queueing 0.05 ms; clocks 5000 ppm apart",
        |clock, random| drifting(clock, random, 5_000),
    ),
    faulty(
        "frozen",
        "2 ms, queueing 0.3 ms; the clock stands still for the first 6 to 11 s",
        |clock, random| {
            let worker = SimWorker::exact().frozen(BEGINNING, after_ms(random, 6_000..11_000));
            frozen(clock, &[worker])
        },
    ),
    faulty(
        "frozen-silent",
        "2 ms, queueing 0.3 ms; the clock is 6 to 11 s behind and stands still; silent within 1 s",
        |clock, random| {
            let since = BEGINNING.saturating_sub(Duration::from_millis(random.u64(6_000..11_000)));
            let (silent, until) = (after_ms(random, 200..1_000), after_ms(random, 20_000..25_000));
            let World { path, server, .. } =
                frozen(clock, &[SimWorker::exact().frozen(since, until)]);
            World::new(clock, path, server.stalled(silent, until))
        },
    ),
    faulty(
        "frozen-worker",
        "2 ms, queueing 0.3 ms; one of four clocks frozen, by connection; closes after 1 to 100",
        |clock, random| {
            frozen_worker(clock, random, SimBalance::RandomConnections)
                .with_connections(reconnecting(random))
        },
    ),
    faulty(
        "frozen-worker-random",
        "2 ms, queueing 0.3 ms; one of four clocks frozen, drawn by request",
        |clock, random| frozen_worker(clock, random, SimBalance::Random),
    ),
    NamedWorld {
        stated_lag: Duration::from_millis(1),
        ..faulty(
            "proxy-passed-on",
            "2 ms, queueing 0.3 ms; a front passes on a Date 0-1 s late, constant; 0.001 stated",
            passed_on,
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        stated_lag: LAG_BEHIND_A_FRONT,
        ..faulty(
            "proxy-allowed",
            "2 ms, queueing 0.3 ms; a front passes on a Date 0-1 s late, constant; 2.02 stated",
            passed_on,
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        stated_lag: LAG_BEHIND_A_FRONT,
        ..faulty(
            "first-late",
            "2 ms, queueing 0.3 ms; Date up to 1 s late, a connection's first up to 2; 2.02 stated",
            |clock, random| {
                let [phase, idle] = [random.f64(), random.f64()].map(Duration::from_secs_f64);
                let server =
                    SimServer::first_late(phase, idle).fields("Server: lighttpd/1.4.69\r\n");
                World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
                    .with_connections(reconnecting(random).closing_idle(Duration::from_secs(5)))
            },
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        stated_lag: LAG_BEHIND_A_FRONT,
        ..faulty(
            "cached-second",
            "2 ms, queueing 0.3 ms; Date up to 1 s late, kept by a cache for 1 s; 2.02 stated",
            |clock, random| {
                let origin = SimServer::ticking(SECOND, SECOND.mul_f64(random.f64()));
                let server = origin.behind_cache(SECOND).fields(VARNISH);
                World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
            },
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        ..faulty(
            "rate-limited",
            "2 ms, queueing 0.3 ms; one request a second; others wait up to 1 s or are refused",
            |clock, _| rate_limited(clock, 1),
        )
    },
    NamedWorld {
        assumptions: Assumptions::BoundsHold,
        ..faulty(
            "rate-limited-deep",
            "2 ms, queueing 0.3 ms; one request a second; others wait up to 10 s",
            |clock, _| rate_limited(clock, 10),
        )
    },
    NamedWorld {
        assumptions: Assumptions::AllHold,
        ..faulty(
            "busy",
            "2 ms, queueing 0.3 ms; half of the requests are stamped up to 17 ms later",
            |clock, _| {
                let server = SimServer::exact().busy(0.5, Duration::from_millis(17));
                World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
            },
        )
    },
];

/// The world with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static NamedWorld> {
    ALL.iter().find(|world| world.name == name)
}

const fn plain(
    name: &'static str,
    description: &'static str,
    build: fn(SimClock, &mut Rng) -> World,
) -> NamedWorld {
    let stated_lag = Duration::ZERO;
    NamedWorld {
        name,
        description,
        assumptions: Assumptions::AllHold,
        stated_lag,
        is_comparison: true,
        build,
    }
}

/// A world with a faulty server.
const fn faulty(
    name: &'static str,
    description: &'static str,
    build: fn(SimClock, &mut Rng) -> World,
) -> NamedWorld {
    NamedWorld {
        assumptions: Assumptions::Violated,
        is_comparison: false,
        ..plain(name, description, build)
    }
}

fn idle(clock: SimClock, round_trip_ms: f64, queueing_ms: f64) -> World {
    World::new(clock, Path::symmetric_ms(round_trip_ms, queueing_ms), SimServer::exact())
}

/// A timer with a random phase updates the `Date`.
fn lagging(clock: SimClock, random: &mut Rng, period: Duration) -> World {
    let server = SimServer::ticking(period, period.mul_f64(random.f64()));
    World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
}

/// Two clocks behind one name. Either of them may be the one that is ahead.
fn two_clocks(clock: SimClock, random: &mut Rng, apart_ms: i64, balance: SimBalance) -> World {
    let ahead_ms = if random.bool() { apart_ms } else { -apart_ms };
    let other = SimWorker::exact().ahead(Offset::from_nanos(ahead_ms * 1_000_000));
    let server = SimServer::exact().workers(&[SimWorker::exact(), other], balance);
    World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
}

/// A server that closes its connections after a random number of responses.
fn reconnecting(random: &mut Rng) -> SimConnections {
    let responses = [1, 5, 100][random.usize(0..3)];
    SimConnections::new().handshake().closing_after(responses)
}

/// A random time after the beginning.
fn after_ms(random: &mut Rng, millis: std::ops::Range<u64>) -> LocalInstant {
    BEGINNING.saturating_add(Duration::from_millis(random.u64(millis)))
}

fn frozen(clock: SimClock, workers: &[SimWorker]) -> World {
    let server = SimServer::exact().workers(workers, SimBalance::Random);
    World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
}

/// Four workers. The clock of one of them stopped up to 5 s ago, and remains stopped for 6 to 11 s
/// more.
fn frozen_worker(clock: SimClock, random: &mut Rng, balance: SimBalance) -> World {
    let since = BEGINNING.saturating_sub(Duration::from_millis(random.u64(0..5_000)));
    let stands_still = SimWorker::exact().frozen(since, after_ms(random, 6_000..11_000));
    let exact = SimWorker::exact();
    let server = SimServer::exact().workers(&[stands_still, exact, exact, exact], balance);
    World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
}

/// A front server, under a name of a server that does so, that passes on the `Date` of an origin.
/// The origin's lag is constant.
fn passed_on(clock: SimClock, random: &mut Rng) -> World {
    let lag = SECOND.mul_f64(random.f64());
    let fields = FRONTS[random.usize(0..FRONTS.len())];
    let server = SimServer::lagging(lag, lag).fields(fields);
    World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
}

/// One request a second passes, and this number may wait.
fn rate_limited(clock: SimClock, burst: u32) -> World {
    let server = SimServer::exact().rate_limited(SECOND, burst * SECOND);
    World::new(clock, Path::symmetric_ms(2.0, 0.3), server)
}

/// A server with a clock that is too fast or too slow.
fn drifting(clock: SimClock, random: &mut Rng, ppm: i64) -> World {
    let ppb = if random.bool() { ppm * 1_000 } else { ppm * -1_000 };
    idle(clock.drifting_ppb(ppb), 0.2, 0.05)
}

impl NamedWorld {
    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The description: round trip and mean queueing per direction, and the rest.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.description
    }

    /// Whether the assumptions of a measurement are true.
    #[must_use]
    pub const fn assumptions(&self) -> Assumptions {
        self.assumptions
    }

    /// The limit of the lag to pass to the library.
    #[must_use]
    pub const fn stated_lag(&self) -> Duration {
        self.stated_lag
    }

    /// Whether estimators and schedules are compared in this world. The other worlds have faulty
    /// servers.
    #[must_use]
    pub const fn is_comparison(&self) -> bool {
        self.is_comparison
    }

    /// A world of this kind. The seed determines the offset (within a minute), the time of day and
    /// the phases.
    #[must_use]
    pub fn world(&self, seed: u64) -> World {
        let mut random = Rng::with_seed(seed ^ WORLD);
        let wall = Timestamp::from_unix_nanos(MIDNIGHT + random.i64(0..86_400_000_000_000));
        let clock = SimClock::new(random.i64(-MINUTE..MINUTE)).starting_at(wall);
        (self.build)(clock, &mut random)
    }
}

/// Separates the draws of a world from those of the measurement in it.
const WORLD: u64 = 0x5eed_0000_0077_021d;
/// 2026-11-23T00:00:00Z.
const MIDNIGHT: i64 = 1_795_392_000_000_000_000;
/// A server that is late by up to a second, behind another one that adds up to a second: twice
/// [`UNKNOWN_LAG`] less 20 ms.
///
/// [`UNKNOWN_LAG`]: httptime::server::UNKNOWN_LAG
const LAG_BEHIND_A_FRONT: Duration = Duration::from_millis(2_020);
/// Servers that by default pass on an origin's `Date` under their own name, and the header fields
/// that they send.
const FRONTS: &[&str] = &[
    "Server: Caddy\r\n",
    "Server: Caddy\r\nServer: uvicorn\r\n",
    "Server: uvicorn\r\nVia: 1.1 Caddy\r\n",
    "Server: Apache/2.4.62 (Debian)\r\n",
    "Server: envoy\r\n",
];
const VARNISH: &str = "Server: uvicorn\r\nX-Varnish: 32770 3\r\nVia: 1.1 varnish (Varnish/7.1)\r\n";
/// The beginning of virtual time.
const BEGINNING: LocalInstant = LocalInstant::from_nanos(0);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: i64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        for world in ALL {
            let found = named(world.name()).expect("listed");
            assert_eq!(found.description(), world.description(), "{}", world.name());
        }
        assert!(named("nowhere").is_none());
    }
}
