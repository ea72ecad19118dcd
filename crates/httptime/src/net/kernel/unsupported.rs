use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

use super::{EnabledTimestamps, TransmitTimestamp};
use crate::time::Timestamp;

/// Asks the kernel for timestamps; there are none here.
pub(in crate::net) fn enable(_: BorrowedFd<'_>) -> io::Result<EnabledTimestamps> {
    Err(ErrorKind::Unsupported.into())
}

/// Never called: nothing can be enabled.
pub(in crate::net) fn read(
    _: BorrowedFd<'_>,
    _: &mut [u8],
) -> io::Result<(usize, Option<Timestamp>)> {
    Err(ErrorKind::Unsupported.into())
}

/// Nothing is ever reported.
pub(in crate::net) const fn next_departure(_: BorrowedFd<'_>) -> Option<Option<TransmitTimestamp>> {
    None
}
