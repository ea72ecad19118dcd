//! The JSON object of `httptime survey` (docs/json.md).

use std::collections::BTreeMap;

use httptime::{Error, Interval, Measurement, Offset, Url};
use serde::Serialize;

use super::skew::{Judged, Skews};

/// The whole object, without its version.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    threshold_seconds: f64,
    elapsed_seconds: f64,
    counts: Counts,
    reference: Option<Reference<'a>>,
    servers: Vec<Server<'a>>,
}

#[derive(Debug, Serialize)]
struct Counts {
    servers: usize,
    good: usize,
    suspect: usize,
    falseticker: usize,
    unknown: usize,
    failed: usize,
}

#[derive(Debug, Serialize)]
struct Reference<'a> {
    url: &'a Url,
    #[serde(flatten)]
    own: Own<'a>,
}

#[derive(Debug, Serialize)]
struct Server<'a> {
    url: &'a Url,
    labels: &'a BTreeMap<String, String>,
    status: &'static str,
    skew_seconds: Option<Offset>,
    skew_stddev_seconds: Option<f64>,
    skew_bounds_seconds: Option<Interval>,
    #[serde(flatten)]
    own: Own<'a>,
}

/// Against the local clock.
#[derive(Debug, Serialize)]
struct Own<'a> {
    offset_seconds: Option<Offset>,
    bounds_seconds: Option<Interval>,
    rtt_min_seconds: Option<f64>,
    lag_seconds: Option<f64>,
    requests: Option<u32>,
    http_status: Option<u16>,
    server: Option<&'a str>,
    error: Option<&'a Error>,
}

impl<'a> From<&'a Skews> for Document<'a> {
    fn from(skews: &'a Skews) -> Self {
        let count = skews.count();
        Self {
            threshold_seconds: skews.threshold().as_secs_f64(),
            elapsed_seconds: skews.elapsed().as_secs_f64(),
            counts: Counts {
                servers: skews.servers().len(),
                good: count.good,
                suspect: count.suspects,
                falseticker: count.falsetickers,
                unknown: count.unknown,
                failed: count.failed,
            },
            reference: skews
                .reference()
                .map(|(url, result)| Reference { url, own: Own::from(result) }),
            servers: skews.servers().iter().map(Server::from).collect(),
        }
    }
}

impl<'a> From<&'a Judged> for Server<'a> {
    fn from(judged: &'a Judged) -> Self {
        Self {
            url: &judged.server.url,
            labels: &judged.server.labels,
            status: judged.verdict.name(),
            skew_seconds: judged.skew.map(|it| it.estimate().offset()),
            skew_stddev_seconds: judged.skew.map(|it| it.estimate().stddev().as_secs_f64()),
            skew_bounds_seconds: judged.skew.map(|it| it.bounds()),
            own: Own::from(&judged.server.result),
        }
    }
}

impl<'a> From<&'a Result<Measurement, Error>> for Own<'a> {
    fn from(result: &'a Result<Measurement, Error>) -> Self {
        let measured = result.as_ref().ok();
        Self {
            offset_seconds: measured.map(Measurement::offset),
            bounds_seconds: measured.map(Measurement::bounds),
            rtt_min_seconds: measured.map(|it| it.round_trip_min().as_secs_f64()),
            lag_seconds: measured.map(|it| it.assumptions().lag().as_secs_f64()),
            requests: measured.map(Measurement::requests),
            http_status: measured.and_then(Measurement::http_status),
            server: measured.and_then(Measurement::server),
            error: result.as_ref().err(),
        }
    }
}
