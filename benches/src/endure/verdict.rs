use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::{Outage, Outcome, Record, ResourceUsage};

/// How long after the server's return a failure is still attributed to its absence: the process
/// that met the failure may run later.
pub const GRACE: Duration = Duration::from_millis(250);
/// Maximum growth of the resident memory from the end of the warm-up to the end of the run, in KiB.
pub const MAX_RISE_KIB: f64 = 1024.0;

/// All records of a run.
#[derive(Debug)]
pub struct Run {
    /// The measurements, in the order in which they were started.
    pub records: Vec<Record>,
    /// The periods in which the server was away.
    pub outages: Vec<Outage>,
    /// The times at which it was told to reload.
    pub reloads: Vec<Duration>,
    /// The resources before the first measurement.
    pub before: ResourceUsage,
    /// The resources during the run, without the warm-up.
    pub meanwhile: Vec<ResourceUsage>,
    /// The resources after the last measurement.
    pub after: ResourceUsage,
}

/// Quantiles of the absolute errors, in µs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Number of measurements.
    pub count: usize,
    /// Median.
    pub median: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Maximum.
    pub largest: f64,
}

impl Sizes {
    /// From errors in µs of any sign.
    #[must_use]
    pub fn of(errors_us: impl Iterator<Item = f64>) -> Self {
        let mut sizes: Vec<f64> = errors_us.map(f64::abs).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        let quantile = |percent: usize| {
            let rank = (sizes.len() * percent).div_ceil(100).max(1);
            sizes.get(rank - 1).copied().unwrap_or(f64::NAN)
        };
        Self {
            count: sizes.len(),
            median: quantile(50),
            p95: quantile(95),
            p99: quantile(99),
            largest: quantile(100),
        }
    }
}

impl Run {
    /// Violations, in words; empty if there is none.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        if !self.records.iter().any(|r| matches!(r.outcome, Outcome::Measured { .. })) {
            violations.push("nothing was measured".into());
        }
        for record in &self.records {
            match &record.outcome {
                Outcome::Failed(kind) if !record.has_ended_in_outage(&self.outages, GRACE) => {
                    violations
                        .push(format!("failed while the server was there: {kind}, {record:?}"));
                }
                Outcome::Measured { cut_short: Some(kind), .. }
                    if !record.was_in_outage(&self.outages, GRACE) =>
                {
                    violations.push(format!("cut short without a restart: {kind}, {record:?}"));
                }
                Outcome::Measured { held: false, .. } => {
                    violations.push(format!("the truth was outside the bounds: {record:?}"));
                }
                _ => {}
            }
        }
        let (before, after) = (self.before, self.after);
        if after.descriptors != before.descriptors {
            violations.push(format!(
                "{} descriptors before, {} after",
                before.descriptors, after.descriptors
            ));
        }
        if after.threads != before.threads {
            violations.push(format!("{} threads before, {} after", before.threads, after.threads));
        }
        let rise = ResourceUsage::rise_kib(&self.meanwhile);
        if rise > MAX_RISE_KIB {
            violations.push(format!("resident memory rose by {rise:.0} KiB"));
        }
        violations
    }

    /// Errors of the measurements that `wanted` selects.
    fn sizes(&self, wanted: impl Fn(&Record) -> bool) -> Sizes {
        Sizes::of(self.records.iter().filter(|record| wanted(record)).filter_map(|record| {
            match record.outcome {
                Outcome::Measured { error_us, .. } => Some(error_us),
                Outcome::Failed(_) => None,
            }
        }))
    }

    fn was_reloaded(&self, record: &Record) -> bool {
        self.reloads.iter().any(|at| (record.begun..=record.ended).contains(at))
    }

    /// Counts by the name that `pick` returns.
    fn counts(&self, pick: impl Fn(&Outcome) -> Option<&'static str>) -> String {
        let mut counts = BTreeMap::new();
        for name in self.records.iter().filter_map(|record| pick(&record.outcome)) {
            *counts.entry(name).or_insert(0_u32) += 1;
        }
        if counts.is_empty() {
            return "none".into();
        }
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }

    fn downtime(&self) -> Duration {
        self.outages.iter().map(|outage| outage.up - outage.down).sum()
    }
}

/// Markdown, which `docs/accuracy.md` quotes.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = |record: &Record| record.was_in_outage(&self.outages, GRACE);
        let failed =
            self.records.iter().filter(|r| matches!(r.outcome, Outcome::Failed(_))).count();
        writeln!(
            f,
            "{} measurements, {failed} without a result; {} restarts ({:.1} s away in all), {} reloads\n",
            self.records.len(),
            self.outages.len(),
            self.downtime().as_secs_f64(),
            self.reloads.len()
        )?;
        writeln!(
            f,
            "| measurements | with a result | median | 95 % within | 99 % within | largest |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let rows = [
            ("all", self.sizes(|_| true)),
            ("that met a restart", self.sizes(met)),
            ("that met a reload and no restart", self.sizes(|r| !met(r) && self.was_reloaded(r))),
            ("that met neither", self.sizes(|r| !met(r) && !self.was_reloaded(r))),
            ("that met no restart", self.sizes(|r| !met(r))),
        ];
        for (name, Sizes { count, median, p95, p99, largest }) in rows {
            writeln!(
                f,
                "| {name} | {count} | {median:.1} µs | {p95:.1} µs | {p99:.1} µs | {largest:.1} µs |"
            )?;
        }
        let failures = self.counts(|outcome| match outcome {
            Outcome::Failed(kind) => Some(kind),
            Outcome::Measured { .. } => None,
        });
        let cut_short = self.counts(|outcome| match outcome {
            Outcome::Measured { cut_short, .. } => *cut_short,
            Outcome::Failed(_) => None,
        });
        writeln!(f, "\nwithout a result: {failures}\ncut short: {cut_short}")?;
        let resident = || self.meanwhile.iter().map(|sample| sample.resident_kib);
        writeln!(
            f,
            "resident: {} to {} KiB after warming up, by the line {:+.0} KiB from its end to the last",
            resident().min().unwrap_or(0),
            resident().max().unwrap_or(0),
            ResourceUsage::rise_kib(&self.meanwhile)
        )?;
        let most =
            |pick: fn(&ResourceUsage) -> usize| self.meanwhile.iter().map(pick).max().unwrap_or(0);
        writeln!(
            f,
            "descriptors: {} before, at most {} meanwhile, {} after\nthreads: {} before, at most {} meanwhile, {} after",
            self.before.descriptors,
            most(|sample| sample.descriptors),
            self.after.descriptors,
            self.before.threads,
            most(|sample| sample.threads as usize),
            self.after.threads
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn resource_usage(at: u64, descriptors: usize, resident_kib: u32) -> ResourceUsage {
        ResourceUsage { at: ms(at), descriptors, threads: 1, resident_kib }
    }

    fn measured(begun: u64, ended: u64) -> Record {
        let outcome = Outcome::Measured {
            error_us: 3.0,
            held: true,
            width_us: 100.0,
            responses: 16,
            cut_short: None,
        };
        Record { begun: ms(begun), ended: ms(ended), outcome }
    }

    /// The server is away from 10 s to 11 s.
    fn run(records: Vec<Record>) -> Run {
        Run {
            records,
            outages: vec![Outage { down: ms(10_000), up: ms(11_000) }],
            reloads: vec![ms(5_000)],
            before: resource_usage(0, 5, 1000),
            meanwhile: (10..20).map(|second| resource_usage(second * 1000, 40, 9000)).collect(),
            after: resource_usage(20_000, 5, 9000),
        }
    }

    fn failed(begun: u64, ended: u64) -> Record {
        let outcome = Outcome::Failed("connection_refused");
        Record { outcome, ..measured(begun, ended) }
    }

    fn has_violations(records: Vec<Record>) -> bool {
        let mut all = vec![measured(0, 4_000)];
        all.extend(records);
        !run(all).violations().is_empty()
    }

    #[test]
    fn a_failure_is_excused_by_a_server_that_is_away_and_by_nothing_else() {
        assert!(!has_violations(vec![measured(8_000, 12_000)]));
        assert!(!has_violations(vec![failed(10_500, 10_501)]));
        assert!(!has_violations(vec![failed(8_000, 11_200)]));
        // Before the server went away; after it came back; and long after it came back, in a
        // measurement that had met the absence.
        assert!(has_violations(vec![failed(9_000, 9_990)]));
        assert!(has_violations(vec![failed(11_260, 11_270)]));
        assert!(has_violations(vec![failed(8_000, 11_300)]));
        assert!(has_violations(vec![failed(5_000, 5_001)]));
    }

    #[test]
    fn one_cut_short_must_have_met_a_restart() {
        let cut = |begun, ended| {
            let mut record = measured(begun, ended);
            if let Outcome::Measured { cut_short, .. } = &mut record.outcome {
                *cut_short = Some("connection_refused");
            }
            record
        };
        assert!(!has_violations(vec![cut(8_000, 12_000)]));
        assert!(has_violations(vec![cut(3_000, 7_000)]));
    }

    #[test]
    fn bounds_without_the_truth_are_never_excused() {
        let mut record = measured(8_000, 12_000);
        if let Outcome::Measured { held, .. } = &mut record.outcome {
            *held = false;
        }
        assert!(has_violations(vec![record]));
    }

    #[test]
    fn what_is_left_behind_is_objected_to() {
        let well = || run(vec![measured(0, 4_000)]);
        assert_eq!(well().violations(), Vec::<String>::new());
        let one_more = ResourceUsage { descriptors: 6, ..well().after };
        assert_eq!(Run { after: one_more, ..well() }.violations().len(), 1);
        let one_more = ResourceUsage { threads: 2, ..well().after };
        assert_eq!(Run { after: one_more, ..well() }.violations().len(), 1);
        let rising = (10..20_u32)
            .map(|second| resource_usage(u64::from(second) * 1000, 40, second * 200))
            .collect();
        assert_eq!(Run { meanwhile: rising, ..well() }.violations().len(), 1);
        assert_eq!(run(vec![failed(10_500, 10_501)]).violations(), ["nothing was measured"]);
    }

    #[test]
    fn quantiles_are_of_sizes_and_by_nearest_rank() {
        let sizes =
            Sizes::of((1..=200).map(|n| if n % 2 == 0 { f64::from(n) } else { -f64::from(n) }));
        let expected = Sizes { count: 200, median: 100.0, p95: 190.0, p99: 198.0, largest: 200.0 };
        assert_eq!(sizes, expected);
        assert!(Sizes::of(std::iter::empty()).p99.is_nan());
    }
}
