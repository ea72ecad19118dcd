use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::sys::socket::sockopt::{TcpMaxSeg, Timestamping};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, TimestampingFlag, getsockopt, recvmsg, setsockopt,
};
use nix::sys::time::TimeSpec;

use super::{EnabledTimestamps, TransmitTimestamp};
use crate::time::{Timestamp, duration_to_nanos};

/// Enables kernel timestamps of everything that leaves and arrives from now on. Everything written
/// before must have been acknowledged: keys count from the first byte that is not.
pub(in crate::net) fn enable(socket: BorrowedFd<'_>) -> io::Result<EnabledTimestamps> {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
        | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
    setsockopt(&socket, Timestamping, &flags)?;
    Ok(EnabledTimestamps { segment: getsockopt(&socket, TcpMaxSeg)?.try_into().unwrap_or(0) })
}

/// Reads, and returns when the last of the segments arrived whose bytes were read.
///
/// Segments that were joined before they were read (by GRO, or in the receive queue) have the
/// timestamp of the latest.
pub(in crate::net) fn read(
    socket: BorrowedFd<'_>,
    space: &mut [u8],
) -> io::Result<(usize, Option<Timestamp>)> {
    let mut control = Control::new();
    let mut pieces = [IoSliceMut::new(space)];
    let message = receive(socket, &mut pieces, &mut control, MsgFlags::empty())?;
    let at = messages(&message).find_map(|message| match message {
        ControlMessageOwned::ScmTimestampsns(stamps) => timestamp(stamps.system),
        _ => None,
    });
    Ok((message.bytes, at))
}

/// The next report of the kernel about a write. `None`: there are no more reports. `Some(None)`:
/// the report is not about a departure.
pub(in crate::net) fn next_departure(socket: BorrowedFd<'_>) -> Option<Option<TransmitTimestamp>> {
    let mut control = Control::new();
    let message = receive(socket, &mut [], &mut control, MsgFlags::MSG_ERRQUEUE).ok()?;
    let (mut key, mut at) = (None, None);
    for message in messages(&message) {
        match message {
            ControlMessageOwned::ScmTimestampsns(stamps) => at = timestamp(stamps.system),
            ControlMessageOwned::Ipv4RecvErr(error, _) => key = departed(&error),
            ControlMessageOwned::Ipv6RecvErr(error, _) => key = departed(&error),
            _ => {}
        }
    }
    Some(key.zip(at).map(|(key, at)| TransmitTimestamp { key, at }))
}

/// The key, if the report is about a segment that was passed to the network device.
fn departed(error: &nix::libc::sock_extended_err) -> Option<u32> {
    let sent =
        error.ee_origin == nix::libc::SO_EE_ORIGIN_TIMESTAMPING && error.ee_info == SCM_TSTAMP_SND;
    sent.then_some(error.ee_data)
}

fn receive<'control, 'pieces>(
    socket: BorrowedFd<'_>,
    pieces: &'pieces mut [IoSliceMut<'_>],
    control: &'control mut Control,
    flags: MsgFlags,
) -> io::Result<RecvMsg<'control, 'pieces, ()>> {
    Ok(recvmsg(socket.as_raw_fd(), pieces, Some(&mut control.0), flags)?)
}

/// The control messages of a read; none if there was too little room for them.
fn messages<'a>(
    message: &'a RecvMsg<'_, '_, ()>,
) -> impl Iterator<Item = ControlMessageOwned> + use<'a> {
    message.cmsgs().into_iter().flatten()
}

/// `None` for zero, which the kernel writes instead of a missing timestamp.
fn timestamp(time: TimeSpec) -> Option<Timestamp> {
    let since_1970 = Duration::from(time);
    (!since_1970.is_zero()).then(|| Timestamp::from_unix_nanos(duration_to_nanos(since_1970)))
}

/// Room for a timestamp (three times) and an extended error with an address, with the alignment of
/// their headers.
#[repr(align(8))]
struct Control([u8; 256]);

impl Control {
    const fn new() -> Self {
        Self([0; 256])
    }
}

/// `SCM_TSTAMP_SND` in linux/errqueue.h: the packet was passed to the network device.
const SCM_TSTAMP_SND: u32 = 0;
