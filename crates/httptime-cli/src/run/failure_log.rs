//! What fails again and again for the same reason is said once.

use log::{info, warn};

/// Something that is done after each measurement and may fail each time.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    last_logged: Option<String>,
}

impl FailureLog {
    /// Warns of a failure unless it was the last thing said, and says when there is none any more.
    pub(crate) fn report(&mut self, outcome: Result<(), String>) {
        match outcome {
            Err(why) if self.last_logged.as_ref() == Some(&why) => {}
            Err(why) => {
                warn!("{why}; it is not said again until that changes");
                self.last_logged = Some(why);
            }
            Ok(()) => {
                if let Some(why) = self.last_logged.take() {
                    info!("no longer: {why}");
                }
            }
        }
    }
}
