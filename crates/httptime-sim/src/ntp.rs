use std::time::Duration;

use httptime::Offset;

/// The result of one four-timestamp exchange: NTP on the same path, for comparison with HTTP.
///
/// RFC 5905, section 8: offset = ((T2 − T1) + (T3 − T4)) / 2, delay = (T4 − T1) − (T3 − T2). T2 =
/// T3, unless the server [processes](crate::SimServer::processing) the request for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NtpSample {
    /// Server clock − local clock.
    pub offset: Offset,
    /// The round trip.
    pub delay: Duration,
    /// The error of `offset` at the end of the last exchange.
    pub error: Offset,
}

/// The sample with the shortest delay of the last eight: the offset of the clock filter of RFC 5905
/// (section 10).
#[must_use]
pub fn clock_filter(samples: &[NtpSample]) -> Option<NtpSample> {
    shortest_delay(&samples[samples.len().saturating_sub(STAGES)..])
}

/// The sample with the shortest delay.
#[must_use]
pub fn shortest_delay(samples: &[NtpSample]) -> Option<NtpSample> {
    samples.iter().copied().min_by_key(|sample| sample.delay)
}

/// NSTAGE of RFC 5905.
const STAGES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_filter_forgets_all_but_the_last_eight() {
        let sample = |delay| NtpSample {
            offset: Offset::ZERO,
            delay: Duration::from_millis(delay),
            error: Offset::ZERO,
        };
        let samples: Vec<_> = [1, 9, 8, 7, 6, 5, 2, 3, 4].map(sample).into();
        assert_eq!(clock_filter(&samples), Some(sample(2)));
        assert_eq!(shortest_delay(&samples), Some(sample(1)));
        assert_eq!(clock_filter(&[]), None);
    }
}
