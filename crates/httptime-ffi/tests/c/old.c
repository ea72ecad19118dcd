/*
 * A program that was compiled with an older header. Its structures are smaller than the library's,
 * and the memory after them is its own.
 */
#include "check.h"
#include "httptime.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct {
        httptime_options options;
        unsigned char behind[64];
    } in;
    struct {
        httptime_measurement measurement;
        unsigned char behind[256];
    } out;
    unsigned char untouched[256];
    const char *urls[1];
    if (argc != 2)
        return 2;
    urls[0] = argv[1];
    memset(&in, 0xa5, sizeof in);
    memset(&out, 0xa5, sizeof out);
    memset(untouched, 0xa5, sizeof untouched);
    CHECK(sizeof in.options == 48 && sizeof out.measurement == 40);
    CHECK(httptime_options_init(&in.options, sizeof in.options) == HTTPTIME_OK);
    CHECK(memcmp(in.behind, untouched, sizeof in.behind) == 0);
    in.options.profile = HTTPTIME_PROFILE_FAST;
    in.options.requests = 7;
    out.measurement.struct_size = sizeof out.measurement;
    /* If the library read beyond the options, it would find a proxy, a canceller and a callback. */
    CHECK(httptime_query(urls, 1, &in.options, &out.measurement) == HTTPTIME_OK);
    CHECK(memcmp(out.behind, untouched, sizeof out.behind) == 0);
    CHECK(out.measurement.struct_size == sizeof out.measurement);
    CHECK(out.measurement.ended == HTTPTIME_ENDED_REQUESTS);
    CHECK(out.measurement.lower_ns <= INT64_C(38116000000));
    CHECK(out.measurement.upper_ns >= INT64_C(38116000000));
    printf("offset %+.6f s\n%d failures\n", (double)out.measurement.offset_ns / 1e9, failures);
    return failures == 0 ? 0 : 1;
}
