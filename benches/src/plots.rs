//! The plots: error against requests, error against seconds, and one measurement's interval as it narrows.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime_sim::worlds::{self, NamedWorld};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::{Cell, Method, run};

/// Writes the three of them to this directory. The same seed gives the same ones.
///
/// # Errors
/// Those of the files, and of the drawing.
pub fn write(directory: &Path, runs: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    error_against_requests(&directory.join("error-requests.svg"), runs, seed)?;
    error_against_seconds(&directory.join("error-seconds.svg"), runs, seed)?;
    narrowing(&directory.join("narrowing.svg"), seed)
}

/// A line's name, its colour and what it measures with so many requests.
type Way = (&'static str, RGBColor, fn(u32) -> Method);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a chart.
struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
    is_measured: bool,
}

/// What a chart shows and between which ends.
struct Chart<'a> {
    caption: String,
    across: &'a str,
    upwards: &'a str,
    most: f64,
    errors: std::ops::Range<f64>,
}

fn error_against_requests(file: &Path, runs: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let ways: [Way; 4] = [
        ("posterior, adaptive", BLUE, Method::best),
        ("intersection, bisect", ORANGE, |requests| {
            Method::http(EstimatorKind::Intersection, ScheduleKind::Bisect, requests)
        }),
        ("htpdate", PURPLE, Method::htpdate),
        ("NTP, best exchange", GREEN, Method::NtpBest),
    ];
    side_by_side(file, |area, world, errors| {
        let mut lines = Vec::new();
        for (name, colour, method) in ways {
            let cells: Vec<_> =
                REQUESTS.iter().map(|n| Cell { world, method: method(*n) }).collect();
            let rows = run(&cells, runs, seed);
            let points = REQUESTS.iter().zip(&rows).map(|(n, row)| (f64::from(*n), row.error(0.5)));
            lines.push(Line {
                name: name.into(),
                colour,
                points: points.collect(),
                is_measured: true,
            });
        }
        let bit = |n: f64| (n, 1e3 * 2_f64.powf(-n - 1.0));
        let points: Vec<_> = (4_u32..48).map(|n| bit(f64::from(n))).collect();
        let points = points.into_iter().filter(|(_, error)| *error > errors.start).collect();
        lines.push(Line {
            name: "a bit a request: 2⁻⁽ⁿ⁺¹⁾ s".into(),
            colour: GREY,
            points,
            is_measured: false,
        });
        let caption = format!("{}: {}", world.name(), world.about());
        draw(
            area,
            &Chart { caption, across: "requests", upwards: MEDIAN, most: 50.0, errors },
            &lines,
        )
    })
}

fn error_against_seconds(file: &Path, runs: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let colours = [GREEN, BLUE, ORANGE];
    side_by_side(file, |area, world, errors| {
        let mut lines = Vec::new();
        for (profile, colour) in Profile::ALL.iter().zip(colours) {
            let cells: Vec<_> = DURATIONS
                .iter()
                .filter(|seconds| Duration::from_secs(**seconds) <= 2 * profile.duration())
                .map(|seconds| Cell { world, method: within(*profile, *seconds) })
                .collect();
            let points =
                run(&cells, runs, seed).iter().map(|row| (row.seconds(), row.error(0.5))).collect();
            let name = format!("{}, at most {} requests", profile.name(), profile.requests());
            lines.push(Line { name, colour, points, is_measured: true });
        }
        let caption = format!("{}: {}", world.name(), world.about());
        draw(
            area,
            &Chart { caption, across: "seconds", upwards: MEDIAN, most: 20.0, errors },
            &lines,
        )
    })
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

/// A panel for each of two worlds, with the errors to show, in milliseconds.
fn side_by_side(
    file: &Path,
    panel: impl Fn(&Area<'_>, &'static NamedWorld, std::ops::Range<f64>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    panel(&left, worlds::named("lan").ok_or("no lan")?, 0.002..100.0)?;
    panel(&right, worlds::named("regional").ok_or("no regional")?, 0.05..100.0)?;
    root.present()?;
    Ok(())
}

fn draw(area: &Area<'_>, of: &Chart<'_>, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(&of.caption, (FONT, 15))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..of.most, of.errors.clone().log_scale())?;
    chart
        .configure_mesh()
        .x_desc(of.across)
        .y_desc(of.upwards)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for line in lines {
        let width = if line.is_measured { 2 } else { 1 };
        let style = line.colour.stroke_width(width);
        let drawn = LineSeries::new(line.points.iter().copied(), style);
        chart
            .draw_series(drawn)?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        if line.is_measured {
            let dots = line.points.iter().map(|point| Circle::new(*point, 3, line.colour.filled()));
            chart.draw_series(dots)?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(TRANSPARENT)
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}

/// One response: how far the bounds and the estimate lie from the truth, in milliseconds.
#[derive(Clone, Copy)]
struct Step {
    number: f64,
    above: f64,
    below: f64,
    error: f64,
    stddev: f64,
}

fn narrowing(file: &Path, seed: u64) -> Result<(), Box<dyn Error>> {
    let world = worlds::named("metro").ok_or("no metro")?;
    let config = Cell { world, method: Method::profile(Profile::Balanced) }.config();
    let mut steps: Vec<Step> = Vec::new();
    let outcome = world.world(seed).measure_watched(&config, seed, |measure, truth| {
        if let (Some(bounds), Some(estimate)) = (measure.progress().bounds(), measure.estimate()) {
            let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
            let number = f64::from(measure.progress().observations());
            steps.push(Step {
                number,
                above: ms(bounds.upper().saturating_sub(truth).abs()),
                below: ms(truth.saturating_sub(bounds.lower()).abs()),
                error: ms(estimate.offset().saturating_sub(truth).abs()),
                stddev: ms(estimate.stddev()),
            });
        }
    });
    outcome.result?;
    let lines = [
        (
            "upper bound − truth",
            ORANGE,
            steps.iter().map(|step| (step.number, step.above)).collect(),
        ),
        (
            "truth − lower bound",
            PURPLE,
            steps.iter().map(|step| (step.number, step.below)).collect(),
        ),
        (
            "standard deviation",
            GREEN,
            steps.iter().map(|step| (step.number, step.stddev)).collect(),
        ),
        (
            "error of the estimate",
            BLUE,
            steps.iter().map(|step| (step.number, step.error)).collect(),
        ),
    ]
    .map(|(name, colour, points)| Line {
        name: name.into(),
        colour,
        points,
        is_measured: true,
    });
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let caption = format!("one measurement in {}: {}", world.name(), world.about());
    let most = steps.last().map_or(1.0, |step| step.number + 1.0);
    draw(
        &root,
        &Chart { caption, across: "responses", upwards: "ms", most, errors: 0.01..2000.0 },
        &lines,
    )?;
    root.present()?;
    Ok(())
}

const SIZE: (u32, u32) = (960, 420);
const MEDIAN: &str = "median error, ms";
const FONT: &str = "sans-serif";
const REQUESTS: [u32; 13] = [4, 6, 8, 10, 12, 16, 20, 24, 28, 32, 36, 40, 48];
const DURATIONS: [u64; 11] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20];
// Okabe and Ito's colours, told apart by everyone.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const GREY: RGBColor = RGBColor(130, 130, 130);
