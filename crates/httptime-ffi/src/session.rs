use std::ffi::{CString, c_char, c_void};
use std::io;
use std::ptr;
use std::sync::Arc;

#[cfg(feature = "https")]
use httptime::session::Security;
use httptime::session::{Action, Arrival, ConnectionId, MAX_CONNECTIONS, Target};
use httptime::survey::{MAX_SERVERS, Sessions};
use httptime::{LocalInstant, Url};
use socket2::SockAddr;

use crate::address::{addresses, addrinfo, sockaddr};
use crate::boundary::{
    Output, Versioned, exclusive, free_handle, guard, guard_or, hand_over, reference, size, slice,
    target, text,
};
use crate::cross_timestamp::{cross_timestamp_or_now, httptime_cross_timestamp};
use crate::event::httptime_event;
use crate::failure::Failure;
use crate::options::{HTTPTIME_MAX_SERVERS, Settings, httptime_options};
use crate::progress::httptime_progress;
use crate::status::{HTTPTIME_ERROR_NOTHING_MEASURED, httptime_status};
use crate::survey::httptime_survey;
use crate::timestamps::{httptime_timestamps, take_error};
use crate::urls::urls;

/// The limit of the connections' numbers, which are below it.
pub const HTTPTIME_MAX_CONNECTIONS: usize = 64;

/// Resolve host, and call httptime_session_resolved.
pub const HTTPTIME_SESSION_RESOLVE: i32 = 1;
/// Start to open a TCP connection to address, without blocking. When the socket is writable, call
/// httptime_session_connected; or, by hand, httptime_session_opened. If it fails at once, call
/// httptime_session_failed.
pub const HTTPTIME_SESSION_OPEN: i32 = 2;
/// Call httptime_session_transmit. Or, by hand: read the data that has arrived on this connection,
/// and report it if there is any. If there is none: read the clock, write httptime_session_output
/// once, and call httptime_session_sent.
pub const HTTPTIME_SESSION_TRANSMIT: i32 = 3;
/// Close the socket of this connection.
pub const HTTPTIME_SESSION_CLOSE: i32 = 4;
/// Wait until a socket is ready or until until_ns, then call httptime_session_poll again.
pub const HTTPTIME_SESSION_WAIT: i32 = 5;
/// There is nothing more to do: call httptime_session_finish.
pub const HTTPTIME_SESSION_DONE: i32 = 6;

/// What the program must do next. Written by httptime_session_poll; set struct_size before.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_session_action {
    /// sizeof(httptime_session_action), set by the caller.
    pub struct_size: u32,
    /// HTTPTIME_SESSION_*.
    pub kind: i32,
    /// The number of the server, from 0 in the order of the URLs. 0 for WAIT and DONE.
    pub server: u32,
    /// The connection, for OPEN, TRANSMIT and CLOSE: a number below HTTPTIME_MAX_CONNECTIONS;
    /// otherwise 0. The program has one socket for each.
    pub conn: u32,
    /// For WAIT: the end of the wait; otherwise 0.
    pub until_ns: i64,
    /// For WAIT: whether a request leaves at until_ns. A timer is too late for that: set it some
    /// milliseconds earlier, then poll without waiting until the instant.
    pub precise: i32,
    /// For OPEN: the size of address in bytes; otherwise 0.
    pub address_length: u32,
    /// For OPEN: the address for socket() and connect(). Valid until the next call with this
    /// session. Otherwise NULL.
    pub address: *const sockaddr,
    /// For RESOLVE: the name of the server or the proxy, for getaddrinfo(). Valid as long as the
    /// session. Otherwise NULL.
    pub host: *const c_char,
    /// For RESOLVE: its port in digits, for getaddrinfo(). Valid as long as the session. Otherwise
    /// NULL.
    pub port: *const c_char,
    /// NULL.
    pub reserved: *const c_void,
}

// SAFETY: integers and pointers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_session_action {
    const MIN_SIZE: usize = size_of::<Self>();

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            kind: 0,
            server: 0,
            conn: 0,
            until_ns: 0,
            precise: 0,
            address_length: 0,
            address: ptr::null(),
            host: ptr::null(),
            port: ptr::null(),
            reserved: ptr::null(),
        }
    }
}

/// The measurement of one server or several by a program with an event loop (libevent, libuv,
/// poll). The session makes the decisions: when to connect and to send, what to retry, what a
/// proxy's response means, when to stop, which servers agree. The program owns sockets, timers and
/// clocks. The functions open no socket and never block. One thread at a time.
///
/// Call httptime_session_poll until it returns WAIT or DONE, and do what each call returns.
/// Whenever a socket is readable, call httptime_session_receive. Or, by hand: read once, then read
/// the clock, and call httptime_session_received; at the end of the stream close the socket and
/// call httptime_session_closed, after an error httptime_session_failed. Call httptime_session_poll
/// again after each of these. Instants are ns on CLOCK_MONOTONIC: httptime_now.
#[derive(Debug)]
pub struct httptime_session {
    /// `None` after it is finished.
    sessions: Option<Sessions>,
    /// Host and port of each server, or of the proxy.
    hops: Vec<(CString, CString)>,
    /// Whether kernel timestamps are requested.
    is_stamped: bool,
    /// The address of the latest OPEN.
    address: Option<Box<SockAddr>>,
}

impl httptime_session {
    fn running(&mut self) -> Result<&mut Sessions, Failure> {
        self.sessions.as_mut().ok_or_else(finished)
    }

    fn shared(&self) -> Result<&Sessions, Failure> {
        self.sessions.as_ref().ok_or_else(finished)
    }

    fn describe(&mut self, action: Action) -> httptime_session_action {
        let of = |kind| httptime_session_action { kind, ..httptime_session_action::initial() };
        let on = |kind, conn: ConnectionId| httptime_session_action {
            server: small(conn.server()),
            conn: small(conn.index()),
            ..of(kind)
        };
        match action {
            Action::Resolve { server } => {
                let hop = self.hops.get(server);
                httptime_session_action {
                    server: small(server),
                    host: hop.map_or(ptr::null(), |(host, _)| host.as_ptr()),
                    port: hop.map_or(ptr::null(), |(_, port)| port.as_ptr()),
                    ..of(HTTPTIME_SESSION_RESOLVE)
                }
            }
            Action::Open { conn, address } => {
                let address = self.address.insert(Box::new(address.into()));
                httptime_session_action {
                    address: address.as_ptr().cast(),
                    address_length: address.len(),
                    ..on(HTTPTIME_SESSION_OPEN, conn)
                }
            }
            Action::Transmit { conn } => on(HTTPTIME_SESSION_TRANSMIT, conn),
            Action::Close { conn } => on(HTTPTIME_SESSION_CLOSE, conn),
            Action::Wait { until, precise } => httptime_session_action {
                until_ns: until.as_nanos(),
                precise: i32::from(precise),
                ..of(HTTPTIME_SESSION_WAIT)
            },
            _ => of(HTTPTIME_SESSION_DONE),
        }
    }
}

/// Starts the measurement of some servers.
///
/// urls, count: as for httptime_query. options: NULL for the defaults; source_address, interface,
/// canceller and progress are not used here. begin: both clocks now, or NULL: then the library
/// reads them. session: set to the new handle, which you must free with httptime_session_free.
/// Fails with HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL and _INVALID_CONFIG.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_new(
    urls: *const *const c_char,
    count: usize,
    options: *const httptime_options,
    begin: *const httptime_cross_timestamp,
    session: *mut *mut httptime_session,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to, and that it stays valid during the
        // call.
        let (urls, settings, begin) = unsafe {
            (
                self::urls(urls, count)?,
                Settings::of(options)?,
                cross_timestamp_or_now(begin, "begin")?,
            )
        };
        let place = target(session, "session")?;
        let proxy = settings.proxy.map(Url::parse).transpose()?;
        #[cfg(feature = "https")]
        let tls = settings.tls.build(&urls, settings.proxy)?;
        #[cfg(feature = "https")]
        let tls: Option<Arc<dyn Security>> = tls.map(|tls| Arc::new(tls) as _);
        let targets = urls.iter().map(|url| {
            let url = Url::parse(url)?;
            let target = Target::with_optional_proxy(url, proxy.clone(), settings.tunnel)?;
            let target = target.with_method(settings.method)?;
            #[cfg(feature = "https")]
            let target = match &tls {
                Some(tls) => target.with_security(Arc::clone(tls)),
                None => target,
            };
            match settings.user_agent {
                None => Ok(target),
                Some(user_agent) => target.with_user_agent(user_agent),
            }
        });
        let targets = targets.map(|target| target.map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let hops = targets.iter().map(|target| {
            let c_text = |text: &str| CString::new(text).unwrap_or_default();
            (c_text(target.hop().host()), c_text(&target.hop().port().to_string()))
        });
        let hops = hops.collect();
        let sessions = Sessions::new(targets, &settings.config, begin)?;
        let is_stamped = settings.config.timestamping().should_ask_kernel();
        hand_over(
            httptime_session { sessions: Some(sessions), hops, is_stamped, address: None },
            place,
        );
        Ok(())
    })
}

/// Decides what to do next.
///
/// now_ns: the monotonic clock now. action: its struct_size set by the caller; written only on
/// HTTPTIME_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_poll(
    session: *mut httptime_session,
    now_ns: i64,
    action: *mut httptime_session_action,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (session, output) =
            unsafe { (exclusive(session, "session")?, Output::new(action, "action")?) };
        let action = session.running()?.poll(LocalInstant::from_nanos(now_ns));
        output.write(&session.describe(action));
        Ok(())
    })
}

/// Reports the addresses of a name, or the resolver's error. The session uses the addresses of the
/// family in the options.
///
/// server: of HTTPTIME_SESSION_RESOLVE. addresses: the result of getaddrinfo, evdns_getaddrinfo or
/// uv_getaddrinfo (ai_addr, ai_addrlen and ai_next are read), or NULL; used only during the call.
/// error: if addresses is NULL, the error in words (gai_strerror), or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_resolved(
    session: *mut httptime_session,
    server: u32,
    addresses: *const addrinfo,
    error: *const c_char,
    now_ns: i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (session, addresses) =
            unsafe { (exclusive(session, "session")?, self::addresses(addresses)?) };
        let found = if addresses.is_empty() && !error.is_null() {
            // SAFETY: the header defines what the pointer points to.
            Err(io::Error::other(unsafe { text(error, "error") }?))
        } else {
            Ok(addresses)
        };
        let server = numbered(server, session.hops.len())?;
        session.running()?.resolved(server, found, LocalInstant::from_nanos(now_ns));
        Ok(())
    })
}

/// Reports that a TCP connection is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_opened(
    session: *mut httptime_session,
    conn: u32,
    now_ns: i64,
) -> httptime_status {
    // SAFETY: the header defines what the pointer points to.
    unsafe {
        report(session, conn, |sessions, conn| {
            sessions.opened(conn, LocalInstant::from_nanos(now_ns));
            Ok(())
        })
    }
}

/// Call this when a connecting socket is writable. Reports that the connection is open or has
/// failed, and enables kernel timestamps if the system supports them and the options allow them.
///
/// fd: the socket; it must stay open until its timestamps are freed. timestamps: set to a new
/// handle, which you must free with httptime_timestamps_free; NULL if the connection failed.
/// outcome: set to 1, or to -1 if the connection failed: close the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_connected(
    session: *mut httptime_session,
    conn: u32,
    fd: i32,
    timestamps: *mut *mut httptime_timestamps,
    outcome: *mut i32,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let session = unsafe { exclusive(session, "session") }?;
        let (timestamps, outcome) =
            (target(timestamps, "timestamps")?, target(outcome, "outcome")?);
        let is_asked = session.is_stamped;
        let sessions = session.running()?;
        let conn = connection(conn, sessions)?;
        if let Some(error) = take_error(fd)? {
            sessions.failed(conn, error, httptime::net::now());
            // SAFETY: the header requires that a number and a pointer can be written there.
            unsafe {
                timestamps.write(ptr::null_mut());
                outcome.write(CONNECTION_GONE);
            }
            return Ok(());
        }
        hand_over(httptime_timestamps::new(fd, is_asked)?, timestamps);
        sessions.opened(conn, httptime::net::now());
        // SAFETY: the header requires that a number can be written there.
        unsafe { outcome.write(RECEIVED_SOME) };
        Ok(())
    })
}

/// The bytes to write to a connection.
///
/// bytes, length: set to them. They are valid until the next call with this session other than this
/// one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_output(
    session: *const httptime_session,
    conn: u32,
    bytes: *mut *const c_char,
    length: *mut usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let sessions = unsafe { reference(session, "session") }?.shared()?;
        let (bytes, length) = (target(bytes, "bytes")?, target(length, "length")?);
        let output = sessions.output(connection(conn, sessions)?);
        // SAFETY: the header requires that a pointer and a number can be written there.
        unsafe {
            bytes.write(output.as_ptr().cast());
            length.write(output.len());
        }
        Ok(())
    })
}

/// Reports that bytes of httptime_session_output were written.
///
/// count: how many; 0 if the write would have blocked. at_ns: the monotonic clock, read before the
/// write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_sent(
    session: *mut httptime_session,
    conn: u32,
    count: usize,
    at_ns: i64,
) -> httptime_status {
    // SAFETY: the header defines what the pointer points to.
    unsafe {
        report(session, conn, |sessions, conn| {
            let length = sessions.output(conn).len();
            if count > length {
                let reason = format!("count is {count}; there were {length} bytes to write");
                return Err(Failure::argument(reason));
            }
            sessions.sent(conn, count, LocalInstant::from_nanos(at_ns));
            Ok(())
        })
    }
}

/// Whether httptime_session_writable must be called when this connection is writable again: 1 or 0.
/// 0 for NULL and for an invalid number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_is_waiting_to_write(
    session: *const httptime_session,
    conn: u32,
) -> i32 {
    // SAFETY: the header defines what the pointer points to.
    let session = unsafe { session.as_ref() };
    guard_or(0, || {
        let Some(sessions) = session.and_then(|session| session.sessions.as_ref()) else {
            return 0;
        };
        let waits = |conn| sessions.is_waiting_to_write(conn);
        i32::from(connection(conn, sessions).is_ok_and(waits))
    })
}

/// Reports that a connection is writable again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_writable(
    session: *mut httptime_session,
    conn: u32,
) -> httptime_status {
    // SAFETY: the header defines what the pointer points to.
    unsafe {
        report(session, conn, |sessions, conn| {
            sessions.writable(conn);
            Ok(())
        })
    }
}

/// Reports bytes that were read from a connection. Report each read separately: the time of a
/// response is that of the read that completes its head.
///
/// bytes: length bytes, copied. at_ns: the monotonic clock, read after the bytes. timestamps: those
/// of this connection, with which the bytes were read (httptime_timestamps_read), or NULL if it has
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_received(
    session: *mut httptime_session,
    conn: u32,
    bytes: *const c_char,
    length: usize,
    at_ns: i64,
    timestamps: *mut httptime_timestamps,
) -> httptime_status {
    // SAFETY: the header defines what the pointers point to.
    unsafe {
        report(session, conn, |sessions, conn| {
            let bytes = slice(bytes.cast::<u8>(), length, "bytes")?;
            let kernel = if timestamps.is_null() {
                None
            } else {
                exclusive(timestamps, "timestamps")?.times()
            };
            sessions.received(conn, bytes, Arrival::new(LocalInstant::from_nanos(at_ns), kernel));
            Ok(())
        })
    }
}

/// Reads once from a connection and reports the outcome: httptime_session_received, _closed or
/// _failed.
///
/// timestamps: those of the connection. outcome: set to 1; to 0 if there was nothing to read; or
/// to -1 if the connection is closed: free its timestamps and close its socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_receive(
    session: *mut httptime_session,
    conn: u32,
    timestamps: *mut httptime_timestamps,
    outcome: *mut i32,
) -> httptime_status {
    // SAFETY: the header defines what the pointers point to.
    unsafe {
        report(session, conn, |sessions, conn| {
            let (timestamps, place) =
                (exclusive(timestamps, "timestamps")?, target(outcome, "outcome")?);
            place.write(receive(sessions, conn, timestamps));
            Ok(())
        })
    }
}

/// Executes HTTPTIME_SESSION_TRANSMIT: reports received data, or writes once.
///
/// timestamps: those of the connection. outcome: as for httptime_session_receive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_transmit(
    session: *mut httptime_session,
    conn: u32,
    timestamps: *mut httptime_timestamps,
    outcome: *mut i32,
) -> httptime_status {
    // SAFETY: the header defines what the pointers point to.
    unsafe {
        report(session, conn, |sessions, conn| {
            let (timestamps, place) =
                (exclusive(timestamps, "timestamps")?, target(outcome, "outcome")?);
            place.write(transmit(sessions, conn, timestamps));
            Ok(())
        })
    }
}

/// Reports that the other end closed a connection. The program has closed the socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_closed(
    session: *mut httptime_session,
    conn: u32,
    now_ns: i64,
) -> httptime_status {
    // SAFETY: the header defines what the pointer points to.
    unsafe {
        report(session, conn, |sessions, conn| {
            sessions.closed(conn, LocalInstant::from_nanos(now_ns));
            Ok(())
        })
    }
}

/// Reports that a connection could not be opened, or that it broke. The program has closed the
/// socket.
///
/// error: the errno of socket(), connect(), send() or recv(), or the value of SO_ERROR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_failed(
    session: *mut httptime_session,
    conn: u32,
    error: i32,
    now_ns: i64,
) -> httptime_status {
    // SAFETY: the header defines what the pointer points to.
    unsafe {
        report(session, conn, |sessions, conn| {
            let error = io::Error::from_raw_os_error(error);
            sessions.failed(conn, error, LocalInstant::from_nanos(now_ns));
            Ok(())
        })
    }
}

/// The oldest event that has not been read. A server keeps its latest 16.
///
/// event: its struct_size set by the caller; written if found. found: set to 1, or to 0 if there is
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_next_event(
    session: *mut httptime_session,
    event: *mut httptime_event,
    found: *mut i32,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (session, output) =
            unsafe { (exclusive(session, "session")?, Output::new(event, "event")?) };
        let found = target(found, "found")?;
        let next = session.running()?.next_event();
        // SAFETY: the header requires that a number can be written there.
        unsafe { found.write(i32::from(next.is_some())) };
        if let Some((server, event)) = next {
            output.write(&httptime_event::new(server, event));
        }
        Ok(())
    })
}

/// The requests to one server and the evidence from it so far.
///
/// server: from 0, in the order of the URLs. progress: its struct_size set by the caller; written
/// only on HTTPTIME_OK. Fails with HTTPTIME_ERROR_NOTHING_MEASURED before the first response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_progress(
    session: *const httptime_session,
    server: u32,
    progress: *mut httptime_progress,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (session, output) =
            unsafe { (reference(session, "session")?, Output::new(progress, "progress")?) };
        let one = &session.shared()?.sessions()[numbered(server, session.hops.len())?];
        let progress = httptime_progress::new(server, one.progress(), one.estimate());
        let nothing = Failure { status: HTTPTIME_ERROR_NOTHING_MEASURED, message: None };
        output.write(&progress.ok_or(nothing)?);
        Ok(())
    })
}

/// Ends every server that is not done. The results are computed from the evidence so far. Then poll
/// until DONE, or call httptime_session_finish.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_stop(session: *mut httptime_session) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        unsafe { exclusive(session, "session") }?.running()?.stop();
        Ok(())
    })
}

/// Ends every server that is not done with HTTPTIME_ERROR_CANCELLED, which is then also the status
/// of the survey. Then poll until DONE, or call httptime_session_finish.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_cancel(
    session: *mut httptime_session,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        unsafe { exclusive(session, "session") }?.running()?.cancel();
        Ok(())
    })
}

/// Computes the result of each server and the combined result. Servers that are not done are
/// stopped. Afterwards the session can only be freed; the program must close sockets that are still
/// open.
///
/// end: both clocks now, or NULL: then the library reads them. survey: set to a new handle, which
/// you must free with httptime_survey_free. HTTPTIME_OK only means that there is one: the status of
/// httptime_survey_combined is that of the measurement. It is HTTPTIME_ERROR_CLOCK_MISMATCH if end
/// is older than the last request or response, or begin younger than the first, and
/// HTTPTIME_ERROR_CLOCK_STEPPED if the wall clock was set in between.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_finish(
    session: *mut httptime_session,
    end: *const httptime_cross_timestamp,
    survey: *mut *mut httptime_survey,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (session, end) =
            unsafe { (exclusive(session, "session")?, cross_timestamp_or_now(end, "end")?) };
        let place = target(survey, "survey")?;
        let sessions = session.sessions.take().ok_or_else(finished)?;
        hand_over(httptime_survey::from(&sessions.finish(end)), place);
        Ok(())
    })
}

/// Frees a session, finished or not.
///
/// session: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_session_free(session: *mut httptime_session) {
    // SAFETY: the header requires NULL, or a handle of httptime_session_new that is not used any
    // more.
    unsafe { free_handle(session) }
}

/// Reports an event of a connection.
///
/// # Safety
/// `session` must be NULL, or a handle that is not used by anyone else.
unsafe fn report(
    session: *mut httptime_session,
    conn: u32,
    what: impl FnOnce(&mut Sessions, ConnectionId) -> Result<(), Failure>,
) -> httptime_status {
    guard(|| {
        // SAFETY: as the caller guarantees.
        let sessions = unsafe { exclusive(session, "session") }?.running()?;
        let conn = connection(conn, sessions)?;
        what(sessions, conn)
    })
}

/// Reads once. The outcome is that of httptime_session_receive.
fn receive(
    sessions: &mut Sessions,
    conn: ConnectionId,
    timestamps: &mut httptime_timestamps,
) -> i32 {
    let mut space = [0; 4096];
    match timestamps.read(&mut space) {
        Ok(None) => return RECEIVED_NONE,
        Ok(Some(0)) => sessions.closed(conn, httptime::net::now()),
        Ok(Some(count)) => {
            sessions.received(conn, &space[..count], timestamps.arrival());
            return RECEIVED_SOME;
        }
        Err(error) => sessions.failed(conn, error, httptime::net::now()),
    }
    CONNECTION_GONE
}

/// Received data is reported first; then the session decides again.
fn transmit(
    sessions: &mut Sessions,
    conn: ConnectionId,
    timestamps: &mut httptime_timestamps,
) -> i32 {
    let outcome = receive(sessions, conn, timestamps);
    if outcome != RECEIVED_NONE {
        return outcome;
    }
    let at = httptime::net::now();
    match timestamps.write(sessions.output(conn)) {
        Ok(count) => sessions.sent(conn, count, at),
        Err(error) => {
            sessions.failed(conn, error, httptime::net::now());
            return CONNECTION_GONE;
        }
    }
    RECEIVED_NONE
}

const RECEIVED_SOME: i32 = 1;
const RECEIVED_NONE: i32 = 0;
const CONNECTION_GONE: i32 = -1;

fn finished() -> Failure {
    Failure::argument("the session is finished; begin another")
}

fn connection(conn: u32, sessions: &Sessions) -> Result<ConnectionId, Failure> {
    let index = usize::try_from(conn).unwrap_or(usize::MAX);
    if index >= sessions.connections() {
        let reason = format!("conn is {conn}; allowed: below {}", sessions.connections());
        return Err(Failure::argument(reason));
    }
    Ok(ConnectionId::from_index(index))
}

fn numbered(server: u32, servers: usize) -> Result<usize, Failure> {
    let index = usize::try_from(server).unwrap_or(usize::MAX);
    if index >= servers {
        return Err(Failure::argument(format!("server is {server}; allowed: below {servers}")));
    }
    Ok(index)
}

/// A number that is below [`HTTPTIME_MAX_CONNECTIONS`].
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const _: () = assert!(
    HTTPTIME_MAX_SERVERS == MAX_SERVERS
        && HTTPTIME_MAX_CONNECTIONS == MAX_SERVERS * MAX_CONNECTIONS
);
