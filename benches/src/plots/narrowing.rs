use std::error::Error;
use std::path::Path;

use httptime::Offset;
use httptime::schedule::Profile;
use httptime::session::Session;
use httptime_sim::worlds::{self, NamedWorld};
use plotters::prelude::*;

use super::chart::{Axis, BLUE, Chart, DASH, DOT, Figure, GREY, Mark, ORANGE, Scale, Style};
use crate::{Cell, Method};

/// State after one response, in milliseconds from the true offset.
struct Step {
    lower: f64,
    upper: f64,
    estimate: f64,
    stddev: f64,
}

pub(super) fn write(file: &Path, seed: u64) -> Result<(), Box<dyn Error>> {
    let world = worlds::named(WORLD).ok_or("no such world")?;
    let steps = typical(world, seed)?;
    let figure = Figure::new(file, 1)?;
    figure.legend(&[BOUNDS, ESTIMATE, TRUTH])?;
    let (x, y) = axes(steps.len());
    let title = format!(
        "{WORLD}: round trip {}; of {CANDIDATES} measurements the one with the median error",
        world.description()
    );
    let mut chart = figure.panel(0, &title, &x, &y)?;
    draw(&mut chart, &steps)?;
    drop(chart);
    figure.finish()
}

/// The measurement with the median error of many: a single one could be unusually good or bad.
fn typical(world: &'static NamedWorld, seed: u64) -> Result<Vec<Step>, httptime::Error> {
    let config = Cell { world, method: Method::profile(Profile::Balanced) }.config();
    let mut measured = Vec::new();
    for run in 0..CANDIDATES {
        let seed = seed.wrapping_add(run);
        let mut steps = Vec::new();
        let watch = |session: &Session, truth| steps.extend(Step::of(session, truth));
        world.world(seed).measure_watched(&config, seed, watch).result?;
        measured.push(steps);
    }
    let error = |steps: &Vec<Step>| steps.last().map_or(f64::INFINITY, |step| step.estimate.abs());
    measured.sort_by(|one, other| error(one).total_cmp(&error(other)));
    Ok(measured.swap_remove(measured.len() / 2))
}

impl Step {
    fn of(session: &Session, truth: Offset) -> Option<Self> {
        let (bounds, estimate) = (session.progress().bounds()?, session.estimate()?);
        let off = |offset: Offset| offset.saturating_sub(truth).as_seconds() * 1e3;
        Some(Self {
            lower: off(bounds.lower()),
            upper: off(bounds.upper()),
            estimate: off(estimate.offset()),
            stddev: estimate.stddev().as_secs_f64() * 1e3,
        })
    }
}

fn axes(steps: usize) -> (Axis, Axis) {
    let x = Axis {
        name: "responses",
        scale: Scale::Linear,
        range: 0.5..position(steps) - 0.5,
        ticks: (0..steps).map(position).collect(),
    };
    let y = Axis {
        name: "offset − truth, ms",
        scale: Scale::Symmetric(LINEAR_MS),
        range: -2000.0..2000.0,
        ticks: vec![-1000.0, -100.0, -10.0, -1.0, -0.1, 0.0, 0.1, 1.0, 10.0, 100.0, 1000.0],
    };
    (x, y)
}

/// The first response is number one.
fn position(index: usize) -> f64 {
    f64::from(u32::try_from(index + 1).unwrap_or(u32::MAX))
}

fn draw(chart: &mut Chart<'_, '_>, steps: &[Step]) -> Result<(), Box<dyn Error>> {
    let edge = |bound: fn(&Step) -> f64| {
        steps.iter().enumerate().flat_map(move |(index, step)| {
            [-0.5, 0.5].map(|side| (position(index) + side, bound(step)))
        })
    };
    let mut outline: Vec<_> = edge(|step| step.upper).collect();
    let below: Vec<_> = edge(|step| step.lower).collect();
    outline.extend(below.into_iter().rev());
    chart.draw_series([Polygon::new(outline, BOUNDS.fill_style())])?;
    let truth = [(0.5, 0.0), (position(steps.len()) - 0.5, 0.0)];
    chart.draw_series(DashedLineSeries::new(truth, DASH.0, DASH.1, TRUTH.line_style()))?;
    chart.draw_series(steps.iter().enumerate().map(|(index, step)| {
        let end = |by: f64| (position(index), step.estimate + by * step.stddev);
        PathElement::new([end(-1.0), end(1.0)], ESTIMATE.line_style())
    }))?;
    chart.draw_series(steps.iter().enumerate().map(|(index, step)| {
        let at = (position(index), step.estimate);
        Circle::new(at, DOT, ESTIMATE.colour.filled())
    }))?;
    Ok(())
}

const WORLD: &str = "metro";
const CANDIDATES: u64 = 99;
const LINEAR_MS: f64 = 0.01;
const BOUNDS: Style =
    Style { name: "bounds: the truth lies within", colour: ORANGE, mark: Mark::Band };
const ESTIMATE: Style =
    Style { name: "estimate, one standard deviation either way", colour: BLUE, mark: Mark::Bars };
const TRUTH: Style = Style { name: "truth", colour: GREY, mark: Mark::Dashes };
