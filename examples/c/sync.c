/*
 * Measures, decides, and with --apply corrects the clock: sync [--apply] http://192.0.2.1/ ...
 * Without --apply it prints what it would do and changes nothing. Ctrl-C stops it at once.
 */
#define _POSIX_C_SOURCE 200809L
#include <httptime.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static httptime_canceller *canceller;

static void interrupted(int number)
{
    (void)number;
    httptime_canceller_cancel(canceller);
}

static int failed(httptime_status status)
{
    char message[256];
    if (status == HTTPTIME_OK)
        return 0;
    httptime_error_message(message, sizeof message);
    fprintf(stderr, "sync: %s: %s\n", httptime_status_name(status), message);
    return 1;
}

int main(int argc, char **argv)
{
    int apply = argc > 1 && strcmp(argv[1], "--apply") == 0;
    const char *const *urls = (const char *const *)argv + 1 + apply;
    size_t count = (size_t)(argc - 1 - apply);
    httptime_options options;
    httptime_measurement measurement = { .struct_size = sizeof measurement };
    httptime_decision decision = { .struct_size = sizeof decision };
    httptime_cross_timestamp now = { .struct_size = sizeof now };

    if (failed(httptime_options_init(&options, sizeof options)) ||
        failed(httptime_canceller_new(&canceller)))
        return 1;
    options.canceller = canceller;
    sigaction(SIGINT, &(struct sigaction){ .sa_handler = interrupted }, NULL);

    httptime_status status = httptime_query(urls, count, &options, &measurement);
    signal(SIGINT, SIG_DFL);
    httptime_canceller_free(canceller);
    if (failed(status) || failed(httptime_policy_decide(NULL, NULL, &measurement, &decision)))
        return 1;

    switch (decision.action) {
    case HTTPTIME_ACTION_STEP:
        printf("step by %+.6f s\n", (double)decision.by_ns / 1e9);
        break;
    case HTTPTIME_ACTION_SLEW:
        printf("slew by %+.6f s\n", (double)decision.by_ns / 1e9);
        break;
    case HTTPTIME_ACTION_REFUSE:
        printf("refused: %s\n", decision.reason);
        return 3;
    default:
        printf("nothing to do: %+.6f s is within the bounds\n", (double)measurement.offset_ns / 1e9);
    }
    if (!apply)
        return 0;
    return failed(httptime_cross_timestamp_now(&now)) ||
           failed(httptime_clock_apply(&measurement, &decision, &now));
}
