//! What a service manager wants to hear (`sd_notify`). Without one, nothing is said.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

pub(crate) fn ready() {
    send_states(&[NotifyState::Ready]);
}

pub(crate) fn reloading() {
    if let Ok(since) = NotifyState::monotonic_usec_now() {
        send_states(&[NotifyState::Reloading, since]);
    }
}

pub(crate) fn stopping() {
    send_states(&[NotifyState::Stopping]);
}

pub(crate) fn notify_watchdog() {
    send_states(&[NotifyState::Watchdog]);
}

pub(crate) fn status(status: &str) {
    send_states(&[NotifyState::Status(status)]);
}

/// How often the manager wants a sign of life, if at all.
pub(crate) fn watchdog() -> Option<Duration> {
    watchdog_enabled()
}

/// A manager that has gone away is no reason to stop.
fn send_states(states: &[NotifyState<'_>]) {
    let _ = notify(states);
}
