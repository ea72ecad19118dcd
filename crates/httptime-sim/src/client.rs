use std::time::Duration;

use fastrand::Rng;

use crate::path::exponential;

/// How promptly the measuring process runs on its machine.
#[derive(Debug, Clone, Copy)]
pub struct SimClient {
    share: f64,
    mean: Duration,
}

impl SimClient {
    /// The process always runs at once.
    #[must_use]
    pub const fn idle() -> Self {
        Self { share: 0.0, mean: Duration::ZERO }
    }

    /// Delays this share of wake-ups, by `mean` on average. A running process loses the processor
    /// less often: the probability that it stops between reading the clock and sending is ten times
    /// smaller.
    #[must_use]
    pub const fn overloaded(share: f64, mean: Duration) -> Self {
        Self { share, mean }
    }

    /// The delay from the requested wake-up, or from the arrival of a response, until the process
    /// runs.
    pub(crate) fn wake_up(&self, random: &mut Rng) -> Duration {
        self.late(self.share, random)
    }

    /// The delay from reading the clock until the request is passed to the system.
    pub(crate) fn stop(&self, random: &mut Rng) -> Duration {
        self.late(self.share / 10.0, random)
    }

    /// Draws no random number if the share is zero, so that idle worlds give the same numbers with
    /// and without this setting.
    fn late(&self, share: f64, random: &mut Rng) -> Duration {
        if share > 0.0 && random.f64() < share {
            exponential(self.mean, random)
        } else {
            Duration::ZERO
        }
    }
}
