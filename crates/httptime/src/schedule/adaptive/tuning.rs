use std::time::Duration;

use super::super::{CheckTuning, Profile};
use crate::error::Error;
use crate::range::check_range;

/// The constants of [`Adaptive`](super::Adaptive).
///
/// [`of`](Self::of) has the values that the library uses with a profile, [`Default`] those of the
/// default profile. Symbols are those of the model in the documentation of
/// [`Adaptive`](super::Adaptive). The values were found by simulation on paths from 0.2 to 200 ms.
/// Each field has its unit, its range, the reason for its value, and its sensitivity.
///
/// Sensitivities are those of [`PosteriorTuning`](crate::estimate::PosteriorTuning): the same
/// columns of `fit`.
///
/// ```
/// use httptime::Config;
/// use httptime::schedule::{Adaptive, AdaptiveTuning, Profile};
///
/// let mut tuning = AdaptiveTuning::of(Profile::Fast);
/// tuning.connections = 2;
/// tuning.checks.max_checks = 16;
/// let schedule = Adaptive::with_tuning(tuning)?;
/// let config = Config::builder()
///     .profile(Profile::Fast)
///     .schedule_with(move || Box::new(schedule.clone()))
///     .build()?;
/// # Ok::<(), httptime::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveTuning {
    /// Requests through the first flip, the second, and later ones while σ is large. 0 in the
    /// first: no scan, it bisects. 0 to 64 each.
    ///
    /// Reason: more requests through one flip cost requests and save seconds.
    ///
    /// Sensitivity: at 0-0-0/3-3-2/12-8-4, median +11.7 %, RMS +9.6 %, drifting median +0.5 %,
    /// drifting RMS +1.2 %, hidden RMS +2.7 %, missed 11.9 %; at 0-0-0/12-10-8/48-32-16, RMS
    /// −2.9 %, drifting RMS −1.2 %, missed 11.8 %.
    pub scan: [u32; 3],
    /// Requests in flight at once, each on its own connection. 1 to 4.
    ///
    /// Reason: four is what a server accepts from one client without remark.
    ///
    /// Sensitivity: at 1/1/2, median +15.7 %, RMS +9.6 %, drifting median +2 %, drifting RMS
    /// +8.2 %, hidden RMS +3.5 %, missed 11.8 %; at 1/1/3, median +2.5 %, drifting median +2.5 %,
    /// drifting RMS +1.2 %, hidden RMS +0.9 %.
    pub connections: u32,
    /// The least time between two requests. 0 to an hour.
    ///
    /// Reason: [`Polite`](Profile::Polite) promises at most one request a second.
    ///
    /// Sensitivity: at 500ms/0ns/0ns, median +1.2 %, RMS −0.9 %, drifting median −5.3 %, drifting
    /// RMS −9.1 %, hidden RMS +58 %, missed 11.5 %; at 2s/0ns/0ns, median +123.8 %, RMS +116.9 %,
    /// drifting median +44.8 %, drifting RMS +57.2 %, hidden RMS +26.2 %, within one deviation
    /// 70.0 %, missed 11.9 %.
    pub min_interval: Duration,
    /// Requests at the ends of where the offset is expected, at most. 0 to 64.
    ///
    /// Reason: one for each end, and as many again if those did not decide.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub max_probes: u32,
    /// How many times wider than the expectation the remaining uncertainty must be for that. 1 to
    /// 1000.
    ///
    /// Reason: two requests divide the uncertainty by four without any expectation.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub min_probe_ratio: u32,
    /// An end of the expectation is no longer probed once it is closer than so many *q* to the end
    /// of the remaining uncertainty, plus half of the width of the expectation. 0 to 100.
    ///
    /// Reason: queueing can be that large.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub probe_margin: f64,
    /// Flips that a scan is assumed to take, when requests are divided over the time. 1 to 16.
    ///
    /// Reason: found by simulation.
    ///
    /// Sensitivity: at 2, median −0.7 %, RMS −0.7 %, drifting median −0.7 %, drifting RMS −2.5 %;
    /// at 8, median +2.7 %, RMS −0.7 %, drifting median −8.6 %, drifting RMS −4.4 %.
    pub scanned_flips: u32,
    /// The aim is m + this · σ q / (σ + q). 0 to 3.
    ///
    /// Reason: it makes up for queueing on the forward path.
    ///
    /// Sensitivity: at 0.5, median +2.9 %, RMS +7.2 %, drifting median +2.1 %, drifting RMS +4 %,
    /// hidden RMS +0.6 %, missed 11.7 %; at 2, median +19.5 %, RMS +13.3 %, drifting median
    /// +15.8 %, drifting RMS +7.8 %, hidden RMS −0.6 %, missed 11.9 %.
    pub lead: f64,
    /// Noise limits the aim when σ is less than so many *q*. 0.1 to 20.
    ///
    /// Reason: found by simulation. Below, the queueing of a single exchange is about as large as
    /// σ.
    ///
    /// Sensitivity: at 0.75, median +1.7 %, RMS +0.7 %, drifting median −0.8 %; at 3, median +2 %,
    /// RMS +2.5 %, drifting median +1.3 %, hidden RMS +0.5 %, missed 11.7 %.
    pub noise_limit: f64,
    /// σ may be so many times that of a uniform distribution over the remaining uncertainty; else
    /// that is used. 1 to 10.
    ///
    /// Reason: an estimator that is wider than the uncertainty itself is no guide.
    ///
    /// Sensitivity: at 1.4, drifting RMS −0.8 %; at 2.4, drifting median −0.6 %, drifting RMS
    /// −1.6 %, hidden RMS −0.5 %.
    pub max_relative_stddev: f64,
    /// A response brings a gain if it makes σ smaller than this times what it was at the last gain.
    /// 0.1 to 0.999.
    ///
    /// Reason: less than a tenth is no gain that is worth a request.
    ///
    /// Sensitivity: every change below 0.5 %.
    pub min_gain_ratio: f64,
    /// Responses in a row without a gain after which it ends. 2 to 1000.
    ///
    /// Reason: an estimator that does not learn should not use up the limits.
    ///
    /// Sensitivity: at 8, median +4.2 %, RMS +4.9 %, drifting median +4.9 %, drifting RMS +0.8 %,
    /// hidden RMS +0.5 %; at 32, below 0.5 %.
    pub max_responses_without_gain: u32,
    /// σ at which it ends, in ns. 0 to 10⁶.
    ///
    /// Reason: below, only the reading of the clocks is left.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub min_stddev_ns: f64,
    /// The checks that the measurement adds.
    pub checks: CheckTuning,
}

impl AdaptiveTuning {
    /// The values that the library uses with this profile.
    #[must_use]
    pub const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Polite => {
                Self { scan: [0; 3], min_interval: Duration::from_secs(1), ..Self::BALANCED }
            }
            Profile::Balanced => Self::BALANCED,
            Profile::Fast => Self { scan: [24, 16, 8], connections: 4, ..Self::BALANCED },
        }
    }

    const BALANCED: Self = Self {
        scan: [6, 5, 4],
        connections: 1,
        min_interval: Duration::ZERO,
        max_probes: 4,
        min_probe_ratio: 4,
        probe_margin: 4.0,
        scanned_flips: 4,
        lead: 1.0,
        noise_limit: 1.5,
        max_relative_stddev: 1.2,
        min_gain_ratio: 0.9,
        max_responses_without_gain: 16,
        min_stddev_ns: 500.0,
        checks: CheckTuning::DEFAULT,
    };

    pub(super) fn check(&self) -> Result<(), Error> {
        for requests in self.scan {
            check_range("scan", requests.into(), 0.0..=64.0)?;
        }
        check_range("connections", self.connections.into(), 1.0..=4.0)?;
        check_range("min_interval in seconds", self.min_interval.as_secs_f64(), 0.0..=3600.0)?;
        check_range("max_probes", self.max_probes.into(), 0.0..=64.0)?;
        check_range("min_probe_ratio", self.min_probe_ratio.into(), 1.0..=1000.0)?;
        check_range("probe_margin", self.probe_margin, 0.0..=100.0)?;
        check_range("scanned_flips", self.scanned_flips.into(), 1.0..=16.0)?;
        check_range("lead", self.lead, 0.0..=3.0)?;
        check_range("noise_limit", self.noise_limit, 0.1..=20.0)?;
        check_range("max_relative_stddev", self.max_relative_stddev, 1.0..=10.0)?;
        check_range("min_gain_ratio", self.min_gain_ratio, 0.1..=0.999)?;
        let patience = self.max_responses_without_gain;
        check_range("max_responses_without_gain", patience.into(), 2.0..=1000.0)?;
        check_range("min_stddev_ns", self.min_stddev_ns, 0.0..=1e6)?;
        self.checks.check()
    }
}

impl Default for AdaptiveTuning {
    fn default() -> Self {
        Self::of(Profile::default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Adaptive;
    use super::*;

    #[test]
    fn a_constant_out_of_its_range_is_refused_by_name() {
        for (name, set) in [
            ("lead", (|tuning| tuning.lead = f64::NAN) as fn(&mut AdaptiveTuning)),
            ("connections", |tuning| tuning.connections = 5),
            ("scan", |tuning| tuning.scan[2] = 65),
            ("max_checks", |tuning| tuning.checks.max_checks = tuning.checks.min_checks - 1),
            ("max_uncertainty", |tuning| tuning.checks.max_uncertainty = Duration::from_secs(1)),
        ] {
            let mut tuning = AdaptiveTuning::default();
            set(&mut tuning);
            let error = Adaptive::with_tuning(tuning).expect_err("out of range").to_string();
            assert!(error.contains(name), "{error}");
        }
        for profile in Profile::ALL {
            assert!(Adaptive::with_tuning(AdaptiveTuning::of(*profile)).is_ok(), "{profile}");
        }
    }
}
