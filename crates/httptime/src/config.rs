//! The settings of a measurement: limits, assumptions, estimator and schedule.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::estimate::{Estimator, EstimatorKind};
use crate::family::Family;
use crate::limits::Limits;
use crate::schedule::{Adaptive, Profile, Schedule, ScheduleKind};
use crate::stamp::DEFAULT_HEADER;
use crate::time::{Interval, Span, Timestamp};
use crate::timestamping::Timestamping;

/// The settings of a measurement. A clone is cheap. Every server gets a separate estimator and
/// schedule.
#[derive(Clone)]
pub struct Config {
    limits: Limits,
    drift_ppm: u32,
    lag: Option<Duration>,
    floor: Option<Timestamp>,
    expected: Option<Interval>,
    family: Family,
    expect_status: Option<u16>,
    timestamping: Timestamping,
    min_servers: Option<usize>,
    has_checks: bool,
    /// Empty: none.
    stamp_header: Arc<str>,
    estimator: Arc<dyn Fn() -> Box<dyn Estimator> + Send + Sync>,
    schedule: Arc<dyn Fn() -> Box<dyn Schedule> + Send + Sync>,
}

impl Config {
    /// A builder with these settings.
    #[must_use]
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder(Self::default())
    }

    /// The limits on requests and time.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The drift allowance ρ: the limit of the frequency difference of the two clocks, in parts per
    /// million.
    #[must_use]
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }

    /// The limit of the server's lag, if the caller stated one.
    #[must_use]
    pub const fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// The earliest `Date` that is accepted.
    #[must_use]
    pub const fn floor(&self) -> Option<Timestamp> {
        self.floor
    }

    /// The interval in which the offset is expected, if there is one.
    #[must_use]
    pub const fn expected(&self) -> Option<Interval> {
        self.expected
    }

    /// The address family.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The only status that a response may have, if the caller stated one.
    #[must_use]
    pub const fn expect_status(&self) -> Option<u16> {
        self.expect_status
    }

    /// The source of the timestamps of requests and responses.
    #[must_use]
    pub const fn timestamping(&self) -> Timestamping {
        self.timestamping
    }

    /// How many servers must answer and agree, if the caller stated it.
    #[must_use]
    pub const fn min_servers(&self) -> Option<usize> {
        self.min_servers
    }

    /// Whether a share of the requests are checks.
    #[must_use]
    pub const fn has_checks(&self) -> bool {
        self.has_checks
    }

    /// The header field from which [stamps](crate::stamp) are read. `None`: they are ignored.
    #[must_use]
    pub fn stamp_header(&self) -> Option<&str> {
        (!self.stamp_header.is_empty()).then_some(&*self.stamp_header)
    }

    /// The same, shared. Empty: none.
    pub(crate) fn shared_stamp_header(&self) -> Arc<str> {
        Arc::clone(&self.stamp_header)
    }

    /// The same settings with an expected interval of the offset.
    ///
    /// The interval can come from an earlier measurement, or from the fact that the clock was just
    /// set. It saves requests and seconds, because the first request is aimed there. It is not
    /// evidence: bounds and estimate depend only on the measurement, and a wrong expectation costs
    /// a request or two. Only the [`adaptive`](crate::schedule::Adaptive) schedule uses it.
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
            expect_status: None,
            timestamping: Timestamping::default(),
            min_servers: None,
            has_checks: true,
            stamp_header: DEFAULT_HEADER.into(),
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
            .field("expect_status", &self.expect_status)
            .field("timestamping", &self.timestamping)
            .field("min_servers", &self.min_servers)
            .field("has_checks", &self.has_checks)
            .field("stamp_header", &self.stamp_header)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Config`]. All settings begin with their defaults.
#[derive(Debug, Clone)]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// The limit of requests to one server: 1 to 1000 [default: 24].
    #[must_use]
    pub fn requests(mut self, requests: u32) -> Self {
        self.0.limits.requests = requests;
        self
    }

    /// The time from the first request until the last one may be sent: more than zero, at most an
    /// hour [default: 10.5 s].
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.0.limits.duration = duration;
        self
    }

    /// Stops as soon as the standard deviation of the estimate is at most this [default: none].
    #[must_use]
    pub fn target(mut self, stddev: Duration) -> Self {
        self.0.limits.target = Some(stddev);
        self
    }

    /// The longest wait for a name, a connection or a response: 1 ms to an hour [default: 5 s].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.limits.timeout = timeout;
        self
    }

    /// The drift allowance ρ in parts per million, the limit of the frequency difference of the two
    /// clocks: at most 10,000 [default: 300]. 300 ppm covers a bad crystal on each side, or a
    /// server whose clock is slewed (RFC 5905 assumes 15 ppm for a crystal and disciplines up to
    /// 500 ppm).
    #[must_use]
    pub fn drift_ppm(mut self, ppm: u32) -> Self {
        self.0.drift_ppm = ppm;
        self
    }

    /// The limit Λ of the server's lag, whatever software it is: at most an hour [default: derived
    /// from the response].
    #[must_use]
    pub fn lag(mut self, lag: Duration) -> Self {
        self.0.lag = Some(lag);
        self
    }

    /// The earliest `Date` that is accepted; `None` accepts any [default: 2025-01-01, before the
    /// first version of this software].
    #[must_use]
    pub fn floor(mut self, floor: Option<Timestamp>) -> Self {
        self.0.floor = floor;
        self
    }

    /// The address family to use [default: any].
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.0.family = family;
        self
    }

    /// The only status that a response may have, 200 to 599; another one is
    /// [`Error::UnexpectedStatus`] [default: any].
    ///
    /// A path that only the intended server answers with this status, such as `/generate_204` with
    /// 204, shows that no captive portal and no proxy answered in its place.
    #[must_use]
    pub fn expect_status(mut self, status: u16) -> Self {
        self.0.expect_status = Some(status);
        self
    }

    /// The source of the timestamps of requests and responses [default: the kernel's where they
    /// exist].
    #[must_use]
    pub fn timestamping(mut self, timestamping: Timestamping) -> Self {
        self.0.timestamping = timestamping;
        self
    }

    /// How many servers must answer and agree, at least 1 [default: more than half of the
    /// configured ones].
    #[must_use]
    pub fn min_servers(mut self, servers: usize) -> Self {
        self.0.min_servers = Some(servers);
        self
    }

    /// Whether a share of the requests are checks, whose response can be predicted [default: yes].
    /// It is one request of four, or of three if the schedule keeps a gap between requests; with
    /// fewer than 18 requests it is none.
    ///
    /// Checks detect a violation of the assumptions: two clocks behind one name, a clock that runs
    /// too fast, a cache. Without checks the error is a little smaller for the same number of
    /// requests, but the bounds can be wrong without any sign of it. Switch them off only to
    /// compare estimators.
    #[must_use]
    pub fn checks(mut self, has_checks: bool) -> Self {
        self.0.has_checks = has_checks;
        self
    }

    /// The header field from which [stamps](crate::stamp) are read; `None` or an empty name ignores
    /// them [default: `X-HTTPSTIME`].
    #[must_use]
    pub fn stamp_header(mut self, name: Option<&str>) -> Self {
        self.0.stamp_header = name.unwrap_or_default().into();
        self
    }

    /// The estimator, one of the library's.
    #[must_use]
    pub fn estimator(self, kind: EstimatorKind) -> Self {
        self.estimator_with(move || kind.build())
    }

    /// A custom estimator: `make` is called once for each server.
    #[must_use]
    pub fn estimator_with(
        mut self,
        make: impl Fn() -> Box<dyn Estimator> + Send + Sync + 'static,
    ) -> Self {
        self.0.estimator = Arc::new(make);
        self
    }

    /// The profile: sets requests, duration and schedule. Later calls override each of the three.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.requests(profile.requests())
            .duration(profile.duration())
            .schedule_with(move || Box::new(Adaptive::new(profile)))
    }

    /// The schedule, one of the library's.
    #[must_use]
    pub fn schedule(self, kind: ScheduleKind) -> Self {
        self.schedule_with(move || kind.build())
    }

    /// A custom schedule: `make` is called once for each server.
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
    /// [`Error::InvalidConfig`] names the first setting that is out of range.
    pub fn build(self) -> Result<Config, Error> {
        let Config { limits, drift_ppm, lag, .. } = &self.0;
        let refuse = |reason: String| Err(Error::InvalidConfig { reason });
        if !(1..=MAX_REQUESTS).contains(&limits.requests) {
            let requests = limits.requests;
            return refuse(format!("requests is {requests}; allowed: 1 to {MAX_REQUESTS}"));
        }
        if limits.duration.is_zero() || limits.duration > HOUR {
            let duration = Span::new(limits.duration);
            return refuse(format!("duration is {duration}; allowed: more than 0, up to 3600 s"));
        }
        if limits.timeout < Duration::from_millis(1) || limits.timeout > HOUR {
            let timeout = Span::new(limits.timeout);
            return refuse(format!("timeout is {timeout}; allowed: 1 ms to 3600 s"));
        }
        if limits.target.is_some_and(|target| target.is_zero()) {
            return refuse("target is 0 s; allowed: 1 ns or more".into());
        }
        if *drift_ppm > MAX_DRIFT_PPM {
            return refuse(format!("drift_ppm is {drift_ppm}; allowed: 0 to {MAX_DRIFT_PPM}"));
        }
        if let Some(lag) = lag.filter(|lag| *lag > HOUR) {
            return refuse(format!("lag is {}; allowed: 0 to 3600 s", Span::new(lag)));
        }
        if let Some(name) = self.0.stamp_header().filter(|name| !is_field_name(name)) {
            return refuse(format!(
                "stamp_header is {name:?}; allowed: a header field other than Date"
            ));
        }
        if let Some(status) = self.0.expect_status.filter(|it| !(200..=599).contains(it)) {
            return refuse(format!("expect_status is {status}; allowed: 200 to 599"));
        }
        if self.0.min_servers == Some(0) {
            return refuse("min_servers is 0; allowed: 1 to the number of servers".into());
        }
        Ok(self.0)
    }
}

/// A token of RFC 9110, section 5.6.2. `Date` is not a stamp.
fn is_field_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    name.len() <= MAX_FIELD_NAME_BYTES
        && name.bytes().all(is_token)
        && !name.eq_ignore_ascii_case("Date")
}

const MAX_FIELD_NAME_BYTES: usize = 64;
const DEFAULT_PROFILE: Profile = Profile::Balanced;
const MAX_REQUESTS: u32 = 1000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);
const DEFAULT_DRIFT_PPM: u32 = 300;
const MAX_DRIFT_PPM: u32 = 10_000;
/// 2025-01-01T00:00:00Z.
const DEFAULT_FLOOR: Timestamp = Timestamp::from_unix_nanos(1_735_689_600_000_000_000);
