//! What fails again and again for the same reason is said once.

use log::{info, warn};

/// Something that is done after each measurement and may fail each time.
#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said: Option<String>,
}

impl Complaint {
    /// Warns of a failure unless it was the last thing said, and says when there is none any more.
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
