//! The faults that a [`LoopbackRelay`](crate::LoopbackRelay) injects into connections.

use std::fmt;
use std::time::Duration;

/// A network fault.
///
/// A *piece* is what the relay reads at once: mostly a whole request or response. The seed
/// determines whether a fault of a piece strikes before it, within it or after it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A piece is delayed by the time in [`Faults::delays`].
    Delay,
    /// A piece is delayed by a random time. Pieces never overtake each other within a connection.
    Jitter,
    /// A piece is split into two to six, with random pauses between them.
    Split,
    /// A piece waits for the next one, and both are sent as one.
    Coalesce,
    /// Nothing is sent for a random time, then the rest of the piece.
    Stall,
    /// Both ends get a reset (RST).
    Reset,
    /// A piece of a response is sent twice, in one system call.
    Duplicate,
    /// One bit of a piece changes, but never in the value of a `Date`.
    Corrupt,
    /// The rest of a piece is lost and both ends see an orderly close (FIN).
    Truncate,
    /// A connection is held back until one that was opened later has been served.
    Reorder,
    /// Nothing more is sent to either end, not even a FIN, as if the peer's power had failed.
    HalfOpen,
    /// The direction of the piece is closed (FIN). The other one stays open.
    HalfClose,
    /// One bit of the value of a `Date` changes. A lie.
    CorruptDate,
    /// A piece of a response is sent again, a random time later: it may look like the response to
    /// the next request. A lie.
    Replay,
}

impl Fault {
    /// All faults.
    pub const ALL: &[Self] = &[
        Self::Delay,
        Self::Jitter,
        Self::Split,
        Self::Coalesce,
        Self::Stall,
        Self::Reset,
        Self::Duplicate,
        Self::Corrupt,
        Self::Truncate,
        Self::Reorder,
        Self::HalfOpen,
        Self::HalfClose,
        Self::CorruptDate,
        Self::Replay,
    ];

    /// The name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Jitter => "jitter",
            Self::Split => "split",
            Self::Coalesce => "coalesce",
            Self::Stall => "stall",
            Self::Reset => "reset",
            Self::Duplicate => "duplicate",
            Self::Corrupt => "corrupt",
            Self::Truncate => "truncate",
            Self::Reorder => "reorder",
            Self::HalfOpen => "half-open",
            Self::HalfClose => "half-close",
            Self::CorruptDate => "corrupt-date",
            Self::Replay => "replay",
        }
    }

    /// Whether the fault can produce a response with a valid `Date` that the server did not stamp
    /// for that request. Plain HTTP cannot detect this, so the bounds are not guaranteed. They are
    /// under all the other faults.
    #[must_use]
    pub const fn is_lie(self) -> bool {
        matches!(self, Self::CorruptDate | Self::Replay)
    }

    /// The default of [`Faults::longest`].
    const fn usual_time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Delay | Self::Duplicate | Self::Corrupt | Self::CorruptDate => 0,
            Self::Split => 2,
            Self::Jitter => 5,
            Self::Coalesce => 10,
            Self::Reset | Self::Truncate | Self::HalfOpen | Self::HalfClose => 50,
            Self::Replay => 200,
            Self::Reorder => 500,
            Self::Stall => 1000,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The faults that a [`LoopbackRelay`](crate::LoopbackRelay) injects: how often, how long, and from
/// which seed.
///
/// Initially none. The same seed gives the same faults to the same pieces of the same connection.
/// The sockets determine where one piece ends and the next begins.
#[derive(Debug, Clone)]
#[must_use]
pub struct Faults {
    seed: u64,
    chances: [f64; COUNT],
    longest: [Duration; COUNT],
    delays: (Duration, Duration),
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 0,
            chances: [0.0; COUNT],
            longest: std::array::from_fn(|index| Fault::ALL[index].usual_time()),
            delays: (Duration::ZERO, Duration::ZERO),
        }
    }
}

impl Faults {
    /// The seed of every random choice [default: 0].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Injects `fault` with this probability: into each piece, or for [`Fault::Reorder`] into each
    /// connection.
    pub fn chance(mut self, fault: Fault, probability: f64) -> Self {
        self.chances[fault as usize] = probability;
        self
    }

    /// The longest time that `fault` takes. More than a day counts as a day.
    ///
    /// The time is drawn uniformly from zero up to this limit. It is the time of a jitter, stall or
    /// replay, each pause of a split, and the time from the fault until a connection breaks, ends
    /// or becomes silent. [`Fault::Coalesce`] and [`Fault::Reorder`] wait for the whole limit if
    /// the expected event does not occur. The others take no time. [`Fault::Delay`] uses
    /// [`delays`](Self::delays).
    pub fn longest(mut self, fault: Fault, time: Duration) -> Self {
        self.longest[fault as usize] = time.min(DAY);
        self
    }

    /// The delay of every piece of a request, and of every piece of a response: [`Fault::Delay`]
    /// with probability 1.
    pub fn delays(mut self, before: Duration, after: Duration) -> Self {
        self.delays = (before.min(DAY), after.min(DAY));
        self.chance(Fault::Delay, 1.0)
    }

    /// The random choices for the connection with this number.
    pub(crate) fn draws(&self, connection: usize) -> FaultDraws<'_> {
        let number = u64::try_from(connection).unwrap_or(u64::MAX);
        let seed = self.seed ^ number.wrapping_mul(GOLDEN_RATIO);
        FaultDraws { faults: self, random: fastrand::Rng::with_seed(seed) }
    }
}

/// Random choices, for one connection or one direction of it.
#[derive(Debug)]
pub(crate) struct FaultDraws<'a> {
    faults: &'a Faults,
    random: fastrand::Rng,
}

impl FaultDraws<'_> {
    /// Other random choices, for another thread.
    pub(crate) fn fork(&mut self) -> Self {
        Self { faults: self.faults, random: self.random.fork() }
    }

    pub(crate) fn is_drawn(&mut self, fault: Fault) -> bool {
        self.random.f64() < self.faults.chances[fault as usize]
    }

    /// The first of these faults that strikes.
    pub(crate) fn first_of(&mut self, faults: &[Fault]) -> Option<Fault> {
        faults.iter().copied().find(|fault| self.is_drawn(*fault))
    }

    pub(crate) const fn longest(&self, fault: Fault) -> Duration {
        self.faults.longest[fault as usize]
    }

    pub(crate) fn time(&mut self, fault: Fault) -> Duration {
        self.longest(fault).mul_f64(self.random.f64())
    }

    pub(crate) const fn delays(&self) -> (Duration, Duration) {
        self.faults.delays
    }

    /// A place in a piece, from before its first byte to after its last.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        self.random.usize(0..=length)
    }

    /// The places at which to cut a piece into two to six, in order.
    pub(crate) fn cuts(&mut self, length: usize) -> Vec<usize> {
        let count = self.random.usize(1..MAX_PARTS);
        let mut cuts: Vec<usize> = (0..count).map(|_| self.place(length)).collect();
        cuts.sort_unstable();
        cuts
    }

    /// Changes one bit of one of the bytes that `may_change` selects; `false` if there is none.
    pub(crate) fn corrupt(&mut self, piece: &mut [u8], may_change: impl Fn(usize) -> bool) -> bool {
        let places: Vec<usize> = (0..piece.len()).filter(|at| may_change(*at)).collect();
        let at = self.random.choice(places);
        if let Some(at) = at {
            piece[at] ^= 1 << self.random.u8(0..8);
        }
        at.is_some()
    }
}

/// Finds the bytes of a stream of heads that are the value of a `Date`.
#[derive(Debug, Default)]
pub(crate) struct DateFinder {
    place: Place,
}

/// The position in a line.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    /// This number of characters of the name has been read.
    Name(usize),
    /// A line that is not a `Date`.
    #[default]
    Elsewhere,
    Value,
    /// At the beginning of a line that may continue the value.
    BehindValue,
}

impl DateFinder {
    /// For each of the next bytes, whether it belongs to the value of a `Date`.
    pub(crate) fn mark(&mut self, bytes: &[u8]) -> Vec<bool> {
        bytes.iter().map(|byte| self.next(*byte)).collect()
    }

    fn next(&mut self, byte: u8) -> bool {
        let before = self.place;
        self.place = match (before, byte) {
            (Place::Value, b'\n') => Place::BehindValue,
            (_, b'\n') => Place::Name(0),
            (Place::BehindValue, b' ' | b'\t') | (Place::Value, _) => Place::Value,
            (Place::BehindValue, _) => Self::named(0, byte),
            (Place::Name(matched), _) => Self::named(matched, byte),
            (Place::Elsewhere, _) => Place::Elsewhere,
        };
        matches!((before, self.place), (Place::Value | Place::BehindValue, Place::Value))
            && !byte.is_ascii_control()
    }

    fn named(matched: usize, byte: u8) -> Place {
        match NAME.get(matched) {
            Some(wanted) if *wanted != byte.to_ascii_lowercase() => Place::Elsewhere,
            Some(b':') => Place::Value,
            _ => Place::Name(matched + 1),
        }
    }
}

pub(crate) const COUNT: usize = Fault::ALL.len();

const NAME: &[u8] = b"date:";

const MAX_PARTS: usize = 6;

/// Longer than any test, and an `Instant` can be that far ahead.
const DAY: Duration = Duration::from_secs(86_400);

/// 2⁶⁴ / φ: distributes consecutive numbers over all bits.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_date_is_found_in_any_pieces() {
        let head = b"HTTP/1.1 200 OK\r\nX-Date: no\r\nDates: no\r\ndAtE: Sun,\r\n 06 Nov\r\nDate:x\r\nAge: 1\r\n\r\n";
        let marked = |pieces: &mut dyn Iterator<Item = &[u8]>| -> Vec<bool> {
            let mut finder = DateFinder::default();
            pieces.flat_map(|piece| finder.mark(piece)).collect()
        };
        let marks = marked(&mut std::iter::once(&head[..]));
        let found = head.iter().zip(&marks).filter_map(|(byte, marked)| marked.then_some(*byte));
        assert_eq!(String::from_utf8(found.collect()).expect("text"), " Sun, 06 Novx");
        for size in 1..head.len() {
            assert_eq!(marked(&mut head.chunks(size)), marks, "in pieces of {size}");
        }
    }

    #[test]
    fn the_same_seed_and_connection_choose_the_same_and_others_do_not() {
        let chosen = |seed, connection| {
            let faults = Faults::default().seed(seed).chance(Fault::Split, 0.5);
            let mut draws = faults.draws(connection);
            (0..64).map(|_| draws.is_drawn(Fault::Split)).collect::<Vec<_>>()
        };
        assert_eq!(chosen(1, 2), chosen(1, 2));
        assert_ne!(chosen(1, 2), chosen(1, 3));
        assert_ne!(chosen(1, 2), chosen(2, 2));
    }
}
