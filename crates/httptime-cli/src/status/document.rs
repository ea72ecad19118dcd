//! The status file of `httptime run`: the only definition of its schema, which docs/status.md
//! documents.

use serde::{Deserialize, Serialize};

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) schema: u32,
    pub(crate) state: State,
    /// In words.
    pub(crate) waiting_for: String,
    pub(crate) written: Moment,
    /// The next write is due by then; `None` if there will be none.
    pub(crate) expected_by_monotonic_seconds: Option<f64>,
    pub(crate) process: Process,
    pub(crate) mode: Mode,
    pub(crate) next_measurement: Option<Moment>,
    pub(crate) last_measurement: Option<LastMeasurement>,
    /// A failure after the last measurement that could be used.
    pub(crate) failure: Option<Failure>,
    /// The refusal of the last measurement.
    pub(crate) refusal: Option<Refused>,
    pub(crate) frequency: Option<FrequencyReport>,
    pub(crate) corrections: Corrections,
    pub(crate) counters: Counters,
    pub(crate) quorum: Option<QuorumReport>,
    #[serde(default)]
    pub(crate) votes: Option<Votes>,
    pub(crate) servers: Vec<Server>,
    /// Responses of the last measurement that may not be the servers', for people.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// The version of the schema. Fields may be added in a version; none is removed or changes its
/// meaning.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Measuring,
    Waiting,
    Stopped,
}

/// Which program corrects the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Clock,
    Chrony,
}

/// An instant on both clocks. The wall clock can be set, so only the monotonic one gives an age.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) unix_seconds: f64,
    pub(crate) monotonic_seconds: f64,
}

/// The daemon's process. The start distinguishes it from a later process with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) version: String,
    pub(crate) pid: u32,
    /// Field 22 of `/proc/PID/stat`; `None` where that does not exist.
    pub(crate) start_ticks: Option<u64>,
    /// `None` if the process may not read it.
    pub(crate) boot_id: Option<String>,
    pub(crate) config: String,
}

/// The last measurement that could be used, or that was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastMeasurement {
    /// On the wall clock of the servers.
    pub(crate) at: Moment,
    /// Server clock minus local clock, before the correction.
    pub(crate) offset_seconds: f64,
    pub(crate) stddev_seconds: f64,
    pub(crate) bounds_seconds: [f64; 2],
    /// Square root of the mean square of the offsets, newer ones weighted more.
    pub(crate) rms_offset_seconds: f64,
    pub(crate) rtt_min_seconds: f64,
    pub(crate) requests: u32,
    pub(crate) outcome: Outcome,
    /// What was added to the clock, at once or gradually.
    pub(crate) correction_seconds: f64,
    /// The largest error of the clock that the bounds permit after the correction.
    pub(crate) maximum_error_seconds: f64,
    /// Another measurement must confirm it before the clock is marked as synchronised.
    pub(crate) is_unconfirmed: bool,
}

/// What was done with a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Leave,
    Slew,
    Step,
    Refuse,
    /// Sent to chronyd.
    Sent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) at: Moment,
    /// How many in a row.
    pub(crate) count: u64,
    pub(crate) kind: Option<String>,
    pub(crate) message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) at: Moment,
    pub(crate) kind: String,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

/// How much faster than its oscillator the clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrequencyReport {
    pub(crate) correction_ppm: f64,
    pub(crate) stddev_ppm: f64,
}

/// Since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Corrections {
    pub(crate) steps: u64,
    pub(crate) slews: u64,
    pub(crate) last: Option<LastCorrection>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastCorrection {
    pub(crate) at: Moment,
    pub(crate) kind: Outcome,
    pub(crate) by_seconds: f64,
}

/// Since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    pub(crate) measurements: u64,
    pub(crate) failures: u64,
    pub(crate) refusals: u64,
    pub(crate) requests: u64,
}

/// Of the last measurement, whether it succeeded or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuorumReport {
    pub(crate) servers: usize,
    pub(crate) answered: usize,
    pub(crate) agreeing: usize,
    /// `None` if no measurement has succeeded yet.
    pub(crate) min_servers: Option<usize>,
    pub(crate) is_reached: bool,
}

/// Of the last measurement, whether it succeeded or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Votes {
    /// How many independent servers agree.
    pub(crate) agreeing: usize,
    /// How many there are: servers that share an address or a proxy count as one.
    pub(crate) independent: usize,
    /// How many must agree for a correction beyond the limits. `None`: no number is enough.
    pub(crate) needed: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Server {
    /// Without user name and password.
    pub(crate) url: String,
    pub(crate) status: ServerStatus,
    /// The last eight measurements, the latest in the lowest bit: 1 if it answered.
    pub(crate) reach: u8,
    /// The last one that succeeded.
    pub(crate) sample: Option<Sample>,
    /// The last measurement, if it failed.
    pub(crate) error: Option<ServerError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServerStatus {
    Selected,
    Falseticker,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) at: Moment,
    pub(crate) offset_seconds: f64,
    pub(crate) stddev_seconds: f64,
    pub(crate) bounds_seconds: [f64; 2],
    pub(crate) rtt_min_seconds: f64,
    pub(crate) requests: u32,
    pub(crate) http_status: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerError {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Moment {
    /// This much later on both clocks.
    pub(crate) fn later(self, seconds: f64) -> Self {
        Self {
            unix_seconds: self.unix_seconds + seconds,
            monotonic_seconds: self.monotonic_seconds + seconds,
        }
    }

    /// The time from this instant to a later one.
    pub(crate) fn seconds_until(self, later: Self) -> f64 {
        later.monotonic_seconds - self.monotonic_seconds
    }

    /// How far the wall clock was set forward between this instant and a later one.
    pub(crate) fn stepped_by(self, later: Self) -> f64 {
        (later.unix_seconds - self.unix_seconds) - self.seconds_until(later)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::*;

    /// A daemon that has measured three servers, one of which lies and one of which is dead.
    pub(crate) fn example() -> Document {
        let written = Moment { unix_seconds: 1_795_000_000.0, monotonic_seconds: 5000.0 };
        let at = written.later(-2.0);
        let sample = |offset_seconds: f64| Sample {
            at,
            offset_seconds,
            stddev_seconds: 0.000_11,
            bounds_seconds: [offset_seconds - 0.000_500_5, offset_seconds + 0.001_200_5],
            rtt_min_seconds: 0.000_4,
            requests: 24,
            http_status: Some(204),
        };
        let server = |url: &str, status, reach, sample| Server {
            url: url.into(),
            status,
            reach,
            sample,
            error: None,
        };
        let error = ServerError {
            kind: "connection_refused".into(),
            message: "cannot connect to 192.0.2.3:80: connection refused".into(),
        };
        let servers = vec![
            server("http://192.0.2.1/", ServerStatus::Selected, 0xff, Some(sample(0.000_213))),
            server("http://192.0.2.2/", ServerStatus::Falseticker, 0xff, Some(sample(3600.1))),
            Server {
                error: Some(error),
                ..server("http://192.0.2.3/", ServerStatus::Failed, 0, None)
            },
        ];
        let last = LastCorrection { at, kind: Outcome::Slew, by_seconds: 0.000_213 };
        Document {
            schema: SCHEMA,
            state: State::Waiting,
            waiting_for: "the next measurement".into(),
            written,
            expected_by_monotonic_seconds: Some(5074.0),
            process: Process {
                version: "0.1.0".into(),
                pid: 4711,
                start_ticks: Some(123_456),
                boot_id: None,
                config: "/etc/httptime/httptime.toml".into(),
            },
            mode: Mode::Clock,
            next_measurement: Some(written.later(64.0)),
            last_measurement: Some(LastMeasurement {
                at,
                offset_seconds: 0.000_213,
                stddev_seconds: 0.000_11,
                bounds_seconds: [-0.000_25, 0.001_402],
                rms_offset_seconds: 0.000_3,
                rtt_min_seconds: 0.000_4,
                requests: 48,
                outcome: Outcome::Slew,
                correction_seconds: 0.000_213,
                maximum_error_seconds: 0.001_402,
                is_unconfirmed: false,
            }),
            failure: None,
            refusal: None,
            frequency: Some(FrequencyReport { correction_ppm: -12.345, stddev_ppm: 0.21 }),
            corrections: Corrections { steps: 1, slews: 7, last: Some(last) },
            counters: Counters { measurements: 9, failures: 1, refusals: 0, requests: 420 },
            quorum: Some(QuorumReport {
                servers: 3,
                answered: 2,
                agreeing: 1,
                min_servers: Some(1),
                is_reached: true,
            }),
            votes: Some(Votes { agreeing: 1, independent: 3, needed: Some(2) }),
            servers,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_fields_of_later_versions_are_ignored() {
        let text = serde_json::to_string(&example()).expect("JSON");
        let read: Document = serde_json::from_str(&text).expect("a document");
        assert_eq!(read, example());
        let more = text.replacen('{', "{\"later\": [1],", 1);
        assert_eq!(serde_json::from_str::<Document>(&more).expect("a document"), example());
        // The first daemons wrote neither.
        let mut fields: Value = serde_json::from_str(&text).expect("JSON");
        fields
            .as_object_mut()
            .expect("an object")
            .retain(|name, _| !["votes", "warnings"].contains(&name.as_str()));
        let read: Document = serde_json::from_value(fields).expect("a document");
        assert_eq!(read, Document { votes: None, ..example() });
    }

    #[test]
    fn a_clock_that_was_set_is_seen_between_two_moments() {
        let first = Moment { unix_seconds: 1000.0, monotonic_seconds: 50.0 };
        let second = Moment { unix_seconds: 1038.0, monotonic_seconds: 60.0 };
        assert!((first.stepped_by(second) - 28.0).abs() < 1e-9);
        assert!(first.stepped_by(first.later(500.0)).abs() < 1e-9);
    }
}
