//! Random measurements with faulty servers and networks, and the invariants that each must satisfy.
//!
//! ```
//! use httptime_sim::trials::Trial;
//!
//! for seed in 0..10 {
//!     Trial::random(seed).run()?;
//! }
//! # Ok::<(), String>(())
//! ```

use std::time::Duration;

use fastrand::Rng;
use httptime::EndReason;
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::{Config, LocalInstant, Offset, Timestamp};

use crate::{
    DriverStats, Path, SimClient, SimClock, SimConnections, SimHost, SimProxy, SimServer, SimStamp,
    StampTrap, World,
};

/// A world, the settings of the measurement, and the errors that may occur.
#[derive(Debug, Clone)]
pub struct Trial {
    seed: u64,
    world: World,
    config: Config,
    /// The names of the errors that this world can cause.
    allowed_errors: Vec<&'static str>,
    /// Whether the server's stamps are wrong.
    has_wrong_stamps: bool,
    /// The limit on the session's duration.
    max: Duration,
}

/// The end of a trial.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TrialOutcome {
    /// The name of the error, or of the reason for which a successful measurement ended.
    pub name: &'static str,
    /// Whether there is a result.
    pub is_measured: bool,
    /// What a result did with stamps: `used`, or the kind of the fault. `None`: there were none.
    pub stamps: Option<&'static str>,
    /// Requests sent, if there is a result.
    pub requests: u32,
    /// The effort of the measurement.
    pub stats: DriverStats,
}

impl Trial {
    /// The trial with this number.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut draw = Draw {
            random: Rng::with_seed(seed ^ TRIALS),
            allowed_errors: Vec::new(),
            has_wrong_stamps: false,
        };
        let (server, lag) = draw.server();
        let (server, lag) = draw.with_server_faults(seed, server, lag);
        let clock = draw.clock();
        let round_trip = draw.log_uniform_ms(0.1, 300.0);
        let queueing = round_trip * draw.random.f64() * draw.random.f64() * 0.5;
        let loss = if draw.one_in(4) { 0.02 } else { 0.0 };
        let path =
            Path::symmetric_ms(round_trip, queueing).forward_share(draw.random.f64()).loss(loss);
        let late = Duration::from_millis(if draw.one_in(5) { 3 } else { 0 });
        let client =
            if late.is_zero() { SimClient::idle() } else { SimClient::overloaded(0.2, late) };
        let timeout = Duration::from_millis([1_000, 2_000, 5_000][draw.random.usize(0..3)]);
        let slowest = Duration::from_secs_f64((round_trip + 40.0 * queueing) / 1e3);
        let mut connections = draw.connections();
        // Draws from a separate stream, so that the other draws do not change.
        if Rng::with_seed(seed ^ DATELESS_DRAWS).u8(0..10) == 0 {
            connections = connections.dateless_head();
            // There may be no request or time left for `GET`.
            draw.allow_errors(&["no_date"]);
        }
        let server = draw.with_stamps(seed, server, connections.has_dateless_head);
        let hosts = connections.name.as_ref().map_or(1, |name| name.hosts.len());
        if slowest + 5 * Duration::from_secs_f64(loss)
            > timeout / 2 / u32::try_from(hosts).unwrap_or(1)
        {
            // Each address gets a part of the time.
            draw.allow_errors(&TIMEOUTS);
        }
        let config = draw.config(lag, timeout);
        let duration = config.limits().duration();
        if timeout + duration < 2 * A_SECOND + 2 * slowest {
            // A schedule may wait up to a second before a request, and leave a second between two
            // requests.
            draw.allow_errors(&TIMEOUTS);
        }
        let world =
            World::new(clock, path, server).with_client(client).with_connections(connections);
        // For the name and for the session. The process may be late by much more than is likely.
        let max = timeout + duration + timeout + 40 * late;
        let Draw { allowed_errors, has_wrong_stamps, .. } = draw;
        Self { seed, world, config, allowed_errors, has_wrong_stamps, max }
    }

    /// Measures, and checks the outcome.
    ///
    /// # Errors
    /// The invariant that was violated.
    pub fn run(&self) -> Result<TrialOutcome, String> {
        let outcome = self.world.measure(&self.config, self.seed);
        let stats = outcome.stats;
        let fail = |what: String| {
            Err(format!(
                "trial {}: {what}\n{stats:?}\n{:?}\n{:?}",
                self.seed, self.world, self.config
            ))
        };
        if stats.elapsed > self.max {
            return fail(format!("{:?} where {:?} are allowed", stats.elapsed, self.max));
        }
        if stats.empty_waits > MAX_EMPTY_WAITS {
            return fail(format!("{} waits in a row for nothing", stats.empty_waits));
        }
        if stats.max_polls_per_second > MAX_POLLS_IN_A_SECOND {
            return fail(format!("{} polls in a second", stats.max_polls_per_second));
        }
        let (error, ending) = match &outcome.result {
            Ok(measurement) => {
                let bounds = measurement.bounds();
                // A stamp that did not advance is reported, and no clock is corrected with it.
                let is_reported = self.has_wrong_stamps && !measurement.has_date_advanced();
                if !bounds.contains(outcome.truth) && !is_reported {
                    return fail(format!("the truth is {}, not in {bounds}", outcome.truth));
                }
                if !bounds.contains(measurement.offset()) {
                    return fail(format!("estimate {} is not in {bounds}", measurement.offset()));
                }
                if measurement.requests() > self.config.limits().requests() {
                    return fail(format!("{} requests", measurement.requests()));
                }
                let (error, name) = match measurement.end_reason() {
                    EndReason::Lost(error) => (Some(error), "measured, lost"),
                    EndReason::Requests => (None, "measured, requests"),
                    EndReason::Duration => (None, "measured, duration"),
                    EndReason::Target => (None, "measured, target"),
                    _ => (None, "measured, enough"),
                };
                let stamps = measurement.stamp().map(|stamp| match stamp.rejected() {
                    None => "used",
                    Some(fault) => fault.kind(),
                });
                let requests = measurement.requests();
                (error, TrialOutcome { name, is_measured: true, stamps, requests, stats })
            }
            Err(error) => {
                let name = error.kind();
                let stamps = None;
                (Some(error), TrialOutcome { name, is_measured: false, stamps, requests: 0, stats })
            }
        };
        if let Some(error) = error.filter(|error| !self.allowed_errors.contains(&error.kind())) {
            let kind = error.kind();
            return fail(format!("{kind} ({error}), where {:?} would fit", self.allowed_errors));
        }
        Ok(ending)
    }
}

/// The random settings of one trial, and the errors that they can cause.
#[derive(Debug)]
struct Draw {
    random: Rng,
    allowed_errors: Vec<&'static str>,
    has_wrong_stamps: bool,
}

impl Draw {
    fn one_in(&mut self, count: u32) -> bool {
        self.random.u32(0..count) == 0
    }

    /// Draws whether this fault is present. If so, these errors may occur.
    fn draw_fault(&mut self, allowed_errors: &[&'static str]) -> bool {
        let is_there = self.one_in(8);
        if is_there {
            self.allow_errors(allowed_errors);
        }
        is_there
    }

    fn allow_errors(&mut self, allowed_errors: &[&'static str]) {
        self.allowed_errors.extend_from_slice(allowed_errors);
    }

    /// A random time in this range with a log-uniform distribution, in milliseconds.
    fn log_uniform_ms(&mut self, min: f64, max: f64) -> f64 {
        min * (max / min).powf(self.random.f64())
    }

    fn log_uniform(&mut self, min_ms: f64, max_ms: f64) -> Duration {
        Duration::from_secs_f64(self.log_uniform_ms(min_ms, max_ms) / 1e3)
    }

    fn probability(&mut self) -> f64 {
        [0.01, 0.1, 0.5, 1.0][self.random.usize(0..4)]
    }

    /// A server, and a true limit of its lag.
    fn server(&mut self) -> (SimServer, Duration) {
        let max = Duration::from_nanos(self.random.u64(0..=1_020_000_000));
        match self.random.u8(0..6) {
            0 => (SimServer::lagging(max, max), max),
            1 => (SimServer::lagging(Duration::ZERO, max), max),
            2 => {
                let period = Duration::from_millis(self.random.u64(4..=1000));
                (SimServer::ticking(period, period.mul_f64(self.random.f64())), period)
            }
            _ => (SimServer::exact(), Duration::ZERO),
        }
    }

    /// The same server, possibly late for other reasons. The draws come from a separate stream, so
    /// that the rest of the trial does not change.
    fn with_server_faults(
        &mut self,
        seed: u64,
        server: SimServer,
        lag: Duration,
    ) -> (SimServer, Duration) {
        let mut random = Rng::with_seed(seed ^ SERVERS);
        let mut up_to = |max: Duration| max.mul_f64(random.f64());
        let (one, other, third) = (up_to(A_SECOND), up_to(A_SECOND), up_to(8 * A_SECOND));
        let begun = LocalInstant::from_nanos(0);
        match random.u8(0..24) {
            0 => (SimServer::first_late(one, other), 2 * A_SECOND),
            1 => (server.behind_cache(one), lag + one),
            2 => {
                self.allow_errors(&TIMEOUTS);
                (server.busy(other.as_secs_f64(), one.mul_f64(0.1)), lag)
            }
            3 => {
                self.allow_errors(&TIMEOUTS);
                (server.rate_limited(one + one, third), lag)
            }
            4 => {
                self.allow_errors(&TIMEOUTS);
                let from = begun.saturating_add(third);
                (server.stalled(from, from.saturating_add(3 * one)), lag)
            }
            _ => (server, lag),
        }
    }

    /// The same server, possibly with stamps. The draws come from a separate stream too.
    fn with_stamps(&mut self, seed: u64, server: SimServer, is_dateless: bool) -> SimServer {
        let mut random = Rng::with_seed(seed ^ STAMPS);
        if random.bool() {
            return server;
        }
        let forms: Vec<_> = SimStamp::forms().collect();
        let mut stamp = forms[random.usize(0..forms.len())];
        if random.u8(0..4) == 0 {
            stamp = stamp.with_date();
        }
        let day = Offset::from(Duration::from_secs(86_400));
        let traps = [
            StampTrap::Accepted,
            StampTrap::Cached(Duration::MAX),
            StampTrap::Conflicting(Duration::from_millis(1)),
            StampTrap::Unpadded,
            StampTrap::Ahead(day),
            StampTrap::Ahead(Offset::ZERO.saturating_sub(day)),
        ];
        if random.u8(0..4) == 0 {
            // Without a `Date`, nothing shows that a clock is ahead.
            let traps = if is_dateless { &traps[..4] } else { &traps[..] };
            // A stored time of accept is older than the stated lag.
            let traps = if server.is_cached() { &traps[1..] } else { traps };
            stamp = stamp.trapped(traps[random.usize(0..traps.len())]);
            self.has_wrong_stamps = true;
        }
        if is_dateless {
            self.allow_errors(&["stamp_rejected"]);
        }
        let processing = if random.bool() { A_SECOND.mul_f64(0.02 * random.f64()) } else { NONE };
        server.processing(processing).stamped(stamp)
    }

    fn clock(&mut self) -> SimClock {
        let wall = 1_795_392_000_000_000_000 + self.random.i64(0..1_000_000_000);
        SimClock::new(self.random.i64(-100_000_000_000_000..=100_000_000_000_000))
            .starting_at(Timestamp::from_unix_nanos(wall))
            .drifting_ppb(self.random.i64(-99_900..=99_900))
    }

    fn config(&mut self, lag: Duration, timeout: Duration) -> Config {
        let profile = Profile::ALL[self.random.usize(0..Profile::ALL.len())];
        let mut builder = Config::builder().profile(profile).lag(lag).timeout(timeout);
        if self.one_in(3) {
            builder = builder.requests(self.random.u32(1..=64));
        }
        if self.one_in(3) {
            builder = builder.duration(self.log_uniform(10.0, 30_000.0));
        }
        if self.one_in(4) {
            builder = builder.target(self.log_uniform(0.01, 100.0));
        }
        if self.one_in(4) {
            let kind = ScheduleKind::ALL[self.random.usize(0..ScheduleKind::ALL.len())];
            builder = builder.schedule(kind);
        }
        if self.one_in(2) {
            let kind = EstimatorKind::ALL[self.random.usize(0..EstimatorKind::ALL.len())];
            builder = builder.estimator(kind);
        }
        builder.build().expect("within the limits")
    }

    fn connections(&mut self) -> SimConnections {
        let mut connections = SimConnections::new();
        if !self.one_in(8) {
            connections = connections.handshake();
        }
        if self.draw_fault(&TIMEOUTS) {
            connections = connections.accept_delay(self.log_uniform(1.0, 1_000.0));
        }
        if self.one_in(2) {
            let responses = [1, 1, 2, 3, 10][self.random.usize(0..5)];
            connections = connections.closing_after(responses);
            if self.one_in(3) {
                connections = connections.closing_without_notice();
            }
        }
        if self.draw_fault(&["empty_reply"]) {
            connections = connections.closing_idle(self.log_uniform(50.0, 10_000.0));
            if self.one_in(2) {
                connections = connections.sending_408();
                self.allow_errors(&["malformed_head"]);
            }
        }
        if self.draw_fault(&[
            "connection_refused",
            "connection_broke",
            "empty_reply",
            "closed_early",
        ]) {
            let mut from = LocalInstant::from_nanos(0);
            for _ in 0..self.random.u32(1..=3) {
                from = from.saturating_add(self.log_uniform(1.0, 5_000.0));
                let until = from.saturating_add(self.log_uniform(1.0, 5_000.0));
                connections = connections.restarting(from, until);
                from = until;
            }
        }
        if self.draw_fault(&["connection_refused"]) {
            connections = connections.refusing(self.probability());
        }
        if self.draw_fault(&["connection_broke", "empty_reply"]) {
            connections = connections.closing_on_accept(self.probability());
        }
        if self.draw_fault(&["connection_broke"]) {
            connections = connections.resetting(self.probability());
        }
        if self.draw_fault(&["empty_reply", "closed_early"]) {
            connections = connections.truncating(self.probability());
        }
        if self.draw_fault(&["timeout_response", "timeout_send"]) {
            connections = connections.not_answering(self.probability());
        }
        if self.draw_fault(&TIMEOUTS) {
            connections = connections.segmented(self.log_uniform(0.01, 1_000.0));
        }
        if self.draw_fault(&[]) {
            connections = connections.interim(self.probability());
        }
        // A late body is read as the next response.
        if self.draw_fault(&["not_http", "malformed_head"]) {
            connections = connections.with_unexpected_body(self.probability());
        }
        if self.draw_fault(&TIMEOUTS) {
            connections = connections.blocking([0.01, 0.1, 0.5][self.random.usize(0..3)]);
        }
        if self.draw_fault(&[]) {
            connections = self.named(connections);
        }
        if self.one_in(4) {
            connections = connections.through(self.proxy());
            if connections.sends_408 {
                // Status 408 instead of a tunnel.
                self.allow_errors(&["proxy_refused"]);
            }
        }
        connections
    }

    fn named(&mut self, connections: SimConnections) -> SimConnections {
        let hosts: Vec<SimHost> = (0..self.random.u32(1..=4))
            .map(|_| match self.random.u8(0..6) {
                0 => SimHost::Refuses,
                1 => SimHost::Silent,
                2 => SimHost::Unreachable,
                _ => SimHost::Server,
            })
            .collect();
        let allowed_errors = hosts.iter().filter_map(|host| match host {
            SimHost::Refuses => Some("connection_refused"),
            SimHost::Silent => Some("timeout_connect"),
            SimHost::Unreachable => Some("connect"),
            SimHost::Server => None,
        });
        self.allowed_errors.extend(allowed_errors);
        let takes = (!self.one_in(20)).then(|| self.log_uniform(1.0, 1_000.0));
        self.allow_errors(&["timeout_resolve"]);
        connections.named(hosts, takes)
    }

    fn proxy(&mut self) -> SimProxy {
        let mut proxy = match self.one_in(2) {
            true => SimProxy::tunnelling(),
            false => SimProxy::forwarding(),
        };
        if self.draw_fault(&TIMEOUTS) {
            proxy = proxy.slow(self.log_uniform(1.0, 1_000.0));
        }
        if self.draw_fault(&["proxy_refused", "proxy_credentials"]) {
            let status = [407, 502, 503, 504][self.random.usize(0..4)];
            proxy = proxy.refusing(self.probability(), status);
        }
        proxy
    }
}

const TIMEOUTS: [&str; 4] =
    ["timeout_connect", "timeout_tunnel", "timeout_send", "timeout_response"];
/// Separates the draws of a trial from those of its measurement.
const TRIALS: u64 = 0x7a_11_a1_5e_ed;
/// Separates the draws for faults of the server from the rest of a trial.
const SERVERS: u64 = 0x5e_7f_e7_5e_ed;
const STAMPS: u64 = 0x73_74_61_6d_70_73;
const DATELESS_DRAWS: u64 = 0x6865_6164;
const NONE: Duration = Duration::ZERO;
const A_SECOND: Duration = Duration::from_secs(1);
/// A wait can have expired before it begins because the clock advanced in the meantime.
const MAX_EMPTY_WAITS: u32 = 2;
const MAX_POLLS_IN_A_SECOND: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_sessions_end_in_time_whatever_the_network_does() {
        println!("seeds {SEEDS:?}");
        let (mut measured, mut failed) = (0, 0);
        for seed in SEEDS {
            let ending = Trial::random(seed).run().unwrap_or_else(|what| panic!("{what}"));
            *(if ending.is_measured { &mut measured } else { &mut failed }) += 1;
        }
        // A network in which everything fails, or in which nothing fails, would prove nothing.
        assert!(measured > 2 * failed && failed > 1_000, "{measured} measured, {failed} failed");
    }

    /// The first of the million trials of `cargo run --release -p httptime-benches --bin sessions`.
    const SEEDS: std::ops::Range<u64> = 0..20_000;
}
