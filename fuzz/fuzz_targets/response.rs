//! A response in pieces is read like the same response in one piece: same heads, same error.
#![no_main]

use httptime::Error;
use httptime::http::{MAX_HEAD_BYTES, ResponseReader};
use libfuzzer_sys::fuzz_target;

// The first byte is the length of the pieces, the rest is what the server sends.
fuzz_target!(|data: &[u8]| {
    let Some((&length, bytes)) = data.split_first() else { return };
    if bytes.len() > MAX_HEAD_BYTES {
        return;
    }
    let pieces = outcome(bytes.chunks(usize::from(length).max(1)));
    assert_eq!(pieces, outcome(std::iter::once(bytes)));
});

/// What each head said, and the error that ended it.
fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Option<Error>) {
    let mut reader = ResponseReader::new();
    let mut heads = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.head() {
                Ok(Some(head)) => heads.push(format!(
                    "{} {:?} {:?} {:?} {}",
                    head.status(),
                    head.date(),
                    head.age(),
                    head.server(),
                    head.persistent()
                )),
                Ok(None) => break,
                Err(error) => return (heads, Some(error)),
            }
        }
    }
    (heads, None)
}
