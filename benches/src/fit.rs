//! What each tuning constant is worth: measurements with other values, in the same worlds.
//!
//! `cargo run --release -p httptime-benches --bin fit` prints the table.

use std::io::{self, Write};
use std::time::Duration;

use httptime::estimate::{Posterior, PosteriorTuning};
use httptime::schedule::{Adaptive, AdaptiveTuning, CheckTuning, Profile};
use httptime::{Config, Error};
use httptime_clock::Evidence;
use httptime_clock::discipline::{Discipline, Tuning as DisciplineTuning};
use httptime_sim::worlds::{self, Assumptions, NamedWorld};

use crate::cell::measure_with;
use crate::row::{Row, length};
use crate::suite::on_all_processors;
use crate::table::write_text_records;
use crate::week::{self, ClockKeeper, KeptClock, Weeks};

/// A tuning constant.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    field: Field,
    name: &'static str,
}

/// How to reach a constant, by the module whose `Tuning` has it.
#[derive(Debug, Clone, Copy)]
enum Field {
    Posterior(fn(&mut PosteriorTuning) -> Slot<'_>),
    Adaptive(fn(&mut AdaptiveTuning) -> Slot<'_>),
    Checks(fn(&mut CheckTuning) -> Slot<'_>),
    Discipline(fn(&mut DisciplineTuning) -> Slot<'_>),
}

/// Where the value of a constant is.
#[derive(Debug)]
enum Slot<'a> {
    Real(&'a mut f64),
    Count(&'a mut u32),
    Counts(&'a mut [u32]),
    Time(&'a mut Duration),
}

/// What has a slot.
trait Value {
    fn slot(&mut self) -> Slot<'_>;
}

/// A constant, and by how much its value is another.
#[derive(Debug, Clone, Copy)]
struct Change {
    constant: Constant,
    factor: f64,
    /// Whether the distance to 1 is divided, in place of the value being multiplied.
    is_complement: bool,
}

/// How much to measure.
#[derive(Debug, Clone, Copy)]
pub struct FitSize {
    /// Measurements in each world with each profile.
    pub runs: u32,
    /// Simulated weeks in each world.
    pub weeks: u32,
    /// The same seed gives the same table.
    pub seed: u64,
}

/// What one value of a constant is worth. Ratios are to today's value.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The constant.
    pub constant: Constant,
    /// The value, as people read it.
    pub value: String,
    worth: Worth,
    /// Whether it is better than today's by more than noise, with two seeds.
    pub is_better: bool,
}

/// How measurements came out with a value. Changes are natural logarithms of ratios to today's
/// value.
#[derive(Debug, Clone, Copy)]
enum Worth {
    Measured {
        plain: Errors,
        drifting: Errors,
        hidden: Errors,
        /// Mean change over all these cells, and its standard error.
        loss: (f64, f64),
        /// In plain worlds.
        within: (f64, f64),
        /// Share of the measurements in broken worlds whose bounds missed the truth unnoticed.
        missed: f64,
        /// The three with today's value.
        before: (f64, f64, f64),
    },
    Kept {
        median: f64,
        p95: f64,
        rms_ppm: f64,
        requests: f64,
        loss: (f64, f64),
        /// Steps without a reason, less those with today's value.
        more_steps: bool,
    },
}

/// Mean logarithms of ratios.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    median: f64,
    rms: f64,
}

/// One world with one profile.
#[derive(Debug, Clone, Copy)]
struct Place {
    world: &'static NamedWorld,
    profile: Profile,
}

/// What became of the measurements in a place.
#[derive(Debug, Clone, Copy)]
struct Summary {
    median: f64,
    rms: f64,
    within: (f64, f64),
    missed: f64,
}

macro_rules! constants {
    ($($module:ident { $($field:ident),* $(,)? })*) => {
        /// All of them.
        pub const ALL: &'static [Self] = &[$($(Self {
            name: stringify!($field),
            field: Field::$module(|tuning| tuning.$field.slot()),
        }),*),*];
    };
}

impl Constant {
    constants! {
        Posterior {
            base_reach,
            exact_share,
            queueing_spread,
            half_uninformative,
            outlier_prior,
            outlier_decay,
            expected_excess,
            max_frequency,
            min_frequency_effect,
            plain_weight,
            plain_weight_in_stddev,
            min_plain_share,
            pull_start_share,
            max_pull_stddevs,
            lag_weight,
            lag_weight_ratio,
            min_lag_ns,
            max_lag_ns,
            first_lag,
            contradiction_margin,
            contradiction_weight,
            min_held_ratio,
            min_held_ns,
            held_before_stamp_weight,
            max_step_probability,
            min_route_exchanges,
            aim_min_frequency_effect,
            aim_min_frequency_share,
            aim_max_slack,
            aim_min_likelihood,
            aim_base_reach,
        }
        Adaptive {
            scan,
            connections,
            min_interval,
            max_probes,
            min_probe_ratio,
            probe_margin,
            scanned_flips,
            lead,
            noise_limit,
            max_relative_stddev,
            min_gain_ratio,
            max_responses_without_gain,
            min_stddev_ns,
        }
        Checks {
            requests_per_check,
            requests_per_check_with_gaps,
            min_checks,
            max_checks,
            min_requests,
            checks_per_anywhere,
            pairs_per_aimed,
            first_at_requests,
            first_at_seconds,
            last_at_seconds,
            max_uncertainty,
            max_lateness,
        }
        Discipline {
            wander_ppm,
            initial_frequency_stddev_ppm,
            restart_stddev_ppm,
            reading_ns,
            outlier_gate,
            excess_memory,
            max_excess,
            max_outliers,
            outlier_widening_ppm,
            expected_stddevs,
            noise_accepted,
            interval_growth,
        }
    }

    /// The module and the field's name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.module(), self.name)
    }

    /// Whether people mean this one: by its name, its module's name, or both with a dot between.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        name == self.name || name == self.module() || name == self.name()
    }

    const fn module(&self) -> &'static str {
        match self.field {
            Field::Posterior(_) => "posterior",
            Field::Adaptive(_) => "adaptive",
            Field::Checks(_) => "checks",
            Field::Discipline(_) => "discipline",
        }
    }

    /// Today's value.
    #[must_use]
    pub fn value(&self) -> String {
        Change { constant: *self, factor: 1.0, is_complement: false }.value()
    }

    /// Whether its value is between 0 and 1.
    fn is_share(&self) -> bool {
        self.value().parse::<f64>().is_ok_and(|value| (0.0..1.0).contains(&value))
    }

    /// The values to try: those in the range, each once, and not today's.
    fn changes(&self) -> Vec<Change> {
        let mut seen = vec![self.value()];
        let mut changes = Vec::new();
        for factor in FACTORS {
            let change = Change { constant: *self, factor, is_complement: false };
            let complement = Change { is_complement: true, ..change };
            let possible =
                [change, complement].into_iter().take(if self.is_share() { 2 } else { 1 });
            let Some(change) = possible.into_iter().find(Change::is_in_range) else { continue };
            if !seen.contains(&change.value()) {
                seen.push(change.value());
                changes.push(change);
            }
        }
        changes
    }
}

impl Change {
    fn apply(&self, slot: Slot<'_>) {
        let count = |value: u32| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "float to integer conversion saturates"
            )]
            {
                self.scaled(value.into()).round() as u32
            }
        };
        match slot {
            Slot::Real(value) => *value = self.scaled(*value),
            Slot::Count(value) => *value = count(*value),
            Slot::Counts(values) => values.iter_mut().for_each(|value| *value = count(*value)),
            Slot::Time(value) => *value = value.mul_f64(self.factor),
        }
    }

    fn scaled(&self, value: f64) -> f64 {
        if self.is_complement { 1.0 - (1.0 - value) / self.factor } else { value * self.factor }
    }

    fn posterior(&self) -> PosteriorTuning {
        let mut tuning = PosteriorTuning::default();
        if let Field::Posterior(slot) = self.constant.field {
            self.apply(slot(&mut tuning));
        }
        tuning
    }

    fn adaptive(&self, profile: Profile) -> AdaptiveTuning {
        let mut tuning = AdaptiveTuning::of(profile);
        match self.constant.field {
            Field::Adaptive(slot) => self.apply(slot(&mut tuning)),
            Field::Checks(slot) => self.apply(slot(&mut tuning.checks)),
            Field::Posterior(_) | Field::Discipline(_) => {}
        }
        tuning
    }

    fn discipline(&self) -> DisciplineTuning {
        let mut tuning = DisciplineTuning::default();
        if let Field::Discipline(slot) = self.constant.field {
            self.apply(slot(&mut tuning));
        }
        tuning
    }

    fn is_in_range(&self) -> bool {
        Posterior::with_tuning(self.posterior()).is_ok()
            && Profile::ALL.iter().all(|of| Adaptive::with_tuning(self.adaptive(*of)).is_ok())
            && Discipline::default().with_tuning(self.discipline()).is_ok()
    }

    fn config(&self, place: Place) -> Result<Config, Error> {
        let estimator = Posterior::with_tuning(self.posterior())?;
        let schedule = Adaptive::with_tuning(self.adaptive(place.profile))?;
        Config::builder()
            .profile(place.profile)
            .lag(place.world.stated_lag())
            .estimator_with(move || Box::new(estimator.clone()))
            .schedule_with(move || Box::new(schedule.clone()))
            .build()
    }

    /// The value, as people read it: for `polite`, `balanced` and `fast` where it differs.
    fn value(&self) -> String {
        let mut values: Vec<_> =
            Profile::ALL.iter().map(|profile| self.value_with(*profile)).collect();
        if values.iter().all(|value| *value == values[0]) {
            values.truncate(1);
        }
        values.join("/")
    }

    fn value_with(&self, profile: Profile) -> String {
        let (mut posterior, mut adaptive) = (self.posterior(), self.adaptive(profile));
        let mut discipline = self.discipline();
        let slot = match self.constant.field {
            Field::Posterior(slot) => slot(&mut posterior),
            Field::Adaptive(slot) => slot(&mut adaptive),
            Field::Checks(slot) => slot(&mut adaptive.checks),
            Field::Discipline(slot) => slot(&mut discipline),
        };
        match slot {
            Slot::Real(value) => short(*value),
            Slot::Count(value) => value.to_string(),
            Slot::Counts(values) => values.iter().map(u32::to_string).collect::<Vec<_>>().join("-"),
            Slot::Time(value) => format!("{value:?}"),
        }
    }
}

/// Three digits, without zeros at the end.
fn short(value: f64) -> String {
    let digits = format!("{value:.2e}").parse::<f64>().unwrap_or(value);
    if digits == 0.0 || (1e-4..1e7).contains(&digits) {
        format!("{digits}")
    } else {
        format!("{digits:e}")
    }
}

/// Tries other values of each constant, on all processors.
///
/// # Panics
/// When the library refuses today's values.
#[must_use]
pub fn fit(constants: &[Constant], size: &FitSize) -> Vec<Fitted> {
    let changes: Vec<_> = constants.iter().flat_map(Constant::changes).collect();
    let mut fitted = try_all(&changes, size);
    // A value that is better by chance is seldom so with another seed.
    let (promising, again): (Vec<_>, Vec<_>) = fitted
        .iter()
        .zip(&changes)
        .enumerate()
        .filter(|(_, (fitted, _))| fitted.worth.is_better())
        .map(|(rank, (_, change))| (rank, *change))
        .unzip();
    let other_seed = FitSize { seed: size.seed.wrapping_add(OTHER_SEED), ..*size };
    for (rank, confirmed) in promising.into_iter().zip(try_all(&again, &other_seed)) {
        fitted[rank].is_better = confirmed.worth.is_better();
    }
    fitted
}

/// Each of the changes, beside today's values.
fn try_all(changes: &[Change], size: &FitSize) -> Vec<Fitted> {
    let is_kept = |change: &Change| matches!(change.constant.field, Field::Discipline(_));
    let (kept, measured): (Vec<_>, Vec<_>) = changes.iter().partition(|change| is_kept(change));
    let (mut kept, mut measured) =
        (keep(&kept, size).into_iter(), measure(&measured, size).into_iter());
    let worth = changes.iter().map(|change| {
        let worths = if is_kept(change) { &mut kept } else { &mut measured };
        worths.next().expect("one for each")
    });
    let worth: Vec<_> = worth.collect();
    let fitted = changes.iter().zip(worth).map(|(change, worth)| Fitted {
        constant: change.constant,
        value: change.value(),
        worth,
        is_better: false,
    });
    fitted.collect()
}

/// In every world with every profile.
fn measure(changes: &[&Change], size: &FitSize) -> Vec<Worth> {
    if changes.is_empty() {
        return Vec::new();
    }
    let places: Vec<_> = worlds::ALL
        .iter()
        .flat_map(|world| {
            Profile::ALL.iter().map(move |profile| Place { world, profile: *profile })
        })
        .collect();
    let today = Change { factor: 1.0, is_complement: false, ..*changes[0] };
    let all = [&today].into_iter().chain(changes.iter().copied());
    let work: Vec<_> = all.flat_map(|change| places.iter().map(|at| (*change, *at))).collect();
    let summaries = on_all_processors(&work, |(change, place)| {
        let config = change.config(*place).expect("in range");
        // What is wrong in a broken world shows more often than how large an error is.
        let broken = place.world.assumptions() == Assumptions::Violated;
        let runs = if broken { size.runs.div_ceil(4) } else { size.runs };
        Summary::of(&measure_with(place.world, &config, runs, size.seed))
    });
    let mut tables = summaries.chunks(places.len());
    let before = tables.next().expect("today's values come first");
    tables.map(|after| Worth::measured(&places, before, after)).collect()
}

/// In simulated weeks.
fn keep(changes: &[&Change], size: &FitSize) -> Vec<Worth> {
    if changes.is_empty() {
        return Vec::new();
    }
    let weeks = Weeks { number: size.weeks, seed: size.seed, calm: false, lag: WEEK_LAG };
    let worlds = WEEK_WORLDS.map(|name| worlds::named(name).expect("listed"));
    let keep = |tuning| week::run_weeks_with(&worlds, &WEEK_KEEPERS, &weeks, tuning);
    let before = keep(DisciplineTuning::default());
    changes.iter().map(|change| Worth::kept(&before, &keep(change.discipline()))).collect()
}

impl Summary {
    fn of(row: &Row) -> Self {
        let (median, rms) = (row.error(0.5), row.rms());
        Self { median, rms, within: row.within(), missed: row.missed() }
    }
}

impl Worth {
    fn measured(places: &[Place], before: &[Summary], after: &[Summary]) -> Self {
        let of = |belongs: fn(&NamedWorld) -> bool| {
            let triples = places.iter().zip(before).zip(after);
            let those = triples.filter(|((place, _), _)| belongs(place.world));
            those.map(|((_, before), after)| (*before, *after)).collect::<Vec<_>>()
        };
        let (plain, drifting) = (of(is_plain), of(is_drifting));
        let (hidden, broken) = (of(is_hidden), of(is_broken));
        let losses: Vec<_> = [&plain, &drifting, &hidden]
            .into_iter()
            .flatten()
            .map(|(before, after)| {
                0.5 * ((after.median / before.median).ln() + (after.rms / before.rms).ln())
            })
            .filter(|loss| loss.is_finite())
            .collect();
        let share = |pick: fn(&(Summary, Summary)) -> f64, pairs: &[(Summary, Summary)]| {
            mean(&pairs.iter().map(pick).collect::<Vec<_>>())
        };
        let before = (
            share(|(before, _)| before.within.0, &plain),
            share(|(before, _)| before.within.1, &plain),
            share(|(before, _)| before.missed, &broken),
        );
        let within = (
            share(|(_, after)| after.within.0, &plain),
            share(|(_, after)| after.within.1, &plain),
        );
        Self::Measured {
            plain: Errors::of(&plain),
            drifting: Errors::of(&drifting),
            hidden: Errors::of(&hidden),
            loss: (mean(&losses), standard_error(&losses)),
            within,
            missed: share(|(_, after)| after.missed, &broken),
            before,
        }
    }

    fn kept(before: &[KeptClock], after: &[KeptClock]) -> Self {
        let pairs = || before.iter().zip(after);
        let logs = |pick: fn(&KeptClock) -> f64| {
            pairs().map(|(before, after)| (pick(after) / pick(before)).ln()).collect::<Vec<_>>()
        };
        let (median, p95) = (logs(|kept| kept.offset(0.5)), logs(|kept| kept.offset(0.95)));
        let losses: Vec<_> =
            median.iter().zip(&p95).map(|(median, p95)| 0.5 * (median + p95)).collect();
        let unprovoked = |kept: &[KeptClock]| kept.iter().map(|kept| kept.unprovoked).sum::<u32>();
        Self::Kept {
            median: mean(&median),
            p95: mean(&p95),
            rms_ppm: mean(&logs(KeptClock::rms_ppm)),
            requests: mean(&logs(|kept| kept.requests.into())),
            loss: (mean(&losses), standard_error(&losses)),
            more_steps: unprovoked(after) > unprovoked(before),
        }
    }

    /// Whether the errors are smaller by more than noise, and nothing else is worse.
    fn is_better(&self) -> bool {
        let is_smaller = |(loss, noise): (f64, f64)| loss < -MIN_GAIN && loss < -DEVIATIONS * noise;
        match *self {
            Self::Measured { plain, drifting, hidden, loss, within, missed, before } => {
                let groups = [plain, drifting, hidden];
                is_smaller(loss)
                    && groups.iter().all(|group| group.median.max(group.rms) < MAX_HARM)
                    && (within.0 - RIGHT.0).abs() < (before.0 - RIGHT.0).abs() + MAX_SHARE_ERROR
                    && (within.1 - RIGHT.1).abs() < (before.1 - RIGHT.1).abs() + MAX_SHARE_ERROR
                    && missed < before.2 + MAX_MISSED
            }
            Self::Kept { requests, loss, rms_ppm, more_steps, .. } => {
                is_smaller(loss) && requests < MAX_REQUESTS && rms_ppm < MAX_HARM && !more_steps
            }
        }
    }
}

impl Errors {
    fn of(pairs: &[(Summary, Summary)]) -> Self {
        let mean_log = |pick: fn(&Summary) -> f64| {
            let logs = pairs.iter().map(|(before, after)| (pick(after) / pick(before)).ln());
            mean(&logs.filter(|log| log.is_finite()).collect::<Vec<_>>())
        };
        Self { median: mean_log(|of| of.median), rms: mean_log(|of| of.rms) }
    }
}

fn is_drifting(world: &NamedWorld) -> bool {
    world.name() == "drifting"
}

fn is_plain(world: &NamedWorld) -> bool {
    world.assumptions() == Assumptions::AllHold && world.is_comparison() && !is_drifting(world)
}

fn is_hidden(world: &NamedWorld) -> bool {
    world.assumptions() == Assumptions::BoundsHold
}

fn is_broken(world: &NamedWorld) -> bool {
    world.assumptions() == Assumptions::Violated
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / length(values)
}

fn standard_error(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (length(values) - 1.0) / length(values)).sqrt()
}

/// Columns of the table of what measurements show.
pub const COLUMNS: [&str; 12] = [
    "constant",
    "value",
    "median_%",
    "rms_%",
    "drift_median_%",
    "drift_rms_%",
    "hidden_rms_%",
    "noise_%",
    "within_1",
    "within_2",
    "missed",
    "better",
];

/// Columns of the table of what simulated weeks show.
pub const WEEK_COLUMNS: [&str; 8] =
    ["constant", "value", "median_%", "p95_%", "rms_ppm_%", "requests_%", "noise_%", "better"];

/// One row's fields.
#[must_use]
pub fn fields(fitted: &Fitted) -> Vec<String> {
    let percent = |log: f64| format!("{:+.1}", 100.0 * log.exp_m1());
    let plain_percent = |share: f64| format!("{:.1}", 100.0 * share);
    let better = if fitted.is_better { "yes" } else { "" }.to_owned();
    let mut fields = vec![fitted.constant.name(), fitted.value.clone()];
    match fitted.worth {
        Worth::Measured { plain, drifting, hidden, loss, within, missed, .. } => {
            let errors = [plain.median, plain.rms, drifting.median, drifting.rms, hidden.rms];
            fields.extend(errors.map(percent));
            fields.push(plain_percent(DEVIATIONS * loss.1));
            fields.extend([within.0, within.1, missed].map(|share| format!("{share:.3}")));
        }
        Worth::Kept { median, p95, rms_ppm, requests, loss, .. } => {
            fields.extend([median, p95, rms_ppm, requests].map(percent));
            fields.push(plain_percent(DEVIATIONS * loss.1));
        }
    }
    fields.push(better);
    fields
}

/// Today's values in the first row of each constant, and then the others, aligned; then what to
/// change.
///
/// # Errors
/// Those of `out`.
pub fn write_text(fitted: &[Fitted], mut out: impl Write) -> io::Result<()> {
    for is_kept in [false, true] {
        let those: Vec<_> = fitted
            .iter()
            .filter(|fitted| matches!(fitted.worth, Worth::Kept { .. }) == is_kept)
            .collect();
        if those.is_empty() {
            continue;
        }
        let columns: &[&str] = if is_kept { &WEEK_COLUMNS } else { &COLUMNS };
        let mut records: Vec<Vec<String>> = Vec::new();
        for fitted in those {
            let name = fitted.constant.name();
            if records.last().is_none_or(|last| last[0] != name) {
                records.push(today(fitted, columns.len()));
            }
            records.push(fields(fitted));
        }
        write_text_records(columns, 2, &records, &mut out)?;
        writeln!(out)?;
    }
    let better: Vec<_> = fitted.iter().filter(|fitted| fitted.is_better).collect();
    if better.is_empty() {
        writeln!(out, "no value is better than today's by more than noise")?;
    }
    for fitted in better {
        let (name, value) = (fitted.constant.name(), &fitted.value);
        writeln!(out, "{name}: {value} is better than {}", fitted.constant.value())?;
    }
    Ok(())
}

/// The row of today's value.
fn today(fitted: &Fitted, columns: usize) -> Vec<String> {
    let mut fields = vec![String::new(); columns];
    fields[0] = fitted.constant.name();
    fields[1] = fitted.constant.value();
    if let Worth::Measured { before, .. } = fitted.worth {
        let shares = [before.0, before.1, before.2].map(|share| format!("{share:.3}"));
        fields[8..11].clone_from_slice(&shares);
    }
    fields
}

impl Value for f64 {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Real(self)
    }
}

impl Value for u32 {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Count(self)
    }
}

impl Value for [u32; 3] {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Counts(self)
    }
}

impl Value for Duration {
    fn slot(&mut self) -> Slot<'_> {
        Slot::Time(self)
    }
}

const FACTORS: [f64; 4] = [0.5, 0.7, 1.4, 2.0];
/// Added to the seed for the confirmation: beyond the seeds of the runs.
const OTHER_SEED: u64 = 1_000_000_007;
/// A smaller gain is not worth a change, and may be chance: as logarithms of ratios.
const MIN_GAIN: f64 = 0.01;
/// Standard errors that a gain must exceed. Some 150 values are tried, so two would be exceeded by
/// chance.
const DEVIATIONS: f64 = 3.0;
/// By how much a group of worlds may become worse where all together become better.
const MAX_HARM: f64 = 0.01;
/// By how much a share may be further from right.
const MAX_SHARE_ERROR: f64 = 0.005;
/// By how much more may be missed. A fault that is found is worth more than a smaller error.
const MAX_MISSED: f64 = 0.000_5;
/// By how much the number of requests may rise, as a logarithm.
const MAX_REQUESTS: f64 = 0.05;
/// The shares of a normal distribution within one standard deviation and within two.
const RIGHT: (f64, f64) = (0.6827, 0.9545);
const WEEK_WORLDS: [&str; 4] = ["lan", "metro", "wan", "wan-jittery"];
const WEEK_KEEPERS: [ClockKeeper; 2] =
    [ClockKeeper::Run(Evidence::Bounds), ClockKeeper::Run(Evidence::Estimate)];
/// As late as nginx or Apache may be.
const WEEK_LAG: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Constant {
        let found = Constant::ALL.iter().find(|constant| constant.is_called(name));
        *found.expect("listed")
    }

    #[test]
    fn every_constant_has_a_name_of_its_own_and_another_value_to_try() {
        let names: std::collections::BTreeSet<_> =
            Constant::ALL.iter().map(Constant::name).collect();
        assert_eq!(names.len(), Constant::ALL.len());
        for constant in Constant::ALL {
            assert!(!constant.changes().is_empty(), "{}", constant.name());
        }
    }

    #[test]
    fn a_share_that_would_exceed_one_comes_nearer_to_one_instead() {
        let values: Vec<_> = named("plain_weight").changes().iter().map(Change::value).collect();
        assert_eq!(values, ["0.4", "0.56", "0.857", "0.9"]);
    }

    #[test]
    fn a_gate_that_refuses_good_measurements_is_worse_and_today_s_value_is_found_again() {
        let size = FitSize { runs: 1, weeks: 1, seed: 20_261_124 };
        let fitted = fit(&[named("discipline.outlier_gate")], &size);
        let mut text = Vec::new();
        write_text(&fitted, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        println!("{text}");
        let lines = text.lines().filter(|line| line.starts_with("discipline.outlier_gate"));
        assert_eq!(lines.count(), 1 + 4, "today's value and four others");
        assert!(fitted.iter().all(|fitted| !fitted.is_better));
    }

    #[test]
    fn twice_half_a_prior_is_measured_in_every_kind_of_world() {
        let size = FitSize { runs: 2, weeks: 1, seed: 20_261_124 };
        let fitted = fit(&[named("plain_weight")], &size);
        assert_eq!(fitted.len(), 4);
        for fitted in fitted {
            let fields = fields(&fitted);
            assert_eq!(fields.len(), COLUMNS.len());
            let is_number = |field: &String| field.parse::<f64>().is_ok_and(f64::is_finite);
            assert!(fields[2..11].iter().all(is_number), "{fields:?}");
        }
    }
}
