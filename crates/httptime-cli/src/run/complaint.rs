//! Logs a repeated failure once.

use log::{info, warn};

/// An operation after each measurement that can fail each time.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said: Option<String>,
}

impl Complaint {
    /// Warns about a failure unless it is the same as the last one. Logs when it has ended.
    pub(crate) fn hear(&mut self, outcome: Result<(), String>) {
        match outcome {
            Err(why) if self.said.as_ref() == Some(&why) => {}
            Err(why) => {
                warn!("{why}; it is not said again until that changes");
                self.said = Some(why);
            }
            Ok(()) => {
                if let Some(why) = self.said.take() {
                    info!("no longer: {why}");
                }
            }
        }
    }
}
