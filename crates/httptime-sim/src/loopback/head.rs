//! Heads of HTTP messages, read from a socket.

use std::io::{self, Read};
use std::net::TcpStream;

/// A start line and its fields, up to and including the blank line.
#[derive(Debug, Clone)]
pub struct Head {
    raw: Vec<u8>,
    text: String,
}

impl Head {
    /// The bytes as received.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The bytes as text. Invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The word with this number in the start line; empty if there are fewer words.
    #[must_use]
    pub fn word(&self, number: usize) -> &str {
        let line = self.text.lines().next().unwrap_or_default();
        line.split_ascii_whitespace().nth(number).unwrap_or_default()
    }

    /// The lines of the fields, without their line ends.
    pub fn field_lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().skip(1).take_while(|line| !line.is_empty())
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.field_lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether the connection closes after this message or the response to it.
    #[must_use]
    pub fn should_close(&self) -> bool {
        self.field("connection").map_or_else(
            || self.word(0) == "HTTP/1.0" || self.word(2) == "HTTP/1.0",
            |connection| connection.eq_ignore_ascii_case("close"),
        )
    }
}

/// Splits the received bytes of a connection into heads.
#[derive(Debug, Default)]
pub struct HeadReader {
    unread: Vec<u8>,
}

impl HeadReader {
    /// The next head, or `None` when the peer has closed the connection.
    ///
    /// # Errors
    /// When reading fails, and [`io::ErrorKind::InvalidData`] when a head has more than 64 KiB.
    pub fn next(&mut self, mut stream: &TcpStream) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(end) = find_end(&self.unread, searched) {
                let raw: Vec<u8> = self.unread.drain(..end).collect();
                let text = String::from_utf8_lossy(&raw).into_owned();
                return Ok(Some(Head { raw, text }));
            }
            if self.unread.len() > MAX_HEAD_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "head too large"));
            }
            searched = self.unread.len();
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                n => self.unread.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// The bytes that were read after the last head.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        self.unread
    }
}

/// The end of the blank line, if it has been received. Only bytes after `searched` are new.
fn find_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(BLANK_LINE.len() - 1);
    let at = bytes[from..].windows(BLANK_LINE.len()).position(|window| window == BLANK_LINE)?;
    Some(from + at + BLANK_LINE.len())
}

const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// More than any client in the tests sends.
const MAX_HEAD_BYTES: usize = 64 * 1024;
