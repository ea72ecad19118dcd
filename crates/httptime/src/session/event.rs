use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::method::Method;
use crate::observation::Observation;
use crate::time::LocalInstant;

/// Something that happened in a session: for progress displays and logs. Nothing depends on whether anyone looks.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The name has this many addresses of the wanted family.
    Resolved {
        /// How many.
        addresses: usize,
    },
    /// An address of a name does not answer, and the next one is tried.
    NextAddress {
        /// Why the address before it failed.
        error: Error,
    },
    /// A connection can take requests.
    Opened {
        /// The server's address, or the proxy's.
        address: SocketAddr,
        /// How long opening it took, with the proxy's tunnel.
        took: Duration,
    },
    /// A connection was closed while no request was under way on it.
    Dropped,
    /// A request has left.
    Sent {
        /// When, or a little before.
        at: LocalInstant,
    },
    /// A request could not leave in time to be of use, and is planned again.
    Rescheduled {
        /// By how much it would have been late.
        late: Duration,
    },
    /// A response was used.
    Answered {
        /// What it proves.
        observation: Observation,
    },
    /// A request or a connection was lost; the session goes on.
    Lost {
        /// Why.
        error: Error,
        /// Nothing is sent before this.
        retry_at: LocalInstant,
    },
    /// The first request came to nothing, and the server is asked by another method from now on.
    Fallback {
        /// What was wrong.
        error: Error,
        /// The method from now on.
        method: Method,
    },
    /// The session is over.
    Ended {
        /// Why it failed; `None` if it has a result, which only the clocks at the end can still spoil
        /// ([`ClockStepped`](Error::ClockStepped), [`ClockMismatch`](Error::ClockMismatch)).
        error: Option<Error>,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolved { addresses } => {
                write!(f, "the name is resolved; addresses: {addresses}")
            }
            Self::NextAddress { error } => write!(f, "{error}; trying the next address"),
            Self::Opened { address, took } => write!(f, "connected to {address} in {took:?}"),
            Self::Dropped => f.write_str("an idle connection was closed"),
            Self::Sent { .. } => f.write_str("request sent"),
            Self::Rescheduled { late } => {
                write!(f, "request rescheduled; it would be {late:?} late")
            }
            Self::Answered { observation } => {
                let (bounds, took) = (observation.bounds(), observation.round_trip());
                write!(f, "response used after {took:?}; offset within {bounds}")
            }
            Self::Lost { error, .. } => write!(f, "{error}; trying again"),
            Self::Fallback { error, method } => {
                write!(f, "{error}; trying the method {method}")
            }
            Self::Ended { error: Some(error) } => write!(f, "failed: {error}"),
            Self::Ended { error: None } => f.write_str("done"),
        }
    }
}

/// The latest events, the oldest first. When nobody takes them, the oldest make room.
#[derive(Debug)]
pub(super) struct Events(VecDeque<Event>);

impl Events {
    pub(super) fn new() -> Self {
        Self(VecDeque::with_capacity(CAPACITY))
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}

/// More than a session has to say between two waits.
const CAPACITY: usize = 16;
