use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::method::Method;
use crate::observation::Observation;
use crate::time::LocalInstant;

/// An event of a session, for progress displays and logs. The session does not depend on whether
/// events are read.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The name has this many addresses of the wanted family.
    Resolved {
        /// The number of addresses.
        addresses: usize,
    },
    /// An address of a name does not answer, and the next one is tried.
    NextAddress {
        /// The error of the previous address.
        error: Error,
    },
    /// A connection is ready for requests.
    Opened {
        /// The server's address, or the proxy's.
        address: SocketAddr,
        /// The time that opening it took, including the proxy's tunnel and the TLS
        /// handshakes.
        took: Duration,
    },
    /// A connection was closed while no request was in flight on it.
    Dropped,
    /// A request has left.
    Sent {
        /// The time, or a little earlier.
        at: LocalInstant,
    },
    /// A request could not leave in time, and is rescheduled.
    Rescheduled {
        /// How late it would have been.
        late: Duration,
    },
    /// A response was used.
    Answered {
        /// What it proves.
        observation: Observation,
    },
    /// A request or a connection was lost. The session continues.
    Lost {
        /// The reason.
        error: Error,
        /// No request is sent before this time.
        retry_at: LocalInstant,
    },
    /// The first request failed, and another method is used from now on.
    Fallback {
        /// The reason.
        error: Error,
        /// The method from now on.
        method: Method,
    },
    /// The session has ended.
    Ended {
        /// The reason why it failed. `None` if it has a result, which only the clocks at the end
        /// can still invalidate ([`ClockStepped`](Error::ClockStepped),
        /// [`ClockMismatch`](Error::ClockMismatch), [`Tls`](Error::Tls)).
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

/// The latest events, the oldest first. If they are not read, new events replace the oldest.
#[derive(Debug)]
pub(super) struct Events(VecDeque<Event>);

impl Events {
    pub(super) fn new() -> Self {
        Self(VecDeque::with_capacity(MAX_EVENTS))
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.0.len() == MAX_EVENTS {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.0.pop_front()
    }
}

/// More events than a session has between two waits.
const MAX_EVENTS: usize = 16;
