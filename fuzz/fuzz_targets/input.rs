//! Turns bytes into the values that a target needs. Zeros follow after the last byte.

use std::time::Duration;

use httptime::Offset;

pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// One of these values.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    pub fn bit(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// One byte for the unit and two for the number; or eight bytes, in nanoseconds.
    pub fn nanos(&mut self) -> i64 {
        let unit = match self.byte() {
            u8::MAX => return i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            byte => UNITS[usize::from(byte) % UNITS.len()],
        };
        let number = i64::from(i16::from_le_bytes([self.byte(), self.byte()]));
        number.saturating_mul(unit)
    }

    pub fn offset(&mut self) -> Offset {
        Offset::from_nanos(self.nanos())
    }

    pub fn duration(&mut self) -> Duration {
        match self.nanos() {
            i64::MIN => Duration::MAX,
            nanos => Duration::from_nanos(nanos.unsigned_abs()),
        }
    }

    pub fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.bit() { Some(read(self)) } else { None }
    }
}

/// From a nanosecond to a year, and the numbers around a second, where a flip is.
const UNITS: [i64; 8] = [
    1,
    1_000,
    100_000,
    1_000_000,
    1_000_000_000,
    60_000_000_000,
    86_400_000_000_000,
    31_536_000_000_000_000,
];
