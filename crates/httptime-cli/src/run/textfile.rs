//! Metrics for the textfile collector of Prometheus' `node_exporter`.

use std::fs;
use std::io;
use std::path::Path;

use httptime::survey::Survey;
use httptime::{Measurement, Offset};
use httptime_clock::Frequency;
use httptime_clock::state::replace_file;

use crate::status::document::QuorumReport;

/// Counters of a daemon since the start, and the latest values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) measurements: u64,
    pub(crate) failures: u64,
    pub(crate) requests: u64,
    pub(crate) steps: u64,
    pub(crate) refusals: u64,
    pub(crate) interval_seconds: f64,
    pub(crate) frequency: Option<Frequency>,
    pub(crate) state: StateMetrics,
    /// Of a program that has ended. Counters since its start would show nothing, so there are none.
    pub(crate) sync: Option<SyncMetrics>,
    last: Option<Last>,
    date_advanced: Option<bool>,
    servers: Vec<Server>,
}

/// Whether the clock is right, and what prevents it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StateMetrics {
    pub(crate) is_synchronised: bool,
    pub(crate) is_refused: bool,
    pub(crate) failures_in_a_row: u64,
    pub(crate) quorum: Option<QuorumReport>,
}

/// One run of `httptime sync`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncMetrics {
    pub(crate) exit_status: u8,
    /// By the local clock, after the correction.
    pub(crate) ended_unix_seconds: f64,
    /// Of an earlier run, if this one has not succeeded.
    pub(crate) earlier_success_unix_seconds: Option<f64>,
}

/// A server in the last measurement.
#[derive(Debug, Clone)]
struct Server {
    url: String,
    is_selected: bool,
    /// `None` if it was not measured.
    is_stamped: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    at_seconds: f64,
    offset: Offset,
    stddev_seconds: f64,
    lower: Offset,
    upper: Offset,
}

impl Metrics {
    /// Records a successful measurement.
    pub(crate) fn measured(&mut self, measurement: &Measurement) {
        self.measurements += 1;
        let at = Offset::from_nanos(measurement.server_time().as_unix_nanos());
        self.last = Some(Last {
            at_seconds: at.as_seconds(),
            offset: measurement.offset(),
            stddev_seconds: measurement.stddev().as_secs_f64(),
            lower: measurement.bounds().lower(),
            upper: measurement.bounds().upper(),
        });
    }

    /// Records the servers and which of them were selected.
    pub(crate) fn surveyed(&mut self, survey: &Survey) {
        let servers = survey.servers().iter();
        self.servers = servers
            .clone()
            .map(|server| Server {
                url: server.url().to_string(),
                is_selected: server.is_selected(),
                is_stamped: server.result().ok().map(|measurement| {
                    measurement.stamp().is_some_and(|stamp| stamp.rejected().is_none())
                }),
            })
            .collect();
        if let Ok(measurement) = survey.combined() {
            self.date_advanced = Some(measurement.has_date_advanced());
        }
        let requests = servers.filter_map(|server| server.result().ok());
        self.requests += requests.map(|measured| u64::from(measured.requests())).sum::<u64>();
    }

    /// Replaces the file atomically.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        replace_file(path, self.to_string().as_bytes())
    }
}

impl std::fmt::Display for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut metric = |name: &str, kind: &str, help: &str, value: String| {
            writeln!(f, "# HELP httptime_{name} {help}\n# TYPE httptime_{name} {kind}\n{value}")
        };
        let plain = |name: &str, value: String| format!("httptime_{name} {value}");
        if let Some(last) = self.last {
            let gauges = [
                (
                    "offset_seconds",
                    "Server clock minus local clock, before it was corrected; positive: the local clock was slow.",
                    last.offset.as_seconds(),
                ),
                ("offset_stddev_seconds", "Standard deviation of the offset.", last.stddev_seconds),
                (
                    "offset_lower_bound_seconds",
                    "The offset is certainly no less.",
                    last.lower.as_seconds(),
                ),
                (
                    "offset_upper_bound_seconds",
                    "The offset is certainly no more.",
                    last.upper.as_seconds(),
                ),
                (
                    LAST_SUCCESS,
                    "When the offset was last measured, by the server's clock.",
                    last.at_seconds,
                ),
            ];
            for (name, help, value) in gauges {
                metric(name, "gauge", help, plain(name, format!("{value:.9}")))?;
            }
        } else if let Some(earlier) = self.sync.and_then(|it| it.earlier_success_unix_seconds) {
            let help = "When the offset was last measured, by the server's clock.";
            metric(LAST_SUCCESS, "gauge", help, plain(LAST_SUCCESS, format!("{earlier:.9}")))?;
        }
        for (name, help, value) in self.state.gauges() {
            metric(name, "gauge", help, plain(name, value.to_string()))?;
        }
        if let Some(advanced) = self.date_advanced {
            let help = "Whether the Date, or the stamp in its place, was seen to advance in the last measurement; if not, nothing was done with it.";
            let value = u8::from(advanced).to_string();
            metric("date_advanced", "gauge", help, plain("date_advanced", value))?;
        }
        if let Some(frequency) = self.frequency {
            let help = "How much faster than its oscillator the clock is made to go, in parts per million.";
            let value = format!("{:.4}", frequency.as_ppm());
            metric("frequency_ppm", "gauge", help, plain("frequency_ppm", value))?;
        }
        if let Some(sync) = self.sync {
            let help = "When httptime sync last ended, by the local clock.";
            let value = format!("{:.3}", sync.ended_unix_seconds);
            let name = "sync_end_timestamp_seconds";
            metric(name, "gauge", help, plain(name, value))?;
            let help = "The exit status of httptime sync: 0 corrected, or nothing to do.";
            let value = sync.exit_status.to_string();
            metric("sync_exit_status", "gauge", help, plain("sync_exit_status", value))?;
        } else {
            let help = "Time between two measurements.";
            let value = format!("{:.3}", self.interval_seconds);
            metric("interval_seconds", "gauge", help, plain("interval_seconds", value))?;
        }
        let counters = [
            (
                "measurements_total",
                "Measurements that succeeded and were acted upon.",
                self.measurements,
            ),
            (
                "failures_total",
                "Measurements that failed, or could not be acted upon.",
                self.failures,
            ),
            ("requests_total", "Requests of the servers that could be measured.", self.requests),
            ("steps_total", "Steps of the clock.", self.steps),
            ("refusals_total", "Corrections refused by the policy.", self.refusals),
        ];
        for (name, help, value) in counters.into_iter().filter(|_| self.sync.is_none()) {
            metric(name, "counter", help, plain(name, value.to_string()))?;
        }
        let gauges = [
            (
                "server_selected",
                "Whether a server was reached and agrees with the majority.",
                of_servers(&self.servers, "server_selected", |server| Some(server.is_selected)),
            ),
            (
                "server_stamped",
                "Whether a server was measured by its stamps; if not, by its Date.",
                of_servers(&self.servers, "server_stamped", |server| server.is_stamped),
            ),
        ];
        for (name, help, values) in gauges {
            if !values.is_empty() {
                metric(name, "gauge", help, values)?;
            }
        }
        Ok(())
    }
}

impl StateMetrics {
    /// Name, help and value of each gauge.
    fn gauges(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut gauges = vec![
            (
                "synchronised",
                "Whether the clock is synchronised: the kernel reports it, and no correction is refused.",
                u64::from(self.is_synchronised),
            ),
            (
                "refused",
                "Whether the policy has refused the correction by the last measurement.",
                u64::from(self.is_refused),
            ),
            (
                "failures_in_a_row",
                "Failed measurements since the last success.",
                self.failures_in_a_row,
            ),
        ];
        if let Some(quorum) = self.quorum {
            let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            gauges.extend([
                ("servers", "Configured servers.", count(quorum.servers)),
                (
                    "servers_answered",
                    "Servers that could be measured in the last measurement.",
                    count(quorum.answered),
                ),
                (
                    "servers_agreeing",
                    "Servers in the largest group that agrees in the last measurement.",
                    count(quorum.agreeing),
                ),
                (
                    "quorum",
                    "Whether enough servers answered and agree in the last measurement.",
                    u64::from(quorum.is_reached),
                ),
            ]);
            if let Some(needed) = quorum.min_servers {
                let help = "How many servers must answer and agree.";
                gauges.push(("min_servers", help, count(needed)));
            }
        }
        gauges
    }
}

/// The time of the last success in a file that an earlier run has written.
pub(crate) fn last_success(path: &Path) -> Option<f64> {
    last_success_in(&fs::read_to_string(path).ok()?)
}

fn last_success_in(text: &str) -> Option<f64> {
    let value = |line: &str| {
        line.strip_prefix("httptime_")?.strip_prefix(LAST_SUCCESS)?.trim().parse().ok()
    };
    text.lines().find_map(value)
}

/// A line for each server that has this value.
fn of_servers(servers: &[Server], name: &str, value: fn(&Server) -> Option<bool>) -> String {
    let line = |server: &Server| {
        let (url, value) = (escaped(&server.url), u8::from(value(server)?));
        Some(format!("httptime_{name}{{url=\"{url}\"}} {value}"))
    };
    servers.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// A label's value in the exposition format.
pub(crate) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const LAST_SUCCESS: &str = "last_success_timestamp_seconds";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_sync_keeps_the_time_of_the_last_success_and_has_no_counters() {
        let failed = |earlier| Metrics {
            sync: Some(SyncMetrics {
                exit_status: 1,
                ended_unix_seconds: 1_795_000_000.5,
                earlier_success_unix_seconds: earlier,
            }),
            ..Metrics::default()
        };
        let text = failed(Some(1_794_999_000.25)).to_string();
        assert!(text.contains("\nhttptime_sync_exit_status 1\n"), "{text}");
        assert!(text.contains("\nhttptime_sync_end_timestamp_seconds 1795000000.500\n"), "{text}");
        assert!(!text.contains("_total") && !text.contains("interval"), "{text}");
        assert_eq!(last_success_in(&text), Some(1_794_999_000.25));
        assert_eq!(last_success_in(&failed(None).to_string()), None);
    }

    #[test]
    fn refusal_and_quorum_are_gauges() {
        let quorum = QuorumReport {
            servers: 3,
            answered: 2,
            agreeing: 1,
            min_servers: Some(2),
            is_reached: false,
        };
        let state = StateMetrics { is_refused: true, quorum: Some(quorum), ..Default::default() };
        let text = Metrics { state, ..Metrics::default() }.to_string();
        for line in [
            "synchronised 0",
            "refused 1",
            "servers 3",
            "servers_answered 2",
            "servers_agreeing 1",
            "quorum 0",
            "min_servers 2",
        ] {
            assert!(text.contains(&format!("\nhttptime_{line}\n")), "{line}: {text}");
        }
        assert!(!Metrics::default().to_string().contains("quorum"), "nothing was measured yet");
    }

    #[test]
    fn each_metric_has_its_help_and_type_before_it() {
        let metrics = Metrics {
            failures: 3,
            frequency: Some(Frequency::from_ppm(-12.5)),
            date_advanced: Some(false),
            servers: vec![
                Server { url: "http://a/\"b".into(), is_selected: true, is_stamped: Some(true) },
                Server { url: "http://c/".into(), is_selected: false, is_stamped: None },
            ],
            ..Metrics::default()
        };
        let text = metrics.to_string();
        assert!(
            text.contains("# TYPE httptime_failures_total counter\nhttptime_failures_total 3\n")
        );
        assert!(text.contains("\nhttptime_frequency_ppm -12.5000\n"), "{text}");
        assert!(text.contains("\nhttptime_date_advanced 0\n"), "{text}");
        assert!(text.contains(
            "\nhttptime_server_selected{url=\"http://a/\\\"b\"} 1\nhttptime_server_selected{url=\"http://c/\"} 0\n"
        ));
        assert!(text.ends_with(" gauge\nhttptime_server_stamped{url=\"http://a/\\\"b\"} 1\n"));
        assert!(!text.contains("offset"), "nothing was measured yet: {text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
