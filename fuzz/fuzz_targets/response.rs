//! A response in pieces is read like the same response in one piece: same heads, same error, same
//! remaining bytes. The same holds for a reader that was used before. A measurement either uses the
//! values of a head or refuses them.
#![no_main]

use std::time::Duration;

use httptime::http::{MAX_HEAD_BYTES, ResponseHead, ResponseReader};
use httptime::{Config, CrossTimestamp, Error, Exchange, LocalInstant, Measure, Timestamp};
use libfuzzer_sys::fuzz_target;

// The first byte is the number of following bytes that are the lengths of the pieces, used in turn
// (none: one byte each). The rest is sent by the server.
fuzz_target!(|data: &[u8]| {
    let Some((&count, data)) = data.split_first() else { return };
    let (lengths, mut bytes) = data.split_at(usize::from(count).min(data.len()));
    if bytes.len() > MAX_HEAD_BYTES {
        return;
    }
    let mut reader = ResponseReader::new();
    let whole = read(&mut reader, std::iter::once(bytes), ResponseReader::feed);
    reader.clear();
    let lengths: &[u8] = if lengths.is_empty() { &[1] } else { lengths };
    let mut lengths = lengths.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let length = lengths.next().map_or(1, |length| usize::from(*length).max(1));
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(read(&mut reader, pieces, fill), whole);
});

/// Fills the reader as a driver does that reads from a socket.
fn fill(reader: &mut ResponseReader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = reader.space();
        let (now, later) = bytes.split_at(space.len().min(bytes.len()));
        space[..now.len()].copy_from_slice(now);
        reader.filled(now.len());
        bytes = later;
    }
}

/// The values of each head, and the error that ended the response or the connection.
fn read<'a>(
    reader: &mut ResponseReader,
    pieces: impl Iterator<Item = &'a [u8]>,
    mut take: impl FnMut(&mut ResponseReader, &'a [u8]),
) -> (Vec<String>, Error) {
    let wall = Timestamp::from_unix_nanos(WALL_NS);
    let cross_timestamp = CrossTimestamp::new(at(0), wall, Duration::ZERO);
    let mut measure = Measure::new(&Config::default(), cross_timestamp);
    let mut heads = Vec::new();
    for piece in pieces {
        take(reader, piece);
        loop {
            match reader.head() {
                Ok(Some(head)) => {
                    let said = (head.date(), head.age(), head.server(), head.is_persistent());
                    let (status, minor) = (head.status(), head.minor_version());
                    let stamp = head.stamp();
                    let taken = absorb(&mut measure, heads.len(), &head);
                    heads.push(format!("{status} {minor} {said:?} {stamp:?} {taken:?}"));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.head(), Err(error.clone()), "an error is final");
                    return (heads, error);
                }
            }
        }
    }
    (heads, reader.eof())
}

/// Reports the head as a driver does, a second after the one before.
fn absorb(measure: &mut Measure, index: usize, head: &ResponseHead<'_>) -> Result<(), Error> {
    let sent = at(1_000_000_000 * i64::try_from(index).expect("few"));
    let received = sent.saturating_add(Duration::from_millis(1));
    measure.sent(sent);
    measure.absorb(&Exchange::from_head(sent, received, head)?).map(drop)
}

fn at(nanos: i64) -> LocalInstant {
    LocalInstant::from_nanos(nanos)
}

const WALL_NS: i64 = 1_795_392_000_000_000_000;
