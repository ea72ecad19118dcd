//! Schedules: when the next request leaves.
//!
//! One request returns at most one bit: did the server's second begin before or after the stamp? A [`Schedule`] buys
//! those bits with requests and with seconds, both of which cost. Only the phase within the second matters, so a
//! request can be aimed at any second.
//!
//! | name | what it does |
//! |---|---|
//! | [`periodic`](Periodic) | evenly over the time allowed, whatever the answers |
//! | [`bisect`](Bisect) | aims each request at the middle of what is still unknown |

use std::fmt;
use std::str::FromStr;

mod bisect;
mod periodic;

pub use self::bisect::Bisect;
pub use self::periodic::Periodic;

use crate::config::Limits;
use crate::error::Error;
use crate::estimate::{Estimate, Estimator};
use crate::progress::Progress;
use crate::time::LocalInstant;

/// What a schedule wants next.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Send a request at this instant, or at once if it has passed.
    SendAt(LocalInstant),
    /// Wait for a request that is under way.
    AwaitReply,
    /// More requests would not help.
    Enough,
}

/// What a schedule decides from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    earliest: LocalInstant,
    progress: &'a Progress,
    estimator: &'a dyn Estimator,
    limits: &'a Limits,
}

impl<'a> View<'a> {
    pub(crate) const fn new(
        earliest: LocalInstant,
        progress: &'a Progress,
        estimator: &'a dyn Estimator,
        limits: &'a Limits,
    ) -> Self {
        Self { earliest, progress, estimator, limits }
    }

    /// The earliest instant at which a request can leave: now, or when a connection will be open.
    #[must_use]
    pub const fn earliest(&self) -> LocalInstant {
        self.earliest
    }

    /// What has been sent and learnt so far.
    #[must_use]
    pub const fn progress(&self) -> &'a Progress {
        self.progress
    }

    /// The estimate so far. Estimators may compute it afresh at each call.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        self.estimator.estimate()
    }

    /// What the caller is willing to spend.
    #[must_use]
    pub const fn limits(&self) -> &'a Limits {
        self.limits
    }
}

/// Decides when requests leave.
///
/// Implementations read no clock and hold no randomness. They need not watch the limits: the measurement does.
pub trait Schedule: fmt::Debug + Send {
    /// The name by which people choose it.
    fn name(&self) -> &'static str;

    /// Decides on the next request. Called again after a request has left, after a response or a failure, and when a
    /// planned instant could not be kept.
    fn plan(&mut self, view: &View<'_>) -> Plan;
}

/// The schedules that come with the library, by name.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScheduleKind {
    /// [`Periodic`]
    Periodic,
    /// [`Bisect`]
    #[default]
    Bisect,
}

impl ScheduleKind {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Periodic, Self::Bisect];

    /// The name, as [`FromStr`] takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Periodic => "periodic",
            Self::Bisect => "bisect",
        }
    }

    /// A new schedule of this kind.
    #[must_use]
    pub fn build(self) -> Box<dyn Schedule> {
        match self {
            Self::Periodic => Box::new(Periodic),
            Self::Bisect => Box::new(Bisect),
        }
    }
}

impl FromStr for ScheduleKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::InvalidConfig { reason: format!("no schedule is called {name:?}") }
        })
    }
}
