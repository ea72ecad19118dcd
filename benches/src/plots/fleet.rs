use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::chart::{
    Axis, BLUE, Chart, DOT, Figure, GREEN, GREY, Mark, ORANGE, Scale, Style, VERMILION,
};
use crate::fleet::FleetRow;

/// Draws the errors and the load of fleets against their size: a curve for each kind of fleet.
///
/// # Errors
/// Errors of writing the file.
pub fn write(file: &Path, rows: &[FleetRow]) -> Result<(), Box<dyn Error>> {
    let figure = Figure::new(file, 2)?;
    let kinds: Vec<_> = KINDS.iter().filter(|kind| rows_of(rows, kind.name).count() > 0).collect();
    figure.legend(&kinds.iter().map(|kind| **kind).collect::<Vec<_>>())?;
    let nodes = |row: &FleetRow| f64::from(u32::try_from(row.cell.nodes).unwrap_or(u32::MAX));
    let most = rows.iter().map(nodes).fold(10.0, f64::max);
    let ticks = [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0];
    let x = Axis {
        name: "machines",
        scale: Scale::Logarithmic,
        range: 1.0..most,
        ticks: ticks.into_iter().filter(|tick| *tick <= most).collect(),
    };
    let panels: [Panel; 2] = [
        ("error of a measurement", "95 % of the errors are smaller, ms", |row| row.error(0.95)),
        ("load of the server", "requests in the busiest second", |row| {
            f64::from(u32::try_from(row.load.peak_second()).unwrap_or(u32::MAX))
        }),
    ];
    for (number, (title, name, value)) in panels.into_iter().enumerate() {
        let y = Axis::decades(name, rows.iter().map(value).filter(|value| *value > 0.0));
        let mut chart = figure.panel(number, title, &x, &y)?;
        for kind in kinds.iter().rev() {
            let points = rows_of(rows, kind.name).map(|row| (nodes(row), value(row)));
            draw(&mut chart, kind, &points.collect::<Vec<_>>())?;
        }
    }
    figure.finish()
}

/// A title, the name of the vertical axis, and the value of a row.
type Panel = (&'static str, &'static str, fn(&FleetRow) -> f64);

fn rows_of<'a>(rows: &'a [FleetRow], name: &str) -> impl Iterator<Item = &'a FleetRow> {
    let name = name.to_owned();
    rows.iter().filter(move |row| row.cell.name() == name)
}

fn draw(
    chart: &mut Chart<'_, '_>,
    kind: &Style,
    points: &[(f64, f64)],
) -> Result<(), Box<dyn Error>> {
    let line = points.iter().copied();
    chart.draw_series(LineSeries::new(line.clone(), kind.line_style()))?;
    chart.draw_series(line.map(|at| Circle::new(at, DOT, kind.colour.filled())))?;
    Ok(())
}

/// Title, name of the ordinate, and its value.
type Panel = (&'static str, &'static str, fn(&FleetRow) -> f64);

const KINDS: [Style; 6] = [
    Style { name: "storm", colour: VERMILION, mark: Mark::Line },
    Style { name: "storm, stamps", colour: ORANGE, mark: Mark::Line },
    Style { name: "sync, cron", colour: GREY, mark: Mark::Line },
    Style { name: "sync, timer", colour: GREEN, mark: Mark::Line },
    Style { name: "run", colour: BLUE, mark: Mark::Line },
    Style { name: "run, stamps", colour: PURPLE, mark: Mark::Line },
];
const PURPLE: RGBColor = RGBColor(0xcc, 0x79, 0xa7);
