//! Sends samples to chronyd, and formats the line that configures chronyd for them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use httptime::{Offset, Timestamp};

use crate::error::ChronyError;
use crate::sample::Sample;

/// The connection to one `refclock SOCK` of chronyd.
///
/// The socket is opened again for each sample: chronyd creates a new one when it restarts, and an
/// old connection would fail. So a feed can be created before chronyd runs, and remains usable when
/// chronyd restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    path: PathBuf,
    poll: Poll,
}

impl Feed {
    /// A feed to the socket `path`. `poll` is that of chronyd's `refclock` line. Opens nothing yet.
    ///
    /// # Errors
    ///
    /// [`ChronyError::InvalidPath`] if `path` is relative, too long for a socket, not UTF-8, or has
    /// characters that separate fields in `chrony.conf` (white space, `:`).
    pub fn new(path: impl Into<PathBuf>, poll: Poll) -> Result<Self, ChronyError> {
        let path = path.into();
        match invalid_path_reason(&path) {
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

    /// Sends a sample; `now` is the time of the system clock. Never waits.
    ///
    /// Send one sample per polling interval: with the line of
    /// [`refclock_line`](Self::refclock_line) chronyd keeps only the last of several.
    ///
    /// # Errors
    ///
    /// - [`ChronyError::FromTheFuture`], [`ChronyError::TooOld`]: chronyd would drop the sample;
    ///   nothing is sent.
    /// - [`ChronyError::SocketMissing`], [`ChronyError::Refused`], [`ChronyError::NoPermission`],
    ///   [`ChronyError::Full`], [`ChronyError::Io`]: the sample could not be sent.
    pub fn send(&self, sample: &Sample, now: Timestamp) -> Result<(), ChronyError> {
        self.check_age(sample, now)?;
        deliver(&sample.encode(), &self.path).map_err(|error| self.send_error(&error))
    }

    /// The line of `chrony.conf` for this feed. With it chronyd claims no smaller error than was
    /// measured.
    ///
    /// `max_error` is the distance of the offset from the farther bound, and `standard_deviation`
    /// that of the estimate. The line is fixed while measurements vary, so pass the worst expected
    /// values. The options are:
    /// - `delay`: 2 × `max_error`. chronyd computes the root distance of the source as delay ÷ 2 +
    ///   dispersion. It uses it as the error in source selection and reports it to its NTP clients.
    ///   So offset ± root distance covers the bounds. (If the offset is their middle, `delay` is
    ///   their width.) The default is a nanosecond, which no measurement over HTTP achieves.
    ///   chronyd does not select a source whose root distance exceeds its `maxdistance` [default: 3
    ///   s].
    /// - `precision`: `standard_deviation`, which chronyd adds to the dispersion of each sample.
    /// - `poll`: that of this feed.
    /// - `filter 1`: one sample makes a reading. By default chronyd uses the median of up to 64
    ///   samples per polling interval, and older versions use none until they have four.
    /// - `refid HTTP`: the name in `chronyc sources`.
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

    /// chronyd's `valid_sample_time`, with a clock reading that is a moment earlier than chronyd's.
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

    fn send_error(&self, error: &io::Error) -> ChronyError {
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::NotFound => ChronyError::SocketMissing { path },
            io::ErrorKind::ConnectionRefused => ChronyError::Refused { path },
            io::ErrorKind::PermissionDenied => ChronyError::NoPermission { path },
            io::ErrorKind::WouldBlock => ChronyError::Full { path },
            io::ErrorKind::Unsupported => ChronyError::Unsupported { path },
            _ if error.raw_os_error() == Some(ENOBUFS) => ChronyError::Full { path },
            _ => ChronyError::Io { path, errno: error.raw_os_error().unwrap_or(0) },
        }
    }
}

#[cfg(unix)]
fn deliver(datagram: &[u8], path: &Path) -> io::Result<()> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(datagram, path).map(|_| ())
}

/// chronyd does not exist for this system.
#[cfg(not(unix))]
fn deliver(_: &[u8], _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// chronyd's polling interval for a reference clock: the option `poll`, a power of two seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Poll(i8);

impl Poll {
    /// 1 s. chronyd also accepts fractions of a second, which are too short for a measurement over
    /// HTTP.
    pub const MIN: i8 = 0;

    /// 194 days, the maximum that chronyd accepts for its other sources (`MAX_POLL`).
    pub const MAX: i8 = 24;

    /// The interval of 2^`exponent` seconds.
    ///
    /// # Errors
    ///
    /// [`ChronyError::InvalidPoll`] when `exponent` is not in [`MIN`](Self::MIN) to
    /// [`MAX`](Self::MAX).
    pub const fn new(exponent: i8) -> Result<Self, ChronyError> {
        if exponent < Self::MIN || exponent > Self::MAX {
            return Err(ChronyError::InvalidPoll { poll: exponent });
        }
        Ok(Self(exponent))
    }

    /// The exponent, as in the option `poll`.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.0
    }

    /// The time between two readings of chronyd.
    #[must_use]
    pub const fn interval(self) -> Duration {
        Duration::from_secs(1 << self.0)
    }

    /// The maximum age of a sample when chronyd receives it: twice the interval.
    #[must_use]
    pub const fn age_limit(self) -> Duration {
        Duration::from_secs(2 << self.0)
    }
}

impl Default for Poll {
    /// chronyd's default: 4, which is 16 s.
    fn default() -> Self {
        Self(4)
    }
}

/// The reason why a socket's path cannot be used in `chrony.conf`, if there is one.
fn invalid_path_reason(path: &Path) -> Option<&'static str> {
    let Some(text) = path.to_str() else { return Some("it is not UTF-8") };
    if !path.has_root() {
        Some("it is not absolute; begin it with a slash")
    } else if text.len() > MAX_PATH_BYTES {
        Some("it is too long for a socket")
    } else if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':') {
        Some("chrony.conf takes no white space, control character or colon in it")
    } else {
        None
    }
}

/// Seconds as an exact decimal number.
fn seconds(duration: Duration) -> String {
    format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos())
}

/// The size of `sun_path` without the NUL at its end.
const MAX_PATH_BYTES: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// The error of the BSDs when a queue is full, and of Linux when memory is. The standard library
/// has no name for it.
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
        assert_eq!(message, "poll is 25; allowed: 0 to 24");
    }

    #[test]
    fn a_path_that_chrony_conf_would_divide_or_no_socket_can_have_is_refused() {
        let long = format!("/{}", "x".repeat(MAX_PATH_BYTES));
        for path in ["chrony.sock", "/run/a b", "/run/a:b", "/run/a\nallow", "", long.as_str()] {
            let error = Feed::new(path, Poll::default()).map(|_| ()).map_err(|error| error.kind());
            assert_eq!(error, Err("invalid_path"), "{path:?}");
        }
        assert!(Feed::new(&long[..MAX_PATH_BYTES], Poll::default()).is_ok());
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
        let kind = |kind: io::ErrorKind| feed().send_error(&io::Error::from(kind)).kind();
        assert_eq!(kind(io::ErrorKind::NotFound), "socket_missing");
        assert_eq!(kind(io::ErrorKind::ConnectionRefused), "socket_refused");
        assert_eq!(kind(io::ErrorKind::PermissionDenied), "socket_no_permission");
        assert_eq!(kind(io::ErrorKind::WouldBlock), "socket_full");
        let full = io::Error::from_raw_os_error(ENOBUFS);
        assert_eq!(feed().send_error(&full).kind(), "socket_full");
        assert!(full.to_string().contains("buffer"), "{full}");
        assert_eq!(kind(io::ErrorKind::InvalidInput), "socket_failed");
    }
}
