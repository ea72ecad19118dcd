//! Whether a setting is in its range.

use std::ops::RangeInclusive;

use crate::error::Error;

/// Refuses a value out of its range, with the name of the setting.
///
/// # Errors
/// [`Error::InvalidConfig`], also for a value that is not a number.
pub fn check_range(name: &str, value: f64, range: RangeInclusive<f64>) -> Result<(), Error> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = range.into_inner();
    let reason = format!("{name} is {value}; its range is {least} to {most}");
    Err(Error::InvalidConfig { reason })
}
