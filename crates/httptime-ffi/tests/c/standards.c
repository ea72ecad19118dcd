/* Compiled with every standard that the header supports without a warning, as C and as C++. */
#include "httptime.h"

#include <stdio.h>

int main(void)
{
    const char *urls[] = { "ftp://not.supported/" };
    httptime_options options;
    httptime_measurement measurement;
    httptime_status status = httptime_options_init(&options, sizeof options);
    if (status != HTTPTIME_OK)
        return 1;
    options.profile = HTTPTIME_PROFILE_FAST;
    measurement.struct_size = sizeof measurement;
    status = httptime_query(urls, 1, &options, &measurement);
    if (httptime_version_number() < HTTPTIME_VERSION_NUMBER)
        return 2;
    printf("%s %s\n", HTTPTIME_VERSION, httptime_strerror(status));
    return status == HTTPTIME_ERROR_INVALID_URL ? 0 : 3;
}
