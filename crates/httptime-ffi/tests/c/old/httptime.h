/*
 * The start of httptime.h as a version before the first might have had it: structures that end earlier. A program that was
 * compiled against it has to run with every later library of the same SONAME.
 */
#ifndef HTTPTIME_H
#define HTTPTIME_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t httptime_status;

typedef struct httptime_options {
    uint32_t struct_size;
    int32_t profile;
    int32_t estimator;
    int32_t schedule;
    int32_t family;
    uint32_t requests;
    uint32_t drift_ppm;
    int32_t tunnel;
    int32_t timestamping;
    uint32_t min_servers;
    int64_t duration_ns;
} httptime_options;

typedef struct httptime_measurement {
    uint32_t struct_size;
    int32_t ended;
    int64_t offset_ns;
    int64_t stddev_ns;
    int64_t lower_ns;
    int64_t upper_ns;
} httptime_measurement;

#define HTTPTIME_OK 0
#define HTTPTIME_PROFILE_FAST 2
#define HTTPTIME_ENDED_REQUESTS 3

httptime_status httptime_options_init(struct httptime_options *options, uint32_t struct_size);
httptime_status httptime_query(const char *const *urls,
                               size_t count,
                               const struct httptime_options *options,
                               struct httptime_measurement *measurement);

#endif
