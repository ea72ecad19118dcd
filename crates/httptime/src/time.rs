//! Types for time: the monotonic clock, the wall clock, and the offset between a server and this
//! machine.
//!
//! Every value is a whole number of nanoseconds in an `i64`. Arithmetic saturates. The ends of the
//! range are the years 1678 and 2262 (±292 years for differences). Dates outside are refused as
//! input ([`Error::DateOutOfRange`](crate::Error::DateOutOfRange)). A saturated value is as useless
//! as the exact one would be.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reading of the local *monotonic* clock: nanoseconds since an origin that depends on the clock.
///
/// Instants of one clock can be compared and subtracted. They contain no date. Wall time is a
/// [`Timestamp`]; a [`CrossTimestamp`] connects the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalInstant(i64);

impl LocalInstant {
    /// The instant `nanos` nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// This instant, later by `by`; saturates.
    #[must_use]
    pub const fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(duration_to_nanos(by)))
    }

    /// This instant, earlier by `by`; saturates.
    #[must_use]
    pub const fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(duration_to_nanos(by)))
    }

    /// The time from `earlier` to this instant; zero if it is not after `earlier`.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        nanos_to_duration(self.0.saturating_sub(earlier.0))
    }
}

/// A point in time, in UTC without leap seconds (as in POSIX and HTTP): nanoseconds since
/// 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `nanos` nanoseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The point `seconds` seconds after 1970-01-01T00:00:00Z, or `None` outside 1678–2262.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Option<Self> {
        match seconds.checked_mul(NANOS_PER_SECOND) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The whole second that this time is in.
    pub(crate) const fn floor_to_second(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(NANOS_PER_SECOND)))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_unix_nanos(self) -> i64 {
        self.0
    }

    /// The point as the system's type; `None` if that cannot represent it.
    #[must_use]
    pub fn to_system_time(self) -> Option<SystemTime> {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
    }

    /// The point `time`, or `None` outside 1678–2262.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).ok().map(Self),
            Err(before) => {
                i64::try_from(before.duration().as_nanos()).ok().map(|nanos| Self(-nanos))
            }
        }
    }

    /// This point, later by `by`; saturates.
    #[must_use]
    pub const fn saturating_add(self, by: Offset) -> Self {
        Self(self.0.saturating_add(by.0))
    }
}

/// Midnight, UTC, of the day on which this library was built (of `SOURCE_DATE_EPOCH` if that was
/// set): a time that has passed.
#[must_use]
pub fn build_day() -> Timestamp {
    let seconds = env!("HTTPTIME_BUILD_DAY").parse().ok();
    seconds.and_then(Timestamp::from_unix_seconds).unwrap_or(Timestamp::from_unix_nanos(0))
}

impl fmt::Display for Timestamp {
    /// The HTTP date of the whole second (`Mon, 23 Nov 2026 09:37:12 GMT`), or bare nanoseconds
    /// before 1970.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_system_time() {
            Some(time) if self.0 >= 0 => httpdate::HttpDate::from(time).fmt(f),
            _ => write!(f, "{} ns since 1970", self.0),
        }
    }
}

/// Server clock − local clock. **Positive: the local clock is slow** (behind the server).
///
/// The project uses this sign everywhere, as RFC 5905 does (θ). The type is also used for the
/// difference of two offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// No difference.
    pub const ZERO: Self = Self(0);

    /// An offset of `nanos` nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// `server` − `local`; saturates.
    #[must_use]
    pub const fn between(local: Timestamp, server: Timestamp) -> Self {
        Self(server.0.saturating_sub(local.0))
    }

    /// Nanoseconds, positive when the local clock is slow.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Seconds, positive when the local clock is slow. Exact to a nanosecond up to ±104 days.
    #[must_use]
    pub const fn as_seconds(self) -> f64 {
        nanos_to_f64(self.0) / 1e9
    }

    /// The absolute value.
    #[must_use]
    pub const fn abs(self) -> Duration {
        Duration::from_nanos(self.0.unsigned_abs())
    }

    /// The sum; saturates.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; saturates.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// The sum; saturates, like all arithmetic here.
impl Add for Offset {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

/// The difference; saturates.
impl Sub for Offset {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

/// The offset with the opposite sign; saturates.
impl Neg for Offset {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl AddAssign for Offset {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Offset {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// The sum of offsets; saturates at each addition.
impl Sum for Offset {
    fn sum<I: Iterator<Item = Self>>(offsets: I) -> Self {
        offsets.fold(Self::ZERO, Self::saturating_add)
    }
}

impl From<Duration> for Offset {
    /// Saturates at 292 years.
    fn from(duration: Duration) -> Self {
        Self(duration_to_nanos(duration))
    }
}

impl fmt::Display for Offset {
    /// Seconds with a sign [default precision: 9 digits]: `+38.116012345`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 < 0 { "-" } else { "+" })?;
        write_seconds(f, self.abs())
    }
}

/// Seconds [default precision: 9 digits], without the formatting of floats, which would make small
/// programs larger.
pub(crate) fn write_seconds(f: &mut fmt::Formatter<'_>, duration: Duration) -> fmt::Result {
    let digits = u32::try_from(f.precision().unwrap_or(9)).map_or(9, |digits| digits.min(9));
    let unit = 10_u64.pow(9 - digits);
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let rounded =
        nanos.div_euclid(unit) + u64::from(nanos.rem_euclid(unit) * 2 >= unit && unit > 1);
    let per_second = 10_u64.pow(digits);
    write!(f, "{}", rounded / per_second)?;
    if digits > 0 {
        let width = usize::try_from(digits).unwrap_or(9);
        write!(f, ".{:0width$}", rounded % per_second)?;
    }
    Ok(())
}

/// A length of time as a message shows it: three significant digits and a unit, `5 s`, `12.3 ms`,
/// `250 ns`; whole seconds from 1000 s on.
///
/// ```
/// use std::time::Duration;
///
/// use httptime::Span;
///
/// assert_eq!(Span::new(Duration::from_nanos(5_000_002_316)).to_string(), "5 s");
/// assert_eq!(Span::new(Duration::from_micros(12_345)).to_string(), "12.3 ms");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span(Duration);

impl Span {
    /// This length of time, to be shown.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let per_second = NANOS_PER_SECOND.unsigned_abs();
        // The unit of the third digit.
        let mut step = 1;
        while nanos / step >= 1000 && step < per_second {
            step *= 10;
        }
        let rounded = nanos.saturating_add(step / 2) / step * step;
        let (per_unit, unit) = match rounded {
            0 => (1, "s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (per_second, "s"),
        };
        write!(f, "{}", rounded / per_unit)?;
        let (mut rest, mut place) = (rounded % per_unit, per_unit);
        if rest > 0 {
            f.write_str(".")?;
        }
        while rest > 0 {
            place /= 10;
            write!(f, "{}", rest / place)?;
            rest %= place;
        }
        write!(f, " {unit}")
    }
}

/// A closed interval of offsets, `lower ≤ upper`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    lower: Offset,
    upper: Offset,
}

impl Interval {
    /// The offsets from `lower` to `upper`, both included; `None` if `lower` is greater.
    #[must_use]
    pub fn new(lower: Offset, upper: Offset) -> Option<Self> {
        (lower <= upper).then_some(Self { lower, upper })
    }

    /// The offsets between two offsets in any order.
    #[must_use]
    pub fn between(one: Offset, other: Offset) -> Self {
        Self { lower: one.min(other), upper: one.max(other) }
    }

    /// The smallest interval that contains both.
    pub(crate) fn hull(self, other: Self) -> Self {
        Self { lower: self.lower.min(other.lower), upper: self.upper.max(other.upper) }
    }

    /// The same interval with a later upper end.
    pub(crate) fn with_upper_raised(self, by: Duration) -> Self {
        Self { upper: self.upper.saturating_add(by.into()), ..self }
    }

    /// The lower end.
    #[must_use]
    pub const fn lower(self) -> Offset {
        self.lower
    }

    /// The upper end.
    #[must_use]
    pub const fn upper(self) -> Offset {
        self.upper
    }

    /// Upper minus lower end; saturates at 292 years.
    #[must_use]
    pub const fn width(self) -> Duration {
        nanos_to_duration(self.upper.0.saturating_sub(self.lower.0))
    }

    /// The middle, rounded down to a nanosecond.
    #[must_use]
    pub const fn midpoint(self) -> Offset {
        let half = self.upper.0.saturating_sub(self.lower.0) / 2;
        Offset(self.lower.0 + half)
    }

    /// Whether `offset` is inside, ends included.
    #[must_use]
    pub fn contains(self, offset: Offset) -> bool {
        self.lower <= offset && offset <= self.upper
    }

    /// The intersection, or `None` if it is empty.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.lower.max(other.lower), self.upper.min(other.upper))
    }

    /// The interval with both ends moved outwards by `by`; saturates.
    #[must_use]
    pub const fn widened(self, by: Duration) -> Self {
        let by = Offset(duration_to_nanos(by));
        Self { lower: self.lower.saturating_sub(by), upper: self.upper.saturating_add(by) }
    }

    /// The offset inside that is nearest to `offset`.
    #[must_use]
    pub fn clamp(self, offset: Offset) -> Offset {
        offset.clamp(self.lower, self.upper)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        self.lower.fmt(f)?;
        f.write_str(", ")?;
        self.upper.fmt(f)?;
        f.write_str("]")
    }
}

/// A reading of both local clocks at one moment. It converts instants of the monotonic clock into
/// wall time. A second cross-timestamp at a later time shows whether the wall clock was stepped in
/// between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossTimestamp {
    instant: LocalInstant,
    wall: Timestamp,
    uncertainty: Duration,
}

impl CrossTimestamp {
    /// The monotonic clock showed `instant` and the wall clock `wall` at one moment, to within
    /// `uncertainty`: zero in a simulation; on a real machine the time between the monotonic
    /// readings before and after the wall reading.
    #[must_use]
    pub const fn new(instant: LocalInstant, wall: Timestamp, uncertainty: Duration) -> Self {
        Self { instant, wall, uncertainty }
    }

    /// The monotonic reading.
    #[must_use]
    pub const fn instant(self) -> LocalInstant {
        self.instant
    }

    /// The wall clock's reading.
    #[must_use]
    pub const fn wall(self) -> Timestamp {
        self.wall
    }

    /// The largest possible time between the two readings.
    #[must_use]
    pub const fn uncertainty(self) -> Duration {
        self.uncertainty
    }

    /// The wall time at `instant`, if the wall clock is not set; saturates.
    #[must_use]
    pub const fn wall_at(self, instant: LocalInstant) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(instant.0.saturating_sub(self.instant.0)))
    }

    /// The instant at which the wall clock shows `wall`, if it is not set; saturates.
    #[must_use]
    pub const fn instant_at(self, wall: Timestamp) -> LocalInstant {
        LocalInstant(self.instant.0.saturating_add(wall.0.saturating_sub(self.wall.0)))
    }

    /// The difference between the wall clock of `later` and the time that this cross-timestamp
    /// predicts for it. More than the drift allowance is a step.
    #[must_use]
    pub const fn stepped_by(self, later: Self) -> Offset {
        Offset::between(self.wall_at(later.instant), later.wall)
    }
}

/// One second, the resolution of `Date`.
pub(crate) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A duration as nanoseconds; saturates at 292 years.
pub(crate) const fn duration_to_nanos(duration: Duration) -> i64 {
    let nanos = duration.as_nanos();
    if nanos > i64::MAX as u128 {
        i64::MAX
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "compared with the largest i64 above")]
        {
            nanos as i64
        }
    }
}

/// Nanoseconds as a duration; zero for a negative number.
pub(crate) const fn nanos_to_duration(nanos: i64) -> Duration {
    Duration::from_nanos(if nanos < 0 { 0 } else { nanos.unsigned_abs() })
}

/// Nanoseconds as a float; exact below 2^53 (104 days).
pub(crate) const fn nanos_to_f64(nanos: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53 ns; a float keeps 15 digits beyond"
    )]
    {
        nanos as f64
    }
}

/// The nearest whole nanosecond; saturates.
pub(crate) fn f64_to_nanos(nanos: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "float to integer conversion saturates")]
    {
        nanos.round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(lower: i64, upper: i64) -> Interval {
        Interval::new(Offset(lower), Offset(upper)).expect("in order")
    }

    #[test]
    fn offsets_are_shown_with_sign_and_rounded_to_the_digits_asked_for() {
        assert_eq!(Offset(38_116_012_345).to_string(), "+38.116012345");
        assert_eq!(format!("{:.6}", Offset(-38_116_012_545)), "-38.116013");
        assert_eq!(format!("{:.3}", Offset(999_999_999)), "+1.000");
        assert_eq!(format!("{:.0}", Offset(-1_600_000_000)), "-2");
        assert_eq!(Offset(i64::MIN).to_string(), "-9223372036.854775808");
    }

    #[test]
    fn arithmetic_saturates_at_the_ends() {
        let (first, last) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        assert_eq!(Offset::between(first, last), Offset(i64::MAX));
        assert_eq!(last.saturating_add(Offset(1)), last);
        assert_eq!(LocalInstant(i64::MAX).saturating_add(Duration::MAX), LocalInstant(i64::MAX));
        assert_eq!(Offset::from(Duration::MAX), Offset(i64::MAX));
        assert_eq!(
            interval(i64::MIN, i64::MAX).widened(Duration::MAX),
            interval(i64::MIN, i64::MAX)
        );
        assert_eq!(Timestamp::from_unix_seconds(i64::MAX), None);
    }

    #[test]
    fn operators_on_offsets_saturate() {
        let (most, least) = (Offset(i64::MAX), Offset(i64::MIN));
        assert_eq!((Offset(5) + Offset(3), Offset(5) - Offset(8)), (Offset(8), Offset(-3)));
        assert_eq!((most + Offset(1), least - Offset(1), -least), (most, least, most));
        let mut sum = Offset(1);
        sum += Offset(4);
        sum -= Offset(2);
        assert_eq!((sum, -sum), (Offset(3), Offset(-3)));
        assert_eq!([most, Offset(1), Offset(-1)].into_iter().sum::<Offset>(), Offset(i64::MAX - 1));
    }

    #[test]
    fn intervals_intersect_where_both_hold() {
        assert_eq!(interval(0, 5).intersection(interval(3, 9)), Some(interval(3, 5)));
        assert_eq!(interval(0, 5).intersection(interval(5, 9)), Some(interval(5, 5)));
        assert_eq!(interval(0, 5).intersection(interval(6, 9)), None);
        assert_eq!(Interval::new(Offset(1), Offset(0)), None);
        assert_eq!(interval(-3, 4).midpoint(), Offset(0));
    }

    #[test]
    fn system_time_goes_there_and_back() {
        for nanos in [0, 1_795_426_632_000_000_001, -1, i64::MAX] {
            let time = Timestamp(nanos);
            assert_eq!(time.to_system_time().and_then(Timestamp::from_system_time), Some(time));
        }
    }

    #[test]
    fn a_cross_timestamp_shows_by_how_much_the_wall_clock_was_set() {
        let before = CrossTimestamp::new(LocalInstant(10), Timestamp(1_000), Duration::ZERO);
        let after = CrossTimestamp::new(LocalInstant(30), Timestamp(1_120), Duration::ZERO);
        assert_eq!(before.stepped_by(after), Offset(100));
        assert_eq!(before.wall_at(LocalInstant(5)), Timestamp(995));
        assert_eq!(before.instant_at(Timestamp(995)), LocalInstant(5));
    }

    #[test]
    fn a_span_has_three_digits_and_a_unit() {
        for (nanos, shown) in [
            (0, "0 s"),
            (250, "250 ns"),
            (1_020, "1.02 µs"),
            (12_345_678, "12.3 ms"),
            (300_067_197, "300 ms"),
            (999_600_000, "1 s"),
            (1_020_471_976, "1.02 s"),
            (5_000_002_316, "5 s"),
            (999_960_000_000, "1000 s"),
            (7_199_969_354_000, "7200 s"),
        ] {
            assert_eq!(Span::new(Duration::from_nanos(nanos)).to_string(), shown, "{nanos}");
        }
        assert_eq!(Span::new(Duration::MAX).to_string(), "18446744073 s");
    }
}
