/*
 * Correct and incorrect calls of every function of the library. It never changes a clock: functions
 * that could change one are only called in such a way that they fail before the system call.
 *
 * suite SERVER SILENT BLACK_HOLE CANCEL_LIMIT_MS STAMPED FROZEN
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "httptime.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SKEW_NS INT64_C(38116000000)

#define STATUS(call, expected)                                                              \
    do {                                                                                    \
        httptime_status status_ = (call);                                                   \
        if (status_ != (expected)) {                                                        \
            char message_[200];                                                             \
            httptime_error_message(message_, sizeof message_);                              \
            fprintf(stderr, "%s:%d: %s: %d (%s), not %d: %s\n", __FILE__, __LINE__, #call,  \
                    (int)status_, httptime_status_name(status_), (int)(expected), message_); \
            failures++;                                                                     \
        }                                                                                   \
    } while (0)
#define INVALID(call) STATUS(call, HTTPTIME_ERROR_INVALID_ARGUMENT)

#ifdef HAVE_TEST_HOOKS
extern httptime_status httptime_test_panic(void);
#endif

static const char *server, *silent, *black_hole, *stamped, *frozen;
static int64_t cancel_limit_ns;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_ms(long ms)
{
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&pause, NULL);
}

static httptime_options quick(void)
{
    httptime_options options;
    STATUS(httptime_options_init(&options, sizeof options), HTTPTIME_OK);
    options.profile = HTTPTIME_PROFILE_FAST;
    options.requests = 8;
    options.duration_ns = INT64_C(3000000000);
    options.lag_ns = 1000000;
    return options;
}

static httptime_cross_timestamp tie_of(int64_t instant, int64_t wall)
{
    httptime_cross_timestamp cross_timestamp;
    memset(&cross_timestamp, 0, sizeof cross_timestamp);
    cross_timestamp.struct_size = sizeof cross_timestamp;
    cross_timestamp.instant_ns = instant;
    cross_timestamp.wall_ns = wall;
    return cross_timestamp;
}

static httptime_measurement empty_measurement(void)
{
    httptime_measurement measurement;
    memset(&measurement, 0x5a, sizeof measurement);
    measurement.struct_size = sizeof measurement;
    return measurement;
}

static int is_untouched(const httptime_measurement *measurement)
{
    httptime_measurement untouched = empty_measurement();
    return memcmp(measurement, &untouched, sizeof untouched) == 0;
}

static void check_bounds(const httptime_measurement *measurement)
{
    CHECK(measurement->lower_ns <= SKEW_NS && SKEW_NS <= measurement->upper_ns);
    CHECK(measurement->upper_ns - measurement->lower_ns < 1000000000);
}

static void check_right(const httptime_measurement *measurement)
{
    check_bounds(measurement);
    CHECK(llabs(measurement->offset_ns - SKEW_NS) < 20000000);
    CHECK(measurement->stddev_ns > 0 && measurement->observations > 0);
}

static void versions_and_texts(void)
{
    CHECK(httptime_version_number() == HTTPTIME_VERSION_NUMBER);
    CHECK(strcmp(httptime_version(), HTTPTIME_VERSION) == 0);
    CHECK(strcmp(httptime_strerror(HTTPTIME_ERROR_NO_DATE), "the response has no Date header") == 0);
    CHECK(strcmp(httptime_status_name(HTTPTIME_ERROR_NO_DATE), "no_date") == 0);
    CHECK(strcmp(httptime_strerror(HTTPTIME_OK), "ok") == 0);
    for (int32_t number = -3; number < 300; number++)
        CHECK(strlen(httptime_strerror(number)) > 1 && strlen(httptime_status_name(number)) > 1);
    CHECK(strcmp(httptime_strerror(INT32_MIN), "unknown status") == 0);
}

static void messages(void)
{
    char buffer[200], small[8];
    const char *urls[] = { "ftp://somewhere/" };
    httptime_measurement measurement = empty_measurement();
    STATUS(httptime_query(urls, 1, NULL, &measurement), HTTPTIME_ERROR_INVALID_URL);
    CHECK(is_untouched(&measurement));
    size_t length = httptime_error_message(buffer, sizeof buffer);
    CHECK(length == strlen(buffer) && strstr(buffer, "ftp://somewhere/") != NULL);
    CHECK(httptime_error_message(NULL, 0) == length);
    CHECK(httptime_error_message(NULL, 10) == length);
    CHECK(httptime_error_message(small, sizeof small) == length && strlen(small) == 7);
    memset(small, 'x', sizeof small);
    CHECK(httptime_error_message(small, 0) == length && small[0] == 'x');
}

static void null_pointers(void)
{
    const char *urls[] = { server, NULL };
    char buffer[600];
    size_t length = 77;
    int64_t a = 1, b = 2, date = 3;
    int32_t next = 4;
    uint8_t survivors[1];
    httptime_measurement measurement = empty_measurement();
    httptime_survey *survey = NULL;
    httptime_measure *measure = NULL;
    httptime_estimator *estimator = NULL;
    httptime_reader *reader = NULL;
    httptime_head head;
    httptime_exchange exchange;
    httptime_progress progress;
    httptime_cross_timestamp cross_timestamp = tie_of(0, INT64_C(1795392000000000000));
    memset(&exchange, 0, sizeof exchange);
    memset(&progress, 0, sizeof progress);
    memset(&head, 0, sizeof head);
    exchange.struct_size = sizeof exchange;
    progress.struct_size = sizeof progress;
    head.struct_size = sizeof head;

    INVALID(httptime_options_init(NULL, sizeof(httptime_options)));
    INVALID(httptime_query(NULL, 1, NULL, &measurement));
    INVALID(httptime_query(urls, 1, NULL, NULL));
    INVALID(httptime_query(urls, 2, NULL, &measurement));
    INVALID(httptime_query(urls, 0, NULL, &measurement));
    INVALID(httptime_query(urls, HTTPTIME_MAX_SERVERS + 1, NULL, &measurement));
    INVALID(httptime_query(urls, SIZE_MAX, NULL, &measurement));
    INVALID(httptime_survey_run(NULL, 1, NULL, &survey));
    INVALID(httptime_survey_run(urls, 2, NULL, &survey));
    INVALID(httptime_survey_run(urls, 1, NULL, NULL));
    INVALID(httptime_survey_combined(NULL, &measurement));
    INVALID(httptime_survey_server(NULL, 0, &measurement));
    CHECK(httptime_survey_count(NULL) == 0);
    CHECK(httptime_survey_is_selected(NULL, 0) == 0);
    CHECK(httptime_survey_url(NULL, 0) == NULL);
    httptime_survey_free(NULL);
    CHECK(survey == NULL && is_untouched(&measurement));

    INVALID(httptime_cross_timestamp_now(NULL));
    INVALID(httptime_canceller_new(NULL));
    httptime_canceller_cancel(NULL);
    httptime_canceller_free(NULL);
    STATUS(httptime_set_log(NULL, NULL, HTTPTIME_LOG_TRACE), HTTPTIME_OK);

    INVALID(httptime_request(NULL, buffer, sizeof buffer, &length));
    INVALID(httptime_request(server, NULL, sizeof buffer, &length));
    INVALID(httptime_request(server, buffer, sizeof buffer, NULL));
    CHECK(length == 77);
    INVALID(httptime_parse_date(NULL, 0, &date));
    INVALID(httptime_parse_date("x", 1, NULL));
    INVALID(httptime_parse_date("x", SIZE_MAX, &date));
    INVALID(httptime_reader_new(NULL));
    INVALID(httptime_reader_feed(NULL, "x", 1));
    INVALID(httptime_reader_next(NULL, &head, &next));
    INVALID(httptime_reader_end(NULL));
    INVALID(httptime_reader_set_stamp_header(NULL, "X-Time"));
    httptime_reader_clear(NULL);
    httptime_reader_free(NULL);
    STATUS(httptime_reader_new(&reader), HTTPTIME_OK);
    INVALID(httptime_reader_feed(reader, NULL, 1));
    INVALID(httptime_reader_next(reader, NULL, &next));
    INVALID(httptime_reader_next(reader, &head, NULL));
    httptime_reader_free(reader);

    INVALID(httptime_measure_new(NULL, NULL, &measure));
    INVALID(httptime_measure_new(NULL, &cross_timestamp, NULL));
    INVALID(httptime_measure_next(NULL, 0, &next, &a));
    INVALID(httptime_measure_sent(NULL, 0));
    INVALID(httptime_measure_absorb(NULL, &exchange));
    INVALID(httptime_measure_lost(NULL, 0, HTTPTIME_ERROR_CONNECT));
    INVALID(httptime_measure_progress(NULL, &progress));
    INVALID(httptime_measure_finish(NULL, &cross_timestamp, &measurement));
    httptime_measure_free(NULL);
    STATUS(httptime_measure_new(NULL, &cross_timestamp, &measure), HTTPTIME_OK);
    INVALID(httptime_measure_next(measure, 0, NULL, &a));
    INVALID(httptime_measure_next(measure, 0, &next, NULL));
    INVALID(httptime_measure_absorb(measure, NULL));
    INVALID(httptime_measure_progress(measure, NULL));
    INVALID(httptime_measure_finish(measure, NULL, &measurement));
    INVALID(httptime_measure_finish(measure, &cross_timestamp, NULL));
    httptime_measure_free(measure);

    INVALID(httptime_measure_is_missed(NULL, 0, 1, &next));

    INVALID(httptime_estimator_new(0, NULL, -1, &estimator));
    INVALID(httptime_estimator_new(0, &cross_timestamp, -1, NULL));
    INVALID(httptime_estimator_absorb(NULL, &exchange));
    INVALID(httptime_estimator_estimate(NULL, &a, &b));
    httptime_estimator_free(NULL);
    STATUS(httptime_estimator_new(0, &cross_timestamp, -1, &estimator), HTTPTIME_OK);
    INVALID(httptime_estimator_absorb(estimator, NULL));
    INVALID(httptime_estimator_estimate(estimator, NULL, &b));
    INVALID(httptime_estimator_estimate(estimator, &a, NULL));
    httptime_estimator_free(estimator);

    INVALID(httptime_select(NULL, &b, 1, &a, &b, survivors));
    INVALID(httptime_select(&a, NULL, 1, &a, &b, survivors));
    INVALID(httptime_select(&a, &b, 1, NULL, &b, survivors));
    INVALID(httptime_select(&a, &b, 1, &a, NULL, survivors));
    INVALID(httptime_select(&a, &b, 1, &a, &b, NULL));
    INVALID(httptime_select(&a, &b, 0, &a, &b, survivors));
    INVALID(httptime_select(&a, &b, SIZE_MAX, &a, &b, survivors));
    CHECK(a == 1 && b == 2 && date == 3 && next == 4);
}

static void null_pointers_of_a_session(void)
{
    const char *urls[] = { server, NULL }, *bytes = server;
    httptime_session *session = NULL;
    httptime_timestamps *timestamps = NULL;
    httptime_survey *survey = NULL;
    httptime_session_action action = { .struct_size = sizeof action };
    httptime_event event = { .struct_size = sizeof event };
    httptime_progress progress = { .struct_size = sizeof progress };
    size_t length = 77;
    int32_t found = 78;
    int64_t count = 79;
    char buffer[8];
    INVALID(httptime_session_new(NULL, 1, NULL, NULL, &session));
    INVALID(httptime_session_new(urls, 2, NULL, NULL, &session));
    INVALID(httptime_session_new(urls, 0, NULL, NULL, &session));
    INVALID(httptime_session_new(urls, 1, NULL, NULL, NULL));
    CHECK(session == NULL);
    STATUS(httptime_session_new(urls, 1, NULL, NULL, &session), HTTPTIME_OK);
    INVALID(httptime_session_poll(NULL, 0, &action));
    INVALID(httptime_session_poll(session, 0, NULL));
    INVALID(httptime_session_resolved(NULL, 0, NULL, NULL, 0));
    INVALID(httptime_session_resolved(session, 1, NULL, NULL, 0));
    INVALID(httptime_session_opened(NULL, 0, 0));
    INVALID(httptime_session_opened(session, HTTPTIME_MAX_CONNECTIONS, 0));
    INVALID(httptime_session_connected(NULL, 0, 0, &timestamps, &found));
    INVALID(httptime_session_connected(session, 0, -1, &timestamps, &found));
    INVALID(httptime_session_connected(session, 0, 0, NULL, &found));
    INVALID(httptime_session_connected(session, 0, 0, &timestamps, NULL));
    INVALID(httptime_session_output(NULL, 0, &bytes, &length));
    INVALID(httptime_session_output(session, 0, NULL, &length));
    INVALID(httptime_session_output(session, 0, &bytes, NULL));
    INVALID(httptime_session_sent(NULL, 0, 0, 0));
    INVALID(httptime_session_sent(session, 0, SIZE_MAX, 0));
    INVALID(httptime_session_writable(NULL, 0));
    CHECK(httptime_session_is_waiting_to_write(NULL, 0) == 0);
    CHECK(httptime_session_is_waiting_to_write(session, UINT32_MAX) == 0);
    INVALID(httptime_session_received(NULL, 0, "x", 1, 0, NULL));
    INVALID(httptime_session_received(session, 0, NULL, 1, 0, NULL));
    INVALID(httptime_session_receive(NULL, 0, timestamps, &found));
    INVALID(httptime_session_receive(session, 0, NULL, &found));
    INVALID(httptime_session_transmit(NULL, 0, timestamps, &found));
    INVALID(httptime_session_transmit(session, 0, NULL, &found));
    INVALID(httptime_session_closed(NULL, 0, 0));
    INVALID(httptime_session_failed(NULL, 0, 0, 0));
    INVALID(httptime_session_next_event(NULL, &event, &found));
    INVALID(httptime_session_next_event(session, NULL, &found));
    INVALID(httptime_session_next_event(session, &event, NULL));
    INVALID(httptime_session_progress(NULL, 0, &progress));
    INVALID(httptime_session_progress(session, 0, NULL));
    STATUS(httptime_session_progress(session, 0, &progress), HTTPTIME_ERROR_NOTHING_MEASURED);
    INVALID(httptime_session_stop(NULL));
    INVALID(httptime_session_cancel(NULL));
    INVALID(httptime_session_finish(NULL, NULL, &survey));
    INVALID(httptime_session_finish(session, NULL, NULL));
    httptime_session_free(NULL);
    httptime_session_free(session);
    INVALID(httptime_timestamps_enable(-1, &timestamps));
    INVALID(httptime_timestamps_enable(0, NULL));
    INVALID(httptime_timestamps_read(NULL, buffer, sizeof buffer, &count));
    INVALID(httptime_timestamps_wrote(NULL, 1, 1));
    httptime_timestamps_free(NULL);
    CHECK(timestamps == NULL && survey == NULL && length == 77 && found == 78);
    CHECK(count == 79 && bytes == server);
}

static void struct_sizes(void)
{
    static const uint32_t impossible[] = { 0, 1, 4, 7, 9, 12, 20, 4104, 0x5a5a5a5a, UINT32_MAX };
    const char *urls[] = { server };
    struct {
        httptime_options known;
        int64_t newer[2];
    } grown;
    struct {
        httptime_measurement known;
        int64_t newer[2];
        int64_t behind;
    } larger;
    memset(&grown, 0x5a, sizeof grown);
    memset(&larger, 0x5a, sizeof larger);
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        httptime_measurement measurement = empty_measurement();
        httptime_options options = quick();
        httptime_cross_timestamp cross_timestamp = tie_of(0, 0);
        INVALID(httptime_options_init(&options, impossible[i]));
        options.struct_size = impossible[i];
        INVALID(httptime_query(urls, 1, &options, &measurement));
        measurement.struct_size = impossible[i];
        INVALID(httptime_query(urls, 1, NULL, &measurement));
        cross_timestamp.struct_size = impossible[i];
        INVALID(httptime_cross_timestamp_now(&cross_timestamp));
    }
    /* A program of a later version: its new fields must be zero, or they would be ignored. */
    STATUS(httptime_options_init(&grown.known, sizeof grown), HTTPTIME_OK);
    CHECK(grown.known.struct_size == sizeof grown && grown.newer[0] == 0 && grown.newer[1] == 0);
    grown.known.profile = HTTPTIME_PROFILE_FAST;
    grown.known.requests = 3;
    larger.known.struct_size = offsetof(__typeof__(larger), behind);
    STATUS(httptime_query(urls, 1, &grown.known, &larger.known), HTTPTIME_OK);
    CHECK(larger.known.struct_size == offsetof(__typeof__(larger), behind));
    CHECK(larger.newer[0] == 0 && larger.newer[1] == 0);
    CHECK(larger.behind == INT64_C(0x5a5a5a5a5a5a5a5a));
    grown.newer[1] = 1;
    INVALID(httptime_query(urls, 1, &grown.known, &larger.known));
}

static void unknown_numbers_and_texts(void)
{
    static const int32_t numbers[] = { -1, 77, INT32_MIN, INT32_MAX };
    const char *urls[] = { server }, *invalid_urls[] = { "http://\xff\xfe/" };
    httptime_measurement measurement = empty_measurement();
    httptime_cross_timestamp cross_timestamp = tie_of(0, INT64_C(1795392000000000000));
    httptime_estimator *estimator = NULL;
    httptime_measure *measure = NULL;
    httptime_exchange exchange;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        httptime_options options = quick();
        options.profile = numbers[i];
        INVALID(httptime_query(urls, 1, &options, &measurement));
        options = quick();
        options.estimator = numbers[i];
        INVALID(httptime_query(urls, 1, &options, &measurement));
        options = quick();
        options.schedule = numbers[i];
        INVALID(httptime_query(urls, 1, &options, &measurement));
        options = quick();
        options.family = numbers[i];
        INVALID(httptime_query(urls, 1, &options, &measurement));
        INVALID(httptime_set_log(NULL, NULL, numbers[i]));
        INVALID(httptime_estimator_new(numbers[i], &cross_timestamp, -1, &estimator));
    }
    INVALID(httptime_query(invalid_urls, 1, NULL, &measurement));
    INVALID(httptime_request(invalid_urls[0], (char[99]){ 0 }, 99, &(size_t){ 0 }));
    httptime_options options = quick();
    options.proxy = "http://\xff/";
    INVALID(httptime_query(urls, 1, &options, &measurement));
    options = quick();
    options.requests = 1001;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    options = quick();
    options.timeout_ns = -1;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    options = quick();
    options.stamp_header = "two words";
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    options.stamp_header = "\xff";
    INVALID(httptime_query(urls, 1, &options, &measurement));
    options = quick();
    options.duration_ns = INT64_MAX;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    CHECK(is_untouched(&measurement));

    STATUS(httptime_measure_new(NULL, &cross_timestamp, &measure), HTTPTIME_OK);
    INVALID(httptime_measure_lost(measure, 0, HTTPTIME_OK));
    INVALID(httptime_measure_lost(measure, 0, 12345));
    memset(&exchange, 0, sizeof exchange);
    exchange.struct_size = sizeof exchange;
    exchange.server = "\xff";
    INVALID(httptime_measure_absorb(measure, &exchange));
    exchange.server = NULL;
    exchange.has_age = 1;
    exchange.age_ns = -1;
    STATUS(httptime_measure_absorb(measure, &exchange), HTTPTIME_ERROR_INVALID_CONFIG);
    exchange.has_age = 0;
    exchange.flags = 8;
    INVALID(httptime_measure_absorb(measure, &exchange));
    exchange.flags = 0;
    exchange.stamp.state = 77;
    INVALID(httptime_measure_absorb(measure, &exchange));
    exchange.stamp.state = HTTPTIME_STAMP_USED; /* without a quantum */
    INVALID(httptime_measure_absorb(measure, &exchange));
    exchange.stamp.state = HTTPTIME_STAMP_NONE;
    exchange.stamp.flags = 4;
    INVALID(httptime_measure_absorb(measure, &exchange));
    cross_timestamp.reserved = 1;
    INVALID(httptime_measure_finish(measure, &cross_timestamp, &measurement));
    httptime_measure_free(measure);
}

static void a_query(void)
{
    const char *urls[] = { server };
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    check_right(&measurement);
    CHECK(measurement.struct_size == sizeof measurement);
    CHECK(measurement.requests <= 8 && measurement.lag_ns == 1000000);
    CHECK(measurement.lag_source == HTTPTIME_LAG_STATED && measurement.drift_ppm == 300);
    CHECK(strcmp(measurement.server, "httptime-sim") == 0);
    int64_t ago = httptime_now() - measurement.at_ns;
    CHECK(ago >= 0 && ago < INT64_C(5000000000));
}

static void a_survey(void)
{
    /* The same server with another name: a URL that occurs twice is refused. */
    char again[64];
    snprintf(again, sizeof again, "http://localhost%s", strrchr(server, ':'));
    const char *urls[] = { server, "http://127.0.0.1:1/", again };
    httptime_options options = quick();
    httptime_survey *survey = NULL;
    httptime_measurement measurement = empty_measurement();
    char message[200];
    STATUS(httptime_survey_run(urls, 3, &options, &survey), HTTPTIME_OK);
    CHECK(httptime_survey_count(survey) == 3);
    STATUS(httptime_survey_combined(survey, &measurement), HTTPTIME_OK);
    check_right(&measurement);
    STATUS(httptime_survey_server(survey, 2, &measurement), HTTPTIME_OK);
    check_right(&measurement);
    STATUS(httptime_survey_server(survey, 1, &measurement), HTTPTIME_ERROR_CONNECTION_REFUSED);
    httptime_error_message(message, sizeof message);
    CHECK(strstr(message, "127.0.0.1:1") != NULL);
    INVALID(httptime_survey_server(survey, 3, &measurement));
    INVALID(httptime_survey_server(survey, 0, NULL));
    INVALID(httptime_survey_combined(survey, NULL));
    CHECK(httptime_survey_is_selected(survey, 0) == 1);
    CHECK(httptime_survey_is_selected(survey, 1) == 0);
    CHECK(httptime_survey_is_selected(survey, SIZE_MAX) == 0);
    CHECK(strcmp(httptime_survey_url(survey, 1), "http://127.0.0.1:1/") == 0);
    CHECK(httptime_survey_url(survey, 3) == NULL);
    httptime_survey_free(survey);
}

/* One with stamps of 1 us, and one whose stamp comes from a cache. */
static void servers_with_stamps(void)
{
    const char *urls[] = { stamped }, *cached[] = { frozen };
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    options.lag_ns = -1;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    check_right(&measurement);
    CHECK(measurement.stamp == HTTPTIME_STAMP_USED && measurement.stamp_quantum_ns == 1000);
    CHECK(measurement.lag_source == HTTPTIME_LAG_STAMP && measurement.lag_ns == 1000000);
    CHECK(measurement.date_advanced == 1 && measurement.elapsed_ns < 1000000000);
    options.requests = 3;
    options.stamp_header = "x-httpstime";
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(measurement.stamp == HTTPTIME_STAMP_USED);
    options.stamp_header = "X-Time";
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(measurement.stamp == HTTPTIME_STAMP_NONE && measurement.stamp_quantum_ns == 0);
    options.stamp_header = "";
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(measurement.stamp == HTTPTIME_STAMP_NONE);
    CHECK(measurement.lag_source == HTTPTIME_LAG_UNKNOWN);

    options = quick();
    STATUS(httptime_query(cached, 1, &options, &measurement), HTTPTIME_OK);
    check_bounds(&measurement);
    /* The second one if the Date advanced between the first two responses. */
    CHECK(measurement.stamp == HTTPTIME_STAMP_FROZEN ||
          measurement.stamp == HTTPTIME_STAMP_OLDER_THAN_DATE);
    CHECK(measurement.stamp_quantum_ns == 1000 && measurement.observations > 3);
}

static void *query_on_a_thread(void *failed)
{
    const char *urls[] = { server };
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    options.requests = 5;
    for (int i = 0; i < 2; i++) {
        httptime_status status = httptime_query(urls, 1, &options, &measurement);
        if (status != HTTPTIME_OK || measurement.lower_ns > SKEW_NS ||
            measurement.upper_ns < SKEW_NS)
            *(int *)failed = 1;
        /* Each thread has its own message. */
        char message[100], expected[64];
        snprintf(expected, sizeof expected, "level is %d, which is no HTTPTIME_LOG_* number", (int)((uintptr_t)failed % 1000) + 10);
        httptime_set_log(NULL, NULL, (int)((uintptr_t)failed % 1000) + 10);
        sleep_ms(1);
        httptime_error_message(message, sizeof message);
        if (strcmp(message, expected) != 0)
            *(int *)failed = 1;
    }
    return NULL;
}

static void eight_threads(void)
{
    pthread_t threads[8];
    int failed[8] = { 0 };
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, query_on_a_thread, &failed[i]) == 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        CHECK(!failed[i]);
    }
}

static httptime_canceller *canceller;
static int64_t cancelled_at;

static void *cancel_soon(void *how)
{
    sleep_ms(200);
    cancelled_at = now_ns();
    if (how == NULL)
        httptime_canceller_cancel(canceller);
    else
        kill(getpid(), SIGUSR1);
    return NULL;
}

static void cancel_on_signal(int number)
{
    (void)number;
    httptime_canceller_cancel(canceller);
}

static void cancel_while(const char *url, int by_signal)
{
    pthread_t thread;
    const char *urls[] = { url };
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    STATUS(httptime_canceller_new(&canceller), HTTPTIME_OK);
    options.canceller = canceller;
    options.timeout_ns = INT64_C(60000000000);
    pthread_create(&thread, NULL, cancel_soon, by_signal ? &thread : NULL);
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_CANCELLED);
    int64_t returned = now_ns();
    pthread_join(thread, NULL);
    printf("cancelled %s%s: returned after %.3f ms\n", url, by_signal ? " by a signal" : "",
           (double)(returned - cancelled_at) / 1e6);
    CHECK(returned - cancelled_at < cancel_limit_ns);
    CHECK(is_untouched(&measurement));
    /* The canceller stays cancelled. */
    int64_t begun = now_ns();
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_CANCELLED);
    CHECK(now_ns() - begun < cancel_limit_ns);
    httptime_canceller_free(canceller);
}

static void cancellation(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = cancel_on_signal;
    sigaction(SIGUSR1, &action, NULL);
    cancel_while(black_hole, 0);
    cancel_while(black_hole, 1);
    cancel_while(silent, 0);
}

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static int log_lines, log_levels[6];

static void log_line(int32_t level, const char *target, const char *message, void *user_data)
{
    pthread_mutex_lock(&log_mutex);
    CHECK(level >= HTTPTIME_LOG_ERROR && level <= HTTPTIME_LOG_TRACE);
    CHECK(strlen(target) > 0 && strlen(message) > 0 && strchr(message, '\n') == NULL);
    log_levels[level]++;
    ++*(int *)user_data;
    pthread_mutex_unlock(&log_mutex);
    /* No lock is held: the callback can call the library. */
    httptime_set_log(log_line, user_data, HTTPTIME_LOG_TRACE);
}

static int progress_calls;

static void show_progress(const httptime_progress *progress, void *user_data)
{
    CHECK(progress->struct_size == sizeof *progress && progress->server == 0);
    CHECK(progress->lower_ns <= progress->offset_ns && progress->offset_ns <= progress->upper_ns);
    CHECK(progress->round_trip_ns > 0 && progress->observations > 0);
    ++*(int *)user_data;
}

/*
 * A session driven by hand: this code does what httptime_session_connected, _receive and _transmit
 * do, one socket at a time.
 */
struct by_hand {
    httptime_session *session;
    struct pollfd sockets[4];
    httptime_timestamps *timestamps[4];
    int is_stamped, events[10];
};

static void hang_up(struct by_hand *driver, uint32_t conn)
{
    httptime_timestamps_free(driver->timestamps[conn]);
    driver->timestamps[conn] = NULL;
    if (driver->sockets[conn].fd >= 0)
        close(driver->sockets[conn].fd);
    driver->sockets[conn].fd = -1;
}

static int take(struct by_hand *driver, uint32_t conn)
{
    char bytes[7]; /* a head needs many reads, and its time is that of the last */
    int64_t count = 0;
    httptime_timestamps *timestamps = driver->timestamps[conn];
    STATUS(httptime_timestamps_read(timestamps, bytes, sizeof bytes, &count), HTTPTIME_OK);
    int64_t now = httptime_now();
    if (count == -EAGAIN)
        return 0;
    if (count > 0) {
        timestamps = driver->is_stamped ? timestamps : NULL;
        STATUS(httptime_session_received(driver->session, conn, bytes, (size_t)count, now,
                                         timestamps),
               HTTPTIME_OK);
    } else if (count == 0) {
        hang_up(driver, conn);
        STATUS(httptime_session_closed(driver->session, conn, now), HTTPTIME_OK);
    } else {
        hang_up(driver, conn);
        STATUS(httptime_session_failed(driver->session, conn, (int32_t)-count, now), HTTPTIME_OK);
    }
    return 1;
}

/* Sends half of the bytes, as a socket with a nearly full buffer does. */
static void put(struct by_hand *driver, uint32_t conn)
{
    const char *bytes = NULL;
    size_t length = 0;
    if (take(driver, conn))
        return;
    STATUS(httptime_session_output(driver->session, conn, &bytes, &length), HTTPTIME_OK);
    size_t half = length > 60 ? length / 2 : length;
    int64_t at = httptime_now();
    ssize_t count = send(driver->sockets[conn].fd, bytes, half, MSG_NOSIGNAL);
    CHECK(count == (ssize_t)half);
    STATUS(httptime_timestamps_wrote(driver->timestamps[conn], half, length), HTTPTIME_OK);
    STATUS(httptime_session_sent(driver->session, conn, half, at), HTTPTIME_OK);
    CHECK(httptime_session_is_waiting_to_write(driver->session, conn) == (half < length));
}

static void dial(struct by_hand *driver, const httptime_session_action *action)
{
    int fd = socket(action->address->sa_family, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, action->address, action->address_length) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    driver->sockets[action->conn].fd = fd;
    STATUS(httptime_timestamps_enable(fd, &driver->timestamps[action->conn]), HTTPTIME_OK);
    STATUS(httptime_session_opened(driver->session, action->conn, httptime_now()), HTTPTIME_OK);
}

static void watch(struct by_hand *driver, int64_t until)
{
    int64_t ms = (until - httptime_now()) / 1000000;
    for (uint32_t conn = 0; conn < 4; conn++) {
        int is_full = httptime_session_is_waiting_to_write(driver->session, conn);
        driver->sockets[conn].events = is_full ? POLLIN | POLLOUT : POLLIN;
        driver->sockets[conn].revents = 0;
    }
    if (poll(driver->sockets, 4, ms > 0 ? (int)ms : 0) <= 0)
        return;
    for (uint32_t conn = 0; conn < 4; conn++) {
        if (driver->sockets[conn].revents & POLLOUT)
            STATUS(httptime_session_writable(driver->session, conn), HTTPTIME_OK);
        if (driver->sockets[conn].revents & ~POLLOUT)
            take(driver, conn);
    }
}

static void look_up(struct by_hand *driver, const httptime_session_action *action)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *found = NULL;
    CHECK(strcmp(action->host, "localhost") == 0);
    CHECK(getaddrinfo(action->host, action->port, &hints, &found) == 0);
    STATUS(httptime_session_resolved(driver->session, action->server, found, NULL, httptime_now()),
           HTTPTIME_OK);
    freeaddrinfo(found);
}

/* Runs until the session is done, or until `most` events have been read. */
static void drive(struct by_hand *driver, int most)
{
    httptime_session_action action = { .struct_size = sizeof action };
    httptime_event event = { .struct_size = sizeof event };
    int32_t found = 1;
    int seen = 0;
    while (action.kind != HTTPTIME_SESSION_DONE && seen < most) {
        STATUS(httptime_session_poll(driver->session, httptime_now(), &action), HTTPTIME_OK);
        if (action.kind == HTTPTIME_SESSION_RESOLVE)
            look_up(driver, &action);
        else if (action.kind == HTTPTIME_SESSION_OPEN)
            dial(driver, &action);
        else if (action.kind == HTTPTIME_SESSION_TRANSMIT)
            put(driver, action.conn);
        else if (action.kind == HTTPTIME_SESSION_CLOSE)
            hang_up(driver, action.conn);
        else if (action.kind == HTTPTIME_SESSION_WAIT)
            watch(driver, action.until_ns);
        while (httptime_session_next_event(driver->session, &event, &found) == HTTPTIME_OK &&
               found) {
            CHECK(event.kind >= HTTPTIME_EVENT_RESOLVED && event.kind <= HTTPTIME_EVENT_ENDED);
            CHECK(event.server == 0);
            driver->events[event.kind]++;
            seen++;
        }
    }
}

static struct by_hand begin_by_hand(const httptime_options *options)
{
    struct by_hand driver = { .is_stamped = 1 };
    char url[64];
    const char *urls[] = { url };
    httptime_cross_timestamp cross_timestamp = tie_of(0, 0);
    snprintf(url, sizeof url, "http://localhost%s", strrchr(server, ':'));
    for (int conn = 0; conn < 4; conn++)
        driver.sockets[conn].fd = -1;
    STATUS(httptime_cross_timestamp_now(&cross_timestamp), HTTPTIME_OK);
    STATUS(httptime_session_new(urls, 1, options, &cross_timestamp, &driver.session), HTTPTIME_OK);
    return driver;
}

static httptime_status end_by_hand(struct by_hand *driver, const httptime_cross_timestamp *end,
                                   httptime_measurement *measurement)
{
    httptime_survey *survey = NULL;
    STATUS(httptime_session_finish(driver->session, end, &survey), HTTPTIME_OK);
    INVALID(httptime_session_poll(driver->session, 0, NULL));
    INVALID(httptime_session_stop(driver->session));
    httptime_status status = httptime_survey_combined(survey, measurement);
    CHECK(httptime_survey_count(survey) == 1);
    httptime_survey_free(survey);
    for (uint32_t conn = 0; conn < 4; conn++)
        hang_up(driver, conn);
    httptime_session_free(driver->session);
    return status;
}

static void a_session(void)
{
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    httptime_progress progress = { .struct_size = sizeof progress };
    httptime_cross_timestamp old = tie_of(0, 0);
    STATUS(httptime_cross_timestamp_now(&old), HTTPTIME_OK);

    struct by_hand driver = begin_by_hand(&options);
    drive(&driver, 1000);
    STATUS(httptime_session_progress(driver.session, 0, &progress), HTTPTIME_OK);
    CHECK(driver.events[HTTPTIME_EVENT_RESOLVED] == 1 && driver.events[HTTPTIME_EVENT_ENDED] == 1);
    CHECK(driver.events[HTTPTIME_EVENT_ANSWERED] == (int)progress.observations);
    STATUS(end_by_hand(&driver, NULL, &measurement), HTTPTIME_OK);
    check_bounds(&measurement);

    /* Stopped: the evidence so far is used. Cancelled: there is no result. */
    driver = begin_by_hand(&options);
    while (driver.events[HTTPTIME_EVENT_ANSWERED] < 2)
        drive(&driver, 1);
    STATUS(httptime_session_stop(driver.session), HTTPTIME_OK);
    drive(&driver, 1000);
    STATUS(end_by_hand(&driver, NULL, &measurement), HTTPTIME_OK);
    CHECK(measurement.observations >= 2);
    driver = begin_by_hand(&options);
    drive(&driver, 3);
    STATUS(httptime_session_cancel(driver.session), HTTPTIME_OK);
    measurement = empty_measurement();
    STATUS(end_by_hand(&driver, NULL, &measurement), HTTPTIME_ERROR_CANCELLED);
    CHECK(is_untouched(&measurement));

    /* A cross-timestamp from before the measurement cannot end it. */
    driver = begin_by_hand(&options);
    while (driver.events[HTTPTIME_EVENT_ANSWERED] < 2)
        drive(&driver, 1);
    STATUS(end_by_hand(&driver, &old, &measurement), HTTPTIME_ERROR_CLOCK_MISMATCH);
    CHECK(is_untouched(&measurement));

    /* Only kernel timestamps are allowed, and the program passes none. */
    options.timestamping = HTTPTIME_TIMESTAMPING_KERNEL;
    driver = begin_by_hand(&options);
    driver.is_stamped = 0;
    drive(&driver, 1000);
    STATUS(end_by_hand(&driver, NULL, &measurement), HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS);
    CHECK(is_untouched(&measurement));
}

static void a_name_without_addresses(void)
{
    const char *urls[] = { "http://nowhere.example/" };
    httptime_session *session = NULL;
    httptime_survey *survey = NULL;
    httptime_session_action action = { .struct_size = sizeof action };
    httptime_measurement measurement = empty_measurement();
    char message[200];
    STATUS(httptime_session_new(urls, 1, NULL, NULL, &session), HTTPTIME_OK);
    STATUS(httptime_session_poll(session, httptime_now(), &action), HTTPTIME_OK);
    CHECK(action.kind == HTTPTIME_SESSION_RESOLVE && strcmp(action.port, "80") == 0);
    STATUS(httptime_session_resolved(session, 0, NULL, "no such name", httptime_now()), HTTPTIME_OK);
    STATUS(httptime_session_poll(session, httptime_now(), &action), HTTPTIME_OK);
    CHECK(action.kind == HTTPTIME_SESSION_DONE);
    STATUS(httptime_session_finish(session, NULL, &survey), HTTPTIME_OK);
    STATUS(httptime_survey_combined(survey, &measurement), HTTPTIME_ERROR_RESOLVE);
    httptime_error_message(message, sizeof message);
    CHECK(strstr(message, "nowhere.example") != NULL && strstr(message, "no such name") != NULL);
    httptime_survey_free(survey);
    httptime_session_free(session);
}

static void options_for_sockets(void)
{
    const char *urls[] = { server };
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    options.requests = 3;
    options.source_address = "127.0.0.2";
    options.interface = "lo";
    options.user_agent = "suite/1 (C)";
    options.method = HTTPTIME_METHOD_GET;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(measurement.method == HTTPTIME_METHOD_GET);
    options.method = HTTPTIME_METHOD_AUTO;
    options.timestamping = HTTPTIME_TIMESTAMPING_USER;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(measurement.sent_by_kernel == 0 && measurement.received_by_kernel == 0);
    CHECK(measurement.method == HTTPTIME_METHOD_HEAD);
    measurement = empty_measurement();
    options.source_address = "192.0.2.77"; /* not an address of this machine */
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_CONNECT);
    options.source_address = "localhost";
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    options = quick();
    options.user_agent = "two\r\nlines";
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    options = quick();
    options.min_servers = 2;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_ERROR_INVALID_CONFIG);
    options = quick();
    options.timestamping = 77;
    INVALID(httptime_query(urls, 1, &options, &measurement));
    options = quick();
    options.method = 77;
    INVALID(httptime_query(urls, 1, &options, &measurement));
    CHECK(is_untouched(&measurement));
}

static void callbacks(void)
{
    const char *urls[] = { server };
    httptime_options options = quick();
    httptime_measurement measurement = empty_measurement();
    options.progress = show_progress;
    options.progress_data = &progress_calls;
    STATUS(httptime_set_log(log_line, &log_lines, HTTPTIME_LOG_TRACE), HTTPTIME_OK);
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(progress_calls == (int)measurement.observations);
    CHECK(log_lines > 0 && log_levels[HTTPTIME_LOG_TRACE] > 0);
    STATUS(httptime_set_log(NULL, NULL, HTTPTIME_LOG_TRACE), HTTPTIME_OK);
    int lines = log_lines;
    STATUS(httptime_query(urls, 1, &options, &measurement), HTTPTIME_OK);
    CHECK(log_lines == lines);
}

static void reading_responses(void)
{
    static const char response[] = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 301 Moved\r\nServer: nginx/1.22.1\r\n"
                                   "Age: 2\r\nDate: Mon, 23 Nov 2026 09:37:12 GMT\r\n\r\n";
    httptime_reader *reader;
    httptime_head head;
    int32_t found = 9;
    int64_t date = 0;
    char request[80 + 512], small[20];
    size_t length = 0;
    head.struct_size = sizeof head;
    STATUS(httptime_reader_new(&reader), HTTPTIME_OK);
    STATUS(httptime_reader_end(reader), HTTPTIME_ERROR_EMPTY_REPLY);
    for (size_t i = 0; i + 1 < sizeof response; i++) {
        STATUS(httptime_reader_next(reader, &head, &found), HTTPTIME_OK);
        CHECK(found == 0);
        STATUS(httptime_reader_feed(reader, response + i, 1), HTTPTIME_OK);
    }
    STATUS(httptime_reader_end(reader), HTTPTIME_ERROR_CLOSED_EARLY);
    STATUS(httptime_reader_next(reader, &head, &found), HTTPTIME_OK);
    CHECK(found == 1 && head.http_status == 301 && head.has_age && head.age_ns == 2000000000);
    CHECK(head.date_ns == INT64_C(1795426632000000000));
    CHECK(head.persistent && !head.has_trailing_bytes);
    CHECK(strcmp(head.server, "nginx/1.22.1") == 0);
    STATUS(httptime_reader_feed(reader, "SSH-2.0-x\r\n", 11), HTTPTIME_OK);
    STATUS(httptime_reader_next(reader, &head, &found), HTTPTIME_ERROR_NOT_HTTP);
    httptime_reader_clear(reader);
    STATUS(httptime_reader_feed(reader, "HTTP/1.1 200 OK\r\n\r\n", 19), HTTPTIME_OK);
    STATUS(httptime_reader_next(reader, &head, &found), HTTPTIME_ERROR_NO_DATE);
    httptime_reader_free(reader);

    STATUS(httptime_parse_date("Mon, 23 Nov 2026 09:37:12 GMT!", 29, &date), HTTPTIME_OK);
    CHECK(date == INT64_C(1795426632000000000));
    STATUS(httptime_parse_date("yesterday", 9, &date), HTTPTIME_ERROR_MALFORMED_DATE);

    STATUS(httptime_request("http://jump.example:8080/status", request, sizeof request, &length), HTTPTIME_OK);
    CHECK(length == strlen(request) && strncmp(request, "HEAD /status HTTP/1.1\r\n", 23) == 0);
    CHECK(strstr(request, "\r\nHost: jump.example:8080\r\n") != NULL);
    memset(small, 'x', sizeof small);
    STATUS(httptime_request(server, small, sizeof small, &length), HTTPTIME_ERROR_BUFFER_TOO_SMALL);
    CHECK(small[0] == 'x');
}

/* A server 38.116 s ahead, 10 ms away in each direction, in virtual time. */
static int64_t virtual_date(int64_t wall)
{
    return (wall + SKEW_NS) / 1000000000 * 1000000000;
}

/* Server and Date in nginx's order, which shows that nginx made the Date. */
static uint32_t marks_of_nginx(void)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n"
                                   "Date: Mon, 23 Nov 2026 09:37:12 GMT\r\n\r\n";
    httptime_reader *reader;
    httptime_head head;
    int32_t found = 0;
    head.struct_size = sizeof head;
    STATUS(httptime_reader_new(&reader), HTTPTIME_OK);
    STATUS(httptime_reader_feed(reader, response, sizeof response - 1), HTTPTIME_OK);
    STATUS(httptime_reader_next(reader, &head, &found), HTTPTIME_OK);
    CHECK(found == 1 && head.marks != 0);
    httptime_reader_free(reader);
    return head.marks;
}

static void measuring_without_sockets(void)
{
    const int64_t wall0 = INT64_C(1795392000000000000), way = 10000000;
    const uint32_t marks = marks_of_nginx();
    int64_t now = 5000, at = 0, offset = 0, stddev = 0;
    int32_t next = 0;
    int exchanges = 0;
    httptime_cross_timestamp begin = tie_of(now, wall0), end;
    httptime_measure *measure = NULL;
    httptime_estimator *estimator = NULL;
    httptime_measurement measurement = empty_measurement();
    httptime_progress progress;
    httptime_options options;
    progress.struct_size = sizeof progress;
    STATUS(httptime_options_init(&options, sizeof options), HTTPTIME_OK);
    /* One request at a time: the checks take additional seconds. */
    options.duration_ns = INT64_C(20000000000);
    STATUS(httptime_measure_new(&options, &begin, &measure), HTTPTIME_OK);
    STATUS(httptime_estimator_new(HTTPTIME_ESTIMATOR_SYMMETRIC, &begin, 0, &estimator),
           HTTPTIME_OK);
    STATUS(httptime_measure_progress(measure, &progress), HTTPTIME_ERROR_NOTHING_MEASURED);
    STATUS(httptime_estimator_estimate(estimator, &offset, &stddev),
           HTTPTIME_ERROR_NOTHING_MEASURED);
    for (;;) {
        httptime_exchange exchange;
        STATUS(httptime_measure_next(measure, now, &next, &at), HTTPTIME_OK);
        if (next != HTTPTIME_NEXT_SEND)
            break;
        now = at > now ? at : now;
        STATUS(httptime_measure_is_missed(measure, at, now, &next), HTTPTIME_OK);
        CHECK(next == 0);
        STATUS(httptime_measure_sent(measure, now), HTTPTIME_OK);
        STATUS(httptime_measure_next(measure, now, &next, &at), HTTPTIME_OK);
        CHECK(next == HTTPTIME_NEXT_AWAIT || exchanges > 0);
        memset(&exchange, 0, sizeof exchange);
        exchange.struct_size = sizeof exchange;
        exchange.sent_ns = now;
        exchange.received_ns = now + 2 * way;
        exchange.date_ns = virtual_date(wall0 + now + way - begin.instant_ns);
        exchange.server = "nginx/1.22.1";
        exchange.marks = marks;
        now += 2 * way;
        STATUS(httptime_measure_absorb(measure, &exchange), HTTPTIME_OK);
        STATUS(httptime_estimator_absorb(estimator, &exchange), HTTPTIME_OK);
        exchanges++;
        STATUS(httptime_measure_progress(measure, &progress), HTTPTIME_OK);
        CHECK(progress.lower_ns <= SKEW_NS && SKEW_NS <= progress.upper_ns);
        if (exchanges == 3) {
            STATUS(httptime_measure_sent(measure, now), HTTPTIME_OK);
            STATUS(httptime_measure_lost(measure, 1, HTTPTIME_ERROR_CONNECTION_BROKE), HTTPTIME_OK);
        }
    }
    CHECK(next == HTTPTIME_NEXT_DONE && exchanges > 5);
    end = tie_of(now, wall0 + now - begin.instant_ns);
    STATUS(httptime_measure_finish(measure, &end, &measurement), HTTPTIME_OK);
    CHECK(llabs(measurement.offset_ns - SKEW_NS) < 100000 && measurement.at_ns == now);
    CHECK(measurement.lower_ns <= SKEW_NS && SKEW_NS <= measurement.upper_ns);
    CHECK(measurement.lag_source == HTTPTIME_LAG_PRODUCT && measurement.lag_ns == 1000000);
    CHECK(measurement.checks >= 6 && measurement.checks < measurement.requests);
    CHECK(measurement.date_advanced == 1);
    STATUS(httptime_estimator_estimate(estimator, &offset, &stddev), HTTPTIME_OK);
    CHECK(llabs(offset - SKEW_NS) < 2000000 && stddev > 0);
    /* After the end only the call that frees it is allowed. */
    INVALID(httptime_measure_next(measure, now, &next, &at));
    INVALID(httptime_measure_sent(measure, now));
    INVALID(httptime_measure_lost(measure, 0, HTTPTIME_ERROR_CONNECT));
    INVALID(httptime_measure_progress(measure, &progress));
    INVALID(httptime_measure_finish(measure, &end, &measurement));
    httptime_measure_free(measure);
    httptime_estimator_free(estimator);

    STATUS(httptime_measure_new(NULL, &begin, &measure), HTTPTIME_OK);
    STATUS(httptime_measure_lost(measure, 0, HTTPTIME_ERROR_PROXY_REFUSED),
           HTTPTIME_ERROR_PROXY_REFUSED);
    STATUS(httptime_measure_finish(measure, &end, &measurement), HTTPTIME_ERROR_PROXY_REFUSED);
    httptime_measure_free(measure);
    STATUS(httptime_measure_new(NULL, &begin, &measure), HTTPTIME_OK);
    end.wall_ns += 5000000000;
    STATUS(httptime_measure_finish(measure, &end, &measurement), HTTPTIME_ERROR_CLOCK_STEPPED);
    httptime_measure_free(measure);
}

/* The head of a response with these fields. */
static httptime_head head_of(httptime_reader *reader, const char *fields)
{
    char response[300];
    int32_t found = 0;
    httptime_head head;
    head.struct_size = sizeof head;
    int length = snprintf(response, sizeof response, "HTTP/1.1 200 OK\r\n%s\r\n", fields);
    STATUS(httptime_reader_feed(reader, response, (size_t)length), HTTPTIME_OK);
    STATUS(httptime_reader_next(reader, &head, &found), HTTPTIME_OK);
    CHECK(found == 1);
    return head;
}

static void reading_stamps(void)
{
    const int64_t date = INT64_C(1795392001000000000);
    httptime_reader *reader;
    httptime_head head;
    STATUS(httptime_reader_new(&reader), HTTPTIME_OK);
    head = head_of(reader, "Date: Mon, 23 Nov 2026 00:00:01 GMT\r\n");
    CHECK(head.date_ns == date && head.stamp.state == HTTPTIME_STAMP_NONE);
    head = head_of(reader, "Date: Mon, 23 Nov 2026 00:00:01 GMT\r\n"
                           "X-HTTPSTIME: t=1795392001250000 D=40\r\n");
    CHECK(head.stamp.state == HTTPTIME_STAMP_USED && head.stamp.flags == 0);
    CHECK(head.stamp.receive_ns == date + 250000000 && head.stamp.quantum_ns == 1000);
    CHECK(head.stamp.transmit_ns == date + 250040000);
    head = head_of(reader, "X-Varnish: 7\r\nX-HTTPSTIME: 1795392001.250\r\n");
    CHECK(head.stamp.state == HTTPTIME_STAMP_USED && head.stamp.quantum_ns == 1000000);
    CHECK(head.stamp.flags == (HTTPTIME_STAMP_FLAG_ROUNDED | HTTPTIME_STAMP_FLAG_NO_DATE));
    CHECK(head.date_ns == date);
    head = head_of(reader, "Date: Mon, 23 Nov 2026 00:00:01 GMT\r\nX-HTTPSTIME: 1795392001\r\n");
    CHECK(head.stamp.state == HTTPTIME_STAMP_MALFORMED && head.stamp.receive_ns == 0);
    STATUS(httptime_reader_set_stamp_header(reader, "X-Time"), HTTPTIME_OK);
    head = head_of(reader, "Date: Mon, 23 Nov 2026 00:00:01 GMT\r\nx-time: 1795392001250\r\n");
    CHECK(head.stamp.state == HTTPTIME_STAMP_USED && head.stamp.receive_ns == date + 250000000);
    STATUS(httptime_reader_set_stamp_header(reader, "Date"), HTTPTIME_ERROR_INVALID_CONFIG);
    httptime_reader_free(reader);
}

/*
 * Measures the server 38.116 s ahead in virtual time. Its responses have no Date if `has_date` is
 * 0, and a stamp with this number of decimals.
 */
static httptime_measurement measure_stamps(int has_date, int decimals)
{
    const int64_t wall0 = INT64_C(1795392000000000000), way = 10000000, second = 1000000000;
    int64_t now = 5000, at = 0, unit = second;
    int32_t next = 0;
    httptime_reader *reader = NULL;
    httptime_measure *measure = NULL;
    httptime_options options;
    httptime_measurement measurement = empty_measurement();
    httptime_cross_timestamp begin = tie_of(now, wall0), end;
    for (int digit = 0; digit < decimals; digit++)
        unit /= 10;
    STATUS(httptime_options_init(&options, sizeof options), HTTPTIME_OK);
    options.requests = 16;
    STATUS(httptime_reader_new(&reader), HTTPTIME_OK);
    STATUS(httptime_measure_new(&options, &begin, &measure), HTTPTIME_OK);
    while (httptime_measure_next(measure, now, &next, &at) == HTTPTIME_OK &&
           next == HTTPTIME_NEXT_SEND) {
        char fields[200];
        httptime_exchange exchange = { .struct_size = sizeof exchange };
        now = at > now ? at : now;
        STATUS(httptime_measure_sent(measure, now), HTTPTIME_OK);
        int64_t clock = wall0 + now + way - begin.instant_ns + SKEW_NS;
        int64_t since = (clock - wall0) / second;
        int length = 0;
        if (has_date)
            length = snprintf(fields, sizeof fields,
                              "Server: nginx\r\nDate: Mon, 23 Nov 2026 00:%02d:%02d GMT\r\n",
                              (int)(since / 60), (int)(since % 60));
        snprintf(fields + length, sizeof fields - (size_t)length, "X-HTTPSTIME: %lld.%0*lld\r\n",
                 (long long)(clock / second), decimals, (long long)(clock % second / unit));
        httptime_head head = head_of(reader, fields);
        exchange.sent_ns = now;
        exchange.received_ns = now + 2 * way;
        exchange.date_ns = head.date_ns;
        exchange.server = head.server;
        exchange.marks = head.marks;
        exchange.stamp = head.stamp;
        now += 2 * way;
        STATUS(httptime_measure_absorb(measure, &exchange), HTTPTIME_OK);
    }
    CHECK(next == HTTPTIME_NEXT_DONE);
    end = tie_of(now, wall0 + now - begin.instant_ns);
    STATUS(httptime_measure_finish(measure, &end, &measurement), HTTPTIME_OK);
    CHECK(measurement.lower_ns <= SKEW_NS && SKEW_NS <= measurement.upper_ns);
    httptime_measure_free(measure);
    httptime_reader_free(reader);
    return measurement;
}

static void measuring_stamps(void)
{
    for (int has_date = 0; has_date < 2; has_date++) {
        httptime_measurement measurement = measure_stamps(has_date, 6);
        CHECK(measurement.stamp == HTTPTIME_STAMP_USED && measurement.stamp_quantum_ns == 1000);
        CHECK(measurement.lag_source == HTTPTIME_LAG_STAMP && measurement.lag_ns == 1000000);
        CHECK(llabs(measurement.offset_ns - SKEW_NS) < 100000);
        CHECK(measurement.requests <= 8 && measurement.elapsed_ns < 1000000000);
        CHECK(measurement.servers_configured == 1 && measurement.date_advanced == 1);
    }
    httptime_measurement measurement = measure_stamps(1, 5);
    CHECK(measurement.stamp == HTTPTIME_STAMP_MALFORMED && measurement.stamp_quantum_ns == 0);
    CHECK(measurement.lag_source == HTTPTIME_LAG_PRODUCT && measurement.requests > 8);
}

static void selecting(void)
{
    int64_t lower[] = { 0, 5, 1000, 3 }, upper[] = { 10, 12, 2000, 9 };
    int64_t common_lower = 0, common_upper = 0;
    uint8_t survivors[4] = { 9, 9, 9, 9 };
    STATUS(httptime_select(lower, upper, 4, &common_lower, &common_upper, survivors), HTTPTIME_OK);
    CHECK(common_lower == 5 && common_upper == 9);
    CHECK(survivors[0] == 1 && survivors[1] == 1 && survivors[2] == 0 && survivors[3] == 1);
    STATUS(httptime_select(lower + 1, upper + 1, 2, &common_lower, &common_upper, survivors),
           HTTPTIME_ERROR_NO_MAJORITY);
    INVALID(httptime_select(upper, lower, 2, &common_lower, &common_upper, survivors));
}

/* The decision is pure. The other calls are refused before any system call. */
static void clock_policy(void)
{
    httptime_policy policy;
    httptime_history history;
    httptime_decision decision;
    httptime_measurement measurement = empty_measurement();
    httptime_cross_timestamp now = tie_of(0, INT64_C(1795392000000000000));
    memset(&measurement, 0, sizeof measurement);
    memset(&history, 0, sizeof history);
    memset(&decision, 0, sizeof decision);
    measurement.struct_size = sizeof measurement;
    history.struct_size = sizeof history;
    decision.struct_size = sizeof decision;
    measurement.offset_ns = SKEW_NS;
    measurement.stddev_ns = 50000;
    measurement.lower_ns = SKEW_NS - 1000000;
    measurement.upper_ns = SKEW_NS + 1000000;
    measurement.local_time_ns = INT64_C(4102444800000000000);

    STATUS(httptime_policy_init(&policy, sizeof policy), HTTPTIME_OK);
    CHECK(policy.step_threshold_ns == 128000000);
    CHECK(policy.max_startup_forward_ns == INT64_C(1800000000000));
    STATUS(httptime_policy_decide(&policy, &history, &measurement, &decision), HTTPTIME_OK);
    CHECK(decision.action == HTTPTIME_ACTION_REFUSE &&
          decision.refusal == HTTPTIME_REFUSAL_DATE_NOT_ADVANCED);
    CHECK(strstr(decision.reason, "not seen to advance") != NULL && decision.by_ns == 0);
    measurement.date_advanced = 1;
    STATUS(httptime_policy_decide(&policy, &history, &measurement, &decision), HTTPTIME_OK);
    CHECK(decision.action == HTTPTIME_ACTION_STEP && decision.by_ns == SKEW_NS);
    STATUS(httptime_policy_decide(NULL, NULL, &measurement, &decision), HTTPTIME_OK);
    CHECK(decision.action == HTTPTIME_ACTION_STEP && decision.reason[0] == '\0');
    policy.max_startup_forward_ns = 1000000000;
    STATUS(httptime_policy_decide(&policy, NULL, &measurement, &decision), HTTPTIME_OK);
    CHECK(decision.action == HTTPTIME_ACTION_REFUSE &&
          decision.refusal == HTTPTIME_REFUSAL_TOO_FAR);
    CHECK(strstr(decision.reason, "forward 38.12 s; max_startup_forward is 1 s") != NULL);
    CHECK(decision.by_ns == 0);
    /* Applying a refusal changes nothing. */
    STATUS(httptime_clock_apply(&measurement, &decision, &now), HTTPTIME_OK);
    history.settled = 1;
    STATUS(httptime_policy_decide(&policy, &history, &measurement, &decision), HTTPTIME_OK);
    CHECK(decision.action == HTTPTIME_ACTION_STEP);
    measurement.offset_ns = 100000;
    measurement.lower_ns = -1000000;
    measurement.upper_ns = 1000000;
    STATUS(httptime_policy_decide(&policy, &history, &measurement, &decision), HTTPTIME_OK);
    CHECK(decision.action == HTTPTIME_ACTION_LEAVE);

    INVALID(httptime_policy_init(NULL, sizeof policy));
    INVALID(httptime_policy_init(&policy, 12));
    INVALID(httptime_policy_decide(&policy, &history, NULL, &decision));
    INVALID(httptime_policy_decide(&policy, &history, &measurement, NULL));
    policy.evidence = 7;
    INVALID(httptime_policy_decide(&policy, &history, &measurement, &decision));
    measurement.struct_size = 48;
    INVALID(httptime_policy_decide(NULL, NULL, &measurement, &decision));
    measurement.struct_size = sizeof measurement;
    measurement.lower_ns = 2000000;
    INVALID(httptime_policy_decide(NULL, NULL, &measurement, &decision));
    measurement.lower_ns = 0;

    INVALID(httptime_clock_apply(NULL, &decision, &now));
    INVALID(httptime_clock_apply(&measurement, NULL, &now));
    INVALID(httptime_clock_apply(&measurement, &decision, NULL));
    decision.action = 99;
    INVALID(httptime_clock_apply(&measurement, &decision, &now));
    /* The wall clock is not the one that was measured: refused before any system call. */
    decision.action = HTTPTIME_ACTION_LEAVE;
    STATUS(httptime_clock_apply(&measurement, &decision, &now), HTTPTIME_ERROR_CLOCK_STEPPED);
    INVALID(httptime_clock_remaining_slew(NULL));
    STATUS(httptime_clock_set_synchronised(-1, 0), HTTPTIME_ERROR_INVALID_CONFIG);
    STATUS(httptime_clock_set_synchronised(0, -1), HTTPTIME_ERROR_INVALID_CONFIG);
    /* These would change the clock with any arguments; the test only checks that they exist. */
    CHECK(httptime_clock_step != NULL && httptime_clock_slew != NULL);
}

static void both_clocks(void)
{
    httptime_cross_timestamp cross_timestamp = tie_of(0, 0);
    int64_t before = httptime_now();
    STATUS(httptime_cross_timestamp_now(&cross_timestamp), HTTPTIME_OK);
    CHECK(before <= cross_timestamp.instant_ns && cross_timestamp.instant_ns <= httptime_now());
    /* It is the monotonic clock of the program. */
    int64_t earlier = now_ns(), now = httptime_now();
    CHECK(earlier <= now && now <= now_ns());
    CHECK(llabs(cross_timestamp.wall_ns / 1000000000 - (int64_t)time(NULL)) <= 1);
    CHECK(cross_timestamp.uncertainty_ns > 0 && cross_timestamp.uncertainty_ns < 100000000);
}

static void a_panic(void)
{
#ifdef HAVE_TEST_HOOKS
    char message[200];
    STATUS(httptime_test_panic(), HTTPTIME_ERROR_PANIC);
    httptime_error_message(message, sizeof message);
    CHECK(strstr(message, "forced by a test") != NULL);
    log_lines = 0;
    STATUS(httptime_set_log(log_line, &log_lines, HTTPTIME_LOG_ERROR), HTTPTIME_OK);
    STATUS(httptime_test_panic(), HTTPTIME_ERROR_PANIC);
    CHECK(log_lines == 1);
    STATUS(httptime_set_log(NULL, NULL, HTTPTIME_LOG_OFF), HTTPTIME_OK);
#endif
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    server = argv[1];
    silent = argv[2];
    black_hole = argv[3];
    cancel_limit_ns = strtoll(argv[4], NULL, 10) * 1000000;
    stamped = argv[5];
    frozen = argv[6];
    versions_and_texts();
    messages();
    null_pointers();
    null_pointers_of_a_session();
    struct_sizes();
    unknown_numbers_and_texts();
    a_panic();
    a_query();
    a_survey();
    servers_with_stamps();
    a_session();
    a_name_without_addresses();
    options_for_sockets();
    callbacks();
    reading_responses();
    measuring_without_sockets();
    reading_stamps();
    measuring_stamps();
    selecting();
    both_clocks();
    clock_policy();
    eight_threads();
    cancellation();
    a_panic();
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
