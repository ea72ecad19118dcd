//! Notifications to the service manager (`sd_notify`). Without a manager, nothing is sent.

#[cfg(not(unix))]
pub(crate) use no_manager::{notify_watchdog, ready, reloading, status, stopping, watchdog};
#[cfg(unix)]
pub(crate) use sd::{notify_watchdog, ready, reloading, status, stopping, watchdog};

#[cfg(unix)]
mod sd {
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
}

#[cfg(not(unix))]
mod no_manager {
    use std::time::Duration;

    pub(crate) const fn ready() {}

    pub(crate) const fn reloading() {}

    pub(crate) const fn stopping() {}

    pub(crate) const fn notify_watchdog() {}

    pub(crate) const fn status(_: &str) {}

    pub(crate) const fn watchdog() -> Option<Duration> {
        None
    }
}
