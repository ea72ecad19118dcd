//! Evidence: what exchanges prove about the offset, as intervals that are intersected and aged.
//!
//! At the instant tᵢ an exchange proves lowerᵢ ≤ θ(tᵢ) ≤ upperᵢ. If the frequencies of the two
//! clocks differ by at most ρ, then at t ≥ tᵢ
//!
//! ```text
//! max (lowerᵢ − ρ (t − tᵢ))  ≤  θ(t)  ≤  min (upperᵢ + ρ (t − tᵢ))
//! ```
//!
//! With a known frequency error f both ends of an interval move by f (t − tᵢ) instead. The bounds,
//! the remaining uncertainty at which a schedule aims, and the ends that estimators use are all
//! [`Evidence`]. They differ in the lag (included or not) and in ρ.

use std::time::Duration;

use crate::time::{Interval, LocalInstant, Offset, duration_to_nanos};

/// The ends of the interval that is proved for the offset. Unlike an [`Interval`], they can
/// contradict each other: `lower > upper`.
///
/// The unit is whole nanoseconds ([`Offset`]), or floating-point nanoseconds from an origin close
/// by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Evidence<V = Offset> {
    pub(crate) lower: V,
    pub(crate) upper: V,
}

/// Which ends an intersection has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NarrowedEnds {
    pub(crate) lower: bool,
    pub(crate) upper: bool,
}

impl<V: Copy + PartialOrd> Evidence<V> {
    pub(crate) const fn new(lower: V, upper: V) -> Self {
        Self { lower, upper }
    }

    /// Intersects with other evidence at the same instant.
    pub(crate) fn narrow(&mut self, other: Self) -> NarrowedEnds {
        // Plain comparisons: `f64::max` also handles NaN, which takes longer than the rest of the
        // posterior.
        let narrowed =
            NarrowedEnds { lower: other.lower > self.lower, upper: other.upper < self.upper };
        self.lower = if narrowed.lower { other.lower } else { self.lower };
        self.upper = if narrowed.upper { other.upper } else { self.upper };
        narrowed
    }
}

impl Evidence<Offset> {
    /// The evidence `elapsed` later, if the frequencies of the clocks differ by at most
    /// `drift_ppm`.
    pub(crate) fn aged(self, elapsed: Duration, drift_ppm: u32) -> Self {
        let by = drift(elapsed, drift_ppm);
        Self { lower: self.lower.saturating_sub(by), upper: self.upper.saturating_add(by) }
    }

    /// The interval; `None` if the ends contradict each other.
    pub(crate) fn interval(self) -> Option<Interval> {
        Interval::new(self.lower, self.upper)
    }

    /// From the lower to the upper end. If they contradict each other: the gap between them.
    pub(crate) fn hull(self) -> Interval {
        Interval::between(self.lower, self.upper)
    }

    /// Upper minus lower end; negative if they contradict each other.
    pub(crate) const fn width(self) -> Offset {
        self.upper.saturating_sub(self.lower)
    }
}

impl From<Interval> for Evidence<Offset> {
    fn from(interval: Interval) -> Self {
        Self { lower: interval.lower(), upper: interval.upper() }
    }
}

impl Evidence<f64> {
    /// No evidence.
    pub(crate) const UNBOUNDED: Self = Self { lower: f64::NEG_INFINITY, upper: f64::INFINITY };

    /// The evidence at another instant, until which the offset changes by `by`.
    pub(crate) fn shifted(self, by: f64) -> Self {
        Self { lower: self.lower + by, upper: self.upper + by }
    }

    /// Moves both ends inwards by `by`.
    pub(crate) fn shrunk(self, by: f64) -> Self {
        Self { lower: self.lower + by, upper: self.upper - by }
    }

    /// Upper minus lower end; negative if they contradict each other.
    pub(crate) fn width(self) -> f64 {
        self.upper - self.lower
    }
}

/// The [`Evidence`] of successive exchanges, at the instant of the latest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgedEvidence {
    evidence: Evidence,
    at: LocalInstant,
    drift_ppm: u32,
}

impl AgedEvidence {
    pub(crate) const fn new(evidence: Evidence, at: LocalInstant, drift_ppm: u32) -> Self {
        Self { evidence, at, drift_ppm }
    }

    /// The evidence at [`at`](Self::at).
    pub(crate) const fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The latest instant for which there is evidence.
    pub(crate) const fn at(&self) -> LocalInstant {
        self.at
    }

    /// Intersects with evidence for the instant `at`, which may be before or after this one's. The
    /// older evidence is aged to the later instant.
    pub(crate) fn narrow(&mut self, evidence: Evidence, at: LocalInstant) -> NarrowedEnds {
        let latest = self.at.max(at);
        self.evidence = self.evidence.aged(latest.saturating_since(self.at), self.drift_ppm);
        self.at = latest;
        self.evidence.narrow(evidence.aged(latest.saturating_since(at), self.drift_ppm))
    }
}

/// The largest change of the offset in `elapsed` if the frequencies differ by at most `ppm` parts
/// per million, rounded up.
pub(crate) fn drift(elapsed: Duration, ppm: u32) -> Offset {
    let (nanos, ppm) = (duration_to_nanos(elapsed), i64::from(ppm));
    let rest = nanos % 1_000_000 * ppm;
    let whole = (nanos / 1_000_000).saturating_mul(ppm);
    let rest = rest / 1_000_000 + i64::from(rest % 1_000_000 != 0);
    Offset::from_nanos(whole.saturating_add(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(lower: i64, upper: i64) -> Evidence {
        Evidence::new(Offset::from_nanos(lower), Offset::from_nanos(upper))
    }

    #[test]
    fn drift_is_rounded_up_and_saturates() {
        assert_eq!(drift(Duration::from_secs(10), 100), Offset::from_nanos(1_000_000));
        assert_eq!(drift(Duration::from_nanos(1), 1), Offset::from_nanos(1));
        assert_eq!(drift(Duration::ZERO, 100), Offset::ZERO);
        let century = Duration::from_secs(3_155_760_000);
        assert_eq!(drift(century, 10_000), Offset::from(century / 100));
        assert_eq!(drift(Duration::MAX, u32::MAX), Offset::from_nanos(i64::MAX));
    }

    #[test]
    fn the_sharper_end_of_each_counts_and_a_tie_keeps_the_older() {
        let mut all = evidence(0, 10);
        assert_eq!(all.narrow(evidence(2, 10)), NarrowedEnds { lower: true, upper: false });
        assert_eq!(all, evidence(2, 10));
        all.narrow(evidence(12, 20));
        assert_eq!((all.interval(), all.width()), (None, Offset::from_nanos(-2)));
        assert_eq!(all.hull(), evidence(10, 12).hull());
    }

    #[test]
    fn the_older_evidence_ages_whichever_comes_first() {
        let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
        let old = (evidence(-500_000, 500_000), at(0));
        let new = (evidence(-700_000, 550_000), at(1_000));
        // 100 µs in a second, at 100 ppm.
        for (first, second) in [(old, new), (new, old)] {
            let mut all = AgedEvidence::new(first.0, first.1, 100);
            all.narrow(second.0, second.1);
            assert_eq!((all.evidence(), all.at()), (evidence(-600_000, 550_000), at(1_000)));
        }
    }

    #[test]
    fn a_known_frequency_moves_both_ends_equally() {
        let mut all = Evidence::<f64>::UNBOUNDED;
        all.narrow(Evidence::new(-1.0, 5.0).shifted(2.0));
        assert_eq!(all, Evidence::new(1.0, 7.0));
        assert_eq!((all.width(), all.shrunk(1.0)), (6.0, Evidence::new(2.0, 6.0)));
    }
}
