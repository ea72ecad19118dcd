use std::time::Duration;

use fastrand::Rng;
use httptime::{Exchange, LocalInstant, Offset, Stamp};

use crate::client::SimClient;
use crate::clock::SimClock;
use crate::connections::SimConnections;
use crate::ntp::NtpSample;
use crate::path::Path;
use crate::server::{Request, SimServer, Times};

/// Clocks, a path and a server, for measurements in virtual time.
#[derive(Debug, Clone)]
pub struct World {
    pub(crate) clock: SimClock,
    pub(crate) path: Path,
    pub(crate) server: SimServer,
    pub(crate) client: SimClient,
    pub(crate) connections: SimConnections,
}

impl World {
    /// A world of these parts, with an idle client and connections that stay open.
    #[must_use]
    pub const fn new(clock: SimClock, path: Path, server: SimServer) -> Self {
        let client = SimClient::idle();
        Self { clock, path, server, client, connections: SimConnections::new() }
    }

    /// Replaces the connections.
    #[must_use]
    pub fn with_connections(self, connections: SimConnections) -> Self {
        Self { connections, ..self }
    }

    /// Replaces the client.
    #[must_use]
    pub fn with_client(self, client: SimClient) -> Self {
        Self { client, ..self }
    }

    /// Replaces the clocks.
    #[must_use]
    pub fn with_clock(self, clock: SimClock) -> Self {
        Self { clock, ..self }
    }

    /// Replaces the path.
    #[must_use]
    pub fn with_path(self, path: Path) -> Self {
        Self { path, ..self }
    }

    /// The clocks.
    #[must_use]
    pub const fn clock(&self) -> SimClock {
        self.clock
    }

    /// Replaces the server.
    #[must_use]
    pub fn with_server(self, server: SimServer) -> Self {
        Self { server, ..self }
    }

    /// The path in its initial state.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }

    /// Runs this number of four-timestamp exchanges at intervals of `apart`: NTP over the same
    /// path, from a server that reads its clock for every response.
    #[must_use]
    pub fn ntp(&self, exchanges: u32, apart: Duration, seed: u64) -> Vec<NtpSample> {
        let times = self.exchange_times(exchanges, apart, seed);
        let truth = self.clock.offset_at(times.last().map_or(BEGINNING, |last| last.received));
        let sample = |times: &ExchangeTimes| {
            let ExchangeTimes { sent, arrived, left, received } = *times;
            let there =
                Offset::between(self.clock.local_time_at(sent), self.clock.server_time_at(arrived));
            let back = Offset::between(
                self.clock.local_time_at(received),
                self.clock.server_time_at(left),
            );
            let offset =
                Offset::from_nanos(there.as_nanos() + (back.as_nanos() - there.as_nanos()) / 2);
            NtpSample {
                offset,
                delay: received.saturating_since(sent) - left.saturating_since(arrived),
                error: offset.saturating_sub(truth),
            }
        };
        times.iter().map(sample).collect()
    }

    /// The same exchanges by HTTP, with the same delays. An exchange has a stamp if the server
    /// writes one that can be read.
    #[must_use]
    pub fn stamped(&self, exchanges: u32, apart: Duration, seed: u64) -> Vec<Exchange<'static>> {
        let mut random = Rng::with_seed(seed ^ DATES);
        let mut server = self.server.clone();
        let times = self.exchange_times(exchanges, apart, seed);
        let exchange = |times: &ExchangeTimes| {
            let ExchangeTimes { sent, arrived, left, received } = *times;
            let request = Request {
                accepted: BEGINNING,
                arrived,
                at: arrived,
                left,
                connection: 0,
                address: 0,
                is_first: sent == BEGINNING,
            };
            let Times { date, age, stamps } = server.respond(&self.clock, request, &mut random);
            let exchange = Exchange::from_parts_unchecked(sent, received, date).with_age(age);
            let stamp = stamps.first().and_then(|value| Stamp::parse(value.as_bytes()).ok());
            stamp.map_or(exchange, |stamp| exchange.with_stamp(stamp))
        };
        times.iter().map(exchange).collect()
    }

    /// The times of exchanges at intervals of `apart`. Requests do not wait at the server.
    fn exchange_times(&self, exchanges: u32, apart: Duration, seed: u64) -> Vec<ExchangeTimes> {
        let mut random = Rng::with_seed(seed);
        let mut world = self.clone();
        let exchange = |number| {
            let sent = BEGINNING.saturating_add(apart * number);
            let (arrived, received) = world.travel(sent, &mut random);
            let processed = world.server.processes_for(&mut random);
            let left = arrived.saturating_add(processed);
            ExchangeTimes { sent, arrived, left, received: received.saturating_add(processed) }
        };
        (0..exchanges).map(exchange).collect()
    }

    /// When the server stamps a message that is sent at `sent`, and when the client receives the
    /// response.
    pub(crate) fn travel(
        &mut self,
        sent: LocalInstant,
        random: &mut Rng,
    ) -> (LocalInstant, LocalInstant) {
        let left = sent.saturating_add(self.client.stop(random));
        let (there, back) = self.path.draw(left, random);
        let stamped = left.saturating_add(there);
        (stamped, stamped.saturating_add(back).saturating_add(self.client.wake_up(random)))
    }
}

/// The four times of an exchange.
#[derive(Debug, Clone, Copy)]
struct ExchangeTimes {
    sent: LocalInstant,
    arrived: LocalInstant,
    left: LocalInstant,
    received: LocalInstant,
}

const BEGINNING: LocalInstant = LocalInstant::from_nanos(0);
/// Separates the draws of the server from those for delays.
const DATES: u64 = 0x64_61_74_65_73;
