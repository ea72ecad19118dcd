use std::time::Duration;

use httptime::{EndReason, Measurement};
use httptime::{Error, Offset};

/// One measurement and when it was. Times are since the run began.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it was begun.
    pub begun: Duration,
    /// When its result was there.
    pub ended: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has a result.
    Measured {
        /// Offset − true offset, in µs.
        error_us: f64,
        /// Whether its bounds contain the true offset.
        held: bool,
        /// Width of its bounds, in µs.
        width_us: f64,
        /// How many answers it rests on.
        responses: u32,
        /// What it was ended by before its time, if the server could no longer be asked.
        cut_short: Option<&'static str>,
    },
    /// It has none, for this reason.
    Failed(&'static str),
}

/// Once the server was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When it was told to stop.
    pub down: Duration,
    /// When it was seen to accept connections again.
    pub up: Duration,
}

impl Outcome {
    /// What a measurement of a server came to that is `truth` ahead.
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
    /// Whether the server was away, or had come back less than `grace` ago, at some time during the measurement.
    #[must_use]
    pub fn was_in_outage(&self, outages: &[Outage], grace: Duration) -> bool {
        outages.iter().any(|outage| self.begun <= outage.up + grace && self.ended >= outage.down)
    }

    /// Whether that was so when it ended.
    #[must_use]
    pub fn has_ended_in_outage(&self, outages: &[Outage], grace: Duration) -> bool {
        outages.iter().any(|outage| (outage.down..=outage.up + grace).contains(&self.ended))
    }
}
