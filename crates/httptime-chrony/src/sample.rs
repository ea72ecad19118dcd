//! A sample and its binary format.

use httptime::{Offset, Timestamp};

use crate::error::ChronyError;

/// A sample for chronyd: the offset of true time from the system clock at one moment.
///
/// A sample has no content for which chronyd is known to drop it. Whether it is too old is checked
/// when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    taken_at: Timestamp,
    offset: Offset,
    leap: Leap,
    wire: [u8; SAMPLE_BYTES],
}

impl Sample {
    /// The system clock showed `taken_at` when true time was `offset` ahead of it (behind, if
    /// negative).
    ///
    /// `taken_at` is rounded down to a microsecond, the resolution of the format. The offset keeps
    /// its nanoseconds.
    ///
    /// # Errors
    ///
    /// For samples that chronyd would silently drop:
    /// - [`ChronyError::OffsetTooLarge`]: `offset` is 2³² s (136 years) or more in either
    ///   direction.
    /// - [`ChronyError::TimeOutOfRange`]: true time is before 1970, or `taken_at` does not fit into
    ///   this system's `time_t`. chronyd also drops true times outside the 136 years of NTP time
    ///   that it was built for. Those years cannot be observed here; they usually begin 50 years
    ///   before chronyd was built.
    pub fn new(taken_at: Timestamp, offset: Offset, leap: Leap) -> Result<Self, ChronyError> {
        if offset.abs().as_secs() >= 1 << 32 {
            return Err(ChronyError::OffsetTooLarge { offset });
        }
        let out_of_range = ChronyError::TimeOutOfRange { taken_at, offset };
        if taken_at.saturating_add(offset).as_unix_nanos() < 0 {
            return Err(out_of_range);
        }
        let wire =
            encode::<TIME_BYTES, SAMPLE_BYTES>(taken_at, offset, leap).ok_or(out_of_range)?;
        Ok(Self { taken_at, offset, leap, wire })
    }

    /// The time of the system clock.
    #[must_use]
    pub const fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// True time − system clock.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// The announced leap second.
    #[must_use]
    pub const fn leap(&self) -> Leap {
        self.leap
    }

    /// The datagram: `struct sock_sample` of chrony's `refclock_sock.c`, in this machine's byte
    /// order.
    #[must_use]
    pub const fn encode(&self) -> [u8; SAMPLE_BYTES] {
        self.wire
    }
}

/// A leap second at the end of the UTC day. HTTP announces none, so its samples have
/// [`None`](Self::None).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "the format of a sample has no other value")]
pub enum Leap {
    /// No leap second.
    #[default]
    None,
    /// The day's last minute has 61 s.
    Insert,
    /// The day's last minute has 59 s.
    Delete,
}

impl TryFrom<i32> for Leap {
    type Error = ChronyError;

    /// chronyd's numbers: 0 none, 1 insert, 2 delete.
    fn try_from(value: i32) -> Result<Self, ChronyError> {
        match value {
            0 => Ok(Self::None),
            1 => Ok(Self::Insert),
            2 => Ok(Self::Delete),
            _ => Err(ChronyError::InvalidLeap { value }),
        }
    }
}

impl From<Leap> for i32 {
    fn from(leap: Leap) -> Self {
        match leap {
            Leap::None => 0,
            Leap::Insert => 1,
            Leap::Delete => 2,
        }
    }
}

/// The length of a sample: 40 bytes, or 32 where `time_t` has 32 bits.
///
/// chronyd checks the length. Since version 4.4, chronyd on 32-bit glibc accepts both.
pub const SAMPLE_BYTES: usize = 2 * TIME_BYTES + 24;

/// `None` if the time does not fit into its fields.
fn encode<const TIME: usize, const LENGTH: usize>(
    taken_at: Timestamp,
    offset: Offset,
    leap: Leap,
) -> Option<[u8; LENGTH]> {
    let micros = taken_at.as_unix_nanos().div_euclid(1_000);
    let seconds = integer::<TIME>(micros.div_euclid(1_000_000))?;
    let micros = integer::<TIME>(micros.rem_euclid(1_000_000))?;
    let mut wire = [0; LENGTH];
    let mut rest = &mut wire[..];
    for field in [
        &seconds[..],
        &micros,
        &offset.as_seconds().to_ne_bytes(),
        &NO_PULSE.to_ne_bytes(),
        &i32::from(leap).to_ne_bytes(),
        &PADDING.to_ne_bytes(),
        &MAGIC.to_ne_bytes(),
    ] {
        let (here, behind) = rest.split_at_mut_checked(field.len())?;
        here.copy_from_slice(field);
        rest = behind;
    }
    Some(wire)
}

/// The number in this number of bytes in this machine's byte order; `None` if it needs more.
fn integer<const BYTES: usize>(value: i64) -> Option<[u8; BYTES]> {
    let spare_bits = u32::try_from(BYTES).ok().and_then(|bytes| 64_u32.checked_sub(8 * bytes))?;
    if (value << spare_bits) >> spare_bits != value {
        return None;
    }
    let bytes = value.to_ne_bytes();
    let start = if cfg!(target_endian = "little") { 0 } else { bytes.len() - BYTES };
    bytes.get(start..)?.first_chunk().copied()
}

/// The size of `time_t`, and of the microseconds after it. Of the 32-bit systems, x32, RISC-V and
/// musl (since 1.2) also have a 64-bit time.
const TIME_BYTES: usize = if cfg!(all(
    target_pointer_width = "32",
    not(any(target_arch = "x86_64", target_arch = "riscv32", target_env = "musl"))
)) {
    4
} else {
    8
};

/// The sample has the complete time, not only the start of a second.
const NO_PULSE: i32 = 0;

const PADDING: i32 = 0;

/// `SOCK_MAGIC`: "SOCK" in ASCII.
const MAGIC: i32 = 0x534f_434b;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T09:37:12.345678901Z.
    const TAKEN_AT: Timestamp = Timestamp::from_unix_nanos(1_795_426_632_345_678_901);

    #[test]
    fn the_bytes_are_those_of_the_structure_with_64_bit_time() {
        let offset = Offset::from_nanos(38_116_000_000);
        let wire = encode::<8, 40>(TAKEN_AT, offset, Leap::Insert).expect("in range");
        assert_eq!(wire[..8], 1_795_426_632_i64.to_ne_bytes());
        assert_eq!(wire[8..16], 345_678_i64.to_ne_bytes());
        assert_eq!(wire[16..24], 38.116_f64.to_ne_bytes());
        assert_eq!(wire[24..28], 0_i32.to_ne_bytes());
        assert_eq!(wire[28..32], 1_i32.to_ne_bytes());
        assert_eq!(wire[32..36], 0_i32.to_ne_bytes());
        assert_eq!(wire[36..], 0x534f_434b_i32.to_ne_bytes());
    }

    #[test]
    fn the_bytes_are_those_of_the_structure_with_32_bit_time() {
        let offset = Offset::from_nanos(-1_500_000_000);
        let wire = encode::<4, 32>(TAKEN_AT, offset, Leap::Delete).expect("in range");
        assert_eq!(wire[..4], 1_795_426_632_i32.to_ne_bytes());
        assert_eq!(wire[4..8], 345_678_i32.to_ne_bytes());
        assert_eq!(wire[8..16], (-1.5_f64).to_ne_bytes());
        assert_eq!(wire[16..20], 0_i32.to_ne_bytes());
        assert_eq!(wire[20..24], 2_i32.to_ne_bytes());
        assert_eq!(wire[28..], 0x534f_434b_i32.to_ne_bytes());
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_sample_is_these_very_bytes_on_a_little_endian_machine() {
        let offset = Offset::from_nanos(-1_500_000_000);
        let expected: [u8; 40] = [
            0x48, 0x09, 0x04, 0x6b, 0, 0, 0, 0, // tv_sec
            0x4e, 0x46, 0x05, 0x00, 0, 0, 0, 0, // tv_usec
            0, 0, 0, 0, 0, 0, 0xf8, 0xbf, // offset
            0, 0, 0, 0, // pulse
            0, 0, 0, 0, // leap
            0, 0, 0, 0, // padding
            b'K', b'C', b'O', b'S', // magic
        ];
        assert_eq!(encode::<8, 40>(TAKEN_AT, offset, Leap::None), Some(expected));
        let mut short = [0; 32];
        short[..4].copy_from_slice(&expected[..4]);
        short[4..8].copy_from_slice(&expected[8..12]);
        short[8..].copy_from_slice(&expected[16..]);
        assert_eq!(encode::<4, 32>(TAKEN_AT, offset, Leap::None), Some(short));
    }

    #[test]
    fn a_time_before_1970_borrows_a_second() {
        let just_before = Timestamp::from_unix_nanos(-1);
        let wire = encode::<8, 40>(just_before, Offset::ZERO, Leap::None).expect("in range");
        assert_eq!(wire[..8], (-1_i64).to_ne_bytes());
        assert_eq!(wire[8..16], 999_999_i64.to_ne_bytes());
    }

    #[test]
    fn a_time_past_2038_does_not_fit_into_32_bits() {
        let last = Timestamp::from_unix_seconds(i64::from(i32::MAX)).expect("in range");
        let next = last.saturating_add(Offset::from_nanos(1_000_000_000));
        assert!(encode::<4, 32>(last, Offset::ZERO, Leap::None).is_some());
        assert_eq!(encode::<4, 32>(next, Offset::ZERO, Leap::None), None);
        assert!(encode::<8, 40>(next, Offset::ZERO, Leap::None).is_some());
    }

    #[test]
    fn an_offset_of_two_to_the_32_seconds_is_refused_either_way() {
        let most = Offset::from_nanos((1_i64 << 32) * 1_000_000_000 - 1);
        let after_1970 = Timestamp::from_unix_nanos(0);
        assert!(Sample::new(after_1970, most, Leap::None).is_ok());
        for offset in [1_i64 << 32, -(1_i64 << 32)] {
            let offset = Offset::from_nanos(offset * 1_000_000_000);
            assert_eq!(
                Sample::new(TAKEN_AT, offset, Leap::None),
                Err(ChronyError::OffsetTooLarge { offset })
            );
        }
    }

    #[test]
    fn a_true_time_before_1970_is_refused_and_a_wrong_one_is_not() {
        let offset = Offset::from_nanos(-TAKEN_AT.as_unix_nanos() - 1);
        assert_eq!(
            Sample::new(TAKEN_AT, offset, Leap::None),
            Err(ChronyError::TimeOutOfRange { taken_at: TAKEN_AT, offset })
        );
        let wrong = Timestamp::from_unix_nanos(-1);
        assert!(Sample::new(wrong, Offset::from_nanos(1), Leap::None).is_ok());
    }

    #[test]
    fn chronyds_leap_numbers_go_there_and_back_and_others_are_refused() {
        for number in 0..3 {
            assert_eq!(Leap::try_from(number).map(i32::from), Ok(number));
        }
        for value in [-1, 3, i32::MAX] {
            assert_eq!(Leap::try_from(value), Err(ChronyError::InvalidLeap { value }));
        }
    }
}
