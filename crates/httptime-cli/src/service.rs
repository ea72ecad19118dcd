//! Notifications to the service manager (`sd_notify`). Without a manager, nothing is sent.

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

/// The interval of the watchdog, if it is enabled.
pub(crate) fn watchdog() -> Option<Duration> {
    watchdog_enabled()
}

/// If the manager does not exist any more, the program continues.
fn send_states(states: &[NotifyState<'_>]) {
    let _ = notify(states);
}
