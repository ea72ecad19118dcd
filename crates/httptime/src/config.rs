//! What a caller can ask for: limits, assumptions, estimator and schedule.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::estimate::{Estimator, EstimatorKind};
use crate::family::Family;
use crate::limits::Limits;
use crate::schedule::{Adaptive, Profile, Schedule, ScheduleKind};
use crate::time::{Interval, Timestamp};
use crate::timestamping::Timestamping;

/// How to measure. Cheap to clone; every server gets an estimator and a schedule of its own.
#[derive(Clone)]
pub struct Config {
    limits: Limits,
    drift_ppm: u32,
    lag: Option<Duration>,
    floor: Option<Timestamp>,
    expected: Option<Interval>,
    family: Family,
    timestamping: Timestamping,
    min_servers: Option<usize>,
    has_checks: bool,
    estimator: Arc<dyn Fn() -> Box<dyn Estimator> + Send + Sync>,
    schedule: Arc<dyn Fn() -> Box<dyn Schedule> + Send + Sync>,
}

impl Config {
    /// The settings, ready to be changed.
    #[must_use]
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder(Self::default())
    }

    /// What may be spent.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The drift allowance ρ: how fast the two clocks may come apart, in parts per million.
    #[must_use]
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }

    /// The lag allowed for, if the caller states one.
    #[must_use]
    pub const fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// The earliest `Date` that is taken for possible.
    #[must_use]
    pub const fn floor(&self) -> Option<Timestamp> {
        self.floor
    }

    /// Where the offset is expected to be, if anything is.
    #[must_use]
    pub const fn expected(&self) -> Option<Interval> {
        self.expected
    }

    /// Which addresses of a name to use.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whose times of requests and responses to use.
    #[must_use]
    pub const fn timestamping(&self) -> Timestamping {
        self.timestamping
    }

    /// How many servers must answer and agree, if the caller states it.
    #[must_use]
    pub const fn min_servers(&self) -> Option<usize> {
        self.min_servers
    }

    /// Whether a fifth of the requests are checks.
    #[must_use]
    pub const fn has_checks(&self) -> bool {
        self.has_checks
    }

    /// The same, with the offset expected in `interval`.
    ///
    /// From an earlier measurement, say, or because the clock was just set. It saves requests and seconds: they are aimed
    /// there from the beginning. It proves nothing: the bounds and the estimate rest on what is measured alone, and an
    /// expectation that is wrong costs a request or two. Only the [`adaptive`](crate::schedule::Adaptive) schedule makes use of
    /// it.
    #[must_use]
    pub fn with_expected(mut self, interval: Interval) -> Self {
        self.expected = Some(interval);
        self
    }

    pub(crate) fn new_estimator(&self) -> Box<dyn Estimator> {
        (self.estimator)()
    }

    pub(crate) fn new_schedule(&self) -> Box<dyn Schedule> {
        (self.schedule)()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits {
                requests: DEFAULT_PROFILE.requests(),
                duration: DEFAULT_PROFILE.duration(),
                target: None,
                timeout: DEFAULT_TIMEOUT,
            },
            drift_ppm: DEFAULT_DRIFT_PPM,
            lag: None,
            floor: Some(DEFAULT_FLOOR),
            expected: None,
            family: Family::default(),
            timestamping: Timestamping::default(),
            min_servers: None,
            has_checks: true,
            estimator: Arc::new(|| EstimatorKind::default().build()),
            schedule: Arc::new(|| ScheduleKind::default().build()),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("limits", &self.limits)
            .field("drift_ppm", &self.drift_ppm)
            .field("lag", &self.lag)
            .field("floor", &self.floor)
            .field("expected", &self.expected)
            .field("family", &self.family)
            .field("timestamping", &self.timestamping)
            .field("min_servers", &self.min_servers)
            .field("has_checks", &self.has_checks)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Config`]; begins with the defaults.
#[derive(Debug, Clone)]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// The most requests to send to one server: 1 to 1000, 24 unless told.
    #[must_use]
    pub fn requests(mut self, requests: u32) -> Self {
        self.0.limits.requests = requests;
        self
    }

    /// How long after the first request another one may be sent: more than zero, up to an hour,
    /// 10.5 s unless told.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.0.limits.duration = duration;
        self
    }

    /// Stop as soon as the estimate's standard deviation is no larger.
    #[must_use]
    pub fn target(mut self, stddev: Duration) -> Self {
        self.0.limits.target = Some(stddev);
        self
    }

    /// The longest wait for a name, a connection or a response: 1 ms to an hour, 5 s unless told.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.limits.timeout = timeout;
        self
    }

    /// The drift allowance ρ in parts per million: how fast the two clocks may come apart. Up to 10,000
    /// [default: 300]: a bad crystal on each side, or a server whose own clock is being slewed (RFC 5905 allows 15 for a crystal
    /// and disciplines up to 500).
    #[must_use]
    pub fn drift_ppm(mut self, ppm: u32) -> Self {
        self.0.drift_ppm = ppm;
        self
    }

    /// The server's `Date` is late by no more than this, whatever its software calls itself. Up to an hour.
    #[must_use]
    pub fn lag(mut self, lag: Duration) -> Self {
        self.0.lag = Some(lag);
        self
    }

    /// The earliest `Date` to be taken for possible; `None` takes any. 2025-01-01 unless told: before that, this
    /// software did not exist.
    #[must_use]
    pub fn floor(mut self, floor: Option<Timestamp>) -> Self {
        self.0.floor = floor;
        self
    }

    /// Which addresses of a name to use [default: any].
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.0.family = family;
        self
    }

    /// Whose times of requests and responses to use [default: the kernel's where it gives them].
    #[must_use]
    pub fn timestamping(mut self, timestamping: Timestamping) -> Self {
        self.0.timestamping = timestamping;
        self
    }

    /// How many servers must answer and agree [default: more than half of those that are configured]. At least 1.
    #[must_use]
    pub fn min_servers(mut self, servers: usize) -> Self {
        self.0.min_servers = Some(servers);
        self
    }

    /// Whether one request of five is a check, whose answer is already known [default: yes, from 15 requests on].
    ///
    /// Checks find what contradicts the assumptions: two clocks behind one name, a clock that runs too fast, a cache. Without them
    /// the error is a little smaller for the same number of requests, and the bounds can be wrong without a sign of it. For the
    /// comparison of estimators.
    #[must_use]
    pub fn checks(mut self, has_checks: bool) -> Self {
        self.0.has_checks = has_checks;
        self
    }

    /// One of the library's estimators.
    #[must_use]
    pub fn estimator(self, kind: EstimatorKind) -> Self {
        self.estimator_with(move || kind.build())
    }

    /// An estimator of your own: `make` is called once for each server.
    #[must_use]
    pub fn estimator_with(
        mut self,
        make: impl Fn() -> Box<dyn Estimator> + Send + Sync + 'static,
    ) -> Self {
        self.0.estimator = Arc::new(make);
        self
    }

    /// What to spend: sets requests, duration and schedule. Any of the three set afterwards stands.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.requests(profile.requests())
            .duration(profile.duration())
            .schedule_with(move || Box::new(Adaptive::new(profile)))
    }

    /// One of the library's schedules.
    #[must_use]
    pub fn schedule(self, kind: ScheduleKind) -> Self {
        self.schedule_with(move || kind.build())
    }

    /// A schedule of your own: `make` is called once for each server.
    #[must_use]
    pub fn schedule_with(
        mut self,
        make: impl Fn() -> Box<dyn Schedule> + Send + Sync + 'static,
    ) -> Self {
        self.0.schedule = Arc::new(make);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the first one out of its range.
    pub fn build(self) -> Result<Config, Error> {
        let Config { limits, drift_ppm, lag, .. } = &self.0;
        let refuse = |reason: String| Err(Error::InvalidConfig { reason });
        if !(1..=MAX_REQUESTS).contains(&limits.requests) {
            return refuse(format!(
                "{} requests; 1 to {MAX_REQUESTS} can be sent",
                limits.requests
            ));
        }
        if limits.duration.is_zero() || limits.duration > HOUR {
            return refuse(format!("a duration of {:?}; it goes up to an hour", limits.duration));
        }
        if limits.timeout < Duration::from_millis(1) || limits.timeout > HOUR {
            return refuse(format!("a timeout of {:?}; it goes from 1 ms to 1 h", limits.timeout));
        }
        if limits.target.is_some_and(|target| target.is_zero()) {
            return refuse("a target of zero can never be reached".into());
        }
        if *drift_ppm > MAX_DRIFT_PPM {
            return refuse(format!("a drift of {drift_ppm} ppm; it goes up to {MAX_DRIFT_PPM}"));
        }
        if lag.is_some_and(|lag| lag > HOUR) {
            return refuse(format!("a lag of {lag:?}; it goes up to an hour"));
        }
        if self.0.min_servers == Some(0) {
            return refuse("min_servers is 0; at least 1 server must answer".into());
        }
        Ok(self.0)
    }
}

const DEFAULT_PROFILE: Profile = Profile::Balanced;
const MAX_REQUESTS: u32 = 1000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);
const DEFAULT_DRIFT_PPM: u32 = 300;
const MAX_DRIFT_PPM: u32 = 10_000;
/// 2025-01-01T00:00:00Z.
const DEFAULT_FLOOR: Timestamp = Timestamp::from_unix_nanos(1_735_689_600_000_000_000);
