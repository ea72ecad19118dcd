use crate::error::Error;
use crate::range::check_range;

/// The constants of [`Posterior`](super::Posterior).
///
/// [`Default`] has the values that the library uses. Symbols are those of the model in the
/// documentation of [`Posterior`](super::Posterior). Each field has its unit, its range, the reason
/// for its value, and its sensitivity.
///
/// Sensitivities are what `cargo run --release -p httptime-benches --bin fit` measured with other
/// values, compared with this one: changes of the median and the RMS error in plain worlds, in
/// drifting, and in worlds with a hidden error. Also the share of the errors within one deviation
/// (74.8 %) and of the unnoticed faults in broken worlds (11.6 % missed), where those change.
/// Changes below 0.5 % are left out.
///
/// Constants that only set a resolution are not here: the numbers of cells, of base round trips, of
/// frequencies and of divisions. More of them take more time and change results little.
///
/// ```
/// use httptime::Config;
/// use httptime::estimate::{Posterior, PosteriorTuning};
///
/// let mut tuning = PosteriorTuning::default();
/// tuning.outlier_prior = 0.05;
/// let posterior = Posterior::with_tuning(tuning)?;
/// let config = Config::builder().estimator_with(move || Box::new(posterior.clone())).build()?;
/// # Ok::<(), httptime::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PosteriorTuning {
    /// How far below the shortest round trip the base *d* can be, in *q*/√n. 1 to 30.
    ///
    /// Reason: the shortest of n Gamma(2, *q*) slacks is 1.25 *q*/√n on average, and seldom beyond
    /// 4.
    ///
    /// Sensitivity: at 3, within one deviation 73.2 %; at 12, below 0.5 %.
    pub base_reach: f64,
    /// The share of the exchanges, from the fastest on, whose slack counts exactly. The others are
    /// known only to be slower. 0.25 to 1.
    ///
    /// Reason: retransmissions and bursts are among the slowest, and must not widen *q*.
    ///
    /// Sensitivity: at 0.375, drifting median +0.9 %; at 0.875, median +0.9 %, drifting median
    /// +0.8 %.
    pub exact_share: f64,
    /// *q* is between its first guess divided by this and multiplied by this. 1 to 16.
    ///
    /// Reason: the first guess comes from one median, and bursts move it.
    ///
    /// Sensitivity: at 1, drifting median +0.8 %, within one deviation 73.3 %; at 4, median +0.5 %.
    pub queueing_spread: f64,
    /// *w*: half of the probability that a response contains no information. 10⁻⁹ to 0.1.
    ///
    /// Reason: no response may exclude what all others show; a larger value blurs the hard ends.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub half_uninformative: f64,
    /// Prior probability that a slack is an outlier and not queueing. 10⁻⁶ to 0.5.
    ///
    /// Reason: a path that loses 1 % in each direction has 2 % of retransmissions.
    ///
    /// Sensitivity: at 0.01, below 0.5 %; at 0.04, drifting median +0.5 %.
    pub outlier_prior: f64,
    /// How fast the density of outliers falls with the slack, in 1/*q*. 0.001 to 1.
    ///
    /// Reason: half of the outliers are then later than 10 *q*: bursts and retransmissions.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub outlier_decay: f64,
    /// How far below the shortest round trip *d* is taken to be when outliers are judged, in
    /// *q*/√n. 0 to 3.
    ///
    /// Reason: a plain guess is enough there; outliers are several *q* away.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub expected_excess: f64,
    /// *M*: the largest difference of the frequencies, as a fraction (100e-6 is 100 ppm). 10⁻⁶ to
    /// 0.001.
    ///
    /// Reason: two crystals at the edge of their tolerance.
    ///
    /// Sensitivity: at 5e-5, drifting median +15.1 %, drifting RMS +6 %, hidden RMS −0.6 %, within
    /// one deviation 72.3 %; at 0.0002, median +0.8 %, RMS +2 %, drifting median +14.6 %, drifting
    /// RMS +6.6 %, hidden RMS +2.5 %, within one deviation 76.7 %.
    pub max_frequency: f64,
    /// The span of the exchanges times *M* from which frequencies are considered, in *q*. 0.001 to
    /// 10.
    ///
    /// Reason: below, no frequency moves the offset by more than 0.02 *q*.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub min_frequency_effect: f64,
    /// Weight of the plain hypothesis in the mean. All frequencies together have the rest to one.
    /// 0.01 to 0.99.
    ///
    /// Reason: with less, a drift that is not there costs accuracy in every world but drifting.
    ///
    /// Sensitivity: at 0.4, median +8.2 %, RMS +10.1 %, drifting median −24.7 %, drifting RMS
    /// −18.3 %, hidden RMS +2.2 %; at 0.9, median −2.8 %, RMS −1.5 %, drifting median +12.6 %,
    /// drifting RMS +6.8 %, hidden RMS −0.7 %, within one deviation 73.3 %.
    pub plain_weight: f64,
    /// Weight of the plain hypothesis in the standard deviation. 0.01 to 0.99.
    ///
    /// Reason: clocks are often some ppm apart, and then the mean of the plain hypothesis is off.
    ///
    /// Sensitivity: at 0.1, within one deviation 76.6 %; at 0.4, within one deviation 72.6 %.
    pub plain_weight_in_stddev: f64,
    /// Share of the plain hypothesis in the evidence below which the mean is that of all
    /// hypotheses. 10⁻⁶ to 0.9.
    ///
    /// Reason: the mean of all is pulled by the far ends of improbable hypotheses, so they must be
    /// probable.
    ///
    /// Sensitivity: at 0.1, drifting median +7.2 %, drifting RMS +2.2 %; at 0.4, median +0.7 %, RMS
    /// +2 %, drifting median −8.1 %, drifting RMS −4.4 %, hidden RMS +1 %.
    pub min_plain_share: f64,
    /// Share of the plain hypothesis below which the others pull at its mean. More than
    /// [`min_plain_share`](Self::min_plain_share), up to 0.999.
    ///
    /// Reason: it joins the two means without a jump.
    ///
    /// Sensitivity: at 0.45, drifting median +7.7 %, drifting RMS +2.8 %; at 0.95, drifting median
    /// −0.5 %.
    pub pull_start_share: f64,
    /// How far the others can pull the mean, in standard deviations of the plain hypothesis. 0 to
    /// 10.
    ///
    /// Reason: found by simulation.
    ///
    /// Sensitivity: at 1, drifting median +2.1 %, drifting RMS +1.3 %; at 4, drifting median −2 %,
    /// drifting RMS −1.2 %.
    pub max_pull_stddevs: f64,
    /// Weight of the smallest lag. Beside [`plain_weight`](Self::plain_weight), not out of the
    /// rest. 10⁻⁶ to 1.
    ///
    /// Reason: most servers have no lag that changes.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub lag_weight: f64,
    /// Weight of each lag, divided by that of the next smaller one. 0.01 to 1.
    ///
    /// Reason: large lags are rarer than small ones.
    ///
    /// Sensitivity: at 0.2, below 0.5 %; at 0.8, hidden RMS −0.5 %.
    pub lag_weight_ratio: f64,
    /// An allowed lag up to this needs no hypothesis unless the ends contradict each other, in ns.
    /// 0 to 10⁹.
    ///
    /// Reason: nginx and Apache are allowed 1 ms.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub min_lag_ns: f64,
    /// The largest lag that can change from response to response, in ns. 1000 to 10⁹.
    ///
    /// Reason: two kernel ticks at 100 Hz, with some room.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub max_lag_ns: f64,
    /// The smallest lag considered, in *q*. 0.1 to 20.
    ///
    /// Reason: a smaller lag cannot be distinguished from queueing.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub first_lag: f64,
    /// The smallest lag considered, as a multiple of the contradiction between the ends. 1 to 3.
    ///
    /// Reason: a lag must explain the contradiction, and a little more.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub contradiction_margin: f64,
    /// Weight of the hypothesis that some exchanges are wrong. 10⁻⁶ to 1.
    ///
    /// Reason: it is considered only where no other fits, so it decides little.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub contradiction_weight: f64,
    /// The median round trip, divided by the shortest, from which the server holds requests back.
    /// 1.5 to 100.
    ///
    /// Reason: together with [`min_held_ns`](Self::min_held_ns), no network explains it.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub min_held_ratio: f64,
    /// The median round trip less the shortest from which the server holds requests back, in ns. 0
    /// to 10¹⁰.
    ///
    /// Reason: on a fast path, a client that wakes late has such ratios with less.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub min_held_ns: f64,
    /// Weight of the case that all of the hold is before the stamp. Each of the eight other
    /// divisions has 1. 0 to 1000.
    ///
    /// Reason: most servers stamp when they answer, so the case is as likely as all others
    /// together.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub held_before_stamp_weight: f64,
    /// The probability of a step in the round trips by queueing, below which it is a new route.
    /// 10⁻³⁰ to 0.1.
    ///
    /// Reason: every place in the measurement is tried, and routes change seldom.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub max_step_probability: f64,
    /// Exchanges on each side of such a step, at least. 2 to 32.
    ///
    /// Reason: three can all be slow by chance.
    ///
    /// Sensitivity: at 2, below 0.5 %; at 8, hidden RMS +0.6 %.
    pub min_route_exchanges: u32,
    /// In aiming, the same as [`min_frequency_effect`](Self::min_frequency_effect), in *q*. 0.01 to
    /// 100.
    ///
    /// Reason: an aim needs less precision than an estimate.
    ///
    /// Sensitivity: at 0.25, below 0.5 %; at 1, drifting median +0.6 %.
    pub aim_min_frequency_effect: f64,
    /// In aiming, the evidence for frequencies, as a share of that of the plain hypothesis, from
    /// which they count. 0 to 100.
    ///
    /// Reason: found by simulation.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub aim_min_frequency_share: f64,
    /// In aiming, exchanges with more slack are left out, in *q*. 1 to 100.
    ///
    /// Reason: they are outliers, and leaving them out saves the time to judge them.
    ///
    /// Sensitivity: at 4, median +2.2 %, RMS +2.1 %, drifting median −3 %, drifting RMS −0.6 %,
    /// hidden RMS +0.6 %, within one deviation 73.8 %; at 16, median +0.6 %, drifting median −1 %,
    /// drifting RMS −0.5 %, hidden RMS −0.6 %.
    pub aim_max_slack: f64,
    /// In aiming, the least likelihood of an answer: what *w* is in the estimate. 10⁻⁹ to 0.1.
    ///
    /// Reason: no response may exclude what all others show.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub aim_min_likelihood: f64,
    /// In aiming, how far below the shortest round trip *d* is when the ends contradict each other,
    /// in *q*/√n. 0 to 30.
    ///
    /// Reason: a base at the far end of what is probable leaves the ends most room.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub aim_base_reach: f64,
}

impl PosteriorTuning {
    /// The values that the library uses.
    pub const DEFAULT: Self = Self {
        base_reach: 6.0,
        exact_share: 0.75,
        queueing_spread: 2.0,
        half_uninformative: 5e-4,
        outlier_prior: 0.02,
        outlier_decay: 0.1,
        expected_excess: 0.5,
        max_frequency: 100e-6,
        min_frequency_effect: 0.02,
        plain_weight: 0.8,
        plain_weight_in_stddev: 1.0 - 0.8,
        min_plain_share: 0.2,
        pull_start_share: 0.9,
        max_pull_stddevs: 2.0,
        lag_weight: 0.05,
        lag_weight_ratio: 0.4,
        min_lag_ns: 2e6,
        max_lag_ns: 25e6,
        first_lag: 2.0,
        contradiction_margin: 1.1,
        contradiction_weight: 0.05,
        min_held_ratio: 4.0,
        min_held_ns: 20e6,
        held_before_stamp_weight: 8.0,
        max_step_probability: 1e-6,
        min_route_exchanges: 4,
        aim_min_frequency_effect: 0.5,
        aim_min_frequency_share: 0.1,
        aim_max_slack: 8.0,
        aim_min_likelihood: 0.001,
        aim_base_reach: 3.0,
    };

    pub(super) fn check(&self) -> Result<(), Error> {
        check_range("base_reach", self.base_reach, 1.0..=30.0)?;
        check_range("exact_share", self.exact_share, 0.25..=1.0)?;
        check_range("queueing_spread", self.queueing_spread, 1.0..=16.0)?;
        check_range("half_uninformative", self.half_uninformative, 1e-9..=0.1)?;
        check_range("outlier_prior", self.outlier_prior, 1e-6..=0.5)?;
        check_range("outlier_decay", self.outlier_decay, 1e-3..=1.0)?;
        check_range("expected_excess", self.expected_excess, 0.0..=3.0)?;
        check_range("max_frequency", self.max_frequency, 1e-6..=1e-3)?;
        check_range("min_frequency_effect", self.min_frequency_effect, 1e-3..=10.0)?;
        check_range("plain_weight", self.plain_weight, 0.01..=0.99)?;
        check_range("plain_weight_in_stddev", self.plain_weight_in_stddev, 0.01..=0.99)?;
        check_range("min_plain_share", self.min_plain_share, 1e-6..=0.9)?;
        // Equal shares would divide by ln 1.
        let above = self.min_plain_share * 1.001;
        check_range("pull_start_share", self.pull_start_share, above..=0.999)?;
        check_range("max_pull_stddevs", self.max_pull_stddevs, 0.0..=10.0)?;
        check_range("lag_weight", self.lag_weight, 1e-6..=1.0)?;
        check_range("lag_weight_ratio", self.lag_weight_ratio, 0.01..=1.0)?;
        check_range("min_lag_ns", self.min_lag_ns, 0.0..=1e9)?;
        check_range("max_lag_ns", self.max_lag_ns, 1e3..=1e9)?;
        check_range("first_lag", self.first_lag, 0.1..=20.0)?;
        check_range("contradiction_margin", self.contradiction_margin, 1.0..=3.0)?;
        check_range("contradiction_weight", self.contradiction_weight, 1e-6..=1.0)?;
        check_range("min_held_ratio", self.min_held_ratio, 1.5..=100.0)?;
        check_range("min_held_ns", self.min_held_ns, 0.0..=1e10)?;
        check_range("held_before_stamp_weight", self.held_before_stamp_weight, 0.0..=1000.0)?;
        check_range("max_step_probability", self.max_step_probability, 1e-30..=0.1)?;
        check_range("min_route_exchanges", self.min_route_exchanges.into(), 2.0..=32.0)?;
        check_range("aim_min_frequency_effect", self.aim_min_frequency_effect, 0.01..=100.0)?;
        check_range("aim_min_frequency_share", self.aim_min_frequency_share, 0.0..=100.0)?;
        check_range("aim_max_slack", self.aim_max_slack, 1.0..=100.0)?;
        check_range("aim_min_likelihood", self.aim_min_likelihood, 1e-9..=0.1)?;
        check_range("aim_base_reach", self.aim_base_reach, 0.0..=30.0)
    }
}

impl Default for PosteriorTuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::super::Posterior;
    use super::*;

    #[test]
    fn a_constant_out_of_its_range_is_refused_by_name() {
        for (name, set) in [
            (
                "outlier_prior",
                (|tuning| tuning.outlier_prior = f64::NAN) as fn(&mut PosteriorTuning),
            ),
            ("pull_start_share", |tuning| tuning.pull_start_share = tuning.min_plain_share),
            ("min_route_exchanges", |tuning| tuning.min_route_exchanges = 0),
        ] {
            let mut tuning = PosteriorTuning::default();
            set(&mut tuning);
            let error = Posterior::with_tuning(tuning).expect_err("out of range").to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(Posterior::with_tuning(PosteriorTuning::default()).is_ok());
    }
}
