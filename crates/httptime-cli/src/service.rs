//! Notifications to the service manager (`sd_notify`). Without a manager, nothing is sent.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};

pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

pub(crate) fn reloading() {
    if let Ok(since) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, since]);
    }
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

pub(crate) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The interval of the watchdog, if it is enabled.
pub(crate) fn watchdog() -> Option<Duration> {
    watchdog_enabled()
}

/// If the manager does not exist any more, the program continues.
fn tell(states: &[NotifyState<'_>]) {
    let _ = notify(states);
}
