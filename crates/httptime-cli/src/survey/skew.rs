//! Pure: from the measurements of many servers to their skews, and which clocks are wrong.
//!
//! ```text
//! skew         the server's clock − the reference's; without a reference, − the local clock
//! good         |estimate| ≤ threshold, and the Date was seen to advance
//! falseticker  the bounds of the skew are outside [−threshold, threshold] as a whole
//! suspect      neither: the estimate is beyond the threshold, or the Date did not advance
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use httptime::{Difference, Error, Measurement, Offset, Url};

/// A server and its result.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: Url,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) result: Result<Measurement, Error>,
}

/// What is known about the clock of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Suspect,
    Falseticker,
    /// It was measured, but the reference was not.
    Unknown,
    Failed,
}

/// A server, its skew and the verdict.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) server: Server,
    pub(crate) skew: Option<Difference>,
    pub(crate) verdict: Verdict,
}

/// All servers, those with the largest skew first, then those without.
#[derive(Debug)]
pub(crate) struct Skews {
    servers: Vec<Judged>,
    reference: Option<(Url, Result<Measurement, Error>)>,
    threshold: Duration,
    elapsed: Duration,
}

/// How many servers have each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) good: usize,
    pub(crate) suspects: usize,
    pub(crate) falsetickers: usize,
    pub(crate) unknown: usize,
    pub(crate) failed: usize,
}

impl Skews {
    pub(crate) fn new(
        servers: Vec<Server>,
        reference: Option<(Url, Result<Measurement, Error>)>,
        threshold: Duration,
        elapsed: Duration,
    ) -> Self {
        let of = reference.as_ref().map(|(_, result)| result);
        let mut servers: Vec<Judged> =
            servers.into_iter().map(|server| judge(server, of, threshold.into())).collect();
        let size = |it: &Judged| it.skew.map(|skew| skew.estimate().offset().abs());
        servers.sort_by_key(|it| std::cmp::Reverse(size(it)));
        Self { servers, reference, threshold, elapsed }
    }

    pub(crate) fn servers(&self) -> &[Judged] {
        &self.servers
    }

    pub(crate) const fn reference(&self) -> Option<&(Url, Result<Measurement, Error>)> {
        self.reference.as_ref()
    }

    pub(crate) const fn threshold(&self) -> Duration {
        self.threshold
    }

    pub(crate) const fn elapsed(&self) -> Duration {
        self.elapsed
    }

    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        for server in &self.servers {
            *match server.verdict {
                Verdict::Good => &mut count.good,
                Verdict::Suspect => &mut count.suspects,
                Verdict::Falseticker => &mut count.falsetickers,
                Verdict::Unknown => &mut count.unknown,
                Verdict::Failed => &mut count.failed,
            } += 1;
        }
        count
    }
}

impl Verdict {
    /// The name, also for machines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Suspect => "suspect",
            Self::Falseticker => "falseticker",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }

    fn of(skew: &Difference, has_advanced: bool, threshold: Offset) -> Self {
        if skew.is_beyond(threshold) {
            Self::Falseticker
        } else if has_advanced && Offset::from(skew.estimate().offset().abs()) <= threshold {
            Self::Good
        } else {
            Self::Suspect
        }
    }
}

fn judge(
    mut server: Server,
    reference: Option<&Result<Measurement, Error>>,
    threshold: Offset,
) -> Judged {
    let skew = match (&server.result, reference) {
        (Err(_), _) => return Judged { server, skew: None, verdict: Verdict::Failed },
        (Ok(_), Some(Err(_))) => return Judged { server, skew: None, verdict: Verdict::Unknown },
        (Ok(measurement), None) => Ok(Difference::from(measurement)),
        (Ok(measurement), Some(Ok(reference))) => measurement.difference(reference),
    };
    match skew {
        Ok(skew) => {
            let advanced = server.result.as_ref().is_ok_and(Measurement::has_date_advanced);
            let verdict = Verdict::of(&skew, advanced, threshold);
            Judged { server, skew: Some(skew), verdict }
        }
        Err(error) => {
            server.result = Err(error);
            Judged { server, skew: None, verdict: Verdict::Failed }
        }
    }
}
