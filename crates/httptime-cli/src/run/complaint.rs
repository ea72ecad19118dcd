//! A failure that repeats for the same reason is logged once.

use log::{info, warn};

/// Something that is done after each measurement and may fail each time.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said: Option<String>,
}

impl Complaint {
    /// Logs a failure unless it is the one logged last, and logs when it is resolved.
    pub(crate) fn hear(&mut self, outcome: Result<(), String>) {
        match outcome {
            Err(why) if self.said.as_ref() == Some(&why) => {}
            Err(why) => {
                warn!("{why}; further repeats suppressed");
                self.said = Some(why);
            }
            Ok(()) => {
                if let Some(why) = self.said.take() {
                    info!("resolved: {why}");
                }
            }
        }
    }
}
