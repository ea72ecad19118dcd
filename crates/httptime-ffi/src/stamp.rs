use httptime::{Stamp, StampFault, StampUse, Timestamp};

use crate::boundary::{duration, nanos};
use crate::failure::Failure;

/// There is no stamp.
pub const HTTPTIME_STAMP_NONE: i32 = 0;
/// There is a stamp. In a measurement: its result is from stamps.
pub const HTTPTIME_STAMP_USED: i32 = 1;
/// Not used: the digits of a stamp have no meaning that is certain.
pub const HTTPTIME_STAMP_MALFORMED: i32 = 2;
/// Not used: a response has two stamps with different values.
pub const HTTPTIME_STAMP_CONFLICTING: i32 = 3;
/// Not used: the responses have stamps of different forms.
pub const HTTPTIME_STAMP_FORM_CHANGED: i32 = 4;
/// Not used: a stamp is older than the Date of its response.
pub const HTTPTIME_STAMP_OLDER_THAN_DATE: i32 = 5;
/// Not used: a stamp is newer than the Date of its response allows.
pub const HTTPTIME_STAMP_NEWER_THAN_DATE: i32 = 6;
/// Not used: a stamp reports that the server processed the request for longer than the round trip
/// took.
pub const HTTPTIME_STAMP_LONGER_THAN_ROUND_TRIP: i32 = 7;
/// Not used: a later response has the same stamp. It is from a cache, or it is the time at which
/// the connection was accepted.
pub const HTTPTIME_STAMP_FROZEN: i32 = 8;
/// Not used: the stamps contradict each other.
pub const HTTPTIME_STAMP_INCONSISTENT: i32 = 9;
/// Not used: there were too few responses to show a stamp that stands still. Fewer than three, or
/// none over a second connection.
pub const HTTPTIME_STAMP_UNTESTED: i32 = 10;
/// Not used, for a reason for which this version of the library has no number.
pub const HTTPTIME_STAMP_OTHER: i32 = 11;

/// The server rounds its stamps to the nearest quantum. Without this flag it truncates them.
pub const HTTPTIME_STAMP_FLAG_ROUNDED: u32 = 1;
/// The response has no Date, and the second of the stamp stands in for it.
pub const HTTPTIME_STAMP_FLAG_NO_DATE: u32 = 2;

/// The stamp of a response: the server's clock, finer than the second of the Date. It is a part of
/// other structures, has no struct_size, and does not grow.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_stamp {
    /// HTTPTIME_STAMP_NONE, HTTPTIME_STAMP_USED if there is a stamp, or HTTPTIME_STAMP_MALFORMED or
    /// HTTPTIME_STAMP_CONFLICTING if it cannot be read. The other fields count only for
    /// HTTPTIME_STAMP_USED.
    pub state: i32,
    /// Zero or more of HTTPTIME_STAMP_FLAG_*, combined with |.
    pub flags: u32,
    /// The server's clock when the request arrived: ns since 1970. It showed this, or up to
    /// quantum_ns more.
    pub receive_ns: i64,
    /// The server's clock when the response left. The same as receive_ns if the stamp has one time.
    pub transmit_ns: i64,
    /// The resolution: below one second.
    pub quantum_ns: i64,
}

impl httptime_stamp {
    pub(crate) const fn none() -> Self {
        Self { state: HTTPTIME_STAMP_NONE, flags: 0, receive_ns: 0, transmit_ns: 0, quantum_ns: 0 }
    }

    /// `lacks_date`: the response has no `Date`.
    pub(crate) fn from_response(
        stamp: Result<Option<Stamp>, StampFault>,
        lacks_date: bool,
    ) -> Self {
        match stamp {
            Ok(None) => Self::none(),
            Ok(Some(stamp)) => Self {
                state: HTTPTIME_STAMP_USED,
                flags: flag(HTTPTIME_STAMP_FLAG_ROUNDED, stamp.is_rounded())
                    | flag(HTTPTIME_STAMP_FLAG_NO_DATE, lacks_date),
                receive_ns: stamp.receive().as_unix_nanos(),
                transmit_ns: stamp.transmit().as_unix_nanos(),
                quantum_ns: nanos(stamp.quantum()),
            },
            Err(fault) => Self { state: number_of(fault), ..Self::none() },
        }
    }

    /// The library's stamp, or the reason why the program's HTTP library could not read it.
    pub(crate) fn checked(&self) -> Result<Result<Option<Stamp>, StampFault>, Failure> {
        let has_known_flags = self.flags & !FLAGS == 0;
        if !has_known_flags || (self.lacks_date() && self.state != HTTPTIME_STAMP_USED) {
            return Err(Failure::argument(format!("exchange.stamp.flags is {}", self.flags)));
        }
        match self.state {
            HTTPTIME_STAMP_NONE => Ok(Ok(None)),
            HTTPTIME_STAMP_USED => self.times().map(|stamp| Ok(Some(stamp))),
            HTTPTIME_STAMP_MALFORMED => Ok(Err(StampFault::Malformed)),
            HTTPTIME_STAMP_CONFLICTING => Ok(Err(StampFault::Conflicting)),
            state => Err(Failure::argument(format!(
                "exchange.stamp.state is {state}; allowed: {HTTPTIME_STAMP_NONE} to \
                 {HTTPTIME_STAMP_CONFLICTING}"
            ))),
        }
    }

    fn times(&self) -> Result<Stamp, Failure> {
        if !(1..SECOND_NS).contains(&self.quantum_ns) {
            let quantum = self.quantum_ns;
            return Err(Failure::argument(format!(
                "exchange.stamp.quantum_ns is {quantum}; allowed: 1 to 999999999"
            )));
        }
        if self.transmit_ns < self.receive_ns {
            return Err(Failure::argument("exchange.stamp.transmit_ns is before its receive_ns"));
        }
        if self.lacks_date() && self.transmit_ns < MIN_TIME_NS {
            return Err(Failure::argument("exchange.stamp.transmit_ns is before every stamp"));
        }
        let quantum = duration(self.quantum_ns, "quantum_ns")?;
        // Also if they are equal: a server that reports its time of processing may report 0.
        let stamp = Stamp::new(Timestamp::from_unix_nanos(self.receive_ns), quantum)
            .with_transmit(Timestamp::from_unix_nanos(self.transmit_ns));
        let is_rounded = self.flags & HTTPTIME_STAMP_FLAG_ROUNDED != 0;
        Ok(if is_rounded { stamp.rounded() } else { stamp })
    }

    pub(crate) const fn lacks_date(&self) -> bool {
        self.flags & HTTPTIME_STAMP_FLAG_NO_DATE != 0
    }
}

/// The number of the header for what a measurement did with the stamps.
pub(crate) fn number_of_use(stamps: Option<&StampUse>) -> i32 {
    stamps.map_or(HTTPTIME_STAMP_NONE, |stamps| {
        stamps.rejected().map_or(HTTPTIME_STAMP_USED, number_of)
    })
}

/// The number of a fault, which has the same name.
fn number_of(fault: StampFault) -> i32 {
    let found = FAULTS.iter().find(|(_, kind)| *kind == fault.kind());
    found.map_or(HTTPTIME_STAMP_OTHER, |(number, _)| *number)
}

const fn flag(flag: u32, is_set: bool) -> u32 {
    if is_set { flag } else { 0 }
}

const FAULTS: &[(i32, &str)] = &[
    (HTTPTIME_STAMP_MALFORMED, "malformed"),
    (HTTPTIME_STAMP_CONFLICTING, "conflicting"),
    (HTTPTIME_STAMP_FORM_CHANGED, "form_changed"),
    (HTTPTIME_STAMP_OLDER_THAN_DATE, "older_than_date"),
    (HTTPTIME_STAMP_NEWER_THAN_DATE, "newer_than_date"),
    (HTTPTIME_STAMP_LONGER_THAN_ROUND_TRIP, "longer_than_round_trip"),
    (HTTPTIME_STAMP_FROZEN, "frozen"),
    (HTTPTIME_STAMP_INCONSISTENT, "inconsistent"),
    (HTTPTIME_STAMP_UNTESTED, "untested"),
];
const FLAGS: u32 = HTTPTIME_STAMP_FLAG_ROUNDED | HTTPTIME_STAMP_FLAG_NO_DATE;
const SECOND_NS: i64 = 1_000_000_000;
/// The first time with ten digits of seconds, in 2001.
const MIN_TIME_NS: i64 = 1_000_000_000 * SECOND_NS;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_fault_of_the_library_has_a_number_of_its_own() {
        // The names in the source: one that is missing here would become "other".
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = package.with_file_name("httptime").join("src/stamp.rs");
        // A package has no sources beside it.
        let Ok(source) = fs::read_to_string(source) else { return };
        let (_, function) = source.split_once("fn kind(&self)").expect("a function");
        let (function, _) = function.split_once("\n    }\n").expect("its end");
        let kinds = function.lines().filter_map(|line| line.split_once("=> \""));
        let kinds: Vec<&str> = kinds.map(|(_, kind)| kind.trim_end_matches("\",")).collect();
        let numbered: Vec<&str> = FAULTS.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, numbered);
        let numbers: Vec<i32> = FAULTS.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (2..HTTPTIME_STAMP_OTHER).collect::<Vec<_>>());
        assert_eq!(number_of(StampFault::Malformed), HTTPTIME_STAMP_MALFORMED);
    }
}
