//! Decides from readings of this machine's clocks what happened to it between two measurements. No
//! I/O: `watcher.rs` reads the clocks.
//!
//! | what happened | what shows it |
//! |---|---|
//! | the clock was set | the wall clock moved against the monotonic clock, which stops during a sleep |
//! | the machine slept | the same, and the clock of the time since boot moved, too |
//! | the virtual machine was paused | only the hardware clock moved: all others stood still |
//! | the network changed | a message of the kernel about a new address, link or route |

use std::fmt;
use std::time::Duration;

use httptime::{CrossTimestamp, Offset};

/// A reading of the clocks that are compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    pub(crate) cross_timestamp: CrossTimestamp,
    /// How long the machine has slept since it booted.
    pub(crate) slept: Duration,
}

/// What moved the clock since an earlier reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Someone set it.
    Set { by: Offset },
    /// The machine slept.
    Slept { by: Offset },
}

impl Clocks {
    /// What moved the clock since the reading `before`.
    pub(crate) fn moved_since(self, before: Self) -> Option<Moved> {
        let by = before.cross_timestamp.stepped_by(self.cross_timestamp);
        if self.slept.saturating_sub(before.slept) >= SLEEP_THRESHOLD {
            return Some(Moved::Slept { by });
        }
        (by.abs() > CLOCK_SET_THRESHOLD).then_some(Moved::Set { by })
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { by } => write!(f, "the clock moved by {by:.3} s: it was set"),
            Self::Slept { by } => write!(f, "the clock moved by {by:.3} s: the machine slept"),
        }
    }
}

/// Finds pauses of a virtual machine by its hardware clock, which the host keeps going.
#[derive(Debug, Default)]
pub(crate) struct HardwareClockWatch {
    before: Option<HardwareReading>,
}

/// A reading of the hardware clock beside two others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HardwareReading {
    /// Whole seconds since 1970.
    pub(crate) hardware_seconds: i64,
    /// Whole seconds since 1970 by the wall clock.
    pub(crate) wall_seconds: i64,
    /// The time since boot, in which sleep counts.
    pub(crate) since_boot: Duration,
}

impl HardwareClockWatch {
    /// Uses the next reading. Returns how long the machine was paused since the one before.
    pub(crate) fn paused(&mut self, now: HardwareReading) -> Option<Duration> {
        let before = self.before.replace(now)?;
        let passed = now.since_boot.saturating_sub(before.since_boot).as_secs();
        let shown = now.hardware_seconds.saturating_sub(before.hardware_seconds);
        let paused = shown.saturating_sub(i64::try_from(passed).ok()?);
        // The kernel, or an operator, may have set it from the wall clock.
        let apart = now.hardware_seconds.saturating_sub(now.wall_seconds).unsigned_abs();
        let is_pause = paused >= MIN_PAUSE_SECONDS && apart > MAX_SET_DIFFERENCE_SECONDS;
        is_pause.then(|| Duration::from_secs(paused.unsigned_abs()))
    }
}

/// The least time between the starts of two measurements for a cause that can come again at once:
/// short at first, and longer while the measurements fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPause {
    next: Duration,
    longest: Duration,
}

impl RetryPause {
    /// After a change of the network. The kernel announces link, address and route of one network
    /// at different times. A machine that starts and stops containers announces links all day.
    pub(crate) const NETWORK: Self = Self { next: MIN_PAUSE, longest: Duration::from_secs(8) };
    /// After the clock was set during a measurement that was already started for such a reason. Two
    /// programs that set the clock do so again and again.
    pub(crate) const CLOCK: Self = Self { next: MIN_PAUSE, longest: Duration::from_secs(64) };

    /// The pause after a further failure.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(self.longest);
        pause
    }
}

/// Whether messages of the kernel's routing socket announce a new link, address or route.
///
/// Each message begins with its length and its type, in the byte order of the machine (`struct
/// nlmsghdr` of netlink(7)), and is followed by the next one at a multiple of four bytes.
pub(crate) fn announces_network(mut messages: &[u8]) -> bool {
    const NEW_LINK: u16 = 16;
    const NEW_ADDRESS: u16 = 20;
    const NEW_ROUTE: u16 = 24;
    while let [a, b, c, d, kind, more, ..] = *messages {
        if [NEW_LINK, NEW_ADDRESS, NEW_ROUTE].contains(&u16::from_ne_bytes([kind, more])) {
            return true;
        }
        let length = u32::from_ne_bytes([a, b, c, d]).next_multiple_of(4);
        let length = usize::try_from(length).unwrap_or(usize::MAX).max(4);
        messages = messages.get(length..).unwrap_or_default();
    }
    false
}

/// The smallest movement of the clock that counts as set, for `run` and for `status`: what is less
/// may be a measuring error.
pub(crate) const CLOCK_SET_THRESHOLD: Duration = Duration::from_millis(20);
/// The shortest sleep that counts: the two clocks cannot be read at the same instant.
const SLEEP_THRESHOLD: Duration = Duration::from_millis(500);
/// The shortest pause that counts. The hardware clock is read to a second, at both ends.
const MIN_PAUSE_SECONDS: i64 = 3;
/// A hardware clock this near to the wall clock was set from it.
const MAX_SET_DIFFERENCE_SECONDS: u64 = 2;
const MIN_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use httptime::{LocalInstant, Timestamp};

    use super::*;

    const MS: i64 = 1_000_000;

    fn clocks(instant_ms: i64, wall_ms: i64, slept_ms: u64) -> Clocks {
        let instant = LocalInstant::from_nanos(instant_ms * MS);
        let wall = Timestamp::from_unix_nanos(wall_ms * MS);
        let cross_timestamp = CrossTimestamp::new(instant, wall, Duration::ZERO);
        Clocks { cross_timestamp, slept: Duration::from_millis(slept_ms) }
    }

    #[test]
    fn a_set_clock_and_a_sleep_are_told_apart_and_small_differences_are_neither() {
        let before = clocks(1_000, 50_000, 700);
        let by = |ms| Offset::from_nanos(ms * MS);
        for (now, moved) in [
            (clocks(9_000, 58_000, 700), None),
            (clocks(9_000, 58_020, 710), None),
            (clocks(9_000, 58_021, 700), Some(Moved::Set { by: by(21) })),
            (clocks(9_000, 57_000, 700), Some(Moved::Set { by: by(-1_000) })),
            (clocks(9_000, 68_000, 10_700), Some(Moved::Slept { by: by(10_000) })),
            // It woke with the time at which it fell asleep.
            (clocks(9_000, 58_000, 4_500_700), Some(Moved::Slept { by: by(0) })),
        ] {
            assert_eq!(now.moved_since(before), moved, "{now:?}");
        }
    }

    #[test]
    fn a_pause_moves_only_the_hardware_clock_and_setting_that_clock_is_none() {
        let reading = |hardware_seconds, wall_seconds, since_boot| HardwareReading {
            hardware_seconds,
            wall_seconds,
            since_boot: Duration::from_secs(since_boot),
        };
        let first = reading(1_000, 1_000, 50);
        for (now, paused) in [
            (reading(1_010, 1_010, 60), None),
            (reading(1_012, 1_010, 60), None),
            (reading(64_307, 1_010, 60), Some(63_297)),
            (reading(1_013, 1_010, 60), Some(3)),
            // A sleep: the time since boot has it, too.
            (reading(9_010, 9_010, 8_060), None),
            // The clock was corrected by a day, and the hardware clock set from it.
            (reading(87_410, 87_410, 60), None),
            (reading(500, 1_010, 60), None),
        ] {
            let mut watch = HardwareClockWatch::default();
            assert_eq!(watch.paused(first), None);
            assert_eq!(watch.paused(now), paused.map(Duration::from_secs), "{now:?}");
            assert_eq!(watch.paused(now), None, "said once: {now:?}");
        }
    }

    #[test]
    fn a_cause_that_comes_again_and_again_is_followed_ever_less_often() {
        let pauses = |mut retry: RetryPause| [(); 7].map(|()| retry.next().as_secs());
        assert_eq!(pauses(RetryPause::NETWORK), [2, 4, 8, 8, 8, 8, 8]);
        assert_eq!(pauses(RetryPause::CLOCK), [2, 4, 8, 16, 32, 64, 64]);
    }

    #[test]
    fn new_links_addresses_and_routes_are_found_among_other_messages() {
        let message = |kind: u16, length: u32| {
            let mut bytes = [length.to_ne_bytes().as_slice(), &kind.to_ne_bytes()].concat();
            bytes.resize(usize::try_from(length.next_multiple_of(4)).expect("small"), 0);
            bytes
        };
        for (kinds, expected) in [
            (&[16][..], true),
            (&[20], true),
            (&[24], true),
            (&[17, 21, 25], false),
            (&[17, 28, 24], true),
        ] {
            let messages: Vec<u8> = kinds.iter().flat_map(|kind| message(*kind, 30)).collect();
            assert_eq!(announces_network(&messages), expected, "{kinds:?}");
        }
        assert!(!announces_network(&[]) && !announces_network(&message(17, 0)[..]));
        assert!(!announces_network(&[0; 64]), "a length of zero does not stop it");
    }
}
