//! The table, as text and as CSV.

use std::io::{self, Write};

use crate::Row;

/// Names of the columns. Times are in milliseconds unless the name has another unit.
pub const COLUMNS: [&str; 16] = [
    "world",
    "estimator",
    "schedule",
    "limits",
    "median_ms",
    "p95_ms",
    "p99_ms",
    "rms_ms",
    "bounds_ms",
    "coverage",
    "within_1",
    "within_2",
    "requests",
    "seconds",
    "caught",
    "runs",
];

/// The fields of one row.
#[must_use]
pub fn fields(row: &Row) -> Vec<String> {
    let runs = f64::from(row.runs);
    let bounded = |field: String| if row.has_bounds() { field } else { String::new() };
    let (one, two) = row.within();
    let kept = runs - f64::from(row.caught);
    let share = |value: f64, digits| match value.is_nan() {
        true => String::new(),
        false => format!("{value:.digits$}"),
    };
    let mut fields = row.names.to_vec();
    fields.extend([0.5, 0.95, 0.99].map(|share| significant(row.error(share))));
    fields.extend([
        significant(row.rms()),
        bounded(significant(row.width())),
        bounded(share(1.0 - f64::from(row.violations) / kept, 4)),
        bounded(share(one, 3)),
        bounded(share(two, 3)),
        bounded(share(row.requests(), 0)),
        share(row.seconds(), 1),
        bounded(format!("{:.4}", f64::from(row.caught) / runs)),
        row.runs.to_string(),
    ]);
    fields
}

/// Writes CSV.
///
/// # Errors
/// Errors of `out`.
pub fn write_csv(rows: &[Row], out: impl Write) -> io::Result<()> {
    write_csv_records(&COLUMNS, rows.iter().map(fields), out)
}

/// Writes aligned columns, with a blank line between worlds.
///
/// # Errors
/// Errors of `out`.
pub fn write_text(rows: &[Row], out: impl Write) -> io::Result<()> {
    let records: Vec<_> = rows.iter().map(fields).collect();
    write_text_records(&COLUMNS, 4, &records, out)
}

pub(crate) fn write_csv_records(
    columns: &[&str],
    records: impl Iterator<Item = Vec<String>>,
    out: impl Write,
) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(columns)?;
    for record in records {
        writer.write_record(record)?;
    }
    writer.flush()
}

/// The first `names` columns are words; the first of them is the world.
pub(crate) fn write_text_records(
    columns: &[&str],
    names: usize,
    records: &[Vec<String>],
    mut out: impl Write,
) -> io::Result<()> {
    let width = |column: usize| {
        let widths = records.iter().map(|record| record[column].len());
        widths.chain([columns[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let mut line = |record: &[String]| {
        for (column, (field, width)) in record.iter().zip(&widths).enumerate() {
            if column < names {
                write!(out, "{field:width$}  ")?;
            } else {
                write!(out, "{field:>width$}  ")?;
            }
        }
        writeln!(out)
    };
    line(&columns.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    let mut world = "";
    for record in records {
        if record[0] != world && !world.is_empty() {
            line(&[])?;
        }
        world = &record[0];
        line(record)?;
    }
    Ok(())
}

/// Four significant digits. Empty if there is no value, for example when every measurement was
/// caught.
pub(crate) fn significant(value: f64) -> String {
    if value.is_nan() {
        return String::new();
    }
    let digits: usize = match value {
        ..0.01 => 6,
        ..0.1 => 5,
        ..1.0 => 4,
        ..10.0 => 3,
        ..100.0 => 2,
        _ => 1,
    };
    format!("{value:.digits$}")
}
