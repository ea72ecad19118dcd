//! Converts the addresses of the system's socket functions.

use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;

use crate::failure::Failure;

/// The system's `struct sockaddr`: the header only declares it.
#[repr(C)]
#[derive(Debug)]
pub struct sockaddr {
    _opaque: [u8; 0],
}

/// The system's `struct addrinfo`: the header only declares it.
#[repr(C)]
#[derive(Debug)]
pub struct addrinfo {
    _opaque: [u8; 0],
}

/// The internet addresses of a list, in its order.
///
/// # Safety
/// `list` must be NULL or a result of getaddrinfo.
pub(crate) unsafe fn addresses(list: *const addrinfo) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = Vec::new();
    let mut next = list.cast::<libc::addrinfo>();
    while !next.is_null() {
        if found.len() == MAX_ADDRESSES {
            break;
        }
        if !next.is_aligned() {
            return Err(Failure::argument("addresses is not aligned"));
        }
        // SAFETY: neither NULL nor misaligned; the rest as the caller guarantees.
        let entry = unsafe { &*next };
        // SAFETY: as the caller guarantees.
        found.extend(unsafe { address(entry) });
        next = entry.ai_next;
    }
    Ok(found)
}

/// # Safety
/// The number of bytes in the entry must be readable at its address, if that is not NULL.
unsafe fn address(entry: &libc::addrinfo) -> Option<SocketAddr> {
    let length = usize::try_from(entry.ai_addrlen).ok()?;
    if entry.ai_addr.is_null() || length > size_of::<libc::sockaddr_storage>() {
        return None;
    }
    let copy = |storage: *mut socket2::SockAddrStorage, size: *mut libc::socklen_t| {
        // SAFETY: the storage is no smaller than `length` bytes, and the caller guarantees that so
        // many can be read.
        unsafe {
            storage.cast::<u8>().copy_from_nonoverlapping(entry.ai_addr.cast::<u8>(), length);
            size.write(entry.ai_addrlen);
        }
        io::Result::Ok(())
    };
    // SAFETY: the storage begins as zeros, which are valid, and holds an address of the system's
    // beyond that.
    let (_, address) = unsafe { SockAddr::try_init(copy) }.ok()?;
    address.as_socket()
}

/// More than any name has. A circular list never ends.
const MAX_ADDRESSES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &SockAddr, next: *mut libc::addrinfo) -> libc::addrinfo {
        libc::addrinfo {
            ai_flags: 0,
            ai_family: i32::from(address.family()),
            ai_socktype: libc::SOCK_STREAM,
            ai_protocol: 0,
            ai_addrlen: address.len(),
            ai_addr: address.as_ptr().cast_mut().cast(),
            ai_canonname: std::ptr::null_mut(),
            ai_next: next,
        }
    }

    #[test]
    fn a_list_of_addresses_is_read_in_its_order_and_up_to_a_limit() {
        let given: Vec<SocketAddr> =
            ["[2001:db8::1]:80", "192.0.2.1:8080"].map(|text| text.parse().expect("it")).into();
        let (first, last) = (SockAddr::from(given[0]), SockAddr::from(given[1]));
        let mut last = entry(&last, std::ptr::null_mut());
        let mut nameless = libc::addrinfo { ai_addr: std::ptr::null_mut(), ..last };
        nameless.ai_next = &raw mut last;
        let first = entry(&first, &raw mut nameless);
        // SAFETY: entries on the stack, and NULL.
        unsafe {
            assert_eq!(addresses((&raw const first).cast()).expect("a list"), given);
            assert_eq!(addresses(std::ptr::null()).expect("none"), []);
            last.ai_next = &raw mut last;
            assert_eq!(addresses((&raw const last).cast()).expect("many").len(), MAX_ADDRESSES);
        }
    }
}
