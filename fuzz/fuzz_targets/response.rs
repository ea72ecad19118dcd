//! A response in pieces is read like the same response in one piece: same heads, same error, the same left over.
#![no_main]

use httptime::Error;
use httptime::http::{MAX_HEAD_BYTES, ResponseReader};
use libfuzzer_sys::fuzz_target;

// The first byte is how many follow that are the lengths of the pieces, taken in turn (none: one byte each); the rest is what
// the server sends.
fuzz_target!(|data: &[u8]| {
    let Some((&count, data)) = data.split_first() else { return };
    let (lengths, mut bytes) = data.split_at(usize::from(count).min(data.len()));
    if bytes.len() > MAX_HEAD_BYTES {
        return;
    }
    let whole = read(std::iter::once(bytes), ResponseReader::feed);
    let lengths: &[u8] = if lengths.is_empty() { &[1] } else { lengths };
    let mut lengths = lengths.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let length = lengths.next().map_or(1, |length| usize::from(*length).max(1));
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(read(pieces, fill), whole);
});

/// As a driver does that reads from a socket.
fn fill(reader: &mut ResponseReader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = reader.space();
        let (now, later) = bytes.split_at(space.len().min(bytes.len()));
        space[..now.len()].copy_from_slice(now);
        reader.filled(now.len());
        bytes = later;
    }
}

/// What each head said, and the error that ended it: of the response, or of the connection that ends there.
fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    mut take: impl FnMut(&mut ResponseReader, &'a [u8]),
) -> (Vec<String>, Error) {
    let mut reader = ResponseReader::new();
    let mut heads = Vec::new();
    for piece in pieces {
        take(&mut reader, piece);
        loop {
            match reader.head() {
                Ok(Some(head)) => heads.push(format!(
                    "{} {} {:?} {:?} {:?} {}",
                    head.status(),
                    head.minor_version(),
                    head.date(),
                    head.age(),
                    head.server(),
                    head.persistent()
                )),
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
