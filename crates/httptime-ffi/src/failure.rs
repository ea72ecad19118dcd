use std::cell::RefCell;

use crate::status::{HTTPTIME_ERROR_INVALID_ARGUMENT, httptime_status, status_of_kind, text};

/// The failure of a call: its status, and a message that adds details to the status's own text.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: httptime_status,
    pub(crate) message: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: httptime_status, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()) }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(HTTPTIME_ERROR_INVALID_ARGUMENT, message)
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::argument(format!("{name} is NULL"))
    }
}

impl From<httptime::Error> for Failure {
    fn from(error: httptime::Error) -> Self {
        Self::new(status_of_kind(error.kind()), error.to_string())
    }
}

#[cfg(feature = "clock")]
impl From<httptime_clock::ClockError> for Failure {
    fn from(error: httptime_clock::ClockError) -> Self {
        Self::new(status_of_kind(error.kind()), error.to_string())
    }
}

/// Keeps the message for [`httptime_error_message`](crate::httptime_error_message).
pub(crate) fn remember(failure: Failure) -> httptime_status {
    let message = failure.message.unwrap_or_else(|| text(failure.status).to_owned());
    // A thread that is ending can no longer store it.
    let _ = MESSAGE.try_with(|last| last.replace(message));
    failure.status
}

pub(crate) fn last_message() -> String {
    MESSAGE.try_with(|last| last.borrow().clone()).unwrap_or_default()
}

thread_local! {
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use httptime::Error;
    use httptime::Phase;

    use crate::status::{
        HTTPTIME_ERROR_CANCELLED, HTTPTIME_ERROR_NO_DATE, HTTPTIME_ERROR_OTHER,
        HTTPTIME_ERROR_TIMEOUT_CONNECT,
    };

    use super::*;

    #[test]
    fn an_error_of_the_library_has_the_status_of_its_name() {
        let after = Duration::from_secs(5);
        for (error, status) in [
            (Error::NoDate { status: 400 }, HTTPTIME_ERROR_NO_DATE),
            (Error::Timeout { phase: Phase::Connect, after }, HTTPTIME_ERROR_TIMEOUT_CONNECT),
            (Error::Cancelled, HTTPTIME_ERROR_CANCELLED),
        ] {
            assert_eq!(Failure::from(error).status, status);
        }
        assert_eq!(status_of_kind("of a later version"), HTTPTIME_ERROR_OTHER);
    }
}
