/* One request with the library, and the resources of the process: for a table in docs/c-api.md. */
#include "httptime.h"

#include <stdio.h>
#include <sys/resource.h>

int main(int argc, char **argv)
{
    httptime_options options;
    httptime_measurement measurement;
    struct rusage usage;
    const char *urls[1];
    if (argc != 2 || httptime_options_init(&options, sizeof options) != HTTPTIME_OK)
        return 2;
    urls[0] = argv[1];
    options.requests = 1;
    measurement.struct_size = sizeof measurement;
    if (httptime_query(urls, 1, &options, &measurement) != HTTPTIME_OK)
        return 1;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld\n", usage.ru_maxrss);
    return 0;
}
