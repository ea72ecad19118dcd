use std::time::Duration;

use httptime::{EndReason, Measurement};
use httptime::{Error, Offset};

/// One measurement and its times since the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Start.
    pub begun: Duration,
    /// End, with a result or an error.
    pub ended: Duration,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The measurement has a result.
    Measured {
        /// Offset − true offset, in µs.
        error_us: f64,
        /// Whether its bounds contain the true offset.
        held: bool,
        /// Width of its bounds, in µs.
        width_us: f64,
        /// Number of responses used.
        responses: u32,
        /// The error that ended the measurement early, if the server could no longer be reached.
        cut_short: Option<&'static str>,
    },
    /// The measurement has no result, for this reason.
    Failed(&'static str),
}

/// A period in which the server was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When the server was told to stop.
    pub down: Duration,
    /// When the server was seen to accept connections again.
    pub up: Duration,
}

impl Outcome {
    /// The outcome of a measurement of a server that is ahead by `truth`.
    #[must_use]
    pub fn new(result: Result<Measurement, Error>, truth: Offset) -> Self {
        match result {
            Ok(measurement) => Self::Measured {
                error_us: measurement.offset().saturating_sub(truth).as_seconds() * 1e6,
                held: measurement.bounds().contains(truth),
                width_us: measurement.bounds().width().as_secs_f64() * 1e6,
                responses: measurement.observations(),
                cut_short: match measurement.end_reason() {
                    EndReason::Lost(error) => Some(error.kind()),
                    _ => None,
                },
            },
            Err(error) => Self::Failed(error.kind()),
        }
    }
}

impl Record {
    /// Whether the server was away at some time during the measurement, or had been back for less
    /// than `grace`.
    #[must_use]
    pub fn was_in_outage(&self, outages: &[Outage], grace: Duration) -> bool {
        outages.iter().any(|outage| self.begun <= outage.up + grace && self.ended >= outage.down)
    }

    /// Whether that was so when the measurement ended.
    #[must_use]
    pub fn has_ended_in_outage(&self, outages: &[Outage], grace: Duration) -> bool {
        outages.iter().any(|outage| (outage.down..=outage.up + grace).contains(&self.ended))
    }
}
