//! Where samples go, and how chronyd is told of it.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use httptime::{Offset, Timestamp};

use crate::error::ChronyError;
use crate::sample::Sample;

/// The way to one `refclock SOCK` of chronyd.
///
/// The socket is opened anew for each sample: chronyd makes a new one when it restarts, and an old connection would go on
/// failing. So a feed can be made before chronyd runs, and outlives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    path: PathBuf,
    poll: Poll,
}

impl Feed {
    /// Samples go to the socket `path`; `poll` is that of chronyd's `refclock` line. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// [`ChronyError::InvalidPath`] when `path` is relative, too long for a socket, not UTF-8, or has characters (white
    /// space, `:`) that divide it in `chrony.conf`.
    pub fn new(path: impl Into<PathBuf>, poll: Poll) -> Result<Self, ChronyError> {
        let path = path.into();
        match objection(&path) {
            Some(reason) => Err(ChronyError::InvalidPath { path, reason }),
            None => Ok(Self { path, poll }),
        }
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// chronyd's polling interval.
    #[must_use]
    pub const fn poll(&self) -> Poll {
        self.poll
    }

    /// Sends one sample, `now` being what the system clock shows. Never waits.
    ///
    /// One sample for each polling interval is right: with the [`refclock_line`](Self::refclock_line) given here, chronyd
    /// keeps only the last of several.
    ///
    /// # Errors
    ///
    /// - [`ChronyError::FromTheFuture`], [`ChronyError::TooOld`]: chronyd would drop the sample; nothing is sent.
    /// - [`ChronyError::SocketMissing`], [`ChronyError::Refused`], [`ChronyError::NoPermission`],
    ///   [`ChronyError::Full`], [`ChronyError::Io`]: it could not be sent.
    pub fn send(&self, sample: &Sample, now: Timestamp) -> Result<(), ChronyError> {
        self.check_age(sample, now)?;
        self.deliver(&sample.encode()).map_err(|error| self.explain(&error))
    }

    /// The line of `chrony.conf` that makes chronyd listen here and believe no more than was measured.
    ///
    /// `max_error` is how far the farther of a measurement's bounds lies from its offset, and `standard_deviation`
    /// that of its estimate. The line is fixed while measurements vary, so use the worst expected. It says:
    /// - `delay`: 2 × `max_error`. chronyd takes the root distance of the source, the error it admits to in source
    ///   selection and to its own NTP clients, as delay ÷ 2 + dispersion; so offset ± root distance covers the
    ///   bounds. (Where the offset is in their middle, this is their width.) The default is a nanosecond, a claim
    ///   that no measurement over HTTP bears out. chronyd does not select a source whose root distance is more than
    ///   its `maxdistance`, 3 s by default.
    /// - `precision`: `standard_deviation`, which chronyd adds to the dispersion of each sample.
    /// - `poll`: that of this feed.
    /// - `filter 1`: one sample makes a reading. By default chronyd takes the median of up to 64 in each polling
    ///   interval, and its older versions say nothing at all until they have four.
    /// - `refid HTTP`: its name in `chronyc sources`.
    ///
    /// ```
    /// use httptime_chrony::{Feed, Poll};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), httptime_chrony::ChronyError> {
    /// let feed = Feed::new("/run/chrony/httptime.sock", Poll::new(6)?)?;
    /// assert_eq!(
    ///     feed.refclock_line(Duration::from_millis(9), Duration::from_micros(300)),
    ///     "refclock SOCK /run/chrony/httptime.sock refid HTTP poll 6 filter 1 \
    ///      delay 0.018000000 precision 0.000300000"
    /// );
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn refclock_line(&self, max_error: Duration, standard_deviation: Duration) -> String {
        format!(
            "refclock SOCK {} refid HTTP poll {} filter 1 delay {} precision {}",
            self.path.display(),
            self.poll.exponent(),
            seconds(max_error.saturating_mul(2)),
            seconds(standard_deviation),
        )
    }

    /// chronyd's `valid_sample_time`, against the clock that it reads itself a moment later.
    fn check_age(&self, sample: &Sample, now: Timestamp) -> Result<(), ChronyError> {
        let age = Offset::between(sample.taken_at(), now);
        let limit = self.poll.age_limit();
        if age < Offset::ZERO {
            Err(ChronyError::FromTheFuture { by: age.abs() })
        } else if age.abs() > limit {
            Err(ChronyError::TooOld { age: age.abs(), limit })
        } else {
            Ok(())
        }
    }

    fn deliver(&self, datagram: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to(datagram, &self.path).map(|_| ())
    }

    fn explain(&self, error: &io::Error) -> ChronyError {
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::NotFound => ChronyError::SocketMissing { path },
            io::ErrorKind::ConnectionRefused => ChronyError::Refused { path },
            io::ErrorKind::PermissionDenied => ChronyError::NoPermission { path },
            io::ErrorKind::WouldBlock => ChronyError::Full { path },
            _ if error.raw_os_error() == Some(ENOBUFS) => ChronyError::Full { path },
            _ => ChronyError::Io { path, errno: error.raw_os_error().unwrap_or(0) },
        }
    }
}

/// chronyd's polling interval for a reference clock: the option `poll`, a power of two seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Poll(i8);

impl Poll {
    /// 1 s. chronyd also takes fractions of a second, in which no measurement over HTTP is done.
    pub const MIN: i8 = 0;

    /// 194 days, the most that chronyd takes for its other sources (`MAX_POLL`).
    pub const MAX: i8 = 24;

    /// The interval of 2^`exponent` seconds.
    ///
    /// # Errors
    ///
    /// [`ChronyError::InvalidPoll`] when `exponent` is not in [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    pub const fn new(exponent: i8) -> Result<Self, ChronyError> {
        if exponent < Self::MIN || exponent > Self::MAX {
            return Err(ChronyError::InvalidPoll { poll: exponent });
        }
        Ok(Self(exponent))
    }

    /// The number behind `poll`.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.0
    }

    /// From one reading of chronyd to the next.
    #[must_use]
    pub const fn interval(self) -> Duration {
        Duration::from_secs(1 << self.0)
    }

    /// How old a sample may be when chronyd gets it: twice the interval.
    #[must_use]
    pub const fn age_limit(self) -> Duration {
        Duration::from_secs(2 << self.0)
    }
}

impl Default for Poll {
    /// chronyd's own: 4, which is 16 s.
    fn default() -> Self {
        Self(4)
    }
}

/// What is wrong with a path for a socket that stands in `chrony.conf`.
fn objection(path: &Path) -> Option<&'static str> {
    let Some(text) = path.to_str() else { return Some("it is not UTF-8") };
    if !path.is_absolute() {
        Some("it is not absolute")
    } else if text.len() > LONGEST_PATH {
        Some("it is too long for a socket")
    } else if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':') {
        Some("chrony.conf takes no white space, control character or colon in it")
    } else {
        None
    }
}

/// Seconds in decimals, exactly.
fn seconds(duration: Duration) -> String {
    format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos())
}

/// `sun_path` less the zero at its end.
const LONGEST_PATH: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// What the BSDs answer when a queue is full, and Linux when memory is; the standard library has no name for it.
const ENOBUFS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 105 } else { 55 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Leap;

    /// 2026-11-23T09:37:12Z.
    const NOW: Timestamp = Timestamp::from_unix_nanos(1_795_426_632_000_000_000);

    fn feed() -> Feed {
        Feed::new("/run/chrony/httptime.sock", Poll::default()).expect("a usable path")
    }

    fn taken(before_ns: i64) -> Sample {
        let taken_at = NOW.saturating_add(Offset::from_nanos(-before_ns));
        Sample::new(taken_at, Offset::ZERO, Leap::None).expect("in range")
    }

    #[test]
    fn a_sample_may_be_as_old_as_two_polling_intervals() {
        let limit = Duration::from_secs(32);
        let age = limit + Duration::from_nanos(1);
        assert_eq!(feed().check_age(&taken(0), NOW), Ok(()));
        assert_eq!(feed().check_age(&taken(32_000_000_000), NOW), Ok(()));
        assert_eq!(
            feed().check_age(&taken(32_000_000_001), NOW),
            Err(ChronyError::TooOld { age, limit })
        );
        assert_eq!(
            feed().check_age(&taken(-1), NOW),
            Err(ChronyError::FromTheFuture { by: Duration::from_nanos(1) })
        );
    }

    #[test]
    fn a_poll_is_a_power_of_two_seconds_in_range() {
        assert_eq!(Poll::new(6).map(Poll::interval), Ok(Duration::from_secs(64)));
        assert_eq!(Poll::new(0).map(Poll::age_limit), Ok(Duration::from_secs(2)));
        assert_eq!(Poll::new(24).map(Poll::age_limit), Ok(Duration::from_secs(1 << 25)));
        for poll in [-1, 25, i8::MIN] {
            assert_eq!(Poll::new(poll), Err(ChronyError::InvalidPoll { poll }));
        }
        let message = ChronyError::InvalidPoll { poll: 25 }.to_string();
        assert_eq!(message, "cannot use poll 25: it is not in 0 to 24");
    }

    #[test]
    fn a_path_that_chrony_conf_would_divide_or_no_socket_can_have_is_refused() {
        let long = format!("/{}", "x".repeat(LONGEST_PATH));
        for path in ["chrony.sock", "/run/a b", "/run/a:b", "/run/a\nallow", "", long.as_str()] {
            let error = Feed::new(path, Poll::default()).map(|_| ()).map_err(|error| error.kind());
            assert_eq!(error, Err("invalid_path"), "{path:?}");
        }
        assert!(Feed::new(&long[..LONGEST_PATH], Poll::default()).is_ok());
    }

    #[test]
    fn the_line_covers_bounds_of_any_size_to_the_nanosecond() {
        let line = feed().refclock_line(Duration::from_nanos(1_500_000_001), Duration::ZERO);
        assert!(
            line.ends_with(" poll 4 filter 1 delay 3.000000002 precision 0.000000000"),
            "{line}"
        );
    }

    #[test]
    fn every_failure_to_send_has_its_name() {
        let kind = |kind: io::ErrorKind| feed().explain(&io::Error::from(kind)).kind();
        assert_eq!(kind(io::ErrorKind::NotFound), "socket_missing");
        assert_eq!(kind(io::ErrorKind::ConnectionRefused), "socket_refused");
        assert_eq!(kind(io::ErrorKind::PermissionDenied), "socket_no_permission");
        assert_eq!(kind(io::ErrorKind::WouldBlock), "socket_full");
        let full = io::Error::from_raw_os_error(ENOBUFS);
        assert_eq!(feed().explain(&full).kind(), "socket_full");
        assert!(full.to_string().contains("buffer"), "{full}");
        assert_eq!(kind(io::ErrorKind::InvalidInput), "socket_failed");
    }
}
