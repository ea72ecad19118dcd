//! The output of `httptime survey` for people.

use std::fmt::Write as _;

use httptime::Span;

use super::skew::{Count, Judged, Skews};
use crate::measure_options::Via;
use crate::report::{explained, rounded_outwards};

/// A line for each server, the largest skew first, and a summary. Without the last newline.
pub(crate) fn text(skews: &Skews, via: Option<&Via>) -> String {
    let mut text = format!("{}\n", columns("STATUS", "SKEW (s)", "± (s)", "BOUNDS", "SERVER"));
    for server in skews.servers() {
        let _ = writeln!(text, "{}", line(server, via));
    }
    if let Some((url, Err(error))) = skews.reference() {
        let error = explained(error, via);
        let _ = writeln!(text, "reference {url} could not be measured: {error}");
    }
    text.push_str(&summary(skews));
    text
}

fn line(judged: &Judged, via: Option<&Via>) -> String {
    let url = judged.server.url.to_string();
    let server = match &judged.server.result {
        Ok(_) => url,
        Err(error) => format!("{url}: {}", explained(error, via)),
    };
    let status = judged.verdict.name();
    match judged.skew {
        Some(skew) => columns(
            status,
            &format!("{:+.6}", skew.estimate().offset()),
            &format!("{:.6}", skew.estimate().stddev().as_secs_f64()),
            &rounded_outwards(skew.bounds(), 6),
            &server,
        ),
        None => columns(status, "-", "-", "-", &server),
    }
}

fn columns(status: &str, skew: &str, deviation: &str, bounds: &str, server: &str) -> String {
    format!("{status:<11} {skew:>14} {deviation:>9}  {bounds:<28} {server}")
}

fn summary(skews: &Skews) -> String {
    let Count { good, suspects, falsetickers, unknown, failed } = skews.count();
    let servers = skews.servers().len();
    let counts = [
        (falsetickers, "falseticker", "falsetickers"),
        (suspects, "suspect", "suspects"),
        (failed, "failed", "failed"),
        (unknown, "unknown", "unknown"),
        (good, "good", "good"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, several)| format!("{count} {}", if count == 1 { one } else { several }))
        .collect();
    let reference =
        skews.reference().map_or_else(|| "the local clock".into(), |it| it.0.to_string());
    format!(
        "{servers} {} in {:.1} s: {}; threshold {}, reference {reference}",
        if servers == 1 { "server" } else { "servers" },
        skews.elapsed().as_secs_f64(),
        counts.join(", "),
        Span::new(skews.threshold()),
    )
}
