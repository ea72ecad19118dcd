//! Logs a repeated failure once.

use log::{info, warn};

/// An operation after each measurement that can fail each time.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    last_logged: Option<String>,
}

impl FailureLog {
    /// The failure that was logged last and has not ended.
    #[cfg(test)]
    pub(crate) fn last_logged(&self) -> Option<&str> {
        self.last_logged.as_deref()
    }

    /// Warns about a failure unless it is the same as the last one. Logs when it has ended.
    pub(crate) fn report(&mut self, outcome: Result<(), String>) {
        match outcome {
            Err(why) if self.last_logged.as_ref() == Some(&why) => {}
            Err(why) => {
                warn!("{why}; further repeats suppressed");
                self.last_logged = Some(why);
            }
            Ok(()) => {
                if let Some(why) = self.last_logged.take() {
                    info!("resolved: {why}");
                }
            }
        }
    }
}
