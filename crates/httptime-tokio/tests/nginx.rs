//! Measures the same nginx with the blocking client and on tokio, in turns: tokio must not cost
//! accuracy. nginx and libfaketime must be installed.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use httptime::schedule::Profile;
use httptime::{Config, Error, Measurement};
use httptime_testserver::nginx::{Nginx, SKEW};

/// Enough to see that it works. `HTTPTIME_RUNS=30` also compares the medians: on a busy machine
/// fewer runs are not enough for that.
const RUNS: usize = 6;
const RUNS_TO_COMPARE: usize = 30;
const REQUESTS: u32 = 16;

/// Errors of one kind of client.
struct Errors {
    name: &'static str,
    sorted: Vec<Duration>,
    rescheduled: u32,
}

impl Errors {
    fn new(name: &'static str) -> Self {
        Self { name, sorted: Vec::new(), rescheduled: 0 }
    }

    fn add(&mut self, measurement: &Measurement) {
        assert!(measurement.bounds().contains(SKEW), "{}: {measurement:?}", self.name);
        self.sorted.push(measurement.offset().saturating_sub(SKEW).abs());
        self.sorted.sort();
    }

    fn root_mean_square(&self) -> Duration {
        let squares = self.sorted.iter().map(|error| error.as_secs_f64().powi(2)).sum::<f64>();
        let count = u32::try_from(self.sorted.len()).expect("few");
        Duration::from_secs_f64((squares / f64::from(count)).sqrt())
    }

    /// Prints and returns the median.
    fn median(&self) -> Duration {
        let at = |part: usize| self.sorted[self.sorted.len() * part / 100];
        println!(
            "{}: {} runs: error median {:?}, 90 % {:?}, largest {:?}; {} rescheduled",
            self.name,
            self.sorted.len(),
            at(50),
            at(90),
            self.sorted[self.sorted.len() - 1],
            self.rescheduled,
        );
        at(50)
    }
}

fn runs() -> usize {
    let runs = std::env::var("HTTPTIME_RUNS").ok().and_then(|runs| runs.parse().ok());
    runs.unwrap_or(RUNS)
}

/// `fast` plans requests at shorter intervals than one connection after the other can be opened.
#[test]
fn nginx_that_closes_its_connections_is_measured_as_well_by_fast() -> Result<(), Error> {
    let nginx = Nginx::start(&["", "keepalive_timeout 0;", "keepalive_requests 2;"]);
    let config = Config::builder().profile(Profile::Fast).build()?;
    let names = ["keep-alive", "closes each time", "closes after 2 requests"];
    let mut all = names.map(Errors::new);
    let runs = runs();
    for _ in 0..runs {
        for (index, errors) in all.iter_mut().enumerate() {
            let client = httptime::Client::builder(nginx.url(index)).config(config.clone());
            errors.add(&client.build()?.measure()?);
        }
    }
    let [kept, closed, closed_after_two] = all.map(|errors| {
        errors.median();
        errors.root_mean_square()
    });
    let kept = kept.max(Duration::from_micros(20));
    for spread in [closed, closed_after_two] {
        let is_as_good = runs < RUNS_TO_COMPARE || spread <= 3 * kept;
        assert!(is_as_good, "{spread:?} where nginx closes, {kept:?} where it does not");
    }
    Ok(())
}

/// The examples that people copy, unchanged.
#[test]
fn the_examples_measure_three_servers() {
    let nginx = Nginx::start(&["", "keepalive_timeout 0;", "keepalive_requests 2;"]);
    let urls: Vec<String> = (0..3).map(|index| nginx.url(index)).collect();
    let example = |name: &str| {
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "-p", "httptime-examples", "--example", name, "--"]);
        command.args(&urls).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    let output = example("own_io").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.starts_with("measured +38.11"), "{text}");

    let mut agent = example("tokio_agent");
    let mut agent = agent.process_group(0).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(agent.stdout.take().expect("piped")).lines();
    let found = lines.find_map(|line| line.ok().filter(|line| line.contains("+38.11")));
    // To cargo and to the agent, as Ctrl-C on a terminal does.
    let group = format!("-{}", agent.id());
    let _ = Command::new("kill").args(["-INT", "--", &group]).status();
    let status = agent.wait().expect("a child");
    assert!(found.is_some(), "no measurement; it ended with {status}");
}

#[test]
fn on_tokio_nginx_is_measured_as_well_as_by_the_blocking_client() -> Result<(), Error> {
    let nginx = Nginx::start(&[""]);
    let config = Config::builder().requests(REQUESTS).build()?;
    let blocking = httptime::Client::builder(nginx.url(0)).config(config.clone()).build()?;
    let on_tokio = httptime_tokio::Client::builder().server(nginx.url(0)).config(config).build()?;
    let current = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let several =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (current, several) = (current.expect("a runtime"), several.expect("a runtime"));

    let mut by_blocking = Errors::new("blocking");
    let mut by_current = Errors::new("tokio, current thread");
    let mut by_several = Errors::new("tokio, several threads");
    let runs = runs();
    for _ in 0..runs {
        let survey = blocking.survey(|update| {
            let is_late = matches!(update.event(), httptime::session::Event::Rescheduled { .. });
            by_blocking.rescheduled += u32::from(is_late);
        });
        by_blocking.add(&survey.into_combined()?);
        for (runtime, errors) in [(&current, &mut by_current), (&several, &mut by_several)] {
            let client = on_tokio.clone();
            let task = async move {
                let (mut running, mut rescheduled) = (client.start(), 0);
                while let Some(update) = running.next().await {
                    let is_late =
                        matches!(update.event, httptime::session::Event::Rescheduled { .. });
                    rescheduled += u32::from(is_late);
                }
                (running.finish().into_combined(), rescheduled)
            };
            let (measured, rescheduled) = runtime.block_on(runtime.spawn(task)).expect("no panic");
            errors.rescheduled += rescheduled;
            errors.add(&measured?);
        }
    }
    let blocking = by_blocking.median();
    for median in [by_current.median(), by_several.median()] {
        let is_as_good = runs < RUNS_TO_COMPARE || median <= 2 * blocking;
        assert!(is_as_good, "{median:?} on tokio, {blocking:?} by the blocking client");
    }
    Ok(())
}
