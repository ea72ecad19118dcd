use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

/// A drawing area in a file: a row for the legend, and panels side by side below it.
pub(super) struct Figure<'a> {
    root: Area<'a>,
    legend: Area<'a>,
    panels: Vec<Area<'a>>,
}

/// An axis: its range and the places of its labels.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    pub(super) scale: Scale,
    pub(super) range: Range<f64>,
    pub(super) ticks: Vec<f64>,
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
    /// Logarithmic on both sides, linear within this distance of zero.
    Symmetric(f64),
}

/// A curve's name and its style.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) name: &'static str,
    pub(super) colour: RGBColor,
    pub(super) mark: Mark,
}

/// The symbol in the legend and in the plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A line through points.
    Line,
    /// A thin dashed line.
    Dashes,
    /// A shaded area.
    Band,
    /// Points with bars.
    Bars,
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

impl<'a> Figure<'a> {
    pub(super) fn new(file: &'a Path, panels: usize) -> Result<Self, Box<dyn Error>> {
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (legend, rest) = root.split_vertically(LEGEND);
        Ok(Self { root, legend, panels: rest.split_evenly((1, panels)) })
    }

    /// Draws the legend above the plots, where it hides nothing.
    pub(super) fn legend(&self, styles: &[Style]) -> Result<(), Box<dyn Error>> {
        let middle = LEGEND / 2 + 4;
        let mut left = LEFT;
        for style in styles {
            style.draw_sample(&self.legend, left, middle)?;
            let at = (left + SAMPLE + 6, middle - FONT / 2);
            self.legend.draw(&Text::new(style.name, at, (FAMILY, FONT)))?;
            let letters = i32::try_from(style.name.chars().count())?;
            left += SAMPLE + letters * 13 / 2 + 26;
        }
        Ok(())
    }

    pub(super) fn panel(
        &self,
        number: usize,
        title: &str,
        x: &Axis,
        y: &Axis,
    ) -> Result<Chart<'_, 'a>, Box<dyn Error>> {
        let mut chart = ChartBuilder::on(&self.panels[number])
            .caption(title, (FAMILY, FONT))
            .margin(8)
            .margin_right(20)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(AXIS)
            .label_style((FAMILY, FONT))
            .x_desc(x.name)
            .y_desc(y.name)
            .draw()?;
        Ok(chart)
    }

    pub(super) fn finish(self) -> Result<(), Box<dyn Error>> {
        Ok(self.root.present()?)
    }
}

impl Axis {
    /// Whole decades around all of these values.
    pub(super) fn decades(name: &'static str, values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        let range = 10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil());
        let ticks = DECADES.iter().copied().filter(|tick| range.contains(&(tick * 0.999)));
        let ticks = ticks.chain([range.start]).collect();
        Self { name, scale: Scale::Logarithmic, range, ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        let line = RangedCoordf64::from(self.scale.at(start)..self.scale.at(end));
        line.map(&self.scale.at(*value), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string().replace('-', "−")
    }
}

impl Scale {
    fn at(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.log10(),
            Self::Symmetric(linear) => (value / linear).asinh(),
        }
    }
}

impl Style {
    pub(super) fn line_style(&self) -> ShapeStyle {
        self.colour.stroke_width(if self.mark == Mark::Dashes { 1 } else { 2 })
    }

    pub(super) fn fill_style(&self) -> ShapeStyle {
        self.colour.mix(0.3).filled()
    }

    fn draw_sample(&self, area: &Area<'_>, left: i32, middle: i32) -> Result<(), Box<dyn Error>> {
        let (right, centre) = (left + SAMPLE, left + SAMPLE / 2);
        let ends = [(left, middle), (right, middle)];
        let dot = Circle::new((centre, middle), DOT, self.colour.filled());
        match self.mark {
            Mark::Line => {
                area.draw(&PathElement::new(ends, self.line_style()))?;
                area.draw(&dot)?;
            }
            Mark::Dashes => {
                area.draw(&DashedPathElement::new(ends, DASH.0, DASH.1, self.line_style()))?;
            }
            Mark::Band => {
                let corners = [(left, middle - 7), (right, middle + 7)];
                area.draw(&Rectangle::new(corners, self.fill_style()))?;
            }
            Mark::Bars => {
                let bar = [(centre, middle - 8), (centre, middle + 8)];
                area.draw(&PathElement::new(bar, self.line_style()))?;
                area.draw(&dot)?;
            }
        }
        Ok(())
    }
}

/// Radius of a point.
pub(super) const DOT: u32 = 3;
/// Length of a dash, and of the gap after it.
pub(super) const DASH: (u32, u32) = (6, 4);
// Okabe and Ito's palette, which colour-blind people can distinguish.
pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub(super) const VERMILION: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
pub(super) const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
pub(super) const ORANGE: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
pub(super) const GREY: RGBColor = RGBColor(0x70, 0x70, 0x70);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const AXIS: RGBColor = RGBColor(0x55, 0x55, 0x55);
const SIZE: (u32, u32) = (900, 420);
const FAMILY: &str = "sans-serif";
/// The SVG backend writes the font a fifth smaller.
const FONT: i32 = 16;
/// Height of the legend, its left edge and the width of a sample.
const LEGEND: i32 = 32;
const LEFT: i32 = 72;
const SAMPLE: i32 = 28;
const DECADES: [f64; 9] = [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];
