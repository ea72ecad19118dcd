use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

use super::{Departure, Enabled};
use crate::time::Timestamp;

/// Asks the kernel to stamp what leaves and comes; it cannot here.
pub(in crate::net) fn enable(_: &TcpStream) -> io::Result<Enabled> {
    Err(ErrorKind::Unsupported.into())
}

/// Reads, without a stamp.
pub(in crate::net) fn read(
    mut stream: &TcpStream,
    space: &mut [u8],
) -> io::Result<(usize, Option<Timestamp>)> {
    Ok((stream.read(space)?, None))
}

/// Nothing is ever told.
pub(in crate::net) const fn next_departure(_: &TcpStream) -> Option<Option<Departure>> {
    None
}
