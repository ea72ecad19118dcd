use std::time::Duration;

use fastrand::Rng;
use httptime::{LocalInstant, Offset};

use crate::client::SimClient;
use crate::clock::SimClock;
use crate::connections::SimConnections;
use crate::ntp::NtpSample;
use crate::path::Path;
use crate::server::SimServer;

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

    /// The path in its initial state.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }

    /// Runs this number of four-timestamp exchanges at intervals of `apart`: NTP over the same
    /// path, from a server that reads its clock for every response.
    #[must_use]
    pub fn ntp(&self, exchanges: u32, apart: Duration, seed: u64) -> Vec<NtpSample> {
        let mut random = Rng::with_seed(seed);
        let mut world = self.clone();
        let first = LocalInstant::from_nanos(0);
        let mut samples: Vec<NtpSample> = Vec::new();
        let mut end = first;
        for number in 0..exchanges {
            let sent = first.saturating_add(apart * number);
            let (stamped, received) = world.travel(sent, &mut random);
            let there =
                Offset::between(self.clock.local_time_at(sent), self.clock.server_time_at(stamped));
            let back = Offset::between(
                self.clock.local_time_at(received),
                self.clock.server_time_at(stamped),
            );
            let offset =
                Offset::from_nanos(there.as_nanos() + (back.as_nanos() - there.as_nanos()) / 2);
            samples.push(NtpSample {
                offset,
                delay: received.saturating_since(sent),
                error: Offset::ZERO,
            });
            end = received;
        }
        let truth = self.clock.offset_at(end);
        for sample in &mut samples {
            sample.error = sample.offset.saturating_sub(truth);
        }
        samples
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
