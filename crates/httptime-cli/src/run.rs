//! `httptime run`: the daemon that keeps the clock right.

use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use httptime::Client;
use httptime::survey::Survey;
use httptime::{Agreement, Assumptions, CertificateCheck, IoError, Measurement};
use log::{Level, error, info, log, warn};

use self::clock_watch::{Clocks, RetryPause};
use self::correction_target::{CorrectionError, CorrectionTarget};
use self::failure_log::FailureLog;
use self::poll_interval::PollInterval;
use self::settings::{Loaded, Mode, Settings};
use self::statistics::Statistics;
use self::status_file::StatusFile;
use self::textfile::Metrics;
use self::watcher::Sign;
use crate::args::Run;
use crate::measure_options::{Given, Via};
use crate::report::RejectedStamps;
use crate::signals::{self, Signal};
use crate::{DONE, NO_PRIVILEGE, NOT_MEASURED, USAGE, answers, logging, report, service, worker};

pub(crate) mod clock_watch;
mod correction_target;
mod failure_log;
pub(crate) mod outputs;
mod poll_interval;
mod settings;
mod statistics;
pub(crate) mod status_file;
pub(crate) mod textfile;
mod watcher;

/// An event of the main loop.
enum Event {
    /// The measurement with this number has ended.
    Measured(u64, Box<Survey>),
    /// The thread of a measurement has panicked, with this message.
    Lost(u64, String),
    /// The thread that receives signals has panicked: no signal will be received.
    SignalsLost(String),
    /// Something happened to the clock or to the network.
    Seen(Sign),
    /// The thread that watches them has panicked.
    WatcherLost(String),
    Asked(Signal),
}

/// The state of the main loop.
#[derive(Debug, Clone, Copy)]
enum DaemonState {
    Waiting { until: Instant },
    Measuring { since: Instant, deadline: Duration },
}

/// Whether the configuration was reloaded during the current measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReloadState {
    No,
    Unchanged,
    /// The measurement may have used a server that was removed because it lies.
    Changed,
}

struct Daemon<'a> {
    args: &'a Run,
    settings: Settings,
    client: Client,
    via: Option<Via>,
    correction_target: CorrectionTarget,
    poll_interval: PollInterval,
    metrics: Metrics,
    metrics_failures: FailureLog,
    status_file: StatusFile,
    statistics: Statistics,
    /// Whether some of the servers count as one.
    shared_servers: FailureLog,
    /// The responses that may not be the servers', as last logged.
    answers: answers::Repeats,
    /// The servers with rejected stamps, and the kinds of fault, since the configuration was read.
    rejected_stamps: Vec<(String, &'static str)>,
    /// How certificates were checked, as last logged.
    certificates: Vec<&'static str>,
    /// Whether the next measurement must confirm the last correction: the local clock judges its
    /// certificates.
    is_unconfirmed: bool,
    events: SyncSender<Event>,
    state: DaemonState,
    /// The start of the latest measurement.
    begun: Instant,
    /// The time from there in which a server asks for no request.
    not_before: Duration,
    /// Whether the latest measurement found the server busy.
    is_server_busy: bool,
    /// The number of the latest measurement. The result of an earlier one that was given up is not
    /// used.
    number: u64,
    /// Shared with each measuring thread, so that its count is the number of threads.
    threads: Arc<()>,
    reloaded: ReloadState,
    /// The last known state of the clocks.
    clocks: Clocks,
    network_retry: RetryPause,
    clock_retry: RetryPause,
    /// Whether the network changed since the latest measurement began, and the servers failed
    /// before.
    has_network_changed: bool,
    /// Whether the latest measurement was started early because the clock had moved.
    is_early_requested: bool,
    /// The time of the last watchdog notification to the service manager.
    alive: Instant,
    tick: Duration,
}

pub(crate) fn run(args: &Run) -> u8 {
    if let (Some(message), false) = (UNSUPPORTED, args.check) {
        report::print_error(message);
        return USAGE;
    }
    let (settings, client, via) = match load(args) {
        Ok(loaded) => loaded,
        Err(message) => {
            report::print_error(&message);
            return USAGE;
        }
    };
    if args.check {
        return match settings.check_directories() {
            Ok(()) => DONE,
            Err(message) => {
                report::print_error(&format!("{}: {message}", args.config.display()));
                USAGE
            }
        };
    }
    // At most one event waits: signals that arrive faster than they are handled count as one.
    let (events, arriving) = mpsc::sync_channel(1);
    if let Err(error) = signals::listen(events.clone(), Event::Asked, Event::SignalsLost) {
        report::print_error(&format!("cannot listen for signals: {}", IoError::from(&error)));
        return NOT_MEASURED;
    }
    if let Err(error) = watcher::start(events.clone(), Event::Seen, Event::WatcherLost) {
        warn!("cannot watch clock and network: {}", IoError::from(&error));
    }
    let correction_target = match CorrectionTarget::start(&settings) {
        Ok(correction_target) => correction_target,
        Err(error) => {
            error!("{error}");
            return if error.is_forbidden() { NO_PRIVILEGE } else { NOT_MEASURED };
        }
    };
    Daemon::new(args, settings, (client, via), correction_target, events).run(&arriving)
}

fn load(args: &Run) -> Result<Loaded, String> {
    Settings::load(&args.config).map_err(|error| error.to_string())
}

fn poll_interval(settings: &Settings) -> PollInterval {
    let (shortest, longest) = (settings.poll.shortest(), settings.poll.longest());
    let poll_interval = PollInterval::new(shortest, longest, fastrand::Rng::new());
    match settings.mode {
        Mode::Clock => poll_interval,
        Mode::Chrony => poll_interval.regular(),
    }
}

impl<'a> Daemon<'a> {
    fn new(
        args: &'a Run,
        settings: Settings,
        (client, via): (Client, Option<Via>),
        correction_target: CorrectionTarget,
        events: SyncSender<Event>,
    ) -> Self {
        let now = Instant::now();
        Self {
            args,
            poll_interval: poll_interval(&settings),
            status_file: StatusFile::new(args, &settings),
            statistics: Statistics::default(),
            settings,
            client,
            via,
            correction_target,
            metrics: Metrics::default(),
            metrics_failures: FailureLog::default(),
            shared_servers: FailureLog::default(),
            answers: answers::Repeats::default(),
            rejected_stamps: Vec::new(),
            certificates: Vec::new(),
            is_unconfirmed: false,
            events,
            state: DaemonState::Waiting { until: now },
            begun: now,
            not_before: Duration::ZERO,
            is_server_busy: false,
            number: 0,
            threads: Arc::default(),
            reloaded: ReloadState::No,
            clocks: clocks(),
            network_retry: RetryPause::NETWORK,
            clock_retry: RetryPause::CLOCK,
            has_network_changed: false,
            is_early_requested: false,
            alive: now,
            tick: service::watchdog().map_or(TICK, |watchdog| (watchdog / 2).min(TICK)),
        }
    }

    fn run(mut self, arriving: &Receiver<Event>) -> u8 {
        info!("started with the configuration {}", self.args.config.display());
        self.write_metrics();
        self.status_file.write(&self.settings);
        service::ready();
        loop {
            // `self` also has a sender, so the channel is never closed.
            let ended =
                arriving.recv_timeout(self.poll_timeout()).ok().and_then(|e| self.handle(e));
            // Also after each event: many events must not prevent a measurement.
            if let Some(status) = ended.or_else(|| self.poll_clock(Instant::now())) {
                return status;
            }
        }
    }

    /// Handles an event. Returns the exit status if the program ends.
    fn handle(&mut self, event: Event) -> Option<u8> {
        let forbidden = match event {
            Event::Asked(Signal::End) => {
                info!("stopping");
                return Some(self.end(DONE));
            }
            Event::SignalsLost(message) => {
                error!("cannot receive signals any more: {message}; stopping; please report it");
                return Some(self.end(NOT_MEASURED));
            }
            Event::Asked(Signal::Reload) => {
                self.reload();
                false
            }
            Event::Asked(Signal::MeasureNow) => {
                self.measure_now();
                false
            }
            Event::Seen(sign) => {
                self.seen(sign);
                false
            }
            Event::WatcherLost(message) => {
                error!("cannot watch clock and network any more: {message}; please report it");
                false
            }
            Event::Measured(number, _) | Event::Lost(number, _) if number != self.number => false,
            Event::Measured(..) | Event::Lost(..) if self.reloaded == ReloadState::Changed => {
                info!("measurement discarded: it used the settings before the reload");
                self.reloaded = ReloadState::No;
                self.waits_until(self.begun + RELOAD_PAUSE);
                false
            }
            Event::Measured(_, survey) => self.measured(&survey),
            Event::Lost(_, message) => {
                self.fail(&format!("the measurement panicked: {message}; please report it"));
                false
            }
        };
        forbidden.then_some(NO_PRIVILEGE)
    }

    fn end(&mut self, status: u8) -> u8 {
        service::stopping();
        self.correction_target.end();
        self.status_file.stopped();
        self.status_file.write(&self.settings);
        status
    }

    fn poll_timeout(&self) -> Duration {
        match self.state {
            DaemonState::Waiting { until } => {
                until.saturating_duration_since(Instant::now()).min(self.tick)
            }
            DaemonState::Measuring { .. } => self.tick,
        }
    }

    /// Sends a watchdog notification, but not for every one of many events.
    fn notify_watchdog(&mut self) {
        if self.alive.elapsed() >= self.tick / 2 {
            service::notify_watchdog();
            self.alive = Instant::now();
        }
    }

    /// Starts a measurement when it is due, or earlier if the clock was set or the machine slept.
    /// Gives up a measurement that hangs. Returns the exit status if the program ends.
    fn poll_clock(&mut self, now: Instant) -> Option<u8> {
        self.notify_watchdog();
        match self.state {
            DaemonState::Measuring { since, deadline } if now >= since + deadline => {
                self.give_up(deadline)
            }
            DaemonState::Measuring { .. } => None,
            DaemonState::Waiting { until } => {
                let moved = clocks().moved_since(self.clocks);
                // Not twice in a row: a clock that is set repeatedly would cause measurements
                // without a pause.
                let is_clock_set = moved.is_some() && !self.is_early_requested;
                if let Some(moved) = moved {
                    self.correction_target.clock_moved();
                    if is_clock_set {
                        info!("{moved}; measuring now");
                    }
                }
                if !is_clock_set && until > now {
                    return None;
                }
                self.is_early_requested = moved.is_some();
                self.measure().then_some(NO_PRIVILEGE)
            }
        }
    }

    /// Continues without the current measurement. Its thread cannot be stopped and remains until it
    /// ends by itself. If there are too many of them, the service manager must restart the program.
    fn give_up(&mut self, deadline: Duration) -> Option<u8> {
        self.number += 1;
        self.fail(&format!(
            "the measurement did not end within {:.0} s; abandoned",
            deadline.as_secs_f64()
        ));
        let hanging = Arc::strong_count(&self.threads) - 1;
        (hanging > MAX_HANGING_THREADS).then(|| {
            error!("{hanging} abandoned measurements are still running; stopping, to be restarted");
            self.end(NOT_MEASURED)
        })
    }

    /// Starts a measurement. Returns whether that is not permitted.
    fn measure(&mut self) -> bool {
        let expected = match self.correction_target.prepare() {
            Ok(expected) => expected,
            Err(error) => return self.failed(&error),
        };
        let mut client = self.client.clone();
        if let Some(interval) = expected {
            let config = client.config().clone().with_expected(interval);
            client = client.with_config(config);
        }
        if mem::take(&mut self.is_unconfirmed) {
            client = client.by_local_clock();
        }
        let urls: Vec<_> = client.urls().cloned().collect();
        self.start(move || client.survey(|update| logging::update(&urls, &update)));
        false
    }

    /// Measures in a separate thread.
    fn start(&mut self, survey: impl FnOnce() -> Survey + Send + 'static) {
        self.begun = Instant::now();
        // A measurement has its own deadline. One that exceeds this longer deadline hangs.
        let limits = self.client.config().limits();
        let deadline = 3 * (limits.duration() + limits.timeout()) + TICK;
        self.state = DaemonState::Measuring { since: self.begun, deadline };
        self.status_file.measuring(deadline);
        self.status_file.write(&self.settings);
        self.clocks = clocks();
        self.has_network_changed = false;
        self.number += 1;
        let (number, counted) = (self.number, Arc::clone(&self.threads));
        let lost = move |message| Event::Lost(number, message);
        let started = worker::start("measurement", self.events.clone(), lost, move |events| {
            let _counted = counted;
            // Nobody receives it when the program is ending.
            let _ = events.send(Event::Measured(number, Box::new(survey())));
        });
        if let Err(error) = started {
            self.fail(&format!("cannot start a thread: {}", IoError::from(&error)));
        }
    }

    /// Handles a result. Returns whether the correction is not permitted.
    fn measured(&mut self, survey: &Survey) -> bool {
        self.metrics.surveyed(survey);
        let warnings = answers::warnings(survey, self.via.as_ref(), Given::File);
        for warning in self.answers.new_ones(&warnings) {
            warn!("{warning}; further repeats suppressed");
        }
        self.status_file.surveyed(survey, warnings, &self.settings);
        report::not_selected(survey, self.via.as_ref()).for_each(|line| warn!("{line}"));
        self.warn_of_rejected_stamps(survey);
        let forbidden = match survey.combined() {
            Ok(measurement) => self.correct(measurement),
            Err(error) => {
                if survey.servers().len() > 1 {
                    warn!("{error}");
                }
                self.metrics.failures += 1;
                self.status_file.failed(Some(error.kind()), &error.to_string());
                let next = self.wait(Err(self.begun.elapsed()));
                service::status(&format!("cannot measure: {error}; {next}"));
                false
            }
        };
        self.write_metrics();
        if let Some(log) = self.settings.log() {
            self.statistics.add(&log, self.status_file.document());
        }
        forbidden
    }

    /// Warns of the stamps of each server, once for each kind of fault.
    fn warn_of_rejected_stamps(&mut self, survey: &Survey) {
        for RejectedStamps { url, kind, line } in report::rejected_stamps(survey, Given::File) {
            let stamps = (url, kind);
            if !self.rejected_stamps.contains(&stamps) {
                warn!("{line}; further repeats suppressed");
                self.rejected_stamps.push(stamps);
            }
        }
    }

    /// Logs how certificates were checked, if that has changed.
    fn log_certificates(&mut self, assumed: &Assumptions) {
        let checks = [assumed.certificates(), assumed.proxy_certificates()];
        let kinds: Vec<&str> =
            checks.iter().map(|check| check.map_or("", CertificateCheck::kind)).collect();
        if self.certificates != kinds {
            report::certificates(assumed).for_each(|line| info!("{line}"));
            self.certificates = kinds;
        }
    }

    fn correct(&mut self, measurement: &Measurement) -> bool {
        // Logged before what it causes, so that the log has the cause above the effect.
        let stamp = measurement.stamp().filter(|stamp| stamp.rejected().is_none());
        let stamp = stamp.map_or(String::new(), |stamp| format!(" (stamp {stamp})"));
        let measured = format!(
            "offset {:.6} s, bounds {:.6} s{stamp}",
            measurement.offset(),
            measurement.bounds()
        );
        info!("{measured}");
        report::busy(measurement).iter().for_each(|line| warn!("{line}"));
        self.is_server_busy = measurement.is_busy();
        let retry_after = measurement.retry_after();
        self.not_before = retry_after.map_or(Duration::ZERO, |wait| self.begun.elapsed() + wait);
        self.log_certificates(&measurement.assumptions());
        if self.settings.mode == Mode::Clock {
            self.shared_servers.report(check_independent(measurement.agreement()));
        }
        let correction = match self.correction_target.correct(measurement) {
            Ok(correction) => correction,
            Err(error) => return self.failed(&error),
        };
        self.metrics.measured(measurement);
        self.status_file.measured(measurement, &correction);
        self.metrics.steps += u64::from(correction.stepped);
        self.metrics.refusals += u64::from(correction.refused);
        self.metrics.frequency = correction.frequency;
        self.is_unconfirmed = correction.is_unconfirmed;
        let interval = match correction.is_unconfirmed {
            true => self.begun.elapsed() + CONFIRMATION_PAUSE,
            false => correction.interval,
        };
        let interval = interval.max(self.not_before);
        self.wait(Ok(interval));
        let frequency = correction.frequency.map_or(String::new(), |f| format!("; frequency {f}"));
        let next = match correction.is_unconfirmed {
            true => "measuring again, to confirm it by the certificates at this time".to_owned(),
            false => format!("next measurement in {:.0} s", interval.as_secs_f64()),
        };
        let done = format!("{}{frequency}; {next}", correction.done);
        log!(if correction.refused { Level::Warn } else { Level::Info }, "{done}");
        service::status(&format!("{measured}; {done}"));
        false
    }

    fn failed(&mut self, error: &CorrectionError) -> bool {
        self.fail(&error.to_string());
        error.is_forbidden()
    }

    /// Counts a failed measurement and schedules the next try.
    fn fail(&mut self, why: &str) {
        error!("{why}");
        self.metrics.failures += 1;
        self.status_file.failed(None, why);
        // The servers are not the cause: a restart of one would not end it.
        let next = self.wait(Err(Duration::MAX));
        service::status(&format!("{why}; {next}"));
        self.write_metrics();
    }

    /// Waits from the start of this measurement until the next one: this long, or longer after each
    /// failure (`Err`: the time until it failed). Returns when that is, in words.
    fn wait(&mut self, interval: Result<Duration, Duration>) -> String {
        let reloaded = mem::replace(&mut self.reloaded, ReloadState::No);
        let wait = match interval {
            Ok(interval) => {
                // The program may have set the clock itself. After a failure the old reading is
                // kept: if the clock was set meanwhile, that explains the failure, and the next
                // measurement need not wait.
                self.clocks = clocks();
                self.is_early_requested = false;
                (self.network_retry, self.clock_retry) = (RetryPause::NETWORK, RetryPause::CLOCK);
                let wait = match mem::take(&mut self.is_server_busy) {
                    true => self.poll_interval.measured_busy(interval),
                    false => self.poll_interval.measured(interval),
                };
                wait.max(mem::take(&mut self.not_before))
            }
            // With the settings from before a reload, or with a problem that the operator has fixed
            // before it.
            Err(_) if reloaded != ReloadState::No => RELOAD_PAUSE,
            Err(_) if self.is_early_requested && clocks().moved_since(self.clocks).is_some() => {
                self.clock_retry.next()
            }
            Err(_) if mem::take(&mut self.has_network_changed) => self.network_retry.next(),
            Err(after) => self.poll_interval.failed(after),
        };
        let next = format!("next attempt in {:.0} s", wait.as_secs_f64());
        if interval.is_err() {
            info!("{next}");
        }
        self.metrics.interval_seconds = wait.as_secs_f64();
        let begun = match self.state {
            DaemonState::Measuring { since, .. } => since,
            DaemonState::Waiting { .. } => Instant::now(),
        };
        self.waits_until(begun + wait);
        next
    }

    fn waits_until(&mut self, until: Instant) {
        self.state = DaemonState::Waiting { until };
        self.status_file.waiting(until);
        self.status_file.write(&self.settings);
    }

    /// Uses what the watcher saw. After each event the clocks are compared in any case.
    fn seen(&mut self, sign: Sign) {
        match sign {
            Sign::Clock => {}
            Sign::Paused(time) => {
                info!(
                    "the hardware clock moved by {:.0} s: the virtual machine was paused; \
                     measuring soon",
                    time.as_secs_f64()
                );
                self.correction_target.clock_moved();
                self.measure_within(RELOAD_PAUSE);
            }
            // The kernel reports one network in several messages.
            Sign::Network if self.has_network_changed || !self.poll_interval.is_failing() => {}
            Sign::Network => {
                self.has_network_changed = true;
                self.poll_interval.forget_failures();
                if let DaemonState::Waiting { .. } = self.state {
                    info!("the network changed; measuring soon");
                    let pause = self.network_retry.next();
                    self.measure_within(pause);
                }
            }
        }
    }

    /// Measures no later than this long after the start of the latest measurement.
    fn measure_within(&mut self, pause: Duration) {
        if let DaemonState::Waiting { until } = self.state {
            self.waits_until((self.begun + pause).min(until));
        }
    }

    fn write_metrics(&mut self) {
        if let Some(path) = &self.settings.textfile {
            self.metrics.state = self.status_file.metrics();
            let written = self.metrics.write(path);
            self.metrics_failures.report(written.map_err(|error| {
                let remedy = match error.kind() {
                    ErrorKind::NotFound => "; create its directory",
                    _ => "",
                };
                format!(
                    "cannot write the textfile {}: {}{remedy}",
                    path.display(),
                    IoError::from(&error)
                )
            }));
        }
    }

    fn reload(&mut self) {
        service::reloading();
        let reloaded = load(self.args).and_then(|(settings, client, via)| {
            self.correction_target.reload(&settings).map_err(|error| error.to_string())?;
            self.poll_interval = poll_interval(&settings);
            self.rejected_stamps.clear();
            let changed = self.settings != settings;
            (self.settings, self.client, self.via) = (settings, client, via);
            Ok(changed)
        });
        match reloaded {
            Ok(changed) => {
                info!("reloaded {}", self.args.config.display());
                self.measure_soon(changed);
            }
            Err(message) => error!("{message}; keeping the old settings"),
        }
        service::ready();
    }

    /// An operator has sent SIGUSR1: ends a pause, however long it is.
    fn measure_now(&mut self) {
        if let DaemonState::Waiting { .. } = self.state {
            info!("measuring now: SIGUSR1");
            self.measure_within(RELOAD_PAUSE);
        } else {
            info!("SIGUSR1: a measurement is already running");
        }
    }

    /// After a reload the operator expects a result soon, however long the pause would be.
    fn measure_soon(&mut self, changed: bool) {
        match self.state {
            DaemonState::Waiting { .. } => self.measure_within(RELOAD_PAUSE),
            DaemonState::Measuring { .. } if changed => self.reloaded = ReloadState::Changed,
            DaemonState::Measuring { .. } if self.reloaded == ReloadState::No => {
                self.reloaded = ReloadState::Unchanged;
            }
            DaemonState::Measuring { .. } => {}
        }
    }
}

/// Whether each server counts for itself beyond the limits of the policy.
fn check_independent(agreement: Agreement) -> Result<(), String> {
    let Agreement { independent, configured, .. } = agreement;
    if independent == configured {
        return Ok(());
    }
    Err(format!(
        "the {configured} servers share addresses or a proxy; for a correction beyond the limits \
         they count as {independent}"
    ))
}

/// Reads the clocks that show whether the wall clock was set.
fn clocks() -> Clocks {
    Clocks { cross_timestamp: httptime::net::cross_timestamp(), slept: watcher::slept() }
}

/// Why this system cannot run the daemon, if it cannot.
const UNSUPPORTED: Option<&str> = if cfg!(unix) {
    None
} else {
    Some(
        "not supported on Windows: the command run; let the Task Scheduler start httptime sync, as \
         docs/operations.md shows",
    )
};
/// How often to check whether the clock was set, if the system does not report it.
const TICK: Duration = Duration::from_secs(10);
/// The minimum time between the starts of two measurements after a signal: many reloads must not
/// cause many requests.
const RELOAD_PAUSE: Duration = Duration::from_secs(2);
/// The time from a correction to the measurement that confirms it.
const CONFIRMATION_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of threads of measurements that were given up.
const MAX_HANGING_THREADS: usize = 4;

#[cfg(test)]
mod tests {
    use std::fs;

    use httptime::{CrossTimestamp, Offset};

    use super::*;

    /// A daemon that feeds chronyd through a socket that does not exist, and its events. Dropping
    /// it removes its configuration.
    struct Fixture {
        args: Run,
        arriving: Receiver<Event>,
        events: SyncSender<Event>,
    }

    impl Fixture {
        fn new(name: &str) -> Self {
            let file = format!("httptime-daemon-{name}-{}.toml", std::process::id());
            let args = Run { config: std::env::temp_dir().join(file), check: false };
            let (events, arriving) = mpsc::sync_channel(1);
            let fixture = Self { args, arriving, events };
            fixture.configure(1);
            fixture
        }

        /// Port 9 discards all data if a server listens on it.
        fn configure(&self, requests: u32) {
            let text = format!(
                "servers = ['http://127.0.0.1:9']\nproxy = ''\nmode = 'chrony'\n\
                 status_file = ''\n[measure]\nrequests = {requests}\nduration = 1\ntimeout = 0.1\n"
            );
            fs::write(&self.args.config, text).expect("written");
        }

        fn daemon(&self) -> Daemon<'_> {
            let (settings, client, via) = load(&self.args).expect("a configuration");
            let correction_target = CorrectionTarget::start(&settings).expect("nothing is opened");
            Daemon::new(&self.args, settings, (client, via), correction_target, self.events.clone())
        }

        fn next(&self) -> Event {
            self.arriving.recv_timeout(Duration::from_secs(20)).expect("an event")
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.args.config);
        }
    }

    fn wait(daemon: &Daemon<'_>) -> Option<Duration> {
        match daemon.state {
            DaemonState::Waiting { until } => Some(until.saturating_duration_since(daemon.begun)),
            DaemonState::Measuring { .. } => None,
        }
    }

    #[test]
    fn a_measurement_that_panics_is_a_failed_one_and_is_repeated() {
        let fixture = Fixture::new("panics");
        let mut daemon = fixture.daemon();
        daemon.start(|| panic!("on purpose"));
        assert_eq!(wait(&daemon), None);
        assert_eq!(daemon.handle(fixture.next()), None);
        assert_eq!(daemon.metrics.failures, 1);
        let pause = wait(&daemon).expect("not measuring any more");
        assert!((48..=80).contains(&pause.as_secs()), "{pause:?}");
    }

    #[test]
    fn a_measurement_that_hangs_is_given_up_and_its_late_result_is_not_used() {
        let fixture = Fixture::new("hangs");
        let mut daemon = fixture.daemon();
        let client = daemon.client.clone();
        let (release, hanging) = mpsc::channel::<()>();
        daemon.start(move || {
            let _ = hanging.recv();
            client.survey(|_| {})
        });
        assert_eq!(daemon.poll_clock(daemon.begun + Duration::from_secs(13)), None);
        assert_eq!((wait(&daemon), daemon.metrics.failures), (None, 0), "3 × 1.1 s + 10 s");
        assert_eq!(daemon.poll_clock(daemon.begun + Duration::from_secs(14)), None);
        assert_eq!(daemon.metrics.failures, 1);
        let pause = wait(&daemon).expect("not measuring any more");
        drop(release);
        assert_eq!(daemon.handle(fixture.next()), None);
        assert_eq!((wait(&daemon), daemon.metrics.failures), (Some(pause), 1));
    }

    #[test]
    fn when_many_measurements_hang_it_ends_with_a_failure() {
        let fixture = Fixture::new("many");
        let mut daemon = fixture.daemon();
        let late = Duration::from_secs(14);
        let mut releases = Vec::new();
        let mut statuses = Vec::new();
        for _ in 0..=MAX_HANGING_THREADS {
            let client = daemon.client.clone();
            let (release, hanging) = mpsc::channel::<()>();
            releases.push(release);
            daemon.start(move || {
                let _ = hanging.recv();
                client.survey(|_| {})
            });
            statuses.push(daemon.poll_clock(daemon.begun + late));
        }
        let last = statuses.pop().expect("five");
        assert!(statuses.iter().all(Option::is_none), "{statuses:?}");
        assert_eq!(last, Some(NOT_MEASURED));
    }

    #[test]
    fn without_signals_it_ends_with_a_failure() {
        let fixture = Fixture::new("deaf");
        assert_eq!(fixture.daemon().handle(Event::SignalsLost("gone".into())), Some(NOT_MEASURED));
    }

    #[test]
    fn a_reload_ends_the_pause_after_failures_and_a_broken_one_does_not() {
        let fixture = Fixture::new("pause");
        let mut daemon = fixture.daemon();
        for _ in 0..5 {
            daemon.start(|| panic!("on purpose"));
            daemon.handle(fixture.next());
        }
        assert!(wait(&daemon) > Some(Duration::from_secs(600)));
        fs::write(&fixture.args.config, "servers = ").expect("written");
        daemon.handle(Event::Asked(Signal::Reload));
        assert!(wait(&daemon) > Some(Duration::from_secs(600)));
        fixture.configure(1);
        daemon.handle(Event::Asked(Signal::Reload));
        assert_eq!(wait(&daemon), Some(RELOAD_PAUSE));
    }

    #[test]
    fn a_request_to_measure_ends_the_pause_after_failures_but_is_no_flood() {
        let fixture = Fixture::new("asked");
        let mut daemon = fixture.daemon();
        for _ in 0..5 {
            daemon.start(|| panic!("on purpose"));
            daemon.handle(fixture.next());
        }
        assert!(wait(&daemon) > Some(Duration::from_secs(600)));
        for _ in 0..3 {
            assert_eq!(daemon.handle(Event::Asked(Signal::MeasureNow)), None);
            assert_eq!(wait(&daemon), Some(RELOAD_PAUSE));
        }
    }

    #[test]
    fn a_new_network_ends_the_pause_after_failures_once_and_no_other_pause() {
        let fixture = Fixture::new("network");
        let mut daemon = fixture.daemon();
        for _ in 0..5 {
            daemon.start(|| panic!("on purpose"));
            daemon.handle(fixture.next());
        }
        assert!(wait(&daemon) > Some(Duration::from_secs(600)));
        for pause in [2, 4, 8, 8] {
            daemon.handle(Event::Seen(Sign::Network));
            daemon.handle(Event::Seen(Sign::Network));
            assert_eq!(wait(&daemon), Some(Duration::from_secs(pause)));
            daemon.start(|| panic!("on purpose"));
            daemon.handle(fixture.next());
            let next = wait(&daemon).expect("not measuring any more");
            assert!((48..=80).contains(&next.as_secs()), "the waits begin again: {next:?}");
        }
        // It changes again during a measurement.
        daemon.start(|| panic!("on purpose"));
        daemon.handle(Event::Seen(Sign::Network));
        daemon.handle(fixture.next());
        assert_eq!(wait(&daemon), Some(Duration::from_secs(8)));
        // A successful measurement is not repeated for it.
        daemon.wait(Ok(Duration::from_secs(1000)));
        daemon.handle(Event::Seen(Sign::Network));
        assert!(wait(&daemon) > Some(Duration::from_secs(900)));
        daemon.handle(Event::Seen(Sign::Paused(Duration::from_secs(60))));
        assert_eq!(wait(&daemon), Some(RELOAD_PAUSE));
    }

    #[test]
    fn servers_that_count_as_fewer_are_warned_of() {
        let agreement = |agreeing, independent| Agreement { agreeing, independent, configured: 3 };
        assert_eq!(check_independent(agreement(2, 3)), Ok(()));
        let warning = check_independent(agreement(1, 2)).expect_err("two share an address");
        assert!(warning.ends_with("beyond the limits they count as 2"), "{warning}");
    }

    /// As if the clock had been set forward by a second after the last reading.
    fn set_clock_meanwhile(daemon: &mut Daemon<'_>) {
        let now = httptime::net::cross_timestamp();
        let before = now.wall().saturating_add(Offset::from_nanos(-1_000_000_000));
        let before = CrossTimestamp::new(now.instant(), before, now.uncertainty());
        daemon.clocks = Clocks { cross_timestamp: before, ..daemon.clocks };
    }

    #[test]
    fn a_clock_that_is_set_is_measured_at_once_and_one_that_is_set_again_and_again_less_often() {
        let fixture = Fixture::new("set");
        let mut daemon = fixture.daemon();
        daemon.wait(Ok(Duration::from_secs(1000)));
        assert_eq!(daemon.poll_clock(Instant::now()), None);
        assert!(wait(&daemon).is_some(), "nothing happened");
        set_clock_meanwhile(&mut daemon);
        daemon.poll_clock(Instant::now());
        for pause in [2, 4, 8] {
            assert_eq!(wait(&daemon), None, "measuring");
            set_clock_meanwhile(&mut daemon);
            daemon.handle(fixture.next());
            daemon.poll_clock(Instant::now());
            assert_eq!(wait(&daemon), Some(Duration::from_secs(pause)));
            daemon.poll_clock(daemon.begun + Duration::from_secs(pause));
        }
    }

    /// The file may have been changed because one of its servers lies.
    #[test]
    fn what_was_measured_with_the_settings_before_a_reload_is_not_used() {
        for requests in [1, 2] {
            let fixture = Fixture::new(&format!("old-{requests}"));
            let mut daemon = fixture.daemon();
            let client = daemon.client.clone();
            daemon.start(move || client.survey(|_| {}));
            fixture.configure(requests);
            daemon.handle(Event::Asked(Signal::Reload));
            assert_eq!(wait(&daemon), None);
            daemon.handle(fixture.next());
            // Unchanged settings have failed; changed ones have not been tried yet.
            assert_eq!(daemon.metrics.failures, u64::from(requests == 1));
            assert_eq!(wait(&daemon), Some(RELOAD_PAUSE));
        }
    }
}
