/* Measures in a libevent loop: session_libevent http://192.0.2.1/ http://192.0.2.2/ http://192.0.2.3/
 * HTTPTIME_PROXY=http://192.0.2.9:3128 uses a proxy, HTTPTIME_CACERT=FILE trusts a CA for https. The
 * session makes the decisions, and the TLS; this program has its sockets and a timer. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <httptime.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static httptime_session *session;
static struct event_base *base;
static struct evdns_base *names;
static struct event *turn; /* polls the session at its next instant and after every event */
static struct connection {
    struct event *readable, *writable;
    httptime_timestamps *timestamps; /* NULL: not connected yet */
} connections[HTTPTIME_MAX_CONNECTIONS];

static void drop(struct connection *c)
{
    evutil_closesocket(event_get_fd(c->readable));
    event_free(c->readable);
    event_free(c->writable);
    httptime_timestamps_free(c->timestamps);
    *c = (struct connection){ 0 };
}

static void on_ready(evutil_socket_t fd, short what, void *data)
{
    struct connection *c = data;
    uint32_t conn = (uint32_t)(c - connections);
    int32_t came = 0;
    if (what & EV_READ)
        httptime_session_receive(session, conn, c->timestamps, &came);
    else if (c->timestamps != NULL)
        httptime_session_writable(session, conn);
    else
        httptime_session_connected(session, conn, fd, &c->timestamps, &came);
    if (came < 0)
        drop(c);
    else
        event_add(c->readable, NULL);
    event_active(turn, EV_TIMEOUT, 0);
}

static void start(struct connection *c, const httptime_session_action *a)
{
    int fd = socket(a->address->sa_family, SOCK_STREAM, 0);
    c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_ready, c);
    c->writable = event_new(base, fd, EV_WRITE, on_ready, c);
    evutil_make_socket_nonblocking(fd);
    event_add(c->writable, NULL);
    if (connect(fd, a->address, a->address_length) != 0 && errno != EINPROGRESS) {
        httptime_session_failed(session, a->conn, errno, httptime_now());
        drop(c);
    }
}

static void on_resolved(int error, struct evutil_addrinfo *found, void *data)
{
    httptime_session_resolved(session, (uint32_t)(uintptr_t)data, found,
                              evutil_gai_strerror(error), httptime_now());
    if (found != NULL)
        evutil_freeaddrinfo(found);
    event_active(turn, EV_TIMEOUT, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *data)
{
    httptime_session_action a = { .struct_size = sizeof a };
    const struct evutil_addrinfo hints = { .ai_socktype = SOCK_STREAM };
    while (httptime_session_poll(session, httptime_now(), &a) == HTTPTIME_OK &&
           a.kind != HTTPTIME_SESSION_DONE) {
        struct connection *c = &connections[a.conn];
        int32_t came = a.kind == HTTPTIME_SESSION_CLOSE ? -1 : 0;
        if (a.kind == HTTPTIME_SESSION_RESOLVE) {
            evdns_getaddrinfo(names, a.host, a.port, &hints, on_resolved,
                              (void *)(uintptr_t)a.server);
        } else if (a.kind == HTTPTIME_SESSION_OPEN) {
            start(c, &a);
        } else if (a.kind == HTTPTIME_SESSION_TRANSMIT) {
            httptime_session_transmit(session, a.conn, c->timestamps, &came);
            if (httptime_session_is_waiting_to_write(session, a.conn))
                event_add(c->writable, NULL);
        } else if (a.kind == HTTPTIME_SESSION_WAIT) {
            /* A timer wakes late: before a precise instant the loop polls instead. */
            int64_t us = (a.until_ns - httptime_now()) / 1000 - (a.precise ? 2000 : 0);
            us = us > 0 ? us : 0;
            event_add(turn, &(struct timeval){ us / 1000000, us % 1000000 });
            return;
        }
        if (came < 0 && c->readable != NULL)
            drop(c);
    }
    event_base_loopbreak(base);
    (void)fd, (void)what, (void)data;
}

int main(int argc, char **argv)
{
    httptime_options options;
    httptime_measurement m = { .struct_size = sizeof m };
    httptime_survey *survey = NULL;
    httptime_options_init(&options, sizeof options);
    options.proxy = getenv("HTTPTIME_PROXY");
    options.cacert = getenv("HTTPTIME_CACERT");
    base = event_base_new();
    names = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
    turn = event_new(base, -1, 0, on_turn, NULL);
    httptime_status status = httptime_session_new((const char **)argv + 1, (size_t)argc - 1,
                                                  &options, NULL, &session);
    if (status == HTTPTIME_OK) {
        event_active(turn, EV_TIMEOUT, 0);
        event_base_dispatch(base);
        httptime_session_finish(session, NULL, &survey);
        status = httptime_survey_combined(survey, &m);
    }
    if (status == HTTPTIME_OK)
        printf("%+.6f s, bounds %+.6f to %+.6f\n", m.offset_ns / 1e9, m.lower_ns / 1e9, m.upper_ns / 1e9);
    else
        fprintf(stderr, "session_libevent: %s\n", httptime_strerror(status));
    httptime_survey_free(survey);
    httptime_session_free(session);
    return status != HTTPTIME_OK;
}
