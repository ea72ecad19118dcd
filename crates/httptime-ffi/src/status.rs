use std::ffi::{CStr, c_char};

/// The status of a call: HTTPTIME_OK, or an HTTPTIME_ERROR_* number. The numbers are frozen: the
/// meaning of a number never changes, and a newer library may return one that this header does not
/// have.
pub type httptime_status = i32;

/// Success.
pub const HTTPTIME_OK: i32 = 0;
/// A pointer is NULL, a struct_size is impossible, a number is not one of the header's, a text is
/// not UTF-8, or a handle was used in the wrong order.
pub const HTTPTIME_ERROR_INVALID_ARGUMENT: i32 = 1;
/// The URL of a server or proxy is not valid.
pub const HTTPTIME_ERROR_INVALID_URL: i32 = 2;
/// A setting is out of range, or two settings contradict each other.
pub const HTTPTIME_ERROR_INVALID_CONFIG: i32 = 3;
/// A canceller stopped the call.
pub const HTTPTIME_ERROR_CANCELLED: i32 = 4;
/// A bug in the library. The process continues. Free the handles involved and do not use them
/// otherwise.
pub const HTTPTIME_ERROR_PANIC: i32 = 5;
/// The system has no free file descriptors or threads.
pub const HTTPTIME_ERROR_SYSTEM: i32 = 6;
/// The buffer is too small.
pub const HTTPTIME_ERROR_BUFFER_TOO_SMALL: i32 = 7;
/// An error for which this version of the library has no number.
pub const HTTPTIME_ERROR_OTHER: i32 = 9;
/// The name of the server or proxy has no address.
pub const HTTPTIME_ERROR_RESOLVE: i32 = 10;
/// No address accepted the connection.
pub const HTTPTIME_ERROR_CONNECT: i32 = 11;
/// The connection was refused.
pub const HTTPTIME_ERROR_CONNECTION_REFUSED: i32 = 12;
/// Resolving the name took too long.
pub const HTTPTIME_ERROR_TIMEOUT_RESOLVE: i32 = 13;
/// Connecting took too long.
pub const HTTPTIME_ERROR_TIMEOUT_CONNECT: i32 = 14;
/// Opening the proxy's tunnel took too long.
pub const HTTPTIME_ERROR_TIMEOUT_TUNNEL: i32 = 15;
/// Sending the request took too long.
pub const HTTPTIME_ERROR_TIMEOUT_SEND: i32 = 16;
/// The response took too long.
pub const HTTPTIME_ERROR_TIMEOUT_RESPONSE: i32 = 17;
/// The server closed the connection without a response.
pub const HTTPTIME_ERROR_EMPTY_REPLY: i32 = 18;
/// The server closed the connection within the head of a response.
pub const HTTPTIME_ERROR_CLOSED_EARLY: i32 = 19;
/// The connection broke, for example by a reset.
pub const HTTPTIME_ERROR_CONNECTION_BROKE: i32 = 20;
/// The proxy did not open the tunnel, or did not reach the server.
pub const HTTPTIME_ERROR_PROXY_REFUSED: i32 = 21;
/// The proxy requires credentials, or rejected the given ones.
pub const HTTPTIME_ERROR_PROXY_CREDENTIALS: i32 = 22;
/// The TLS handshake took too long.
pub const HTTPTIME_ERROR_TIMEOUT_HANDSHAKE: i32 = 23;
/// The URL of a server or proxy begins with https, and this library was built without HTTPS.
pub const HTTPTIME_ERROR_NO_HTTPS: i32 = 24;
/// The proxy requires a scheme of authentication other than Basic.
pub const HTTPTIME_ERROR_PROXY_SCHEME: i32 = 25;
/// The response does not have the only status that is accepted.
pub const HTTPTIME_ERROR_UNEXPECTED_STATUS: i32 = 26;
/// The SOCKS5 proxy did not open the connection.
pub const HTTPTIME_ERROR_SOCKS: i32 = 27;
/// HEAD is refused (status 405 or 501), and GET gave no result.
pub const HTTPTIME_ERROR_METHOD_REFUSED: i32 = 28;
/// The received data is not HTTP/1.
pub const HTTPTIME_ERROR_NOT_HTTP: i32 = 30;
/// The response head violates the grammar of HTTP/1.
pub const HTTPTIME_ERROR_MALFORMED_HEAD: i32 = 31;
/// The response head is too large or has too many fields.
pub const HTTPTIME_ERROR_HEAD_TOO_LARGE: i32 = 32;
/// There were too many interim (1xx) responses.
pub const HTTPTIME_ERROR_ENDLESS_INTERIM: i32 = 33;
/// The response has no Date.
pub const HTTPTIME_ERROR_NO_DATE: i32 = 34;
/// The response has two different Date fields.
pub const HTTPTIME_ERROR_CONFLICTING_DATES: i32 = 35;
/// The Date has none of the three formats of RFC 9110.
pub const HTTPTIME_ERROR_MALFORMED_DATE: i32 = 36;
/// The Date is outside 1678-2262.
pub const HTTPTIME_ERROR_DATE_OUT_OF_RANGE: i32 = 37;
/// The Date is before the floor: the server's clock is wrong.
pub const HTTPTIME_ERROR_DATE_BEFORE_FLOOR: i32 = 38;
/// The response comes from a cache, so its Date is old.
pub const HTTPTIME_ERROR_CACHED: i32 = 39;
/// The Date does not advance while the local clock does.
pub const HTTPTIME_ERROR_DATE_FROZEN: i32 = 40;
/// The Date of a later response is before that of an earlier one.
pub const HTTPTIME_ERROR_DATE_WENT_BACK: i32 = 41;
/// The responses contradict each other under the assumptions about lag and drift.
pub const HTTPTIME_ERROR_INCONSISTENT: i32 = 42;
/// The server's stamps cannot be used, and there are no Dates to use instead.
pub const HTTPTIME_ERROR_STAMP_REJECTED: i32 = 43;
/// The local wall clock was set during the measurement.
pub const HTTPTIME_ERROR_CLOCK_STEPPED: i32 = 50;
/// No majority of the servers agrees.
pub const HTTPTIME_ERROR_NO_MAJORITY: i32 = 51;
/// Two majorities agree on different times.
pub const HTTPTIME_ERROR_AMBIGUOUS_MAJORITY: i32 = 52;
/// None of several servers could be measured.
pub const HTTPTIME_ERROR_ALL_FAILED: i32 = 53;
/// The program reported an exchange that was received before it was sent.
pub const HTTPTIME_ERROR_RECEIVED_BEFORE_SENT: i32 = 54;
/// There is no evidence (yet).
pub const HTTPTIME_ERROR_NOTHING_MEASURED: i32 = 55;
/// Kernel timestamps were required, and the kernel did not provide both timestamps of a response.
pub const HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS: i32 = 56;
/// Cross-timestamps and instants are not readings of the same clock.
pub const HTTPTIME_ERROR_CLOCK_MISMATCH: i32 = 57;
/// The process has no permission to change the clock: it needs root or CAP_SYS_TIME.
pub const HTTPTIME_ERROR_NO_PRIVILEGE: i32 = 70;
/// The clock is read-only here, for example in a container or a sandbox.
pub const HTTPTIME_ERROR_READ_ONLY: i32 = 71;
/// The amount is out of the clock's range.
pub const HTTPTIME_ERROR_OUT_OF_RANGE: i32 = 72;
/// This kernel does not have the operation.
pub const HTTPTIME_ERROR_UNSUPPORTED: i32 = 73;
/// The system call failed with another error number.
pub const HTTPTIME_ERROR_CLOCK_FAILED: i32 = 74;

/// No trusted CA has issued the certificate of the server or proxy.
pub const HTTPTIME_ERROR_TLS_NOT_TRUSTED: i32 = 80;
/// The certificate is for other names.
pub const HTTPTIME_ERROR_TLS_WRONG_NAME: i32 = 81;
/// The certificate has no subject alternative name.
pub const HTTPTIME_ERROR_TLS_NO_NAME: i32 = 82;
/// A CA certificate is used as that of a server.
pub const HTTPTIME_ERROR_TLS_CA_CERTIFICATE: i32 = 83;
/// The certificate expired before the earliest time that is accepted.
pub const HTTPTIME_ERROR_TLS_EXPIRED: i32 = 84;
/// There is no time at which all certificates of the chain are valid.
pub const HTTPTIME_ERROR_TLS_NEVER_VALID: i32 = 85;
/// The measured time of the server is outside the validity of the certificate.
pub const HTTPTIME_ERROR_TLS_DATE_OUTSIDE: i32 = 86;
/// The local clock, which is known to be right, is outside the validity of the certificate.
pub const HTTPTIME_ERROR_TLS_LOCAL_TIME_OUTSIDE: i32 = 87;
/// The public key is none of the pinned ones.
pub const HTTPTIME_ERROR_TLS_WRONG_PIN: i32 = 88;
/// The certificate cannot be used for another reason.
pub const HTTPTIME_ERROR_TLS_BAD_CERTIFICATE: i32 = 89;
/// No version of TLS, or no algorithm, is common to both ends.
pub const HTTPTIME_ERROR_TLS_NO_COMMON_PROTOCOL: i32 = 90;
/// The server or proxy requires a client certificate.
pub const HTTPTIME_ERROR_TLS_CLIENT_CERTIFICATE_REQUIRED: i32 = 91;
/// The server or proxy refuses the client certificate.
pub const HTTPTIME_ERROR_TLS_CLIENT_CERTIFICATE_REFUSED: i32 = 92;
/// The server or proxy ended the TLS connection with another alert.
pub const HTTPTIME_ERROR_TLS_ALERT: i32 = 93;
/// The server or proxy answers in plain HTTP.
pub const HTTPTIME_ERROR_TLS_PLAIN_HTTP: i32 = 94;
/// The server or proxy sends something other than TLS.
pub const HTTPTIME_ERROR_TLS_NOT_TLS: i32 = 95;
/// The server or proxy violates TLS.
pub const HTTPTIME_ERROR_TLS_VIOLATION: i32 = 96;
/// The connection was closed within a TLS record.
pub const HTTPTIME_ERROR_TLS_CUT_OFF: i32 = 97;
/// The connection was closed in the TLS handshake.
pub const HTTPTIME_ERROR_TLS_CLOSED: i32 = 98;

/// The meaning of a status, in English ("the response has no Date"). Static: do not free it. For a
/// number that is not a status, a text that reports this; never NULL.
///
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_strerror(status: httptime_status) -> *const c_char {
    entry(status).map_or(c"unknown status", |entry| entry.text).as_ptr()
}

/// The name of a status for programs ("no_date"; "ok" for HTTPTIME_OK), the same as in the JSON of
/// the program httptime. Static: do not free it. "unknown" for a number that is not a status; never
/// NULL.
///
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_status_name(status: httptime_status) -> *const c_char {
    entry(status).map_or(c"unknown", |entry| entry.kind).as_ptr()
}

/// The status of a library error, which has the same name.
pub(crate) fn status_of_kind(kind: &str) -> httptime_status {
    let found = ENTRIES.iter().find(|entry| entry.kind.to_bytes() == kind.as_bytes());
    found.map_or(HTTPTIME_ERROR_OTHER, |entry| entry.status)
}

/// Whether the number is that of an error.
pub(crate) fn is_error(status: httptime_status) -> bool {
    status != HTTPTIME_OK && entry(status).is_some()
}

pub(crate) fn text(status: httptime_status) -> &'static str {
    entry(status).and_then(|entry| entry.text.to_str().ok()).unwrap_or("unknown status")
}

#[derive(Debug)]
struct Entry {
    status: httptime_status,
    kind: &'static CStr,
    text: &'static CStr,
}

fn entry(status: httptime_status) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.status == status)
}

const fn of(status: httptime_status, kind: &'static CStr, text: &'static CStr) -> Entry {
    Entry { status, kind, text }
}

const ENTRIES: &[Entry] = &[
    of(HTTPTIME_OK, c"ok", c"ok"),
    of(
        HTTPTIME_ERROR_INVALID_ARGUMENT,
        c"invalid_argument",
        c"a pointer, struct_size, number or text cannot be used, or a handle is used out of order",
    ),
    of(HTTPTIME_ERROR_INVALID_URL, c"invalid_url", c"the URL of a server or proxy cannot be used"),
    of(HTTPTIME_ERROR_INVALID_CONFIG, c"invalid_config", c"a setting is out of its range"),
    of(HTTPTIME_ERROR_CANCELLED, c"cancelled", c"the measurement was cancelled"),
    of(HTTPTIME_ERROR_PANIC, c"panic", c"a bug in the library; please report it"),
    of(HTTPTIME_ERROR_SYSTEM, c"system", c"the system gave no file descriptors or threads"),
    of(HTTPTIME_ERROR_BUFFER_TOO_SMALL, c"buffer_too_small", c"the buffer is too small"),
    of(
        HTTPTIME_ERROR_OTHER,
        c"other",
        c"an error that this version of the library has no number for",
    ),
    of(HTTPTIME_ERROR_RESOLVE, c"resolve", c"the name of the server or proxy has no address"),
    of(HTTPTIME_ERROR_CONNECT, c"connect", c"no address accepted the connection"),
    of(HTTPTIME_ERROR_CONNECTION_REFUSED, c"connection_refused", c"the connection was refused"),
    of(HTTPTIME_ERROR_TIMEOUT_RESOLVE, c"timeout_resolve", c"timed out while looking up the name"),
    of(HTTPTIME_ERROR_TIMEOUT_CONNECT, c"timeout_connect", c"timed out while connecting"),
    of(
        HTTPTIME_ERROR_TIMEOUT_TUNNEL,
        c"timeout_tunnel",
        c"timed out while opening a tunnel through the proxy",
    ),
    of(HTTPTIME_ERROR_TIMEOUT_SEND, c"timeout_send", c"timed out while sending the request"),
    of(
        HTTPTIME_ERROR_TIMEOUT_RESPONSE,
        c"timeout_response",
        c"timed out while waiting for the response",
    ),
    of(
        HTTPTIME_ERROR_EMPTY_REPLY,
        c"empty_reply",
        c"the server closed the connection without a response",
    ),
    of(
        HTTPTIME_ERROR_CLOSED_EARLY,
        c"closed_early",
        c"the server closed the connection within a response head",
    ),
    of(HTTPTIME_ERROR_CONNECTION_BROKE, c"connection_broke", c"the connection broke"),
    of(
        HTTPTIME_ERROR_PROXY_REFUSED,
        c"proxy_refused",
        c"the proxy refused the request or cannot reach the server",
    ),
    of(
        HTTPTIME_ERROR_PROXY_CREDENTIALS,
        c"proxy_credentials",
        c"the proxy wants a valid user name and password",
    ),
    of(HTTPTIME_ERROR_TIMEOUT_HANDSHAKE, c"timeout_handshake", c"timed out in the TLS handshake"),
    of(HTTPTIME_ERROR_NO_HTTPS, c"no_https", c"built without HTTPS"),
    of(
        HTTPTIME_ERROR_PROXY_SCHEME,
        c"proxy_scheme",
        c"the proxy wants a scheme of authentication other than Basic",
    ),
    of(
        HTTPTIME_ERROR_UNEXPECTED_STATUS,
        c"unexpected_status",
        c"the response does not have the expected status",
    ),
    of(HTTPTIME_ERROR_SOCKS, c"socks", c"the SOCKS5 proxy did not open the connection"),
    of(HTTPTIME_ERROR_METHOD_REFUSED, c"method_refused", c"HEAD is refused"),
    of(HTTPTIME_ERROR_NOT_HTTP, c"not_http", c"the answer is not HTTP/1"),
    of(HTTPTIME_ERROR_MALFORMED_HEAD, c"malformed_head", c"the response head is malformed"),
    of(HTTPTIME_ERROR_HEAD_TOO_LARGE, c"head_too_large", c"the response head is too large"),
    of(
        HTTPTIME_ERROR_ENDLESS_INTERIM,
        c"endless_interim",
        c"too many interim (1xx) responses and no final one",
    ),
    of(HTTPTIME_ERROR_NO_DATE, c"no_date", c"the response has no Date header"),
    of(
        HTTPTIME_ERROR_CONFLICTING_DATES,
        c"conflicting_dates",
        c"the response has two Date headers that differ",
    ),
    of(HTTPTIME_ERROR_MALFORMED_DATE, c"malformed_date", c"the Date header is not an HTTP date"),
    of(
        HTTPTIME_ERROR_DATE_OUT_OF_RANGE,
        c"date_out_of_range",
        c"the Date header is outside the years 1678 to 2262",
    ),
    of(
        HTTPTIME_ERROR_DATE_BEFORE_FLOOR,
        c"date_before_floor",
        c"the server's Date is before the earliest accepted date",
    ),
    of(HTTPTIME_ERROR_CACHED, c"cached", c"the response comes from a cache"),
    of(HTTPTIME_ERROR_DATE_FROZEN, c"date_frozen", c"the server's Date does not advance"),
    of(HTTPTIME_ERROR_DATE_WENT_BACK, c"date_went_back", c"the server's Date went back"),
    of(HTTPTIME_ERROR_INCONSISTENT, c"inconsistent", c"the server's Dates contradict each other"),
    of(HTTPTIME_ERROR_STAMP_REJECTED, c"stamp_rejected", c"the server's stamp cannot be used"),
    of(
        HTTPTIME_ERROR_CLOCK_STEPPED,
        c"clock_stepped",
        c"the local clock was stepped during the measurement",
    ),
    of(HTTPTIME_ERROR_NO_MAJORITY, c"no_majority", c"no majority of the servers agrees"),
    of(
        HTTPTIME_ERROR_AMBIGUOUS_MAJORITY,
        c"ambiguous_majority",
        c"two majorities of the servers disagree",
    ),
    of(HTTPTIME_ERROR_ALL_FAILED, c"all_failed", c"none of the servers could be measured"),
    of(
        HTTPTIME_ERROR_RECEIVED_BEFORE_SENT,
        c"received_before_sent",
        c"the response was received before the request was sent",
    ),
    of(HTTPTIME_ERROR_NOTHING_MEASURED, c"nothing_measured", c"nothing was measured"),
    of(
        HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS,
        c"no_kernel_timestamps",
        c"the kernel gave no timestamps for the request and its response",
    ),
    of(HTTPTIME_ERROR_CLOCK_MISMATCH, c"clock_mismatch", c"the times come from different clocks"),
    of(HTTPTIME_ERROR_NO_PRIVILEGE, c"no_privilege", c"not permitted to change the clock"),
    of(HTTPTIME_ERROR_READ_ONLY, c"read_only", c"a sandbox or container makes the clock read-only"),
    of(
        HTTPTIME_ERROR_OUT_OF_RANGE,
        c"out_of_range",
        c"the result is outside what the system clock can show",
    ),
    of(HTTPTIME_ERROR_UNSUPPORTED, c"unsupported", c"this kernel does not support it"),
    of(HTTPTIME_ERROR_CLOCK_FAILED, c"clock_failed", c"a system call for the clock failed"),
    of(
        HTTPTIME_ERROR_TLS_NOT_TRUSTED,
        c"tls_not_trusted",
        c"no trusted CA has issued the certificate",
    ),
    of(HTTPTIME_ERROR_TLS_WRONG_NAME, c"tls_wrong_name", c"the certificate is for other names"),
    of(HTTPTIME_ERROR_TLS_NO_NAME, c"tls_no_name", c"the certificate names no host"),
    of(
        HTTPTIME_ERROR_TLS_CA_CERTIFICATE,
        c"tls_ca_certificate",
        c"a CA certificate is used as that of a server",
    ),
    of(
        HTTPTIME_ERROR_TLS_EXPIRED,
        c"tls_expired",
        c"the certificate expired before the earliest accepted time",
    ),
    of(
        HTTPTIME_ERROR_TLS_NEVER_VALID,
        c"tls_never_valid",
        c"the certificates are at no time all valid",
    ),
    of(
        HTTPTIME_ERROR_TLS_DATE_OUTSIDE,
        c"tls_date_outside",
        c"the server's time is outside the validity of the certificate",
    ),
    of(
        HTTPTIME_ERROR_TLS_LOCAL_TIME_OUTSIDE,
        c"tls_local_time_outside",
        c"the certificate is not valid by the local clock",
    ),
    of(HTTPTIME_ERROR_TLS_WRONG_PIN, c"tls_wrong_pin", c"the public key is not a pinned one"),
    of(
        HTTPTIME_ERROR_TLS_BAD_CERTIFICATE,
        c"tls_bad_certificate",
        c"the certificate cannot be used",
    ),
    of(
        HTTPTIME_ERROR_TLS_NO_COMMON_PROTOCOL,
        c"tls_no_common_protocol",
        c"no TLS version or algorithm is common to both ends",
    ),
    of(
        HTTPTIME_ERROR_TLS_CLIENT_CERTIFICATE_REQUIRED,
        c"tls_client_certificate_required",
        c"a client certificate is required",
    ),
    of(
        HTTPTIME_ERROR_TLS_CLIENT_CERTIFICATE_REFUSED,
        c"tls_client_certificate_refused",
        c"the client certificate is refused",
    ),
    of(HTTPTIME_ERROR_TLS_ALERT, c"tls_alert", c"the other end ended the TLS connection"),
    of(HTTPTIME_ERROR_TLS_PLAIN_HTTP, c"tls_plain_http", c"the port speaks plain HTTP, not HTTPS"),
    of(HTTPTIME_ERROR_TLS_NOT_TLS, c"tls_not_tls", c"the port does not speak TLS"),
    of(HTTPTIME_ERROR_TLS_VIOLATION, c"tls_violation", c"the other end violates TLS"),
    of(
        HTTPTIME_ERROR_TLS_CUT_OFF,
        c"tls_cut_off",
        c"the connection was closed within a TLS record",
    ),
    of(HTTPTIME_ERROR_TLS_CLOSED, c"tls_closed", c"the connection was closed in the TLS handshake"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_number_name_and_text_occurs_once() {
        let numbers: BTreeSet<_> = ENTRIES.iter().map(|entry| entry.status).collect();
        let kinds: BTreeSet<_> = ENTRIES.iter().map(|entry| entry.kind).collect();
        let texts: BTreeSet<_> = ENTRIES.iter().map(|entry| entry.text).collect();
        assert_eq!([numbers.len(), kinds.len(), texts.len()], [ENTRIES.len(); 3]);
    }

    #[test]
    fn the_numbers_are_frozen() {
        // Released numbers, to which more may be added, but which must not change.
        let released = "0 ok 1 invalid_argument 2 invalid_url 3 invalid_config 4 cancelled 5 panic 6 system \
            7 buffer_too_small 9 other 10 resolve 11 connect 12 connection_refused 13 timeout_resolve \
            14 timeout_connect 15 timeout_tunnel 16 timeout_send 17 timeout_response 18 empty_reply \
            19 closed_early 20 connection_broke 21 proxy_refused 22 proxy_credentials 23 timeout_handshake \
            24 no_https 25 proxy_scheme 26 unexpected_status 27 socks 28 method_refused 30 not_http \
            31 malformed_head 32 head_too_large 33 endless_interim 34 no_date 35 conflicting_dates \
            36 malformed_date 37 date_out_of_range 38 date_before_floor 39 cached 40 date_frozen \
            41 date_went_back 42 inconsistent 43 stamp_rejected 50 clock_stepped 51 no_majority 52 ambiguous_majority \
            53 all_failed 54 received_before_sent 55 nothing_measured 56 no_kernel_timestamps 57 clock_mismatch 70 no_privilege \
            71 read_only 72 out_of_range 73 unsupported 74 clock_failed \
            80 tls_not_trusted 81 tls_wrong_name 82 tls_no_name 83 tls_ca_certificate \
            84 tls_expired 85 tls_never_valid 86 tls_date_outside \
            87 tls_local_time_outside 88 tls_wrong_pin 89 tls_bad_certificate \
            90 tls_no_common_protocol 91 tls_client_certificate_required \
            92 tls_client_certificate_refused 93 tls_alert 94 tls_plain_http \
            95 tls_not_tls 96 tls_violation 97 tls_cut_off 98 tls_closed";
        let now: Vec<String> = ENTRIES
            .iter()
            .map(|entry| format!("{} {}", entry.status, entry.kind.to_str().expect("ASCII")))
            .collect();
        assert_eq!(now.join(" "), released);
    }

    #[test]
    fn no_error_of_the_library_or_the_clock_is_without_a_status() {
        // The names in the sources: one that is missing here would become "other".
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
        if !crates.join("httptime").exists() {
            // A package without the sources beside it.
            return;
        }
        let files = ["httptime/src/error.rs", "httptime/src/tls.rs", "httptime-clock/src/error.rs"];
        let sources = files.map(|file| fs::read_to_string(crates.join(file)).expect("its source"));
        let mut seen = 0;
        let functions =
            sources.iter().filter_map(|source| source.split_once("fn kind(&self)")).map(|(_, f)| f);
        for line in functions.flat_map(before_tests) {
            let Some((pattern, value)) = line.split_once("=>") else { continue };
            let Some(kind) = value.trim().strip_prefix('"').and_then(|v| v.strip_suffix("\","))
            else {
                continue;
            };
            if pattern.contains("Self::") {
                assert_ne!(status_of_kind(kind), HTTPTIME_ERROR_OTHER, "{kind}");
                seen += 1;
            }
        }
        assert!(seen >= 60, "{seen}");
    }

    fn before_tests(source: &str) -> impl Iterator<Item = &str> {
        source.lines().take_while(|line| !line.contains("mod tests"))
    }
}
