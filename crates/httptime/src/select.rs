//! Selects among several servers and combines their results.
//!
//! Each server's own observations are intersected first ([`Progress`](crate::Progress)). This
//! module compares the bounds of the servers, as the intersection and combine algorithms of RFC
//! 5905 do (sections 11.2.1 and 11.2.3). The largest group whose bounds have a common point is
//! selected if it is a majority and as large as the [`Quorum`] requires. A server outside the group
//! is a falseticker. The estimates of the survivors are weighted with their inverse variances.
//!
//! A falseticker whose bounds overlap the correct ones is also in that group. The intersection of
//! the group can then exclude the true offset. So the bounds of the result are the points that more
//! than half of the servers have in common (Marzullo 1984): they contain the true offset if the
//! bounds of more than half of the servers do.

use std::time::Duration;

use crate::agreement::Agreement;
use crate::error::Error;
use crate::estimate::Estimate;
use crate::evidence::{Evidence, drift};
use crate::measurement::{Assumptions, EndReason, Measurement};
use crate::time::{Interval, Offset, f64_to_nanos, nanos_to_duration, nanos_to_f64};
use crate::tls::CertificateCheck;

/// How many servers must answer and agree for a combined result.
///
/// ```
/// use httptime::select::Quorum;
///
/// assert_eq!(Quorum::majority_of(3).min_servers(), 2);
/// assert_eq!(Quorum::majority_of(4).min_servers(), 3);
/// assert_eq!(Quorum::majority_of(3).with_min_servers(1).min_servers(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quorum {
    configured: usize,
    min_servers: usize,
}

impl Quorum {
    /// A majority of the configured servers, whether they answer or not: ⌊n / 2⌋ + 1. So one of
    /// three servers alone is never enough.
    #[must_use]
    pub const fn majority_of(configured: usize) -> Self {
        Self { configured, min_servers: configured / 2 + 1 }
    }

    /// The same number of servers, of which `min_servers` must answer and agree. Below the
    /// majority, a smaller number of servers can decide if others fail or are blocked.
    #[must_use]
    pub const fn with_min_servers(self, min_servers: usize) -> Self {
        Self { min_servers, ..self }
    }

    /// The number of configured servers.
    #[must_use]
    pub const fn configured(self) -> usize {
        self.configured
    }

    /// How many must answer and agree.
    #[must_use]
    pub const fn min_servers(self) -> usize {
        self.min_servers
    }
}

/// The largest group of intervals that agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    bounds: Interval,
    survivors: Vec<bool>,
}

impl Selection {
    /// From the first to the last point that more than half of the intervals have in common. It
    /// contains the true offset if more than half of the intervals do: one falseticker of three
    /// cannot change that, whether it overlaps the others or not.
    #[must_use]
    pub const fn bounds(&self) -> Interval {
        self.bounds
    }

    /// Whether each interval survived, in the given order. The others are falsetickers.
    #[must_use]
    pub fn survivors(&self) -> &[bool] {
        &self.survivors
    }
}

/// Finds the majority among `intervals`, one of each server that answered.
///
/// # Errors
/// [`Error::NothingMeasured`] without an interval. [`Error::NoMajority`] if no more than half, or
/// fewer than `quorum` requires, have a common point. [`Error::AmbiguousMajority`] if two groups of
/// the same size have one, in different places.
pub fn select(intervals: &[Interval], quorum: Quorum) -> Result<Selection, Error> {
    let mut best: Option<Interval> = None;
    let mut agreeing = 0;
    let mut rival: Option<Interval> = None;
    // The common interval of a largest group begins where one of its members begins.
    for start in intervals.iter().map(|interval| interval.lower()) {
        let group = intervals.iter().filter(|interval| interval.contains(start));
        let count = group.clone().count();
        let end = group.map(|interval| interval.upper()).min();
        let common = end.and_then(|end| Interval::new(start, end));
        if count > agreeing {
            (best, agreeing, rival) = (common, count, None);
        } else if count == agreeing && common != best {
            rival = common;
        }
    }
    let Some(common) = best else { return Err(Error::NothingMeasured) };
    let answered = intervals.len();
    if agreeing * 2 <= answered || agreeing < quorum.min_servers {
        let Quorum { configured, min_servers } = quorum;
        let configured = configured.max(answered);
        return Err(Error::NoMajority { configured, answered, agreeing, min_servers });
    }
    if let Some(second) = rival {
        return Err(Error::AmbiguousMajority { first: common, second });
    }
    let survivors =
        intervals.iter().map(|interval| interval.intersection(common).is_some()).collect();
    Ok(Selection { bounds: majority(intervals).unwrap_or(common), survivors })
}

/// The smallest interval that contains every point that more than half have in common. Its ends are
/// ends of members.
fn majority(intervals: &[Interval]) -> Option<Interval> {
    let is_shared = |point: &Offset| {
        intervals.iter().filter(|interval| interval.contains(*point)).count() * 2 > intervals.len()
    };
    let first = intervals.iter().map(|interval| interval.lower()).filter(is_shared).min()?;
    let last = intervals.iter().map(|interval| interval.upper()).filter(is_shared).max()?;
    Interval::new(first, last)
}

/// Combines the measurements of several servers into one. Also returns, for each of them, whether
/// it is a survivor.
///
/// The result refers to the latest of their instants. The bounds of the others are widened by the
/// drift allowance up to that instant. The bounds of the result hold if those of more than half of
/// the servers do, and its estimate is within them. Its assumptions state the largest limit of the
/// lag of all survivors, and the required number of servers. Its [`Agreement`] counts the servers
/// as independent: their addresses are not known here.
///
/// All measurements must use the same local clocks, and the wall clock must not be set in between.
/// This is tested: between two cross-timestamps the wall clock and the monotonic clock may differ
/// by the drift allowance times the time between them, plus the uncertainties of both.
///
/// # Errors
/// As [`select`]. [`Error::ClockMismatch`] if the measurements did not use the same clock, or if it
/// was set in between.
pub fn combine(
    measurements: &[&Measurement],
    quorum: Quorum,
) -> Result<(Measurement, Vec<bool>), Error> {
    let latest = measurements
        .iter()
        .max_by_key(|measurement| measurement.at)
        .ok_or(Error::NothingMeasured)?;
    measurements.iter().try_for_each(|measurement| check_same_clock(measurement, latest))?;
    let aged: Vec<Interval> = measurements
        .iter()
        .map(|measurement| {
            let age = latest.at.saturating_since(measurement.at);
            let evidence = Evidence::from(measurement.bounds);
            evidence.aged(age, measurement.assumptions.drift_ppm).hull()
        })
        .collect();
    let selection = select(&aged, quorum)?;
    let survivors = || {
        measurements
            .iter()
            .zip(&selection.survivors)
            .filter_map(|(measurement, survives)| survives.then_some(*measurement))
    };
    let estimate = weighted_mean(survivors().map(Measurement::estimate), selection.bounds);
    let assumptions = survivors()
        .map(|measurement| measurement.assumptions)
        .max_by_key(Assumptions::lag)
        .map(|assumptions| Assumptions {
            min_servers: quorum.min_servers,
            certificates: weakest(survivors().map(|it| it.assumptions.certificates)),
            proxy_certificates: weakest(survivors().map(|it| it.assumptions.proxy_certificates)),
            ..assumptions
        })
        .ok_or(Error::NothingMeasured)?;
    let nearest = || survivors().min_by_key(|measurement| measurement.round_trip_min);
    let measurement = Measurement {
        estimate,
        bounds: selection.bounds,
        requests: measurements.iter().map(|measurement| measurement.requests).sum(),
        observations: survivors().map(|measurement| measurement.observations).sum(),
        checks: measurements.iter().map(|measurement| measurement.checks).sum(),
        date_advanced: 2 * survivors().filter(|measurement| measurement.date_advanced).count()
            > survivors().count(),
        sent_by_kernel: survivors().map(|measurement| measurement.sent_by_kernel).sum(),
        received_by_kernel: survivors().map(|measurement| measurement.received_by_kernel).sum(),
        started: measurements
            .iter()
            .map(|measurement| measurement.started)
            .min()
            .unwrap_or(latest.at),
        at: latest.at,
        begun: latest.begun,
        round_trip_min: survivors()
            .map(|measurement| measurement.round_trip_min)
            .min()
            .unwrap_or_default(),
        round_trip_quartile: nearest().map_or(Duration::ZERO, |it| it.round_trip_quartile),
        retry_after: measurements.iter().filter_map(|measurement| measurement.retry_after).max(),
        assumptions,
        agreement: Agreement::of_independent(survivors().count(), quorum.configured),
        server: None,
        stamp: common(survivors().map(|measurement| measurement.stamp.clone())),
        method: common(survivors().map(Measurement::method)),
        http_status: common(survivors().map(Measurement::http_status)),
        end_reason: EndReason::Enough,
    };
    Ok((measurement, selection.survivors))
}

/// The value that all of them have, if they are equal.
fn common<T: PartialEq>(mut all: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// The check that proves least; `None` if one of them was not made.
fn weakest(mut all: impl Iterator<Item = Option<CertificateCheck>>) -> Option<CertificateCheck> {
    let first = all.next()??;
    all.try_fold(first, |weakest, check| Some(weakest.weaker(check?)))
}

pub(crate) fn check_same_clock(one: &Measurement, other: &Measurement) -> Result<(), Error> {
    let (one_begun, other_begun) = (one.begun, other.begun);
    let between = one_begun.instant().saturating_since(other_begun.instant())
        + other_begun.instant().saturating_since(one_begun.instant());
    let drift_ppm = one.assumptions.drift_ppm.max(other.assumptions.drift_ppm);
    let uncertainty = one_begun.uncertainty().saturating_add(other_begun.uncertainty());
    let by = one_begun.stepped_by(other_begun).abs();
    if Offset::from(by) > drift(between, drift_ppm).saturating_add(uncertainty.into()) {
        let what = "the wall clocks of two measurements differ";
        return Err(Error::ClockMismatch { what, by });
    }
    Ok(())
}

/// The mean weighted with inverse variances, limited to `bounds`. If the estimates scatter more
/// than their standard deviations explain, the standard deviation is multiplied by the Birge ratio,
/// √(χ² / (n − 1)).
fn weighted_mean(estimates: impl Iterator<Item = Estimate> + Clone, bounds: Interval) -> Estimate {
    let reference = bounds.lower();
    let terms = estimates.map(|estimate| {
        let offset = nanos_to_f64(estimate.offset().saturating_sub(reference).as_nanos());
        let stddev = (estimate.stddev().as_secs_f64() * 1e9).max(1.0);
        (offset, stddev.powi(-2))
    });
    let weights: f64 = terms.clone().map(|(_, weight)| weight).sum();
    let mean = terms.clone().map(|(offset, weight)| offset * weight).sum::<f64>() / weights;
    let chi_squared: f64 =
        terms.clone().map(|(offset, weight)| weight * (offset - mean).powi(2)).sum();
    let freedom = u32::try_from(terms.count().saturating_sub(1)).unwrap_or(u32::MAX);
    let birge = if freedom == 0 { 1.0 } else { (chi_squared / f64::from(freedom)).sqrt().max(1.0) };
    let offset = reference.saturating_add(Offset::from_nanos(f64_to_nanos(mean)));
    let stddev: Duration = nanos_to_duration(f64_to_nanos(birge * weights.sqrt().recip()));
    Estimate::new(offset, stddev).within(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::measure::Measure;
    use crate::observation::Exchange;
    use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

    fn select_all(intervals: &[Interval]) -> Result<Selection, Error> {
        select(intervals, Quorum::majority_of(intervals.len()))
    }

    fn interval(lower: i64, upper: i64) -> Interval {
        Interval::new(Offset::from_nanos(lower), Offset::from_nanos(upper)).expect("in order")
    }

    #[test]
    fn one_server_is_its_own_majority() {
        let selection = select_all(&[interval(1, 5)]).expect("selected");
        assert_eq!((selection.bounds(), selection.survivors()), (interval(1, 5), &[true][..]));
    }

    #[test]
    fn one_liar_of_three_is_named_and_does_not_move_the_bounds() {
        for liar in [interval(-900, -800), interval(30, 40), interval(i64::MAX - 1, i64::MAX)] {
            let selection =
                select_all(&[interval(0, 10), liar, interval(5, 12)]).expect("selected");
            assert_eq!(selection.bounds(), interval(5, 10));
            assert_eq!(selection.survivors(), [true, false, true]);
        }
    }

    /// The true offset is zero, which the correct bounds contain. The falseticker's bounds are
    /// anywhere.
    #[test]
    fn one_liar_of_three_cannot_take_the_truth_out_of_the_bounds_nor_lead_beyond_the_honest() {
        let reach = || -4..=4;
        let any = || reach().flat_map(|lower| (lower..=4).map(move |upper| interval(lower, upper)));
        let honest: Vec<Interval> = any().filter(|one| one.contains(Offset::ZERO)).collect();
        for (one, two, liar) in honest
            .iter()
            .flat_map(|one| honest.iter().map(move |two| (*one, *two)))
            .flat_map(|(one, two)| any().map(move |liar| (one, two, liar)))
        {
            let Ok(selection) = select_all(&[one, liar, two]) else { continue };
            let bounds = selection.bounds();
            assert!(bounds.contains(Offset::ZERO), "{one} {two} {liar}: {bounds}");
            let farthest = (one.lower().min(two.lower()), one.upper().max(two.upper()));
            assert!(farthest.0 <= bounds.lower() && bounds.upper() <= farthest.1);
        }
    }

    #[test]
    fn intervals_that_touch_agree() {
        assert_eq!(
            select_all(&[interval(0, 5), interval(5, 9)]).expect("touch").bounds(),
            interval(5, 5)
        );
    }

    #[test]
    fn two_that_disagree_have_no_majority() {
        assert_eq!(
            select_all(&[interval(0, 5), interval(6, 9)]),
            Err(Error::NoMajority { configured: 2, answered: 2, agreeing: 1, min_servers: 2 })
        );
        assert_eq!(select_all(&[]), Err(Error::NothingMeasured));
    }

    #[test]
    fn two_majorities_are_an_error_and_no_guess() {
        let wide = interval(0, 100);
        let error = select_all(&[wide, interval(10, 20), interval(70, 80)]).expect_err("ambiguous");
        assert_eq!(
            error,
            Error::AmbiguousMajority { first: interval(10, 20), second: interval(70, 80) }
        );
    }

    #[test]
    fn the_sharper_estimate_weighs_more() {
        let bounds = interval(-1_000_000, 1_000_000);
        let sharp = Estimate::new(Offset::from_nanos(100), Duration::from_nanos(1000));
        let blunt = Estimate::new(Offset::from_nanos(1100), Duration::from_nanos(3000));
        let estimate = weighted_mean([sharp, blunt].into_iter(), bounds);
        assert_eq!(estimate.offset(), Offset::from_nanos(200));
        assert_eq!(estimate.stddev(), Duration::from_nanos(949));
    }

    #[test]
    fn estimates_that_scatter_more_than_they_say_give_a_larger_deviation() {
        let bounds = interval(-1_000_000, 1_000_000);
        let at = |nanos| Estimate::new(Offset::from_nanos(nanos), Duration::from_nanos(100));
        let estimate = weighted_mean([at(-10_000), at(10_000)].into_iter(), bounds);
        assert_eq!(estimate.offset(), Offset::ZERO);
        assert_eq!(estimate.stddev(), Duration::from_nanos(10_000));
    }

    #[test]
    fn the_bounds_limit_the_deviation_as_they_do_with_one_server() {
        let (bounds, blunt) = (interval(0, 1_000), Duration::from_nanos(50_000));
        let far = |offset| Estimate::new(Offset::from_nanos(offset), blunt);
        let estimate = weighted_mean([far(-9_000_000), far(500)].into_iter(), bounds);
        assert_eq!(estimate.offset(), Offset::ZERO);
        assert!(estimate.stddev() <= Duration::from_nanos(700), "{estimate:?}");
    }

    #[test]
    fn a_liar_that_overlaps_the_honest_cannot_take_the_truth_out_of_the_bounds() {
        let truth = Offset::from_nanos(3);
        let selection =
            select_all(&[interval(0, 10), interval(2, 12), interval(9, 11)]).expect("all");
        assert!(selection.bounds().contains(truth), "{}", selection.bounds());
    }

    #[test]
    fn one_of_three_left_alone_is_no_majority_unless_the_caller_allows_it() {
        let single = [interval(1, 5)];
        let error = select(&single, Quorum::majority_of(3)).expect_err("two did not answer");
        assert_eq!(
            error.to_string(),
            "no majority: 1 of 3 servers answered and 1 agrees; min_servers is 2"
        );
        let enough = Quorum::majority_of(3).with_min_servers(1);
        assert_eq!(select(&single, enough).expect("allowed").bounds(), interval(1, 5));
        // Nevertheless half of those that answered is not a majority.
        let error = select(&[interval(1, 5), interval(7, 9)], enough).expect_err("they disagree");
        assert_eq!(
            error.to_string(),
            "no majority: 2 of 3 servers answered and 1 agrees; more than half of those \
             that answered must; add servers, or remove the wrong ones"
        );
        let measured = measured(1_000, 0);
        assert_eq!(measured.assumptions().min_servers(), 1);
        let (combined, _) = combine(&[&measured], enough).expect("allowed");
        assert_eq!(combined.assumptions().min_servers(), 1);
        let (combined, _) = combine(&[&measured, &measured], Quorum::majority_of(3)).expect("two");
        assert_eq!(combined.assumptions().min_servers(), 2);
    }

    fn measured(sent_ms: i64, wall_ahead_ms: i64) -> Measurement {
        let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
        let wall = |millis: i64| {
            Timestamp::from_unix_nanos(1_795_392_000_000_000_000 + millis * 1_000_000)
        };
        let cross_timestamp =
            |millis| CrossTimestamp::new(at(millis), wall(millis + wall_ahead_ms), Duration::ZERO);
        let mut measure = Measure::new(&Config::default(), cross_timestamp(sent_ms));
        measure.sent(at(sent_ms));
        let date = wall((sent_ms + wall_ahead_ms) / 1_000 * 1_000);
        measure
            .absorb(&Exchange::from_parts_unchecked(at(sent_ms), at(sent_ms + 10), date))
            .expect("consistent");
        measure.finish(cross_timestamp(sent_ms + 20)).expect("measured")
    }

    #[test]
    fn measurements_of_different_clocks_are_not_combined() {
        let kind = |one: &Measurement, other: &Measurement| {
            combine(&[one, other], Quorum::majority_of(2)).map(drop).map_err(|error| error.kind())
        };
        let first = measured(1_000, 0);
        assert_eq!(kind(&first, &measured(11_000, 0)), Ok(()));
        // Set by four milliseconds meanwhile, where the drift allows three; or from another
        // process.
        assert_eq!(kind(&first, &measured(11_000, 4)), Err("clock_mismatch"));
        assert_eq!(kind(&first, &measured(11_000, 5_075_000)), Err("clock_mismatch"));
    }
}
