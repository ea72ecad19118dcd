//! Many servers, one answer.
//!
//! Each server's own observations are intersected first ([`progress`](crate::progress)). Here the servers' bounds are
//! held against each other, as in the intersection and combine algorithms of RFC 5905, sections 11.2.1 and 11.2.3:
//! the largest group whose bounds have a point in common is selected if it is a majority; whoever is not in it is a
//! falseticker. The survivors' estimates are weighted with their inverse variances, inside their common bounds.
//!
//! A liar whose bounds overlap the honest ones is in that group too, and can cut the truth off what all of it have in common. So
//! the combined bounds are not that, but what more than half agree on (Marzullo 1984): they hold the truth as long as more than
//! half of the servers' bounds do.

use std::time::Duration;

use crate::error::Error;
use crate::estimate::Estimate;
use crate::evidence::Evidence;
use crate::measurement::{Ended, Measurement};
use crate::time::{Interval, Offset, f64_to_nanos, nanos_to_duration, nanos_to_f64};

/// The largest group of intervals that agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    bounds: Interval,
    majority: Interval,
    survivors: Vec<bool>,
}

impl Selection {
    /// What all survivors' intervals have in common. Holds the truth if all of theirs do.
    #[must_use]
    pub const fn bounds(&self) -> Interval {
        self.bounds
    }

    /// From the first to the last point that more than half of the intervals have in common; never narrower than
    /// [`bounds`](Self::bounds). Holds the truth if more than half of the intervals do.
    #[must_use]
    pub const fn majority(&self) -> Interval {
        self.majority
    }

    /// For each interval, in the order given, whether it survived; the others are falsetickers.
    #[must_use]
    pub fn survivors(&self) -> &[bool] {
        &self.survivors
    }
}

/// Finds the majority among `intervals`.
///
/// # Errors
/// [`Error::NothingMeasured`] without an interval; [`Error::NoMajority`] when no more than half have a point in
/// common; [`Error::AmbiguousMajority`] when two groups of the same size do, in different places.
pub fn select(intervals: &[Interval]) -> Result<Selection, Error> {
    let mut best: Option<Interval> = None;
    let mut agreeing = 0;
    let mut rival: Option<Interval> = None;
    // A largest group's common interval begins where one of its members begins.
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
    let Some(bounds) = best else { return Err(Error::NothingMeasured) };
    if agreeing * 2 <= intervals.len() {
        return Err(Error::NoMajority { servers: intervals.len(), agreeing });
    }
    if let Some(second) = rival {
        return Err(Error::AmbiguousMajority { first: bounds, second });
    }
    let survivors =
        intervals.iter().map(|interval| interval.intersection(bounds).is_some()).collect();
    Ok(Selection { bounds, majority: majority(intervals).unwrap_or(bounds), survivors })
}

/// The smallest interval with every point that more than half have in common. It begins where one of them begins and ends where
/// one ends.
fn majority(intervals: &[Interval]) -> Option<Interval> {
    let is_shared = |point: &Offset| {
        intervals.iter().filter(|interval| interval.contains(*point)).count() * 2 > intervals.len()
    };
    let first = intervals.iter().map(|interval| interval.lower()).filter(is_shared).min()?;
    let last = intervals.iter().map(|interval| interval.upper()).filter(is_shared).max()?;
    Interval::new(first, last)
}

/// One measurement out of several servers', and for each of them whether it is among the survivors.
///
/// All must have been made with the same local clock. The result refers to the latest of their instants; the others'
/// bounds are widened by the drift allowance up to there. Its bounds hold if those of more than half of the servers do; the
/// estimate lies in what all survivors have in common. It states the largest lag that a survivor assumes.
///
/// # Errors
/// As [`select`].
pub fn combine(measurements: &[&Measurement]) -> Result<(Measurement, Vec<bool>), Error> {
    let latest = measurements
        .iter()
        .max_by_key(|measurement| measurement.at)
        .ok_or(Error::NothingMeasured)?;
    let aged: Vec<Interval> = measurements
        .iter()
        .map(|measurement| {
            let age = latest.at.saturating_since(measurement.at);
            let evidence = Evidence::from(measurement.bounds);
            evidence.aged(age, measurement.assumptions.drift_ppm).hull()
        })
        .collect();
    let selection = select(&aged)?;
    let survivors = || {
        measurements
            .iter()
            .zip(&selection.survivors)
            .filter_map(|(measurement, survives)| survives.then_some(*measurement))
    };
    let estimate = weigh(survivors().map(Measurement::estimate), selection.bounds);
    let assumptions = survivors()
        .map(|measurement| measurement.assumptions)
        .max_by_key(|assumptions| assumptions.lag)
        .ok_or(Error::NothingMeasured)?;
    let measurement = Measurement {
        estimate,
        bounds: selection.majority,
        requests: measurements.iter().map(|measurement| measurement.requests).sum(),
        observations: survivors().map(|measurement| measurement.observations).sum(),
        sent_by_kernel: survivors().map(|measurement| measurement.sent_by_kernel).sum(),
        received_by_kernel: survivors().map(|measurement| measurement.received_by_kernel).sum(),
        started: measurements
            .iter()
            .map(|measurement| measurement.started)
            .min()
            .unwrap_or(latest.at),
        at: latest.at,
        wall: latest.wall,
        round_trip_min: survivors()
            .map(|measurement| measurement.round_trip_min)
            .min()
            .unwrap_or_default(),
        assumptions,
        server: None,
        ended: Ended::Enough,
    };
    Ok((measurement, selection.survivors))
}

/// The mean weighted with inverse variances, kept inside `bounds`. When the estimates scatter more than their own
/// deviations explain, the deviation grows by the Birge ratio, √(χ² / (n − 1)).
fn weigh(estimates: impl Iterator<Item = Estimate> + Clone, bounds: Interval) -> Estimate {
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
    Estimate::new(bounds.clamp(offset), stddev)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(lower: i64, upper: i64) -> Interval {
        Interval::new(Offset::from_nanos(lower), Offset::from_nanos(upper)).expect("in order")
    }

    #[test]
    fn one_server_is_its_own_majority() {
        let selection = select(&[interval(1, 5)]).expect("selected");
        assert_eq!((selection.bounds(), selection.survivors()), (interval(1, 5), &[true][..]));
    }

    #[test]
    fn one_liar_of_three_is_named_and_does_not_move_the_bounds() {
        for liar in [interval(-900, -800), interval(30, 40), interval(i64::MAX - 1, i64::MAX)] {
            let selection = select(&[interval(0, 10), liar, interval(5, 12)]).expect("selected");
            assert_eq!(selection.bounds(), interval(5, 10));
            assert_eq!(selection.majority(), interval(5, 10));
            assert_eq!(selection.survivors(), [true, false, true]);
        }
    }

    /// The truth is zero, which the honest ones' bounds hold; the liar's are anywhere.
    #[test]
    fn one_liar_of_three_cannot_take_the_truth_out_of_the_majority_nor_lead_beyond_the_honest() {
        let reach = || -4..=4;
        let any = || reach().flat_map(|lower| (lower..=4).map(move |upper| interval(lower, upper)));
        let honest: Vec<Interval> = any().filter(|one| one.contains(Offset::ZERO)).collect();
        let mut cut_off = 0;
        for (one, two, liar) in honest
            .iter()
            .flat_map(|one| honest.iter().map(move |two| (*one, *two)))
            .flat_map(|(one, two)| any().map(move |liar| (one, two, liar)))
        {
            let Ok(selection) = select(&[one, liar, two]) else { continue };
            let (all, majority) = (selection.bounds(), selection.majority());
            assert!(majority.contains(Offset::ZERO), "{one} {two} {liar}: {majority}");
            assert!(majority.intersection(all) == Some(all), "{one} {two} {liar}: {majority}");
            let farthest = (one.lower().min(two.lower()), one.upper().max(two.upper()));
            assert!(farthest.0 <= majority.lower() && majority.upper() <= farthest.1);
            cut_off += u32::from(!all.contains(Offset::ZERO));
        }
        assert!(cut_off > 0, "what all have in common does not hold it");
    }

    #[test]
    fn intervals_that_touch_agree() {
        assert_eq!(
            select(&[interval(0, 5), interval(5, 9)]).expect("touch").bounds(),
            interval(5, 5)
        );
    }

    #[test]
    fn two_that_disagree_have_no_majority() {
        assert_eq!(
            select(&[interval(0, 5), interval(6, 9)]),
            Err(Error::NoMajority { servers: 2, agreeing: 1 })
        );
        assert_eq!(select(&[]), Err(Error::NothingMeasured));
    }

    #[test]
    fn two_majorities_are_an_error_and_no_guess() {
        let wide = interval(0, 100);
        let error = select(&[wide, interval(10, 20), interval(70, 80)]).expect_err("ambiguous");
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
        let estimate = weigh([sharp, blunt].into_iter(), bounds);
        assert_eq!(estimate.offset(), Offset::from_nanos(200));
        assert_eq!(estimate.stddev(), Duration::from_nanos(949));
    }

    #[test]
    fn estimates_that_scatter_more_than_they_say_give_a_larger_deviation() {
        let bounds = interval(-1_000_000, 1_000_000);
        let at = |nanos| Estimate::new(Offset::from_nanos(nanos), Duration::from_nanos(100));
        let estimate = weigh([at(-10_000), at(10_000)].into_iter(), bounds);
        assert_eq!(estimate.offset(), Offset::ZERO);
        assert_eq!(estimate.stddev(), Duration::from_nanos(10_000));
    }
}
