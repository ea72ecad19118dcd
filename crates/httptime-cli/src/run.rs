//! `httptime run`: stay, and keep the clock right.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use httptime::Client;
use httptime::survey::Survey;
use httptime::{CrossTimestamp, Measurement};
use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::complaint::Complaint;
use self::keeper::{KeepError, Keeper};
use self::pace::Pace;
use self::settings::Settings;
use self::textfile::Metrics;
use crate::args::Run;
use crate::{DONE, NO_PRIVILEGE, NOT_MEASURED, USAGE, report, service};

mod complaint;
mod keeper;
mod pace;
mod settings;
mod textfile;
mod worker;

/// What the loop waits for.
enum Event {
    /// The measurement of this number has ended.
    Measured(u64, Box<Survey>),
    /// Its thread has panicked, with this message.
    Lost(u64, String),
    /// The thread that waits for signals has panicked: no signal comes any more.
    Deaf(String),
    Reload,
    End,
}

/// What the loop is doing.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Waiting { until: Instant },
    Measuring { since: Instant, deadline: Duration },
}

/// Whether a configuration was taken over during the measurement under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reloaded {
    No,
    Unchanged,
    /// The measurement may be one of a server that was taken out because it lies.
    Changed,
}

struct Daemon<'a> {
    args: &'a Run,
    settings: Settings,
    client: Client,
    keeper: Keeper,
    pace: Pace,
    metrics: Metrics,
    unwritten: Complaint,
    events: SyncSender<Event>,
    doing: Doing,
    /// When the latest measurement was begun.
    begun: Instant,
    /// The number of the latest measurement. What comes of an earlier one that was given up is not used.
    number: u64,
    /// Shared with each thread that measures, so that its count tells how many there are.
    threads: Arc<()>,
    reloaded: Reloaded,
    /// The wall clock as it was last known to be.
    cross_timestamp: CrossTimestamp,
    /// Whether the latest measurement was begun before its time, as the clock had moved.
    hurried: bool,
    /// When the service manager was last told that we live.
    alive: Instant,
    tick: Duration,
}

pub(crate) fn run(args: &Run) -> u8 {
    let (settings, client) = match load(args) {
        Ok(loaded) => loaded,
        Err(message) => {
            report::complaint(&message);
            return USAGE;
        }
    };
    if args.check {
        return DONE;
    }
    // No more than one waits: signals that come faster than they are obeyed are one signal.
    let (events, arriving) = mpsc::sync_channel(1);
    if let Err(error) = listen(events.clone()) {
        report::complaint(&format!("cannot listen for signals: {error}"));
        return NOT_MEASURED;
    }
    let keeper = match Keeper::start(&settings) {
        Ok(keeper) => keeper,
        Err(error) => {
            error!("{error}");
            return if error.is_forbidden() { NO_PRIVILEGE } else { NOT_MEASURED };
        }
    };
    Daemon::new(args, settings, client, keeper, events).run(&arriving)
}

fn load(args: &Run) -> Result<(Settings, Client), String> {
    Settings::load(&args.config).map_err(|error| error.to_string())
}

fn pace(settings: &Settings) -> Pace {
    Pace::new(settings.poll.shortest(), settings.poll.longest(), fastrand::Rng::new())
}

/// Has signals come in as events, on a thread of its own.
fn listen(events: SyncSender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    worker::start("signals", events, Event::Deaf, move |events| {
        for signal in signals.forever() {
            let event = if signal == SIGHUP { Event::Reload } else { Event::End };
            if events.send(event).is_err() {
                return;
            }
        }
    })
}

impl<'a> Daemon<'a> {
    fn new(
        args: &'a Run,
        settings: Settings,
        client: Client,
        keeper: Keeper,
        events: SyncSender<Event>,
    ) -> Self {
        let now = Instant::now();
        Self {
            args,
            pace: pace(&settings),
            settings,
            client,
            keeper,
            metrics: Metrics::default(),
            unwritten: Complaint::default(),
            events,
            doing: Doing::Waiting { until: now },
            begun: now,
            number: 0,
            threads: Arc::default(),
            reloaded: Reloaded::No,
            cross_timestamp: httptime::net::cross_timestamp(),
            hurried: false,
            alive: now,
            tick: service::watchdog().map_or(TICK, |watchdog| (watchdog / 2).min(TICK)),
        }
    }

    fn run(mut self, arriving: &Receiver<Event>) -> u8 {
        info!("started, {}", self.args.config.display());
        self.write_metrics();
        service::ready();
        loop {
            // `self` has a sender, too: there is always one.
            let ended = arriving.recv_timeout(self.patience()).ok().and_then(|e| self.handle(e));
            // After each event, too: a storm of them must not keep us from measuring.
            if let Some(status) = ended.or_else(|| self.look_around(Instant::now())) {
                return status;
            }
        }
    }

    /// Does what follows from an event. Returns the exit status if that is the end.
    fn handle(&mut self, event: Event) -> Option<u8> {
        let forbidden = match event {
            Event::End => {
                info!("ending");
                return Some(self.end(DONE));
            }
            Event::Deaf(message) => {
                error!("no signal can be received any more: {message}; ending");
                return Some(self.end(NOT_MEASURED));
            }
            Event::Reload => {
                self.reload();
                false
            }
            Event::Measured(number, _) | Event::Lost(number, _) if number != self.number => false,
            Event::Measured(..) | Event::Lost(..) if self.reloaded == Reloaded::Changed => {
                info!("measured with the old settings; not used");
                self.reloaded = Reloaded::No;
                self.doing = Doing::Waiting { until: self.begun + RELOAD_PAUSE };
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
        self.keeper.end();
        status
    }

    fn patience(&self) -> Duration {
        match self.doing {
            Doing::Waiting { until } => {
                until.saturating_duration_since(Instant::now()).min(self.tick)
            }
            Doing::Measuring { .. } => self.tick,
        }
    }

    /// Says that we live, but not at each event of many.
    fn live(&mut self) {
        if self.alive.elapsed() >= self.tick / 2 {
            service::alive();
            self.alive = Instant::now();
        }
    }

    /// Measures when it is time, or earlier when the clock was set or the machine slept; gives up a measurement that hangs.
    /// Returns the exit status if that is the end.
    fn look_around(&mut self, now: Instant) -> Option<u8> {
        self.live();
        match self.doing {
            Doing::Measuring { since, deadline } if now >= since + deadline => {
                self.give_up(deadline)
            }
            Doing::Measuring { .. } => None,
            Doing::Waiting { until } => {
                let moved = self.cross_timestamp.stepped_by(httptime::net::cross_timestamp());
                // Not twice in a row: whoever sets it again and again would have us measure without a pause.
                let hurry = moved.abs() > SET && !self.hurried;
                if hurry {
                    info!("the clock moved by {moved:.3} s: it was set, or the machine slept");
                }
                if !hurry && until > now {
                    return None;
                }
                self.hurried = hurry;
                self.measure().then_some(NO_PRIVILEGE)
            }
        }
    }

    /// Goes on without the measurement under way. Its thread cannot be ended and stays until it ends by itself, so there must
    /// not be many: then the service manager has to start the program anew.
    fn give_up(&mut self, deadline: Duration) -> Option<u8> {
        self.number += 1;
        self.fail(&format!(
            "the measurement has not ended after {:.0} s; it is given up",
            deadline.as_secs_f64()
        ));
        let hanging = Arc::strong_count(&self.threads) - 1;
        (hanging > MOST_HANGING).then(|| {
            error!("{hanging} measurements hang; ending");
            self.end(NOT_MEASURED)
        })
    }

    /// Starts a measurement. Says whether that is forbidden.
    fn measure(&mut self) -> bool {
        let expected = match self.keeper.prepare() {
            Ok(expected) => expected,
            Err(error) => return self.failed(&error),
        };
        let mut client = self.client.clone();
        if let Some(interval) = expected {
            let config = client.config().clone().with_expected(interval);
            client = client.with_config(config);
        }
        self.start(move || client.survey(|_| {}));
        false
    }

    /// Measures on a thread of its own.
    fn start(&mut self, survey: impl FnOnce() -> Survey + Send + 'static) {
        self.begun = Instant::now();
        // A measurement has a deadline of its own. One that outlives this one hangs.
        let limits = self.client.config().limits();
        let deadline = 3 * (limits.duration() + limits.timeout()) + TICK;
        self.doing = Doing::Measuring { since: self.begun, deadline };
        self.cross_timestamp = httptime::net::cross_timestamp();
        self.number += 1;
        let (number, counted) = (self.number, Arc::clone(&self.threads));
        let lost = move |message| Event::Lost(number, message);
        let started = worker::start("measurement", self.events.clone(), lost, move |events| {
            let _counted = counted;
            // Nobody listens any more once the program ends.
            let _ = events.send(Event::Measured(number, Box::new(survey())));
        });
        if let Err(error) = started {
            self.fail(&format!("cannot start a thread: {error}"));
        }
    }

    /// Says whether what follows from a measurement is forbidden.
    fn measured(&mut self, survey: &Survey) -> bool {
        self.metrics.surveyed(survey);
        report::unselected(survey).for_each(|line| warn!("{line}"));
        let forbidden = match survey.combined() {
            Ok(measurement) => self.keep(measurement),
            Err(error) => {
                if survey.servers().len() > 1 {
                    warn!("{error}");
                }
                self.metrics.failures += 1;
                self.wait(None);
                service::status(&format!("cannot measure: {error}"));
                false
            }
        };
        self.write_metrics();
        forbidden
    }

    fn keep(&mut self, measurement: &Measurement) -> bool {
        let kept = match self.keeper.keep(measurement) {
            Ok(kept) => kept,
            Err(error) => return self.failed(&error),
        };
        self.metrics.measured(measurement);
        self.metrics.steps += u64::from(kept.stepped);
        self.metrics.refusals += u64::from(kept.refused);
        self.metrics.frequency = kept.frequency;
        self.wait(Some(kept.interval));
        let frequency = kept.frequency.map_or(String::new(), |f| format!(", frequency {f}"));
        let said = format!(
            "offset {:.6} s, bounds {:.6}{frequency}; next in {:.0} s",
            measurement.offset(),
            measurement.bounds(),
            kept.interval.as_secs_f64()
        );
        info!("{said}");
        service::status(&said);
        false
    }

    fn failed(&mut self, error: &KeepError) -> bool {
        self.fail(&error.to_string());
        error.is_forbidden()
    }

    /// Counts a measurement that came to nothing, and has it repeated.
    fn fail(&mut self, why: &str) {
        error!("{why}");
        self.metrics.failures += 1;
        self.wait(None);
        service::status(why);
        self.write_metrics();
    }

    /// From the beginning of this measurement to the next one: this long, or longer after each failure.
    fn wait(&mut self, interval: Option<Duration>) {
        let reloaded = mem::replace(&mut self.reloaded, Reloaded::No);
        let wait = match interval {
            Some(interval) => {
                // We may have set it ourselves. After a failure it is held against what it was before: if it was set
                // meanwhile, that is why, and the next measurement need not wait.
                self.cross_timestamp = httptime::net::cross_timestamp();
                self.hurried = false;
                self.pace.measured(interval)
            }
            // With the settings as they were before a reload, or with what the operator has repaired before it.
            None if reloaded != Reloaded::No => RELOAD_PAUSE,
            None => self.pace.failed(),
        };
        self.metrics.interval_seconds = wait.as_secs_f64();
        let begun = match self.doing {
            Doing::Measuring { since, .. } => since,
            Doing::Waiting { .. } => Instant::now(),
        };
        self.doing = Doing::Waiting { until: begun + wait };
    }

    fn write_metrics(&mut self) {
        if let Some(path) = &self.settings.textfile {
            let written = self.metrics.write(path);
            self.unwritten
                .hear(written.map_err(|error| format!("cannot write {}: {error}", path.display())));
        }
    }

    fn reload(&mut self) {
        service::reloading();
        let reloaded = load(self.args).and_then(|(settings, client)| {
            self.keeper.reload(&settings).map_err(|error| error.to_string())?;
            self.pace = pace(&settings);
            let changed = self.settings != settings;
            (self.settings, self.client) = (settings, client);
            Ok(changed)
        });
        match reloaded {
            Ok(changed) => {
                info!("reloaded {}", self.args.config.display());
                self.measure_soon(changed);
            }
            Err(message) => error!("{message}; going on with the old settings"),
        }
        service::ready();
    }

    /// Whoever reloads wants to see what comes of it, however long the pause would be.
    fn measure_soon(&mut self, changed: bool) {
        match &mut self.doing {
            Doing::Waiting { until } => *until = (self.begun + RELOAD_PAUSE).min(*until),
            Doing::Measuring { .. } if changed => self.reloaded = Reloaded::Changed,
            Doing::Measuring { .. } if self.reloaded == Reloaded::No => {
                self.reloaded = Reloaded::Unchanged;
            }
            Doing::Measuring { .. } => {}
        }
    }
}

/// How often to look whether the clock was set.
const TICK: Duration = Duration::from_secs(10);
/// By how much the clock must have been moved to measure at once.
const SET: Duration = Duration::from_millis(20);
/// From the beginning of a measurement to the next one after a reload, so that a storm of reloads is none of requests.
const RELOAD_PAUSE: Duration = Duration::from_secs(2);
/// Measurements given up whose threads may still be there.
const MOST_HANGING: usize = 4;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A daemon that feeds chronyd by a socket that is not there, and what it is told. Its configuration is removed with it.
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

        /// Port 9 discards what comes, where somebody listens at all.
        fn configure(&self, requests: u32) {
            let text = format!(
                "servers = ['http://127.0.0.1:9']\nproxy = ''\nmode = 'chrony'\n[measure]\n\
                 requests = {requests}\nduration = 1\ntimeout = 0.1\n"
            );
            fs::write(&self.args.config, text).expect("written");
        }

        fn daemon(&self) -> Daemon<'_> {
            let (settings, client) = load(&self.args).expect("a configuration");
            let keeper = Keeper::start(&settings).expect("nothing is opened");
            Daemon::new(&self.args, settings, client, keeper, self.events.clone())
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
        match daemon.doing {
            Doing::Waiting { until } => Some(until.saturating_duration_since(daemon.begun)),
            Doing::Measuring { .. } => None,
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
        assert_eq!(daemon.look_around(daemon.begun + Duration::from_secs(13)), None);
        assert_eq!((wait(&daemon), daemon.metrics.failures), (None, 0), "3 × 1.1 s + 10 s");
        assert_eq!(daemon.look_around(daemon.begun + Duration::from_secs(14)), None);
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
        for _ in 0..=MOST_HANGING {
            let client = daemon.client.clone();
            let (release, hanging) = mpsc::channel::<()>();
            releases.push(release);
            daemon.start(move || {
                let _ = hanging.recv();
                client.survey(|_| {})
            });
            statuses.push(daemon.look_around(daemon.begun + late));
        }
        let last = statuses.pop().expect("five");
        assert!(statuses.iter().all(Option::is_none), "{statuses:?}");
        assert_eq!(last, Some(NOT_MEASURED));
    }

    #[test]
    fn without_signals_it_ends_with_a_failure() {
        let fixture = Fixture::new("deaf");
        assert_eq!(fixture.daemon().handle(Event::Deaf("gone".into())), Some(NOT_MEASURED));
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
        daemon.handle(Event::Reload);
        assert!(wait(&daemon) > Some(Duration::from_secs(600)));
        fixture.configure(1);
        daemon.handle(Event::Reload);
        assert_eq!(wait(&daemon), Some(RELOAD_PAUSE));
    }

    /// The file may have been changed because a server in it lies.
    #[test]
    fn what_was_measured_with_the_settings_before_a_reload_is_not_used() {
        for requests in [1, 2] {
            let fixture = Fixture::new(&format!("old-{requests}"));
            let mut daemon = fixture.daemon();
            let client = daemon.client.clone();
            daemon.start(move || client.survey(|_| {}));
            fixture.configure(requests);
            daemon.handle(Event::Reload);
            assert_eq!(wait(&daemon), None);
            daemon.handle(fixture.next());
            // Unchanged settings have failed; changed ones have not been tried yet.
            assert_eq!(daemon.metrics.failures, u64::from(requests == 1));
            assert_eq!(wait(&daemon), Some(RELOAD_PAUSE));
        }
    }
}
