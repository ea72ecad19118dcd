//! A failure that repeats for the same reason is logged once.

use log::{info, warn};

/// Something that is done after each measurement and may fail each time.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    last_logged: Option<String>,
}

impl FailureLog {
    /// Logs a failure unless it is the one logged last, and logs when it is resolved.
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
