use std::ffi::c_char;
use std::time::Duration;

use httptime::session::Event;

use crate::boundary::{Versioned, array, nanos, size};
use crate::failure::Failure;
use crate::status::{HTTPTIME_OK, httptime_status};

/// The name has been resolved.
pub const HTTPTIME_EVENT_RESOLVED: i32 = 1;
/// A connection is ready for requests. text is the address, duration_ns the time that opening it
/// took.
pub const HTTPTIME_EVENT_OPENED: i32 = 2;
/// A connection was closed while no request was in flight on it.
pub const HTTPTIME_EVENT_DROPPED: i32 = 3;
/// A request has left, at at_ns or a little later.
pub const HTTPTIME_EVENT_SENT: i32 = 4;
/// A request could not leave in time and is rescheduled. duration_ns is how late it would have
/// been.
pub const HTTPTIME_EVENT_RESCHEDULED: i32 = 5;
/// A response was used. It arrived at at_ns, after a round trip of duration_ns, and gives lower_ns
/// and upper_ns.
pub const HTTPTIME_EVENT_ANSWERED: i32 = 6;
/// A request or a connection was lost, for the reason in status and text. No request is sent before
/// at_ns.
pub const HTTPTIME_EVENT_LOST: i32 = 7;
/// The server is done. status and text are the reason why it failed; HTTPTIME_OK if it has a
/// result.
pub const HTTPTIME_EVENT_ENDED: i32 = 8;
/// An address of a name does not answer, for the reason in status and text, and the next one is
/// tried.
pub const HTTPTIME_EVENT_NEXT_ADDRESS: i32 = 9;
/// An event for which this version of the library has no number.
pub const HTTPTIME_EVENT_OTHER: i32 = 10;
/// The first request failed, for the reason in status and text. GET is used from now on.
pub const HTTPTIME_EVENT_FALLBACK: i32 = 11;

/// An event of a session, for progress displays and logs. Written by the library; set struct_size
/// before.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_event {
    /// sizeof(httptime_event), set by the caller.
    pub struct_size: u32,
    /// HTTPTIME_EVENT_*.
    pub kind: i32,
    /// The number of the server, from 0 in the order of the URLs.
    pub server: u32,
    /// The reason, for HTTPTIME_EVENT_LOST, HTTPTIME_EVENT_NEXT_ADDRESS, HTTPTIME_EVENT_FALLBACK
    /// and HTTPTIME_EVENT_ENDED; otherwise HTTPTIME_OK.
    pub status: httptime_status,
    /// An instant, if the kind has one; otherwise 0.
    pub at_ns: i64,
    /// A duration, if the kind has one; otherwise 0.
    pub duration_ns: i64,
    /// For HTTPTIME_EVENT_ANSWERED: the lower bound of the offset according to this response alone.
    /// Otherwise 0.
    pub lower_ns: i64,
    /// The upper bound of the offset.
    pub upper_ns: i64,
    /// The address or the reason, ended by a NUL; otherwise empty.
    pub text: [c_char; 192],
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_event {
    const MIN_SIZE: usize = 16;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            kind: HTTPTIME_EVENT_OTHER,
            server: 0,
            status: HTTPTIME_OK,
            at_ns: 0,
            duration_ns: 0,
            lower_ns: 0,
            upper_ns: 0,
            text: [0; 192],
        }
    }
}

impl httptime_event {
    pub(crate) fn new(server: usize, event: Event) -> Self {
        let server = u32::try_from(server).unwrap_or(u32::MAX);
        let of = |kind, duration: Duration| Self {
            kind,
            server,
            duration_ns: nanos(duration),
            ..Self::initial()
        };
        let at_once = Duration::ZERO;
        match event {
            Event::Resolved { .. } => of(HTTPTIME_EVENT_RESOLVED, at_once),
            Event::Opened { address, took } => {
                Self { text: array(&address.to_string()), ..of(HTTPTIME_EVENT_OPENED, took) }
            }
            Event::Dropped => of(HTTPTIME_EVENT_DROPPED, at_once),
            Event::Sent { at } => Self { at_ns: at.as_nanos(), ..of(HTTPTIME_EVENT_SENT, at_once) },
            Event::Rescheduled { late } => of(HTTPTIME_EVENT_RESCHEDULED, late),
            Event::Answered { observation } => Self {
                at_ns: observation.received().as_nanos(),
                lower_ns: observation.bounds().lower().as_nanos(),
                upper_ns: observation.bounds().upper().as_nanos(),
                ..of(HTTPTIME_EVENT_ANSWERED, observation.round_trip())
            },
            Event::NextAddress { error } => {
                of(HTTPTIME_EVENT_NEXT_ADDRESS, at_once).because(error.into())
            }
            Event::Fallback { error, .. } => {
                of(HTTPTIME_EVENT_FALLBACK, at_once).because(error.into())
            }
            Event::Lost { error, retry_at } => Self {
                at_ns: retry_at.as_nanos(),
                ..of(HTTPTIME_EVENT_LOST, at_once).because(error.into())
            },
            Event::Ended { error: None } => of(HTTPTIME_EVENT_ENDED, at_once),
            Event::Ended { error: Some(error) } => {
                of(HTTPTIME_EVENT_ENDED, at_once).because(error.into())
            }
            _ => of(HTTPTIME_EVENT_OTHER, at_once),
        }
    }

    fn because(self, failure: Failure) -> Self {
        Self { status: failure.status, text: array(&failure.message.unwrap_or_default()), ..self }
    }
}
