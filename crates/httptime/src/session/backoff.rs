use std::time::Duration;

use crate::time::LocalInstant;

/// The pause after a failure: 100 ms, doubled by each consecutive failure. Also the pause for which
/// the server asks (`Retry-After`).
///
/// A failure during the pause belongs to the failure that started it: several requests in flight
/// can fail for one reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    until: Option<LocalInstant>,
    /// Until when the server has asked for no request.
    asked: Option<LocalInstant>,
    failures: u32,
}

impl Backoff {
    /// Records a failure. Returns the time of the next try.
    pub(super) fn failed(&mut self, now: LocalInstant) -> LocalInstant {
        if let Some(until) = self.until.filter(|until| now < *until) {
            return until;
        }
        let until = now.saturating_add(RETRY_AFTER * 2_u32.saturating_pow(self.failures));
        self.until = Some(until).max(self.asked);
        self.failures = self.failures.saturating_add(1);
        until
    }

    /// Records an open connection: the pause ends, but the failures still count.
    pub(super) fn opened(&mut self) {
        self.until = self.asked;
    }

    /// Records that the server asks for no request until then.
    pub(super) fn asked(&mut self, until: LocalInstant) {
        self.asked = self.asked.max(Some(until));
        self.until = self.until.max(self.asked);
    }

    /// Until when the server has asked for no request.
    pub(super) const fn asked_until(&self) -> Option<LocalInstant> {
        self.asked
    }

    /// Records a response.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The later of `now` and the end of the pause.
    pub(super) fn earliest(&self, now: LocalInstant) -> LocalInstant {
        self.until.map_or(now, |until| until.max(now))
    }
}

/// The pause after a first failure.
const RETRY_AFTER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_each_failure_and_not_with_each_request_that_shares_one() {
        let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
        let mut backoff = Backoff::default();
        assert_eq!([0, 0, 1, 2].map(|millis| backoff.failed(at(millis))), [at(100); 4]);
        assert_eq!([100, 150].map(|millis| backoff.failed(at(millis))), [at(300); 2]);
        assert_eq!(backoff.failed(at(300)), at(700));
        assert_eq!(backoff.earliest(at(650)), at(700));
        backoff.succeeded();
        assert_eq!(backoff.failed(at(800)), at(900));
        backoff.opened();
        assert_eq!(backoff.earliest(at(850)), at(850));
    }

    #[test]
    fn a_pause_for_which_the_server_asks_ends_neither_with_a_connection_nor_with_a_failure() {
        let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
        let mut backoff = Backoff::default();
        backoff.asked(at(5_000));
        backoff.asked(at(3_000));
        backoff.opened();
        assert_eq!(backoff.earliest(at(10)), at(5_000));
        assert_eq!(backoff.failed(at(20)), at(5_000));
        assert_eq!(backoff.failed(at(6_000)), at(6_100));
        assert_eq!(backoff.asked_until(), Some(at(5_000)));
    }
}
