use std::io::{self, ErrorKind};

use super::{EnabledTimestamps, TransmitTimestamp};
use crate::net::system::BorrowedFd;
use crate::time::Timestamp;

/// Kernel timestamps do not exist on this system.
pub(in crate::net) fn enable(_: BorrowedFd<'_>) -> io::Result<EnabledTimestamps> {
    Err(ErrorKind::Unsupported.into())
}

/// Never called, because [`enable`] fails.
pub(in crate::net) fn read(
    _: BorrowedFd<'_>,
    _: &mut [u8],
) -> io::Result<(usize, Option<Timestamp>)> {
    Err(ErrorKind::Unsupported.into())
}

/// There are no reports.
pub(in crate::net) const fn next_departure(_: BorrowedFd<'_>) -> Option<Option<TransmitTimestamp>> {
    None
}
