/*
 * httptime.h: measures the offset of this machine's clock from a server's with the Date header of
 * plain HTTP.
 *
 * Made by cbindgen from crates/httptime-ffi. docs/c-api.md is the guide, examples/c/ has complete
 * programs. The shortest:
 *
 *     const char *urls[] = { "http://192.0.2.1/" };
 *     httptime_measurement m;
 *     m.struct_size = sizeof m;
 *     httptime_status status = httptime_query(urls, 1, NULL, &m);
 *     if (status != HTTPTIME_OK)
 *         fprintf(stderr, "%s\n", httptime_strerror(status));
 *     else
 *         printf("%+.6f s\n", (double)m.offset_ns / 1e9);
 *
 * OFFSETS are always server clock - local clock. Positive: the local clock is slow (behind).
 * UNITS: every time is an int64_t in nanoseconds, and its name ends in _ns. Wall time counts from
 *   1970-01-01T00:00:00Z without leap seconds; instants count on a monotonic clock.
 * ERRORS: functions that can fail return an httptime_status, 0 for success. httptime_error_message
 *   has the observed values. Results are written only on success. Numbers in the text below are
 *   those of HTTPTIME_ERROR_*.
 * POINTERS must point to what the function documents, during the call; they are not stored. NULL is
 *   HTTPTIME_ERROR_INVALID_ARGUMENT unless the function gives it a meaning. Texts are UTF-8 and end
 *   with a NUL.
 * OWNERSHIP: the caller owns the result of a function whose name ends in _new or _run, and must free
 *   it once with the _free of the same name. The ownership of everything else does not change.
 * STRUCTURES begin with struct_size: set it to the sizeof of the structure. Then programs and
 *   libraries of different versions are compatible. In input, a field that the caller's header does
 *   not have has its default, and a field that the library does not know must be zero. Output is
 *   written as far as the caller's structure reaches, and fields that the library does not know
 *   become zero. Reserved fields are zero.
 * THREADS: functions may be called on any threads at once. A handle is used by one thread at a time
 *   unless its type allows more.
 * The library never prints, exits, installs a signal handler or raises SIGPIPE. It changes a clock
 *   only in functions whose names begin with httptime_clock_.
 *
 * A library built without its feature "clock" lacks the functions whose names begin with
 * httptime_clock_ and httptime_policy_.
 */

#ifndef HTTPTIME_H
#define HTTPTIME_H

#include <stddef.h>
#include <stdint.h>

// The version of this header, as text.
#define HTTPTIME_VERSION "0.1.0"

// The system's, from <sys/socket.h> and <netdb.h>.
struct sockaddr;
struct addrinfo;

// The version of this header as a number for comparison: major * 65536 + minor * 256 + patch.
#define HTTPTIME_VERSION_NUMBER 256

// Success.
#define HTTPTIME_OK 0

// A pointer is NULL, a struct_size is impossible, a number is not one of the header's, a text is
// not UTF-8, or a handle was used in the wrong order.
#define HTTPTIME_ERROR_INVALID_ARGUMENT 1

// The URL of a server or proxy is not valid.
#define HTTPTIME_ERROR_INVALID_URL 2

// A setting is out of range, or two settings contradict each other.
#define HTTPTIME_ERROR_INVALID_CONFIG 3

// A canceller stopped the call.
#define HTTPTIME_ERROR_CANCELLED 4

// A bug in the library. The process continues. Free the handles involved and do not use them
// otherwise.
#define HTTPTIME_ERROR_PANIC 5

// The system has no free file descriptors or threads.
#define HTTPTIME_ERROR_SYSTEM 6

// The buffer is too small.
#define HTTPTIME_ERROR_BUFFER_TOO_SMALL 7

// An error for which this version of the library has no number.
#define HTTPTIME_ERROR_OTHER 9

// The name of the server or proxy has no address.
#define HTTPTIME_ERROR_RESOLVE 10

// No address accepted the connection.
#define HTTPTIME_ERROR_CONNECT 11

// The connection was refused.
#define HTTPTIME_ERROR_CONNECTION_REFUSED 12

// Resolving the name took too long.
#define HTTPTIME_ERROR_TIMEOUT_RESOLVE 13

// Connecting took too long.
#define HTTPTIME_ERROR_TIMEOUT_CONNECT 14

// Opening the proxy's tunnel took too long.
#define HTTPTIME_ERROR_TIMEOUT_TUNNEL 15

// Sending the request took too long.
#define HTTPTIME_ERROR_TIMEOUT_SEND 16

// The response took too long.
#define HTTPTIME_ERROR_TIMEOUT_RESPONSE 17

// The server closed the connection without a response.
#define HTTPTIME_ERROR_EMPTY_REPLY 18

// The server closed the connection within the head of a response.
#define HTTPTIME_ERROR_CLOSED_EARLY 19

// The connection broke, for example by a reset.
#define HTTPTIME_ERROR_CONNECTION_BROKE 20

// The proxy did not open the tunnel, or did not reach the server.
#define HTTPTIME_ERROR_PROXY_REFUSED 21

// The proxy requires credentials, or rejected the given ones.
#define HTTPTIME_ERROR_PROXY_CREDENTIALS 22

// The TLS handshake took too long.
#define HTTPTIME_ERROR_TIMEOUT_HANDSHAKE 23

// The URL of a server or proxy begins with https, and this library was built without HTTPS.
#define HTTPTIME_ERROR_NO_HTTPS 24

// The proxy requires a scheme of authentication other than Basic.
#define HTTPTIME_ERROR_PROXY_SCHEME 25

// The response does not have the only status that is accepted.
#define HTTPTIME_ERROR_UNEXPECTED_STATUS 26

// The SOCKS5 proxy did not open the connection.
#define HTTPTIME_ERROR_SOCKS 27

// HEAD is refused (status 405 or 501), and GET gave no result.
#define HTTPTIME_ERROR_METHOD_REFUSED 28

// The received data is not HTTP/1.
#define HTTPTIME_ERROR_NOT_HTTP 30

// The response head violates the grammar of HTTP/1.
#define HTTPTIME_ERROR_MALFORMED_HEAD 31

// The response head is too large or has too many fields.
#define HTTPTIME_ERROR_HEAD_TOO_LARGE 32

// There were too many interim (1xx) responses.
#define HTTPTIME_ERROR_ENDLESS_INTERIM 33

// The response has no Date.
#define HTTPTIME_ERROR_NO_DATE 34

// The response has two different Date fields.
#define HTTPTIME_ERROR_CONFLICTING_DATES 35

// The Date has none of the three formats of RFC 9110.
#define HTTPTIME_ERROR_MALFORMED_DATE 36

// The Date is outside 1678-2262.
#define HTTPTIME_ERROR_DATE_OUT_OF_RANGE 37

// The Date is before the floor: the server's clock is wrong.
#define HTTPTIME_ERROR_DATE_BEFORE_FLOOR 38

// The response comes from a cache, so its Date is old.
#define HTTPTIME_ERROR_CACHED 39

// The Date does not advance while the local clock does.
#define HTTPTIME_ERROR_DATE_FROZEN 40

// The Date of a later response is before that of an earlier one.
#define HTTPTIME_ERROR_DATE_WENT_BACK 41

// The responses contradict each other under the assumptions about lag and drift.
#define HTTPTIME_ERROR_INCONSISTENT 42

// The server's stamps cannot be used, and there are no Dates to use instead.
#define HTTPTIME_ERROR_STAMP_REJECTED 43

// The local wall clock was set during the measurement.
#define HTTPTIME_ERROR_CLOCK_STEPPED 50

// No majority of the servers agrees.
#define HTTPTIME_ERROR_NO_MAJORITY 51

// Two majorities agree on different times.
#define HTTPTIME_ERROR_AMBIGUOUS_MAJORITY 52

// None of several servers could be measured.
#define HTTPTIME_ERROR_ALL_FAILED 53

// The program reported an exchange that was received before it was sent.
#define HTTPTIME_ERROR_RECEIVED_BEFORE_SENT 54

// There is no evidence (yet).
#define HTTPTIME_ERROR_NOTHING_MEASURED 55

// Kernel timestamps were required, and the kernel did not provide both timestamps of a response.
#define HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS 56

// Cross-timestamps and instants are not readings of the same clock.
#define HTTPTIME_ERROR_CLOCK_MISMATCH 57

// The process has no permission to change the clock: it needs root or CAP_SYS_TIME.
#define HTTPTIME_ERROR_NO_PRIVILEGE 70

// The clock is read-only here, for example in a container or a sandbox.
#define HTTPTIME_ERROR_READ_ONLY 71

// The amount is out of the clock's range.
#define HTTPTIME_ERROR_OUT_OF_RANGE 72

// This kernel does not have the operation.
#define HTTPTIME_ERROR_UNSUPPORTED 73

// The system call failed with another error number.
#define HTTPTIME_ERROR_CLOCK_FAILED 74

// No trusted CA has issued the certificate of the server or proxy.
#define HTTPTIME_ERROR_TLS_NOT_TRUSTED 80

// The certificate is for other names.
#define HTTPTIME_ERROR_TLS_WRONG_NAME 81

// The certificate has no subject alternative name.
#define HTTPTIME_ERROR_TLS_NO_NAME 82

// A CA certificate is used as that of a server.
#define HTTPTIME_ERROR_TLS_CA_CERTIFICATE 83

// The certificate expired before the earliest time that is accepted.
#define HTTPTIME_ERROR_TLS_EXPIRED 84

// There is no time at which all certificates of the chain are valid.
#define HTTPTIME_ERROR_TLS_NEVER_VALID 85

// The measured time of the server is outside the validity of the certificate.
#define HTTPTIME_ERROR_TLS_DATE_OUTSIDE 86

// The local clock, which is known to be right, is outside the validity of the certificate.
#define HTTPTIME_ERROR_TLS_LOCAL_TIME_OUTSIDE 87

// The public key is none of the pinned ones.
#define HTTPTIME_ERROR_TLS_WRONG_PIN 88

// The certificate cannot be used for another reason.
#define HTTPTIME_ERROR_TLS_BAD_CERTIFICATE 89

// No version of TLS, or no algorithm, is common to both ends.
#define HTTPTIME_ERROR_TLS_NO_COMMON_PROTOCOL 90

// The server or proxy requires a client certificate.
#define HTTPTIME_ERROR_TLS_CLIENT_CERTIFICATE_REQUIRED 91

// The server or proxy refuses the client certificate.
#define HTTPTIME_ERROR_TLS_CLIENT_CERTIFICATE_REFUSED 92

// The server or proxy ended the TLS connection with another alert.
#define HTTPTIME_ERROR_TLS_ALERT 93

// The server or proxy answers in plain HTTP.
#define HTTPTIME_ERROR_TLS_PLAIN_HTTP 94

// The server or proxy sends something other than TLS.
#define HTTPTIME_ERROR_TLS_NOT_TLS 95

// The server or proxy violates TLS.
#define HTTPTIME_ERROR_TLS_VIOLATION 96

// The connection was closed within a TLS record.
#define HTTPTIME_ERROR_TLS_CUT_OFF 97

// The connection was closed in the TLS handshake.
#define HTTPTIME_ERROR_TLS_CLOSED 98

// At most 48 requests and about ten seconds, on one connection; up to 12 are checks, on another
// one.
#define HTTPTIME_PROFILE_BALANCED 0

// At most one request a second and 24 in total, 8 of them checks.
#define HTTPTIME_PROFILE_POLITE 1

// At most 64 requests and six seconds, up to four requests and a check in flight at once; up to 12
// are checks.
#define HTTPTIME_PROFILE_FAST 2

// The likelihood of each offset, given how round trips split. The most precise.
#define HTTPTIME_ESTIMATOR_POSTERIOR 0

// The middle of the intersection of all exchanges' intervals (Marzullo).
#define HTTPTIME_ESTIMATOR_INTERSECTION 1

// The same; each direction takes at least half of the shortest round trip.
#define HTTPTIME_ESTIMATOR_SYMMETRIC 2

// htpdate's bisection.
#define HTTPTIME_ESTIMATOR_HTPDATE 3

// The middle of the best single exchange (Cristian).
#define HTTPTIME_ESTIMATOR_MIDPOINT 4

// The last Date as received.
#define HTTPTIME_ESTIMATOR_LAST_DATE 5

// The profile's schedule.
#define HTTPTIME_SCHEDULE_PROFILE 0

// At equal intervals over the whole time.
#define HTTPTIME_SCHEDULE_PERIODIC 1

// Each request at the middle of the remaining uncertainty.
#define HTTPTIME_SCHEDULE_BISECT 2

// Several requests around the beginning of a second, and again at smaller intervals.
#define HTTPTIME_SCHEDULE_SCAN 3

// The schedule of htpdate -p, for the estimator of that name.
#define HTTPTIME_SCHEDULE_HTPDATE 4

// Every address of the resolver, in its order.
#define HTTPTIME_FAMILY_ANY 0

// IPv4 only.
#define HTTPTIME_FAMILY_IPV4 4

// IPv6 only.
#define HTTPTIME_FAMILY_IPV6 6

// Kernel timestamps of requests and responses where they exist, otherwise the program's, for each
// request.
#define HTTPTIME_TIMESTAMPING_AUTO 0

// Kernel timestamps. A response without both of them is not used; without any, the measurement
// fails with HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS.
#define HTTPTIME_TIMESTAMPING_KERNEL 1

// The program's timestamps. Kernel timestamps are not requested.
#define HTTPTIME_TIMESTAMPING_USER 2

// HEAD. If the first response to it has no Date, or if the server closes the connection without a
// response, GET from then on.
#define HTTPTIME_METHOD_AUTO 0

// HEAD.
#define HTTPTIME_METHOD_HEAD 1

// GET. At most 64 KiB of a body are read: after a longer one, or one of unknown length, the
// connection is closed.
#define HTTPTIME_METHOD_GET 2

// OPTIONS *, which most front servers answer by themselves. The path of the URL is not sent.
#define HTTPTIME_METHOD_OPTIONS 3

// For httptime_options.floor_ns: any Date is accepted.
#define HTTPTIME_NO_FLOOR INT64_MIN

// The maximum number of servers in one call.
#define HTTPTIME_MAX_SERVERS 16

// There is no stamp.
#define HTTPTIME_STAMP_NONE 0

// There is a stamp. In a measurement: its result is from stamps.
#define HTTPTIME_STAMP_USED 1

// Not used: the digits of a stamp have no meaning that is certain.
#define HTTPTIME_STAMP_MALFORMED 2

// Not used: a response has two stamps with different values.
#define HTTPTIME_STAMP_CONFLICTING 3

// Not used: the responses have stamps of different forms.
#define HTTPTIME_STAMP_FORM_CHANGED 4

// Not used: a stamp is older than the Date of its response.
#define HTTPTIME_STAMP_OLDER_THAN_DATE 5

// Not used: a stamp is newer than the Date of its response allows.
#define HTTPTIME_STAMP_NEWER_THAN_DATE 6

// Not used: a stamp reports that the server processed the request for longer than the round trip
// took.
#define HTTPTIME_STAMP_LONGER_THAN_ROUND_TRIP 7

// Not used: a later response has the same stamp. It is from a cache, or it is the time at which
// the connection was accepted.
#define HTTPTIME_STAMP_FROZEN 8

// Not used: the stamps contradict each other.
#define HTTPTIME_STAMP_INCONSISTENT 9

// Not used: there were too few responses to show a stamp that stands still. Fewer than three, or
// none over a second connection.
#define HTTPTIME_STAMP_UNTESTED 10

// Not used, for a reason for which this version of the library has no number.
#define HTTPTIME_STAMP_OTHER 11

// The server rounds its stamps to the nearest quantum. Without this flag it truncates them.
#define HTTPTIME_STAMP_FLAG_ROUNDED 1

// The response has no Date, and the second of the stamp stands in for it.
#define HTTPTIME_STAMP_FLAG_NO_DATE 2

// Plain HTTP; also if one of several servers has it.
#define HTTPTIME_CERTIFICATES_NONE 0

// They are valid at the measured time of the server, at both ends of the bounds.
#define HTTPTIME_CERTIFICATES_SERVER_TIME 1

// They are valid according to the local clock.
#define HTTPTIME_CERTIFICATES_LOCAL_CLOCK 2

// The public key is a pinned one.
#define HTTPTIME_CERTIFICATES_PIN 3

// Nothing was checked: anyone could have answered.
#define HTTPTIME_CERTIFICATES_UNCHECKED 4

// The target standard deviation was reached.
#define HTTPTIME_END_REASON_TARGET 1

// More requests would not help.
#define HTTPTIME_END_REASON_ENOUGH 2

// The limit of requests was reached.
#define HTTPTIME_END_REASON_REQUESTS 3

// The time limit was reached.
#define HTTPTIME_END_REASON_DURATION 4

// The server became unreachable. Its earlier responses are used.
#define HTTPTIME_END_REASON_LOST 5

// The caller stated the limit of the lag.
#define HTTPTIME_LAG_STATED 1

// The software in the Server field made the Date, and the limit is that of the software.
#define HTTPTIME_LAG_PRODUCT 2

// The software is unknown: 2.02 s.
#define HTTPTIME_LAG_UNKNOWN 3

// The order of the fields shows that the software in the Server field did not make the Date, or
// that a proxy has sorted them: 2.02 s.
#define HTTPTIME_LAG_FORWARDED 4

// The software in the Server field can pass on the Date of another server, and nothing shows
// whether it did: 2.02 s.
#define HTTPTIME_LAG_MAY_BE_FORWARDED 5

// There are several Server fields: 2.02 s.
#define HTTPTIME_LAG_SEVERAL_SERVER_FIELDS 6

// The server's clock was read from stamps: 1 ms.
#define HTTPTIME_LAG_STAMP 7

// Log nothing.
#define HTTPTIME_LOG_OFF 0

// Only errors inside the library.
#define HTTPTIME_LOG_ERROR 1

// ... and unusual events.
#define HTTPTIME_LOG_WARN 2

// ... and normal events.
#define HTTPTIME_LOG_INFO 3

// ... and connections that fail or close.
#define HTTPTIME_LOG_DEBUG 4

// ... and every observation.
#define HTTPTIME_LOG_TRACE 5

// The name has been resolved.
#define HTTPTIME_EVENT_RESOLVED 1

// A connection is ready for requests. text is the address, duration_ns the time that opening it
// took.
#define HTTPTIME_EVENT_OPENED 2

// A connection was closed while no request was in flight on it.
#define HTTPTIME_EVENT_DROPPED 3

// A request has left, at at_ns or a little later.
#define HTTPTIME_EVENT_SENT 4

// A request could not leave in time and is rescheduled. duration_ns is how late it would have
// been.
#define HTTPTIME_EVENT_RESCHEDULED 5

// A response was used. It arrived at at_ns, after a round trip of duration_ns, and gives lower_ns
// and upper_ns.
#define HTTPTIME_EVENT_ANSWERED 6

// A request or a connection was lost, for the reason in status and text. No request is sent before
// at_ns.
#define HTTPTIME_EVENT_LOST 7

// The server is done. status and text are the reason why it failed; HTTPTIME_OK if it has a
// result.
#define HTTPTIME_EVENT_ENDED 8

// An address of a name does not answer, for the reason in status and text, and the next one is
// tried.
#define HTTPTIME_EVENT_NEXT_ADDRESS 9

// An event for which this version of the library has no number.
#define HTTPTIME_EVENT_OTHER 10

// The first request failed, for the reason in status and text. GET is used from now on.
#define HTTPTIME_EVENT_FALLBACK 11

// The limit of the connections' numbers, which are below it.
#define HTTPTIME_MAX_CONNECTIONS 64

// Resolve host, and call httptime_session_resolved.
#define HTTPTIME_SESSION_RESOLVE 1

// Start to open a TCP connection to address, without blocking. When the socket is writable, call
// httptime_session_connected; or, by hand, httptime_session_opened. If it fails at once, call
// httptime_session_failed.
#define HTTPTIME_SESSION_OPEN 2

// Call httptime_session_transmit. Or, by hand: read the data that has arrived on this connection,
// and report it if there is any. If there is none: read the clock, write httptime_session_output
// once, and call httptime_session_sent.
#define HTTPTIME_SESSION_TRANSMIT 3

// Close the socket of this connection.
#define HTTPTIME_SESSION_CLOSE 4

// Wait until a socket is ready or until until_ns, then call httptime_session_poll again.
#define HTTPTIME_SESSION_WAIT 5

// There is nothing more to do: call httptime_session_finish.
#define HTTPTIME_SESSION_DONE 6

// Send a request at the given instant, or at once if it has passed.
#define HTTPTIME_NEXT_SEND 1

// Wait for a response.
#define HTTPTIME_NEXT_AWAIT 2

// Send no more and call httptime_measure_finish.
#define HTTPTIME_NEXT_DONE 3

// The response was not the first one on its connection, and the connection goes to the server and
// not to a proxy.
#define HTTPTIME_EXCHANGE_REUSED_CONNECTION 1

// A front server answers the request by itself (OPTIONS *), so it made the Date.
#define HTTPTIME_EXCHANGE_ANSWERED_BY_FRONT 2

// The path of the request has no file name extension ("/" or "/status", not "/index.html").
#define HTTPTIME_EXCHANGE_NO_FILE_EXTENSION 4

// Correct only an error that the bounds prove.
#define HTTPTIME_EVIDENCE_BOUNDS 0

// Below the step threshold use the estimate, as an NTP client does.
#define HTTPTIME_EVIDENCE_ESTIMATE 1

// Do nothing: the measurement does not show that the clock is wrong.
#define HTTPTIME_ACTION_LEAVE 0

// Correct the clock gradually.
#define HTTPTIME_ACTION_SLEW 1

// Set the clock at once.
#define HTTPTIME_ACTION_STEP 2

// Do nothing; an operator should look at it.
#define HTTPTIME_ACTION_REFUSE 3

// Not refused.
#define HTTPTIME_REFUSAL_NONE 0

// The bounds are wider than the error that would be corrected.
#define HTTPTIME_REFUSAL_BOUNDS_TOO_WIDE 1

// The clock would show a time before the floor.
#define HTTPTIME_REFUSAL_BEFORE_FLOOR 2

// The correction exceeds the limit for one correction in this direction.
#define HTTPTIME_REFUSAL_TOO_FAR 3

// The sum of the steps since the start would exceed its limit.
#define HTTPTIME_REFUSAL_ACCUMULATED 4

// The server's Date was not seen to advance.
#define HTTPTIME_REFUSAL_DATE_NOT_ADVANCED 5

// Stops a running measurement from another thread or from a signal handler. It is set in
// httptime_options. It can be used once: a measurement that starts with a used one ends at once.
typedef struct httptime_canceller httptime_canceller;

// Computes the one best offset from exchanges, for programs that decide themselves when to send.
// It computes no bounds, refuses no date except that of a stored response, and uses every stamp;
// httptime_measure does more. One thread at a time.
typedef struct httptime_estimator httptime_estimator;

// The measurement of one server by a program whose HTTP library parses the responses (curl). A
// program with plain sockets uses httptime_session. The functions read no clock, open no socket
// and never block. One thread at a time.
//
// Until httptime_measure_next returns HTTPTIME_NEXT_DONE: send at the instants that it returns,
// and call httptime_measure_sent; after a response call httptime_measure_absorb, without one
// httptime_measure_lost. Then call httptime_measure_finish. Instants are ns on CLOCK_MONOTONIC
// (httptime_now), also in cross-timestamps. Another clock causes HTTPTIME_ERROR_CLOCK_MISMATCH if
// it is detected.
typedef struct httptime_measure httptime_measure;

// Turns the bytes that are received on one connection into heads of responses. One thread at a
// time.
typedef struct httptime_reader httptime_reader;

// The measurement of one server or several by a program with an event loop (libevent, libuv,
// poll). The session makes the decisions: when to connect and to send, what to retry, what a
// proxy's response means, when to stop, which servers agree. The program owns sockets, timers and
// clocks. The functions open no socket and never block. One thread at a time.
//
// Call httptime_session_poll until it returns WAIT or DONE, and do what each call returns.
// Whenever a socket is readable, call httptime_session_receive. Or, by hand: read once, then read
// the clock, and call httptime_session_received; at the end of the stream close the socket and
// call httptime_session_closed, after an error httptime_session_failed. Call httptime_session_poll
// again after each of these. Instants are ns on CLOCK_MONOTONIC: httptime_now.
typedef struct httptime_session httptime_session;

// The result of each server, and the combined result. It does not change: any number of threads
// may read it at once.
typedef struct httptime_survey httptime_survey;

// A TCP connection of the program and its kernel timestamps: when bytes left and when they arrived
// (SO_TIMESTAMPING, Linux only; on other systems only the program's own times exist). On a busy
// machine the times of a program include the wait for a CPU; kernel timestamps do not. One thread
// at a time.
typedef struct httptime_timestamps httptime_timestamps;

// The status of a call: HTTPTIME_OK, or an HTTPTIME_ERROR_* number. The numbers are frozen: the
// meaning of a number never changes, and a newer library may return one that this header does not
// have.
typedef int32_t httptime_status;

// The requests and the evidence so far. Written by the library.
typedef struct httptime_progress {
    // sizeof(httptime_progress), set by the caller; in a callback, by the library.
    uint32_t struct_size;
    // The number of the server, from 0 in the order of the URLs.
    uint32_t server;
    // Requests sent, with or without a response.
    uint32_t requests;
    // Responses used.
    uint32_t observations;
    // The estimate so far: server - local. Positive: the local clock is slow.
    int64_t offset_ns;
    // Its standard deviation. Not a bound.
    int64_t stddev_ns;
    // The lower bound of the offset.
    int64_t lower_ns;
    // The upper bound of the offset.
    int64_t upper_ns;
    // The latest round trip.
    int64_t round_trip_ns;
} httptime_progress;

// Called after each exchange with the evidence so far, on the thread that called the library, with
// no lock held; it may call the library. It must return (no longjmp, no C++ exception).
//
// progress: valid during the call; its struct_size is the library's. user_data:
// httptime_options.progress_data.
typedef void (*httptime_progress_callback)(const struct httptime_progress *progress, void *user_data);

// The settings of a measurement. Filled by httptime_options_init; then change what you need. They
// are used only during the call: they may be on the stack and shared by threads.
typedef struct httptime_options {
    // sizeof(httptime_options). httptime_options_init sets it.
    uint32_t struct_size;
    // The profile: HTTPTIME_PROFILE_*. Default: HTTPTIME_PROFILE_BALANCED.
    int32_t profile;
    // HTTPTIME_ESTIMATOR_*. Default: HTTPTIME_ESTIMATOR_POSTERIOR.
    int32_t estimator;
    // HTTPTIME_SCHEDULE_*. Default: HTTPTIME_SCHEDULE_PROFILE.
    int32_t schedule;
    // The address family: HTTPTIME_FAMILY_*. Default: HTTPTIME_FAMILY_ANY.
    int32_t family;
    // The limit of requests to one server, up to 1000. 0, the default: the profile's.
    uint32_t requests;
    // The limit of the frequency difference of the two clocks, in parts per million; up to 10,000.
    // Default: 300.
    uint32_t drift_ppm;
    // With a proxy: not 0 makes it open a tunnel (CONNECT) instead of forwarding requests.
    // Default: 0.
    int32_t tunnel;
    // The source of the timestamps of requests and responses: HTTPTIME_TIMESTAMPING_*. Default:
    // HTTPTIME_TIMESTAMPING_AUTO.
    int32_t timestamping;
    // How many servers must answer and agree, up to their number. 0, the default: more than half
    // of them.
    uint32_t min_servers;
    // The time from the first request until the last one may be sent, up to an hour. 0, the
    // default: the profile's.
    int64_t duration_ns;
    // The longest wait for a name, a connection or a response: 1 ms to an hour. Default: 5 s. A
    // call takes at most twice this plus the duration.
    int64_t timeout_ns;
    // Stop as soon as the standard deviation is at most this. 0, the default: never for this
    // reason.
    int64_t target_ns;
    // The limit of the server's lag, which is how late its Date is, whatever its software; up to
    // an hour. Negative, the default: derived from the response, 2.02 s for unknown software.
    int64_t lag_ns;
    // The earliest Date that is accepted, ns since 1970. Default: 2025-01-01. HTTPTIME_NO_FLOOR
    // accepts any.
    int64_t floor_ns;
    // "http://user:password@host:port" or "https://...", the password and the port only if needed,
    // or NULL, the default, for none. The environment is not read. In user and password, / is %2F,
    // ? is %3F, # is %23 and % is %25.
    const char *proxy;
    // The local address of every connection ("192.0.2.7", "2001:db8::7"), or NULL, the default,
    // for the system's choice.
    const char *source_address;
    // The network interface of every connection ("eth0"), or NULL, the default, for the system's
    // choice. Linux only; on other systems connections fail.
    const char *interface;
    // Stops the call from another thread, or NULL, the default.
    const struct httptime_canceller *canceller;
    // Called after each exchange, or NULL, the default.
    httptime_progress_callback progress;
    // Passed to it.
    void *progress_data;
    // The value of User-Agent: up to 256 characters of printable ASCII; "" for no such field.
    // NULL, the default: httptime and its version.
    const char *user_agent;
    // The method of the requests: HTTPTIME_METHOD_*. Default: HTTPTIME_METHOD_AUTO.
    int32_t method;
    // https: not 0 accepts every certificate of a server. Then anyone on the path can forge the
    // time. Default: 0.
    int32_t insecure;
    // The header field from which stamps are read, which are a server's clock finer than a second;
    // "": stamps are ignored. NULL, the default: X-HTTPSTIME.
    const char *stamp_header;
    // https: the file with the CA certificates to trust (PEM), or NULL, the default, for those of
    // the system. The environment is not read.
    const char *cacert;
    // https: a directory of such files, or NULL, the default.
    const char *capath;
    // https: the file with the client certificate (PEM, with its chain), or NULL, the default.
    const char *cert;
    // https: the file with its private key (PEM, not encrypted), or NULL, the default, if the key
    // is in the file of the certificate.
    const char *key;
    // https: the only public keys to accept, "sha256//BASE64", several separated by ";". They
    // replace the check of chain, name and dates. NULL, the default: that check.
    const char *pin;
    // As cacert, for an https proxy.
    const char *proxy_cacert;
    // As capath, for an https proxy.
    const char *proxy_capath;
    // As cert, for an https proxy.
    const char *proxy_cert;
    // As key, for an https proxy.
    const char *proxy_key;
    // As pin, for an https proxy.
    const char *proxy_pin;
    // As insecure, for an https proxy: anyone on the path can read its password. Default: 0.
    int32_t proxy_insecure;
    // https: not 0 if the local clock is known to be right. Then it alone decides whether
    // certificates are valid. 0, the default: the measured time of the server decides.
    int32_t clock_is_synchronised;
} httptime_options;

// The offset of the local clock from a server's. Written by the library; set struct_size before.
typedef struct httptime_measurement {
    // sizeof(httptime_measurement), set by the caller.
    uint32_t struct_size;
    // The reason why no more requests were sent: HTTPTIME_END_REASON_*.
    int32_t end_reason;
    // The best single offset: server - local. Positive: the local clock is slow.
    int64_t offset_ns;
    // The standard deviation of the offset's error, if the server's lag is small and the forward
    // and return paths are equal. Not a bound.
    int64_t stddev_ns;
    // The lower bound of the offset, if the assumptions below are true.
    int64_t lower_ns;
    // The upper bound of the offset, if the assumptions below are true.
    int64_t upper_ns;
    // The instant to which offset and bounds refer, on the monotonic clock: see httptime_now.
    int64_t at_ns;
    // The local wall clock at that instant: ns since 1970-01-01T00:00:00Z.
    int64_t local_time_ns;
    // The time from the first request sent to the last response used.
    int64_t elapsed_ns;
    // The shortest round trip.
    int64_t round_trip_min_ns;
    // Assumption: the server's Date, or its stamp if that is used, is late by at most this.
    int64_t lag_ns;
    // The source of that limit: HTTPTIME_LAG_*.
    int32_t lag_source;
    // Assumption: the frequencies of the two clocks differ by at most this, in parts per million.
    uint32_t drift_ppm;
    // Requests sent, with or without a response.
    uint32_t requests;
    // Responses used.
    uint32_t observations;
    // How many of these have the kernel's timestamp of the request.
    uint32_t sent_by_kernel;
    // How many of these have the kernel's timestamp of the response.
    uint32_t received_by_kernel;
    // How many of the requests were checks, whose response could be predicted.
    uint32_t checks;
    // Whether the server's Date, or its stamp if that is used, was seen to advance: 1 or 0. If
    // not, the server's clock may be stopped: do not correct a clock with it.
    int32_t date_advanced;
    // The Server field of the last response that had one, ended by a NUL; empty for none, and for
    // several servers.
    char server[136];
    // The method of the requests: HTTPTIME_METHOD_*. HTTPTIME_METHOD_AUTO for several servers with
    // different methods, and if the requests were not the library's.
    int32_t method;
    // The number of caches on the path for which the lag includes 1.02 s each.
    uint32_t caches;
    // HTTPTIME_STAMP_USED if the result is from stamps; otherwise the reason why not, another
    // HTTPTIME_STAMP_*. HTTPTIME_STAMP_NONE also for several servers that differ in this.
    int32_t stamp;
    // How the validity dates of the server's certificates were checked: HTTPTIME_CERTIFICATES_*.
    // For several servers the check that proves least.
    int32_t certificates;
    // The resolution of the stamps; 0 if none could be read.
    int64_t stamp_quantum_ns;
    // With HTTPTIME_CERTIFICATES_SERVER_TIME: the beginning of the time in which all certificates
    // are valid, ns since 1970. Else 0.
    int64_t valid_from_ns;
    // Its end; the largest number for a later time. Else 0.
    int64_t valid_to_ns;
    // The same as certificates, for the proxy.
    int32_t proxy_certificates;
    // How many of the independent servers agree on this. Servers at one address and servers behind
    // one proxy count as one.
    uint32_t servers_agreeing;
    // How many of the configured servers are independent of each other.
    uint32_t servers_independent;
    // How many servers are configured. 0: unknown, then httptime_policy_decide assumes one.
    uint32_t servers_configured;
} httptime_measurement;

// A reading of both local clocks at one moment. It converts instants of the monotonic clock into
// wall time. A second one shows whether the wall clock was set in between.
typedef struct httptime_cross_timestamp {
    // sizeof(httptime_cross_timestamp), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // The monotonic clock: CLOCK_MONOTONIC in ns, as httptime_now.
    int64_t instant_ns;
    // The wall clock: ns since 1970-01-01T00:00:00Z.
    int64_t wall_ns;
    // The largest possible time between the two readings.
    int64_t uncertainty_ns;
} httptime_cross_timestamp;

// Receives a line of the log. Called on any thread, on several at once, with no lock held: it may
// call this library, including httptime_set_log. It must return (no longjmp, no C++ exception).
//
// level: HTTPTIME_LOG_ERROR to HTTPTIME_LOG_TRACE. target, message: UTF-8 without a line end,
// valid during the call. user_data: as passed to httptime_set_log.
typedef void (*httptime_log_callback)(int32_t level,
                                      const char *target,
                                      const char *message,
                                      void *user_data);

// What the program must do next. Written by httptime_session_poll; set struct_size before.
typedef struct httptime_session_action {
    // sizeof(httptime_session_action), set by the caller.
    uint32_t struct_size;
    // HTTPTIME_SESSION_*.
    int32_t kind;
    // The number of the server, from 0 in the order of the URLs. 0 for WAIT and DONE.
    uint32_t server;
    // The connection, for OPEN, TRANSMIT and CLOSE: a number below HTTPTIME_MAX_CONNECTIONS;
    // otherwise 0. The program has one socket for each.
    uint32_t conn;
    // For WAIT: the end of the wait; otherwise 0.
    int64_t until_ns;
    // For WAIT: whether a request leaves at until_ns. A timer is too late for that: set it some
    // milliseconds earlier, then poll without waiting until the instant.
    int32_t precise;
    // For OPEN: the size of address in bytes; otherwise 0.
    uint32_t address_length;
    // For OPEN: the address for socket() and connect(). Valid until the next call with this
    // session. Otherwise NULL.
    const struct sockaddr *address;
    // For RESOLVE: the name of the server or the proxy, for getaddrinfo(). Valid as long as the
    // session. Otherwise NULL.
    const char *host;
    // For RESOLVE: its port in digits, for getaddrinfo(). Valid as long as the session. Otherwise
    // NULL.
    const char *port;
    // NULL.
    const void *reserved;
} httptime_session_action;

// An event of a session, for progress displays and logs. Written by the library; set struct_size
// before.
typedef struct httptime_event {
    // sizeof(httptime_event), set by the caller.
    uint32_t struct_size;
    // HTTPTIME_EVENT_*.
    int32_t kind;
    // The number of the server, from 0 in the order of the URLs.
    uint32_t server;
    // The reason, for HTTPTIME_EVENT_LOST, HTTPTIME_EVENT_NEXT_ADDRESS, HTTPTIME_EVENT_FALLBACK
    // and HTTPTIME_EVENT_ENDED; otherwise HTTPTIME_OK.
    httptime_status status;
    // An instant, if the kind has one; otherwise 0.
    int64_t at_ns;
    // A duration, if the kind has one; otherwise 0.
    int64_t duration_ns;
    // For HTTPTIME_EVENT_ANSWERED: the lower bound of the offset according to this response alone.
    // Otherwise 0.
    int64_t lower_ns;
    // The upper bound of the offset.
    int64_t upper_ns;
    // The address or the reason, ended by a NUL; otherwise empty.
    char text[192];
} httptime_event;

// The stamp of a response: the server's clock, finer than the second of the Date. It is a part of
// other structures, has no struct_size, and does not grow.
typedef struct httptime_stamp {
    // HTTPTIME_STAMP_NONE, HTTPTIME_STAMP_USED if there is a stamp, or HTTPTIME_STAMP_MALFORMED or
    // HTTPTIME_STAMP_CONFLICTING if it cannot be read. The other fields count only for
    // HTTPTIME_STAMP_USED.
    int32_t state;
    // Zero or more of HTTPTIME_STAMP_FLAG_*, combined with |.
    uint32_t flags;
    // The server's clock when the request arrived: ns since 1970. It showed this, or up to
    // quantum_ns more.
    int64_t receive_ns;
    // The server's clock when the response left. The same as receive_ns if the stamp has one time.
    int64_t transmit_ns;
    // The resolution: below one second.
    int64_t quantum_ns;
} httptime_stamp;

// The head of a response: the fields that matter for the time. Written by the library; set
// struct_size before.
typedef struct httptime_head {
    // sizeof(httptime_head), set by the caller.
    uint32_t struct_size;
    // The status code, 200-999. Any code is usable: a 404 has a correct Date.
    uint32_t http_status;
    // The Date: ns since 1970. Without a Date, the second of the stamp.
    int64_t date_ns;
    // The Age, if has_age.
    int64_t age_ns;
    // Whether there is an Age, which means that the response came through a cache.
    int32_t has_age;
    // Whether the server keeps the connection open. If not, open another one for the next request.
    int32_t persistent;
    // The stamp: for httptime_exchange.stamp.
    struct httptime_stamp stamp;
    // Whether more bytes were received after the head. Then close the connection: its data cannot
    // be trusted.
    int32_t has_trailing_bytes;
    // The marks of the servers that the response passed: for httptime_exchange.marks.
    uint32_t marks;
    // The first Server field, ended by a NUL; empty for none.
    char server[136];
} httptime_head;

// One request and the head of its response, with the times at which the program sent and received
// them. Begin with all of it zero.
typedef struct httptime_exchange {
    // sizeof(httptime_exchange), set by the caller.
    uint32_t struct_size;
    // Whether the response had an Age. If so and it is not zero, the response is refused.
    int32_t has_age;
    // The time at which the request's first byte left, or a little before: the monotonic clock,
    // read before the write.
    int64_t sent_ns;
    // The time at which the complete head of the response had been received: the same clock, read
    // after the read that completed the head. With an earlier time, for example that of the first
    // bytes, the bounds can be wrong.
    int64_t received_ns;
    // The Date: ns since 1970. It does not count if the stamp stands in for it.
    int64_t date_ns;
    // The Age, if has_age.
    int64_t age_ns;
    // The Server field, or NULL for none. Used only during the call.
    const char *server;
    // httptime_head.marks of the response. 0 if its other fields and their order are not known:
    // then a Server field that names a front server does not count.
    uint32_t marks;
    // Zero or more of HTTPTIME_EXCHANGE_*, combined with |.
    uint32_t flags;
    // httptime_head.stamp of the response.
    struct httptime_stamp stamp;
} httptime_exchange;

// The rules for correcting a clock. Filled by httptime_policy_init; then change what you need. A
// negative limit means no limit.
typedef struct httptime_policy {
    // sizeof(httptime_policy). httptime_policy_init sets it.
    uint32_t struct_size;
    // HTTPTIME_EVIDENCE_*. Default: HTTPTIME_EVIDENCE_BOUNDS.
    int32_t evidence;
    // Larger errors are stepped, smaller ones slewed. Default: 128 ms. Negative: all are slewed.
    int64_t step_threshold_ns;
    // The limit of one forward correction. Default: 1000 s.
    int64_t max_forward_ns;
    // The limit of one backward correction. Default: 1000 s.
    int64_t max_backward_ns;
    // The limit of the first forward correction since the start. Default: 1800 s.
    int64_t max_startup_forward_ns;
    // The limit of the first backward correction since the start. Default: 1800 s.
    int64_t max_startup_backward_ns;
    // The limit of the sum of all steps since the start. Default: unlimited.
    int64_t max_accumulated_ns;
    // The earliest time that is set: ns since 1970. Default: the day on which the library was
    // built.
    int64_t floor_ns;
    // How many independent servers must agree for a step beyond the limits of one correction. 2 or
    // more. Default: 0, a majority of three or more.
    uint32_t quorum;
    // Whether a step may exceed these limits if there are only one or two independent servers: 1
    // or 0. A server that lies can then set any time that is not before the floor. Default: 0.
    int32_t trust_single;
} httptime_policy;

// The earlier corrections of the clock. All zero: there were none, and there will be no further
// decision.
typedef struct httptime_history {
    // sizeof(httptime_history), set by the caller.
    uint32_t struct_size;
    // Whether the clock has been corrected since the start. Until then the start-up limits apply.
    int32_t settled;
    // The sum of the sizes of all steps since the start.
    int64_t stepped_ns;
    // The time until the next decision, which limits the size of a slew. 0: there is none.
    int64_t horizon_ns;
} httptime_history;

// The decision about the clock. Written by httptime_policy_decide; set struct_size before.
typedef struct httptime_decision {
    // sizeof(httptime_decision), set by the caller.
    uint32_t struct_size;
    // HTTPTIME_ACTION_*.
    int32_t action;
    // The size of the slew or step; positive: forward. Otherwise 0.
    int64_t by_ns;
    // The reason of a refusal: HTTPTIME_REFUSAL_*.
    int32_t refusal;
    // 0.
    uint32_t reserved;
    // The refusal in words, with the values, ended by a NUL. Otherwise empty.
    char reason[256];
} httptime_decision;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the running library, in the format of HTTPTIME_VERSION_NUMBER. A library that is
// older than the header may lack parts of it; a newer one has everything.
//
// Any thread, at any time.
uint32_t httptime_version_number(void);

// The version of the running library as text ("0.1.0"). Static: do not free it.
//
// Any thread, at any time.
const char *httptime_version(void);

// The meaning of a status, in English ("the response has no Date"). Static: do not free it. For a
// number that is not a status, a text that reports this; never NULL.
//
// Any thread, at any time.
const char *httptime_strerror(httptime_status status);

// The name of a status for programs ("no_date"; "ok" for HTTPTIME_OK), the same as in the JSON of
// the program httptime. Static: do not free it. "unknown" for a number that is not a status; never
// NULL.
//
// Any thread, at any time.
const char *httptime_status_name(httptime_status status);

// Copies the message of the last function that failed on this thread, with the observed values
// ("cannot connect to 192.0.2.1:80: connection refused"), in UTF-8, ended by a NUL and truncated
// to fit. Returns the length of the complete message without the NUL, as snprintf does: if it is
// at least size, the message was truncated. 0 if nothing has failed.
//
// buffer: size bytes; may be NULL if size is 0, to get the length. Any thread; each has its own
// message.
size_t httptime_error_message(char *buffer, size_t size);

// Sets the defaults, including struct_size.
//
// options: need not be initialised. struct_size: sizeof(httptime_options), from which the library
// knows the version of the caller's header. Fails with HTTPTIME_ERROR_INVALID_ARGUMENT for NULL
// and for a size that no version of the header had. Any thread.
httptime_status httptime_options_init(struct httptime_options *options, uint32_t struct_size);

// The combined result of the selected servers. With one server, its result.
//
// measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with the
// error of the only server, with HTTPTIME_ERROR_ALL_FAILED, _NO_MAJORITY, _AMBIGUOUS_MAJORITY or
// _CANCELLED.
httptime_status httptime_survey_combined(const struct httptime_survey *survey,
                                         struct httptime_measurement *measurement);

// The number of servers; 0 for NULL.
size_t httptime_survey_count(const struct httptime_survey *survey);

// The result of one server.
//
// index: from 0, in the order of the URLs. measurement: its struct_size set by the caller; written
// only on HTTPTIME_OK. Fails with the reason why this server could not be measured;
// httptime_error_message has the values.
httptime_status httptime_survey_server(const struct httptime_survey *survey,
                                       size_t index,
                                       struct httptime_measurement *measurement);

// Whether a server is part of the majority: 1 or 0. A server that was measured but not selected is
// a falseticker, or there is no majority. 0 for NULL and for an invalid index.
int32_t httptime_survey_is_selected(const struct httptime_survey *survey, size_t index);

// The URL of a server, normalised and without credentials. Valid as long as the survey. NULL for
// NULL and for an invalid index.
const char *httptime_survey_url(const struct httptime_survey *survey, size_t index);

// Frees a survey.
//
// survey: NULL does nothing.
void httptime_survey_free(struct httptime_survey *survey);

// Measures one server, or several and selects among them. Blocks until the result exists. Never
// changes a clock.
//
// urls: count texts, "http://host:port/path" or "https://...", port and path only if needed. count: 1 to
// HTTPTIME_MAX_SERVERS; with several, the majority decides. options: NULL for the defaults.
// measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with
// HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL, _INVALID_CONFIG before anything is sent, and with
// 4 to 55. Any thread, several at once.
httptime_status httptime_query(const char *const *urls,
                               size_t count,
                               const struct httptime_options *options,
                               struct httptime_measurement *measurement);

// As httptime_query, and keeps the result of each server. HTTPTIME_OK only means that they were
// measured: the status of httptime_survey_combined is that of the result.
//
// survey: set to the new handle, which you must free with httptime_survey_free. The rest as for
// httptime_query.
httptime_status httptime_survey_run(const char *const *urls,
                                    size_t count,
                                    const struct httptime_options *options,
                                    struct httptime_survey **survey);

// The monotonic clock now, in ns. On Unix it is CLOCK_MONOTONIC, so a program may also call
// clock_gettime. All instants of this library are readings of it.
//
// Any thread, at any time.
int64_t httptime_now(void);

// Reads both local clocks at one moment. Uses the narrowest of several tries.
//
// cross_timestamp: its struct_size set by the caller; written only on HTTPTIME_OK. Any thread.
httptime_status httptime_cross_timestamp_now(struct httptime_cross_timestamp *cross_timestamp);

// Creates a canceller. It has two file descriptors.
//
// canceller: set to the new handle, which you must free with httptime_canceller_free. Fails with
// HTTPTIME_ERROR_SYSTEM if there are no free descriptors. Any thread.
httptime_status httptime_canceller_new(struct httptime_canceller **canceller);

// Cancels: every call with this canceller returns at once with HTTPTIME_ERROR_CANCELLED, or its
// survey has that status. A second call changes nothing.
//
// canceller: NULL does nothing. Any number of threads; also a signal handler: the call takes no
// lock, allocates nothing, and does not change errno (on Linux).
void httptime_canceller_cancel(const struct httptime_canceller *canceller);

// Frees a canceller. No call with it may still be running.
//
// canceller: NULL does nothing.
void httptime_canceller_free(struct httptime_canceller *canceller);

// Sends the library's log to callback, for the whole process. By default there is no log: the
// library never prints.
//
// callback: NULL for none, whatever the level. user_data: passed to callback; must be usable from
// every thread that calls this library. level: the most detailed level, HTTPTIME_LOG_OFF to
// HTTPTIME_LOG_TRACE. Any thread. A line that another thread is writing may still reach the
// previous callback shortly after this function has returned.
httptime_status httptime_set_log(httptime_log_callback callback, void *user_data, int32_t level);

// Enables kernel timestamps of a connection if the system supports them. Call it when the
// connection is open, before anything is written; not with HTTPTIME_TIMESTAMPING_USER.
// httptime_session_connected does it.
//
// fd: a non-blocking TCP socket; it must stay open until the handle is freed. timestamps: set to
// the new handle, which you must free with httptime_timestamps_free. If the system has no such
// timestamps, the handle is still valid and returns none.
httptime_status httptime_timestamps_enable(int32_t fd, struct httptime_timestamps **timestamps);

// Reads from the connection, instead of recv(). Call it when the socket is ready: for reading, or
// for an error, with which the kernel reports its timestamps.
//
// buffer: size bytes, at least 1. count: set to the number of bytes read, to 0 at the end of the
// stream, or to a negated error number: -EAGAIN if there is nothing to read.
httptime_status httptime_timestamps_read(struct httptime_timestamps *timestamps,
                                         void *buffer,
                                         size_t size,
                                         int64_t *count);

// Reports that bytes were written to the connection. Call it after each send().
//
// count: how many were written. length: how many were to be written.
httptime_status httptime_timestamps_wrote(struct httptime_timestamps *timestamps,
                                          size_t count,
                                          size_t length);

// Frees the handle. The socket stays open.
//
// timestamps: NULL does nothing.
void httptime_timestamps_free(struct httptime_timestamps *timestamps);

// Starts the measurement of some servers.
//
// urls, count: as for httptime_query. options: NULL for the defaults; source_address, interface,
// canceller and progress are not used here. begin: both clocks now, or NULL: then the library
// reads them. session: set to the new handle, which you must free with httptime_session_free.
// Fails with HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL and _INVALID_CONFIG.
httptime_status httptime_session_new(const char *const *urls,
                                     size_t count,
                                     const struct httptime_options *options,
                                     const struct httptime_cross_timestamp *begin,
                                     struct httptime_session **session);

// Decides what to do next.
//
// now_ns: the monotonic clock now. action: its struct_size set by the caller; written only on
// HTTPTIME_OK.
httptime_status httptime_session_poll(struct httptime_session *session,
                                      int64_t now_ns,
                                      struct httptime_session_action *action);

// Reports the addresses of a name, or the resolver's error. The session uses the addresses of the
// family in the options.
//
// server: of HTTPTIME_SESSION_RESOLVE. addresses: the result of getaddrinfo, evdns_getaddrinfo or
// uv_getaddrinfo (ai_addr, ai_addrlen and ai_next are read), or NULL; used only during the call.
// error: if addresses is NULL, the error in words (gai_strerror), or NULL.
httptime_status httptime_session_resolved(struct httptime_session *session,
                                          uint32_t server,
                                          const struct addrinfo *addresses,
                                          const char *error,
                                          int64_t now_ns);

// Reports that a TCP connection is open.
httptime_status httptime_session_opened(struct httptime_session *session,
                                        uint32_t conn,
                                        int64_t now_ns);

// Call this when a connecting socket is writable. Reports that the connection is open or has
// failed, and enables kernel timestamps if the system supports them and the options allow them.
//
// fd: the socket; it must stay open until its timestamps are freed. timestamps: set to a new
// handle, which you must free with httptime_timestamps_free; NULL if the connection failed.
// outcome: set to 1, or to -1 if the connection failed: close the socket.
httptime_status httptime_session_connected(struct httptime_session *session,
                                           uint32_t conn,
                                           int32_t fd,
                                           struct httptime_timestamps **timestamps,
                                           int32_t *outcome);

// The bytes to write to a connection.
//
// bytes, length: set to them. They are valid until the next call with this session other than this
// one.
httptime_status httptime_session_output(const struct httptime_session *session,
                                        uint32_t conn,
                                        const char **bytes,
                                        size_t *length);

// Reports that bytes of httptime_session_output were written.
//
// count: how many; 0 if the write would have blocked. at_ns: the monotonic clock, read before the
// write.
httptime_status httptime_session_sent(struct httptime_session *session,
                                      uint32_t conn,
                                      size_t count,
                                      int64_t at_ns);

// Whether httptime_session_writable must be called when this connection is writable again: 1 or 0.
// 0 for NULL and for an invalid number.
int32_t httptime_session_is_waiting_to_write(const struct httptime_session *session, uint32_t conn);

// Reports that a connection is writable again.
httptime_status httptime_session_writable(struct httptime_session *session, uint32_t conn);

// Reports bytes that were read from a connection. Report each read separately: the time of a
// response is that of the read that completes its head.
//
// bytes: length bytes, copied. at_ns: the monotonic clock, read after the bytes. timestamps: those
// of this connection, with which the bytes were read (httptime_timestamps_read), or NULL if it has
// none.
httptime_status httptime_session_received(struct httptime_session *session,
                                          uint32_t conn,
                                          const char *bytes,
                                          size_t length,
                                          int64_t at_ns,
                                          struct httptime_timestamps *timestamps);

// Reads once from a connection and reports the outcome: httptime_session_received, _closed or
// _failed.
//
// timestamps: those of the connection. outcome: set to 1; to 0 if there was nothing to read; or
// to -1 if the connection is closed: free its timestamps and close its socket.
httptime_status httptime_session_receive(struct httptime_session *session,
                                         uint32_t conn,
                                         struct httptime_timestamps *timestamps,
                                         int32_t *outcome);

// Executes HTTPTIME_SESSION_TRANSMIT: reports received data, or writes once.
//
// timestamps: those of the connection. outcome: as for httptime_session_receive.
httptime_status httptime_session_transmit(struct httptime_session *session,
                                          uint32_t conn,
                                          struct httptime_timestamps *timestamps,
                                          int32_t *outcome);

// Reports that the other end closed a connection. The program has closed the socket.
httptime_status httptime_session_closed(struct httptime_session *session,
                                        uint32_t conn,
                                        int64_t now_ns);

// Reports that a connection could not be opened, or that it broke. The program has closed the
// socket.
//
// error: the errno of socket(), connect(), send() or recv(), or the value of SO_ERROR.
httptime_status httptime_session_failed(struct httptime_session *session,
                                        uint32_t conn,
                                        int32_t error,
                                        int64_t now_ns);

// The oldest event that has not been read. A server keeps its latest 16.
//
// event: its struct_size set by the caller; written if found. found: set to 1, or to 0 if there is
// none.
httptime_status httptime_session_next_event(struct httptime_session *session,
                                            struct httptime_event *event,
                                            int32_t *found);

// The requests to one server and the evidence from it so far.
//
// server: from 0, in the order of the URLs. progress: its struct_size set by the caller; written
// only on HTTPTIME_OK. Fails with HTTPTIME_ERROR_NOTHING_MEASURED before the first response.
httptime_status httptime_session_progress(const struct httptime_session *session,
                                          uint32_t server,
                                          struct httptime_progress *progress);

// Ends every server that is not done. The results are computed from the evidence so far. Then poll
// until DONE, or call httptime_session_finish.
httptime_status httptime_session_stop(struct httptime_session *session);

// Ends every server that is not done with HTTPTIME_ERROR_CANCELLED, which is then also the status
// of the survey. Then poll until DONE, or call httptime_session_finish.
httptime_status httptime_session_cancel(struct httptime_session *session);

// Computes the result of each server and the combined result. Servers that are not done are
// stopped. Afterwards the session can only be freed; the program must close sockets that are still
// open.
//
// end: both clocks now, or NULL: then the library reads them. survey: set to a new handle, which
// you must free with httptime_survey_free. HTTPTIME_OK only means that there is one: the status of
// httptime_survey_combined is that of the measurement. It is HTTPTIME_ERROR_CLOCK_MISMATCH if end
// is older than the last request or response, or begin younger than the first, and
// HTTPTIME_ERROR_CLOCK_STEPPED if the wall clock was set in between.
httptime_status httptime_session_finish(struct httptime_session *session,
                                        const struct httptime_cross_timestamp *end,
                                        struct httptime_survey **survey);

// Frees a session, finished or not.
//
// session: NULL does nothing.
void httptime_session_free(struct httptime_session *session);

// Writes the request for a date. Send it to the server of the URL unchanged, any number of times,
// over one connection.
//
// url: "http://host:port/path", port and path only if needed. buffer: size bytes, written only on
// HTTPTIME_OK, with a NUL after the request; the length of the URL plus 512 is always enough.
// length: set to the length without the NUL. Fails with HTTPTIME_ERROR_INVALID_URL and
// HTTPTIME_ERROR_BUFFER_TOO_SMALL. Any thread.
httptime_status httptime_request(const char *url, char *buffer, size_t size, size_t *length);

// Parses the value of a Date field ("Mon, 23 Nov 2026 09:37:12 GMT", or one of the two older
// formats), for programs whose HTTP library has parsed the head of a response, such as curl.
//
// value: length bytes, no NUL needed. date_ns: set to ns since 1970. Fails with
// HTTPTIME_ERROR_MALFORMED_DATE and HTTPTIME_ERROR_DATE_OUT_OF_RANGE. Any thread.
httptime_status httptime_parse_date(const char *value, size_t length, int64_t *date_ns);

// Creates a reader for a new connection.
//
// reader: set to the new handle, which you must free with httptime_reader_free.
httptime_status httptime_reader_new(struct httptime_reader **reader);

// Reads stamps from another header field [default: X-HTTPSTIME].
//
// name: as httptime_options.stamp_header. Fails with HTTPTIME_ERROR_INVALID_CONFIG.
httptime_status httptime_reader_set_stamp_header(struct httptime_reader *reader, const char *name);

// Adds bytes that were received on the connection, in pieces of any size.
//
// bytes: length bytes, copied.
httptime_status httptime_reader_feed(struct httptime_reader *reader,
                                     const char *bytes,
                                     size_t length);

// The head of the next response, when it is complete. Interim (1xx) responses are skipped.
//
// head: its struct_size set by the caller; written if found. found: set to 1, or to 0 if more
// bytes are needed. Fails with 30 to 37; after 30 to 33 nothing more can be read on this
// connection. On failure neither is written.
httptime_status httptime_reader_next(struct httptime_reader *reader,
                                     struct httptime_head *head,
                                     int32_t *found);

// The error for a connection that closes now: HTTPTIME_ERROR_EMPTY_REPLY or
// HTTPTIME_ERROR_CLOSED_EARLY. Changes nothing.
httptime_status httptime_reader_end(const struct httptime_reader *reader);

// Resets the reader for a new connection.
//
// reader: NULL does nothing.
void httptime_reader_clear(struct httptime_reader *reader);

// Frees a reader.
//
// reader: NULL does nothing.
void httptime_reader_free(struct httptime_reader *reader);

// Starts a measurement.
//
// options: NULL for the defaults; only profile, estimator, schedule, requests, drift_ppm, the
// numbers in ns except timeout_ns, and whether stamp_header is "" are used here. begin: both
// clocks now. measure: set to the new handle, which you must free with httptime_measure_free.
httptime_status httptime_measure_new(const struct httptime_options *options,
                                     const struct httptime_cross_timestamp *begin,
                                     struct httptime_measure **measure);

// Decides what to do next.
//
// earliest_ns: when a request can leave: now, or when a connection will be open. next: set to
// HTTPTIME_NEXT_*. at_ns: set to the time to send for HTTPTIME_NEXT_SEND, otherwise to
// earliest_ns. Call it again only after each of the calls below, and when the request missed its
// instant: while a request waits for its instant, it would plan another one.
httptime_status httptime_measure_next(struct httptime_measure *measure,
                                      int64_t earliest_ns,
                                      int32_t *next,
                                      int64_t *at_ns);

// Whether a request is too late to be sent: it would yield little information, and the next call
// of httptime_measure_next reschedules it. Call this right before sending.
//
// due_ns: as returned by httptime_measure_next. now_ns: the monotonic clock now. missed: set to 1
// or 0. After three in a row it is 0.
httptime_status httptime_measure_is_missed(const struct httptime_measure *measure,
                                           int64_t due_ns,
                                           int64_t now_ns,
                                           int32_t *missed);

// Reports that a request has left.
//
// at_ns: when its first byte was passed to the system, or a little before.
httptime_status httptime_measure_sent(struct httptime_measure *measure, int64_t at_ns);

// Uses the response to a request.
//
// exchange: used only during the call. Fails with 34, 38 to 43, 54 and 57: each ends the
// measurement without a result. Then httptime_measure_next returns HTTPTIME_NEXT_DONE, and
// httptime_measure_finish fails with the same status.
httptime_status httptime_measure_absorb(struct httptime_measure *measure,
                                        const struct httptime_exchange *exchange);

// Reports that a request could not be sent, or that its response did not arrive.
//
// was_sent: whether httptime_measure_sent was called for it. reason: an HTTPTIME_ERROR_*
// (HTTPTIME_ERROR_TIMEOUT_RESPONSE, the result of httptime_reader_end). Returns reason if there is
// no evidence yet: that is final. Otherwise HTTPTIME_OK: the measurement continues, and ends after
// three consecutive failures with the evidence that it has. Lost requests that were in flight at
// the same time are one failure.
httptime_status httptime_measure_lost(struct httptime_measure *measure,
                                      int32_t was_sent,
                                      httptime_status reason);

// The requests and the evidence so far.
//
// progress: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with
// HTTPTIME_ERROR_NOTHING_MEASURED before the first response.
httptime_status httptime_measure_progress(const struct httptime_measure *measure,
                                          struct httptime_progress *progress);

// Ends the measurement and computes the result. Afterwards the handle can only be freed, also
// after a failure.
//
// end: both clocks now. measurement: its struct_size set by the caller; written only on
// HTTPTIME_OK; its at_ns is on the caller's clock. Fails with the error that ended the
// measurement, if there is one; with HTTPTIME_ERROR_CLOCK_MISMATCH if end is older than the last
// request or response, or begin younger than the first; with HTTPTIME_ERROR_CLOCK_STEPPED if the
// wall clock was set since the beginning; and with HTTPTIME_ERROR_NOTHING_MEASURED.
httptime_status httptime_measure_finish(struct httptime_measure *measure,
                                        const struct httptime_cross_timestamp *end,
                                        struct httptime_measurement *measurement);

// Frees a measurement, finished or not.
//
// measure: NULL does nothing.
void httptime_measure_free(struct httptime_measure *measure);

// Creates an estimator.
//
// kind: HTTPTIME_ESTIMATOR_*. begin: both clocks now. lag_ns: as httptime_options.lag_ns.
// estimator: set to the new handle, which you must free with httptime_estimator_free.
httptime_status httptime_estimator_new(int32_t kind,
                                       const struct httptime_cross_timestamp *begin,
                                       int64_t lag_ns,
                                       struct httptime_estimator **estimator);

// Adds an exchange. Add them in the order in which they were made.
//
// exchange: used only during the call. Fails with HTTPTIME_ERROR_CACHED for an Age above zero and
// with HTTPTIME_ERROR_RECEIVED_BEFORE_SENT; the exchange is then not used.
httptime_status httptime_estimator_absorb(struct httptime_estimator *estimator,
                                          const struct httptime_exchange *exchange);

// The estimate from all exchanges so far.
//
// offset_ns: set to server - local; positive: the local clock is slow. stddev_ns: set to the
// standard deviation of its error; not a bound. Fails with HTTPTIME_ERROR_NOTHING_MEASURED before
// the first exchange.
httptime_status httptime_estimator_estimate(const struct httptime_estimator *estimator,
                                            int64_t *offset_ns,
                                            int64_t *stddev_ns);

// Frees an estimator.
//
// estimator: NULL does nothing.
void httptime_estimator_free(struct httptime_estimator *estimator);

// Finds the majority among the bounds of several servers (RFC 5905, section 11.2.1). The bounds
// must refer to about the same instant: widen the older ones by the drift allowance.
//
// lower_ns, upper_ns: count numbers each. count: 1 to 1024. common_lower_ns, common_upper_ns: set
// to the interval that more than half of the bounds have in common; it contains the true offset if
// more than half of them do. survivors: count bytes, each set to 1 or, for a falseticker, 0. Fails
// with HTTPTIME_ERROR_NO_MAJORITY and HTTPTIME_ERROR_AMBIGUOUS_MAJORITY. Any thread.
httptime_status httptime_select(const int64_t *lower_ns,
                                const int64_t *upper_ns,
                                size_t count,
                                int64_t *common_lower_ns,
                                int64_t *common_upper_ns,
                                uint8_t *survivors);

// Sets the default rules, including struct_size.
//
// policy: need not be initialised. struct_size: sizeof(httptime_policy). Any thread.
httptime_status httptime_policy_init(struct httptime_policy *policy, uint32_t struct_size);

// Decides what to do with the clock after a measurement. Changes nothing: use this function for a
// dry run.
//
// policy: NULL for the defaults. history: NULL for none. decision: its struct_size set by the
// caller; written only on HTTPTIME_OK, which is also the status of a refusal. Any thread.
httptime_status httptime_policy_decide(const struct httptime_policy *policy,
                                       const struct httptime_history *history,
                                       const struct httptime_measurement *measurement,
                                       struct httptime_decision *decision);

// CHANGES THE SYSTEM'S CLOCK: applies a decision, and tells the kernel the clock's error
// afterwards. A refusal changes nothing. Changes made before a failure remain.
//
// If the measurement has HTTPTIME_CERTIFICATES_SERVER_TIME, the clock is corrected but not marked
// as synchronised: measure again with clock_is_synchronised set, and apply that.
//
// measurement, decision: of httptime_policy_decide. now: both clocks now, on the monotonic clock
// of the measurement (httptime_cross_timestamp_now for one of httptime_query). Fails with
// HTTPTIME_ERROR_CLOCK_STEPPED if the wall clock was set since the measurement, and with 70 to 74.
// Needs root or CAP_SYS_TIME. One thread at a time.
httptime_status httptime_clock_apply(const struct httptime_measurement *measurement,
                                     const struct httptime_decision *decision,
                                     const struct httptime_cross_timestamp *now);

// CHANGES THE SYSTEM'S CLOCK: sets it at once. On Linux the clock is marked as not synchronised
// afterwards: call httptime_clock_set_synchronised.
//
// by_ns: how much forward; negative: back. Fails with 70 to 74; the clock is then unchanged. Needs
// root or CAP_SYS_TIME. One thread at a time.
httptime_status httptime_clock_step(int64_t by_ns);

// CHANGES THE SYSTEM'S CLOCK: slews it, at 500 ppm: a second takes 33 minutes. Replaces a running
// slew; 0 cancels it. Returns at once.
//
// by_ns: how much forward; negative: back (the clock never runs backward); rounded to a
// microsecond. Fails with 70 to 74; the clock is then unchanged. Needs root or CAP_SYS_TIME. One
// thread at a time.
httptime_status httptime_clock_slew(int64_t by_ns);

// The remainder of the last slew. Changes nothing and needs no privileges.
//
// by_ns: set to how much forward. Fails with HTTPTIME_ERROR_UNSUPPORTED if the kernel does not
// report it. Any thread.
httptime_status httptime_clock_remaining_slew(int64_t *by_ns);

// CHANGES THE STATUS OF THE SYSTEM'S CLOCK: tells the kernel that the clock is synchronised, as
// timedatectl and node_exporter show it. From then on the kernel also writes the time to the
// hardware clock.
//
// maximum_error_ns: a bound of the clock's error. estimated_error_ns: its standard deviation.
// Neither may be negative. Fails with 70 to 74; needs root or CAP_SYS_TIME. One thread at a time.
httptime_status httptime_clock_set_synchronised(int64_t maximum_error_ns,
                                                int64_t estimated_error_ns);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HTTPTIME_H */
