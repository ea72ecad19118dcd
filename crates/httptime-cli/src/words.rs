//! The system's words for its errors.

use std::io;

use httptime::IoError;

/// The text of an error, in lower case and without Rust's "(os error 2)".
pub(crate) fn system(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => IoError::from(io::Error::from_raw_os_error(number)).to_string(),
        None => error.to_string(),
    }
}
