//! `httptime run`: stay, and keep the clock right.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use httptime::client::{Client, Survey};
use httptime::{ClockTie, Measurement};
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

/// What the loop waits for.
enum Event {
    Measured(Box<Survey>),
    Reload,
    End,
}

/// What the loop is doing.
#[derive(Debug, Clone, Copy)]
enum Doing {
    Waiting { until: Instant },
    Measuring { since: Instant },
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
    /// The wall clock as it was last known to be.
    tie: ClockTie,
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
    let daemon = Daemon {
        args,
        pace: pace(&settings),
        settings,
        client,
        keeper,
        metrics: Metrics::default(),
        unwritten: Complaint::default(),
        events,
        doing: Doing::Waiting { until: Instant::now() },
        tie: httptime::net::tie(),
        hurried: false,
        alive: Instant::now(),
        tick: service::watchdog().map_or(TICK, |watchdog| (watchdog / 2).min(TICK)),
    };
    daemon.run(&arriving)
}

fn load(args: &Run) -> Result<(Settings, Client), String> {
    let settings = Settings::load(&args.config).map_err(|error| error.to_string())?;
    let client = settings.client().map_err(|error| error.to_string())?;
    Ok((settings, client))
}

fn pace(settings: &Settings) -> Pace {
    Pace::new(settings.poll.shortest(), settings.poll.longest(), fastrand::Rng::new())
}

/// Has signals come in as events, on a thread of its own.
fn listen(events: SyncSender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let event = if signal == SIGHUP { Event::Reload } else { Event::End };
            if events.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

impl Daemon<'_> {
    fn run(mut self, arriving: &Receiver<Event>) -> u8 {
        info!("started, {}", self.args.config.display());
        self.write_metrics();
        service::ready();
        loop {
            let forbidden = match arriving.recv_timeout(self.patience()) {
                Ok(Event::End) => {
                    info!("ending");
                    service::stopping();
                    self.keeper.end();
                    return DONE;
                }
                Ok(Event::Reload) => {
                    self.reload();
                    false
                }
                Ok(Event::Measured(survey)) => self.measured(&survey),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
            };
            // After each event, too: a storm of them must not keep us from measuring.
            if forbidden || self.look_around() {
                return NO_PRIVILEGE;
            }
        }
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

    /// Measures when it is time, or earlier when the clock was set or the machine slept. Says whether that is
    /// forbidden.
    fn look_around(&mut self) -> bool {
        match self.doing {
            Doing::Measuring { since } => {
                // A measurement has a deadline of its own. One that outlives it by far has a resolver that hangs.
                let limits = self.client.config().limits();
                let deadline = 3 * (limits.duration() + limits.timeout()) + TICK;
                if since.elapsed() < deadline {
                    self.live();
                }
                false
            }
            Doing::Waiting { until } => {
                self.live();
                let moved = self.tie.stepped_by(httptime::net::tie());
                // Not twice in a row: whoever sets it again and again would have us measure without a pause.
                let hurry = moved.abs() > SET && !self.hurried;
                if hurry {
                    info!("the clock moved by {moved:.3} s: it was set, or the machine slept");
                }
                if !hurry && until > Instant::now() {
                    return false;
                }
                self.hurried = hurry;
                self.measure()
            }
        }
    }

    /// Starts a measurement. Says whether that is forbidden.
    fn measure(&mut self) -> bool {
        let expected = match self.keeper.prepare() {
            Ok(expected) => expected,
            Err(error) => return self.failed(&error),
        };
        let (mut client, events) = (self.client.clone(), self.events.clone());
        if let Some(interval) = expected {
            let config = client.config().clone().expecting(interval);
            client = client.with_config(config);
        }
        let work = move || {
            // Nobody listens any more once the program ends.
            let _ = events.send(Event::Measured(Box::new(client.survey(|_| {}))));
        };
        self.doing = Doing::Measuring { since: Instant::now() };
        self.tie = httptime::net::tie();
        if let Err(error) = thread::Builder::new().name("measurement".into()).spawn(work) {
            warn!("cannot start a thread: {error}");
            self.wait(None);
        }
        false
    }

    /// Says whether what follows from a measurement is forbidden.
    fn measured(&mut self, survey: &Survey) -> bool {
        self.metrics.surveyed(survey);
        for server in survey.servers().iter().filter(|server| !server.is_selected()) {
            match server.result() {
                Ok(measurement) => warn!(
                    "{}: falseticker ({} s, bounds {})",
                    server.url(),
                    measurement.offset(),
                    measurement.bounds()
                ),
                Err(error) => warn!("{}: {error}", server.url()),
            }
        }
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
        error!("{error}");
        self.metrics.failures += 1;
        self.wait(None);
        service::status(&error.to_string());
        self.write_metrics();
        error.is_forbidden()
    }

    /// From the beginning of this measurement to the next one: this long, or longer after each failure.
    fn wait(&mut self, interval: Option<Duration>) {
        let wait = match interval {
            Some(interval) => {
                // We may have set it ourselves. After a failure it is held against what it was before: if it was set
                // meanwhile, that is why, and the next measurement need not wait.
                self.tie = httptime::net::tie();
                self.hurried = false;
                self.pace.measured(interval)
            }
            None => self.pace.failed(),
        };
        self.metrics.interval_seconds = wait.as_secs_f64();
        let begun = match self.doing {
            Doing::Measuring { since } => since,
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
            (self.settings, self.client) = (settings, client);
            Ok(())
        });
        match reloaded {
            Ok(()) => info!("reloaded {}", self.args.config.display()),
            Err(message) => error!("{message}; going on with the old settings"),
        }
        service::ready();
    }
}

/// How often to look whether the clock was set.
const TICK: Duration = Duration::from_secs(10);
/// By how much the clock must have been moved to measure at once.
const SET: Duration = Duration::from_millis(20);
