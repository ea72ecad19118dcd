/*
 * A program whose timer interrupts every system call: a signal at 1 kHz, with a handler that
 * restarts no system call.
 */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "httptime.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t signals;

static void interrupt(int number)
{
    (void)number;
    signals++;
}

static void blow(long every_us)
{
    struct itimerval timer;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    timer.it_interval.tv_sec = timer.it_value.tv_sec = 0;
    timer.it_interval.tv_usec = timer.it_value.tv_usec = every_us;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* Measures, and returns the duration. */
static httptime_status query(const char *url, httptime_measurement *m, int64_t *took_ns)
{
    httptime_options options;
    httptime_status status;
    int64_t begun = httptime_now();
    CHECK(httptime_options_init(&options, sizeof options) == HTTPTIME_OK);
    options.profile = HTTPTIME_PROFILE_FAST;
    options.timeout_ns = INT64_C(1000000000);
    m->struct_size = sizeof *m;
    status = httptime_query(&url, 1, &options, m);
    *took_ns = httptime_now() - begun;
    printf("%s: %s after %.3f s\n", url, httptime_status_name(status), (double)*took_ns / 1e9);
    return status;
}

int main(int argc, char **argv)
{
    httptime_measurement m;
    int64_t took_ns;
    int i;
    if (argc != 5)
        return 2;
    blow(1000);
    /* By address, and by a name that must be resolved. */
    for (i = 1; i <= 2; i++) {
        CHECK(query(argv[i], &m, &took_ns) == HTTPTIME_OK);
        CHECK(m.lower_ns <= INT64_C(38116000000) && m.upper_ns >= INT64_C(38116000000));
        printf("%+.6f s, bounds %.6f s wide, %u of %u requests\n", (double)m.offset_ns / 1e9,
               (double)(m.upper_ns - m.lower_ns) / 1e9, m.observations, m.requests);
        CHECK(m.end_reason != HTTPTIME_END_REASON_LOST && m.observations == m.requests);
        /* On a busy machine several signals become one. */
        CHECK(signals > 100);
        signals = 0;
    }
    /* A wait that starts again must not extend a deadline. */
    CHECK(query(argv[3], &m, &took_ns) == HTTPTIME_ERROR_TIMEOUT_RESPONSE);
    CHECK(query(argv[4], &m, &took_ns) == HTTPTIME_ERROR_TIMEOUT_CONNECT);
    CHECK(signals > 0);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
