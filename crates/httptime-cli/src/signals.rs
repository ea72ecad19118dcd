//! Signals: how Ctrl-C ends the program, and what a service manager asks of the daemon.

#[cfg_attr(unix, path = "signals/unix.rs")]
#[cfg_attr(not(unix), path = "signals/windows.rs")]
mod platform;

pub(crate) use self::platform::{end_at_once, interruption, listen};

/// What a signal asks of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "the daemon is not supported there"))]
pub(crate) enum Signal {
    Reload,
    MeasureNow,
    End,
}

/// The exit status of a shell for a program that a signal has ended.
const fn exit_status(signal: i32) -> i32 {
    128 + signal
}
