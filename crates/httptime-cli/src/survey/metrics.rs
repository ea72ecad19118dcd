//! The metrics of `httptime survey`, for the textfile collector of Prometheus' `node_exporter`.

use std::fmt::Write as _;

use super::list::URL;
use super::skew::{Judged, Skews, Verdict};
use crate::run::textfile::escaped;

type Value = fn(&Judged) -> Option<String>;

/// The whole file.
pub(crate) fn text(skews: &Skews, exit_status: u8, ended_unix_seconds: f64) -> String {
    let mut text = String::new();
    let gauges: [(&str, &str, Value); 6] = [
        (
            "skew_seconds",
            "The server's clock minus the reference's; positive: the server's clock is ahead.",
            |it| Some(format!("{:.9}", it.skew?.estimate().offset())),
        ),
        ("skew_stddev_seconds", "Standard deviation of the skew.", |it| {
            Some(format!("{:.9}", it.skew?.estimate().stddev().as_secs_f64()))
        }),
        ("skew_lower_bound_seconds", "The skew is certainly no less.", |it| {
            Some(format!("{:.9}", it.skew?.bounds().lower()))
        }),
        ("skew_upper_bound_seconds", "The skew is certainly no more.", |it| {
            Some(format!("{:.9}", it.skew?.bounds().upper()))
        }),
        ("measured", "Whether the server could be measured.", |it| {
            Some(u8::from(it.verdict != Verdict::Failed).to_string())
        }),
        (
            "falseticker",
            "Whether the bounds prove that the server's clock is off by more than the threshold.",
            |it| it.skew.map(|_| u8::from(it.verdict == Verdict::Falseticker).to_string()),
        ),
    ];
    let head = |text: &mut String, name: &str, help: &str| {
        let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} gauge");
    };
    for (name, help, value) in gauges {
        let mut values = skews.servers().iter().filter_map(|it| Some((it, value(it)?))).peekable();
        if values.peek().is_none() {
            continue;
        }
        head(&mut text, name, help);
        for (server, value) in values {
            let _ = writeln!(text, "{PREFIX}{name}{{{}}} {value}", labels(server));
        }
    }
    let is_measured = skews.reference().is_none_or(|(_, result)| result.is_ok());
    let plain = [
        (
            "reference_measured",
            "Whether the reference could be measured, or is the local clock.",
            u8::from(is_measured).to_string(),
        ),
        (
            "threshold_seconds",
            "The largest skew that is not wrong.",
            skews.threshold().as_secs_f64().to_string(),
        ),
        (
            "duration_seconds",
            "How long the survey took.",
            format!("{:.3}", skews.elapsed().as_secs_f64()),
        ),
        (
            "end_timestamp_seconds",
            "When the survey ended, by the local clock.",
            format!("{ended_unix_seconds:.3}"),
        ),
        ("exit_status", "The exit status of httptime survey.", exit_status.to_string()),
    ];
    for (name, help, value) in plain {
        head(&mut text, name, help);
        let _ = writeln!(text, "{PREFIX}{name} {value}");
    }
    text
}

fn labels(judged: &Judged) -> String {
    let url = judged.server.url.to_string();
    let labels = judged.server.labels.iter().map(|(name, value)| (name.as_str(), value));
    let all = std::iter::once((URL, &url)).chain(labels);
    all.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

const PREFIX: &str = "httptime_survey_";
