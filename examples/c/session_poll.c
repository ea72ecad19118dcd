/* Measures with its own sockets and poll(): session_poll http://192.0.2.1/ http://192.0.2.2/
 * HTTPTIME_PROXY=http://192.0.2.9:3128 uses a proxy. The session makes the decisions; this program
 * has its sockets. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <httptime.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static httptime_session *session;
static struct pollfd sockets[HTTPTIME_MAX_CONNECTIONS];                /* fd -1: none */
static httptime_timestamps *timestamps[HTTPTIME_MAX_CONNECTIONS]; /* NULL: not connected yet */

static void drop(uint32_t conn)
{
    httptime_timestamps_free(timestamps[conn]);
    timestamps[conn] = NULL;
    if (sockets[conn].fd >= 0)
        close(sockets[conn].fd);
    sockets[conn].fd = -1;
}

static void on_ready(uint32_t conn)
{
    int32_t came = 0;
    if (timestamps[conn] == NULL) {
        httptime_session_connected(session, conn, sockets[conn].fd, &timestamps[conn], &came);
    } else {
        httptime_session_writable(session, conn);
        httptime_session_receive(session, conn, timestamps[conn], &came);
    }
    if (came < 0)
        drop(conn);
}

static void wait_until(int64_t instant, int precise)
{
    /* A timer wakes late: before a precise instant it is set 2 ms early, then the loop polls. */
    int64_t ms = (instant - httptime_now()) / 1000000 - (precise ? 2 : -1);
    for (uint32_t conn = 0; conn < HTTPTIME_MAX_CONNECTIONS; conn++) {
        int is_writing =
            timestamps[conn] == NULL || httptime_session_is_waiting_to_write(session, conn);
        sockets[conn].events = is_writing ? POLLIN | POLLOUT : POLLIN;
        sockets[conn].revents = 0;
    }
    if (poll(sockets, HTTPTIME_MAX_CONNECTIONS, ms < 0 ? 0 : ms < 3600000 ? (int)ms : 3600000) <= 0)
        return;
    for (uint32_t conn = 0; conn < HTTPTIME_MAX_CONNECTIONS; conn++)
        if (sockets[conn].revents != 0)
            on_ready(conn);
}

static void start(uint32_t conn, const struct sockaddr *address, socklen_t length)
{
    int fd = sockets[conn].fd = socket(address->sa_family, SOCK_STREAM, 0);
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        (connect(fd, address, length) != 0 && errno != EINPROGRESS)) {
        httptime_session_failed(session, conn, errno, httptime_now());
        drop(conn);
    }
}

/* Blocks: an event loop would resolve names in another thread. */
static void resolve(uint32_t server, const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    httptime_session_resolved(session, server, found, gai_strerror(error), httptime_now());
    if (found != NULL)
        freeaddrinfo(found);
}

int main(int argc, char **argv)
{
    httptime_options options;
    httptime_session_action a = { .struct_size = sizeof a };
    httptime_measurement m = { .struct_size = sizeof m };
    httptime_survey *survey = NULL;
    httptime_options_init(&options, sizeof options);
    options.proxy = getenv("HTTPTIME_PROXY");
    options.cacert = getenv("HTTPTIME_CACERT");
    for (uint32_t conn = 0; conn < HTTPTIME_MAX_CONNECTIONS; conn++)
        sockets[conn].fd = -1;
    const char *const *urls = (const char *const *)argv + 1;
    httptime_status status = httptime_session_new(urls, (size_t)argc - 1, &options, NULL, &session);
    while (status == HTTPTIME_OK && a.kind != HTTPTIME_SESSION_DONE) {
        int32_t came = 0;
        status = httptime_session_poll(session, httptime_now(), &a);
        if (a.kind == HTTPTIME_SESSION_RESOLVE)
            resolve(a.server, a.host, a.port);
        else if (a.kind == HTTPTIME_SESSION_OPEN)
            start(a.conn, a.address, a.address_length);
        else if (a.kind == HTTPTIME_SESSION_TRANSMIT)
            httptime_session_transmit(session, a.conn, timestamps[a.conn], &came);
        else if (a.kind == HTTPTIME_SESSION_WAIT)
            wait_until(a.until_ns, a.precise);
        if (a.kind == HTTPTIME_SESSION_CLOSE || came < 0)
            drop(a.conn);
    }
    if (status == HTTPTIME_OK) {
        httptime_session_finish(session, NULL, &survey);
        status = httptime_survey_combined(survey, &m);
    }
    if (status == HTTPTIME_OK)
        printf("%+.6f s, bounds %+.6f to %+.6f\n", m.offset_ns / 1e9, m.lower_ns / 1e9, m.upper_ns / 1e9);
    else
        fprintf(stderr, "session_poll: %s\n", httptime_strerror(status));
    httptime_survey_free(survey);
    httptime_session_free(session);
    return status != HTTPTIME_OK;
}
