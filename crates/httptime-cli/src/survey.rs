//! `httptime survey`: the skew of many servers, from one thread.

use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

use httptime::session::MAX_CONNECTIONS;
use httptime::{IoError, ManyClient, Url};
use httptime_clock::state::replace_file;
use rustix::process::{Resource, getrlimit, setrlimit};

mod document;
mod list;
mod metrics;
mod skew;
mod table;

use self::list::{Listed, Unusable};
use self::skew::{Server, Skews};
use crate::args::Survey;
use crate::measure_options::{Given, Misuse, Via, client_builder};
use crate::server_arg::ServerArg;
use crate::status::document::Moment;
use crate::{DONE, FALSETICKER, NOT_MEASURED, OUTPUT_FAILED, USAGE, report};

pub(crate) fn run(survey: &Survey) -> u8 {
    let Some(every) = survey.every else { return once(survey) };
    loop {
        let next = Instant::now() + every.0;
        if once(survey) == USAGE {
            return USAGE;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()).max(SHORTEST_PAUSE));
    }
}

/// Reads the lists, measures all servers and reports. Returns the exit status.
fn once(survey: &Survey) -> u8 {
    let listed = match list::all(survey) {
        Ok(listed) => listed,
        Err(Unusable(reason)) => {
            report::print_error(&reason);
            return USAGE;
        }
    };
    let (client, via) = match client(survey, &listed) {
        Ok(client) => client,
        Err(misuse) => {
            report::print_error(&misuse.to_string());
            return USAGE;
        }
    };
    let begun = Instant::now();
    let results = match client.measure(|_, _| {}) {
        Ok(results) => results,
        Err(error) => {
            report::print_error(&format!("cannot wait for sockets: {}", IoError::from(&error)));
            return NOT_MEASURED;
        }
    };
    let mut measured = client.urls().cloned().zip(results);
    let reference = survey.reference.as_ref().and_then(|_| measured.next());
    let servers = listed.into_iter().zip(measured);
    let servers =
        servers.map(|(listed, (url, result))| Server { url, labels: listed.labels, result });
    let skews = Skews::new(servers.collect(), reference, survey.threshold.0, begun.elapsed());
    match survey.json {
        true => report::object(document::Document::from(&skews)),
        false => report::print(&table::text(&skews, via.as_ref())),
    }
    let status = exit_code(&skews);
    write_metrics(survey, &skews, status)
}

/// The client for the reference, if there is one, and these servers.
fn client(survey: &Survey, listed: &[Listed]) -> Result<(ManyClient, Option<Via>), Misuse> {
    let by = Given::CommandLine;
    let config = survey.measure_options.config_with_defaults(REQUESTS, DURATION, TARGET);
    let config = config.family(survey.route.family.wanted()).build();
    let config = config.map_err(|error| Misuse::of(error, by))?;
    let servers = listed.iter().map(|it| it.url.clone());
    let urls: Vec<String> = survey.reference.iter().map(ServerArg::url).chain(servers).collect();
    let method = survey.measure_options.method();
    let (builder, via) = client_builder(&urls, method, &survey.route, &survey.https, by)?;
    let client = builder.config(config).build_many().map_err(|error| Misuse::of(error, by))?;
    let urls: Vec<Url> = client.urls().cloned().collect();
    survey.https.check(&urls, via.as_ref()).map_err(|error| Misuse::of(error, by))?;
    let client = match survey.start_rate {
        Some(rate) => client.starts_per_second(rate),
        None => client,
    };
    let at_once = survey.at_once.map_or(AT_ONCE, NonZeroU32::get);
    let allowed = descriptors().saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_PER_SERVER;
    let at_once = at_once.min(allowed.max(1));
    Ok((client.at_once(NonZeroU32::new(at_once).unwrap_or(NonZeroU32::MIN)), via))
}

/// How many file descriptors this process can have. Raises the limit as far as is allowed.
fn descriptors() -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it fails, the limit stays.
    let _ = setrlimit(Resource::Nofile, limit);
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(u32::MAX, |current| u32::try_from(current).unwrap_or(u32::MAX))
}

fn exit_code(skews: &Skews) -> u8 {
    let count = skews.count();
    if count.falsetickers > 0 {
        FALSETICKER
    } else if count.good == skews.servers().len() {
        DONE
    } else {
        NOT_MEASURED
    }
}

/// Writes the metrics, if they are wanted. Returns the exit status.
fn write_metrics(survey: &Survey, skews: &Skews, status: u8) -> u8 {
    let Some(path) = &survey.textfile else { return status };
    let text = metrics::text(skews, status, Moment::now().unix_seconds);
    match replace_file(path, text.as_bytes()) {
        Ok(()) => status,
        Err(error) => {
            let path = path.display();
            report::print_error(&format!("cannot write {path}: {}", IoError::from(&error)));
            if status == DONE { OUTPUT_FAILED } else { status }
        }
    }
}

/// The requests to each server, by default. Each halves the uncertainty: a second
/// divided by 2¹⁰ is a millisecond. There are no checks among so few.
const REQUESTS: u32 = 12;
/// The time for them, by default.
const DURATION: Duration = Duration::from_secs(8);
/// A server is left alone at this standard deviation, by default: the requests of
/// others compete for the same instants.
const TARGET: Duration = Duration::from_micros(500);
const AT_ONCE: u32 = 1000;
/// Standard streams, the wait, and what resolvers open.
const OTHER_DESCRIPTORS: u32 = 64;
#[expect(clippy::cast_possible_truncation, reason = "a small number")]
const DESCRIPTORS_PER_SERVER: u32 = MAX_CONNECTIONS as u32;
/// Between two surveys, if one took longer than `--every`.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
