use std::time::Duration;

use fastrand::Rng;
use httptime::LocalInstant;

use crate::path::exponential;

/// How connections to a server behave: how they open, close and lose data, and what is between
/// client and server.
///
/// The default is an ideal network: connections open at once and stay open. The random numbers of
/// each setting come from a separate stream, so that a world has the same delays with and without
/// it.
///
/// ```
/// use httptime::Config;
/// use httptime_sim::{SimConnections, worlds};
///
/// let connections = SimConnections::new().handshake().closing_after(1);
/// let world = worlds::named("lan").unwrap().world(7).with_connections(connections);
/// let config = Config::builder().lag(std::time::Duration::ZERO).build()?;
/// let outcome = world.measure(&config, 7);
/// assert!(outcome.result?.bounds().contains(outcome.truth));
/// assert!(outcome.stats.opened >= 24);
/// # Ok::<(), httptime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SimConnections {
    pub(crate) has_handshake: bool,
    pub(crate) accept_delay: Duration,
    pub(crate) closing_after: Option<u32>,
    pub(crate) is_closing_without_notice: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) sends_408: bool,
    pub(crate) restarting: Vec<(LocalInstant, LocalInstant)>,
    pub(crate) refusing: f64,
    pub(crate) closing_on_accept: f64,
    pub(crate) resetting: f64,
    pub(crate) truncating: f64,
    pub(crate) not_answering: f64,
    pub(crate) has_dateless_head: bool,
    pub(crate) is_dateless: bool,
    pub(crate) segmented: Duration,
    pub(crate) interim: f64,
    pub(crate) with_unexpected_body: f64,
    pub(crate) blocking: f64,
    pub(crate) name: Option<SimName>,
    pub(crate) proxy: Option<SimProxy>,
}

/// How the name of the server resolves, or that of the proxy if there is one.
#[derive(Debug, Clone)]
pub(crate) struct SimName {
    pub(crate) hosts: Vec<SimHost>,
    /// The duration of the look-up. `None`: the resolver never answers.
    pub(crate) takes: Option<Duration>,
}

/// What is at one of the addresses of a name.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimHost {
    /// The server.
    Server,
    /// A machine that refuses connections.
    Refuses,
    /// Nothing: packets are dropped.
    Silent,
    /// There is no route to it.
    Unreachable,
}

/// An HTTP proxy in front of the server.
#[derive(Debug, Clone, Copy)]
pub struct SimProxy {
    pub(crate) tunnel: bool,
    pub(crate) delay: Duration,
    pub(crate) refusing: f64,
    pub(crate) status: u16,
}

impl SimProxy {
    /// A proxy that forwards requests in absolute form.
    #[must_use]
    pub const fn forwarding() -> Self {
        Self { tunnel: false, delay: Duration::ZERO, refusing: 0.0, status: 502 }
    }

    /// A proxy that opens tunnels (`CONNECT`).
    #[must_use]
    pub const fn tunnelling() -> Self {
        Self { tunnel: true, ..Self::forwarding() }
    }

    /// Adds a delay to each forwarded request or each tunnel, of this mean.
    #[must_use]
    pub const fn slow(self, mean: Duration) -> Self {
        Self { delay: mean, ..self }
    }

    /// The proxy answers with this status instead, with this probability.
    #[must_use]
    pub const fn refusing(self, probability: f64, status: u16) -> Self {
        Self { refusing: probability, status, ..self }
    }
}

impl SimConnections {
    /// Connections that open at once, stay open and lose nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            has_handshake: false,
            accept_delay: Duration::ZERO,
            closing_after: None,
            is_closing_without_notice: false,
            idle: None,
            sends_408: false,
            restarting: Vec::new(),
            refusing: 0.0,
            closing_on_accept: 0.0,
            resetting: 0.0,
            truncating: 0.0,
            not_answering: 0.0,
            has_dateless_head: false,
            is_dateless: false,
            segmented: Duration::ZERO,
            interim: 0.0,
            with_unexpected_body: 0.0,
            blocking: 0.0,
            name: None,
            proxy: None,
        }
    }

    /// Opening a connection takes a round trip of the path.
    #[must_use]
    pub const fn handshake(mut self) -> Self {
        self.has_handshake = true;
        self
    }

    /// Opening a connection takes longer, by this time on average.
    #[must_use]
    pub const fn accept_delay(mut self, mean: Duration) -> Self {
        self.accept_delay = mean;
        self
    }

    /// The server closes each connection after this number of responses, and announces it in the
    /// last one.
    #[must_use]
    pub const fn closing_after(mut self, responses: u32) -> Self {
        self.closing_after = Some(responses);
        self
    }

    /// The server closes them without this announcement.
    #[must_use]
    pub const fn closing_without_notice(mut self) -> Self {
        self.is_closing_without_notice = true;
        self
    }

    /// The server closes a connection that has been idle for this long.
    #[must_use]
    pub const fn closing_idle(mut self, after: Duration) -> Self {
        self.idle = Some(after);
        self
    }

    /// Before it closes an idle connection, it sends a response with status 408.
    #[must_use]
    pub const fn sending_408(mut self) -> Self {
        self.sends_408 = true;
        self
    }

    /// The server restarts: at `from` all connections break, and until `until` it refuses new ones.
    #[must_use]
    pub fn restarting(mut self, from: LocalInstant, until: LocalInstant) -> Self {
        self.restarting.push((from, until));
        self
    }

    /// A connection is refused with this probability.
    #[must_use]
    pub const fn refusing(mut self, probability: f64) -> Self {
        self.refusing = probability;
        self
    }

    /// A connection is accepted and closed at once with this probability.
    #[must_use]
    pub const fn closing_on_accept(mut self, probability: f64) -> Self {
        self.closing_on_accept = probability;
        self
    }

    /// A request is answered with a reset with this probability.
    #[must_use]
    pub const fn resetting(mut self, probability: f64) -> Self {
        self.resetting = probability;
        self
    }

    /// The server closes the connection within a response head with this probability.
    #[must_use]
    pub const fn truncating(mut self, probability: f64) -> Self {
        self.truncating = probability;
        self
    }

    /// A request is never answered with this probability.
    #[must_use]
    pub const fn not_answering(mut self, probability: f64) -> Self {
        self.not_answering = probability;
        self
    }

    /// Responses to `HEAD` have no `Date`; those to `GET` have one.
    #[must_use]
    pub const fn dateless_head(mut self) -> Self {
        self.has_dateless_head = true;
        self
    }

    /// No response has a `Date`.
    #[must_use]
    pub const fn dateless(mut self) -> Self {
        self.is_dateless = true;
        self
    }

    /// Responses arrive in pieces, cut at random places. Each piece arrives later than the one
    /// before, by this time on average.
    #[must_use]
    pub const fn segmented(mut self, mean: Duration) -> Self {
        self.segmented = mean;
        self
    }

    /// Interim responses (1xx) come before the final one with this probability.
    #[must_use]
    pub const fn interim(mut self, probability: f64) -> Self {
        self.interim = probability;
        self
    }

    /// A body follows the head with this probability, which is an error after `HEAD`.
    #[must_use]
    pub const fn with_unexpected_body(mut self, probability: f64) -> Self {
        self.with_unexpected_body = probability;
        self
    }

    /// A write accepts only some of the bytes, or none, with this probability. The socket is
    /// writable again a round trip later.
    #[must_use]
    pub const fn blocking(mut self, probability: f64) -> Self {
        self.blocking = probability;
        self
    }

    /// The server has a name with these addresses, in this order. The look-up takes this long;
    /// `None`: it never ends.
    #[must_use]
    pub fn named(mut self, hosts: Vec<SimHost>, takes: Option<Duration>) -> Self {
        self.name = Some(SimName { hosts, takes });
        self
    }

    /// The server is reached through a proxy. All settings of connections then apply to those to
    /// the proxy.
    #[must_use]
    pub const fn through(mut self, proxy: SimProxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    pub(crate) fn is_restarting(&self, at: LocalInstant) -> bool {
        self.restarting.iter().any(|(from, until)| *from <= at && at < *until)
    }

    /// The time at which a connection that is open at `at` breaks.
    pub(crate) fn next_restart(&self, at: LocalInstant) -> Option<LocalInstant> {
        self.restarting.iter().map(|(from, _)| *from).filter(|from| *from > at).min()
    }
}

impl Default for SimConnections {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an event of this probability happens. Draws no random number if the probability is zero.
pub(crate) fn has_chance(probability: f64, random: &mut Rng) -> bool {
    probability > 0.0 && random.f64() < probability
}

/// A time with an exponential distribution. Draws no random number if the mean is zero.
pub(crate) fn exponential_time(mean: Duration, random: &mut Rng) -> Duration {
    if mean.is_zero() { Duration::ZERO } else { exponential(mean, random) }
}

#[cfg(test)]
mod tests {
    use httptime::EndReason;
    use httptime::schedule::{Plan, Profile, Schedule, View};
    use httptime::{Config, Error, Measurement, Method, Timestamp};

    use super::*;
    use crate::{Outcome, Path, SimClock, SimServer, World, worlds};

    const RUNS: u64 = 200;

    fn config(profile: Profile) -> Config {
        Config::builder().profile(profile).lag(Duration::ZERO).build().expect("in range")
    }

    /// The median error and the median standard deviation, in milliseconds.
    fn errors(
        world: &dyn Fn(u64) -> World,
        profile: Profile,
        connections: &SimConnections,
    ) -> [f64; 2] {
        let config = config(profile);
        let (mut errors, mut stddevs) = (Vec::new(), Vec::new());
        for seed in 0..RUNS {
            let world = world(seed).with_connections(connections.clone());
            let Outcome { result, truth, .. } = world.measure(&config, seed);
            let measurement = result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            errors.push(measurement.offset().saturating_sub(truth).abs().as_secs_f64() * 1e3);
            stddevs.push(measurement.stddev().as_secs_f64() * 1e3);
        }
        [errors, stddevs].map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        })
    }

    #[test]
    fn servers_that_close_are_measured_as_well_as_those_that_keep_connections_open() {
        let loopback = |seed: u64| {
            let offset = i64::try_from(seed).expect("small") * 12_345_678;
            World::new(SimClock::new(offset), Path::symmetric_ms(0.1, 0.01), SimServer::exact())
        };
        let named =
            |name: &'static str| move |seed| worlds::named(name).expect("listed").world(seed);
        let places: [(&str, &dyn Fn(u64) -> World); 4] = [
            ("loopback", &loopback),
            ("lan", &named("lan")),
            ("regional", &named("regional")),
            ("wan", &named("wan")),
        ];
        let closing = |responses| SimConnections::new().handshake().closing_after(responses);
        let servers = [
            ("closes each time", closing(1)),
            ("closes after two", closing(2)),
            ("closes each time, silently", closing(1).closing_without_notice()),
        ];
        for (place, world) in places {
            for profile in Profile::ALL {
                let kept = errors(world, *profile, &SimConnections::new().handshake());
                for (server, connections) in &servers {
                    let closed = errors(world, *profile, connections);
                    println!("{place}, {profile}, {server}: {closed:?} ms, kept open {kept:?}");
                    let is_as_good =
                        closed.iter().zip(kept).all(|(closed, kept)| *closed < 2.0 * kept);
                    assert!(
                        is_as_good,
                        "{place}, {profile}, {server}: {closed:?} against {kept:?}"
                    );
                }
            }
        }
    }

    /// A round trip of 20 ms without queueing.
    fn measure(connections: SimConnections, config: &Config, seed: u64) -> Outcome {
        let path = Path::symmetric_ms(20.0, 0.0);
        let seed_ns = i64::try_from(seed).expect("small") * 7_654_321;
        let wall = Timestamp::from_unix_nanos(1_795_392_000_000_000_000 + seed_ns);
        let clock = SimClock::new(seed_ns).starting_at(wall);
        let world = World::new(clock, path, SimServer::exact());
        world.with_connections(connections).measure(config, seed)
    }

    fn measured(connections: SimConnections, config: &Config, seed: u64) -> Measurement {
        let Outcome { result, truth, .. } = measure(connections, config, seed);
        let measurement = result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(measurement.bounds().contains(truth), "seed {seed}");
        measurement
    }

    #[test]
    fn no_more_requests_are_sent_than_allowed_when_the_system_takes_no_byte_at_first() {
        let config = config(Profile::Balanced);
        for seed in 0..RUNS {
            let measurement = measured(SimConnections::new().blocking(0.7), &config, seed);
            assert!(measurement.requests() <= config.limits().requests(), "seed {seed}");
            let (requests, observations) = (measurement.requests(), measurement.observations());
            assert_eq!(requests, observations, "seed {seed}: each once");
        }
    }

    #[test]
    fn a_timeout_said_on_an_idle_connection_is_a_closed_connection() {
        // The connection is opened 80 ms in advance.
        let idle = SimConnections::new().handshake().closing_idle(Duration::from_millis(50));
        let config = config(Profile::Polite);
        for seed in 0..RUNS {
            let ends =
                [idle.clone(), idle.clone().sending_408()].map(|connections| {
                    match measure(connections, &config, seed).result {
                        Err(error) => error.kind(),
                        Ok(measurement) => match measurement.end_reason() {
                            EndReason::Lost(error) => error.kind(),
                            _ => "",
                        },
                    }
                });
            assert!(ends.iter().all(|end| ["", "empty_reply"].contains(end)), "{ends:?}");
        }
    }

    /// A request every 25 ms; the first one almost a second after the beginning.
    #[derive(Debug)]
    struct LateAndSteady;

    impl Schedule for LateAndSteady {
        fn name(&self) -> &'static str {
            "late_and_steady"
        }

        fn plan(&mut self, view: &View<'_>) -> Plan {
            let after = |at: LocalInstant, millis| at.saturating_add(Duration::from_millis(millis));
            let last = view.progress().last_sent();
            let begun = view.progress().cross_timestamp().instant();
            let at = last.map_or(after(begun, 950), |last| after(last, 25));
            if view.progress().scheduled_in_flight() > 0 {
                Plan::AwaitReply
            } else {
                Plan::SendAt(at)
            }
        }
    }

    #[test]
    fn a_server_that_answers_is_not_lost_because_the_time_is_over() {
        for seed in 0..RUNS {
            let config = Config::builder()
                .schedule_with(|| Box::new(LateAndSteady))
                .lag(Duration::ZERO)
                .requests(1000)
                .duration(Duration::from_secs(3))
                .timeout(Duration::from_millis(700 + seed))
                .build()
                .expect("in range");
            let measurement = measured(SimConnections::new().handshake(), &config, seed);
            assert_eq!(measurement.end_reason(), &EndReason::Duration, "seed {seed}");
            assert_eq!(
                measurement.requests(),
                measurement.observations(),
                "seed {seed}: a lost request"
            );
        }
    }

    #[test]
    fn a_server_that_restarts_is_measured_on() {
        let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
        let restart = SimConnections::new().handshake().restarting(at(2_000), at(3_500));
        for seed in 0..RUNS {
            let measurement = measured(restart.clone(), &config(Profile::Balanced), seed);
            assert!(measurement.elapsed() > Duration::from_secs(8), "seed {seed}");
            assert_eq!(measurement.end_reason(), &EndReason::Duration, "seed {seed}");
        }
    }

    #[test]
    fn a_server_without_a_date_on_head_is_measured_by_get() {
        let base = || SimConnections::new().handshake().dateless_head();
        for connections in [
            base(),
            base().closing_after(1),
            base().segmented(Duration::from_millis(3)),
            base().through(SimProxy::forwarding()),
            base().through(SimProxy::tunnelling()),
        ] {
            for seed in 0..RUNS {
                let measurement = measured(connections.clone(), &config(Profile::Balanced), seed);
                assert_eq!(measurement.method(), Some(Method::Get), "seed {seed}");
            }
        }
    }

    #[test]
    fn what_a_server_does_to_everybody_has_its_name() {
        let hosts = |hosts: &[SimHost]| {
            SimConnections::new().handshake().named(hosts.to_vec(), Some(Duration::ZERO))
        };
        let proxy = SimProxy::forwarding();
        let tunnel = SimProxy::tunnelling();
        let base = || SimConnections::new().handshake();
        let expected = [
            ("connection_refused", base().refusing(1.0)),
            ("connection_refused", hosts(&[SimHost::Refuses, SimHost::Unreachable])),
            ("connect", hosts(&[SimHost::Unreachable])),
            ("timeout_connect", hosts(&[SimHost::Silent])),
            ("timeout_resolve", base().named(vec![SimHost::Server], None)),
            ("timeout_response", base().not_answering(1.0)),
            ("timeout_tunnel", base().through(tunnel.slow(Duration::from_secs(10_000)))),
            ("connection_broke", base().resetting(1.0)),
            ("proxy_refused", base().through(proxy.refusing(1.0, 502))),
            ("proxy_refused", base().through(tunnel.refusing(1.0, 503))),
            ("proxy_credentials", base().through(proxy.refusing(1.0, 407))),
            ("proxy_credentials", base().through(tunnel.refusing(1.0, 407))),
        ];
        for (kind, connections) in expected {
            let result = measure(connections, &config(Profile::Balanced), 1).result;
            assert_eq!(result.map_err(|error: Error| error.kind()).err(), Some(kind));
        }
        let some_dead = hosts(&[SimHost::Silent, SimHost::Refuses, SimHost::Server]);
        measured(some_dead, &config(Profile::Balanced), 1);
        measured(base().through(proxy), &config(Profile::Balanced), 1);
        measured(base().through(tunnel), &config(Profile::Balanced), 1);
    }
}
