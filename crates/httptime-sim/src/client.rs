use std::time::Duration;

use fastrand::Rng;

use crate::path::exponential;

/// How promptly the machine that measures runs the process that does.
#[derive(Debug, Clone, Copy)]
pub struct SimClient {
    share: f64,
    mean: Duration,
}

impl SimClient {
    /// Always at once.
    #[must_use]
    pub const fn idle() -> Self {
        Self { share: 0.0, mean: Duration::ZERO }
    }

    /// This share of wake-ups is late, by `mean` on average. A process that runs loses the processor more rarely: it is
    /// ten times less likely to stop between reading the clock and sending.
    #[must_use]
    pub const fn overloaded(share: f64, mean: Duration) -> Self {
        Self { share, mean }
    }

    /// From the instant for which the process asked to be woken, or a response came, until it runs.
    pub(crate) fn wake_up(&self, random: &mut Rng) -> Duration {
        self.late(self.share, random)
    }

    /// From reading the clock until the request is handed to the system.
    pub(crate) fn stop(&self, random: &mut Rng) -> Duration {
        self.late(self.share / 10.0, random)
    }

    /// Draws nothing where nothing is late, so that idle worlds give the same numbers with and without.
    fn late(&self, share: f64, random: &mut Rng) -> Duration {
        if share > 0.0 && random.f64() < share {
            exponential(self.mean, random)
        } else {
            Duration::ZERO
        }
    }
}
