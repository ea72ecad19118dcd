use std::time::Duration;

use httptime::Config;
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime_sim::worlds::NamedWorld;
use httptime_sim::{Verdict, World, clock_filter, shortest_delay};

use crate::row::{Row, Run};

/// A world and a way to measure in it.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// The simulated world.
    pub world: &'static NamedWorld,
    /// The method.
    pub method: Method,
}

/// A method of measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// HTTP requests, as the library makes them.
    Http {
        /// Computes the offset from the observations.
        estimator: EstimatorKind,
        /// Decides when to send requests. The adaptive schedule uses the profile's settings.
        schedule: ScheduleKind,
        /// Limits on requests and time.
        profile: Profile,
        /// Replaces the profile's number of requests. The time limit grows with it.
        requests: Option<u32>,
        /// Replaces the profile's time limit, whatever the number of requests.
        duration: Option<Duration>,
        /// Stops at this standard deviation.
        target: Option<Duration>,
    },
    /// NTP's clock filter over eight exchanges two seconds apart.
    NtpFilter,
    /// The best of this many NTP exchanges two seconds apart.
    NtpBest(u32),
}

impl Method {
    /// All defaults except for the profile.
    #[must_use]
    pub const fn profile(profile: Profile) -> Self {
        Self::Http {
            estimator: EstimatorKind::Posterior,
            schedule: ScheduleKind::Adaptive,
            profile,
            requests: None,
            duration: None,
            target: None,
        }
    }

    /// This estimator and schedule, and as many requests as allowed.
    #[must_use]
    pub const fn http(estimator: EstimatorKind, schedule: ScheduleKind, requests: u32) -> Self {
        Self::Http {
            estimator,
            schedule,
            profile: Profile::Balanced,
            requests: Some(requests),
            duration: None,
            target: None,
        }
    }

    /// htpdate's estimator with its schedule.
    #[must_use]
    pub const fn htpdate(requests: u32) -> Self {
        Self::http(EstimatorKind::Htpdate, ScheduleKind::Htpdate, requests)
    }

    /// The default estimator and schedule.
    #[must_use]
    pub const fn best(requests: u32) -> Self {
        Self::http(EstimatorKind::Posterior, ScheduleKind::Adaptive, requests)
    }

    /// Names of the estimator, the schedule and the limits, as the table shows them.
    #[must_use]
    pub fn names(&self) -> [String; 3] {
        match self {
            Self::Http { estimator, schedule, profile, requests, duration, target } => {
                let mut spend = profile.name().to_owned();
                if let Some(requests) = requests {
                    spend = requests.to_string();
                }
                if let Some(duration) = duration {
                    spend = format!("{spend} in {duration:?}");
                }
                if let Some(target) = target {
                    spend = format!("{spend} to {target:?}");
                }
                [estimator.name().into(), schedule.name().into(), spend]
            }
            Self::NtpFilter => ["ntp".into(), "clock filter".into(), "8".into()],
            Self::NtpBest(exchanges) => ["ntp".into(), "best".into(), exchanges.to_string()],
        }
    }
}

impl Cell {
    /// Measures `runs` times, each in its own world. The same seed gives the same rows.
    ///
    /// # Panics
    /// When the library refuses the settings.
    #[must_use]
    pub fn measure(&self, runs: u32, seed: u64) -> Row {
        let [estimator, schedule, spend] = self.method.names();
        let mut row = Row::new([self.world.name().into(), estimator, schedule, spend], runs);
        let config = self.config();
        for run in 0..runs {
            let seed = seed.wrapping_add(u64::from(run));
            let world = self.world.world(seed);
            row.add(match self.method {
                Method::Http { .. } => measure_once(self.world, &world, &config, seed),
                Method::NtpFilter => {
                    Run::ntp(clock_filter(&world.ntp(8, NTP_APART, seed)), 8 * NTP_APART)
                }
                Method::NtpBest(count) => {
                    let samples = world.ntp(count, NTP_APART, seed);
                    Run::ntp(shortest_delay(&samples), count * NTP_APART)
                }
            });
        }
        row.close();
        row
    }

    pub(crate) fn config(&self) -> Config {
        let Method::Http { estimator, schedule, profile, requests, duration, target } = self.method
        else {
            return Config::default();
        };
        let mut builder = Config::builder().lag(self.world.stated_lag());
        builder = builder.profile(profile).estimator(estimator);
        if schedule != ScheduleKind::Adaptive {
            builder = builder.schedule(schedule);
        }
        // The other estimators are compared as they were published: none of them sends checks.
        let is_default =
            (estimator, schedule) == (EstimatorKind::default(), ScheduleKind::default());
        builder = builder.checks(is_default);
        if let Some(requests) = requests {
            builder = builder.requests(requests).duration(Duration::from_secs(2) * requests);
        }
        if let Some(duration) = duration {
            builder = builder.duration(duration);
        }
        if let Some(target) = target {
            builder = builder.target(target);
        }
        builder.build().expect("within the limits")
    }
}

/// Measures `runs` times with these settings, each in a world of its own.
///
/// # Panics
/// When a measurement fails with an error that is no finding about the server.
pub(crate) fn measure_with(
    named: &'static NamedWorld,
    config: &Config,
    runs: u32,
    seed: u64,
) -> Row {
    let mut row = Row::new([const { String::new() }; 4], runs);
    for run in 0..runs {
        let seed = seed.wrapping_add(u64::from(run));
        row.add(measure_once(named, &named.world(seed), config, seed));
    }
    row.close();
    row
}

fn measure_once(named: &NamedWorld, world: &World, config: &Config, seed: u64) -> Run {
    let outcome = world.measure(config, seed);
    match &outcome.result {
        _ if outcome.verdict() == Verdict::Caught => Run::Caught,
        Ok(measurement) => Run::measured(measurement, &outcome),
        Err(error) => panic!("{} with seed {seed}: {error}", named.name()),
    }
}

/// The interval of ntpd's iburst.
pub(crate) const NTP_APART: Duration = Duration::from_secs(2);
