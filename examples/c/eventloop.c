/*
 * Measures with its own HTTP requests: eventloop 192.0.2.1 80
 *
 * The library decides when to send, and the program reports the responses. This is for programs
 * whose HTTP library parses the responses. With plain sockets a program is much shorter, and gets
 * retries, deadlines and proxies: see session_poll.c and session_libevent.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <httptime.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_NS INT64_C(5000000000)

/* The state of the loop. */
struct session {
    httptime_measure *measure;
    httptime_reader *reader;
    struct addrinfo *address;
    char request[1024];
    size_t length;
    int socket;      /* -1: none */
    int64_t sent_ns; /* when the pending request left; 0: none is */
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A cross-timestamp: the wall clock between two readings of the monotonic clock. */
static httptime_cross_timestamp read_clocks(void)
{
    int64_t before = now_ns(CLOCK_MONOTONIC);
    int64_t wall = now_ns(CLOCK_REALTIME);
    int64_t after = now_ns(CLOCK_MONOTONIC);
    httptime_cross_timestamp cross_timestamp = {
        sizeof cross_timestamp, 0, before + (after - before) / 2, wall, after - before + 1,
    };
    return cross_timestamp;
}

static int is_failure(httptime_status status)
{
    char message[256];
    if (status == HTTPTIME_OK)
        return 0;
    httptime_error_message(message, sizeof message);
    fprintf(stderr, "eventloop: %s: %s\n", httptime_status_name(status), message);
    return 1;
}

static void drop(struct session *session)
{
    if (session->socket >= 0)
        close(session->socket);
    session->socket = -1;
    httptime_reader_clear(session->reader);
}

/* Gives up on the pending request; the measurement may continue without it. */
static httptime_status lose(struct session *session, httptime_status why)
{
    int was_sent = session->sent_ns != 0;
    session->sent_ns = 0;
    drop(session);
    return httptime_measure_lost(session->measure, was_sent, why);
}

static httptime_status send_request(struct session *session, int64_t due)
{
    int32_t is_missed = 0;
    if (session->socket < 0) {
        /* A real loop would connect without blocking, before the instant. */
        session->socket = socket(session->address->ai_family, SOCK_STREAM, 0);
        if (session->socket < 0)
            return HTTPTIME_ERROR_SYSTEM;
        if (connect(session->socket, session->address->ai_addr, session->address->ai_addrlen) != 0)
            return lose(session, errno == ECONNREFUSED ? HTTPTIME_ERROR_CONNECTION_REFUSED
                                                       : HTTPTIME_ERROR_CONNECT);
        fcntl(session->socket, F_SETFL, O_NONBLOCK);
        return HTTPTIME_OK; /* it is open now; httptime_measure_next returns the time to send */
    }
    int64_t now = now_ns(CLOCK_MONOTONIC);
    httptime_status status = httptime_measure_is_missed(session->measure, due, now, &is_missed);
    if (status != HTTPTIME_OK || is_missed)
        return status; /* too late to be useful: httptime_measure_next gives another instant */
    if (send(session->socket, session->request, session->length, MSG_NOSIGNAL) !=
        (ssize_t)session->length) {
        drop(session); /* closed while idle: open another one */
        return HTTPTIME_OK;
    }
    session->sent_ns = now;
    return httptime_measure_sent(session->measure, now);
}

static httptime_status read_response(struct session *session)
{
    char bytes[4096];
    httptime_head head = { .struct_size = sizeof head };
    int32_t found = 0;
    ssize_t count = recv(session->socket, bytes, sizeof bytes, 0);
    /* Read after each recv: the time of the one that completes the head counts. */
    int64_t received = now_ns(CLOCK_MONOTONIC);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? HTTPTIME_OK
                                                 : lose(session, HTTPTIME_ERROR_CONNECTION_BROKE);
    if (session->sent_ns == 0) {
        drop(session); /* no request is pending: the connection closed, or sent garbage */
        return HTTPTIME_OK;
    }
    if (count == 0)
        return lose(session, httptime_reader_end(session->reader));
    httptime_status status = httptime_reader_feed(session->reader, bytes, (size_t)count);
    if (status == HTTPTIME_OK)
        status = httptime_reader_next(session->reader, &head, &found);
    if (status != HTTPTIME_OK || !found)
        return status;
    httptime_exchange exchange = {
        .struct_size = sizeof exchange,
        .has_age = head.has_age,
        .sent_ns = session->sent_ns,
        .received_ns = received,
        .date_ns = head.date_ns,
        .age_ns = head.age_ns,
        .server = head.server,
        .marks = head.marks,
        .stamp = head.stamp,
    };
    session->sent_ns = 0;
    if (!head.persistent || head.has_trailing_bytes)
        drop(session);
    return httptime_measure_absorb(session->measure, &exchange);
}

/*
 * One iteration of the loop: does what is due, then waits for the socket or the next instant.
 * Returns 0 when the measurement is done.
 */
static int turn(struct session *session, httptime_status *status)
{
    int32_t next;
    int64_t at, now = now_ns(CLOCK_MONOTONIC);
    *status = httptime_measure_next(session->measure, now, &next, &at);
    if (*status != HTTPTIME_OK || next == HTTPTIME_NEXT_DONE)
        return 0;
    if (next == HTTPTIME_NEXT_SEND && (at <= now || session->socket < 0)) {
        *status = send_request(session, at);
        return *status == HTTPTIME_OK;
    }
    if (next == HTTPTIME_NEXT_AWAIT)
        at = session->sent_ns + TIMEOUT_NS;
    if (at <= now) {
        *status = lose(session, HTTPTIME_ERROR_TIMEOUT_RESPONSE);
        return *status == HTTPTIME_OK;
    }
    /* A timer wakes late: poll during the last millisecond. */
    struct pollfd wanted = { .fd = session->socket, .events = POLLIN };
    int ms = (int)((at - now) / 1000000) - 1;
    if (poll(&wanted, 1, ms > 0 ? ms : 0) > 0)
        *status = read_response(session);
    return *status == HTTPTIME_OK;
}

int main(int argc, char **argv)
{
    struct session session = { .socket = -1 };
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    httptime_measurement m = { .struct_size = sizeof m };
    httptime_cross_timestamp begin = read_clocks(), end;
    httptime_status status;
    char url[256];

    if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &session.address) != 0) {
        fprintf(stderr, "usage: eventloop HOST PORT\n");
        return 2;
    }
    snprintf(url, sizeof url, "http://%s:%s/", argv[1], argv[2]);
    if (is_failure(
            httptime_request(url, session.request, sizeof session.request, &session.length)) ||
        is_failure(httptime_reader_new(&session.reader)) ||
        is_failure(httptime_measure_new(NULL, &begin, &session.measure)))
        return 1;
    while (turn(&session, &status))
        continue;
    end = read_clocks();
    if (status == HTTPTIME_OK)
        status = httptime_measure_finish(session.measure, &end, &m);
    if (!is_failure(status))
        printf("%+.6f s, bounds %+.6f to %+.6f, %u requests in %.1f s\n", (double)m.offset_ns / 1e9,
               (double)m.lower_ns / 1e9, (double)m.upper_ns / 1e9, (unsigned)m.requests,
               (double)m.elapsed_ns / 1e9);
    drop(&session);
    freeaddrinfo(session.address);
    httptime_measure_free(session.measure);
    httptime_reader_free(session.reader);
    return status != HTTPTIME_OK;
}
