/*
 * httptime.h: how far this machine's clock is from a server's, by the Date header of plain HTTP.
 *
 * Made by cbindgen from crates/httptime-ffi. docs/c-api.md is the guide, examples/c/ has whole programs. The shortest:
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
 * OFFSETS are server clock - local clock. Positive: the local clock is slow (behind). One sign, everywhere.
 * UNITS: every time is an int64_t in nanoseconds and its name ends in _ns. Wall time counts from 1970-01-01T00:00:00Z
 *   without leap seconds; instants count on a monotonic clock.
 * ERRORS: functions that can fail return an httptime_status, 0 for success. httptime_error_message has the values seen.
 *   Results are written on success alone. Numbers in the text below are those of HTTPTIME_ERROR_*.
 * POINTERS must point to what the function says, for as long as the call takes; nothing is kept. NULL is
 *   HTTPTIME_ERROR_INVALID_ARGUMENT unless it is said to mean something. Texts are UTF-8 and end with a NUL.
 * OWNERSHIP: what a function whose name ends in _new or _run gives out is the caller's, to be freed once by the _free of
 *   the same name. Everything else stays whose it was.
 * STRUCTURES begin with struct_size: set it to the sizeof of the structure, and programs and libraries of different
 *   versions get along. Of what the caller hands in, a field that his header does not have is taken for the default; one
 *   that the library does not know must be zero. Of what the library writes, the caller gets as much as he has room for;
 *   what the library does not know becomes zero. Reserved fields are zero.
 * THREADS: functions may be called on any threads at once; a handle is used by one at a time unless its type says otherwise.
 * The library never prints, exits, installs a signal handler or raises SIGPIPE, and changes no clock but by the functions whose
 *   names begin with httptime_clock_.
 *
 * A library built without its feature "clock" lacks the functions that begin with httptime_clock_ and httptime_policy_.
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

// The version of this header as a number that can be compared: major * 65536 + minor * 256 + patch.
#define HTTPTIME_VERSION_NUMBER 256

// It went well.
#define HTTPTIME_OK 0

// A pointer is NULL, a struct_size cannot be, a number is none of the header's, a text is not UTF-8, or a handle
// was used out of order.
#define HTTPTIME_ERROR_INVALID_ARGUMENT 1

// The URL of a server or proxy cannot be used.
#define HTTPTIME_ERROR_INVALID_URL 2

// A setting is out of its range, or two contradict each other.
#define HTTPTIME_ERROR_INVALID_CONFIG 3

// A canceller ended it.
#define HTTPTIME_ERROR_CANCELLED 4

// A bug in the library. The process goes on; free the handles involved and do not use them otherwise.
#define HTTPTIME_ERROR_PANIC 5

// The system gave no file descriptors or threads.
#define HTTPTIME_ERROR_SYSTEM 6

// The buffer is too small.
#define HTTPTIME_ERROR_BUFFER_TOO_SMALL 7

// An error that this version of the library has no number for.
#define HTTPTIME_ERROR_OTHER 9

// The name of the server or proxy has no address.
#define HTTPTIME_ERROR_RESOLVE 10

// No address took the connection.
#define HTTPTIME_ERROR_CONNECT 11

// The connection was refused.
#define HTTPTIME_ERROR_CONNECTION_REFUSED 12

// Nothing happened for too long while resolving the name.
#define HTTPTIME_ERROR_TIMEOUT_RESOLVE 13

// ... while connecting.
#define HTTPTIME_ERROR_TIMEOUT_CONNECT 14

// ... while waiting for the proxy's tunnel.
#define HTTPTIME_ERROR_TIMEOUT_TUNNEL 15

// ... while sending the request.
#define HTTPTIME_ERROR_TIMEOUT_SEND 16

// ... while waiting for the response.
#define HTTPTIME_ERROR_TIMEOUT_RESPONSE 17

// The server closed the connection without an answer.
#define HTTPTIME_ERROR_EMPTY_REPLY 18

// The server closed the connection within the head of a response.
#define HTTPTIME_ERROR_CLOSED_EARLY 19

// The connection broke (a reset, for instance).
#define HTTPTIME_ERROR_CONNECTION_BROKE 20

// The proxy did not open the tunnel, or did not get through to the server.
#define HTTPTIME_ERROR_PROXY_REFUSED 21

// The proxy wants other credentials, or some at all.
#define HTTPTIME_ERROR_PROXY_CREDENTIALS 22

// What came back is not HTTP/1.
#define HTTPTIME_ERROR_NOT_HTTP 30

// The response head breaks the grammar of HTTP/1.
#define HTTPTIME_ERROR_MALFORMED_HEAD 31

// The response head is too large or has too many fields.
#define HTTPTIME_ERROR_HEAD_TOO_LARGE 32

// Interim (1xx) responses came without end.
#define HTTPTIME_ERROR_ENDLESS_INTERIM 33

// The response has no Date.
#define HTTPTIME_ERROR_NO_DATE 34

// The response has two Dates that differ.
#define HTTPTIME_ERROR_CONFLICTING_DATES 35

// The Date is in none of the three forms of RFC 9110.
#define HTTPTIME_ERROR_MALFORMED_DATE 36

// The Date is outside 1678-2262.
#define HTTPTIME_ERROR_DATE_OUT_OF_RANGE 37

// The Date is before the floor: no correct clock shows it.
#define HTTPTIME_ERROR_DATE_BEFORE_FLOOR 38

// The response came out of a cache, which stamped nothing.
#define HTTPTIME_ERROR_CACHED 39

// The Date stands still while the local clock goes on.
#define HTTPTIME_ERROR_DATE_FROZEN 40

// The Date of a later response is before that of an earlier one.
#define HTTPTIME_ERROR_DATE_WENT_BACK 41

// The responses contradict each other under the stated assumptions.
#define HTTPTIME_ERROR_INCONSISTENT 42

// The local clock was set meanwhile.
#define HTTPTIME_ERROR_CLOCK_STEPPED 50

// No majority of the servers agrees.
#define HTTPTIME_ERROR_NO_MAJORITY 51

// Two majorities agree on different times.
#define HTTPTIME_ERROR_AMBIGUOUS_MAJORITY 52

// None of several servers could be measured.
#define HTTPTIME_ERROR_ALL_FAILED 53

// An exchange was handed in whose times run backwards.
#define HTTPTIME_ERROR_RECEIVED_BEFORE_SENT 54

// Nothing has been measured (yet).
#define HTTPTIME_ERROR_NOTHING_MEASURED 55

// The kernel did not say when the request left and the response came, and only its times were wanted.
#define HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS 56

// Cross-timestamps and instants are not readings of one clock.
#define HTTPTIME_ERROR_CLOCK_MISMATCH 57

// The process may not change the clock: it needs root or CAP_SYS_TIME.
#define HTTPTIME_ERROR_NO_PRIVILEGE 70

// The clock cannot be changed from here (a container, a sandbox).
#define HTTPTIME_ERROR_READ_ONLY 71

// The clock does not go that far.
#define HTTPTIME_ERROR_OUT_OF_RANGE 72

// This kernel has no such operation.
#define HTTPTIME_ERROR_UNSUPPORTED 73

// The system call failed with another error number.
#define HTTPTIME_ERROR_CLOCK_FAILED 74

// At most 48 requests and about ten seconds, on one connection; up to 12 are checks, on another one.
#define HTTPTIME_PROFILE_BALANCED 0

// At most one request a second and 24 in all, 8 of them checks.
#define HTTPTIME_PROFILE_POLITE 1

// At most 64 requests and six seconds, up to four under way at once and a check; up to 12 are checks.
#define HTTPTIME_PROFILE_FAST 2

// How likely each offset is, given how round trips split. The most precise.
#define HTTPTIME_ESTIMATOR_POSTERIOR 0

// The middle of what all exchanges allow (Marzullo).
#define HTTPTIME_ESTIMATOR_INTERSECTION 1

// The same, with half of the shortest round trip known on each way.
#define HTTPTIME_ESTIMATOR_SYMMETRIC 2

// htpdate's bisection.
#define HTTPTIME_ESTIMATOR_HTPDATE 3

// The middle of the best single exchange (Cristian).
#define HTTPTIME_ESTIMATOR_MIDPOINT 4

// The last Date as it came.
#define HTTPTIME_ESTIMATOR_LAST_DATE 5

// As the profile has it.
#define HTTPTIME_SCHEDULE_PROFILE 0

// Evenly over the time allowed.
#define HTTPTIME_SCHEDULE_PERIODIC 1

// Each request at the middle of what is still unknown.
#define HTTPTIME_SCHEDULE_BISECT 2

// Several through one second's beginning, then closer.
#define HTTPTIME_SCHEDULE_SCAN 3

// The schedule of htpdate -p, for the estimator of that name.
#define HTTPTIME_SCHEDULE_HTPDATE 4

// Whatever addresses the resolver gives, in its order.
#define HTTPTIME_FAMILY_ANY 0

// IPv4 only.
#define HTTPTIME_FAMILY_IPV4 4

// IPv6 only.
#define HTTPTIME_FAMILY_IPV6 6

// The kernel's times of requests and responses where it gives them, else the program's, request by request.
#define HTTPTIME_TIMESTAMPING_AUTO 0

// The kernel's times. A response without both of them is not used; without any, the measurement fails with
// HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS.
#define HTTPTIME_TIMESTAMPING_KERNEL 1

// The program's times. The kernel is not asked.
#define HTTPTIME_TIMESTAMPING_USER 2

// HEAD; where the first answer to it has no Date, or the server closes the connection without any, GET from then on.
#define HTTPTIME_METHOD_AUTO 0

// HEAD.
#define HTTPTIME_METHOD_HEAD 1

// GET. A body is not read beyond 64 KiB: the connection is closed after one that is longer or of unknown length.
#define HTTPTIME_METHOD_GET 2

// OPTIONS *, which most servers in front of others answer by themselves. The path of the URL is not sent.
#define HTTPTIME_METHOD_OPTIONS 3

// For httptime_options.floor_ns: any Date is taken for possible.
#define HTTPTIME_NO_FLOOR INT64_MIN

// The most servers that one call asks.
#define HTTPTIME_MAX_SERVERS 16

// The standard deviation asked for was reached.
#define HTTPTIME_END_REASON_TARGET 1

// There was nothing more to gain.
#define HTTPTIME_END_REASON_ENOUGH 2

// The requests allowed were used up.
#define HTTPTIME_END_REASON_REQUESTS 3

// The time allowed was used up.
#define HTTPTIME_END_REASON_DURATION 4

// The server could no longer be asked. What it had answered before still holds.
#define HTTPTIME_END_REASON_LOST 5

// The caller stated the lag.
#define HTTPTIME_LAG_STATED 1

// The software named in the Server field made the Date: its figure.
#define HTTPTIME_LAG_PRODUCT 2

// The software is unknown: 2.02 s.
#define HTTPTIME_LAG_UNKNOWN 3

// The order of the fields shows that the software named in the Server field did not make the Date, or that a proxy has sorted
// them: 2.02 s.
#define HTTPTIME_LAG_FORWARDED 4

// The software named in the Server field can pass on the Date of another server, and nothing shows whether it did: 2.02 s.
#define HTTPTIME_LAG_MAY_BE_FORWARDED 5

// There are several Server fields: 2.02 s.
#define HTTPTIME_LAG_SEVERAL_SERVER_FIELDS 6

// Log nothing.
#define HTTPTIME_LOG_OFF 0

// Errors inside the library alone.
#define HTTPTIME_LOG_ERROR 1

// ... and what is unusual.
#define HTTPTIME_LOG_WARN 2

// ... and what goes on.
#define HTTPTIME_LOG_INFO 3

// ... and connections that fail or close.
#define HTTPTIME_LOG_DEBUG 4

// ... and every observation.
#define HTTPTIME_LOG_TRACE 5

// The name has addresses.
#define HTTPTIME_EVENT_RESOLVED 1

// A connection can take requests. text is the address, duration_ns how long opening it took.
#define HTTPTIME_EVENT_OPENED 2

// A connection was closed while no request was under way on it.
#define HTTPTIME_EVENT_DROPPED 3

// A request has left, at at_ns or a little later.
#define HTTPTIME_EVENT_SENT 4

// A request could not leave in time and is rescheduled. duration_ns is how late it would have been.
#define HTTPTIME_EVENT_RESCHEDULED 5

// A response was used. It came at at_ns, after a round trip of duration_ns, and gives lower_ns and upper_ns.
#define HTTPTIME_EVENT_ANSWERED 6

// A request or a connection was lost, for the reason in status and text. Nothing is sent before at_ns.
#define HTTPTIME_EVENT_LOST 7

// The server is done. status and text say why it failed; HTTPTIME_OK if it has a result.
#define HTTPTIME_EVENT_ENDED 8

// An address of a name does not answer, for the reason in status and text, and the next one is tried.
#define HTTPTIME_EVENT_NEXT_ADDRESS 9

// Something that this version of the library has no number for.
#define HTTPTIME_EVENT_OTHER 10

// The first request came to nothing, for the reason in status and text, and the server is asked by GET from now on.
#define HTTPTIME_EVENT_FALLBACK 11

// The numbers of connections are below this.
#define HTTPTIME_MAX_CONNECTIONS 64

// Find the addresses of host, and call httptime_session_resolved.
#define HTTPTIME_SESSION_RESOLVE 1

// Begin to open a TCP connection to address, without blocking. When the socket is writable, httptime_session_connected; or, by
// hand, httptime_session_opened. If it fails at once, httptime_session_failed.
#define HTTPTIME_SESSION_OPEN 2

// Call httptime_session_transmit. Or, by hand: read what has come on this connection, and report that if there is anything. If
// there is nothing: read the clock, write httptime_session_output once, and call httptime_session_sent.
#define HTTPTIME_SESSION_TRANSMIT 3

// Close the socket of this connection.
#define HTTPTIME_SESSION_CLOSE 4

// Wait until a socket is ready or until_ns has come, then call httptime_session_poll again.
#define HTTPTIME_SESSION_WAIT 5

// There is nothing more to do: httptime_session_finish.
#define HTTPTIME_SESSION_DONE 6

// Send a request at the instant given, or at once if it has passed.
#define HTTPTIME_NEXT_SEND 1

// Wait for a response that is under way.
#define HTTPTIME_NEXT_AWAIT 2

// Send no more: httptime_measure_finish.
#define HTTPTIME_NEXT_DONE 3

// The response was not the first one on its connection, and the connection goes to the server and not to a proxy.
#define HTTPTIME_EXCHANGE_REUSED_CONNECTION 1

// The request was one that a front server answers by itself (OPTIONS *), so that the Date is its own.
#define HTTPTIME_EXCHANGE_ANSWERED_BY_FRONT 2

// The path of the request ends without a file name extension ("/" or "/status", not "/index.html").
#define HTTPTIME_EXCHANGE_NO_FILE_EXTENSION 4

// Act only on what the bounds prove.
#define HTTPTIME_EVIDENCE_BOUNDS 0

// Below the step threshold act on the estimate, as an NTP client does.
#define HTTPTIME_EVIDENCE_ESTIMATE 1

// Nothing is to be done: the measurement does not show that the clock is wrong.
#define HTTPTIME_ACTION_LEAVE 0

// Turn the clock gradually.
#define HTTPTIME_ACTION_SLEW 1

// Set the clock at once.
#define HTTPTIME_ACTION_STEP 2

// Do nothing, and somebody should look at it.
#define HTTPTIME_ACTION_REFUSE 3

// Not refused.
#define HTTPTIME_REFUSAL_NONE 0

// The bounds leave more open than would be mended.
#define HTTPTIME_REFUSAL_BOUNDS_TOO_WIDE 1

// The clock would show a time before the floor.
#define HTTPTIME_REFUSAL_BEFORE_FLOOR 2

// More than may be corrected at once in this direction.
#define HTTPTIME_REFUSAL_TOO_FAR 3

// The steps since the start come to more than is allowed in all.
#define HTTPTIME_REFUSAL_ACCUMULATED 4

// The server's Date was not seen to advance.
#define HTTPTIME_REFUSAL_DATE_NOT_ADVANCED 5

// Ends a measurement under way, from another thread or from a signal handler. Named in httptime_options. It serves once:
// what is begun with a used one ends at once.
typedef struct httptime_canceller httptime_canceller;

// From exchanges to the one best offset, for programs that decide themselves when to send. It has no bounds and refuses no
// date but a stored response's: httptime_measure does. For one thread at a time, whichever.
typedef struct httptime_estimator httptime_estimator;

// The measurement of one server by a program with an HTTP library of its own, which takes responses apart (curl). A program
// that only has sockets uses httptime_session. Nothing here reads a clock, opens a socket or blocks. For one thread at a time,
// whichever.
//
// Until httptime_measure_next says HTTPTIME_NEXT_DONE: send when it says so and call httptime_measure_sent; with the response,
// httptime_measure_absorb; without one, httptime_measure_lost. Then httptime_measure_finish. Instants are ns on
// CLOCK_MONOTONIC (httptime_now), cross-timestamps included: another clock is HTTPTIME_ERROR_CLOCK_MISMATCH where it shows.
typedef struct httptime_measure httptime_measure;

// Turns the bytes that come on one connection into heads of responses. For one thread at a time, whichever.
typedef struct httptime_reader httptime_reader;

// The measurement of one server or several by a program with an event loop (libevent, libuv, poll). The session decides: when to
// connect and to send, what to retry, what a proxy's answer means, when to stop, which servers agree. The program owns sockets,
// timers and clocks. Nothing here opens a socket or blocks. For one thread at a time, whichever.
//
// Call httptime_session_poll until it says WAIT or DONE, and do what it says in between. Whenever a socket can be read from, call
// httptime_session_receive. Or, by hand: read once, read the clock after that, and call httptime_session_received; at the end of
// the stream close the socket and call httptime_session_closed, after an error httptime_session_failed. Poll again after each of
// these. Instants are ns on CLOCK_MONOTONIC: httptime_now.
typedef struct httptime_session httptime_session;

// What became of each server, and what they say together. It does not change: any number of threads may read it at once.
typedef struct httptime_survey httptime_survey;

// A TCP connection of the program's, and what the kernel says about it: when bytes left and when they came (SO_TIMESTAMPING,
// Linux only; elsewhere the times of the program are all there is). On a busy machine the times of a program contain the wait
// for a CPU; the kernel's do not. For one thread at a time, whichever.
typedef struct httptime_timestamps httptime_timestamps;

// How a call ended: HTTPTIME_OK, or an HTTPTIME_ERROR_* number. The numbers are frozen: none is ever given another meaning,
// and a newer library may return one that this header does not have.
typedef int32_t httptime_status;

// What has been sent and learnt so far. Written by the library.
typedef struct httptime_progress {
    // sizeof(httptime_progress), set by the caller; in a callback, by the library.
    uint32_t struct_size;
    // Which server, from 0 in the order of the URLs.
    uint32_t server;
    // Requests sent, answered or not.
    uint32_t requests;
    // Responses used.
    uint32_t observations;
    // The estimate so far: server - local. Positive: the local clock is slow.
    int64_t offset_ns;
    // Its standard deviation. Not a bound.
    int64_t stddev_ns;
    // The offset is no less than this.
    int64_t lower_ns;
    // The offset is no more than this.
    int64_t upper_ns;
    // The latest round trip.
    int64_t round_trip_ns;
} httptime_progress;

// Shown what has been learnt, after each exchange. Called on the thread that called the library, with no lock held; it may
// call the library. It must return (no longjmp, no C++ exception).
//
// progress: gone when it returns; its struct_size is the library's. user_data: httptime_options.progress_data.
typedef void (*httptime_progress_callback)(const struct httptime_progress *progress, void *user_data);

// How to measure. Filled by httptime_options_init, then changed where wanted. It is read during the call that it is given
// to and not kept: it may be on the stack and shared by threads.
typedef struct httptime_options {
    // sizeof(httptime_options). httptime_options_init sets it.
    uint32_t struct_size;
    // What to spend: HTTPTIME_PROFILE_*. Default: HTTPTIME_PROFILE_BALANCED.
    int32_t profile;
    // HTTPTIME_ESTIMATOR_*. Default: HTTPTIME_ESTIMATOR_POSTERIOR.
    int32_t estimator;
    // HTTPTIME_SCHEDULE_*. Default: HTTPTIME_SCHEDULE_PROFILE.
    int32_t schedule;
    // Which addresses of a name to use: HTTPTIME_FAMILY_*. Default: HTTPTIME_FAMILY_ANY.
    int32_t family;
    // The most requests to send to one server, up to 1000. 0, the default: as many as the profile has.
    uint32_t requests;
    // The two clocks come apart no faster than this, in parts per million; up to 10,000. Default: 300.
    uint32_t drift_ppm;
    // Through the proxy: not 0 has it open a tunnel (CONNECT) instead of forwarding requests. Default: 0.
    int32_t tunnel;
    // Whose times of requests and responses to use: HTTPTIME_TIMESTAMPING_*. Default: HTTPTIME_TIMESTAMPING_AUTO.
    int32_t timestamping;
    // How many servers must answer and agree, up to their number. 0, the default: more than half of them.
    uint32_t min_servers;
    // How long after the first request another one may be sent, up to an hour. 0, the default: as the profile has it.
    int64_t duration_ns;
    // The longest wait for a name, a connection or a response: 1 ms to an hour. Default: 5 s. A call takes no longer than
    // twice this and the duration together.
    int64_t timeout_ns;
    // Stop as soon as the standard deviation is no larger. 0, the default: never for that reason.
    int64_t target_ns;
    // The server's Date is late by no more than this, whatever its software; up to an hour. Negative, the default:
    // derived from the response, 2.02 s for unknown software.
    int64_t lag_ns;
    // The earliest Date taken for possible, ns since 1970. Default: 2025-01-01. HTTPTIME_NO_FLOOR takes any.
    int64_t floor_ns;
    // "http://user:password@host:port", the password and the port only if needed, or NULL, the default, for none. The
    // environment is not looked at. In user and password, / is %2F, ? is %3F, # is %23 and % is %25.
    const char *proxy;
    // The local address of every connection ("192.0.2.7", "2001:db8::7"), or NULL, the default, for the system's choice.
    const char *source_address;
    // The network interface of every connection ("eth0"), or NULL, the default, for the system's choice. Linux only; elsewhere
    // connections fail.
    const char *interface;
    // Ends the call from elsewhere, or NULL, the default.
    const struct httptime_canceller *canceller;
    // Called after each exchange, or NULL, the default.
    httptime_progress_callback progress;
    // Handed to it.
    void *progress_data;
    // What requests say in User-Agent: up to 256 characters of printable ASCII; "" for nothing. NULL, the default: httptime and
    // its version.
    const char *user_agent;
    // Which request the server is sent: HTTPTIME_METHOD_*. Default: HTTPTIME_METHOD_AUTO.
    int32_t method;
    // 0.
    int32_t reserved;
} httptime_options;

// How far the local clock is from a server's. Written by the library; set struct_size before.
typedef struct httptime_measurement {
    // sizeof(httptime_measurement), set by the caller.
    uint32_t struct_size;
    // Why no more requests were sent: HTTPTIME_END_REASON_*.
    int32_t end_reason;
    // The best single offset: server - local. Positive: the local clock is slow.
    int64_t offset_ns;
    // The standard deviation of the offset's error, given that the server's lag is small and the two ways of a round trip
    // are alike. Not a bound.
    int64_t stddev_ns;
    // The offset is no less than this, if the assumptions below hold.
    int64_t lower_ns;
    // The offset is no more than this, if the assumptions below hold.
    int64_t upper_ns;
    // The instant to which offset and bounds refer, on the monotonic clock: see httptime_now.
    int64_t at_ns;
    // What the local wall clock showed at that instant: ns since 1970-01-01T00:00:00Z.
    int64_t local_time_ns;
    // From the first request sent to the last response used.
    int64_t elapsed_ns;
    // The shortest round trip.
    int64_t round_trip_min_ns;
    // Assumed: the server's Date is late by no more than this.
    int64_t lag_ns;
    // Where that comes from: HTTPTIME_LAG_*.
    int32_t lag_source;
    // Assumed: the two clocks come apart no faster than this, in parts per million.
    uint32_t drift_ppm;
    // Requests sent, answered or not.
    uint32_t requests;
    // Responses used.
    uint32_t observations;
    // Of these, how many left at a time that the kernel gave.
    uint32_t sent_by_kernel;
    // Of these, how many came at a time that the kernel gave.
    uint32_t received_by_kernel;
    // Of the requests, how many were checks, whose answer was known before they were sent.
    uint32_t checks;
    // Whether the server's Date was seen to advance: 1 or 0. If not, it may stand still, and no clock is corrected by it.
    int32_t date_advanced;
    // The Server field of the last response that had one, ended by a NUL; empty for none, and for several servers.
    char server[136];
    // How the server was asked: HTTPTIME_METHOD_*. HTTPTIME_METHOD_AUTO for several servers that were asked by different methods, and
    // when the requests were not the library's.
    int32_t method;
    // For how many caches on the way the lag includes 1.02 s each.
    uint32_t caches;
} httptime_measurement;

// Both local clocks, read at one moment. It turns instants of the monotonic clock into wall time; a second one shows
// whether the wall clock was set in between.
typedef struct httptime_cross_timestamp {
    // sizeof(httptime_cross_timestamp), set by the caller.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // The monotonic clock: CLOCK_MONOTONIC in ns, as httptime_now.
    int64_t instant_ns;
    // The wall clock: ns since 1970-01-01T00:00:00Z.
    int64_t wall_ns;
    // How far apart the two readings may have been made.
    int64_t uncertainty_ns;
} httptime_cross_timestamp;

// Takes in a line of the log. Called on whichever thread has something to say, several at once, with no lock held: it may
// call this library, httptime_set_log too. It must return (no longjmp, no C++ exception).
//
// level: HTTPTIME_LOG_ERROR to HTTPTIME_LOG_TRACE. target, message: UTF-8 without a line end, gone when it returns.
// user_data: as given to httptime_set_log.
typedef void (*httptime_log_callback)(int32_t level,
                                      const char *target,
                                      const char *message,
                                      void *user_data);

// What the program is to do next. Written by httptime_session_poll; set struct_size before.
typedef struct httptime_session_action {
    // sizeof(httptime_session_action), set by the caller.
    uint32_t struct_size;
    // HTTPTIME_SESSION_*.
    int32_t kind;
    // Which server, from 0 in the order of the URLs. 0 for WAIT and DONE.
    uint32_t server;
    // Which connection, for OPEN, TRANSMIT and CLOSE: a number below HTTPTIME_MAX_CONNECTIONS; else 0. The program has a socket
    // for each.
    uint32_t conn;
    // For WAIT: until when; else 0.
    int64_t until_ns;
    // For WAIT: whether a request leaves at until_ns. A timer wakes too late for that: set it to some milliseconds earlier, then
    // poll without waiting until the instant has come.
    int32_t precise;
    // For OPEN: the size of address in bytes; else 0.
    uint32_t address_length;
    // For OPEN: where to, for socket() and connect(). Lives until the next call with this session. Else NULL.
    const struct sockaddr *address;
    // For RESOLVE: the name of the server or the proxy, for getaddrinfo(). Lives as long as the session. Else NULL.
    const char *host;
    // For RESOLVE: its port in digits, for getaddrinfo(). Lives as long as the session. Else NULL.
    const char *port;
    // NULL.
    const void *reserved;
} httptime_session_action;

// Something that happened in a session: for progress displays and logs. Written by the library; set struct_size before.
typedef struct httptime_event {
    // sizeof(httptime_event), set by the caller.
    uint32_t struct_size;
    // HTTPTIME_EVENT_*.
    int32_t kind;
    // Which server, from 0 in the order of the URLs.
    uint32_t server;
    // Why, for HTTPTIME_EVENT_LOST, HTTPTIME_EVENT_NEXT_ADDRESS, HTTPTIME_EVENT_FALLBACK and HTTPTIME_EVENT_ENDED; else HTTPTIME_OK.
    httptime_status status;
    // An instant, where the kind has one; else 0.
    int64_t at_ns;
    // A duration, where the kind has one; else 0.
    int64_t duration_ns;
    // For HTTPTIME_EVENT_ANSWERED: the offset is no less than this, according to this response alone. Else 0.
    int64_t lower_ns;
    // The offset is no more than this.
    int64_t upper_ns;
    // The address or the reason, ended by a NUL; else empty.
    char text[192];
} httptime_event;

// The head of a response, as far as it matters for the time. Written by the library; set struct_size before.
typedef struct httptime_head {
    // sizeof(httptime_head), set by the caller.
    uint32_t struct_size;
    // The status code, 200-999: any will do, a 404 has a good Date.
    uint32_t http_status;
    // The Date: ns since 1970.
    int64_t date_ns;
    // The Age, if has_age.
    int64_t age_ns;
    // Whether there is an Age: the response came through a cache.
    int32_t has_age;
    // Whether the server means to keep the connection open. If not, open another one for the next request.
    int32_t persistent;
    // Whether more bytes had come behind the head: then drop the connection, nothing on it can be relied on.
    int32_t has_trailing_bytes;
    // What the head shows of the servers that it passed: for httptime_exchange.marks.
    uint32_t marks;
    // The first Server field, ended by a NUL; empty for none.
    char server[136];
} httptime_head;

// One request and the head of its response, as whoever moved the bytes saw them. Begin with all of it zero.
typedef struct httptime_exchange {
    // sizeof(httptime_exchange), set by the caller.
    uint32_t struct_size;
    // Whether the response had an Age. If so and it is not zero, the response is refused.
    int32_t has_age;
    // When the request's first byte left, or a little before: the monotonic clock, read before the write.
    int64_t sent_ns;
    // When the whole head of the response had come: the same clock, read after the read that completed the head. An earlier
    // time, that of the first bytes, gives bounds that need not hold.
    int64_t received_ns;
    // The Date: ns since 1970.
    int64_t date_ns;
    // The Age, if has_age.
    int64_t age_ns;
    // The Server field, or NULL for none. Read during the call and not kept.
    const char *server;
    // httptime_head.marks of the response. 0, if nothing is known of its other fields and their order: a Server field that names a
    // front server does not count then.
    uint32_t marks;
    // Zero or more of HTTPTIME_EXCHANGE_*, or'ed.
    uint32_t flags;
} httptime_exchange;

// The rules for correcting a clock. Filled by httptime_policy_init, then changed where wanted. A negative limit is none.
typedef struct httptime_policy {
    // sizeof(httptime_policy). httptime_policy_init sets it.
    uint32_t struct_size;
    // HTTPTIME_EVIDENCE_*. Default: HTTPTIME_EVIDENCE_BOUNDS.
    int32_t evidence;
    // Larger errors are stepped, smaller ones slewed. Default: 128 ms. Negative: all are slewed.
    int64_t step_threshold_ns;
    // The most to correct forward at once. Default: 1000 s.
    int64_t max_forward_ns;
    // The most to correct backward at once. Default: 1000 s.
    int64_t max_backward_ns;
    // The same for the first correction since the start. Default: unlimited.
    int64_t max_startup_forward_ns;
    // The same for the first correction since the start. Default: 1800 s.
    int64_t max_startup_backward_ns;
    // The most to step in all since the start. Default: unlimited.
    int64_t max_accumulated_ns;
    // No time before this is set: ns since 1970. Default: the day on which the library was built.
    int64_t floor_ns;
} httptime_policy;

// What has been done to the clock so far. All of it zero: nothing yet, and nobody will look again.
typedef struct httptime_history {
    // sizeof(httptime_history), set by the caller.
    uint32_t struct_size;
    // Whether the clock was brought right once since the start; until then the start-up limits hold.
    int32_t settled;
    // The sizes of all steps since the start, added up.
    int64_t stepped_ns;
    // How long until the next decision: a slew gets no larger than that allows. 0: there is none.
    int64_t horizon_ns;
} httptime_history;

// What is to be done to the clock. Written by httptime_policy_decide; set struct_size before.
typedef struct httptime_decision {
    // sizeof(httptime_decision), set by the caller.
    uint32_t struct_size;
    // HTTPTIME_ACTION_*.
    int32_t action;
    // By how much to slew or step; positive: forward. Else 0.
    int64_t by_ns;
    // Why it is refused: HTTPTIME_REFUSAL_*.
    int32_t refusal;
    // 0.
    uint32_t reserved;
    // The refusal in words, with the values, ended by a NUL. Else empty.
    char reason[192];
} httptime_decision;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library that runs, as HTTPTIME_VERSION_NUMBER is that of the header. A library that is older than
// the header may not know all that the header says; a newer one does.
//
// Any thread, at any time.
uint32_t httptime_version_number(void);

// The version of the library that runs, as text ("0.1.0"). Static: not to be freed.
//
// Any thread, at any time.
const char *httptime_version(void);

// What a status means, in English ("the response has no Date"). Static: not to be freed. A number that is no status gives a
// text that says so; never NULL.
//
// Any thread, at any time.
const char *httptime_strerror(httptime_status status);

// The name of a status for machines ("no_date"; "ok" for HTTPTIME_OK), the same as in the JSON of the program httptime.
// Static: not to be freed. A number that is no status gives "unknown"; never NULL.
//
// Any thread, at any time.
const char *httptime_status_name(httptime_status status);

// Copies what the last function that failed on this thread had to say, with the values it saw ("cannot connect to
// 192.0.2.1:80: connection refused"), in UTF-8 and ended by a NUL, cut off to fit. Returns the length of the whole message
// without the NUL, as snprintf does: if that is not less than size, something is missing. 0 when nothing has failed.
//
// buffer: size bytes; may be NULL if size is 0, to ask for the length. Any thread; each has its own message.
size_t httptime_error_message(char *buffer,
                              size_t size);

// Fills in the defaults, struct_size too.
//
// options: need not be initialised. struct_size: sizeof(httptime_options), by which the library knows the caller's header.
// Fails with HTTPTIME_ERROR_INVALID_ARGUMENT for NULL and for a size that none of the headers had. Any thread.
httptime_status httptime_options_init(struct httptime_options *options,
                                      uint32_t struct_size);

// What the selected servers say together; with one server, what that one says.
//
// measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with the error of the only server, with
// HTTPTIME_ERROR_ALL_FAILED, _NO_MAJORITY, _AMBIGUOUS_MAJORITY or _CANCELLED.
httptime_status httptime_survey_combined(const struct httptime_survey *survey,
                                         struct httptime_measurement *measurement);

// How many servers were asked; 0 for NULL.
size_t httptime_survey_count(const struct httptime_survey *survey);

// What one server says.
//
// index: from 0, in the order of the URLs. measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails
// with why this server could not be measured; httptime_error_message has the values.
httptime_status httptime_survey_server(const struct httptime_survey *survey,
                                       size_t index,
                                       struct httptime_measurement *measurement);

// Whether a server is part of the majority: 1 or 0. Measured and not selected: a falseticker, or there is no majority. 0 for
// NULL and for an index that is none.
int32_t httptime_survey_is_selected(const struct httptime_survey *survey,
                                    size_t index);

// The URL of a server, as understood and without credentials. Lives as long as the survey. NULL for NULL and for an index
// that is none.
const char *httptime_survey_url(const struct httptime_survey *survey,
                                size_t index);

// Frees a survey.
//
// survey: NULL does nothing.
void httptime_survey_free(struct httptime_survey *survey);

// Measures one server, or several and selects among them. Blocks until it is done. Never touches a clock.
//
// urls: count texts, "http://host:port/path", port and path only if needed. count: 1 to HTTPTIME_MAX_SERVERS; with several,
// the majority decides.
// options: NULL for the defaults. measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with
// HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL, _INVALID_CONFIG before anything is sent, and with 4 to 55. Any thread,
// several at once.
httptime_status httptime_query(const char *const *urls,
                               size_t count,
                               const struct httptime_options *options,
                               struct httptime_measurement *measurement);

// As httptime_query, and keeps what became of each server. HTTPTIME_OK only says that they were asked: what came of it
// is httptime_survey_combined's status.
//
// survey: set to the new handle, which is yours: httptime_survey_free. The rest as for httptime_query.
httptime_status httptime_survey_run(const char *const *urls,
                                    size_t count,
                                    const struct httptime_options *options,
                                    struct httptime_survey **survey);

// The monotonic clock now, in ns. On Unix that is CLOCK_MONOTONIC itself: a program may as well call clock_gettime. All
// instants of this library count on it.
//
// Any thread, at any time.
int64_t httptime_now(void);

// Reads both local clocks at one moment, as closely as several tries make it.
//
// cross_timestamp: its struct_size set by the caller; written only on HTTPTIME_OK. Any thread.
httptime_status httptime_cross_timestamp_now(struct httptime_cross_timestamp *cross_timestamp);

// Makes a canceller. It holds two file descriptors.
//
// canceller: set to the new handle, which is yours: httptime_canceller_free. Fails with HTTPTIME_ERROR_SYSTEM when there
// are no descriptors left. Any thread.
httptime_status httptime_canceller_new(struct httptime_canceller **canceller);

// Cancels: every call that was given this canceller returns at once with HTTPTIME_ERROR_CANCELLED, or its surveys say so. A
// second time changes nothing.
//
// canceller: NULL does nothing. Any thread, any number of them; also from a signal handler: it neither locks nor allocates
// and leaves errno as it is (on Linux).
void httptime_canceller_cancel(const struct httptime_canceller *canceller);

// Frees a canceller. No call that was given it may still be running.
//
// canceller: NULL does nothing.
void httptime_canceller_free(struct httptime_canceller *canceller);

// Sends the library's log to callback, for the whole process. Without it there is none: the library never prints.
//
// callback: NULL for none, whatever the level. user_data: handed to callback; must be usable from every thread that calls
// this library. level: the most talkative lines wanted, HTTPTIME_LOG_OFF to HTTPTIME_LOG_TRACE. Any thread. A line that is
// under way on another thread may still reach the former callback shortly after this has returned.
httptime_status httptime_set_log(httptime_log_callback callback,
                                 void *user_data,
                                 int32_t level);

// Has the kernel take timestamps of a connection, where it can. Call it when the connection is open, before anything is
// written; not with HTTPTIME_TIMESTAMPING_USER. httptime_session_connected does it.
//
// fd: a TCP socket that does not block; it stays open until the handle is freed. timestamps: set to the new handle, which is
// yours: httptime_timestamps_free. Where the system has no such timestamps the handle works all the same and gives none.
httptime_status httptime_timestamps_enable(int32_t fd,
                                           struct httptime_timestamps **timestamps);

// Reads from the connection, instead of recv(). Call it when the socket is ready: for reading, or for an error, which is how the
// kernel reports its timestamps.
//
// buffer: size bytes, at least 1. count: set to the number of bytes read, to 0 at the end of the stream, or to an error number,
// negated: -EAGAIN when there is nothing to read.
httptime_status httptime_timestamps_read(struct httptime_timestamps *timestamps,
                                         void *buffer,
                                         size_t size,
                                         int64_t *count);

// Bytes were written to the connection. Call it after each send().
//
// count: how many were written. length: how many were to be written.
httptime_status httptime_timestamps_wrote(struct httptime_timestamps *timestamps,
                                          size_t count,
                                          size_t length);

// Frees the handle. The socket stays open.
//
// timestamps: NULL does nothing.
void httptime_timestamps_free(struct httptime_timestamps *timestamps);

// Begins the measurement of some servers.
//
// urls, count: as for httptime_query. options: NULL for the defaults; source_address, interface, canceller and progress have no
// meaning here. begin: both clocks as they are now, or NULL: then the library reads them. session: set to the new handle, which is yours:
// httptime_session_free. Fails with HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL and _INVALID_CONFIG.
httptime_status httptime_session_new(const char *const *urls,
                                     size_t count,
                                     const struct httptime_options *options,
                                     const struct httptime_cross_timestamp *begin,
                                     struct httptime_session **session);

// What to do next.
//
// now_ns: the monotonic clock now. action: its struct_size set by the caller; written only on HTTPTIME_OK.
httptime_status httptime_session_poll(struct httptime_session *session,
                                      int64_t now_ns,
                                      struct httptime_session_action *action);

// The addresses of a name, or why there are none. The session uses those of the family in the options.
//
// server: of HTTPTIME_SESSION_RESOLVE. addresses: what getaddrinfo, evdns_getaddrinfo or uv_getaddrinfo gives (ai_addr,
// ai_addrlen and ai_next are read), or NULL; not kept. error: if addresses is NULL, why, in words (gai_strerror), or NULL.
httptime_status httptime_session_resolved(struct httptime_session *session,
                                          uint32_t server,
                                          const struct addrinfo *addresses,
                                          const char *error,
                                          int64_t now_ns);

// A TCP connection is open.
httptime_status httptime_session_opened(struct httptime_session *session,
                                        uint32_t conn,
                                        int64_t now_ns);

// A socket that was connecting is writable: reports that the connection is open, or has failed, and has the kernel take
// timestamps where it can and the options want them.
//
// fd: the socket; it stays open until its timestamps are freed. timestamps: set to a new handle, which is yours:
// httptime_timestamps_free; NULL if the connection failed. outcome: set to 1, or to -1 when the connection failed: close the socket.
httptime_status httptime_session_connected(struct httptime_session *session,
                                           uint32_t conn,
                                           int32_t fd,
                                           struct httptime_timestamps **timestamps,
                                           int32_t *outcome);

// The bytes to write to a connection.
//
// bytes, length: set to them. They live until the next call with this session other than this one.
httptime_status httptime_session_output(const struct httptime_session *session,
                                        uint32_t conn,
                                        const char **bytes,
                                        size_t *length);

// Bytes of httptime_session_output were written.
//
// count: how many; 0 when the write would have blocked. at_ns: the monotonic clock, read before the write.
httptime_status httptime_session_sent(struct httptime_session *session,
                                      uint32_t conn,
                                      size_t count,
                                      int64_t at_ns);

// Whether httptime_session_writable is to be called when this connection takes bytes again: 1 or 0. 0 for NULL and for a
// number that is none.
int32_t httptime_session_is_waiting_to_write(const struct httptime_session *session,
                                             uint32_t conn);

// A connection takes bytes again.
httptime_status httptime_session_writable(struct httptime_session *session, uint32_t conn);

// Bytes were read from a connection. Each read is reported on its own: the time of a response is that of the read that
// completes its head.
//
// bytes: length bytes, copied. at_ns: the monotonic clock, read after the read. timestamps: those of this connection, by
// which the bytes were read (httptime_timestamps_read), or NULL if it has none.
httptime_status httptime_session_received(struct httptime_session *session,
                                          uint32_t conn,
                                          const char *bytes,
                                          size_t length,
                                          int64_t at_ns,
                                          struct httptime_timestamps *timestamps);

// Reads once from a connection and reports what came: httptime_session_received, _closed or _failed.
//
// timestamps: those of the connection. outcome: set to 1, to 0 when there was nothing to read, or to -1 when the connection is
// gone: free its timestamps and close its socket.
httptime_status httptime_session_receive(struct httptime_session *session,
                                         uint32_t conn,
                                         struct httptime_timestamps *timestamps,
                                         int32_t *outcome);

// Does what HTTPTIME_SESSION_TRANSMIT asks for: reports what has come, or writes once.
//
// timestamps: those of the connection. outcome: as for httptime_session_receive.
httptime_status httptime_session_transmit(struct httptime_session *session,
                                          uint32_t conn,
                                          struct httptime_timestamps *timestamps,
                                          int32_t *outcome);

// The other end closed a connection. The program has closed the socket.
httptime_status httptime_session_closed(struct httptime_session *session,
                                        uint32_t conn,
                                        int64_t now_ns);

// A connection could not be opened, or it broke. The program has closed the socket.
//
// error: the errno of socket(), connect(), send() or recv(), or the value of SO_ERROR.
httptime_status httptime_session_failed(struct httptime_session *session,
                                        uint32_t conn,
                                        int32_t error,
                                        int64_t now_ns);

// The oldest event that was not taken yet. A server keeps its latest 16.
//
// event: its struct_size set by the caller; written when found. found: set to 1, or to 0 when there is none.
httptime_status httptime_session_next_event(struct httptime_session *session,
                                            struct httptime_event *event,
                                            int32_t *found);

// What has been sent to one server and learnt from it so far.
//
// server: from 0, in the order of the URLs. progress: its struct_size set by the caller; written only on HTTPTIME_OK. Fails
// with HTTPTIME_ERROR_NOTHING_MEASURED before the first response.
httptime_status httptime_session_progress(const struct httptime_session *session,
                                          uint32_t server,
                                          struct httptime_progress *progress);

// Ends every server that is not done; what was measured counts. Then poll until DONE, or httptime_session_finish.
httptime_status httptime_session_stop(struct httptime_session *session);

// Ends every server that is not done with HTTPTIME_ERROR_CANCELLED, and so the whole. Then poll until DONE, or
// httptime_session_finish.
httptime_status httptime_session_cancel(struct httptime_session *session);

// What became of each server, and what they say together. Servers that are not done are stopped. The session is still to be
// freed and good for nothing else; sockets that are still open are the program's to close.
//
// end: both clocks as they are now, or NULL: then the library reads them. survey: set to a new handle, which is yours: httptime_survey_free.
// HTTPTIME_OK only says that there is one: httptime_survey_combined has the status of the measurement. It is
// HTTPTIME_ERROR_CLOCK_MISMATCH when end is older than the last request or response, or begin younger than the first, and
// HTTPTIME_ERROR_CLOCK_STEPPED when the wall clock was set in between.
httptime_status httptime_session_finish(struct httptime_session *session,
                                        const struct httptime_cross_timestamp *end,
                                        struct httptime_survey **survey);

// Frees a session, finished or not.
//
// session: NULL does nothing.
void httptime_session_free(struct httptime_session *session);

// Writes the request for a date, to be sent to the server of a URL as it is, as often as wanted, over one connection.
//
// url: "http://host:port/path", port and path only if needed. buffer: size bytes, written only on HTTPTIME_OK, with a NUL behind the request; the
// length of the URL and 512 more are always enough. length: set to the length without the NUL. Fails with
// HTTPTIME_ERROR_INVALID_URL and HTTPTIME_ERROR_BUFFER_TOO_SMALL. Any thread.
httptime_status httptime_request(const char *url,
                                 char *buffer,
                                 size_t size,
                                 size_t *length);

// Reads the value of a Date field ("Mon, 23 Nov 2026 09:37:12 GMT", or one of the two older forms), for programs that
// have the head of a response taken apart already, as with curl.
//
// value: length bytes, no NUL needed. date_ns: set to ns since 1970. Fails with HTTPTIME_ERROR_MALFORMED_DATE and
// HTTPTIME_ERROR_DATE_OUT_OF_RANGE. Any thread.
httptime_status httptime_parse_date(const char *value,
                                    size_t length,
                                    int64_t *date_ns);

// Makes a reader for a new connection.
//
// reader: set to the new handle, which is yours: httptime_reader_free.
httptime_status httptime_reader_new(struct httptime_reader **reader);

// Takes in bytes that came on the connection, in whatever pieces.
//
// bytes: length bytes, copied.
httptime_status httptime_reader_feed(struct httptime_reader *reader,
                                     const char *bytes,
                                     size_t length);

// The head of the next response, once it has come. Interim (1xx) responses are skipped.
//
// head: its struct_size set by the caller; written when found. found: set to 1, or to 0 when more bytes are needed. Fails with
// 30 to 37; after 30 to 33 nothing more can be read on this connection. On failure neither is written.
httptime_status httptime_reader_next(struct httptime_reader *reader,
                                     struct httptime_head *head,
                                     int32_t *found);

// What it means that the connection ends here: HTTPTIME_ERROR_EMPTY_REPLY or HTTPTIME_ERROR_CLOSED_EARLY. Changes nothing.
httptime_status httptime_reader_end(const struct httptime_reader *reader);

// Forgets everything, for a new connection.
//
// reader: NULL does nothing.
void httptime_reader_clear(struct httptime_reader *reader);

// Frees a reader.
//
// reader: NULL does nothing.
void httptime_reader_free(struct httptime_reader *reader);

// Begins a measurement.
//
// options: NULL for the defaults; of these, profile, estimator, schedule, requests, drift_ppm and the numbers in ns but
// timeout_ns have a meaning here. begin: both clocks as
// they are now. measure: set to the new handle, which is yours: httptime_measure_free.
httptime_status httptime_measure_new(const struct httptime_options *options,
                                     const struct httptime_cross_timestamp *begin,
                                     struct httptime_measure **measure);

// What to do next.
//
// earliest_ns: when a request can leave: now, or when a connection will be open. next: set to HTTPTIME_NEXT_*. at_ns: set to
// when to send if it is HTTPTIME_NEXT_SEND, else to earliest_ns. Ask again after each of the calls below, and when the
// instant could not be kept.
httptime_status httptime_measure_next(struct httptime_measure *measure,
                                      int64_t earliest_ns,
                                      int32_t *next,
                                      int64_t *at_ns);

// Whether a request is too late to be sent: it would tell little, and the next call of httptime_measure_next reschedules it.
// Ask right before sending.
//
// due_ns: what httptime_measure_next gave. now_ns: the monotonic clock now. missed: set to 1 or 0. After three in a row it is
// 0.
httptime_status httptime_measure_is_missed(const struct httptime_measure *measure,
                                           int64_t due_ns,
                                           int64_t now_ns,
                                           int32_t *missed);

// A request has left.
//
// at_ns: when its first byte was handed to the system, or a little before.
httptime_status httptime_measure_sent(struct httptime_measure *measure, int64_t at_ns);

// Takes in the answer to a request.
//
// exchange: not kept. Fails with 38 to 42, 54 and 57: each ends the measurement for good, and it proves nothing. Then
// httptime_measure_next says HTTPTIME_NEXT_DONE and httptime_measure_finish fails the same way.
httptime_status httptime_measure_absorb(struct httptime_measure *measure,
                                        const struct httptime_exchange *exchange);

// A request could not be sent, or its answer did not come.
//
// was_sent: whether httptime_measure_sent was called for it. reason: an HTTPTIME_ERROR_* (HTTPTIME_ERROR_TIMEOUT_RESPONSE, the
// result of httptime_reader_end). Returns reason when nothing has been measured yet: that is final. Otherwise HTTPTIME_OK: the
// measurement goes on, and ends after three failures in a row with what it has. Requests lost that were under way at the same time
// are one failure.
httptime_status httptime_measure_lost(struct httptime_measure *measure,
                                      int32_t was_sent,
                                      httptime_status reason);

// What has been sent and learnt so far.
//
// progress: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with HTTPTIME_ERROR_NOTHING_MEASURED before
// the first answer.
httptime_status httptime_measure_progress(const struct httptime_measure *measure,
                                          struct httptime_progress *progress);

// Ends the measurement. The handle is still to be freed and good for nothing else, whether this succeeds or fails.
//
// end: both clocks as they are now. measurement: its struct_size set by the caller; written only on HTTPTIME_OK; its at_ns is
// on the caller's clock. Fails with what ended the measurement for good, if something did; with
// HTTPTIME_ERROR_CLOCK_MISMATCH when end is older than the last request or answer, or begin younger than the first; with
// HTTPTIME_ERROR_CLOCK_STEPPED when the wall clock was set since the beginning, and with
// HTTPTIME_ERROR_NOTHING_MEASURED.
httptime_status httptime_measure_finish(struct httptime_measure *measure,
                                        const struct httptime_cross_timestamp *end,
                                        struct httptime_measurement *measurement);

// Frees a measurement, finished or not.
//
// measure: NULL does nothing.
void httptime_measure_free(struct httptime_measure *measure);

// Makes an estimator.
//
// kind: HTTPTIME_ESTIMATOR_*. begin: both clocks as they are now. lag_ns: as httptime_options.lag_ns. estimator: set to the
// new handle, which is yours: httptime_estimator_free.
httptime_status httptime_estimator_new(int32_t kind,
                                       const struct httptime_cross_timestamp *begin,
                                       int64_t lag_ns,
                                       struct httptime_estimator **estimator);

// Takes in one more exchange, in the order in which they were made.
//
// exchange: not kept. Fails with HTTPTIME_ERROR_CACHED for an Age above zero and with
// HTTPTIME_ERROR_RECEIVED_BEFORE_SENT; nothing is taken in then.
httptime_status httptime_estimator_absorb(struct httptime_estimator *estimator,
                                          const struct httptime_exchange *exchange);

// The estimate from all exchanges so far.
//
// offset_ns: set to server - local; positive: the local clock is slow. stddev_ns: set to the standard deviation of its error;
// not a bound. Fails with HTTPTIME_ERROR_NOTHING_MEASURED before the first exchange.
httptime_status httptime_estimator_estimate(const struct httptime_estimator *estimator,
                                            int64_t *offset_ns,
                                            int64_t *stddev_ns);

// Frees an estimator.
//
// estimator: NULL does nothing.
void httptime_estimator_free(struct httptime_estimator *estimator);

// Finds the majority among the bounds of several servers (RFC 5905, section 11.2.1). They must refer to about the same
// instant: widen the older ones by the drift allowance.
//
// lower_ns, upper_ns: count numbers each. count: 1 to 1024. common_lower_ns, common_upper_ns: set to what more than half of
// the bounds have in common, which holds the truth if more than half of them do. survivors: count bytes, each set to 1 or, for a falseticker, 0. Fails with
// HTTPTIME_ERROR_NO_MAJORITY and HTTPTIME_ERROR_AMBIGUOUS_MAJORITY. Any thread.
httptime_status httptime_select(const int64_t *lower_ns,
                                const int64_t *upper_ns,
                                size_t count,
                                int64_t *common_lower_ns,
                                int64_t *common_upper_ns,
                                uint8_t *survivors);

// Fills in the default rules, struct_size too.
//
// policy: need not be initialised. struct_size: sizeof(httptime_policy). Any thread.
httptime_status httptime_policy_init(struct httptime_policy *policy, uint32_t struct_size);

// Decides what to do about the clock on the strength of a measurement. Changes nothing: a dry run is this function.
//
// policy: NULL for the defaults. history: NULL for none. decision: its struct_size set by the caller; written only on
// HTTPTIME_OK, which a refusal is too. Any thread.
httptime_status httptime_policy_decide(const struct httptime_policy *policy,
                                       const struct httptime_history *history,
                                       const struct httptime_measurement *measurement,
                                       struct httptime_decision *decision);

// CHANGES THE SYSTEM'S CLOCK: does what was decided, and tells the kernel how right the clock is then. A refusal changes
// nothing. What was done before a failure stays done.
//
// measurement, decision: of httptime_policy_decide. now: both clocks as they are now, on the monotonic clock of the
// measurement (httptime_cross_timestamp_now for one of httptime_query). Fails with HTTPTIME_ERROR_CLOCK_STEPPED when the wall clock has
// been set since the measurement, and with 70 to 74; needs root or CAP_SYS_TIME. One thread at a time.
httptime_status httptime_clock_apply(const struct httptime_measurement *measurement,
                                     const struct httptime_decision *decision,
                                     const struct httptime_cross_timestamp *now);

// CHANGES THE SYSTEM'S CLOCK: sets it at once. On Linux the clock counts as not synchronised afterwards:
// httptime_clock_set_synchronised.
//
// by_ns: how much forward; negative: back. Fails with 70 to 74; the clock is then as it was. Needs root or CAP_SYS_TIME. One
// thread at a time.
httptime_status httptime_clock_step(int64_t by_ns);

// CHANGES THE SYSTEM'S CLOCK: turns it gradually, at 500 ppm: a second takes 33 minutes. Replaces a slew under way; 0 ends
// it. Returns at once.
//
// by_ns: how much forward; negative: back (the clock never runs backward); rounded to a microsecond. Fails with 70 to 74; the
// clock is then as it was. Needs root or CAP_SYS_TIME. One thread at a time.
httptime_status httptime_clock_slew(int64_t by_ns);

// What is still to be done of the last slew. Changes nothing, needs no privileges.
//
// by_ns: set to how much forward. Fails with HTTPTIME_ERROR_UNSUPPORTED where the kernel does not tell. Any thread.
httptime_status httptime_clock_remaining_slew(int64_t *by_ns);

// CHANGES WHAT THE SYSTEM SAYS OF ITS CLOCK: tells the kernel that the clock is right, as timedatectl and node_exporter
// show it; from then on the kernel also writes it to the hardware clock.
//
// maximum_error_ns: a bound of the clock's error. estimated_error_ns: its standard deviation. Neither may be negative. Fails
// with 70 to 74; needs root or CAP_SYS_TIME. One thread at a time.
httptime_status httptime_clock_set_synchronised(int64_t maximum_error_ns,
                                                int64_t estimated_error_ns);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HTTPTIME_H */
