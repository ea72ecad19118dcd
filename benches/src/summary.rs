//! A summary of the table as Markdown, which `docs/accuracy.md` quotes.

use std::io::{self, Write};

use httptime::estimate::EstimatorKind;
use httptime::schedule::Profile;
use httptime_sim::worlds::{self, Assumptions, NamedWorld};

use crate::{EQUAL_REQUESTS, Row};

/// Writes ratios and shares from the rows of the full suite.
///
/// # Errors
/// Errors of `out`.
pub fn write(rows: &[Row], mut out: impl Write) -> io::Result<()> {
    against_ntp(rows, &mut out)?;
    against_htpdate(rows, &mut out)?;
    calibration(rows, &mut out)?;
    bounds(rows, &mut out)?;
    broken(rows, &mut out)?;
    faults(rows, &mut out)
}

fn against_ntp(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| world | RMS, 32 requests | ÷ NTP clock filter, 8 | ÷ NTP best of 32 |\n|---|---|---|---|"
    )?;
    for world in of(Assumptions::AllHold) {
        let row = |method| find(rows, world, method);
        let (Some(ours), Some(filter), Some(best)) =
            (row(BEST_32), row(["ntp", "clock filter", "8"]), row(["ntp", "best", "32"]))
        else {
            continue;
        };
        let ours = ours.rms();
        let (filter, best) = (ours / filter.rms(), ours / best.rms());
        writeln!(out, "| {} | {ours:.4} ms | {filter:.2} | {best:.2} |", world.name())?;
    }
    writeln!(out)
}

fn against_htpdate(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| world | htpdate's median ÷ ours at 12 | at 24 | at 32 | estimators that beat posterior with the same schedule | pairs that beat the defaults |\n|---|---|---|---|---|---|"
    )?;
    let compared = worlds::ALL.iter().filter(|world| world.is_comparison());
    for world in compared.filter(|world| world.assumptions() != Assumptions::Violated) {
        let mut line = format!("| {} |", world.name());
        let (mut estimators, mut pairs) = (Vec::new(), Vec::new());
        for requests in EQUAL_REQUESTS.iter().map(u32::to_string) {
            let median = |estimator: &str, schedule: &str| {
                let row = find(rows, world, [estimator, schedule, &requests]);
                row.map_or(f64::NAN, |row| row.error(0.5))
            };
            let ours = median("posterior", "adaptive");
            line += &format!(" {:.2} |", median("htpdate", "htpdate") / ours);
            if world.assumptions() == Assumptions::BoundsHold {
                // All estimators have the same hidden error here, so the difference between them is
                // chance.
                continue;
            }
            let others =
                rows.iter().filter(|row| row.names[0] == world.name() && row.names[3] == requests);
            for other in others.filter(|row| row.has_bounds()) {
                let [_, estimator, schedule, _] = &other.names;
                let name = |ratio: f64| format!("{estimator}/{schedule} {requests} ({ratio:.2})");
                let beaten = |by: f64| (by < NOTICED).then(|| name(by));
                estimators.extend(beaten(other.error(0.5) / median("posterior", schedule)));
                pairs.extend(beaten(other.error(0.5) / ours));
            }
        }
        writeln!(out, "{line} {} | {} |", estimators.join(", "), pairs.join(", "))?;
    }
    writeln!(out)
}

fn calibration(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| estimator | schedule | within one | within two |\n|---|---|---|---|")?;
    for kind in EstimatorKind::ALL {
        for schedule in ["periodic", "bisect", "scan", "htpdate", "adaptive"] {
            let plain = rows.iter().filter(|row| {
                row.names[1] == kind.name()
                    && row.names[2] == schedule
                    && assumptions(row) == Assumptions::AllHold
                    && is_comparison(row)
            });
            let shares: Vec<_> = plain.map(Row::within).collect();
            if shares.is_empty() {
                continue;
            }
            let mean = |pick: fn(&(f64, f64)) -> f64| {
                shares.iter().map(pick).sum::<f64>()
                    / f64::from(u32::try_from(shares.len()).unwrap_or(1))
            };
            let (one, two) = (100.0 * mean(|share| share.0), 100.0 * mean(|share| share.1));
            writeln!(out, "| {} | {schedule} | {one:.1} % | {two:.1} % |", kind.name())?;
        }
    }
    writeln!(out)
}

fn bounds(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    let held =
        rows.iter().filter(|row| row.has_bounds() && assumptions(row) != Assumptions::Violated);
    let (mut runs, mut violations) = (0_u64, 0_u64);
    for row in held {
        runs += u64::from(row.runs);
        violations += u64::from(row.violations);
    }
    writeln!(
        out,
        "Bounds that missed the truth although their assumptions held: {violations} of {runs}.\n"
    )
}

fn broken(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| world | limits | caught | bounds held | undetected |\n|---|---|---|---|---|")?;
    for world in of(Assumptions::Violated).filter(|world| world.is_comparison()) {
        let ours = rows.iter().filter(|row| {
            row.names[0] == world.name()
                && row.names[1] == "posterior"
                && row.names[2] == "adaptive"
        });
        for row in ours {
            let share = |count: u32| 100.0 * f64::from(count) / f64::from(row.runs);
            let held = row.runs - row.caught - row.violations;
            let (caught, held, neither) = (share(row.caught), share(held), share(row.violations));
            let limits = &row.names[3];
            writeln!(
                out,
                "| {} | {limits} | {caught:.1} % | {held:.1} % | {neither:.1} % |",
                world.name()
            )?;
        }
    }
    writeln!(out)
}

fn faults(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| world | limits | caught | bounds held | undetected | within one | within two |\n|---|---|---|---|---|---|---|"
    )?;
    let is_profile = |row: &Row| Profile::ALL.iter().any(|it| it.name() == row.names[3]);
    for row in rows.iter().filter(|row| !is_comparison(row) && is_profile(row)) {
        let share = |count: u32| 100.0 * f64::from(count) / f64::from(row.runs);
        let held = share(row.runs - row.caught - row.violations);
        let (caught, neither) = (share(row.caught), share(row.violations));
        let [world, _, _, limits] = &row.names;
        let (one, two) = row.within();
        // A standard deviation has no meaning where an assumption is false.
        let within = |share: f64| match assumptions(row) {
            Assumptions::Violated => String::new(),
            Assumptions::AllHold | Assumptions::BoundsHold => format!("{:.1} %", 100.0 * share),
        };
        let (one, two) = (within(one), within(two));
        writeln!(
            out,
            "| {world} | {limits} | {caught:.1} % | {held:.1} % | {neither:.1} % | {one} | {two} |"
        )?;
    }
    Ok(())
}

fn of(assumptions: Assumptions) -> impl Iterator<Item = &'static NamedWorld> {
    worlds::ALL.iter().filter(move |world| world.assumptions() == assumptions)
}

fn is_comparison(row: &Row) -> bool {
    worlds::named(&row.names[0]).is_some_and(NamedWorld::is_comparison)
}

fn assumptions(row: &Row) -> Assumptions {
    worlds::named(&row.names[0]).map_or(Assumptions::Violated, NamedWorld::assumptions)
}

fn find<'a>(rows: &'a [Row], world: &NamedWorld, method: [&str; 3]) -> Option<&'a Row> {
    rows.iter().find(|row| row.names[0] == world.name() && row.names[1..] == method)
}

const BEST_32: [&str; 3] = ["posterior", "adaptive", "32"];
/// Two medians of 2000 measurements count as equal when their ratio is above this.
const NOTICED: f64 = 0.96;
