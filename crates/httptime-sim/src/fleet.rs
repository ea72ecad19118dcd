//! Many clients of one server, in virtual time.
//!
//! Each client measures with the session, schedule and estimator of the library. The server is
//! what they share: its cores serve requests in order of arrival, so a request waits for those that
//! arrived before it. All clients aim at the same instants, the flips, and queue behind each other
//! there.
//!
//! ```text
//!                    one request at a time              event loop
//! taken at           s = max(arrival, first free core)  s = when its core has answered all it took
//! stamp              s + service time / 2               s
//! response leaves    s + service time                   s + service time × requests up to this one
//! ```
//!
//! ```
//! use std::time::Duration;
//!
//! use httptime::{Config, Offset, Timestamp};
//! use httptime_sim::fleet::{FleetNode, FleetServer, run_fleet};
//! use httptime_sim::{Outcome, Path, SimClock, SimConnections, SimServer, World};
//!
//! /// Measures once.
//! struct Node(Option<Timestamp>);
//!
//! impl FleetNode for Node {
//!     fn next(&mut self) -> Option<Timestamp> {
//!         self.0.take()
//!     }
//!
//!     fn begin(&mut self, at: Timestamp) -> (SimClock, Config) {
//!         let offset = 38_116_000_000;
//!         let wall = at.saturating_add(Offset::from_nanos(-offset));
//!         (SimClock::new(offset).starting_at(wall), Config::default())
//!     }
//!
//!     fn end(&mut self, _: Timestamp, outcome: &Outcome) {
//!         let measurement = outcome.result.as_ref().expect("measured");
//!         assert!(measurement.bounds().contains(outcome.truth));
//!     }
//! }
//!
//! let world = World::new(SimClock::new(0), Path::symmetric_ms(0.2, 0.05), SimServer::exact())
//!     .with_connections(SimConnections::new().handshake());
//! let server = FleetServer::new(2, Duration::from_micros(50));
//! let begin = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
//! let mut nodes = [Node(Some(begin)), Node(Some(begin))];
//! let load = run_fleet(&world, server, &mut nodes, 1);
//! assert!(load.requests() > 40);
//! ```

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use httptime::survey::Sessions;
use httptime::{Config, LocalInstant, Timestamp};

use self::queue::{Queue, Service};
use crate::clock::SimClock;
use crate::drive::Simulation;
use crate::measure::Outcome;
use crate::remote::{Departed, Packet};
use crate::world::World;

mod load;
mod queue;

pub use self::load::ServerLoad;
pub use self::queue::FleetServer;

/// A machine that measures the shared server again and again.
pub trait FleetNode {
    /// When the next measurement begins, by the server's clock. `None`: there is none. Called once
    /// at the beginning, and once after each measurement.
    fn next(&mut self) -> Option<Timestamp>;

    /// The clocks and the settings of the measurement that begins now. At virtual time zero of the
    /// clocks, the server's clock must show `at`.
    fn begin(&mut self, at: Timestamp) -> (SimClock, Config);

    /// A measurement has ended, at this time of the server's clock.
    fn end(&mut self, at: Timestamp, outcome: &Outcome);
}

/// Runs the nodes until none of them measures any more. `world` has the path, the client and the
/// connections of each node, and what the server writes. The same seed gives the same measurements.
///
/// # Panics
/// When the library refuses the world as a server.
pub fn run_fleet<N: FleetNode>(
    world: &World,
    server: FleetServer,
    nodes: &mut [N],
    seed: u64,
) -> ServerLoad {
    let mut fleet = Fleet {
        world,
        seed,
        nodes,
        clients: Vec::new(),
        queue: Queue::new(server),
        load: ServerLoad::default(),
        events: BinaryHeap::new(),
        pushed: 0,
        measurements: 0,
    };
    fleet.clients.resize_with(fleet.nodes.len(), || None);
    for node in 0..fleet.nodes.len() {
        fleet.schedule_next(node);
    }
    while let Some(Reverse(Event { at, node, what, .. })) = fleet.events.pop() {
        match what {
            What::Begins => fleet.begin(node, at),
            What::Wakes => fleet.wake(node, at),
            What::Arrives { measurement, packet, retries } => {
                fleet.arrive(node, at, measurement, packet, retries);
            }
        }
    }
    fleet.load.end();
    fleet.load
}

struct Fleet<'a, N> {
    world: &'a World,
    seed: u64,
    nodes: &'a mut [N],
    clients: Vec<Option<Box<Client>>>,
    queue: Queue,
    load: ServerLoad,
    events: BinaryHeap<Reverse<Event>>,
    /// Events so far: of two at the same time, the one that was pushed first comes first.
    pushed: u64,
    /// Measurements so far.
    measurements: u64,
}

/// A running measurement.
struct Client {
    number: u64,
    world: World,
    simulation: Simulation,
    sessions: Sessions,
    /// When something happens next: by its own clock, and by the server's.
    wakes: (LocalInstant, Timestamp),
}

struct Event {
    at: Timestamp,
    order: u64,
    node: usize,
    what: What,
}

enum What {
    /// A measurement begins.
    Begins,
    /// Something happens at a client.
    Wakes,
    /// A packet of a measurement arrives at the server.
    Arrives { measurement: u64, packet: Departed, retries: u32 },
}

impl<N: FleetNode> Fleet<'_, N> {
    fn push(&mut self, at: Timestamp, node: usize, what: What) {
        self.pushed += 1;
        self.events.push(Reverse(Event { at, order: self.pushed, node, what }));
    }

    fn schedule_next(&mut self, node: usize) {
        if let Some(at) = self.nodes[node].next() {
            self.push(at, node, What::Begins);
        }
    }

    fn begin(&mut self, node: usize, at: Timestamp) {
        self.measurements += 1;
        let number = self.measurements;
        let (clock, config) = self.nodes[node].begin(at);
        let world = self.world.clone().with_clock(clock);
        let seed = self.seed ^ number.wrapping_mul(MEASUREMENT);
        let mut simulation = Simulation::new(std::slice::from_ref(&world), seed);
        simulation.remote_mut().0.share();
        let sessions = simulation.sessions(&config).expect("one server");
        let wakes = (simulation.now(), at);
        self.clients[node] = Some(Box::new(Client { number, world, simulation, sessions, wakes }));
        self.wake(node, at);
    }

    /// Lets a client act, unless this event was replaced by an earlier one.
    fn wake(&mut self, node: usize, at: Timestamp) {
        let Some(client) = self.clients[node].as_mut().filter(|it| it.wakes.1 == at) else {
            return;
        };
        let Client { number, world, simulation, sessions, wakes } = client.as_mut();
        let clock = world.clock;
        let limit = clock.instant_at(at).max(wakes.0);
        let next = simulation.run_until(sessions, limit, &mut |_, _| ());
        let measurement = *number;
        let departed: Vec<_> = simulation.take_departed().collect();
        if let Some(next) = next {
            *wakes = (next, clock.server_time_at(next).max(at));
            let at = wakes.1;
            self.push(at, node, What::Wakes);
        }
        for packet in departed {
            let arrives = clock.server_time_at(packet.arrives);
            self.push(arrives, node, What::Arrives { measurement, packet, retries: 0 });
        }
        if next.is_none() {
            self.end(node);
        }
    }

    fn end(&mut self, node: usize) {
        let Some(client) = self.clients[node].take() else { return };
        let Client { world, simulation, sessions, .. } = *client;
        let at = world.clock.server_time_at(simulation.now());
        let outcome = Outcome::of(&world, &simulation, Ok(sessions));
        self.nodes[node].end(at, &outcome);
        self.schedule_next(node);
    }

    fn arrive(
        &mut self,
        node: usize,
        at: Timestamp,
        measurement: u64,
        mut packet: Departed,
        retries: u32,
    ) {
        let client = self.clients[node].as_mut().filter(|it| it.number == measurement);
        // Spread over the cores in the order of the measurements.
        let connection = measurement.wrapping_add(packet.number());
        let is_request = matches!(packet.packet, Packet::Request(_));
        if is_request {
            // The server also serves requests whose client has gone.
            let Service { stamped, left } = self.queue.serve(at, connection);
            self.load.request(at, left);
            let Some(client) = client else { return };
            let clock = client.world.clock;
            let (stamped, left) = (clock.instant_at(stamped), clock.instant_at(left));
            let held = stamped.saturating_since(packet.arrives);
            let (remote, pending) = client.simulation.remote_mut();
            remote.serve(&packet, held, left.saturating_since(stamped), pending);
        } else if self.queue.accept(at, connection) {
            self.load.connection();
            let Some(client) = client else { return };
            let (remote, pending) = client.simulation.remote_mut();
            remote.accept(&packet, pending);
        } else {
            self.load.drop_connection();
            let pause = SYN_TIMEOUT * 2_u32.saturating_pow(retries);
            if client.is_some() && retries < MAX_SYN_RETRIES {
                packet.arrives = packet.arrives.saturating_add(pause);
                let what = What::Arrives { measurement, packet, retries: retries + 1 };
                self.push(at.saturating_add(pause.into()), node, what);
            }
            return;
        }
        self.wake_earlier(node, at);
    }

    /// A response may arrive before the client would have woken.
    fn wake_earlier(&mut self, node: usize, now: Timestamp) {
        let Some(client) = &mut self.clients[node] else { return };
        let next = client.simulation.next_event_before(client.wakes.0);
        if next < client.wakes.0 {
            client.wakes = (next, client.world.clock.server_time_at(next).max(now));
            let at = client.wakes.1;
            self.push(at, node, What::Wakes);
        }
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

/// Separates the random numbers of the measurements.
const MEASUREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
/// Linux sends a lost SYN again after a second, and doubles the pause each time.
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_SYN_RETRIES: u32 = 6;

#[cfg(test)]
mod tests {
    use httptime::Offset;

    use super::*;
    use crate::{Path, SimConnections, SimServer};

    const BEGIN: Timestamp = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
    const SERVER: FleetServer = FleetServer::new(2, Duration::from_micros(50));

    /// Measures so many times, and remembers the errors.
    struct Node {
        left: u32,
        at: Timestamp,
        offset_ns: i64,
        drift_ppb: i64,
        errors: Vec<Duration>,
    }

    impl Node {
        fn new(left: u32, number: i64) -> Self {
            let at = BEGIN.saturating_add(Offset::from_nanos(number * 7_000_003));
            let offset_ns = 1_234_567_891 * (number % 17) - 9_000_000_000;
            Self { left, at, offset_ns, drift_ppb: (number % 61 - 30) * 1000, errors: Vec::new() }
        }
    }

    impl FleetNode for Node {
        fn next(&mut self) -> Option<Timestamp> {
            self.left = self.left.checked_sub(1)?;
            Some(self.at)
        }

        fn begin(&mut self, at: Timestamp) -> (SimClock, Config) {
            let wall = at.saturating_add(Offset::from_nanos(-self.offset_ns));
            let clock = SimClock::new(self.offset_ns).starting_at(wall);
            let config = Config::builder().lag(Duration::ZERO).build().expect("in range");
            (clock.drifting_ppb(self.drift_ppb), config)
        }

        fn end(&mut self, at: Timestamp, outcome: &Outcome) {
            let measurement = outcome.result.as_ref().expect("measured");
            assert!(measurement.bounds().contains(outcome.truth), "{}", measurement.bounds());
            self.errors.push(outcome.error(measurement.offset()).abs());
            self.at = at.saturating_add(Offset::from(Duration::from_secs(3)));
        }
    }

    fn world() -> World {
        World::new(SimClock::new(0), Path::symmetric_ms(0.2, 0.05), SimServer::exact())
            .with_connections(SimConnections::new().handshake())
    }

    fn median(mut errors: Vec<Duration>) -> Duration {
        errors.sort_unstable();
        errors[errors.len() / 2]
    }

    #[test]
    fn one_client_of_a_server_that_takes_no_time_is_as_accurate_as_alone() {
        let server = FleetServer::new(2, Duration::ZERO);
        let mut nodes = [Node::new(100, 5)];
        let load = run_fleet(&world(), server, &mut nodes, 1);
        let alone = (0..100).map(|seed| {
            let (clock, config) = nodes[0].begin(BEGIN);
            let outcome = world().with_clock(clock).measure(&config, seed);
            outcome.error(outcome.result.as_ref().expect("measured").offset()).abs()
        });
        let (alone, shared) = (median(alone.collect()), median(nodes[0].errors.clone()));
        assert!(shared < alone * 2 && alone < shared * 2, "alone {alone:?}, shared {shared:?}");
        assert_eq!(load.max_wait(), Duration::ZERO);
    }

    #[test]
    fn clients_that_start_together_wait_for_each_other_and_their_bounds_hold() {
        let run = |count| {
            let mut nodes: Vec<_> = (0..count).map(|number| Node::new(1, number)).collect();
            let load = run_fleet(&world(), SERVER, &mut nodes, 1);
            (median(nodes.iter().map(|node| node.errors[0]).collect()), load)
        };
        let ((few, _), (many, load)) = (run(3), run(300));
        assert!(many > few * 5, "{few:?} with 3 clients, {many:?} with 300");
        // All of them aim at one flip.
        assert!(load.max_wait() > Duration::from_millis(3), "{:?}", load.max_wait());
        assert!(load.requests() > 300 * 20 && load.peak_second() > 600, "{load:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_fleet() {
        let run = || {
            let mut nodes: Vec<_> = (0..20).map(|number| Node::new(2, number)).collect();
            run_fleet(&world(), SERVER, &mut nodes, 7);
            nodes.into_iter().flat_map(|node| node.errors).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_full_accept_queue_delays_connections_and_loses_none() {
        let server = SERVER.accepting(Duration::from_millis(2), 8);
        let mut nodes: Vec<_> = (0..20).map(|_| Node::new(1, 0)).collect();
        let load = run_fleet(&world(), server, &mut nodes, 1);
        assert!(load.dropped_connections() > 5, "{load:?}");
        assert!(nodes.iter().all(|node| node.errors.len() == 1));
    }
}
