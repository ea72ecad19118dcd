//! The long run: one process starts ten measurements a second for an hour against nginx with a
//! known skew, while nginx is reloaded or restarted every few seconds:
//! `cargo run --release -p httptime-benches --bin endure`.
//!
//! It fails in these cases: a measurement fails or ends early for any reason other than the
//! server's absence; bounds do not contain the true offset; a descriptor or thread leaks; memory
//! grows. Needs nginx and libfaketime.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use httptime::{Client, Config, Offset};
use httptime_benches::endure::{
    GRACE, MAX_RISE_KIB, Nginx, Outage, Outcome, Record, ResourceUsage, Run,
};

/// Measures a server that is reloaded and restarted every few seconds, with tens of measurements at
/// once
#[derive(Debug, Parser)]
struct Args {
    /// How long to start measurements, in seconds
    #[arg(long, default_value_t = 3600, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Measurements started per second
    #[arg(long, default_value_t = 10, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    per_second: u32,
    /// Maximum requests per measurement
    #[arg(long, default_value_t = 16, value_name = "N")]
    requests: u32,
    /// Maximum time per measurement, in seconds
    #[arg(long, default_value_t = 4, value_name = "S")]
    duration: u64,
    /// Seed for the start times, and for the reloads and restarts
    #[arg(long, default_value_t = 20_261_125)]
    seed: u64,
    /// Write every measurement and every restart to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args = Args::parse();
    println!(
        "seed {}; {} s at {} a second, each {} requests in {} s at most; grace {GRACE:?}, memory may rise by {MAX_RISE_KIB} KiB\n",
        args.seed, args.seconds, args.per_second, args.requests, args.duration
    );
    let mut random = fastrand::Rng::with_seed(args.seed);
    let nginx = Nginx::start(&format!("+{SKEW}s"), &mut random)?;
    let run = endure(&args, nginx, &mut random)?;
    print!("{run}");
    if let Some(file) = &args.csv {
        write_csv(&run, file)?;
    }
    let violations = run.violations();
    for objection in &violations {
        println!("FAILED: {objection}");
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn endure(
    args: &Args,
    mut nginx: Nginx,
    random: &mut fastrand::Rng,
) -> Result<Run, Box<dyn Error>> {
    let limit = Duration::from_secs(args.duration);
    let config = Config::builder().requests(args.requests).duration(limit).build()?;
    let client = Client::builder(nginx.url()).config(config).build()?;
    let truth = Offset::from(Duration::try_from_secs_f64(SKEW)?);
    // Written once from end to end, so that the memory is resident before the run.
    let count = args.seconds * args.per_second;
    let records: Vec<OnceLock<Record>> = (0..count).map(|_| OnceLock::new()).collect();
    let mut disturber_random = random.fork();

    let begun = Instant::now();
    let mut meanwhile = vec![ResourceUsage::take(begun.elapsed())?; args.seconds as usize];
    meanwhile.clear();
    let before = ResourceUsage::take(begun.elapsed())?;
    let (stop, stopped) = channel();
    let disturbances = thread::scope(|scope| -> Result<Disturbances, Box<dyn Error>> {
        let (nginx, disturber_random) = (&mut nginx, &mut disturber_random);
        let disturber =
            scope.spawn(move || Disturbances::disturb(nginx, disturber_random, begun, &stopped));
        for (index, record) in (0..).zip(&records) {
            let slot = Duration::from_secs(1) / args.per_second;
            let due = slot * index + slot.mul_f64(random.f64());
            thread::sleep(due.saturating_sub(begun.elapsed()));
            // The thread ends before `stopped` only if a command to nginx failed.
            if disturber.is_finished() {
                break;
            }
            thread::Builder::new().spawn_scoped(scope, || {
                let at = begun.elapsed();
                let outcome = Outcome::new(client.measure(), truth);
                record.get_or_init(|| Record { begun: at, ended: begun.elapsed(), outcome });
            })?;
            if (index + 1) % args.per_second == 0 {
                meanwhile.push(ResourceUsage::take(begun.elapsed())?);
            }
            if (index + 1) % (60 * args.per_second) == 0 {
                progress(begun.elapsed(), &records, meanwhile.last());
            }
        }
        drop(stop);
        let disturbances =
            disturber.join().map_err(|_| "the thread that restarts nginx panicked")?;
        Ok(disturbances?)
    })?;
    let after = wait_until_released(begun, before)?;
    drop(nginx);
    let warm = (Duration::from_secs(args.seconds.into()) / 10).max(limit * 2);
    meanwhile.retain(|sample| sample.at >= warm);
    Ok(Run {
        records: records.into_iter().filter_map(OnceLock::into_inner).collect(),
        outages: disturbances.outages,
        reloads: disturbances.reloads,
        before,
        meanwhile,
        after,
    })
}

/// The process's resources after all threads are gone. A thread can exist for a moment after it was
/// joined.
fn wait_until_released(begun: Instant, before: ResourceUsage) -> io::Result<ResourceUsage> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = ResourceUsage::take(begun.elapsed())?;
        let same = (now.descriptors, now.threads) == (before.descriptors, before.threads);
        if same || Instant::now() > deadline {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn progress(elapsed: Duration, records: &[OnceLock<Record>], sample: Option<&ResourceUsage>) {
    let (mut measured, mut failed) = (0_u32, 0_u32);
    for record in records.iter().filter_map(OnceLock::get) {
        match record.outcome {
            Outcome::Measured { .. } => measured += 1,
            Outcome::Failed(_) => failed += 1,
        }
    }
    eprintln!("{:.0} s: {measured} measured, {failed} failed, {sample:?}", elapsed.as_secs_f64());
}

/// Reloads and restarts of the server.
#[derive(Debug, Default)]
struct Disturbances {
    outages: Vec<Outage>,
    reloads: Vec<Duration>,
}

impl Disturbances {
    /// Reloads or restarts the server every few seconds until `stopped`, and leaves it running.
    fn disturb(
        nginx: &mut Nginx,
        random: &mut fastrand::Rng,
        begun: Instant,
        stopped: &Receiver<()>,
    ) -> io::Result<Self> {
        let mut all = Self::default();
        loop {
            let pause = Duration::from_millis(random.u64(2000..6000));
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return Ok(all);
            }
            if random.bool() {
                all.reloads.push(begun.elapsed());
                nginx.reload()?;
            } else {
                let down = begun.elapsed();
                nginx.stop()?;
                thread::sleep(Duration::from_millis(random.u64(0..1000)));
                nginx.start_again()?;
                all.outages.push(Outage { down, up: begun.elapsed() });
            }
        }
    }
}

fn write_csv(run: &Run, file: &PathBuf) -> Result<(), Box<dyn Error>> {
    let mut out = csv::Writer::from_path(file)?;
    out.write_record(["what", "begun_s", "ended_s", "error_us", "width_us", "responses", "kind"])?;
    let seconds = |time: Duration| format!("{:.6}", time.as_secs_f64());
    for record in &run.records {
        let (what, error_us, width_us, responses, kind) = match record.outcome {
            Outcome::Measured { error_us, width_us, responses, cut_short, .. } => (
                "measured",
                format!("{error_us:.1}"),
                format!("{width_us:.1}"),
                responses.to_string(),
                cut_short.unwrap_or_default(),
            ),
            Outcome::Failed(kind) => ("failed", String::new(), String::new(), String::new(), kind),
        };
        let (begun, ended) = (seconds(record.begun), seconds(record.ended));
        out.write_record([what, &begun, &ended, &error_us, &width_us, &responses, kind])?;
    }
    for outage in &run.outages {
        out.write_record(["away", &seconds(outage.down), &seconds(outage.up), "", "", "", ""])?;
    }
    for reload in &run.reloads {
        out.write_record(["reload", &seconds(*reload), &seconds(*reload), "", "", "", ""])?;
    }
    Ok(out.flush()?)
}

/// How far the server's clock is ahead, in seconds.
const SKEW: f64 = 38.116;
