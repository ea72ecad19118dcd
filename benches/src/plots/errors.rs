use std::error::Error;
use std::path::Path;
use std::time::Duration;

use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime_sim::worlds::{self, NamedWorld};
use plotters::prelude::*;

use super::chart::{
    Axis, BLUE, Chart, DASH, DOT, Figure, GREEN, GREY, Mark, ORANGE, Scale, Style, VERMILION,
};
use crate::{Cell, Method, Row, run};

/// One line in both panels.
struct Family {
    style: Style,
    methods: Vec<Method>,
}

/// A curve in the panel of its world: the median errors of its rows.
struct Curve {
    style: Style,
    points: Vec<(f64, f64)>,
}

pub(super) fn against_requests(file: &Path, runs: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let families = by_requests();
    let abscissa = |rank: usize, _: &Row| f64::from(REQUESTS[rank]);
    let mut panels = measured(&families, runs, seed, abscissa)?;
    let x = Axis {
        name: "requests",
        scale: Scale::Linear,
        range: 2.0..50.0,
        ticks: (1..=6).map(|eights| f64::from(eights * 8)).collect(),
    };
    let y = errors(&panels);
    panels[0].push(Curve { style: ONE_BIT, points: one_bit(y.range.start) });
    draw(file, &x, &y, &panels)
}

pub(super) fn against_seconds(file: &Path, runs: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let panels = measured(&by_seconds(), runs, seed, |_, row| row.seconds())?;
    let x = Axis {
        name: "seconds",
        scale: Scale::Logarithmic,
        range: 0.4..32.0,
        ticks: vec![0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0],
    };
    draw(file, &x, &errors(&panels), &panels)
}

fn by_requests() -> [Family; 4] {
    let family = |name, colour, method: fn(u32) -> Method| Family {
        style: Style { name, colour, mark: Mark::Line },
        methods: REQUESTS.iter().copied().map(method).collect(),
    };
    [
        family("posterior, adaptive", BLUE, Method::best),
        family("intersection, bisect", ORANGE, |requests| {
            Method::http(EstimatorKind::Intersection, ScheduleKind::Bisect, requests)
        }),
        family("htpdate", VERMILION, Method::htpdate),
        family("NTP, best of n", GREEN, Method::NtpBest),
    ]
}

fn by_seconds() -> [Family; 3] {
    let family = |profile: Profile, colour, seconds: &[u64]| Family {
        style: Style { name: profile.name(), colour, mark: Mark::Line },
        methods: seconds.iter().map(|seconds| within(profile, *seconds)).collect(),
    };
    [
        // One second allows one request only, whose own time is negligible.
        family(Profile::Polite, GREEN, &SECONDS[1..]),
        family(Profile::Balanced, BLUE, &SECONDS),
        family(Profile::Fast, VERMILION, &SECONDS),
    ]
}

fn within(profile: Profile, seconds: u64) -> Method {
    Method::Http {
        estimator: EstimatorKind::Posterior,
        schedule: ScheduleKind::Adaptive,
        profile,
        requests: None,
        duration: Some(Duration::from_secs(seconds)),
        target: None,
    }
}

/// The curves of each world. All cells are measured at once, so that no processor waits for one
/// world to finish.
fn measured(
    families: &[Family],
    runs: u32,
    seed: u64,
    x: impl Fn(usize, &Row) -> f64,
) -> Result<Vec<Vec<Curve>>, Box<dyn Error>> {
    let worlds = both()?;
    let methods = || families.iter().flat_map(|family| &family.methods);
    let cells: Vec<_> = worlds
        .iter()
        .flat_map(|world| methods().map(|method| Cell { world, method: *method }))
        .collect();
    let rows = run(&cells, runs, seed);
    let mut rows = rows.iter();
    let mut curve = |family: &Family| Curve {
        style: family.style,
        points: rows
            .by_ref()
            .take(family.methods.len())
            .enumerate()
            .map(|(rank, row)| (x(rank, row), row.error(0.5)))
            .collect(),
    };
    Ok(worlds.iter().map(|_| families.iter().map(&mut curve).collect()).collect())
}

fn both() -> Result<[&'static NamedWorld; 2], Box<dyn Error>> {
    let named = |name: &str| worlds::named(name).ok_or_else(|| format!("no world {name}"));
    Ok([named("lan")?, named("regional")?])
}

/// One axis for both panels, so that they can be compared.
fn errors(panels: &[Vec<Curve>]) -> Axis {
    let points = panels.iter().flatten().flat_map(|curve| &curve.points);
    Axis::decades("median error, ms", points.map(|(_, error)| *error))
}

/// The remaining uncertainty after as many bits, down to the lower end of the plot.
fn one_bit(least: f64) -> Vec<(f64, f64)> {
    let last = (1000.0 / least).log2() - 1.0;
    let first = f64::from(REQUESTS[0]);
    [first, last].map(|requests| (requests, 1000.0 * (-(requests + 1.0)).exp2())).to_vec()
}

fn draw(file: &Path, x: &Axis, y: &Axis, panels: &[Vec<Curve>]) -> Result<(), Box<dyn Error>> {
    let figure = Figure::new(file, panels.len())?;
    let styles: Vec<_> = panels[0].iter().map(|curve| curve.style).collect();
    figure.legend(&styles)?;
    for (number, (world, curves)) in both()?.iter().zip(panels).enumerate() {
        let title = format!("{}: round trip {}", world.name(), world.description());
        let mut chart = figure.panel(number, &title, x, y)?;
        // The first entry of the legend is drawn on top.
        for curve in curves.iter().rev() {
            draw_curve(&mut chart, curve)?;
        }
    }
    figure.finish()
}

fn draw_curve(chart: &mut Chart<'_, '_>, curve: &Curve) -> Result<(), Box<dyn Error>> {
    let Curve { style, points } = curve;
    let points = points.iter().copied();
    if style.mark == Mark::Dashes {
        chart.draw_series(DashedLineSeries::new(points, DASH.0, DASH.1, style.line_style()))?;
    } else {
        chart.draw_series(LineSeries::new(points.clone(), style.line_style()))?;
        chart.draw_series(points.map(|at| Circle::new(at, DOT, style.colour.filled())))?;
    }
    Ok(())
}

const REQUESTS: [u32; 12] = [4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48];
const SECONDS: [u64; 10] = [1, 2, 3, 4, 5, 7, 10, 15, 20, 30];
const ONE_BIT: Style =
    Style { name: "one bit a request: 2⁻ⁿ⁻¹ s", colour: GREY, mark: Mark::Dashes };
